"""What became new, and what is gone, since an earlier report. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.records import dataclass
from ssds.kinds.gate.findings import IMAGE
from ssds.kinds.inspect.remark import UNREAD_FILES
from ssds.kinds.scan.match import UNREAD_RECORD
from ssds.oci.document import load_document
from ssds.reports.model import Image, Report

LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_IMAGES = 100_000
LIMIT_FINDINGS = 1_000_000
HEAD = ("release", "platform", "id", "severity", "package", "version", "fixed")
UNSEEN_HEAD = ("release", "platform", "ecosystem")

Key = tuple[str, str, str, str, str, str]
"""Release, platform, ecosystem, id, package, version."""
Seen = tuple[str, str, str]
"""Release, platform, ecosystem."""
Row = tuple[str, ...]
"""As HEAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two reports beside each other.

    Attributes:
        new, gone: findings as HEAD, in the reports' order.
        changed: findings with another severity or fix, as now, and in words what they were.
        unseen: (release, platform, ecosystem) with findings before and no look at it now: nothing
            of it is gone.
        same: how many findings are the same.
        before, now: the advisory sets that were asked, with their dates.
    """

    new: tuple[Row, ...]
    gone: tuple[Row, ...]
    changed: tuple[tuple[Row, str], ...]
    unseen: tuple[Seen, ...]
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
            "unseen": [{"release": r, "platform": p, "ecosystem": e} for r, p, e in self.unseen],
            "same": self.same,
            "advisories": {"before": list(self.before), "now": list(self.now)},
        }


def difference(earlier: bytes, report: Report, *, only: str = "", platform: str = "") -> Difference:
    """Returns what differs.

    Args:
        earlier: what ``ssds scan --format json`` wrote then.
        only: the vulnerability that the report was asked for: of the earlier one it counts alone.
        platform: the same of a platform.

    Raises:
        IntegrityError: it is no such report.
    """
    before, sources, sets = _read(earlier, only.casefold(), platform)
    now = {
        (image.release, image.platform, f.ecosystem, f.id, f.package, f.version): (
            f.severity, f.fixed,
        )
        for image in report.images
        for f in image.findings
    }  # fmt: skip
    images = {(image.release, image.platform): image for image in report.images}
    lost = [key for key in before if key not in now]
    unseen = {key for key in lost if not _looked(images.get(key[:2]), key, sources[key])}
    both = [key for key in now if key in before]
    changed = [key for key in both if now[key] != before[key]]
    return Difference(
        new=tuple(_row(key, now) for key in now if key not in before),
        gone=tuple(_row(key, before) for key in lost if key not in unseen),
        changed=tuple((_row(key, now), _was(before[key])) for key in changed),
        unseen=tuple(sorted({key[:3] for key in unseen})),
        same=len(both) - len(changed),
        before=sets,
        now=tuple(sorted({i.scan.advisories for i in report.images if i.scan is not None} - {""})),
    )


def _looked(image: Image | None, key: Key, source: str) -> bool:
    """Whether somebody looked now for a finding of then."""
    _, _, ecosystem, _, package, _ = key
    if image is None:
        return False
    scan = image.scan
    problems = scan.problems if scan is not None else ()
    if ecosystem == IMAGE:
        return image.inspected and not any(p.startswith(UNREAD_FILES) for p in problems)
    if (
        scan is None
        or not scan.scanned
        or ecosystem in scan.uncovered
        or 0 in scan.uncovered.values()
    ):
        return False
    unjudged = (UNREAD_RECORD, f"{ecosystem} {source} ", f"{ecosystem} {package} ")
    return not any(problem.startswith(unjudged) for problem in problems)


def _row(key: Key, facts: Mapping[Key, tuple[str, str]]) -> Row:
    release, platform, _, name, package, version = key
    severity, fixed = facts[key]
    return (release, platform, name, severity, package, version, fixed or "-")


def _was(facts: tuple[str, str]) -> str:
    severity, fixed = facts
    return f"{severity}, {f'fixed in {fixed}' if fixed else 'no fix'}"


def _read(
    data: bytes, only: str, platform: str
) -> tuple[dict[Key, tuple[str, str]], dict[Key, str], tuple[str, ...]]:
    """Returns severity and fix of each finding, the source of its package, and the sets' names."""
    top = load_document(data, "the earlier report", limit_bytes=LIMIT_BYTES)
    found: dict[Key, tuple[str, str]] = {}
    sources: dict[Key, str] = {}
    sets: set[str] = set()
    if not top.has("scans"):
        top.fail("has no scans: give what `ssds scan --format json` wrote")
    for image in top.items("scans", limit=LIMIT_IMAGES):
        sets.add(image.text("advisories", ""))
        place = (image.text("release"), image.text("platform"))
        if platform and place[1] != platform:
            continue
        for item in image.items("findings", limit=LIMIT_FINDINGS):
            name, ecosystem = item.text("id"), item.text("ecosystem")
            package, version = item.text("package"), item.text("version")
            names = {n.casefold() for n in (name, *item.texts("aliases"))}
            if only and (only not in names or ecosystem == IMAGE):
                continue
            key = (*place, ecosystem, name, package, version)
            found[key] = (item.text("severity"), item.text("fixed", ""))
            sources[key] = item.text("source", "")
    return found, sources, tuple(sorted(sets - {""}))
