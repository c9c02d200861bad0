"""Runs an sbom node: an image config in, the SBOM and the commands out."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.platform import Platform
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.sbom.commands import Wanted, list_commands
from ssds.kinds.sbom.document import Subject, document
from ssds.kinds.sbom.inventory import take
from ssds.oci.flatten import FlatTree, flatten
from ssds.oci.programs import DEFAULT_PATH
from ssds.oci.types import parse_config


def run(bench: Bench) -> Outcome:
    """Returns the outputs ``sbom`` (CycloneDX 1.6 JSON) and ``commands`` (canonical JSON).

    Raises:
        IntegrityError: a layer or the package database is damaged, or the image is for another
            platform (V006).
    """
    blobs = bench.store.blobs
    digest = bench.action.inputs["config"]
    config = parse_config(blobs.read(digest))
    platform = Platform(bench.action.node.id.platform)
    if config.platform is None or config.platform.architecture != platform.architecture:
        raise IntegrityError(
            f"the image is for {config.platform or 'an unknown platform'}, not for {platform}",
            hint="Build the image again for this platform.",
            code="V006",
        )
    tree = flatten([blobs.path(layer) for layer in config.diff_ids])
    node = bench.action.node.slice
    commands = list_commands(
        tree,
        Wanted(
            platform=platform,
            commands=_texts(node, "commands"),
            paths=_texts(node, "paths"),
            search=config.environment.get("PATH", DEFAULT_PATH),
            base=_base(bench, config.diff_ids),
        ),
    )
    inventory = take(tree)
    bench.say(
        f"{len(inventory.packages)} packages, {inventory.files} files, "
        f"{inventory.unowned} of them in no package"
    )
    if inventory.unreadable:
        bench.say(f"{len(inventory.unreadable)} package records could not be read")
    sbom = document(inventory, Subject(digest=digest, config=config, slice=node))
    return Outcome(
        outputs={
            "sbom": blobs.put(canonical_bytes(sbom)),
            "commands": blobs.put(canonical_bytes(commands)),
        }
    )


def _base(bench: Bench, own: tuple[Digest, ...]) -> FlatTree | None:
    """Returns the tree of the image below, or None where its commands are not asked for.

    A base is a layer, or an image of a registry or a recipe by its config. An image that adds
    nothing to its base is a ready-made one: what its maker put on the first layer is what counts.
    """
    digest = bench.action.inputs.get("base")
    if digest is None:
        return None
    blobs = bench.store.blobs
    origin = next(i for i in bench.action.node.inputs if i.role == "base")
    layers: tuple[Digest, ...] = (digest,)
    if origin.output == "config":
        layers = parse_config(blobs.read(digest)).diff_ids
    if layers == own:
        layers = own[:1] if len(own) > 1 else ()
    return flatten([blobs.path(layer) for layer in layers])


def _texts(node: Mapping[str, Json], key: str) -> tuple[str, ...]:
    value = node[key]
    assert isinstance(value, list | tuple)
    return tuple(str(item) for item in value)
