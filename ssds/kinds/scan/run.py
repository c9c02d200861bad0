"""Runs a scan node: SBOM and advisory set in, findings out."""

from __future__ import annotations

from ssds.advisories import pack
from ssds.advisories.osv import AdvisorySet
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.scan.components import LIMIT_BYTES as SBOM_LIMIT_BYTES
from ssds.kinds.scan.components import read_sbom
from ssds.kinds.scan.match import Memo, findings
from ssds.kinds.scan.resolve import set_bytes

_KEPT: dict[Digest, tuple[AdvisorySet, Memo]] = {}
"""The set that this process used last, and what it says of packages: images share most of both."""


def run(bench: Bench) -> Outcome:
    """Returns the output ``findings`` (canonical JSON, see ``match.findings``)."""
    sbom = read_sbom(
        bench.store.blobs.read(bench.action.inputs["sbom"], limit_bytes=SBOM_LIMIT_BYTES)
    )
    advisories, memo = _advisories(bench)
    if advisories is None:
        bench.say("no advisory set is pinned: the image is not scanned")
    document = findings(
        sbom.packages, advisories, unread=sbom.unread, unreadable=sbom.unreadable, memo=memo
    )
    found = document["findings"]
    assert isinstance(found, list)
    total = f"{len(sbom.packages)} packages, {len(found)} finding{'' if len(found) == 1 else 's'}"
    bench.say(total)
    bench.log(f"{total}\n".encode())
    for item in found:
        partly = f"partly fixed in {item['partly_fixed']}" if "partly_fixed" in item else ""
        fixed = f"fixed in {item['fixed']}" if item.get("fixed") else partly or "no fix known"
        line = f"{item['id']} {item['severity']}: {item['package']} {item['version']}, {fixed}\n"
        bench.log(line.encode())
    return Outcome(outputs={"findings": bench.store.blobs.put(canonical_bytes(document))})


def _advisories(bench: Bench) -> tuple[AdvisorySet | None, Memo]:
    digest = bench.action.inputs.get("advisories")
    if digest is None:
        return None, {}
    if not bench.store.blobs.has(digest):
        bench.store.blobs.put(_from_workspace(bench, digest))
    kept = _KEPT.get(digest)
    if kept is not None:
        return kept
    kept = (pack.read_set(bench.store.blobs.read(digest, limit_bytes=pack.LIMIT_BYTES)), {})
    _KEPT.clear()
    _KEPT[digest] = kept
    return kept


def _from_workspace(bench: Bench, digest: Digest) -> bytes:
    """Returns the set from the workspace's file, checked against the pin."""
    path = str(bench.action.node.hints.get("advisories_path", ""))
    if not path:
        raise UnavailableError(
            f"the advisory set {digest.short} is not in the store",
            hint="Run `ssds lock` again where the set's file is, or restore it from Git.",
            code="V003",
        )
    data = set_bytes(bench.workspace, path)
    if sha256_of(data) != digest:
        raise IntegrityError(
            f"the advisory set {path} is not the pinned one ({digest.short})",
            hint="Pin the new set with `ssds lock`, or restore the file from Git.",
            code="V004",
        )
    return data
