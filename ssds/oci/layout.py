"""An OCI image layout folder: blobs by digest and named entries in ``index.json``.

Source: OCI image specification 1.1, image-layout.md. Any OCI tool reads it; ``index.json`` is
replaced in one step, after its blobs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping

from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, InvalidValue, UnavailableError
from ssds.core.patterns import pattern
from ssds.core.records import replace
from ssds.host.files import TEMPORARY_PREFIX, atomic_write, explained, locked
from ssds.oci.blobs import Blobs
from ssds.oci.document import DOCUMENT_LIMIT_BYTES, Place, load_document
from ssds.oci.types import (
    MANIFESTS_LIMIT,
    REF_NAME,
    Descriptor,
    Index,
    index_bytes,
    parse_index,
)

_MARK = "oci-layout"
_VERSION = "1.0.0"
_LOCK = ".index.lock"
_BEGUN = frozenset({"blobs", "index.json", _LOCK})
_REF = pattern(r"[A-Za-z0-9](?:[A-Za-z0-9._:@/+-]{0,254}[A-Za-z0-9])?")


class Layout:
    """An image layout on disk; several processes may use it at once."""

    def __init__(self, path: str, *, create: bool = True) -> None:
        """Opens the layout at ``path``, made if that is missing or an empty folder.

        Raises:
            UnavailableError: O060, there is none and ``create`` is False.
            IntegrityError: O061, the folder holds something else or is damaged.
        """
        self.path = path
        self.blobs = Blobs(os.path.join(path, "blobs"), name=f"the layout {path}")
        mark = os.path.join(path, _MARK)
        if not os.path.exists(mark):
            self._begin(mark, create=create)
        self._check_mark(mark)

    def tags(self) -> dict[str, Descriptor]:
        """Returns the named entries, by ref name; raises IntegrityError (O061) where damaged."""
        return named_entries(self.index(), self.path)

    def index(self) -> Index:
        """Returns ``index.json``; raises IntegrityError where it is damaged."""
        return parse_index(self._read_index(), what=os.path.join(self.path, "index.json"))

    def set_tags(self, tags: Mapping[str, Descriptor], remove: Iterable[str] = ()) -> None:
        """Sets and removes names in one step; all other entries stay as they are.

        Raises:
            UnavailableError: O062, a descriptor's blob is not in the layout.
            InvalidValue: O063, a text that cannot be a ref name.
        """
        for name, descriptor in tags.items():
            if not _REF.fullmatch(name):
                raise InvalidValue(
                    f"{name[:100]!r} cannot be the name of an image in a layout",
                    hint="Use letters, digits and . _ - : @ / + inside.",
                    code="O063",
                )
            if not self.has(descriptor.digest):
                raise UnavailableError(
                    f"the layout {self.path} has no blob {descriptor.digest} for {name!r}",
                    hint="Blobs come first, then their names.",
                    code="O062",
                )
        gone = {*remove, *tags}
        with locked(os.path.join(self.path, _LOCK)):
            self.index()
            document = dict(self._document().map())
            # Entries of others keep every field, also those that ssds does not know.
            kept = [
                place.map()
                for place in self._document().items("manifests", limit=MANIFESTS_LIMIT)
                if place.text_map("annotations").get(REF_NAME) not in gone
            ]
            kept += [
                replace(entry, annotations={**entry.annotations, REF_NAME: name}).to_json()
                for name, entry in sorted(tags.items())
            ]
            document["manifests"] = kept
            data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
            atomic_write(os.path.join(self.path, "index.json"), data, point="layout.index")

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        return self.blobs.has(digest)

    def read(self, digest: Digest, limit_bytes: int = 64 * 1024 * 1024) -> bytes:
        """Returns a blob's bytes, checked."""
        return self.blobs.read(digest, limit_bytes)

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Gives a blob's bytes piece by piece, checked at the end."""
        return self.blobs.chunks(digest)

    def put_blob(self, data: bytes, expected: Digest | None = None) -> Digest:
        """Keeps a blob; returns its digest."""
        return self.blobs.put(data, expected)

    def _document(self) -> Place:
        return load_document(self._read_index(), os.path.join(self.path, "index.json"))

    def _read_index(self) -> bytes:
        try:
            with open(os.path.join(self.path, "index.json"), "rb") as file:
                return file.read(DOCUMENT_LIMIT_BYTES + 1)
        except FileNotFoundError:
            raise IntegrityError(
                f"{self.path} is an image layout without index.json",
                hint="The layout is damaged; write it anew.",
                code="O061",
            ) from None

    def _begin(self, mark: str, *, create: bool) -> None:
        try:
            names = {n for n in os.listdir(self.path) if not n.startswith(TEMPORARY_PREFIX)}
        except FileNotFoundError:
            names = set()
        except NotADirectoryError:
            names = {os.path.basename(self.path)}
        except PermissionError:
            raise EnvironmentProblem(
                f"{self.path} cannot be read", hint="Check its owner and permissions.", code="O064"
            ) from None
        if not create:
            raise UnavailableError(
                f"there is no image layout at {self.path}", hint="Check the path.", code="O060"
            )
        if _MARK in names:
            return  # another writer has just made it
        # What a killed process leaves behind before its mark is ours as well.
        if names - _BEGUN:
            raise IntegrityError(
                f"{self.path} holds something else than an image layout",
                hint="Choose another folder; ssds changes only what it wrote.",
                code="O061",
            )
        with explained(self.path):
            os.makedirs(self.blobs.folder, exist_ok=True)
        with locked(os.path.join(self.path, _LOCK)):
            if not os.path.exists(os.path.join(self.path, "index.json")):
                atomic_write(
                    os.path.join(self.path, "index.json"), index_bytes([]), point="layout.index"
                )
            text = b'{"imageLayoutVersion":"%s"}' % _VERSION.encode()
            atomic_write(mark, text, point="layout.mark")

    def _check_mark(self, mark: str) -> None:
        with open(mark, "rb") as file:
            document = load_document(file.read(4096), mark, limit_bytes=4095)
        if document.text("imageLayoutVersion") != _VERSION:
            document.child("imageLayoutVersion").fail(f"only {_VERSION} is known", code="O061")


def not_made_yet(path: str) -> bool:
    """Whether there is nothing at ``path``, or only what a writer left that was killed early."""
    try:
        names = {n for n in os.listdir(path) if not n.startswith(TEMPORARY_PREFIX)}
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return not names - _BEGUN


def named_entries(index: Index, where: str) -> dict[str, Descriptor]:
    """Returns the entries of an ``index.json`` that have a ref name, by that name.

    Raises:
        IntegrityError: O061, two have one name.
    """
    found: dict[str, Descriptor] = {}
    for entry in index.manifests:
        name = entry.annotations.get(REF_NAME)
        if name is None:
            continue
        if name in found and found[name].digest != entry.digest:
            raise IntegrityError(
                f"{where}/index.json names {name[:100]!r} twice",
                hint="Remove one of the entries; other tools take either.",
                code="O061",
            )
        found[name] = entry
    return found
