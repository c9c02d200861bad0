"""A canonical list of a folder in layers: what a reference data set is, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.oci.flatten import LINK_LIMIT, FlatTree

LIST_VERSION = 1
_CHUNK = 1 << 20


def file_list(tree: FlatTree, home: str) -> list[Json]:
    """Returns path, size in bytes and sha256 of each file in a folder; a link has its target."""
    files: list[Json] = []
    for entry in tree.walk(home):
        path = entry.path.removeprefix(f"{home}/")
        if entry.type == "symlink":
            files.append({"path": path, "link": entry.target})
        elif entry.type == "file":
            found = hashlib.sha256()
            with tree.open_entry(entry) as stream:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
            files.append({"path": path, "size": entry.size_bytes, "sha256": found.hexdigest()})
    return files


def list_bytes(layers: Sequence[tuple[Digest, int]], files: list[Json]) -> bytes:
    """Returns the list over its layers (digest, size in bytes), lowest first."""
    rows: list[Json] = [{"digest": str(digest), "size": size} for digest, size in layers]
    content: dict[str, Json] = {"set_version": LIST_VERSION, "layers": rows, "files": files}
    return canonical_bytes(content)


def links_out(tree: FlatTree, home: str) -> list[str]:
    """Returns the symbolic links in a folder that lead out of it, or through more than 40 links."""
    links = {e.path: e.target for e in tree.walk(home) if e.type == "symlink"}
    return [path.removeprefix(f"{home}/") for path in links if _leaves(links, home, path)]


def _leaves(links: dict[str, str], home: str, path: str) -> bool:
    where, rest = home, path.removeprefix(f"{home}/").split("/")[::-1]
    followed = 0
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if where == home:
                return True
            where = where.rpartition("/")[0]
            continue
        step = f"{where}/{name}"
        target = links.get(step)
        if target is None:
            where = step
            continue
        followed += 1
        if target.startswith("/") or followed > LINK_LIMIT:
            return True
        rest += target.split("/")[::-1]
    return False
