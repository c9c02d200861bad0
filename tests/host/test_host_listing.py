"""Folders are made to list their names the other way round, where the file system can."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rootfs import base, modes

from ssds.host.listing import can_reverse, listing_order, reverse_listing
from ssds.host.sandbox import Job, Sandbox
from ssds.store.trees import Trees

MEMORY = "/dev/shm"


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder of a file system that lists names as they came in, or the other way round."""
    if not os.path.isdir(MEMORY) or not can_reverse(listing_order(MEMORY)):
        pytest.skip("this machine has no file system that lists names as they came in")
    folder = tempfile.mkdtemp(prefix="ssds-listing-", dir=MEMORY)
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)


def listed(folder: Path) -> dict[str, list[str]]:
    return {str(Path(path).relative_to(folder)): os.listdir(path) for path, _, _ in os.walk(folder)}


def test_every_folder_is_turned_round_and_nothing_else_changes(memory: Path) -> None:
    tree = memory / "tree"
    for name in ("a/x", "a/y", "b/c/d", "b/c/e", "b/c/f", "lonely/one"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    os.link(tree / "a/x", tree / "b/link")
    os.symlink("x", tree / "a/soft")
    os.utime(tree / "a", (5, 6))
    before = listed(tree)
    assert reverse_listing(str(tree))
    assert listed(tree) == {path: names[::-1] for path, names in before.items()}
    assert (tree / "b/link").stat().st_nlink == 2
    assert os.stat(tree / "a").st_mtime == 6
    assert sorted(os.listdir(memory)) == ["tree"]


def test_a_file_system_that_lists_by_hash_is_left_as_it_is(tmp_path: Path) -> None:
    if can_reverse(listing_order(str(tmp_path))):
        pytest.skip("temporary files are on a file system that lists names as they came in")
    (tmp_path / "tree").mkdir()
    assert not reverse_listing(str(tmp_path / "tree"))


@pytest.mark.component("sandbox")
@pytest.mark.parametrize("mode", modes())
def test_a_step_sees_the_layers_below_it_the_other_way_round(memory: Path, mode: str) -> None:
    digest, tar = base()
    seen = []
    for reverses in (False, True):
        folder = str(memory / f"{mode}-{reverses}")
        sandbox = Sandbox(mode, f"{folder}/sandbox", reverses=reverses)
        trees = Trees(f"{folder}/trees", sandbox)
        output = bytearray()
        job = Job(
            lowers=(trees.layer(digest, tar),),
            argv=("/bin/sh", "-c", "ls -U /usr /etc"),
            environment={"PATH": "/usr/bin:/bin"},
            log=output.extend,
        )
        assert sandbox.run(job).exit_code == 0, output
        seen.append([part.split("\n") for part in output.decode().strip().split("\n\n")])
        sandbox.remove(trees.folder)
    plain, reversed_ = seen
    assert len(plain[1]) >= 3
    assert [part[:1] + part[:0:-1] for part in plain] == reversed_
