"""Running programs: output, limits, missing programs."""

from __future__ import annotations

import os
import sys
import time

import pytest

from ssds.core.errors import EnvironmentProblem, UnavailableError
from ssds.host.process import run

PYTHON = sys.executable


def test_output_and_exit_code_come_back():
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, done.stdout, done.timed_out) == (3, b"out\nerr\n", False)


def test_standard_error_can_be_kept_out_of_what_is_parsed():
    seen = bytearray()
    done = run(["sh", "-c", "echo out; echo err >&2"], merge_errors=False, log=seen.extend)
    assert done.stdout == b"out\n"
    assert b"err" in seen


def test_input_is_given_whole_also_when_it_is_large():
    data = bytes(range(256)) * 8000
    assert run(["cat"], stdin=data).stdout == data


def test_a_program_that_ignores_its_input_does_no_harm():
    assert run(["true"], stdin=b"x" * 1_000_000).returncode == 0


def test_without_input_standard_input_is_empty():
    assert run(["cat"]).stdout == b""


def test_the_environment_and_folder_are_the_given_ones(tmp_path):
    done = run(["sh", "-c", "pwd; echo $ONLY$HOME"], env={"ONLY": "this"}, cwd=str(tmp_path))
    assert done.text.split() == [str(tmp_path), "this"]


def test_a_time_limit_kills_the_whole_group(tmp_path):
    flag = tmp_path / "flag"
    started = time.monotonic()
    script = f"trap '' TERM; (sleep 2; touch {flag}) & sleep 60"
    done = run(["sh", "-c", script], timeout_s=0.3)
    assert done.timed_out
    assert done.returncode == -9
    assert time.monotonic() - started < 5
    time.sleep(2.2)
    assert not flag.exists()


def test_a_time_limit_holds_for_a_program_that_closed_its_output():
    code = "import os, time; os.close(1); os.close(2); time.sleep(60)"
    assert run([PYTHON, "-c", code], timeout_s=1).timed_out


def test_a_background_child_does_not_hold_the_caller_up():
    started = time.monotonic()
    done = run(["sh", "-c", "sleep 30 & echo done"], timeout_s=20)
    assert (done.stdout, done.timed_out) == (b"done\n", False)
    assert time.monotonic() - started < 10


def test_a_missing_program_names_the_debian_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        run(["mmdebstrap", "--version"])
    assert "mmdebstrap" in caught.value.message
    assert caught.value.hint == "Install it: apt-get install mmdebstrap"


def test_a_missing_folder_is_not_a_missing_program(tmp_path):
    with pytest.raises(EnvironmentProblem, match="does not exist"):
        run(["true"], cwd=str(tmp_path / "gone"))


def test_a_file_that_cannot_be_executed_is_told(tmp_path):
    (tmp_path / "tool").write_text("text")
    with pytest.raises(EnvironmentProblem, match="cannot start"):
        run([str(tmp_path / "tool")])


def test_nothing_is_kept_without_capture():
    seen = bytearray()
    done = run(["echo", "text"], capture=False, log=seen.extend)
    assert (done.stdout, bytes(seen)) == (b"", b"text\n")


def test_an_error_in_the_log_ends_the_program():
    def log(_):
        raise RuntimeError("disk full")

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError):
        run(["sh", "-c", "echo x; sleep 60"], log=log)
    assert len(os.listdir("/proc/self/fd")) == before
