"""Private keys as files: cosign's encrypted form, read and written; plain PKCS#8, read.

The encrypted form is PEM around JSON: the key as PKCS#8, sealed with NaCl's secretbox under a key
that scrypt makes of the password.

Sources: cosign, KEYS.md; go-securesystemslib, package ``encrypted``; RFC 7914 (scrypt).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import textwrap
from collections.abc import Callable

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.errors import IntegrityError, Refused
from ssds.oci.document import Place, load_document
from ssds.trust.keys import PEM_LIMIT_BYTES, LocalSigner, public_of

SEALED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_COST, _BLOCK, _LANES = 1 << 16, 8, 1
_MOST_MEMORY_BYTES = 512 << 20
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 32, 24, 32

Password = Callable[[], bytes]


def seal(signer: LocalSigner, password: bytes) -> bytes:
    """Returns the key as an encrypted file that cosign reads too."""
    from nacl.secret import SecretBox

    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    box = SecretBox(_stretched(password, salt, _COST, _BLOCK, _LANES))
    sealed = box.encrypt(signer.pkcs8(), nonce).ciphertext
    document: dict[str, Json] = {
        "kdf": {
            "name": "scrypt",
            "params": {"N": _COST, "r": _BLOCK, "p": _LANES},
            "salt": base64.b64encode(salt).decode(),
        },
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(sealed).decode(),
    }
    text = base64.b64encode(canonical_bytes(document)).decode()
    lines = "\n".join(textwrap.wrap(text, 64))
    return f"-----BEGIN {SEALED[0]}-----\n{lines}\n-----END {SEALED[0]}-----\n".encode()


def is_sealed(data: bytes) -> bool:
    """Whether a password is needed to read the key."""
    return b"-----BEGIN ENCRYPTED " in data


def read_private_key(
    data: bytes, password: Password, name: str = "", what: str = "the key"
) -> LocalSigner:
    """Returns the private key of a PEM text.

    Args:
        password: is asked only where the key is encrypted.

    Raises:
        IntegrityError: X002 another algorithm, X005 no private key.
        Refused: X006, the password does not open it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    try:
        if len(data) > PEM_LIMIT_BYTES:
            raise ValueError("too large")
        sealed = _sealed_part(data)
        key: object
        if sealed is not None:
            key = serialization.load_der_private_key(_opened(sealed, password, what), None)
        elif is_sealed(data):
            key = _encrypted_pkcs8(data, password(), what)
        else:
            key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError(
            f"{what} is no private key that ssds reads",
            hint="It is PEM: PKCS#8, or what `ssds key new` and cosign write.",
            code="X005",
        ) from error
    public_of(key, name, what)
    assert isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    return LocalSigner(key, name)


def _encrypted_pkcs8(data: bytes, password: bytes, what: str) -> object:
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(data, password or b"\0")
    except ValueError as error:
        raise _wrong_password(what) from error


def _sealed_part(data: bytes) -> bytes | None:
    """Returns what stands between the marks of cosign's form; None where it is another form."""
    for title in SEALED:
        begin, end = f"-----BEGIN {title}-----".encode(), f"-----END {title}-----".encode()
        if begin in data:
            inner, found, _ = data.partition(begin)[2].partition(end)
            if not found:
                raise ValueError("cut")
            return base64.b64decode(b"".join(inner.split()), validate=True)
    return None


def _opened(sealed: bytes, password: Password, what: str) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    root = load_document(sealed, what)
    kdf, cipher = root.child("kdf"), root.child("cipher")
    if (kdf.text("name"), cipher.text("name")) != ("scrypt", "nacl/secretbox"):
        raise ValueError("another cipher")
    cost = kdf.child("params").integer("N", low=2, high=1 << 20)
    block = kdf.child("params").integer("r", low=1, high=32)
    lanes = kdf.child("params").integer("p", low=1, high=4)
    if 128 * cost * block > _MOST_MEMORY_BYTES or cost & (cost - 1):
        raise ValueError("more memory than a key file may ask for")
    salt, nonce = _decoded(kdf, "salt"), _decoded(cipher, "nonce")
    if len(nonce) != _NONCE_BYTES:
        raise ValueError("nonce")
    box = SecretBox(_stretched(password(), salt, cost, block, lanes))
    try:
        return box.decrypt(_decoded(root, "ciphertext"), nonce)
    except CryptoError as error:
        raise _wrong_password(what) from error


def _wrong_password(what: str) -> Refused:
    return Refused(
        f"the password does not open {what}",
        hint="It comes from SSDS_KEY_PASSWORD, COSIGN_PASSWORD or the terminal.",
        code="X006",
    )


def _decoded(place: Place, key: str) -> bytes:
    try:
        return base64.b64decode(place.text(key), validate=True)
    except binascii.Error as error:
        raise ValueError(key) from error


def _stretched(password: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    memory = 128 * block * (cost + lanes + 2) + (1 << 20)
    return hashlib.scrypt(
        password, salt=salt, n=cost, r=block, p=lanes, dklen=_KEY_BYTES, maxmem=memory
    )
