"""Compiles a release's descriptive fields to a metadata node. Pure."""

from __future__ import annotations

from ssds.core.model import Later, Node, NodeId
from ssds.recipe.model import Release

KIND_VERSION = 1


def node(release: Release) -> Node:
    """Returns the metadata node; one for all platforms."""
    files = {role: tree for role, tree in release.metadata_files.items() if tree.entries}
    return Node(
        id=NodeId(str(release.id), "metadata"),
        kind_version=KIND_VERSION,
        slice={
            "name": release.id.name,
            "version": release.id.version,
            "variant": release.id.variant,
            "fields": release.metadata,
            "files": {role: tree.to_json() for role, tree in files.items()},
        },
        hints=Later(lambda: {"local": {role: tree.path for role, tree in files.items()}}),
        origin=Later(lambda: {f"slice.fields.{name}": name for name in release.metadata}),
        recipe_path=release.recipe_path,
    )
