"""The form in which an image is published on CVMFS and in plain trees: its layers, and a few more.

What is added comes as one more layer, so that the rules of layers hold for it: what Apptainer and
Singularity look for (``ssds.sif.runtime``), then the marks of nested catalogs.

- Names that CVMFS reads as its own are left out of images, and reported (rule 17).
- A catalog stands at the image's root; a subtree with more entries than ``CATALOG_LIMIT`` is split,
  the largest parts first, none below ``CATALOG_LEAST`` (CVMFS's own limits are 1,000 and 200,000).
- Symbolic links with ``$(`` are reported: a CVMFS client would expand them (rule 18).
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ssds.host import local
from ssds.oci.flatten import FlatTree, add_layer, flatten
from ssds.oci.tarwriter import REGULAR, Member, TarWriter
from ssds.oci.types import Config
from ssds.sif.runtime import runtime_layer

CATALOG = ".cvmfscatalog"
CATALOG_LIMIT = 100_000
CATALOG_LEAST = 1_000
LARGE_BYTES = 1024 << 20
RESERVED = re.compile(r"\.cvmfs(catalog|autocatalog|dirtab|graft-.*)", re.DOTALL)
_NO_FILES: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An image as it is published.

    Attributes:
        tree: the whole content.
        dropped: devices, fifos and sockets, which the writers leave out.
        reserved: paths that were left out because their names are CVMFS's own.
        expanded: symbolic links that a CVMFS client would change.
        large: files above CVMFS's default limit of 1 GiB.
        catalogs: folders that are nested catalogs; the first is the root.
    """

    tree: FlatTree
    dropped: tuple[str, ...]
    reserved: tuple[str, ...]
    expanded: tuple[str, ...]
    large: tuple[str, ...]
    catalogs: tuple[str, ...]


def catalogs_above(path: str) -> tuple[str, str]:
    """Returns the files that make the two folders above an image or a data set catalogs."""
    bucket = os.path.dirname(path)
    return f"{os.path.dirname(bucket)}/{CATALOG}", f"{bucket}/{CATALOG}"


def publish(layer_tars: list[str], config: Config, scratch: str) -> Published:
    """Returns the published form of an image.

    Args:
        layer_tars: uncompressed and checked, base first.
        scratch: a folder that lives as long as the result is used.

    Raises:
        IntegrityError: a damaged or hostile layer.
    """
    tree = flatten(layer_tars)
    reserved = reserved_in(tree)
    for path in reserved:
        tree.remove(path)
    epoch = max(config.created or 0, 0)
    _add(tree, scratch, "runtime", runtime_layer(tree, config, config.labels, epoch=epoch))
    return with_catalogs(tree, scratch, mtime=epoch, reserved=reserved)


def reserved_in(tree: FlatTree) -> list[str]:
    """Returns the paths whose names CVMFS reads as its own."""
    return [e.path for e in tree.walk() if RESERVED.fullmatch(os.path.basename(e.path))]


def with_catalogs(
    tree: FlatTree,
    scratch: str,
    *,
    mtime: int,
    reserved: Iterable[str] = (),
    files: Mapping[str, bytes] = _NO_FILES,
) -> Published:
    """Returns a merged tree with the marks of its nested catalogs.

    Args:
        scratch: as in ``publish``; mtime: of what is added.
        reserved: what was left out of it, for the record.
        files: path → bytes of what is added too.
    """
    catalogs = catalog_folders(tree)
    stream = io.BytesIO()
    tar = TarWriter(stream)
    for path, data in files.items():
        member = Member(name=path.encode(), kind=REGULAR, mtime=mtime, size_bytes=len(data))
        tar.add(member, [data])
    for folder in catalogs:
        path = f"{folder}/{CATALOG}".lstrip("/")
        tar.add(Member(name=os.fsencode(path), kind=REGULAR, mtime=mtime))
    tar.finish()
    _add(tree, scratch, "catalogs", stream.getvalue())
    entries = [tree.entries[path] for path in sorted(tree.entries)]
    return Published(
        tree=tree,
        dropped=tuple(e.path for e in entries if e.type in ("char", "block", "fifo")),
        reserved=tuple(reserved),
        expanded=tuple(e.path for e in entries if e.type == "symlink" and "$(" in e.target),
        large=tuple(e.path for e in entries if e.size_bytes > LARGE_BYTES),
        catalogs=tuple(catalogs),
    )


def _add(tree: FlatTree, scratch: str, what: str, data: bytes) -> None:
    path = os.path.join(scratch, f"{what}.tar")
    local.write(path, data)
    add_layer(tree, path, f"the {what} layer")


def catalog_folders(
    tree: FlatTree, *, limit: int = CATALOG_LIMIT, least: int = CATALOG_LEAST
) -> list[str]:
    """Returns the folders that become nested catalogs, the root first; the same for equal trees.

    A folder's weight is the number of its entries and of all below that are in the same catalog.
    """
    found: list[str] = []
    weights: dict[str, int] = {}
    folders = [e.path for e in tree.walk() if e.type == "folder"]
    for folder in reversed(folders):  # what is below comes first
        base = folder + "/" if folder else ""
        inner = [base + name for name in tree.children.get(folder, ())]
        below = sorted((-weights[path], path) for path in inner if path in weights)
        weight = 1 + len(inner) - len(below) - sum(negative for negative, _ in below)
        for negative, path in below:
            if weight <= limit or -negative < least:
                break
            found.append(path)
            weight += negative + 1
        weights[folder] = weight
    return ["", *sorted(found)]
