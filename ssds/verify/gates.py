"""The gate's word in a lock: whether it rests on waivers or debts that ended since."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import SsdsError
from ssds.lock.model import Lock
from ssds.oci.document import Place, load_document

REPORT_LIMIT_BYTES = 64 << 20
_ITEMS_LIMIT = 100_000

Read = Callable[[Digest], bytes | None]


def ended(lock: Lock, read: Read, today: dt.date) -> tuple[list[str], list[str]]:
    """Returns what speaks against the gates that a lock names, and what cannot be told from here.

    The lock names each gate's report by digest, so who signed the lock vouches for the report.

    Args:
        read: digest → bytes, or None where they are not here.
    """
    wrong: list[str] = []
    unproven: list[str] = []
    for name, variant in sorted(lock.variants.items()):
        for platform, section in sorted(variant.platforms.items()):
            gate = section.latest.get("gate")
            digest = gate.outputs.get("report") if gate and gate.verdict == "pass" else None
            if digest is None:
                continue
            where = f"{lock.release_name(name)} on {platform}"
            data = read(digest)
            if data is None:
                unproven.append(f"{where}: that no waiver ended: the gate's report is not here")
            elif sha256_of(data) != digest:
                wrong.append(f"{where}: the gate's report is not what the lock names")
            else:
                wrong += [f"{where}: {text}" for text in _past(data, today)]
    return wrong, unproven


def _past(data: bytes, today: dt.date) -> list[str]:
    try:
        root = load_document(data, "the gate's report", limit_bytes=REPORT_LIMIT_BYTES)
        found = [
            (item, item.child("waiver").text("until"), "waiver")
            for item in _items(root, "waived")
            if item.has("waiver")
        ]
        found += [(item, item.text("until"), "debt") for item in _items(root, "owed")]
        return [
            f"the gate passed with a {what} for {item.text('id', '')}, which ended on {day}"
            for item, day, what in found
            if dt.date.fromisoformat(day) < today
        ]
    except (SsdsError, ValueError) as error:
        return [f"the gate's report cannot be read: {error}"]


def _items(root: Place, key: str) -> list[Place]:
    return list(root.items(key, limit=_ITEMS_LIMIT)) if root.has(key) else []
