"""Compiles a target to an inspect node. Pure.

There is one only where the policy has a rule on what it finds (``lint``).
"""

from __future__ import annotations

from ssds.core.canonical import Json
from ssds.core.model import Input, Node, NodeId
from ssds.recipe.model import Target

KIND_VERSION = 1
INSPECTOR: dict[str, Json] = {"name": "ssds", "version": 3}
"""What looks; raise the version when its answers change."""
_SLICE: dict[str, Json] = {"inspector": INSPECTOR}


def node(target: Target, config: Input, *, recipe_path: str = "") -> Node:
    """Returns the inspect node of one platform.

    Args:
        target: the release on one platform.
        config: the build node's ``config`` output, role ``config``.
        recipe_path: the recipe's file.
    """
    return Node(
        id=NodeId(str(target.release), "inspect", str(target.platform)),
        kind_version=KIND_VERSION,
        slice=_SLICE,
        inputs=(config,),
        recipe_path=recipe_path,
        required=target.required,
    )
