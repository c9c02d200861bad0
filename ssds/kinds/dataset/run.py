"""Runs a dataset node: a canonical list of all files, over the layers that hold them."""

from __future__ import annotations

import hashlib

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.errors import StepFailed
from ssds.kinds.api import Bench, Outcome
from ssds.oci.flatten import FlatTree, flatten
from ssds.recipe.data_model import HOME

SET_VERSION = 1
_CHUNK = 1 << 20


def run(bench: Bench) -> Outcome:
    """Outputs ``set``: JSON of the layers (digest, size), and of each file (path, size, sha256).

    Its digest is that of the data set: the same files in the same layers give it on any machine.
    """
    blobs = bench.store.blobs
    digests = [digest for _, digest in sorted(bench.action.inputs.items())]
    tree = flatten([blobs.path(digest) for digest in digests])
    home = tree.get(HOME)
    files = _files(tree) if home is not None and home.type == "folder" else []
    if not files:
        raise StepFailed("the data set holds no file", hint="Look at its 'unpack'.", code="E243")
    layers: list[Json] = [{"digest": str(digest), "size": blobs.size(digest)} for digest in digests]
    content: dict[str, Json] = {"set_version": SET_VERSION, "layers": layers, "files": files}
    return Outcome(outputs={"set": blobs.put(canonical_bytes(content))})


def _files(tree: FlatTree) -> list[Json]:
    """Returns path, size in bytes and sha256 of each file; a link has its target instead."""
    files: list[Json] = []
    for entry in tree.walk(HOME):
        path = entry.path.removeprefix(f"{HOME}/")
        if entry.type == "symlink":
            files.append({"path": path, "link": entry.target})
        elif entry.type == "file":
            found = hashlib.sha256()
            with tree.open_entry(entry) as stream:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
            files.append({"path": path, "size": entry.size_bytes, "sha256": found.hexdigest()})
    return files
