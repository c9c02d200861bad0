"""Compiles a target to a scan node. Pure.

Its key rests on the SBOM, the advisory set and the matcher (C15): a new advisory set re-scans
and does nothing else.
"""

from __future__ import annotations

from ssds.core.canonical import Json
from ssds.core.model import Input, Node, NodeId
from ssds.recipe.model import Target

KIND_VERSION = 1
MATCHER: dict[str, Json] = {"name": "ssds", "version": 4}
"""What turns an SBOM and advisories into findings; raise the version when its answers change."""
_SLICE: dict[str, Json] = {"matcher": MATCHER}  # one for all: it is written as text once


def node(
    target: Target,
    sbom: Input,
    advisories: Input | None,
    *,
    recipe_path: str = "",
    advisories_path: str = "",
) -> Node:
    """Returns the scan node of one platform.

    Args:
        target: the release on one platform.
        sbom: the sbom node's ``sbom`` output, role ``sbom``.
        advisories: the pinned advisory set, role ``advisories``; None where there is none: the
            findings then say "not scanned", which is not "clean".
        recipe_path: the recipe's file.
        advisories_path: where the workspace keeps the set; used when the store lacks its bytes.
    """
    return Node(
        id=NodeId(str(target.release), "scan", str(target.platform)),
        kind_version=KIND_VERSION,
        slice=_SLICE,
        inputs=(sbom,) if advisories is None else (sbom, advisories),
        hints={"advisories_path": advisories_path} if advisories_path else {},
        recipe_path=recipe_path,
        required=target.required,
    )
