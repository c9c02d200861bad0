"""Compiles a target to its sif node. Pure.

The manifest names everything that is in the file; what else shapes its bytes is the format.
"""

from __future__ import annotations

from ssds.core.model import Input, Node, NodeId
from ssds.recipe.model import Target
from ssds.sif.format import FORMAT

KIND_VERSION = 1


def node(target: Target, *, manifest: Input, recipe_path: str) -> Node:
    """Returns the sif node of one platform; any machine can run it."""
    return Node(
        id=NodeId(str(target.release), "sif", str(target.platform)),
        kind_version=KIND_VERSION,
        slice={"format": dict(FORMAT)},
        inputs=(manifest,),
        recipe_path=recipe_path,
        required=target.required,
    )
