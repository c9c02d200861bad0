"""Keys that sign and verify: ECDSA on P-256 and Ed25519.

A key's *id* is the sha256 digest of its public half (SubjectPublicKeyInfo, DER). No text form of a
signer holds its secret.

Sources: FIPS 186-5 (both algorithms); RFC 6979 (ECDSA without chance: same bytes, same signature);
RFC 5280, section 4.1.2.7 (SubjectPublicKeyInfo).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.records import dataclass, field

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    Private = EllipticCurvePrivateKey | Ed25519PrivateKey

ECDSA = "ecdsa-p256"
ED25519 = "ed25519"
KINDS = (ECDSA, ED25519)
PEM_LIMIT_BYTES = 64 * 1024
SIGNATURE_LIMIT_BYTES = 128
"""An ECDSA signature on P-256 has 72 bytes at most, one of Ed25519 has 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The half that everybody may have.

    Attributes:
        kind: one of KINDS.
        der: SubjectPublicKeyInfo.
        name: what people call it; not part of the key.
    """

    kind: str
    der: bytes
    name: str = field(default="", compare=False)

    @property
    def id(self) -> Digest:
        """The digest by which it is known."""
        return sha256_of(self.der)

    @property
    def label(self) -> str:
        """What people read: its name, or the beginning of its id."""
        return self.name or f"sha256:{self.id.short}…"

    @property
    def pem(self) -> bytes:
        """The text form, as openssl and cosign read it."""
        from cryptography.hazmat.primitives import serialization as form

        key = form.load_der_public_key(self.der)
        return key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` over ``data`` is by this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519

        if len(signature) > SIGNATURE_LIMIT_BYTES:
            return False
        key = serialization.load_der_public_key(self.der)
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            else:
                assert isinstance(key, ed25519.Ed25519PublicKey)
                key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """What signs: a key of this machine, of a card, or of a service."""

    @property
    def public(self) -> PublicKey:
        """Its public half."""

    def sign(self, data: bytes) -> bytes:
        """Returns the signature over ``data``: ASN.1 DER for ECDSA, 64 bytes for Ed25519.

        Threads may ask at once.
        """


class LocalSigner:
    """A private key in memory."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Private, name: str = "") -> None:
        self._key = key
        self.public = public_of(key, name)

    def sign(self, data: bytes) -> bytes:
        """Returns the signature; of ECDSA too it is the same each time (RFC 6979)."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if not isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(data)
        try:
            how = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
            return self._key.sign(data, how)
        except UnsupportedAlgorithm:  # an OpenSSL before 3.2: good, but new each time
            return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def pkcs8(self) -> bytes:
        """Returns the secret, PKCS#8 in DER; for key files only."""
        from cryptography.hazmat.primitives import serialization as form

        return self._key.private_bytes(
            form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption()
        )

    def __repr__(self) -> str:
        return f"LocalSigner({self.public.label})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def new_key(kind: str = ECDSA, name: str = "") -> LocalSigner:
    """Returns a new private key of a kind of KINDS."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if kind == ED25519:
        return LocalSigner(ed25519.Ed25519PrivateKey.generate(), name)
    if kind != ECDSA:
        raise InvalidValue(
            f"{kind!r} is no kind of key", hint=f"Use {' or '.join(KINDS)}.", code="X001"
        )
    return LocalSigner(ec.generate_private_key(ec.SECP256R1()), name)


def public_of(key: object, name: str = "", what: str = "the key") -> PublicKey:
    """Returns the public half of a key object of ``cryptography``, private or public.

    Raises:
        IntegrityError: X002, another algorithm or curve.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        key = key.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        kind = ECDSA
    elif isinstance(key, ed25519.Ed25519PublicKey):
        kind = ED25519
    else:
        raise IntegrityError(
            f"{what} is of a kind that ssds does not use",
            hint="Use a key of ECDSA on P-256 or of Ed25519; `ssds key new` makes one.",
            code="X002",
        )
    der = key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(kind=kind, der=der, name=name)


def read_public_key(data: bytes, name: str = "", what: str = "the key") -> PublicKey:
    """Returns the public key of a PEM text.

    Raises:
        IntegrityError: X002 another algorithm, X003 no public key, X004 a private one.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if b"PRIVATE KEY-----" in data:
        raise IntegrityError(
            f"{what} is a private key, and a public one is wanted",
            hint="Give the .pub file; a private key is for nobody but its owner.",
            code="X004",
        )
    try:
        if len(data) > PEM_LIMIT_BYTES:
            raise ValueError("too large")
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IntegrityError(
            f"{what} is no public key in PEM form",
            hint="It begins with -----BEGIN PUBLIC KEY-----; `ssds key show` prints one.",
            code="X003",
        ) from error
    return public_of(key, name, what)
