"""Compiles a target to an sbom node. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.model import Input, Node, NodeId
from ssds.core.pins import PlatformPins
from ssds.recipe.model import Target
from ssds.recipe.uses import build_sources

KIND_VERSION = 1
INVENTORY: dict[str, Json] = {"name": "ssds-inventory", "version": 2}
"""What reads the image; raise the version when its answers change."""
_STATED = ("name", "version", "licenses", "homepage", "identifiers")


_ORIGIN = {"slice.commands": "deploy.commands", "slice.paths": "deploy.paths"}


def node(
    target: Target,
    software: Mapping[str, Json],
    config: Input,
    *,
    base: Input | None = None,
    pins: PlatformPins | None = None,
    recipe_path: str = "",
) -> Node:
    """Returns the sbom node of one platform.

    Args:
        target: the release on one platform.
        software: what the recipe itself installs ({name, version, licenses?, homepage?,
            identifiers?}).
        config: the build node's ``config`` output, role ``config``.
        base: what the image stands on, role ``base``; seen only where the recipe declares no
            command, for then those that the base does not have are found.
        pins: gives the digests of sources that the recipe does not state.
        recipe_path: the recipe's file.
    """
    deploy = target.deploy
    return Node(
        id=NodeId(str(target.release), "sbom", str(target.platform)),
        kind_version=KIND_VERSION,
        slice={
            "inventory": dict(INVENTORY),
            "release": {"name": target.release.name, "version": target.release.version},
            "software": {key: software[key] for key in _STATED if key in software},
            "sources": _sources(target, pins or PlatformPins()),
            "commands": sorted(set(deploy.commands)),
            "paths": list(deploy.paths),
        },
        inputs=(config, base) if base is not None and not declares(target) else (config,),
        origin=_ORIGIN,
        recipe_path=recipe_path,
        required=target.required,
    )


def declares(target: Target) -> bool:
    """Whether the recipe says which commands its image offers."""
    return bool(target.deploy.commands or target.deploy.paths)


def _sources(target: Target, pins: PlatformPins) -> list[Json]:
    """Returns the sources that build steps use, by name; test data is not part of the software."""
    entries: list[Json] = []
    for name in sorted(build_sources(target) & set(target.sources)):
        request = target.sources[name]
        pin = pins.sources.get(name)
        digest = pin.file.digest if pin else request.sha256
        entry: dict[str, Json] = {"name": name}
        if digest is not None:
            entry["sha256"] = digest.hex
        if request.deb_src:
            entry["deb_src"] = request.deb_src
        if request.pypi:
            entry["pypi"] = request.pypi
        entries.append(entry)
    return entries
