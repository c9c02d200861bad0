"""The job's init: builds the root file system of a step, drops privileges, runs it.

Standard library only. Everything is imported before the root is changed. Mounts on places of the
image are made *after* pivot_root, so that a hostile link in the image can only lead inside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import warnings
from typing import Any, NoReturn

from ssds.host import inside_probe, kernel
from ssds.host.cgroups import Group
from ssds.host.inside import Fault, answer, answer_fault

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
TMPFS = (("/run", 0o755), ("/tmp", 0o1777), ("/var/tmp", 0o1777))  # noqa: S108 - places of the image
_SHM = "/dev/shm"  # noqa: S108
_SCRATCH_SHARE = 2
"""What a step writes to all of these together is at most a half of the memory that it may use."""
_VOLATILE = ("/run/", "/tmp/", "/var/tmp/", "/dev/shm/", "/etc/resolv.conf")  # noqa: S108
READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
HIDDEN_PROC = ("acpi", "kcore", "keys", "kmsg", "latency_stats", "sched_debug", "timer_list")
PRELOADED = (warnings,)  # what os.execvpe would import later, from the image
_DATABASE_LIMIT = 4 << 20

Spec = dict[str, Any]


def init_main(spec: Spec, status: int, alive: int, group: Group) -> NoReturn:
    """Is PID 1: makes the root, starts the step, reaps, and answers with the exit code."""
    try:
        kernel.die_with_parent()
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)  # the helper died before we asked to die with it
        group.enter()
        user = _prepare(spec)
        step = os.fork()
        if step == 0:
            _become_step(spec, status, user)
        if "console" in spec:
            os.close(spec["console"])
        code = _reap(step)
        answer(status, {"exit": code})
        os._exit(0)
    except Exception as error:
        answer_fault(status, error, "the sandbox could not be made")
    finally:
        os._exit(1)


def _reap(step: int) -> int:
    """Waits for the step and every orphan; returns the step's exit code (128+n for signal n)."""
    while True:
        pid, state = os.wait()
        if pid == step:
            code = os.waitstatus_to_exitcode(state)
            return code if code >= 0 else 128 - code


def _prepare(spec: Spec) -> tuple[int, int, list[int]]:
    """Makes the namespaces and the root; returns (uid, gid, groups) of the step."""
    flags = kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC | kernel.NEWCGROUP
    kernel.unshare(flags | (0 if spec["network"] else kernel.NEWNET))
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.set_host_name("localhost")
    if not spec["network"]:
        _loopback_up()
    devices = {name: _clone(f"/dev/{name}", read_only=False, devices=True) for name in DEVICES}
    binds = [(b, _clone(b["source"], read_only=b["read_only"])) for b in spec["binds"]]
    _mount_overlay(spec)
    sys.meta_path.clear()  # from here on an import would run code of the image
    sys.path.clear()
    kernel.pivot_root_here()
    _mount_places(spec)
    _mount_proc(nested=spec["mode"] == "trusted")
    kernel.unmount(".")
    os.chdir("/")
    _fill_dev(devices)
    for bind, handle in binds:
        _attach(bind, handle, keep_clean=spec["keeps_upper"])
    user = _find_user(spec["user"])
    for descriptor in () if spec["own_stdio"] else (1, 2):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, user[0], user[1])  # so that /dev/stdout can be opened
    kernel.filter_calls()
    kernel.drop_capabilities()
    kernel.hide_process()
    return user


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS


def _clone(path: str, *, read_only: bool, devices: bool = False) -> int:
    try:
        handle = kernel.clone_mount(path)
        kernel.restrict_mount(handle, read_only=read_only, devices=devices)
    except OSError as error:
        raise Fault(
            f"cannot bind {path}: {os.strerror(error.errno or 0)}",
            "The path must exist and be readable; the kernel must be 5.12 or newer.",
        ) from error
    return handle


def _mount_overlay(spec: Spec) -> None:
    """Mounts the layers; link names keep the option text short and free of ``:`` and ``,``."""
    os.chdir(spec["scratch"])
    lowers = []
    for number, folder in enumerate(reversed(spec["lowers"])):
        os.symlink(folder, f"l{number}")
        lowers.append(f"l{number}")
    os.symlink(spec["upper"], "u")
    options = f"lowerdir={':'.join(lowers)},upperdir=u,workdir=work,userxattr"
    try:
        kernel.mount("overlay", "root", "overlay", kernel.MS_NODEV, options)
    except OSError as error:
        raise Fault(
            f"cannot mount the layers: {os.strerror(error.errno or 0)}",
            "The store must be on a local disk (ext4, xfs or btrfs), not on overlayfs, NFS or "
            "FUSE, and the kernel must be 5.11 or newer. At most 400 layers fit.",
        ) from error
    os.chdir("root")


def _place(path: str, mode: int) -> None:
    """Makes sure that ``path`` is a folder of the image itself; the drop list hides it again."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        os.mkdir(path, mode)
        return
    raise Fault(f"in the image, {path} is not a folder", "Make it a folder; ssds mounts there.")


def _mount_places(spec: Spec) -> None:
    for path in ("/proc", "/dev"):
        _place(path, 0o755)
    there = [(p, mode) for p, mode in TMPFS if os.path.isdir(os.path.dirname(p))]  # some lack /var
    for path, mode in there:
        _place(path, mode)
    scratch = _one_scratch([*there, (_SHM, 0o1777)], spec["memory_limit_bytes"])
    for path, _ in there:
        kernel.attach_mount(scratch[path], path)
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=0755,size=1m")
    os.mkdir("/dev/pts")
    os.mkdir(_SHM)
    pts = "newinstance,ptmxmode=0666,mode=0620"
    kernel.mount("devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, pts)
    kernel.attach_mount(scratch[_SHM], _SHM)


def _one_scratch(places: list[tuple[str, int]], memory_limit_bytes: int) -> dict[str, int]:
    """Returns a detached mount for each place, all of one tmpfs, so that one size holds for all."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = min(memory, memory_limit_bytes or memory) // _SCRATCH_SHARE
    at = places[0][0]
    kernel.mount("tmpfs", at, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={size}")
    handles = {}
    for number, (path, mode) in enumerate(places):
        part = f"{at}/{number}"
        os.mkdir(part)
        os.chmod(part, mode)
        handles[path] = kernel.clone_mount(part)
    kernel.unmount(at)
    return handles


def _mount_proc(*, nested: bool) -> None:
    """Mounts /proc; must run while the host's is still attached (mount_namespaces(7))."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    try:
        kernel.mount("proc", "/proc", "proc", flags)
    except OSError as error:
        raise Fault(
            f"the kernel refuses a new /proc: {os.strerror(error.errno or 0)}",
            "Inside a container this needs an unmasked /proc (podman: --security-opt unmask=ALL).",
        ) from error
    if not nested:  # in its own user namespace this limit is the job's alone
        handle = os.open("/proc/sys/user/max_user_namespaces", os.O_WRONLY)
        os.write(handle, b"0")
        os.close(handle)
    for name in READ_ONLY_PROC:
        path = f"/proc/{name}"
        if os.path.exists(path):
            kernel.attach_mount(_clone(path, read_only=True), path)
    for name in HIDDEN_PROC:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            kernel.mount("tmpfs", path, "tmpfs", flags | kernel.MS_RDONLY, "mode=0555")
        elif os.path.exists(path):
            kernel.attach_mount(_clone("/proc/version", read_only=True), path)


def _fill_dev(devices: dict[str, int]) -> None:
    for name, handle in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        kernel.attach_mount(handle, f"/dev/{name}")
    links = {"fd": "/proc/self/fd", "ptmx": "pts/ptmx"}
    links |= {n: f"/proc/self/fd/{i}" for i, n in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        os.symlink(target, f"/dev/{name}")


def _attach(bind: dict[str, Any], handle: int, *, keep_clean: bool) -> None:
    """Puts a bind at its target; makes the target only where that leaves nothing in a layer."""
    target = bind["target"]
    folder = stat.S_ISDIR(os.fstat(handle).st_mode)
    if not os.path.exists(target):
        real = os.path.realpath(target)
        if keep_clean and not real.startswith(_VOLATILE):
            raise Fault(
                f"the bind target {target} does not exist in the image",
                "Bind below /run, or make the folder in an earlier step.",
            )
        os.makedirs(real if folder else os.path.dirname(real), exist_ok=True)
        if not folder:
            os.close(os.open(real, os.O_WRONLY | os.O_CREAT, 0o644))
    kernel.attach_mount(handle, target)


def _entries(path: str) -> list[list[str]]:
    """Returns the colon-separated lines of a database of the image; missing gives none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    with os.fdopen(handle, encoding="utf-8", errors="surrogateescape") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return []
        return [line.split(":") for line in file.read(_DATABASE_LIMIT).splitlines()]


def _find_user(text: str) -> tuple[int, int, list[int]]:
    """Returns (uid, gid, supplementary groups) for ``""``, ``name``, ``uid`` or ``uid:gid``."""
    if text in {"", "root", "0", "0:0"}:
        return 0, 0, [0]
    name, _, group = text.partition(":")
    people = [e for e in _entries("/etc/passwd") if len(e) >= 4]
    groups = [e for e in _entries("/etc/group") if len(e) >= 4]
    person = next((e for e in people if name in (e[0], e[2])), None)
    try:
        uid = int(person[2]) if person else int(name)
        gid = int(person[3]) if person else 0
        if group:
            known = next((e for e in groups if group in (e[0], e[2])), None)
            gid = int(known[2]) if known else int(group)
        more = [int(e[2]) for e in groups if person and person[0] in e[3].split(",")]
    except ValueError:
        raise Fault(
            f"the image has no user {text!r}",
            "Make it in an earlier step, for instance with useradd, or name its number.",
            "StepFailed",
        ) from None
    if not all(0 <= i < 65535 for i in (uid, gid, *more)):
        raise Fault(f"the ids of user {text!r} are not between 0 and 65534", "", "StepFailed")
    return uid, gid, sorted({gid, *more})


def _set_limits(spec: Spec) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = 1024 if hard == resource.RLIM_INFINITY else min(1024, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if spec["process_limit"] and spec["mode"] != "trusted":
        limit = spec["process_limit"]
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
    if spec["memory_limit_bytes"]:
        limit = spec["memory_limit_bytes"]
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if spec["disk_limit_bytes"]:
        limit = spec["disk_limit_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _take_input(spec: Spec, uid: int, gid: int) -> None:
    """Gives the step its input: nothing, the caller's, or a terminal of the sandbox."""
    if "console" in spec:
        master, own = os.openpty()
        os.fchown(own, uid, gid)
        with socket.socket(fileno=spec["console"]) as console:
            socket.send_fds(console, [b"\0"], [master])
        os.close(master)
        os.login_tty(own)
    elif "stdin" in spec:
        os.dup2(spec["stdin"], 0)
    else:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def _become_step(spec: Spec, status: int, user: tuple[int, int, list[int]]) -> NoReturn:
    """Turns this process into the step's program; never returns."""
    code = 126
    try:
        os.setsid()
        _set_limits(spec)
        uid, gid, groups = user
        _take_input(spec, uid, gid)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if uid != 0:
            kernel.no_new_privileges()
        os.umask(0o022)
        if spec["probe"]:
            answer(status, {"facts": inside_probe.measure(spec["process_limit"])})
            os._exit(0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        environment = dict(spec["environment"])
        try:
            os.chdir(spec["working_folder"])
        except OSError as error:
            raise Fault(
                f"cannot enter the working folder {spec['working_folder']}: "
                f"{os.strerror(error.errno or 0)}",
                "A `workdir` step makes it.",
                "StepFailed",
            ) from error
        os.closerange(3, status)
        os.closerange(status + 1, 4096)
        try:
            os.execvpe(spec["argv"][0], spec["argv"], environment)  # noqa: S606
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError | NotADirectoryError) else 126
            reason = os.strerror(error.errno or 0)
            os.write(2, f"{spec['argv'][0]}: cannot be executed: {reason}\n".encode())
    except Exception as error:
        answer_fault(status, error, "the step could not be started")
    finally:
        os._exit(code)
