"""What programs leave behind goes away: deep, wide, closed, strangely named; nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssds.host.folders import remove_tree
from ssds.host.local import remove_folder
from ssds.host.removal import remove_whole

DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(3000):
    os.mkdir("d"); os.chdir("d")
    with open("f", "w"): pass
"""


def deep(folder: Path) -> None:
    folder.mkdir()
    subprocess.run([sys.executable, "-c", DEEP, str(folder)], check=True)


@pytest.mark.parametrize("remove", [remove_whole, remove_tree, remove_folder])
def test_three_thousand_folders_in_one_another_are_removed(tmp_path: Path, remove: object) -> None:
    deep(tmp_path / "deep")
    remove(str(tmp_path / "deep"))  # type: ignore[operator]
    assert os.listdir(tmp_path) == []


def test_links_are_removed_and_what_they_name_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o750)
    (kept / "file").write_text("kept")
    gone = tmp_path / "gone"
    (gone / "inner").mkdir(parents=True)
    (gone / "inner/to-folder").symlink_to(kept)
    (gone / "to-file").symlink_to(kept / "file")
    os.link(kept / "file", gone / "same")
    remove_whole(str(gone))
    assert (kept / "file").read_text() == "kept"
    assert kept.stat().st_mode & 0o777 == 0o750
    (tmp_path / "link").symlink_to(kept)
    remove_whole(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["kept"]


def test_strange_names_and_closed_folders_are_removed(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for name in (b"\xff", b"-rf", b"a\nb", b"x" * 255):
        folder = os.path.join(os.fsencode(gone), name)
        os.makedirs(folder)
        os.mkfifo(folder + b"/pipe")
        os.chmod(folder, 0)
    remove_whole(str(gone))
    remove_whole(str(gone))
    assert not gone.exists()
