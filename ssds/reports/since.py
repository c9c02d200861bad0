"""What became new, and what is gone, since an earlier report. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.records import dataclass
from ssds.oci.document import load_document
from ssds.reports.model import Report

LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_IMAGES = 100_000
LIMIT_FINDINGS = 1_000_000
HEAD = ("release", "platform", "id", "severity", "package", "version", "fixed")

Key = tuple[str, str, str, str, str]
"""Release, platform, id, package, version."""
Row = tuple[str, ...]
"""As HEAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two reports beside each other.

    Attributes:
        new, gone: findings as HEAD, in the reports' order.
        changed: findings with another severity or fix, as now, and in words what they were.
        unseen: (release, platform) with findings before and no look at it now: nothing of it is
            gone.
        same: how many findings are the same.
        before, now: the advisory sets that were asked, with their dates.
    """

    new: tuple[Row, ...]
    gone: tuple[Row, ...]
    changed: tuple[tuple[Row, str], ...]
    unseen: tuple[tuple[str, str], ...]
    same: int
    before: tuple[str, ...]
    now: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Returns ``{new, gone, changed, unseen, same, advisories: {before, now}}``."""
        return {
            "new": [dict(zip(HEAD, row, strict=True)) for row in self.new],
            "gone": [dict(zip(HEAD, row, strict=True)) for row in self.gone],
            "changed": [
                {**dict(zip(HEAD, row, strict=True)), "before": text} for row, text in self.changed
            ],
            "unseen": [{"release": r, "platform": p} for r, p in self.unseen],
            "same": self.same,
            "advisories": {"before": list(self.before), "now": list(self.now)},
        }


def difference(earlier: bytes, report: Report) -> Difference:
    """Returns what differs.

    Args:
        earlier: what ``ssds scan --format json`` wrote then.

    Raises:
        IntegrityError: it is no such report.
    """
    before, sets = _read(earlier)
    now = {
        (image.release, image.platform, f.id, f.package, f.version): (f.severity, f.fixed)
        for image in report.images
        for f in image.findings
    }
    looked = {
        (image.release, image.platform)
        for image in report.images
        if image.scan is not None and image.scan.scanned
    }
    lost = [key for key in before if key not in now]
    both = [key for key in now if key in before]
    changed = [key for key in both if now[key] != before[key]]
    return Difference(
        new=tuple(_row(key, now) for key in now if key not in before),
        gone=tuple(_row(key, before) for key in lost if key[:2] in looked),
        changed=tuple((_row(key, now), _was(before[key])) for key in changed),
        unseen=tuple(sorted({key[:2] for key in lost if key[:2] not in looked})),
        same=len(both) - len(changed),
        before=sets,
        now=tuple(sorted({i.scan.advisories for i in report.images if i.scan is not None} - {""})),
    )


def _row(key: Key, facts: Mapping[Key, tuple[str, str]]) -> Row:
    release, platform, name, package, version = key
    severity, fixed = facts[key]
    return (release, platform, name, severity, package, version, fixed or "-")


def _was(facts: tuple[str, str]) -> str:
    severity, fixed = facts
    return f"{severity}, {f'fixed in {fixed}' if fixed else 'no fix'}"


def _read(data: bytes) -> tuple[dict[Key, tuple[str, str]], tuple[str, ...]]:
    top = load_document(data, "the earlier report", limit_bytes=LIMIT_BYTES)
    found: dict[Key, tuple[str, str]] = {}
    sets: set[str] = set()
    if not top.has("scans"):
        top.fail("has no scans: give what `ssds scan --format json` wrote")
    for image in top.items("scans", limit=LIMIT_IMAGES):
        sets.add(image.text("advisories", ""))
        place = (image.text("release"), image.text("platform"))
        for item in image.items("findings", limit=LIMIT_FINDINGS):
            key = (*place, item.text("id"), item.text("package"), item.text("version"))
            found[key] = (item.text("severity"), item.text("fixed", ""))
    return found, tuple(sorted(sets - {""}))
