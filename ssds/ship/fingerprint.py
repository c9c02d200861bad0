"""A fingerprint of a folder by names, kinds, modes, sizes and link targets; no content is read.

It is the same for an image before it is written and for its folder as it stands, so that a tree can
be checked at any time without the image's layers. Owners, times and hard links do not count: CVMFS
keeps none of them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ssds.oci.flatten import FlatTree
from ssds.oci.unpack import public_mode, secret_contents

PARTS_DEPTH = 3
Row = tuple[str, str, int, int, str]
"""Name, kind (``file folder symlink``), mode, size in bytes, target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What a folder holds.

    Attributes:
        digest: sha256 hex of everything.
        parts: folder → the first 16 digits of its digest, to a depth of PARTS_DEPTH.
        size_bytes: of files, each name counted.
    """

    digest: str
    parts: Mapping[str, str]
    files: int
    folders: int
    symlinks: int
    size_bytes: int


def fingerprint(rows_of: Callable[[str], Iterable[Row]], mode: int) -> Fingerprint:
    """Returns the fingerprint of what ``rows_of`` lists, from the root, the empty path, on."""
    counts = {"file": 0, "folder": 1, "symlink": 0}
    sizes = [0]
    parts: dict[str, str] = {}

    def look(folder: str, depth: int) -> str:
        found = hashlib.sha256()
        for name, kind, bits, size, target in sorted(rows_of(folder), key=lambda row: row[0]):
            counts[kind] += 1
            text = f"{name}\0{kind}\0"
            if kind == "folder":
                inner = f"{folder}/{name}" if folder else name
                text += f"{bits:o}\0{look(inner, depth + 1)}"
            elif kind == "file":
                text += f"{bits:o}\0{size}"
                sizes[0] += size
            else:
                text += target
            found.update(text.encode("utf-8", "surrogateescape") + b"\0")
        digest = found.hexdigest()
        if depth <= PARTS_DEPTH:
            parts[shown(folder)] = digest[:16]
        return digest

    whole = hashlib.sha256(f"{mode:o} {look('', 0)}".encode()).hexdigest()
    return Fingerprint(
        digest=whole,
        parts=parts,
        files=counts["file"],
        folders=counts["folder"],
        symlinks=counts["symlink"],
        size_bytes=sizes[0],
    )


def shown(path: str) -> str:
    """Returns a path as text that every file and terminal takes."""
    return path.encode("utf-8", "backslashreplace").decode()


def of_tree(tree: FlatTree) -> Fingerprint:
    """Returns the fingerprint of what is written of ``tree``: no devices, public modes."""
    secrets = secret_contents(tree)

    def rows_of(folder: str) -> Iterable[Row]:
        base = folder + "/" if folder else ""
        for name in tree.children[folder]:
            entry = tree.entries[base + name]
            if entry.type in ("file", "folder", "symlink"):
                mode = public_mode(entry, secrets)
                yield name, entry.type, mode, entry.size_bytes, entry.target

    return fingerprint(rows_of, public_mode(tree.entries[""], secrets))


def of_folder(root: str) -> Fingerprint:
    """Returns the fingerprint of a folder as it stands; raises OSError where it is unreadable."""

    def rows_of(folder: str) -> Iterable[Row]:
        path = os.path.join(root, folder) if folder else root
        with os.scandir(path) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                bits = status.st_mode & 0o7777
                if entry.is_symlink():
                    yield entry.name, "symlink", bits, 0, os.readlink(entry.path)
                elif stat.S_ISDIR(status.st_mode):
                    yield entry.name, "folder", bits, 0, ""
                else:
                    yield entry.name, "file", bits, status.st_size, ""

    return fingerprint(rows_of, os.stat(root).st_mode & 0o7777)
