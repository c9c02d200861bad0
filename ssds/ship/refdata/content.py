"""Files of data sets in a deployed tree: ``.ssds/data/<2 hex>/<set's hex>/``, shared by all sites.

``data/`` holds the files, ``MANIFEST.json`` is the list whose digest names the folder; the marker
beside the folder comes last. A set is checked against its list before it is written.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.host import local
from ssds.host.files import atomic_write, remove_file
from ssds.host.folders import scratch_folder, staged_folder, sweep_folders
from ssds.lock.data import DataLock, made_of
from ssds.oci.file_list import file_list, links_out, list_bytes
from ssds.oci.flatten import FlatTree, add_layer, flatten
from ssds.oci.tarwriter import REGULAR, Member, TarWriter
from ssds.oci.unpack import write_tree
from ssds.recipe.data_model import HOME
from ssds.ship.images import BlobSource, Unpacked, folder_problems, marker_bytes, notes_of
from ssds.ship.published import CATALOG, LARGE_BYTES, RESERVED, Published, catalog_folders
from ssds.ship.tree import data_marker, data_path

MANIFEST = "MANIFEST.json"
LIST_LIMIT_BYTES = 1 << 30


def has_set(target: str, digest: Digest) -> bool:
    """Whether the tree holds that data set whole."""
    marker = os.path.join(target, data_marker(digest))
    return os.path.isfile(marker) and os.path.isdir(os.path.join(target, data_path(digest)))


def set_problems(target: str, digest: Digest) -> list[str]:
    """Returns what is wrong with a deployed data set, by path; names and sizes, not content."""
    return folder_problems(target, data_path(digest), data_marker(digest), "data set")


def needed_bytes(lock: DataLock) -> tuple[Digest, ...]:
    """Returns the blobs that writing a data set needs."""
    if lock.made is None:
        return ()
    return (lock.made.content.digest, *(layer.digest for layer in lock.made.layers))


def unpack_set(
    target: str, lock: DataLock, blobs: BlobSource, *, scratch: str = "", anew: bool = False
) -> Unpacked:
    """Puts a data set into the tree unless it is there; every byte is checked on the way.

    Args:
        anew: replace what is there; it stays until the new one is written.

    Raises:
        UnavailableError: a blob is not here. IntegrityError: as ``opened_set``.
    """
    digest = needed_bytes(lock)[0]
    if not anew and has_set(target, digest):
        return Unpacked(written=False)
    folder, marker = (os.path.join(target, p) for p in (data_path(digest), data_marker(digest)))
    bucket = os.path.dirname(folder)
    sweep_folders(bucket)
    for place in (os.path.dirname(bucket), bucket):
        if not os.path.exists(os.path.join(place, CATALOG)):
            atomic_write(os.path.join(place, CATALOG), b"", point="deploy.catalog")
    with opened_set(lock, blobs, scratch or bucket) as published:
        with staged_folder(folder, point="deploy.data", replace=True) as staging:
            write_tree(published.tree, staging)
            remove_file(marker, point="deploy.unmark")
        data = marker_bytes(digest, published, "set")
    atomic_write(marker, data, point="deploy.marker")
    return Unpacked(written=True, notes=notes_of(published))


@contextlib.contextmanager
def opened_set(lock: DataLock, blobs: BlobSource, scratch: str) -> Iterator[Published]:
    """Gives the published form of a data set; it lives as long as the block.

    Raises:
        IntegrityError: D080 layers that do not hold what the list says, D081 links that lead out,
            or names that CVMFS reads as its own; damaged or hostile layers.
    """
    made = lock.made
    assert made is not None
    digest = made.content.digest
    text = blobs.read(digest, LIST_LIMIT_BYTES)
    if made_of(text, digest) != made:
        raise _other(lock)
    for layer in made.layers:
        for _ in blobs.chunks(layer.digest):
            pass
    tree = flatten([blobs.path(layer.digest) for layer in made.layers])
    for name in tree.names(""):
        if name != HOME:
            tree.remove(name)
    odd = [e.path for e in tree.walk() if RESERVED.fullmatch(os.path.basename(e.path))]
    if bad := [*links_out(tree, HOME), *odd]:
        raise IntegrityError(
            f"the data set {lock.id} holds links that lead out of it, or names of CVMFS's own: "
            f"{', '.join(bad[:5])}",
            hint="Leave them out of its 'unpack', and apply again.",
            code="D081",
        )
    files = file_list(tree, HOME)
    if list_bytes([(b.digest, b.size_bytes) for b in made.layers], files) != text:
        raise _other(lock)
    with scratch_folder(scratch) as room:
        yield _published(tree, text, room)


def _other(lock: DataLock) -> IntegrityError:
    return IntegrityError(
        f"the layers of the data set {lock.id} do not hold what its list says",
        hint="Restore its lock from git, or run ssds apply.",
        code="D080",
    )


def _published(tree: FlatTree, text: bytes, room: str) -> Published:
    """Adds the manifest and the marks of nested catalogs."""
    home = tree.get(HOME)
    mtime = home.mtime if home is not None else 0
    catalogs = catalog_folders(tree)
    stream = io.BytesIO()
    tar = TarWriter(stream)
    tar.add(Member(name=MANIFEST.encode(), kind=REGULAR, mtime=mtime, size_bytes=len(text)), [text])
    for folder in catalogs:
        path = f"{folder}/{CATALOG}".lstrip("/")
        tar.add(Member(name=os.fsencode(path), kind=REGULAR, mtime=mtime))
    tar.finish()
    path = os.path.join(room, "more.tar")
    local.write(path, stream.getvalue())
    add_layer(tree, path, "the manifest's layer")
    entries = [tree.entries[path] for path in sorted(tree.entries)]
    return Published(
        tree=tree,
        dropped=tuple(e.path for e in entries if e.type in ("char", "block", "fifo")),
        reserved=(),
        expanded=tuple(e.path for e in entries if e.type == "symlink" and "$(" in e.target),
        large=tuple(e.path for e in entries if e.size_bytes > LARGE_BYTES),
        catalogs=tuple(catalogs),
    )
