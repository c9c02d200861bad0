"""Seals: signatures that stand in a segment as lines of their own, beside the claims.

A seal is a DSSE envelope. Its payload lists the sha256 of lines (``KEY JSON``, as they stand in the
segment), so it holds for these lines wherever they stand: in a joined segment, in another cache.
It says that its key's owner made these claims: the keys, the outputs and all else of the lines.

Source: DSSE 1.0.2 (``ssds.trust.envelope``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import ActionKey
from ssds.core.errors import SsdsError
from ssds.oci.document import load_document
from ssds.trust.envelope import parse_envelope, sign_envelope
from ssds.trust.keys import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.ssds.cache.claims.v1+json"
"""What is signed with this type means nothing anywhere else, and nothing else means it here."""
SEALS_LIMIT = 10_000
"""So many seals of one cache are looked at: each costs a verification for each key."""
_LINES_LIMIT = 10_000


def line_bytes(key: ActionKey, data: bytes) -> bytes:
    """Returns a line as it stands in a segment."""
    return key.encode() + b" " + data


def line_id(line: bytes) -> str:
    """Returns the sha256 by which a seal names a line."""
    return hashlib.sha256(line).hexdigest()


def seal(lines: Iterable[bytes], signer: Signer) -> bytes:
    """Returns the seal of lines: one signature, however many they are."""
    names: list[Json] = [*sorted({line_id(line) for line in lines})]
    envelope = sign_envelope(canonical_bytes({"lines": names}), signer, PAYLOAD_TYPE)
    return canonical_bytes(envelope.to_dict())


def sealed_by(seals: Collection[bytes], keys: tuple[PublicKey, ...]) -> dict[str, PublicKey | None]:
    """Returns line's id → the first of ``keys`` that vouches for it, None where only others do.

    What is no seal, or not written as ssds writes it, vouches for nothing.
    """
    found: dict[str, PublicKey | None] = {}
    for data in sorted(seals)[:SEALS_LIMIT]:
        try:
            names, key = _read(data, keys)
        except SsdsError:
            continue
        for name in names:
            known = found.setdefault(name, key)
            if key is not None and (known is None or keys.index(key) < keys.index(known)):
                found[name] = key
    return found


def _read(data: bytes, keys: tuple[PublicKey, ...]) -> tuple[tuple[str, ...], PublicKey | None]:
    envelope = parse_envelope(load_document(data, "a signature"))
    if (
        envelope.payload_type != PAYLOAD_TYPE
        or len(envelope.signatures) != 1
        or canonical_bytes(envelope.to_dict()) != data
    ):
        return (), None
    names = load_document(envelope.payload, "a signature").texts("lines", limit=_LINES_LIMIT)
    return tuple(names), envelope.signer(keys)
