"""Lock files of other programs: respected, held, and never removed where they are not ours."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ssds.core.errors import Refused
from ssds.host.foreign_lock import holding


def test_it_is_there_while_we_work_and_gone_afterwards(tmp_path: Path) -> None:
    lock = tmp_path / "ISRUNNING.lock"
    with holding([str(lock), str(lock)]):
        assert lock.exists()
    assert not lock.exists()
    with pytest.raises(ValueError, match="x"), holding([str(lock)]):
        raise ValueError("x")
    assert not lock.exists()


def test_while_another_program_works_nothing_is_done(tmp_path: Path) -> None:
    lock, other = tmp_path / "ISRUNNING.lock", tmp_path / "other.lock"
    lock.write_text("running\n")
    with pytest.raises(Refused, match="another program works"), holding([str(other), str(lock)]):
        raise AssertionError
    assert lock.read_text() == "running\n"
    assert not other.exists()


def test_what_a_killed_run_of_ours_left_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "ISRUNNING.lock"
    if not (process := os.fork()):
        os._exit(0)
    os.waitpid(process, 0)
    lock.write_text(f"ssds {socket.gethostname()} {process}\n")
    with holding([str(lock)]):
        assert str(os.getpid()) in lock.read_text()
    for text in (f"ssds elsewhere {process}\n", f"ssds {socket.gethostname()} {os.getpid()}\n", ""):
        lock.write_text(text)
        with pytest.raises(Refused), holding([str(lock)]):
            raise AssertionError


def test_a_lock_that_others_put_in_the_place_of_ours_stays(tmp_path: Path) -> None:
    lock = tmp_path / "ISRUNNING.lock"
    with holding([str(lock)]):
        lock.write_text("running\n")
    assert lock.read_text() == "running\n"
