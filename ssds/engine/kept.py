"""The trees of failed steps, kept for ``ssds shell`` by ``apply --keep-failed``.

``.ssds/failed/<node>.json`` says where a tree is and what it stands on. A tree goes when its node
fails or succeeds again, and with ``ssds gc``.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.core.model import NodeId
from ssds.host.files import atomic_write
from ssds.host.sandbox import Sandbox

_FOLDER = "failed"
_LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSource:
    """A source that the step saw below ``/run/ssds/sources/``."""

    digest: Digest
    file: str
    unpack: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTree:
    """A failed step's tree.

    Attributes:
        node: the node's text (``samtools@1.16.1:build``).
        step: the step's number, from 0.
        mode: the sandbox mode that made it; only that mode can open it.
        upper: the folder with the step's changes.
        layers: diffIDs below it, base first.
        script: what a ``run`` step was to do, else the empty string.
        made_at: seconds since the Unix epoch.
    """

    node: str
    platform: str
    step: int
    mode: str
    upper: str
    layers: tuple[Digest, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_folder: str = "/"
    user: str = ""
    script: str = ""
    sources: Mapping[str, KeptSource] = field(default_factory=dict)
    made_at: int = 0
    record: str = ""


def _path(state_folder: str, node: NodeId) -> str:
    name = f"{node}-{node.platform}".replace("/", "_")
    return os.path.join(state_folder, _FOLDER, f"{name}.json")


def remember(
    state_folder: str, node: NodeId, entry: Mapping[str, Json], sandbox: Sandbox | None
) -> None:
    """Writes the record of a kept tree; the tree of an earlier failure of the node goes."""
    forget(state_folder, node, sandbox)
    known: dict[str, Json] = {"node": str(node), "platform": node.platform, "at": int(time.time())}
    data = canonical_bytes({**known, **entry})
    atomic_write(_path(state_folder, node), data, point="kept-tree")


def find(state_folder: str, node: NodeId) -> KeptTree | None:
    """Returns the kept tree of a node, or None; a record without its folder is none."""
    return _read(_path(state_folder, node))


def kept_trees(state_folder: str) -> list[KeptTree]:
    """Returns every tree that the workspace keeps, by node."""
    folder = os.path.join(state_folder, _FOLDER)
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(".json"))
    except FileNotFoundError:
        return []
    found = (_read(os.path.join(folder, name)) for name in names)
    return [tree for tree in found if tree is not None]


def forget(state_folder: str, node: NodeId, sandbox: Sandbox | None) -> None:
    """Removes the kept tree of a node and its record; no tree is fine."""
    tree = find(state_folder, node)
    if tree is not None:
        drop(tree, sandbox)


def drop(tree: KeptTree, sandbox: Sandbox | None) -> None:
    """Removes a kept tree, then its record; what cannot be removed stays with its record."""
    if sandbox is None or sandbox.mode != tree.mode:
        return
    with contextlib.suppress(SsdsError):
        sandbox.remove(tree.upper)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(tree.record)


def _read(path: str) -> KeptTree | None:
    try:
        with open(path, "rb") as file:
            entry = json.loads(file.read(_LIMIT_BYTES))
        tree = KeptTree(
            node=str(entry["node"]),
            platform=str(entry["platform"]),
            step=int(entry["step"]),
            mode=str(entry["mode"]),
            upper=str(entry["upper"]),
            layers=tuple(Digest(str(d)) for d in entry["layers"]),
            environment={str(k): str(v) for k, v in entry["environment"].items()},
            working_folder=str(entry["working_folder"]),
            user=str(entry["user"]),
            script=str(entry["script"]),
            sources={
                str(name): KeptSource(
                    digest=Digest(str(s["digest"])), file=str(s["file"]), unpack=bool(s["unpack"])
                )
                for name, s in entry["sources"].items()
            },
            made_at=int(entry["at"]),
            record=path,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    # A folder of another name is not ours to remove, whatever the record says.
    named = os.path.basename(tree.upper).startswith("kept-") and os.path.isabs(tree.upper)
    return tree if named and os.path.isdir(tree.upper) else None
