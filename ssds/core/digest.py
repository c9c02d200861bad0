"""Digests as types: they parse and validate, and are never a bare string.

OCI blobs are sha256 (OCI image specification 1.1, "Digests"); action keys and tree fingerprints
are blake3 (design section 3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Self

from ssds.core.errors import InvalidValue

_HEX_LENGTH = {"sha256": 64, "sha512": 128, "blake3": 64}


def _form(algorithms: Iterable[str]) -> Callable[[str], object]:
    """Returns a function that says whether a text is a digest of one of ``algorithms``."""
    forms = [f"{name}:[0-9a-f]{{{_HEX_LENGTH[name]}}}" for name in sorted(algorithms)]
    return re.compile("|".join(forms)).fullmatch


class Digest(str):
    """A content digest, ``algorithm:hex`` in lower case.

    It is a ``str``, so it sorts, hashes and serialises as its text; it can only be made from a
    text that is a well-formed digest.
    """

    __slots__ = ()
    algorithms = frozenset(_HEX_LENGTH)
    _fits = staticmethod(_form(_HEX_LENGTH))

    def __new__(cls, text: str) -> Self:
        """Validates ``text``; raises InvalidValue when it is not a digest."""
        if not cls._fits(text):
            wanted = " or ".join(f"{a}:<{_HEX_LENGTH[a]} hex>" for a in sorted(cls.algorithms))
            raise InvalidValue(f"{text[:100]!r} is not a digest; expected {wanted}")
        return super().__new__(cls, text)

    @classmethod
    def made(cls, text: str) -> Self:
        """Returns the digest of a text that is known to be one: just computed, or checked."""
        return str.__new__(cls, text)

    @property
    def algorithm(self) -> str:
        """``sha256``, ``sha512`` or ``blake3``."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The encoded part."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.hex[:12]


class ActionKey(Digest):
    """The key of an action: blake3 over its canonical pre-image (design section 3)."""

    __slots__ = ()
    algorithms = frozenset({"blake3"})
    _fits = staticmethod(_form({"blake3"}))


def sha256_of(data: bytes) -> Digest:
    """Returns the sha256 digest of ``data``."""
    return Digest.made("sha256:" + hashlib.sha256(data).hexdigest())
