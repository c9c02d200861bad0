"""What a reference data set is to those who deliver releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssds.core.digest import Digest
from ssds.core.records import dataclass

if TYPE_CHECKING:
    from ssds.lock.model import SizedBlob

CONTENT_DIGITS = 12
"""So many digits of a data set's digest stand in its immutable tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecord:
    """What a reference data set is in places of releases: an index over one manifest (C14).

    Attributes:
        content: the set's digest; blobs: the list of its files, and the layers.
        manifest: names them; documents: the bytes of index, manifest and the manifest's config.
        record: what its lock says, for who has no lock.
    """

    content: Digest
    blobs: tuple[SizedBlob, ...]
    manifest: SizedBlob
    documents: tuple[bytes, ...]
    record: bytes

    @property
    def short(self) -> str:
        """The digest's first digits, as tags have them."""
        return self.content.hex[:CONTENT_DIGITS]
