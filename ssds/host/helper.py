"""Starts the sandbox's helper process and talks with it (see ``ssds.host.inside``)."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import ssds
from ssds.core import errors
from ssds.core.canonical import Json
from ssds.core.errors import EnvironmentProblem, SsdsError, UnavailableError
from ssds.host import terminal
from ssds.host.inside import IDS
from ssds.host.process import kill_group, missing_program

_POLL_S = 0.2
_END_S = 20.0
_ANSWER_LIMIT = 64 << 20
_PROGRAM = (
    "import json, os, sys; sys.path[:] = json.loads(os.environ['SSDS_PATH']); "
    "from ssds.host.inside import main; main(int(sys.argv[1]))"
)

Log = Callable[[bytes], None] | None


@dataclass(slots=True, kw_only=True)
class Ended:
    """How a job ended: None as exit code when it was killed from outside."""

    exit_code: int | None = None
    timed_out: bool = False
    stopped: bool = False
    full: str = ""
    enforced: frozenset[str] = field(default_factory=frozenset)
    facts: dict[str, bool] = field(default_factory=dict)


def identity(mode: str) -> dict[str, Json]:
    """Returns what the helper needs to map ids in ``mode``; checks that the caller may use it.

    Raises:
        UnavailableError: the mode needs root, or subordinate ids that this user has not.
    """
    if mode in {"identity", "trusted"}:
        if os.geteuid() != 0:
            raise UnavailableError(
                f"sandbox mode {mode} needs root", hint="Use `sandbox: auto` in ssds.yaml."
            )
        return {}
    if os.geteuid() == 0:
        raise UnavailableError(
            "sandbox mode subuid is for ordinary users", hint="As root, use mode identity."
        )
    found: dict[str, Json] = {}
    for tool, name, own in (
        ("newuidmap", "uid", os.getuid()),
        ("newgidmap", "gid", os.getgid()),
    ):
        path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin")
        if path is None:
            raise missing_program(tool)
        found[tool] = path
        start = _subordinate(f"/etc/sub{name}")
        found[f"{name}_map"] = [0, own, 1, 1, start, IDS - 1]
    return found


def _subordinate(path: str) -> int:
    """Returns the first of at least 65535 subordinate ids in a file such as /etc/subuid."""
    uid = os.getuid()
    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    owner = max(names)
    small = False
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            parts = line.strip().split(":")
            if len(parts) == 3 and parts[0] in names and all(p.isdigit() for p in parts[1:]):
                if int(parts[2]) >= IDS - 1:
                    return int(parts[1])
                small = True
    option = "--add-subuids" if path.endswith("uid") else "--add-subgids"
    raise UnavailableError(
        f"{path} gives user {owner} " + ("fewer than 65536 ids" if small else "no ids"),
        hint=f"As root: usermod {option} 1000000-1065535 {owner} (any free range).",
    )


def _start(
    spec: Mapping[str, Json],
    *,
    output: int,
    errors_to: int,
    handed: Mapping[str, int] | None = None,
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts the helper and gives it its line; returns it and the status pipe.

    Args:
        handed: descriptors that it gets too, by their name in the spec.
    """
    handed = handed or {}
    root = os.path.dirname(os.path.dirname(os.path.abspath(ssds.__file__)))
    path = json.dumps([root, *(p for p in sys.path if p and p != root)])
    status, status_end = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(status_end)],
            env={"SSDS_PATH": path},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors_to,
            pass_fds=(status_end, *handed.values()),
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        os.close(status)
        raise EnvironmentProblem(f"cannot start the sandbox's helper: {error}") from error
    finally:
        os.close(status_end)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps({**spec, **handed}).encode() + b"\n")
        process.stdin.flush()
    return process, status


def converse(
    spec: Mapping[str, Json],
    *,
    log: Log,
    log_errors: Log,
    deadline: float,
    stop: Callable[[], bool] | None,
    given: tuple[int, int, int] | None = None,
) -> Ended:
    """Runs a job: hands its output on, ends it at ``deadline`` (monotonic seconds) or on stop.

    Args:
        given: the caller's descriptors 0, 1 and 2, which the job gets instead.
    """
    ended = Ended()
    answers = bytearray()
    if given is not None:
        stdin = os.dup(given[0])
        try:
            process, status = _start(
                spec, output=given[1], errors_to=given[2], handed={"stdin": stdin}
            )
        finally:
            os.close(stdin)
        sinks: dict[Any, Log] = {status: answers.extend}
    else:
        apart = log_errors is not None
        errors_to = subprocess.PIPE if apart else subprocess.STDOUT
        process, status = _start(spec, output=subprocess.PIPE, errors_to=errors_to)
        sinks = {process.stdout: log, status: answers.extend}
        if apart:
            sinks[process.stderr] = log_errors
    with _ending(process, status):
        _pump(process, sinks, deadline, stop, ended)
        process.wait(_END_S)
    _judge(answers, ended)
    return ended


def converse_on_terminal(spec: Mapping[str, Json], stdin: int, stdout: int) -> Ended:
    """Runs a job on a terminal of its own that is joined to the caller's, to its end."""
    ended = Ended()
    answers = bytearray()
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process, status = _start(
                spec,
                output=subprocess.DEVNULL,
                errors_to=subprocess.DEVNULL,
                handed={"console": theirs.fileno()},
            )
        with _ending(process, status):
            master = terminal.receive_descriptor(ours)
            if master < 0:
                _pump(process, {status: answers.extend}, float("inf"), None, ended)
            else:
                with os.fdopen(master, "rb", buffering=0), terminal.joined(stdin, master):
                    terminal.relay(master, stdin, stdout, status, answers.extend)
            process.wait(_END_S)
    _judge(answers, ended)
    return ended


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes], status: int) -> Iterator[None]:
    """Ends the job when the block raises; closes the pipes in any case."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            _hang_up(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        kill_group(process)
        raise
    finally:
        os.close(status)
        for stream in (process.stdin, process.stdout, process.stderr):
            _close(stream)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Closes the control pipe: the helper then kills the job and cleans up."""
    _close(process.stdin)


def _pump(
    process: subprocess.Popen[bytes],
    sinks: Mapping[Any, Log],
    deadline: float,
    stop: Callable[[], bool] | None,
    ended: Ended,
    end: Callable[[], None] | None = None,
) -> None:
    """Hands output on until it ends; at the deadline or on stop it calls ``end`` or hangs up."""
    hung_up_at = 0.0
    with selectors.DefaultSelector() as selector:
        for stream in sinks:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            now = time.monotonic()
            wait_s = _POLL_S if hung_up_at else max(0.0, min(_POLL_S, deadline - now))
            for key, _ in selector.select(wait_s):
                data = os.read(key.fd, 65536)
                sink = sinks[key.fileobj]
                if not data:
                    selector.unregister(key.fileobj)
                elif sink is not None:
                    sink(data)
            if hung_up_at:
                if time.monotonic() - hung_up_at > _END_S:
                    kill_group(process)
                    return
                continue
            ended.timed_out = time.monotonic() >= deadline
            ended.stopped = not ended.timed_out and stop is not None and stop()
            if ended.timed_out or ended.stopped:
                if process.poll() is not None:
                    ended.timed_out = ended.stopped = False  # it ended by itself just now
                if end is None:
                    _hang_up(process)
                else:
                    end()
                hung_up_at = time.monotonic()


def _judge(answers: bytes | bytearray, ended: Ended) -> None:
    """Reads the helper's answers; raises the error that it reports."""
    for line in bytes(answers).splitlines():
        reply = _parse(line)
        if "error" in reply:
            raise rebuilt(reply)
        if "enforced" in reply:
            ended.enforced = frozenset(str(n) for n in reply["enforced"])
        if "full" in reply:
            ended.full = str(reply["full"])
        if "facts" in reply:
            ended.facts = {str(name): bool(held) for name, held in reply["facts"].items()}
        if "exit" in reply:
            ended.exit_code = int(reply["exit"])
            ended.timed_out = ended.stopped = False
    if ended.exit_code is not None:
        ended.full = ""  # it ended by itself just then
    elif not (ended.timed_out or ended.stopped or ended.full):
        raise EnvironmentProblem(
            "the job was killed from outside",
            hint="Most often memory is exhausted: `dmesg` tells. Try again with less in parallel.",
        )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(line)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise EnvironmentProblem("the sandbox's helper gave an answer that cannot be read")
    return reply


def rebuilt(reply: Mapping[str, Any]) -> SsdsError:
    """Returns the error that another process reported, as its own class."""
    kind = getattr(errors, str(reply.get("kind", "")), SsdsError)
    if not (isinstance(kind, type) and issubclass(kind, SsdsError)) or kind is errors.InputError:
        kind = SsdsError
    error = kind(str(reply["error"]), hint=str(reply.get("hint", "")))
    assert isinstance(error, SsdsError)
    if reply.get("code"):
        error.code = str(reply["code"])
    return error


def call(spec: Mapping[str, Json], stop: Callable[[], bool] | None = None) -> Json:
    """Runs one function in the helper; returns its result or raises its error.

    Raises:
        StepFailed: ``stop`` said True; the function and what it had started are ended.
    """
    process, status = _start(spec, output=subprocess.DEVNULL, errors_to=subprocess.PIPE)
    answers = bytearray()
    noise = bytearray()

    def keep_noise(data: bytes) -> None:
        noise.extend(data)
        del noise[:-2000]

    sinks: dict[Any, Log] = {status: answers.extend, process.stderr: keep_noise}
    ended = Ended()
    try:
        _pump(process, sinks, float("inf"), stop, ended, process.terminate)
        process.wait(_END_S if ended.stopped else None)
    except BaseException:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        kill_group(process)
        raise
    finally:
        os.close(status)
        _close(process.stdin)
        _close(process.stderr)
    if ended.stopped:
        raise errors.StepFailed("stopped by the user")
    replies = [_parse(line) for line in bytes(answers[:_ANSWER_LIMIT]).splitlines()]
    if not replies:
        last = noise.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
        raise EnvironmentProblem(
            f"a helper process of the sandbox ended with {process.returncode}: {last[0][:200]}",
            hint="Most often memory or the disk is exhausted.",
        )
    if "error" in replies[-1]:
        raise rebuilt(replies[-1])
    result: Json = replies[-1].get("result")
    return result
