"""Compiles a target to its deploy test. Pure."""

from __future__ import annotations

from ssds.core.model import Input, Node, NodeId
from ssds.recipe.model import Target

KIND_VERSION = 2
SUITE = "deploy"
_ORIGIN = {"slice.commands": "deploy.commands", "slice.paths": "deploy.paths"}


def node(target: Target, config: Input, *, recipe_path: str = "") -> Node:
    """Returns the deploy test of one platform; it sees what the recipe offers, no more.

    Args:
        target: the release on one platform.
        config: the build node's ``config`` output, role ``config``.
        recipe_path: the recipe's file.
    """
    deploy = target.deploy
    return Node(
        id=NodeId(str(target.release), "deploytest", str(target.platform)),
        kind_version=KIND_VERSION,
        slice={"commands": sorted(set(deploy.commands)), "paths": list(deploy.paths)},
        inputs=(config,),
        origin=_ORIGIN,
        recipe_path=recipe_path,
        required=target.required,
    )
