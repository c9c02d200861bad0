"""Base and pin to node. Pure."""

from __future__ import annotations

from ssds.core.canonical import Json, fingerprint
from ssds.core.digest import Digest
from ssds.core.model import Later, Node, NodeId
from ssds.core.pins import BasePin
from ssds.core.platform import Platform
from ssds.packages.wire import file_to_json, identities, package_to_json
from ssds.recipe.model import Base

KIND_VERSION = 1
IMAGE_VERSION = 1
"""The version of a base that is an image of a registry."""

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

    Its key holds the exact packages, not the places from which they come; of an image the config,
    which names its layers by content. With a pin that was bootstrapped once, its layer is known
    before it runs. Without a pin it is "not locked" (C10).
    """
    if pin is None:
        return Node(
            id=NodeId(owner=base.name, kind="base", platform=str(platform)),
            kind_version=KIND_VERSION,
            slice=asked_of(base),
            unpinned=(f"base {base.name}",),
        )
    if pin.image is not None:
        outputs = {f"layer/{n}": layer.diff_id for n, layer in enumerate(pin.image.layers)}
        return Node(
            id=NodeId(owner=base.name, kind="base", platform=str(platform), part=pin.date),
            kind_version=IMAGE_VERSION,
            slice={"config": str(pin.image.config)},
            fixed={"config": pin.image.config, **outputs},
            hints=Later(lambda: {"files": [file_to_json(f) for f in pin.files]}),
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


def request_of(base: Base, platform: Platform) -> Digest:
    """Returns the fingerprint of what a base asks for on one platform."""
    return fingerprint({**asked_of(base), "platform": str(platform)}, "base-request")


def asked_of(base: Base) -> dict[str, Json]:
    """Returns what a base asks for: all that its pin answers."""
    if base.image:
        return {"image": base.image}
    return {
        "suite": base.suite,
        "components": list(base.components),
        "include": list(base.include),
    }
