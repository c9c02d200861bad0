"""Blobs of images in registries, as one more place of pinned files."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssds.core.errors import SsdsError
from ssds.core.pins import PinnedFile
from ssds.host.fetch import Sink
from ssds.host.mirrors import Mirrors
from ssds.oci.image_name import parse_image_name

if TYPE_CHECKING:
    from ssds.oci.upstream import Images

OCI = "oci"
"""The archive of blobs of images; a path there is the full name of an image."""


class ImageBlobs:
    """Fetches them; the client of registries is imported for the first one."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    @functools.cached_property
    def source(self) -> Images:
        """Where images are."""
        from ssds.oci.upstream import Images

        return Images(self._mirrors)

    def fetch(self, pinned: PinnedFile, writer: AbstractContextManager[Sink]) -> None:
        """Writes one blob; the writer's block checks its digest and size."""
        with writer as sink:
            name = parse_image_name(pinned.path)
            self.source.fetch(name, pinned.digest, pinned.size_bytes, _Written(sink))

    def absent(self, pinned: PinnedFile) -> str:
        """Returns the empty string where a blob is there, else why it is not."""
        return self.source.absent(parse_image_name(pinned.path), pinned.digest)


@dataclass(frozen=True, slots=True)
class _Written:
    """A sink that says how much it took."""

    sink: Sink

    def write(self, data: bytes, /) -> int:
        self.sink.write(data)
        return len(data)


def as_wrong(error: SsdsError) -> SsdsError:
    """Returns the error of a registry in the words of a mirror: other bytes weigh more."""
    wrong = error.code in ("O092", "O053", "O051")
    return type(error)(error.message, hint=error.hint, code="F044") if wrong else error
