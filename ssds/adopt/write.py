"""Writes what was planned into locks: each re-read, changed and renamed under its guard (C20)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ssds.adopt.plan import Adoptions
from ssds.core.diagnostics import Collector
from ssds.core.errors import Refused
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.lock.model import (
    Adoption,
    Lock,
    PlatformLock,
    VariantLock,
    lock_file_name,
    takes_adoptions,
)
from ssds.lock.read import parse_lock_bytes
from ssds.lock.write import lock_bytes, update_lock


def write_adoptions(planned: Adoptions, folder: str, guard: Callable[[str], str]) -> int:
    """Writes the locks; returns how many changed.

    Args:
        folder: that of the locks.
        guard: gives the guard of a lock file by its name.

    Raises:
        Refused: E218, a lock became one of something built meanwhile.
        InputError: a lock would hold what nothing could read again; it is not written.
    """
    changed = 0
    for (name, version), platforms in sorted(planned.writes.items()):
        file = lock_file_name(name, version)

        def change(lock: Lock, found: Mapping[Platform, Adoption] = platforms) -> Lock:
            return _sound(with_adoptions(lock, found))

        changed += update_lock(
            os.path.join(folder, file), guard=guard(file), name=name, version=version, change=change
        )
    return changed


def with_adoptions(lock: Lock, found: Mapping[Platform, Adoption]) -> Lock:
    """Returns ``lock`` with what was adopted on some platforms; the others stay."""
    old = lock.variants.get("", VariantLock(origin="adopted"))
    if not takes_adoptions(old):
        raise Refused(
            f"{lock.name}@{lock.version} was built here meanwhile",
            hint="Run ssds adopt again.",
            code="E218",
        )
    platforms = dict(old.platforms)
    for platform, adopted in found.items():
        section = platforms.get(platform, PlatformLock())
        platforms[platform] = replace(section, adopted=adopted)
    return replace(lock, variants={**lock.variants, "": replace(old, platforms=platforms)})


def _sound(lock: Lock) -> Lock:
    collector = Collector()
    parse_lock_bytes(lock_bytes(lock), lock_file_name(lock.name, lock.version), collector)
    collector.raise_if_failed()
    return lock
