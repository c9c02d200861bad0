"""What a working sandbox rests on, as one text; while it is the same, no new trial is needed.

The trial (``ssds.host.probe``) starts several processes; these looks start none. They cover what
turns a sandbox on or off while a machine runs: another boot, user, container or confinement, kernel
settings, limits, subordinate ids and their tools, the folder and its file system. Only a trial that
went well is worth remembering, and not beyond its day; what no look can tell (memory or a disk that
is full just now) is as unsure after a trial as it is before one.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssds.host.probe import Probe

_NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_FILES = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
    "/proc/self/limits",
    "/proc/self/attr/current",
    "/proc/filesystems",
    *(f"/proc/sys/user/max_{name}_namespaces" for name in _NAMESPACES),
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_unconfined",
    "/sys/kernel/security/apparmor/policy/revision",
    "/sys/fs/selinux/enforce",
)
"""Proc(5), namespaces(7), user_namespaces(7), and the documents of the security modules."""

_STATUS = ("Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp")
_IDS = ("/etc/passwd", "/etc/subuid", "/etc/subgid")
_TOOLS = ("newuidmap", "newgidmap")
_READ_BYTES = 1 << 16
_DAY_S = 86_400


class Trial:
    """Whether steps can run in a folder: tried once, or known from before.

    Attributes:
        known: the premises of a trial that went well; empty where there was none.
    """

    def __init__(self) -> None:
        self.known = ""
        self._probe: Probe | None = None
        self._well = False

    def probe(self, folder: str, wanted: str) -> Probe:
        """Returns what the trial gave; it is made once."""
        if self._probe is None:
            from ssds.host.probe import probe

            before = premises(folder, wanted)
            self._probe = probe(folder, wanted=wanted)
            self.known = before if self._probe.available else ""
        return self._probe

    def refusal(self, folder: str, wanted: str) -> str:
        """Returns the empty string where steps can run, else why not."""
        if self._probe is None and not self._well and self.known:
            self._well = premises(folder, wanted) == self.known
        if self._well:
            return ""
        found = self.probe(folder, wanted)
        return "" if found.available else found.reason


def premises(folder: str, wanted: str) -> str:
    """Returns what a sandbox in ``folder`` rests on here; empty where this machine does not tell.

    Args:
        folder: where it works; it is there.
        wanted: the mode that the settings ask for.
    """
    import hashlib

    found = [wanted, folder, sys.executable, sys.version, str(time.time() // _DAY_S)]
    texts = [_read(path) for path in _FILES]
    status = _read("/proc/self/status")
    if not texts[0] or not status:
        return ""
    found += texts
    found += [line for line in status.splitlines() if line.startswith(_STATUS)]
    try:
        found += [os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES]
        found += [_place(path) for path in ("/", "/proc", folder, sys.executable)]
        found.append(str(os.access(folder, os.W_OK | os.X_OK)))
    except OSError:
        return ""
    if os.geteuid():
        searched = os.environ.get("PATH", "").split(":")
        found += [_file(path) for path in _IDS]
        for folder_name in (*searched, "/usr/bin", "/usr/sbin"):
            found += [_file(os.path.join(folder_name, tool)) for tool in _TOOLS]
    return hashlib.sha256("\0".join(found).encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: str) -> str:
    """Returns what a small file says; empty where there is none or it may not be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(handle, _READ_BYTES).decode("utf-8", "surrogateescape")
    except OSError as error:
        return f"error {error.errno}"
    finally:
        os.close(handle)


def _place(path: str) -> str:
    """Returns which file or folder this is, whose, and how its file system is mounted."""
    status, system = os.stat(path), os.statvfs(path)
    parts = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    return f"{parts} {system.f_flag}"


def _file(path: str) -> str:
    """Returns how a file looks, so that another one or another content looks otherwise."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "-"
    parts = (status.st_ino, status.st_mode, status.st_uid, status.st_size)
    return f"{parts} {status.st_mtime_ns} {status.st_ctime_ns}"
