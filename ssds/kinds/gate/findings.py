"""A findings document as the gate reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.oci.document import Place, load_document

LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_FINDINGS = 1_000_000
IMAGE = "image"
"""The ecosystem of remarks on an image's files: no advisories speak of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding, as the scan wrote it.

    Attributes:
        names: its id and aliases.
        partly: a version that clears some of its records, where none clears all.
        severity_source: who states the severity, in words.
        kev: the day since which it is known to be exploited, or empty.
        epss: how probable an exploitation is, as the advisory set says it, or empty.
        state: why there is no fix, as the source says it, or empty.
        since: from when on that is so, of a distribution whose support has ended.
        what: of a remark on an image's files: what is wrong with it, in words; ``package`` is the
            path then and ``version`` the layer.
    """

    id: str
    names: frozenset[str]
    ecosystem: str
    package: str
    source: str
    version: str
    fixed: str
    severity: str
    partly: str = ""
    severity_source: str = ""
    kev: str = ""
    epss: str = ""
    state: str = ""
    since: str = ""
    what: str = ""

    @property
    def ended(self) -> str:
        """Since when the distribution is without support, where that is the finding."""
        return self.since if self.state == "end-of-life" else ""

    @property
    def remedy(self) -> str:
        """In words, what mends it."""
        if self.fixed:
            return f"fixed in {self.fixed}"
        return f"partly fixed in {self.partly}" if self.partly else "no fix is known"

    @property
    def sentence(self) -> str:
        """In words, what was found and what mends it."""
        if self.what:
            where = f" ({self.version})" if self.version else ""
            return f"{self.id} ({self.severity}): {self.package}{where}: {self.what}"
        return f"{self.id} ({self.severity}) in {self.package} {self.version}, {self.remedy}"

    def to_json(self) -> dict[str, Json]:
        """Returns what the report says of it."""
        return {
            "id": self.id,
            "ecosystem": self.ecosystem,
            "package": self.package,
            "source": self.source,
            "version": self.version,
            "fixed": self.fixed,
            "severity": self.severity,
            **({"partly_fixed": self.partly} if self.partly else {}),
            **({"what": self.what} if self.what else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The findings document: whether there was a scan, what it did not cover, what it found.

    ``problems`` are sentences on what the scan could not judge.
    """

    scanned: bool
    uncovered: Mapping[str, int]
    without_source: Mapping[str, int]
    findings: tuple[Finding, ...]
    advisories: str = ""
    """Name and date of the set that was asked."""
    advisories_date: str | None = None
    """Its date, or None where none was asked."""
    problems: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[str, ...]:
        """What nobody looked at, in words; empty where all was."""
        if not self.scanned:
            return ("the image was not scanned: no advisory set is pinned",)
        uncovered = (
            f"{count or 'all'} package{'' if count == 1 else 's'} of {name} not scanned: "
            + ("no advisories for it" if count else "its database cannot be read")
            for name, count in sorted(self.uncovered.items())
        )
        return (*uncovered, *(f"not judged: {problem}" for problem in self.problems))


def read_scan(data: bytes) -> Scan:
    """Returns the findings document; raises IntegrityError when it is not one."""
    top = load_document(data, "findings", limit_bytes=LIMIT_BYTES)
    scanned = top.child("scanned").value
    if not isinstance(scanned, bool):
        top.child("scanned").fail("expected true or false")
    return Scan(
        scanned=scanned,
        uncovered=_counts(top, "uncovered"),
        without_source=_counts(top, "without_source"),
        advisories=_basis(top.child("advisories")) if top.has("advisories") else "",
        advisories_date=_date(top),
        findings=tuple(_finding(f) for f in top.items("findings", limit=LIMIT_FINDINGS)),
        problems=top.texts("problems", limit=LIMIT_FINDINGS),
    )


def read_inspection(data: bytes) -> tuple[Finding, ...]:
    """Returns the remarks on an image's files as findings; raises IntegrityError if they are none.

    Their id is the rule, so that a waiver names rule and path.
    """
    top = load_document(data, "inspection", limit_bytes=LIMIT_BYTES)
    return tuple(_remark(item) for item in top.items("findings", limit=LIMIT_FINDINGS))


def _remark(item: Place) -> Finding:
    layer = item.integer("layer", low=0, high=1 << 20)
    return Finding(
        id=item.text("rule"),
        names=frozenset((item.text("rule"),)),
        ecosystem=IMAGE,
        package=item.text("path"),
        source=item.text("path"),
        version=f"layer {layer}" if layer else "",
        fixed="",
        severity=item.text("severity"),
        what=item.text("what"),
    )


def _basis(place: Place) -> str:
    return f"{place.text('name', '')} {place.text('date', '')}".strip()


def _date(top: Place) -> str | None:
    return top.child("advisories").text("date", "") if top.has("advisories") else None


def _counts(top: Place, key: str) -> dict[str, int]:
    place = top.child(key)
    return {name: place.integer(name, low=0, high=1 << 40) for name in place.map()}


def _finding(item: Place) -> Finding:
    name = item.text("id")
    return Finding(
        id=name,
        names=frozenset((name, *item.texts("aliases"))),
        ecosystem=item.text("ecosystem"),
        package=item.text("package"),
        source=item.text("source"),
        version=item.text("version"),
        fixed=item.text("fixed", ""),
        severity=item.text("severity"),
        partly=item.text("partly_fixed", ""),
        severity_source=item.text("severity_source", ""),
        kev=item.text("kev", ""),
        epss=item.text("epss", ""),
        state=item.text("state", ""),
        since=item.text("since", ""),
    )
