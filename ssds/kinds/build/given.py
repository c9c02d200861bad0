"""Lays out files that steps take under names of their own: inline, local, or from sources."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from ssds.core.errors import IntegrityError, StepFailed
from ssds.host import local
from ssds.host.sandbox import Bind
from ssds.kinds.api import Bench

FILES = "/run/ssds/files"


def bind_files(bench: Bench, number: int, files: Mapping[str, Any], folder: str) -> Bind:
    """Returns the read-only bind of a step's files.

    Args:
        files: name → what the slice says of it.
        folder: where they are laid out.
    """
    for name, entry in files.items():
        stage_file(bench, number, name, entry, folder)
    return Bind(source=folder, target=FILES)


def stage_file(bench: Bench, number: int, name: str, entry: Mapping[str, Any], folder: str) -> None:
    """Writes one file below ``folder``.

    Raises:
        StepFailed: E179, the recipe names a file that is not beside it.
        IntegrityError: a local file is no longer what the key says.
    """
    if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
        raise IntegrityError(f"{name[:120]!r} is no name of a file below the step's folder")
    target = os.path.join(folder, name)
    local.make_folder(os.path.dirname(target))
    mode = 0o755 if entry.get("executable") else 0o644
    if "content" in entry:
        local.write(target, entry["content"].encode(), mode=mode)
        return
    if "sources" in entry:
        (source,) = entry["sources"]
        local.link_or_copy(bench.store.blobs.path(bench.action.inputs[f"source/{source}"]), target)
        if entry.get("executable"):
            local.make_executable(target)
        return
    paths = cast(Mapping[str, str], bench.action.node.hints["local"])
    path = paths[f"{number}/{name}"]
    if not entry["local"]:
        raise StepFailed(f"{path} is not there", hint="Add the file to the recipe.", code="E179")
    (found,) = entry["local"]
    if found.get("executable"):
        mode = 0o755
    digest = local.copy_hashed(os.path.join(bench.workspace, path), target, mode=mode)
    if digest != found["sha256"]:
        raise IntegrityError(
            f"{path} changed while the plan was being applied", hint="Run `ssds apply` again."
        )
