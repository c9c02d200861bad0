"""What a workspace keeps alive in the store: what its locks and saved plans name (C21)."""

from __future__ import annotations

import os

from ssds.cli.saving import plan_roots
from ssds.core.digest import Digest
from ssds.recipe.settings import is_workspace
from ssds.workspace import Workspace


def workspace_roots(workspace: Workspace) -> dict[Digest, str]:
    """Returns digest → reason for every digest in the workspace's locks and saved plans."""
    roots: dict[Digest, str] = {}
    for lock in workspace.locks.releases.values():
        for variant, entry in lock.variants.items():
            name = lock.release_name(variant)
            if entry.index is not None:
                roots[entry.index.digest] = f"index of {name}"
            if entry.metadata is not None:
                for digest in entry.metadata.outputs.values():
                    roots[digest] = f"metadata of {name}"
            for platform, section in entry.platforms.items():
                where = f"{name} [{platform}]"
                actions = dict(section.release.actions) if section.release else {}
                for kind, claim in {**actions, **section.latest}.items():
                    for digest in claim.outputs.values():
                        roots.setdefault(digest, f"{kind} of {where}")
                for source in section.pins.sources.values():
                    roots.setdefault(source.file.digest, f"source of {where}")
                for packages in section.pins.packages.values():
                    for package in packages.packages:
                        roots.setdefault(package.file.digest, f"package of {where}")
    _add_data(workspace, roots)
    for (identity, on), base in workspace.locks.catalog.pins.bases.items():
        if base.diff_id is not None:
            roots.setdefault(base.diff_id, f"base {identity} [{on}]")
        for layer in base.image.layers if base.image else ():
            roots.setdefault(layer.diff_id, f"base {identity} [{on}]")
        for file in base.files:
            roots.setdefault(file.digest, f"package of base {identity}")
    for digest, reason in plan_roots(workspace).items():
        roots.setdefault(digest, reason)
    return roots


def _add_data(workspace: Workspace, roots: dict[Digest, str]) -> None:
    """Adds what the locks of reference data sets name."""
    for name, data in workspace.data_locks.items():
        for claim in data.actions.values():
            for digest in claim.outputs.values():
                roots.setdefault(digest, f"data of {name}")
        for source in data.sources.values():
            roots.setdefault(source.file.digest, f"source of {name}")


def all_workspace_roots(workspace: Workspace) -> dict[Digest, str]:
    """Returns the roots of every workspace that uses the store, as its locks are now.

    A workspace whose folder is away counts with what it registered last (``store.gc``).

    Raises:
        InputError: the locks of a workspace cannot be read whole: then nothing may be removed.
    """
    roots = workspace_roots(workspace)
    for path in workspace.store.workspaces():
        if path != os.path.realpath(workspace.root) and is_workspace(path):
            other = Workspace.open(path)
            for digest, reason in workspace_roots(other).items():
                roots.setdefault(digest, f"{reason} ({path})")
    return roots


def register_roots(workspace: Workspace) -> None:
    """Notes in the store what the workspace's locks name now."""
    workspace.store.register_workspace(workspace.root, workspace_roots(workspace))
