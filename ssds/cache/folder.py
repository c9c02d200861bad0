"""A cache in a folder: of this machine, on NFS, carried by rsync, or behind a web server.

Form: ``blobs/sha256/HEX`` as in an image layout, ``claims/HEX-SIZE.gz`` the segments, and
``cache.json`` their list for those who cannot look into the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping

from ssds.cache.place import INDEX_LIMIT_BYTES, Opener, OpenSink
from ssds.cache.segment import SEGMENT_LIMIT_BYTES, VERSION, SegmentName
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import UnavailableError
from ssds.host.files import atomic_write, explained, remove_file, sweep
from ssds.oci.blobs import Blobs
from ssds.oci.document import load_document

SUFFIX = ".gz"
INDEX = "cache.json"
_ABANDONED_S = 24 * 3600.0
"""What a killed writer left is removed after so long."""


class FolderPlace:
    """A folder; no locks, so that it may lie on any file system."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.blobs = Blobs(os.path.join(path, "blobs"), name=path)
        self._claims = os.path.join(path, "claims")

    def prepare(self) -> None:
        """Makes the folder, and the list where somebody was killed before it was renewed."""
        with explained(self._claims):
            os.makedirs(self._claims, exist_ok=True)
            os.makedirs(self.blobs.folder, exist_ok=True)
        for folder in (self.path, self._claims, self.blobs.folder):
            sweep(folder, older_than_s=_ABANDONED_S)
        self.list_anew()

    def segments(self) -> tuple[SegmentName, ...]:
        """Returns the names of all segments; UnavailableError where the folder is not there."""
        try:
            names = os.listdir(self._claims)
        except FileNotFoundError:
            if not os.path.isdir(self.path):
                raise UnavailableError(f"there is no folder {self.path}", code="T032") from None
            return ()
        except OSError as error:
            raise _unreadable(self._claims, error) from error
        ours = (n.removesuffix(SUFFIX) for n in names if n.endswith(SUFFIX))
        return tuple(sorted(found for n in ours if (found := SegmentName.parse(n)) is not None))

    def segment(self, name: SegmentName) -> bytes:
        """Returns the bytes of a segment, checked."""
        path = self._segment(name)
        try:
            with open(path, "rb") as file:
                data = file.read(SEGMENT_LIMIT_BYTES + 1)
        except OSError as error:
            raise _unreadable(path, error) from error
        name.check(data)
        return data

    def has(self, digest: Digest) -> bool:
        """Whether a blob is there."""
        return self.blobs.has(digest)

    def fetch(self, digest: Digest, size_bytes: int, open_sink: OpenSink) -> None:
        """Writes a blob to a sink; at most one byte more than ``size_bytes``."""
        with self.blobs.open(digest) as file, open_sink() as sink:
            left = size_bytes + 1
            while left > 0 and (chunk := file.read(min(1 << 20, left))):
                left -= len(chunk)
                sink.write(chunk)

    def put(self, digest: Digest, size_bytes: int, opener: Opener) -> bool:
        """Keeps a blob; False where it was there, whole."""
        if self.blobs.has(digest) and self.blobs.size(digest) == size_bytes:
            return False
        with opener() as source, self.blobs.writer(digest, size_bytes) as writer:
            shutil.copyfileobj(source, writer, 1 << 20)
        return True

    def publish(self, name: SegmentName, data: bytes, blobs: Mapping[Digest, int]) -> None:
        """Puts the segment down, then renews the list."""
        del blobs  # they lie beside it
        atomic_write(self._segment(name), data, point="cache.segment")
        self.list_anew()

    def forget(self, name: SegmentName) -> None:
        """Removes a segment; call ``list_anew`` after the last one."""
        remove_file(self._segment(name), point="cache.forget")

    def list_anew(self) -> None:
        """Writes the list until it holds what the folder holds.

        Without a lock: who writes last has looked into the folder after that, so its list has
        every segment that was put down before.
        """
        path = os.path.join(self.path, INDEX)
        while (names := [str(name) for name in self.segments()]) != self._listed(path):
            data = canonical_bytes({"cache_version": VERSION, "segments": names})
            atomic_write(path, data, point="cache.index")

    def _listed(self, path: str) -> list[str] | None:
        try:
            with open(path, "rb") as file:
                found = json.loads(file.read(INDEX_LIMIT_BYTES))["segments"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return found if isinstance(found, list) else None

    def _segment(self, name: SegmentName) -> str:
        return os.path.join(self._claims, f"{name}{SUFFIX}")


def listed(data: bytes, what: str) -> tuple[SegmentName, ...]:
    """Returns the names in a list of segments; names of another form are passed over.

    Raises:
        IntegrityError: it is no such list.
    """
    place = load_document(data, what, limit_bytes=INDEX_LIMIT_BYTES)
    place.integer("cache_version", low=1, high=VERSION)
    texts = place.texts("segments", limit=200_000)
    return tuple(sorted({n for text in texts if (n := SegmentName.parse(text)) is not None}))


def _unreadable(path: str, error: OSError) -> UnavailableError:
    words = os.strerror(error.errno or 0)
    return UnavailableError(f"{path} cannot be read: {words}", code="T032")
