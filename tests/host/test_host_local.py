"""Files that somebody else may have put there are opened with care."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from ssds.core.errors import InvalidValue
from ssds.host import local


def test_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    with local.open_regular(str(tmp_path / "file")) as file:
        assert file.read() == b"bytes"
    assert local.head(str(tmp_path / "file"), 2) == b"by"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_regular_file_is_refused_and_stays_closed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "file").write_bytes(b"bytes")
        path.symlink_to("file")
    with pytest.raises(OSError if kind == "link" else InvalidValue):
        local.open_regular(str(path))
    assert local.head(str(path), 2) == b""
    assert str(path) not in _held()


def _held() -> set[str]:
    """Returns the paths of all files that this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found
