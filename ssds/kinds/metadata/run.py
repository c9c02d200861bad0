"""Runs a metadata node: writes the canonical blob and keeps icon and help files as blobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.model import Node
from ssds.host import local
from ssds.kinds.api import Bench, Outcome


def run(bench: Bench) -> Outcome:
    """Outputs ``metadata`` and ``file/<role>`` for every file of one entry."""
    slice_ = cast(Mapping[str, Any], bench.action.node.slice)
    paths = cast(Mapping[str, str], bench.action.node.hints["local"])
    outputs: dict[str, Digest] = {"metadata": bench.store.blobs.put(blob_of(bench.action.node))}
    for role, entries in slice_["files"].items():
        for number, entry in enumerate(entries):
            if "sha256" not in entry:
                continue
            name = f"file/{role}" if len(entries) == 1 else f"file/{role}/{number}"
            root = os.path.join(bench.workspace, paths[role])
            source = root if len(entries) == 1 else os.path.join(root, entry["path"])
            copy = os.path.join(bench.folder, f"{role}-{number}".replace("/", "_"))
            if local.copy_hashed(source, copy, mode=0o444) != entry["sha256"]:
                raise IntegrityError(
                    f"{paths[role]} changed while the plan was being applied",
                    hint="Run `ssds apply` again.",
                )
            digest = Digest(entry["sha256"])
            bench.store.blobs.adopt(copy, digest)
            outputs[name] = digest
    return Outcome(outputs=outputs)


def blob_of(node: Node) -> bytes:
    """Returns the bytes of the metadata blob of a node."""
    return canonical_bytes({"metadata_version": 1, **cast(Mapping[str, Any], node.slice)})
