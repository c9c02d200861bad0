"""System calls that Python 3.11 has no function for: namespaces, mounts, capabilities, filters.

Standard library only: the helper inside the sandbox imports it before it leaves the host's file
system. Sources: the Linux manual pages named at each function; ``linux/capability.h``,
``linux/seccomp.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, 0o2000000
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4

# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT
# AUDIT_WRITE SETFCAP: what dpkg and maintainer scripts use. No MKNOD: no mode may make devices.
KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31)

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    """Moves this process into new namespaces (unshare(2))."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mounts a file system (mount(2))."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(kind) if kind else None,
        ctypes.c_ulong(flags),
        os.fsencode(options) if options else None,
    )
    _checked(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Detaches what is mounted at ``target`` (umount2(2) with MNT_DETACH)."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root_here() -> None:
    """Makes the working folder the root and detaches nothing: the old root lies over it.

    The caller mounts what needs the old root, then calls ``unmount(".")`` (pivot_root(2), NOTES).
    """
    number = _SYS_PIVOT_ROOT[platform.machine()]
    _checked(_libc.syscall(number, b".", b"."), "pivot_root")


def clone_mount(path: str) -> int:
    """Returns a handle of a detached copy of the tree at ``path`` (open_tree(2))."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    result = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    return _checked(result, f"open_tree {path}")


def restrict_mount(handle: int, *, read_only: bool, devices: bool) -> None:
    """Makes a detached tree nosuid, and read-only and nodev if asked (mount_setattr(2))."""
    attributes = _MOUNT_ATTR_NOSUID
    attributes |= _MOUNT_ATTR_RDONLY if read_only else 0
    attributes |= 0 if devices else _MOUNT_ATTR_NODEV
    data = struct.pack("=QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    result = _libc.syscall(_SYS_MOUNT_SETATTR, handle, b"", flags, data, len(data))
    _checked(result, "mount_setattr")


def attach_mount(handle: int, target: str) -> None:
    """Puts a detached tree at ``target`` (move_mount(2)) and closes the handle."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH
    result = _libc.syscall(_SYS_MOVE_MOUNT, handle, b"", _AT_FDCWD, os.fsencode(target), flags)
    _checked(result, f"mount on {target}")
    os.close(handle)


def set_host_name(name: str) -> None:
    """Sets the host name of this UTS namespace (sethostname(2))."""
    _checked(_libc.sethostname(name.encode(), len(name)), "sethostname")


def _prctl(option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(a) for a in (*arguments, *([0] * (4 - len(arguments))))]
    return int(_libc.prctl(option, *padded))


def die_with_parent() -> None:
    """Asks for SIGKILL when the parent ends; cleared by a change of ids (prctl(2))."""
    _checked(_prctl(_PR_SET_PDEATHSIG, 9), "PR_SET_PDEATHSIG")


def hide_process() -> None:
    """Makes this process not dumpable: no one may trace it or open its ``/proc`` folder."""
    _checked(_prctl(_PR_SET_DUMPABLE, 0), "PR_SET_DUMPABLE")


def no_new_privileges() -> None:
    """Forbids to gain privileges by executing a file (PR_SET_NO_NEW_PRIVS)."""
    _checked(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "PR_SET_NO_NEW_PRIVS")


def drop_capabilities() -> None:
    """Leaves only KEPT_CAPABILITIES, also for whatever root executes (capabilities(7))."""
    kept = 0
    for capability in range(64):
        known = _prctl(_PR_CAPBSET_READ, capability)
        if known < 0:
            break
        if capability in KEPT_CAPABILITIES:
            kept |= (1 << capability) if known else 0
        elif known:
            _checked(_prctl(_PR_CAPBSET_DROP, capability), "PR_CAPBSET_DROP")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = struct.pack("=IIIIII", low, low, 0, high, high, 0)
    _checked(_libc.syscall(_SYS_CAPSET[platform.machine()], header, data), "capset")


# name: (x86_64, aarch64, i386); what is not namespaced, or goes around the filter itself
_REFUSED = {
    "add_key": (248, 217, 286),
    "request_key": (249, 218, 287),
    "keyctl": (250, 219, 288),
    "perf_event_open": (298, 241, 336),
    "bpf": (321, 280, 357),
    "syslog": (103, 116, 103),
    "userfaultfd": (323, 282, 374),
    "io_uring_setup": (425, 425, 425),
    "socketcall": (-1, -1, 102),
}
_SOCKET = {"x86_64": 41, "aarch64": 198, "i386": 359}
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink: those that a network namespace confines
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def _filter_for(machine: str) -> list[tuple[int, int, int, int]]:
    """Returns BPF instructions for one architecture; the call number is at offset 0."""
    column = ("x86_64", "aarch64", "i386").index(machine)
    load, equal, back = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0)]
    if machine == "x86_64":  # x32 numbers: a second way to every call
        code += [(0x35, 0, 1, 0x40000000), (back, 0, 0, _ERROR | errno.ENOSYS)]
    for numbers in _REFUSED.values():
        if numbers[column] >= 0:
            code += [(equal, 0, 1, numbers[column]), (back, 0, 0, _ERROR | errno.ENOSYS)]
    code += [(equal, 1, 0, _SOCKET[machine]), (back, 0, 0, _ALLOW), (load, 0, 0, 16)]
    for family in _FAMILIES:
        code += [(equal, 0, 1, family), (back, 0, 0, _ALLOW)]
    code.append((back, 0, 0, _ERROR | errno.EAFNOSUPPORT))
    return code


def filter_calls() -> None:
    """Refuses the calls that namespaces do not confine: keyrings, io_uring, vsock, bpf.

    A refused call fails with ENOSYS (EAFNOSUPPORT for sockets) and ends nothing. Processes of an
    architecture without a table get ENOSYS for everything. Needs CAP_SYS_ADMIN in the namespace.
    """
    machine = platform.machine()
    code: list[tuple[int, int, int, int]] = [(0x20, 0, 0, 4)]
    for name in (machine, "i386") if machine == "x86_64" else (machine,):
        body = _filter_for(name)
        code.append((0x15, 0, len(body), _AUDIT[name]))
        code += body
        # The accumulator still holds the architecture where the jump skipped the body.
    code.append((0x06, 0, 0, _ERROR | errno.ENOSYS))
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    held = ctypes.create_string_buffer(program, len(program))
    result = _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(held))
    _checked(result, "PR_SET_SECCOMP")
