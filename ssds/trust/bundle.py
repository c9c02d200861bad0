"""Sigstore bundles, version 0.3, made with a key: one file beside the bytes, or a referrer.

A bundle holds either a signature over a file's bytes, or a DSSE envelope. What the transparency
log or a certificate would add is not there: the key alone vouches.

Source: sigstore/protobuf-specs, sigstore_bundle.proto and sigstore_common.proto.
"""

from __future__ import annotations

import base64
import hashlib

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.records import dataclass
from ssds.oci.document import Place, load_document
from ssds.trust.envelope import Envelope, decoded, parse_envelope
from ssds.trust.keys import SIGNATURE_LIMIT_BYTES, PublicKey, Signer

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SUFFIX = ".sigstore.json"
"""The bundle of FILE is FILE.sigstore.json, as sigstore's clients call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A parsed bundle, not yet believed.

    Attributes:
        envelope: set where it holds one.
        digest: sha256 of the bytes that were signed; signature: over them. Else empty.
    """

    envelope: Envelope | None = None
    digest: bytes = b""
    signature: bytes = b""

    def signer(self, data: bytes, keys: tuple[PublicKey, ...]) -> PublicKey | None:
        """Returns the first of ``keys`` that signed the bytes ``data``; for no envelope."""
        if self.envelope is not None or hashlib.sha256(data).digest() != self.digest:
            return None
        return next((key for key in keys if key.signed(data, self.signature)), None)


def sign_bytes(data: bytes, signer: Signer) -> bytes:
    """Returns the bundle of a signature over ``data``."""
    content: dict[str, Json] = {
        "messageSignature": {
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": base64.b64encode(hashlib.sha256(data).digest()).decode(),
            },
            "signature": base64.b64encode(signer.sign(data)).decode(),
        }
    }
    return _bundle(content, signer.public)


def envelope_bundle(envelope: Envelope, key: PublicKey) -> bytes:
    """Returns the bundle of an envelope that ``key`` signed."""
    return _bundle({"dsseEnvelope": envelope.to_dict()}, key)


def _bundle(content: dict[str, Json], key: PublicKey) -> bytes:
    hint = base64.b64encode(hashlib.sha256(key.der).digest()).decode()
    material: dict[str, Json] = {"publicKey": {"hint": hint}}
    return canonical_bytes({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, **content})


def parse_bundle(data: bytes, what: str = "the bundle") -> Bundle:
    """Reads a bundle with suspicion.

    Raises:
        IntegrityError: O001 to O004; X020 no base64, X021 a form that ssds does not use.
    """
    root = load_document(data, what)
    if root.text("mediaType") != BUNDLE_TYPE:
        root.child("mediaType").fail(f"expected {BUNDLE_TYPE}", code="X021")
    _check_material(root.child("verificationMaterial"))
    kinds = [key for key in ("messageSignature", "dsseEnvelope") if root.has(key)]
    if len(kinds) != 1:
        root.fail("expected one of messageSignature and dsseEnvelope", code="X021")
    if kinds == ["dsseEnvelope"]:
        envelope = parse_envelope(root.child("dsseEnvelope"))
        if len(envelope.signatures) != 1:
            root.child("dsseEnvelope").fail("a bundle's envelope has one signature", code="X021")
        return Bundle(envelope=envelope)
    message = root.child("messageSignature")
    digest = message.child("messageDigest")
    if digest.text("algorithm") != "SHA2_256":
        digest.child("algorithm").fail("expected SHA2_256", code="X021")
    return Bundle(
        digest=decoded(digest, "digest", 32),
        signature=decoded(message, "signature", SIGNATURE_LIMIT_BYTES),
    )


def _check_material(material: Place) -> None:
    """Refuses certificates: a key vouches here, and nobody checks what is not looked at."""
    for other in ("certificate", "x509CertificateChain"):
        if material.has(other):
            material.child(other).fail("ssds verifies bundles of keys, not these", code="X021")
