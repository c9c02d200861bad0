"""A program that a person runs in the sandbox: its input, output and terminal are the person's."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
import time

import pytest
from rootfs import EPOCH, base_folder, modes, trees

from ssds.core.errors import InvalidValue
from ssds.host.sandbox import Job, Stdio, fixed_environment

pytestmark = [pytest.mark.component("sandbox"), pytest.mark.parametrize("mode", modes())]


def a_job(mode: str, script: str, stdio: Stdio, **more: object) -> Job:
    return Job(
        lowers=(base_folder(mode),),
        argv=("/bin/sh", "-c", script),
        environment=fixed_environment(EPOCH),
        stdio=stdio,
        **more,  # type: ignore[arg-type]
    )


def through(mode: str, script: str, given: bytes = b"", **more: object) -> tuple[int, bytes, bytes]:
    """Runs a script with pipes of ours as its input and output."""
    pipes = [os.pipe() for _ in range(3)]
    (stdin, write_in), (read_out, stdout), (read_err, stderr) = pipes

    def feed() -> None:
        with os.fdopen(write_in, "wb") as file:
            file.write(given)

    found: dict[int, bytes] = {}

    def drain(descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as file:
            found[descriptor] = file.read()

    threads = [threading.Thread(target=feed)]
    threads += [threading.Thread(target=drain, args=(d,)) for d in (read_out, read_err)]
    for thread in threads:
        thread.start()
    try:
        job = a_job(mode, script, Stdio(stdin=stdin, stdout=stdout, stderr=stderr), **more)
        result = trees(mode).sandbox.run(job)
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        for thread in threads:
            thread.join(20)
    return result.exit_code, found[read_out], found[read_err]


def test_input_output_and_errors_are_the_callers(mode):
    assert through(mode, "cat; echo bad >&2; exit 7", b"hello") == (7, b"hello", b"bad\n")


def test_two_megabytes_pass_both_ways(mode):
    data = os.urandom(2_000_000)
    assert through(mode, "cat", data) == (0, data, b"")


def test_the_callers_files_keep_their_owner(mode, tmp_path):
    with open(tmp_path / "out", "wb") as out, open(os.devnull, "rb") as nothing:
        before = os.fstat(out.fileno())
        stdio = Stdio(stdin=nothing.fileno(), stdout=out.fileno(), stderr=out.fileno())
        trees(mode).sandbox.run(a_job(mode, "echo made", stdio, user="alice"))
        after = os.fstat(out.fileno())
    assert (tmp_path / "out").read_text() == "made\n"
    assert (before.st_uid, before.st_mode) == (after.st_uid, after.st_mode)


def test_a_folder_as_input_is_refused_since_it_would_lead_out(mode):
    folder = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(InvalidValue, match="standard input is a folder"):
            trees(mode).sandbox.run(a_job(mode, "true", Stdio(stdin=folder)))
    finally:
        os.close(folder)


def test_the_program_has_no_other_descriptors(mode):
    _, output, _ = through(mode, "ls /proc/self/fd")
    assert output.split()[:3] == [b"0", b"1", b"2"]
    assert len(output.split()) == 4  # the folder itself, held by ls


def test_the_time_limit_holds_here_too(mode):
    assert through(mode, "sleep 60", time_limit_s=1)[0] == 137


class Person:
    """Someone at a terminal: a pty whose other end runs the sandbox in a process of its own."""

    def __init__(self, mode: str, script: str) -> None:
        layer = base_folder(mode)
        sandbox = trees(mode).sandbox
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            code = 99
            try:
                job = Job(
                    lowers=(layer,),
                    argv=("/bin/sh", "-c", script),
                    environment={**fixed_environment(EPOCH), "PS1": "ready> "},
                    stdio=Stdio(terminal=True),
                )
                code = sandbox.run(job).exit_code
                os.write(1, f"left with {code}; echo {echo()}".encode())
            finally:
                os._exit(code)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def sees(self, text: str, timeout_s: float = 20) -> None:
        end = time.monotonic() + timeout_s
        while text.encode() not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} is not in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    end = 0 if text.encode() not in self.seen else end

    def leaves(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def echo() -> bool:
    """Whether the terminal on descriptor 0 is back in its usual state."""
    return bool(termios.tcgetattr(0)[3] & termios.ECHO)


def test_a_terminal_gives_job_control_and_its_own_name(mode):
    person = Person(mode, "test -t 0 && test -t 1 && test -t 2 && echo all; ls -l /proc/self/fd/0")
    person.sees("all")
    person.sees("/dev/pts/0")
    person.sees("left with 0; echo True")
    assert person.leaves() == 0


def test_what_is_typed_arrives_and_the_exit_code_comes_back(mode):
    person = Person(mode, "read word; echo got $word; exit 5")
    person.type("tea\n")
    person.sees("got tea")
    assert person.leaves() == 5


def test_control_c_reaches_the_program_and_not_the_caller(mode):
    person = Person(mode, "trap 'echo caught; exit 3' INT; echo waiting; sleep 60 & wait")
    person.sees("waiting")
    person.type("\x03")
    person.sees("caught")
    assert person.leaves() == 3


def test_the_window_size_is_the_callers_and_follows_it(mode):
    python = "import os; print(*os.get_terminal_size(0))"
    person = Person(mode, f"read go; /usr/bin/python3 -c '{python}'; read go")

    fcntl.ioctl(person.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    time.sleep(1.0)
    person.type("x\n")
    person.sees("111 33")
    person.type("x\n")
    assert person.leaves() == 0


def test_the_terminal_is_usable_again_after_a_program_that_cannot_start(mode):
    person = Person(mode, "exec /no/such")
    person.sees("echo True")
    assert person.leaves() == 127


def test_the_program_ends_when_its_terminal_goes_away(mode):
    person = Person(mode, "echo started; sleep 300")
    person.sees("started")
    os.kill(person.pid, signal.SIGTERM)
    assert person.leaves() == -signal.SIGTERM
