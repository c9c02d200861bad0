"""What a rebuild's surroundings are changed to, so that an audit sees what leaks into images.

A process of its own enters them before it does anything else: host name, processors, umask, user;
its parent gives it another clock, locale and time zone through the environment. What cannot be
changed here is told, never assumed.

The clock of a step cannot be shifted by a namespace (time_namespaces(7) has no CLOCK_REALTIME):
libfaketime is bound into the step where it is installed. File times come from the kernel and stay.
"""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence

import ssds
from ssds.core.canonical import Json
from ssds.core.errors import EnvironmentProblem, InvalidValue, StepFailed, UnavailableError
from ssds.core.records import dataclass
from ssds.host import kernel, local
from ssds.host.files import explained
from ssds.host.process import run

CLOCK_TARGET = "/run/ssds/clock.so"
DAY_S = 24 * 3600
_CLOCK_PLACES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
)
_PACKAGE = os.path.dirname(os.path.abspath(ssds.__file__))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock that programs of a step see: the real one plus ``offset_s`` seconds.

    Attributes:
        library: host path of libfaketime, for programs of this machine's architecture.
    """

    library: str
    offset_s: int

    @property
    def environment(self) -> dict[str, str]:
        """What the programs need beside the library at CLOCK_TARGET."""
        return {
            "FAKETIME": f"{self.offset_s:+d}",
            "FAKETIME_DISABLE_SHM": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "LD_PRELOAD": CLOCK_TARGET,
            "NO_FAKE_STAT": "1",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What differs from the caller's; an empty text, 0, False and a negative umask leave it.

    Attributes:
        host_name: of the process; needs root.
        user: an ordinary user with subordinate ids; needs root.
        cpus: how many processors it may use.
        umask: its permission mask.
        clock_offset_s: by how much the clock of steps is shifted, in seconds.
        reversed_layers: folders of the layers below a step list their names the other way round.
        locale, time_zone: LC_ALL and TZ of the process.
    """

    host_name: str = ""
    user: str = ""
    cpus: int = 0
    umask: int = -1
    clock_offset_s: int = 0
    reversed_layers: bool = False
    locale: str = ""
    time_zone: str = ""

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form that ``read`` reads."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def read(cls, value: Mapping[str, Json]) -> Surroundings:
        """Returns what ``to_dict`` gave."""
        return cls(**value)  # type: ignore[arg-type]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the parent sets."""
        found = {"LC_ALL": self.locale, "TZ": self.time_zone}
        if self.user:
            found |= {"USER": self.user, "LOGNAME": self.user, "HOME": _account(self.user).pw_dir}
        return {name: value for name, value in found.items() if value}


def clock_library() -> str:
    """Returns the path of libfaketime, or the empty string where it is not installed."""
    return next((found for place in _CLOCK_PLACES for found in sorted(glob.glob(place))), "")


def clock(offset_s: int) -> Clock | None:
    """Returns the shifted clock; None for an offset of 0 or without libfaketime."""
    library = clock_library() if offset_s else ""
    return Clock(library=library, offset_s=offset_s) if library else None


def other_host_name() -> str:
    """Returns a host name that no build can know."""
    return f"audit-{secrets.token_hex(4)}"


def enter(surroundings: Surroundings, folder: str) -> None:
    """Moves this process into the surroundings; called once, before it has threads.

    Args:
        folder: where it works; the user will be able to reach it.

    Raises:
        EnvironmentProblem: E190, the system refuses one of them.
    """
    try:
        if surroundings.host_name:
            kernel.unshare(kernel.NEWUTS)
            kernel.set_host_name(surroundings.host_name)
        if surroundings.cpus:
            own = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, own[: surroundings.cpus])
        if surroundings.user:
            _open_the_way(folder)
        if surroundings.umask >= 0:
            os.umask(surroundings.umask)
        if surroundings.user:
            account = _account(surroundings.user)
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
    except OSError as error:
        raise EnvironmentProblem(
            f"the surroundings of the rebuild cannot be changed: {error}",
            hint="`--keep` names what is to stay as it is.",
            code="E190",
        ) from error


def _open_the_way(folder: str) -> None:
    """Makes this program and ``folder`` reachable for other users, in mounts of its own.

    A folder on the way that others may not enter (a home) is covered by an empty one that holds
    nothing but what is needed, at the same paths.
    """
    needed = {folder, sys.prefix, sys.base_prefix, os.path.dirname(_PACKAGE), *sys.path}
    needed |= {os.path.dirname(os.path.realpath(sys.executable))}
    closed: dict[str, list[str]] = {}
    for path in sorted(os.path.realpath(p) for p in needed if p and os.path.isdir(p)):
        barrier = _barrier(path)
        inside = closed.setdefault(barrier, []) if barrier else []
        if not any(path.startswith(f"{known}/") or path == known for known in inside):
            inside.append(path)
    if not closed:
        return
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    for barrier, paths in closed.items():
        handles = [(path, kernel.clone_mount(path)) for path in paths]
        kernel.mount("none", barrier, "tmpfs", 0, "mode=755")
        for path, handle in handles:
            local.make_folder(path)
            kernel.attach_mount(handle, path)


def _barrier(path: str) -> str:
    """Returns the topmost folder on the way to ``path`` that others may not enter."""
    place = ""
    for part in path.split("/")[1:-1]:
        place += f"/{part}"
        if not os.stat(place).st_mode & 0o001:
            return place
    return ""


def _account(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise InvalidValue(f"there is no user {name!r} here", hint="`getent passwd`") from error


def check_user(name: str) -> None:
    """Checks that this process may rebuild as another user, and that he exists.

    Raises:
        InvalidValue, UnavailableError: E191, why not.
    """
    _account(name)
    if os.geteuid() != 0:
        raise UnavailableError(
            "only root can rebuild as another user",
            hint="Leave --user out; an audit by that user is an audit of its own.",
            code="E191",
        )


def rebuild_in(
    surroundings: Surroundings,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: str,
    log: Callable[[bytes], None],
) -> None:
    """Runs ``ssds ARGUMENTS`` as a process of its own; it enters the surroundings itself.

    Args:
        environment: variables beside the caller's.
        folder: where it works.
        log: gets what it prints.

    Raises:
        StepFailed: E192, it ended badly; what it said went to ``log``.
    """
    ended = run(
        [sys.executable, "-P", "-m", "ssds", *arguments],
        env={**os.environ, **environment, **surroundings.environment},
        cwd=folder,
        log=log,
        capture=False,
    )
    if ended.returncode != 0:
        raise StepFailed(
            f"the rebuild ended with exit code {ended.returncode}",
            hint="What it said stands above.",
            code="E192",
        )


def give_to(user: str, folder: str) -> None:
    """Makes a user the owner of a folder and of all in it; an empty name changes nothing."""
    if not user:
        return
    account = _account(user)
    with explained(folder):
        for path, folders, files in os.walk(folder):
            os.chown(path, account.pw_uid, account.pw_gid)
            for name in (*folders, *files):
                os.chown(
                    os.path.join(path, name), account.pw_uid, account.pw_gid, follow_symlinks=False
                )
