"""One image on a disk: a SIF file or an unpacked folder; whose it is and for which machines."""

from __future__ import annotations

import os
import stat

from ssds.adopt.codes import diagnostic
from ssds.adopt.memory import Memory
from ssds.adopt.model import BuildName, Seen
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.errors import SsdsError
from ssds.core.platform import Platform
from ssds.host import local
from ssds.lock.model import AdoptedAbout
from ssds.oci.elf import MACHINE_NAMES, MAGIC

SUFFIXES = (".simg", ".sif", ".img")
_PROGRAMS = ("bin/bash", "bin/sh", "bin/busybox", "usr/bin/bash", "usr/bin/env", "bin/dash")
_HEAD_BYTES = 20


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
    """Returns an image as it stands; None where it cannot be read, and tells why."""
    where = span or Span(path=path)
    try:
        digest = memory.digest(path)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        problems.append(diagnostic("A005", where, reason=f"{error.filename or path}: {reason}"))
        return None
    except SsdsError as error:
        problems.append(diagnostic("A005", where, reason=f"{path}: {error.message}"))
        return None
    platform = platform_of(path) or name.platform
    return Seen(
        id=name,
        platforms={platform: digest},
        place=path,
        span=where,
        more=more,
        commands=commands,
        chosen=chosen,
        about=AdoptedAbout(built=name.built),
    )


def platform_of(path: str) -> Platform | None:
    """Returns what an image's own bytes say: a SIF's head, or a program in a folder."""
    if not os.path.isdir(path):
        from ssds.sif.container import read_container

        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(handle, "rb") as file:
                architecture = read_container(file).architecture
        except (OSError, SsdsError):
            return None
        return Platform(f"linux/{architecture}") if architecture else None
    for program in _PROGRAMS:
        found = local.settled(path, program, "")
        head = local.head(found, _HEAD_BYTES) if found else b""
        if len(head) == _HEAD_BYTES and head.startswith(MAGIC) and head[5] == 1:
            name = MACHINE_NAMES.get(int.from_bytes(head[18:20], "little"), "")
            if name in ("amd64", "arm64"):
                return Platform(f"linux/{name}")
    return None


def inside(root: str, path: str) -> bool:
    """Whether ``path``, with all its links followed, is below ``root``."""
    real = os.path.realpath(root)
    return os.path.realpath(path).startswith(real.rstrip("/") + "/")


def is_image(path: str) -> bool:
    """Whether there is a regular file or a folder, no link."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
