"""The form of the ledger's rows: what each audit found, kept beside the claims.

An audit rebuilds a released image elsewhere and compares. Its outputs are no claims: nothing is
ever reused from a rebuild, so the ledger holds digests and differences and no bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.records import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedFile:
    """One path that differs.

    Attributes:
        path: in the image, without leading slash.
        cause: one of ``ssds.audit.model.CAUSES``.
        what: what of it differs (``content``, ``mode``, ``only in the rebuild``, …).
        owner: the package or step that wrote it, where known.
    """

    path: str
    cause: str
    what: str
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One audit of one released image on one platform.

    Attributes:
        at: seconds since the Unix epoch, UTC.
        release: ``samtools@1.16.1``; platform: ``linux/amd64``.
        manifest: what the lock says; found: what the rebuild gave.
        result: one of ``ssds.audit.model.CLASSES``.
        level: the first level that differs; the empty string where none does.
        builder: who built: ``embedded``; mode: its sandbox mode; emulated: not natively.
        machine, user: where and as whom.
        varied: what was changed, and how; kept: what was not, and why.
        tools: host tool → version, as the base's claim has them.
        bytes_compared: False where only digests were at hand.
        explained: one of ``ssds.audit.model.EXPLANATIONS`` where it explains every difference.
        files: paths that differ, at most 200 of ``count``.
    """

    at: int
    release: str
    platform: str
    manifest: Digest
    found: Digest
    result: str
    level: str = ""
    builder: str = "embedded"
    mode: str = ""
    emulated: bool = False
    machine: str = ""
    user: str = ""
    varied: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    duration_ms: int = 0
    bytes_compared: bool = True
    causes: tuple[str, ...] = ()
    explained: str = ""
    files: tuple[AuditedFile, ...] = ()
    count: int = 0

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form; ``result`` is called ``class`` there."""
        return {
            "at": self.at,
            "release": self.release,
            "platform": self.platform,
            "manifest": str(self.manifest),
            "class": self.result,
            **_rest(self),
        }


def _rest(audit: Audit) -> dict[str, Json]:
    return {
        "found": str(audit.found),
        "level": audit.level,
        "builder": audit.builder,
        "mode": audit.mode,
        "emulated": audit.emulated,
        "machine": audit.machine,
        "user": audit.user,
        "varied": dict(audit.varied),
        "kept": dict(audit.kept),
        "tools": dict(audit.tools),
        "duration_ms": audit.duration_ms,
        "bytes_compared": audit.bytes_compared,
        "causes": list(audit.causes),
        "explained": audit.explained,
        "files": [
            {"path": f.path, "cause": f.cause, "what": f.what, "owner": f.owner}
            for f in audit.files
        ],
        "count": audit.count,
    }


def audit_row(audit: Audit) -> tuple[int, str, str, str, str, str]:
    """Returns the columns at, release, platform, manifest, class and record of an audit."""
    return (
        audit.at,
        audit.release,
        audit.platform,
        str(audit.manifest),
        audit.result,
        canonical_bytes(_rest(audit)).decode(),
    )


def read_audit(row: tuple[int, str, str, str, str, str]) -> Audit:
    """Returns the audit of such columns; ValueError, KeyError or TypeError for a damaged one."""
    at, release, platform, manifest, result, record = row
    rest: dict[str, Any] = json.loads(record)
    try:
        return Audit(
            at=int(at),
            release=release,
            platform=platform,
            manifest=Digest(manifest),
            result=result,
            **{
                **rest,
                "found": Digest(rest["found"]),
                "causes": tuple(rest["causes"]),
                "files": tuple(AuditedFile(**entry) for entry in rest["files"]),
            },
        )
    except InvalidValue as error:
        raise ValueError(error.message) from error
