"""What a workspace keeps alive in the store: everything that its locks name (C21)."""

from __future__ import annotations

from ssds.core.digest import Digest
from ssds.workspace import Workspace


def workspace_roots(workspace: Workspace) -> dict[Digest, str]:
    """Returns digest → reason for every digest in the workspace's locks."""
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
    for (identity, on), base in workspace.locks.catalog.pins.bases.items():
        if base.diff_id is not None:
            roots.setdefault(base.diff_id, f"base {identity} [{on}]")
        for package in base.packages.packages:
            roots.setdefault(package.file.digest, f"package of base {identity}")
    return roots
