"""DSSE: a payload, its type, and signatures over both.

Source: DSSE 1.0.2 (secure-systems-lab/dsse), protocol.md and envelope.md.
"""

from __future__ import annotations

import base64
import binascii

from ssds.core.canonical import Json
from ssds.core.errors import IntegrityError
from ssds.core.records import dataclass
from ssds.oci.document import Place
from ssds.trust.keys import PublicKey, Signer

IN_TOTO = "application/vnd.in-toto+json"
SIGNATURES_LIMIT = 20
PAYLOAD_LIMIT_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A signed payload, not yet believed.

    Attributes:
        payload_type: a media type.
        signatures: raw bytes, in order.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]

    def signer(self, keys: tuple[PublicKey, ...]) -> PublicKey | None:
        """Returns the first of ``keys`` that signed it."""
        data = pre_authentication(self.payload_type, self.payload)
        for key in keys:
            if any(key.signed(data, signature) for signature in self.signatures):
                return key
        return None

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"sig": base64.b64encode(signature).decode()} for signature in self.signatures
            ],
        }


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Returns the bytes that are signed (PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, signer: Signer, payload_type: str = IN_TOTO) -> Envelope:
    """Returns the payload with one signature."""
    signature = signer.sign(pre_authentication(payload_type, payload))
    return Envelope(payload_type=payload_type, payload=payload, signatures=(signature,))


def parse_envelope(place: Place) -> Envelope:
    """Reads an envelope; raises IntegrityError (O004, X020) with the path to what is wrong."""
    signatures = place.items("signatures", limit=SIGNATURES_LIMIT)
    if not signatures:
        place.fail("has no signature", code="X020")
    return Envelope(
        payload_type=place.text("payloadType"),
        payload=decoded(place, "payload", PAYLOAD_LIMIT_BYTES),
        signatures=tuple(decoded(item, "sig", 1024) for item in signatures),
    )


def decoded(place: Place, key: str, limit_bytes: int) -> bytes:
    """Returns the bytes of a base64 text.

    Raises:
        IntegrityError: X020, it is not standard base64, or longer than ``limit_bytes``.
    """
    inner = place.child(key)
    try:
        if not isinstance(inner.value, str):
            inner.fail("expected a text", code="X020")
        data = base64.b64decode(inner.value, validate=True)
        if len(data) > limit_bytes:
            inner.fail(f"is longer than {limit_bytes} bytes", code="X020")
        if base64.b64encode(data).decode() != inner.value:
            inner.fail("is not written as base64 writes it", code="X020")
    except (binascii.Error, ValueError) as error:
        if isinstance(error, IntegrityError):
            raise
        inner.fail("is not base64", code="X020")
    return data
