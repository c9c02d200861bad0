"""The plug of channels: what a place must be able to do, and whom it is told.

Every kind of channel passes the same conformance suite (``tests/ship/test_ship_channels.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ssds.core.digest import Digest
from ssds.core.records import dataclass
from ssds.lock.model import Released

if TYPE_CHECKING:
    from ssds.oci.blobs import Blobs
    from ssds.oci.copy import HasBlobs
    from ssds.oci.types import Descriptor
    from ssds.ship.channels import Attachment
    from ssds.ship.signatures import CosignLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """An attachment as it is brought: a manifest with a subject, and its one blob."""

    item: Attachment
    manifest: bytes
    content: bytes


class Seen(Protocol):
    """One repository of a place."""

    @property
    def tags(self) -> Mapping[str, Digest]:
        """Tag → what it names; empty where there is no such repository."""

    def attached(self, subject: Digest) -> Mapping[str, Digest]:
        """Returns kind → what of ours is attached to an index or a manifest."""

    def signed(self, subject: Digest) -> bool:
        """Whether something stands under cosign's tag of an index or a manifest."""

    def has(self, digest: Digest, manifest: bool) -> bool:
        """Whether a manifest or a blob is there."""


class Backend(Protocol):
    """A place with repositories and tags; threads may share it."""

    def looker(self) -> Callable[[str], Seen]:
        """Returns what looks at a repository by its name, as the place is from now on."""

    def has(self, name: str, item: Descriptor, *, manifest: bool) -> bool:
        """Whether a blob or a manifest is there, whole as far as can be told without reading."""

    def document(self, name: str, digest: Digest) -> bytes | None:
        """Returns the bytes of a manifest or an index, checked; None where it is not there."""

    def put_blob(self, name: str, item: Descriptor, blobs: Blobs, elsewhere: str) -> bool:
        """Brings a blob that is not there; False where it was mounted and no byte moved.

        Args:
            elsewhere: another repository that has it, or the empty string.

        Raises:
            UnavailableError: ``blobs`` lacks it, or the place does not answer.
            IntegrityError: damaged bytes, at either end.
        """

    def put_manifest(self, name: str, item: Descriptor, data: bytes) -> None:
        """Brings a manifest or an index, and reads it back."""

    def attach(self, name: str, documents: Sequence[Attached]) -> None:
        """Makes each manifest the one of its kind at their one subject; those of others stay."""

    def attach_signature(self, name: str, subject: Digest, layer: CosignLayer) -> None:
        """Adds a signature under cosign's tag of the subject; those of others stay."""

    def tag(
        self, name: str, tags: Mapping[str, Descriptor], documents: Mapping[Digest, bytes]
    ) -> None:
        """Sets tags, in the order given; ``documents`` are the bytes of what they name."""

    def fetch_blob(self, name: str, digest: Digest, size_bytes: int, sink: HasBlobs) -> None:
        """Brings a blob to ``sink`` as a stream, checked.

        Raises:
            UnavailableError: it is not there; IntegrityError: other bytes; ``sink`` keeps none.
        """

    def fetch_metadata(self, name: str, index: Digest) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""

    def read_state(self) -> bytes | None:
        """Returns the document in which ssds noted what it wrote, or None."""

    def write_state(self, data: bytes) -> None:
        """Keeps that document; a place where looking is cheap keeps none."""


def lost_parts(released: Released, has: Callable[[Digest, bool], bool]) -> tuple[Digest, ...]:
    """Returns what a release consists of and ``has`` (digest, whether a manifest) denies."""
    return tuple(d for d, manifest in _parts(released).items() if not has(d, manifest))


def needed_bytes(released: Released, *, sif: bool) -> list[Digest]:
    """Returns the digests whose bytes a push of a release needs; ``sif``: SIF files too.

    Of a data set only its blobs: its documents are made from its lock, when they are pushed.
    """
    if released.dataset is not None:
        return [blob.digest for blob in released.dataset.blobs]
    found = [released.index.digest, *_parts(released)]
    found += [released.metadata] if released.metadata else []
    for made in released.sifs.values() if sif else ():
        found += [made.file.digest, made.manifest.digest]
    return found


def _parts(released: Released) -> dict[Digest, bool]:
    """Returns what the index of a release leads to, and whether it is a manifest."""
    parts: dict[Digest, bool] = {}
    if released.dataset is not None:
        parts[released.dataset.manifest.digest] = True
        parts |= {blob.digest: False for blob in released.dataset.blobs}
    for half in released.platforms.values():
        parts |= {half.manifest.digest: True, half.config.digest: False}
        parts |= {layer.digest: False for layer in half.layers}
    return parts
