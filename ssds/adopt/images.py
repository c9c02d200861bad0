"""One image on a disk: a SIF file or an unpacked folder; whose it is and for which machines."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable

from ssds.adopt.codes import diagnostic
from ssds.adopt.memory import Memory
from ssds.adopt.model import BuildName, Reading, Seen
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.errors import InvalidValue, SsdsError
from ssds.core.platform import Platform
from ssds.host import local
from ssds.lock.check import storable
from ssds.lock.model import AdoptedAbout
from ssds.oci.elf import MACHINE_NAMES, MACHINES, MAGIC

UNREADABLE = "it cannot be read"
SUFFIXES = (".simg", ".sif", ".img")
_PROGRAMS = ("bin/bash", "bin/sh", "bin/busybox", "usr/bin/bash", "usr/bin/env", "bin/dash")
_ELF_BYTES = 20
_HEAD_BYTES = 2048
_LAUNCH = b"#!/usr/bin/env run-singularity\n"
"""What Singularity 2 put before the file system of an image."""
_SIF = slice(32, 42), b"SIF_MAGIC\0"
_SIF_MACHINE, _SIF_ANY = slice(45, 47), (b"00", b"\0\0")
_SQUASHFS = slice(0, 4), b"hsqs"
_EXT = slice(1080, 1082), b"\x53\xef"


def look_at(
    name: BuildName,
    path: str,
    memory: Memory,
    problems: list[Diagnostic],
    *,
    span: Span | None = None,
    commands: tuple[str, ...] = (),
    chosen: bool = False,
    more: tuple[str, ...] = (),
) -> Seen | None:
    """Returns an image as it stands; None where it is none or cannot be read, and tells why."""
    where = span or Span(path=path)
    if not storable(path):
        problems.append(diagnostic("A003", where, found=path))
        return None
    walked = memory.walked
    try:
        platform = platform_of(path) or name.platform
        digest = memory.digest(path)
    except (OSError, SsdsError) as error:
        problems.append(unreadable(error, path, where))
        return None
    return Seen(
        id=name,
        platforms={platform: digest},
        place=path,
        span=where,
        more=more,
        commands=commands,
        chosen=chosen,
        about=AdoptedAbout(built=name.built),
        remembered=memory.walked == walked,
    )


def gathered(
    looks: Iterable[tuple[str, str, Callable[[], Seen | str]]],
    problems: list[Diagnostic],
    unmanaged: Iterable[tuple[str, str]] = (),
) -> Reading:
    """Returns what a source's places hold; one that cannot be read costs no other.

    Args:
        looks: a place, the file that names it, and what gives its image or why it is not taken.
    """
    seen: list[Seen] = []
    left = list(unmanaged)
    for place, file, look in looks:
        try:
            found = look()
        except (OSError, InvalidValue) as error:
            problems.append(unreadable(error, file))
            found = UNREADABLE
        if isinstance(found, Seen):
            seen.append(found)
        else:
            left.append((place, found))
    return Reading(seen=tuple(seen), unmanaged=tuple(left), problems=tuple(problems))


def unreadable(error: OSError | SsdsError, path: str, span: Span | None = None) -> Diagnostic:
    """Returns the finding (A005) that something of what others deployed cannot be read."""
    if isinstance(error, OSError):
        path = str(error.filename or path)
        reason = os.strerror(error.errno or 0)
    else:
        reason = error.message
    return diagnostic("A005", span or Span(path=path), reason=f"{path}: {reason}")


def platform_of(path: str) -> Platform | None:
    """Returns what an image's own bytes say: a SIF's head, or a program in a folder.

    Raises:
        OSError: it cannot be read.
        InvalidValue: it is no image, or one for a machine that no release is for.
        SsdsError: it is a damaged SIF.
    """
    return _of_folder(path) if os.path.isdir(path) else _of_file(path)


def _of_folder(path: str) -> Platform | None:
    with os.scandir(path) as entries:
        if next(entries, None) is None:
            raise InvalidValue("it is an empty folder")
    for program in _PROGRAMS:
        found = local.settled(path, program, "")
        head = local.head(found, _ELF_BYTES) if found else b""
        if len(head) < _ELF_BYTES or not head.startswith(MAGIC):
            continue
        machine = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
        for name, machines in MACHINES.items():
            if machine in machines and head[5] == 1:
                return Platform(f"linux/{name}")
        other = MACHINE_NAMES.get(machine, f"number {machine}")
        raise InvalidValue(f"{program} in it is for another machine: {other}")
    return None


def _of_file(path: str) -> Platform | None:
    from ssds.sif.container import read_container

    with local.open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
        if head[_SIF[0]] != _SIF[1]:
            inner = head.removeprefix(_LAUNCH)
            if not any(inner[place] == mark for place, mark in (_SQUASHFS, _EXT)):
                raise InvalidValue("it is no SIF file, nor a squashfs or ext image")
            return None
        architecture = read_container(file).architecture
    if not architecture and head[_SIF_MACHINE] not in _SIF_ANY:
        raise InvalidValue(f"it is a SIF for another machine: {head[_SIF_MACHINE]!r}")
    return Platform(f"linux/{architecture}") if architecture else None


def inside(root: str, path: str) -> bool:
    """Whether ``path``, all its links followed, is below ``root`` and does not hold itself."""
    real, own = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
    below = real.startswith(os.path.realpath(root).rstrip("/") + "/")
    return below and not holds(real, own)


def holds(folder: str, path: str) -> bool:
    """Whether ``path`` is ``folder`` or below it; both without links."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def is_image(path: str) -> bool:
    """Whether there is a regular file or a folder, no link.

    Raises:
        OSError: that cannot be known.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
