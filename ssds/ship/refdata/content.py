"""Files of data sets in a deployed tree: ``.ssds/data/<2 hex>/<set's hex>/``, shared by all sites.

``data/`` holds the files, ``MANIFEST.json`` is the list whose digest names the folder; the marker
beside the folder comes last. A set is checked against its list before it is written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.host.folders import scratch_folder
from ssds.lock.data import DataLock, made_of
from ssds.oci.file_list import file_list, links_out, list_bytes
from ssds.oci.flatten import flatten
from ssds.recipe.data_model import HOME
from ssds.ship.images import BlobSource, Unpacked, folder_problems, put_folder
from ssds.ship.published import Published, reserved_in, with_catalogs
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
    path, marker = data_path(digest), data_marker(digest)
    opened = opened_set(lock, blobs, scratch or os.path.dirname(os.path.join(target, path)))
    return put_folder(target, path, marker, opened, digest, point="deploy.data", what="set")


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
    if bad := [*links_out(tree, HOME), *reserved_in(tree)]:
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
        home = tree.get(HOME)
        mtime = home.mtime if home is not None else 0
        yield with_catalogs(tree, room, mtime=mtime, files={MANIFEST: text})


def _other(lock: DataLock) -> IntegrityError:
    return IntegrityError(
        f"the layers of the data set {lock.id} do not hold what its list says",
        hint="Restore its lock from git, or run ssds apply.",
        code="D080",
    )
