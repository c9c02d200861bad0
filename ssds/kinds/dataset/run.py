"""Runs a dataset node: a canonical list of all files, over the layers that hold them."""

from __future__ import annotations

from ssds.core.errors import StepFailed
from ssds.kinds.api import Bench, Outcome
from ssds.oci.file_list import file_list, links_out, list_bytes
from ssds.oci.flatten import flatten
from ssds.recipe.data_model import HOME


def run(bench: Bench) -> Outcome:
    """Outputs ``set``: JSON of the layers (digest, size), and of each file (path, size, sha256).

    Its digest is that of the data set: the same files in the same layers give it on any machine.
    """
    blobs = bench.store.blobs
    digests = [digest for _, digest in sorted(bench.action.inputs.items())]
    tree = flatten([blobs.path(digest) for digest in digests])
    home = tree.get(HOME)
    if outside := links_out(tree, HOME):
        raise StepFailed(
            f"links lead out of the data set: {', '.join(outside[:5])}",
            hint="Leave them out of 'unpack', or make relative ones in an index step.",
            code="E248",
        )
    files = file_list(tree, HOME) if home is not None and home.type == "folder" else []
    if not files:
        raise StepFailed("the data set holds no file", hint="Look at its 'unpack'.", code="E243")
    layers = [(digest, blobs.size(digest)) for digest in digests]
    return Outcome(outputs={"set": blobs.put(list_bytes(layers, files))})
