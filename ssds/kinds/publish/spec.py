"""Compiles a target to a publish node. Pure.

Publish sees the verdicts of test and gate, so it cannot run before them (design section 3).
"""

from __future__ import annotations

import functools

from ssds.core.canonical import Json
from ssds.core.model import Input, Node, NodeId
from ssds.oci.compressor import COMPRESSOR
from ssds.recipe.model import Target

KIND_VERSION = 1


@functools.lru_cache(16)  # the platforms of a release share it: it is written as text once
def _slice(name: str, version: str) -> dict[str, Json]:
    return {
        "compressor": dict(COMPRESSOR),
        "annotations": {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
        },
    }


def node(target: Target, *, config: Input, verdicts: tuple[Input, ...], recipe_path: str) -> Node:
    """Returns the publish node of one platform."""
    return Node(
        id=NodeId(str(target.release), "publish", str(target.platform)),
        kind_version=KIND_VERSION,
        slice=_slice(target.release.name, target.release.version),
        inputs=(config, *verdicts),
        recipe_path=recipe_path,
        required=target.required,
    )
