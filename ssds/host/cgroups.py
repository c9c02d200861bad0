"""Limits on all processes of a job together, by control groups where this process may make one.

Standard library only: the sandbox's helper imports it. Both layouts are known: version 2, and
version 1 with one tree per controller (cgroups(7)). Nothing is assumed: a limit counts as set
only when the kernel took it.
"""

from __future__ import annotations

import contextlib
import os
import secrets

_PREFIX = "ssds-job-"


class Group:
    """One job's control groups.

    Attributes:
        folders: what was made; one for version 2, one per controller for version 1.
        enforced: of ``memory`` and ``processes``, what the kernel took.
    """

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.enforced: set[str] = set()
        self._gates: list[int] = []

    def set_limits(self, *, process_limit: int, memory_limit_bytes: int) -> None:
        """Makes the groups for the limits that are not 0; what fails is left unenforced."""
        wanted = {"processes": process_limit, "memory": memory_limit_bytes}
        for name, value in wanted.items():
            controller = "pids" if name == "processes" else "memory"
            if value > 0 and self._limit(controller, value):
                self.enforced.add(name)
        for folder in self.folders:
            with contextlib.suppress(OSError):
                gate = os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                self._gates.append(gate)
        if len(self._gates) != len(self.folders):
            self.enforced.clear()

    def enter(self) -> None:
        """Moves the calling process in; children follow. Raises OSError where it cannot."""
        for gate in self._gates:
            os.write(gate, b"0")

    def remove(self) -> None:
        """Removes the groups; their processes must have ended."""
        for gate in self._gates:
            os.close(gate)
        self._gates = []
        for folder in reversed(self.folders):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _limit(self, controller: str, value: int) -> bool:
        for parent, version in _parents(controller):
            folder = self._folder(parent)
            if not folder:
                continue
            try:
                if controller == "pids":
                    _write(f"{folder}/pids.max", value)
                elif version == 2:
                    _write(f"{folder}/memory.max", value)
                    with contextlib.suppress(OSError):
                        _write(f"{folder}/memory.swap.max", 0)
                else:
                    _write(f"{folder}/memory.limit_in_bytes", value)
                    with contextlib.suppress(OSError):
                        _write(f"{folder}/memory.memsw.limit_in_bytes", value)
            except OSError:
                continue
            return True
        return False

    def _folder(self, parent: str) -> str:
        """Returns this job's group below ``parent``, made when missing; empty where refused."""
        for known in self.folders:
            if os.path.dirname(known) == parent:
                return known
        folder = os.path.join(parent, f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
        _sweep(parent)
        try:
            os.mkdir(folder)
        except OSError:
            return ""
        self.folders.append(folder)
        return folder


def _sweep(parent: str) -> None:
    """Removes groups that killed helpers left; a group in use refuses rmdir."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(parent):
            pid = entry.name.removeprefix(_PREFIX).partition("-")[0]
            if entry.name.startswith(_PREFIX) and not os.path.exists(f"/proc/{pid}"):
                with contextlib.suppress(OSError):
                    os.rmdir(entry.path)


def _write(path: str, value: int) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _parents(controller: str) -> list[tuple[str, int]]:
    """Returns (folder, version) below which a group with ``controller`` could be made."""
    own: dict[str, str] = {}
    for line in _read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    found: list[tuple[str, int]] = []
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        root, place = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup" and controller in options.split(","):
            found.append((_below(place, root, own.get(controller, "/")), 1))
        if kind == "cgroup2":
            folder = _below(place, root, own.get("", "/"))
            while folder.startswith(place):
                if controller in _read(f"{folder}/cgroup.subtree_control").split():
                    found.append((folder, 2))
                folder = os.path.dirname(folder)
    return found


def _below(place: str, root: str, path: str) -> str:
    """Returns the folder of cgroup ``path`` where the mount at ``place`` shows ``root``."""
    relative = os.path.relpath(path, root) if root != "/" else path.lstrip("/")
    return place if relative in {"", "."} or relative.startswith("..") else f"{place}/{relative}"
