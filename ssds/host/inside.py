"""The sandbox's helper process: it enters a user namespace, starts the job, watches, cleans up.

Standard library only; ``ssds.host.sandbox`` starts it in a fresh Python (never by fork from the
threaded engine). It reads one JSON line from standard input; when that pipe closes, because the
engine closed it or died, it ends the job. Answers go, one JSON line each, to the status pipe.

Processes: this one (root of the user namespace, in the host's file system) → the job's init (PID
1 of its own namespaces, ``inside_root``) → the step. Each dies with the one above it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import sys
import time
from typing import Any

from ssds.host import kernel
from ssds.host.cgroups import Group
from ssds.host.disk_watch import LOOK_S, DiskWatch
from ssds.host.removal import remove_whole

Spec = dict[str, Any]
IDS = 65536
"""Every sandbox maps exactly the ids 0..65535: the range that an image may use (C17)."""


class Fault(Exception):
    """A failure with the words for people: message and hint."""

    def __init__(self, message: str, hint: str = "", kind: str = "EnvironmentProblem") -> None:
        super().__init__(message)
        self.message, self.hint, self.kind = message, hint, kind


def answer(status: int, value: dict[str, Any]) -> None:
    """Writes one line to the status pipe."""
    with contextlib.suppress(OSError):
        os.write(status, json.dumps(value).encode() + b"\n")


def answer_fault(status: int, error: BaseException, doing: str) -> None:
    """Tells the engine about a failure."""
    if isinstance(error, Fault):
        answer(status, {"error": error.message, "hint": error.hint, "kind": error.kind})
        return
    text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    answer(status, {"error": f"{doing}: {text}", "hint": "", "kind": "EnvironmentProblem"})


def read_spec(handle: int) -> Spec:
    """Reads the one line that says what to do, and leaves the pipe open."""
    data = bytearray()
    while not data.endswith(b"\n"):
        more = os.read(handle, 65536)
        if not more:
            raise SystemExit(0)  # the engine ended before it said anything
        data += more
    spec: Spec = json.loads(data)
    return spec


def enter_user_namespace(spec: Spec, more_flags: int) -> None:
    """Moves this process into a new user namespace as its root, and into ``more_flags``.

    Mode ``identity`` maps 0..65535 to themselves (needs root); ``subuid`` maps 0 to the calling
    user and 1..65535 to its subordinate ids through newuidmap (user_namespaces(7)).
    """
    mode = spec["mode"]
    if mode == "trusted":
        kernel.unshare(more_flags)
        return
    target = os.getpid()
    ready_read, ready_write = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        _mapper(spec, target, ready_read, ready_write)
    os.close(ready_read)
    try:
        kernel.unshare(kernel.NEWUSER | more_flags)
    except OSError as error:
        os.close(ready_write)
        os.waitpid(mapper, 0)
        raise Fault(
            f"the kernel refuses a user namespace: {os.strerror(error.errno or 0)}",
            "See whether sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces or "
            "kernel.apparmor_restrict_unprivileged_userns forbids it.",
        ) from error
    os.write(ready_write, b"1")
    os.close(ready_write)
    _, code = os.waitpid(mapper, 0)
    if code != 0:
        raise Fault(
            "the ids of the sandbox could not be mapped",
            "Check the lines of this user in /etc/subuid and /etc/subgid: 65536 ids each.",
        )
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])


def _mapper(spec: Spec, target: int, ready_read: int, ready_write: int) -> None:
    """Writes the id maps of ``target`` from the outer namespace; never returns."""
    code = 1
    try:
        os.close(ready_write)
        if os.read(ready_read, 1) != b"1":
            os._exit(1)
        if spec["mode"] == "identity":
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{target}/{name}", "w", encoding="ascii") as file:
                    file.write(f"0 0 {IDS}\n")
            code = 0
        else:
            maps = (("newuidmap", spec["uid_map"]), ("newgidmap", spec["gid_map"]))
            code = max(_run([spec[tool], str(target), *map(str, ids)]) for tool, ids in maps)
    except OSError as error:
        os.write(2, f"cannot map ids: {error}\n".encode())
    finally:
        os._exit(code)


def _run(argv: list[str]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os.execv(argv[0], argv)  # noqa: S606
        finally:
            os._exit(127)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def watch(init: int, control: int, disk: DiskWatch | None, status: int) -> None:
    """Waits for the job's init; kills it when the control pipe closes or the disk fills."""
    handle = os.pidfd_open(init)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(int(LOOK_S * 1000) if disk else None)]
        if handle in ready:
            break
        full = disk.look() if disk else ""
        if full:
            answer(status, {"full": full})
            disk = None
        if full or ready:
            with contextlib.suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)
        for descriptor in ready:
            poll.unregister(descriptor)
    os.waitpid(init, 0)
    os.close(handle)


def remove_tree(path: str) -> None:
    """Removes a folder and everything in it, also folders that nobody may read (``work/work``).

    Raises OSError when something stays. Nothing outside of ``path`` is touched. Processes that
    were just killed may write for a moment more: then it is tried again.
    """
    for _ in range(20):
        try:
            remove_whole(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
                raise
            time.sleep(0.1)
        else:
            return
    remove_whole(path)


def run_job(spec: Spec, status: int) -> None:
    """Runs one job in namespaces of its own; its output goes to descriptors 1 and 2."""
    from ssds.host import inside_root

    group = Group()
    group.set_limits(
        process_limit=spec["process_limit"], memory_limit_bytes=spec["memory_limit_bytes"]
    )
    try:
        enter_user_namespace(spec, kernel.NEWPID)
        answer(status, {"enforced": sorted(group.enforced)})
        alive_read, alive_write = os.pipe()
        init = os.fork()
        if init == 0:
            os.close(alive_write)
            inside_root.init_main(spec, status, alive_read, group)
        os.close(alive_read)
        _leave_output()
        watched = spec["watched"]
        disk = DiskWatch(watched, spec["disk_limit_bytes"]) if watched else None
        watch(init, 0, disk, status)
        os.close(alive_write)
    finally:
        group.remove()
        remove_tree(spec["scratch"])


def _leave_output() -> None:
    """Closes this process's hold on the job's output: its end must be the job's end."""
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def run_call(spec: Spec, status: int) -> None:
    """Becomes a fresh Python that runs one function of ssds in the mode's user namespace."""
    if spec["mode"] == "subuid":
        enter_user_namespace(spec, 0)
    os.set_inheritable(status, True)
    kernel.die_with_parent()
    code = (
        "import json, os, sys; sys.path[:] = json.loads(os.environ['SSDS_PATH']); "
        "from ssds.host.inside_call import main; main(int(sys.argv[1]))"
    )
    argument_file = os.memfd_create("arguments")
    os.write(argument_file, json.dumps(spec["call"]).encode())
    os.lseek(argument_file, 0, os.SEEK_SET)
    os.dup2(argument_file, 0)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code, str(status)])  # noqa: S606


def main(status: int) -> None:
    """Entry point; ``status`` is the descriptor of the status pipe."""
    os.set_inheritable(status, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)
    spec = read_spec(0)
    try:
        if spec["what"] == "job":
            run_job(spec, status)
        else:
            run_call(spec, status)
    except Exception as error:
        answer_fault(status, error, "the sandbox could not be made")
        raise SystemExit(1) from None
