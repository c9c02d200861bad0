"""Signed lock files: the bytes, what they are about, and whether they are not older ones."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence

from ssds.core.diagnostics import Collector
from ssds.core.digest import sha256_of
from ssds.core.pins import SharedPins
from ssds.core.records import replace
from ssds.lock.data import DataLock, parse_data_lock_bytes
from ssds.lock.model import Lock
from ssds.lock.read import CATALOG_LOCK, DATA_FOLDER, parse_catalog_lock_bytes, parse_lock_bytes
from ssds.trust.files import verify_file
from ssds.trust.keys import PublicKey
from ssds.trust.report import Report
from ssds.verify.gates import Read, ended
from ssds.verify.memory import Memory, Seen, pin_slot, slot

NO_MEMORY = "that it is not an older one: of data sets' locks nothing is remembered"


def verify_lock(
    path: str,
    keys: Sequence[PublicKey],
    bundle: str = "",
    memory: Memory | None = None,
    read: Read = lambda _: None,
    today: dt.date | None = None,
) -> tuple[Report, dict[str, Seen]]:
    """Returns what a lock's signature proves, and the revisions that are proven by it.

    Args:
        memory: what was verified before; None refuses no older lock.
        read: digest → bytes of a report, or None where it is not here.
        today: for waivers that end; the day in UTC by default.
    """
    report, data = verify_file(path, keys, bundle)
    if not report.good:
        return report, {}
    problems = Collector()
    lock: Lock | None = None
    proven = list(report.proven)
    if os.path.basename(path) == CATALOG_LOCK:
        shared = parse_catalog_lock_bytes(data, path, problems)
        if shared is not None:
            return _verify_shared(shared.pins, report, memory)
    elif os.path.basename(os.path.dirname(os.path.abspath(path))) == DATA_FOLDER:
        proven += _set_words(parse_data_lock_bytes(data, path, problems))
    else:
        lock = parse_lock_bytes(data, path, problems)
    wrong = [f"{d.summary}: {d.address or path} ({d.code})" for d in problems]
    if lock is None:
        unproven = (*report.unproven, NO_MEMORY)
        return (
            replace(report, proven=tuple(proven), wrong=tuple(wrong), unproven=unproven),
            {},
        )
    (key,) = report.signers
    releases = _revisions(lock)
    seen = {slot(key, release): found for release, found in releases.items()}
    if memory is not None:
        reasons = [memory.why_not(key, release, found) for release, found in releases.items()]
        wrong += [why for why in reasons if why]
        wrong += memory.lacking(key, f"{lock.name}@{lock.version}", releases)
    past, unknown = ended(lock, read, today or dt.datetime.now(dt.UTC).date())
    wrong += past
    proven += _words(lock)
    unproven = (*report.unproven, *_missing(lock), *unknown)
    return (
        replace(report, proven=tuple(proven), wrong=tuple(wrong), unproven=unproven),
        {} if wrong else seen,
    )


def _verify_shared(
    pins: SharedPins, report: Report, memory: Memory | None
) -> tuple[Report, dict[str, Seen]]:
    """Returns what the catalog's lock proves; each current pin is as new as its date."""
    (key,) = report.signers
    dates = {name: found for name in pins.current if (found := _dated(pins, name))}
    wrong = []
    if memory is not None:
        reasons = [memory.why_older(key, name, found.revision) for name, found in dates.items()]
        wrong = [why for why in reasons if why]
        wrong += memory.lacking_pins(key, dates)
    words = [f"the current pin {name} is {pins.current[name]}" for name in sorted(dates)]
    report = replace(report, proven=(*report.proven, *words), wrong=tuple(wrong))
    seen = {} if wrong else {pin_slot(key, name): found for name, found in dates.items()}
    return report, seen


def _dated(pins: SharedPins, name: str) -> Seen | None:
    """Returns the day of a current pin as a number, and its content; None where it has no day."""
    identity = pins.current[name]
    day = identity.rpartition("@")[2].replace("-", "")
    if not (day.isascii() and day.isdecimal() and len(day) == 8):
        return None  # an image: its identity is a digest
    if name.startswith("advisories/"):
        pin = pins.advisories.get(identity)
        return Seen(revision=int(day), index=pin.digest) if pin else None
    return Seen(revision=int(day), index=sha256_of(identity.encode()))


def _revisions(lock: Lock) -> dict[str, Seen]:
    return {
        str(lock.release_name(name)): Seen(revision=variant.revision, index=variant.index.digest)
        for name, variant in lock.variants.items()
        if variant.index is not None and variant.revision
    }


def _set_words(lock: DataLock | None) -> list[str]:
    if lock is None or lock.made is None:
        return []
    return [f"the data set {lock.id} is {lock.made.content.digest} ({lock.made.files} files)"]


def _words(lock: Lock) -> list[str]:
    """Returns what the lock says, now that somebody vouches for it."""
    found = []
    for name, variant in sorted(lock.variants.items()):
        if variant.index is None:
            continue
        platforms = " ".join(map(str, variant.index.platforms))
        found.append(
            f"{lock.release_name(name)} r{variant.revision} is the index {variant.index.digest} "
            f"({platforms})"
        )
        for platform, section in sorted(variant.platforms.items()):
            passed = [k for k, c in section.latest.items() if c.verdict == "pass"]
            if passed:
                found.append(f"{platform}: the lock says that {', '.join(sorted(passed))} passed")
            emulated = section.release and any(c.emulated for c in section.release.actions.values())
            if emulated:
                found.append(f"{platform}: the lock says that it was built by emulation")
    return found


def _missing(lock: Lock) -> list[str]:
    """Returns what the lock itself does not claim."""
    found = []
    for name, variant in sorted(lock.variants.items()):
        for platform, section in sorted(variant.platforms.items()):
            where = f"{lock.release_name(name)} on {platform}"
            if section.release is not None and "test" not in section.latest:
                found.append(f"{where}: tests; the lock names none")
            if section.release is not None and "scan" not in section.latest:
                found.append(f"{where}: a scan; the lock names none")
    return found
