"""Garbage collection: roots keep what they name; all else goes after a grace period (C21).

Claims and pre-images stay: a claim whose blob was collected still tells what an action gave, and
``explain`` still finds its neighbours.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, SsdsError
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.types import parse_config, parse_index, parse_manifest
from ssds.store.store import Store

GRACE_S = 14 * 24 * 3600
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What garbage collection kept and removed.

    Attributes:
        kept: digest → why it is kept.
        removed: digest → size in bytes; with ``dry_run`` what would be removed.
        size_bytes: of the removed blobs.
        missing: roots and what they name that the store does not have.
    """

    kept: Mapping[Digest, str]
    removed: Mapping[Digest, int]
    size_bytes: int
    missing: tuple[Digest, ...]
    dry_run: bool


def collect(
    store: Store,
    roots: Mapping[Digest, str],
    *,
    keep_seconds: float = GRACE_S,
    dry_run: bool = False,
    now_s: float | None = None,
) -> Report:
    """Removes the blobs that no root reaches and that are older than the grace period.

    Args:
        roots: digest → reason (``released by samtools@1.16.1``). What workspaces registered and
            what the store's ``index.json`` names are added.
        keep_seconds: the grace period.

    Raises:
        EnvironmentProblem: T020, an apply is at work in this store.
        IntegrityError: a root's document is damaged: then nothing is removed.
    """
    with store.exclusive(wait=False) as held:
        if not held and not dry_run:
            raise EnvironmentProblem(
                f"the store {store.path} is in use by another ssds",
                hint="Wait until it has ended, then try again.",
                code="T020",
            )
        return _collect(
            store, roots, keep_seconds, dry_run, time.time() if now_s is None else now_s
        )


def all_roots(store: Store, roots: Mapping[Digest, str]) -> dict[Digest, str]:
    """Returns the given roots with those that the store itself knows."""
    found = dict(roots)
    for digest, reason in store.registered_roots().items():
        found.setdefault(digest, reason)
    for name, entry in store.layout.tags().items():
        found.setdefault(entry.digest, f"named {name} in the store's index.json")
    return found


def reach(store: Store, roots: Mapping[Digest, str]) -> dict[Digest, tuple[str, Digest | None]]:
    """Returns all that the roots name, directly or not: digest → (reason, by which document)."""
    found: dict[Digest, tuple[str, Digest | None]] = {}
    stack: list[tuple[Digest, str, Digest | None]] = [
        (digest, reason, None) for digest, reason in sorted(roots.items(), reverse=True)
    ]
    while stack:
        digest, reason, parent = stack.pop()
        if digest in found:
            continue
        found[digest] = (reason, parent)
        if digest.algorithm != "sha256" or not store.blobs.has(digest):
            continue
        stack.extend((child, role, digest) for child, role in _names(store, digest))
    return found


def why(store: Store, roots: Mapping[Digest, str], digest: Digest) -> tuple[str, ...]:
    """Returns the chain of reasons that keeps ``digest``, the root first; empty if nothing does."""
    found = reach(store, all_roots(store, roots))
    chain: list[str] = []
    step: Digest | None = digest
    while step is not None and step in found:
        reason, parent = found[step]
        chain.append(f"{step}: {reason}")
        step = parent
    return tuple(reversed(chain))


def _collect(
    store: Store, roots: Mapping[Digest, str], keep_seconds: float, dry_run: bool, now_s: float
) -> Report:
    reached = reach(store, all_roots(store, roots))
    kept: dict[Digest, str] = {}
    removed: dict[Digest, int] = {}
    for digest in store.blobs.all():
        found = reached.get(digest)
        status = os.stat(store.blobs.path(digest))
        if found is not None:
            kept[digest] = found[0] + (f" of {found[1]}" if found[1] else "")
        elif now_s - max(status.st_mtime, status.st_ctime) < keep_seconds:
            kept[digest] = "younger than the grace period"
        else:
            removed[digest] = status.st_size
    if not dry_run:
        gone = sorted(removed)
        for start in range(0, len(gone), _BATCH):
            # Marked first: after a crash a mark without removal says nothing wrong.
            part = gone[start : start + _BATCH]
            store.claims.mark_collected(part)
            for digest in part:
                store.blobs.remove(digest)
        store.sweep()
        store.forget_leases()
    return Report(
        kept=kept,
        removed=removed,
        size_bytes=sum(removed.values()),
        missing=tuple(sorted(d for d in reached if not store.blobs.has(d))),
        dry_run=dry_run,
    )


def _names(store: Store, digest: Digest) -> Iterator[tuple[Digest, str]]:
    """Gives what a blob names, if it is an index, a manifest or a config."""
    if store.blobs.size(digest) > DOCUMENT_LIMIT_BYTES:
        return
    with store.blobs.open(digest) as file:
        if file.read(1) != b"{":
            return
    data = store.blobs.read(digest, DOCUMENT_LIMIT_BYTES)
    try:
        shape = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(shape, dict):
        return
    what = str(digest)
    try:
        if "manifests" in shape:
            for entry in parse_index(data, what).manifests:
                yield entry.digest, f"manifest for {entry.platform or 'a platform'}"
        elif "config" in shape and "layers" in shape:
            manifest = parse_manifest(data, what)
            yield manifest.config.digest, "config"
            for layer in manifest.layers:
                yield layer.digest, "layer"
        elif "rootfs" in shape:
            for diff_id in parse_config(data, what).diff_ids:
                yield diff_id, "uncompressed layer"
    except SsdsError:
        if shape.get("schemaVersion") == 2 or "mediaType" in shape:
            raise  # what it names is not known, so nothing may be removed
