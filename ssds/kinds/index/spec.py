"""Compiles a release to its index node. Pure."""

from __future__ import annotations

from ssds.core.model import Input, Node, NodeId
from ssds.recipe.model import Release

KIND_VERSION = 1


def node(release: Release, *, manifests: tuple[Input, ...]) -> Node:
    """Returns the index node; ``manifests`` has role ``manifest/<platform>`` for each platform.

    An input of a platform that the recipe calls optional is optional here (C11).
    """
    return Node(
        id=NodeId(str(release.id), "index"),
        kind_version=KIND_VERSION,
        slice={
            "annotations": {
                "org.opencontainers.image.title": release.id.name,
                "org.opencontainers.image.version": release.id.version,
            },
        },
        inputs=manifests,
        recipe_path=release.recipe_path,
    )
