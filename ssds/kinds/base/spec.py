"""Base and pin to node. Pure."""

from __future__ import annotations

from ssds.core.canonical import Json
from ssds.core.model import Node, NodeId
from ssds.core.pins import BasePin
from ssds.core.platform import Platform
from ssds.packages.wire import identities, package_to_json
from ssds.recipe.model import Base

KIND_VERSION = 1

PATH_EXCLUDES = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
"""What dpkg leaves out, here and in every later apt step: it stays in /etc/dpkg/dpkg.cfg.d.
Licence texts (``copyright``) stay."""


def node(base: Base, platform: Platform, pin: BasePin | None) -> Node:
    """Returns the node of a base on one platform.

    Its key holds the exact packages, not the places from which they come. With a pin that was
    bootstrapped once, its layer is known before it runs. Without a pin it is "not locked" (C10).
    """
    if pin is None:
        return Node(
            id=NodeId(owner=base.name, kind="base", platform=str(platform)),
            kind_version=KIND_VERSION,
            slice=asked_of(base),
            unpinned=(f"base {base.name}",),
        )
    hints: dict[str, Json] = {"packages": [package_to_json(p) for p in pin.packages.packages]}
    return Node(
        id=NodeId(owner=base.name, kind="base", platform=str(platform), part=pin.date),
        kind_version=KIND_VERSION,
        slice={
            "suite": base.suite,
            "dpkg": list(PATH_EXCLUDES),
            "packages": identities(pin.packages.packages),
        },
        epoch=pin.epoch,
        fixed={"layer": pin.diff_id} if pin.diff_id else {},
        hints=hints,
    )


def asked_of(base: Base) -> dict[str, Json]:
    """Returns what a base asks for: all that its pin answers."""
    if base.image:
        return {"image": base.image}
    return {
        "suite": base.suite,
        "components": list(base.components),
        "include": list(base.include),
    }
