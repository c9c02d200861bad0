"""What the newest scans of releases found, and which deployed sites serve it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.records import dataclass, replace
from ssds.kinds.gate.findings import Finding, Scan
from ssds.kinds.scan.severity import LEVELS

COUNTS_HEAD = ("release", "platform", *LEVELS)
GAPS_HEAD = ("release", "platform", "what")
HEAD = ("release", "platform", "id", "severity", "package", "version", "fixed", "remarks")
SERVED_HEAD = ("site", "module", "platform", "findings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One release on one platform.

    Attributes:
        release, platform: its names.
        file: the recipe's, or the lock's where there is no recipe, relative to the workspace.
        config: digest of the image's config, by which deployed trees name it; None before the
            first release.
        manifest: digest of the image, by which registries name it.
        scan: the newest scan's findings, or None: then ``missing`` says why.
        remarks: on its files, where its policy has them looked at.
        inspected: whether its files were looked at.
        waivers: those of its recipe that are in force: {id, package, reason, owner, until}.
    """

    release: str
    platform: str
    file: str
    config: Digest | None = None
    manifest: Digest | None = None
    scan: Scan | None = None
    remarks: tuple[Finding, ...] = ()
    inspected: bool = False
    waivers: tuple[Mapping[str, Json], ...] = ()
    missing: str = ""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What nobody looked at, in words; empty where all was."""
        if self.scan is None:
            return (self.missing,)
        unread = () if self.scan.scanned else self.scan.problems  # Scan tells them of a scan only
        return (*self.scan.gaps, *(f"not judged: {problem}" for problem in unread))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Its findings, the worst first."""
        found = (*(self.scan.findings if self.scan is not None else ()), *self.remarks)
        return tuple(sorted(found, key=lambda f: (rank(f.severity), f.id, f.package, f.version)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One deployed release: ``found`` is None where its image is of no release here."""

    site: str
    module: str
    platform: str
    found: int | None

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Returns it as SERVED_HEAD."""
        count = "not known: another revision" if self.found is None else str(self.found)
        return (self.site, self.module, self.platform, count)


def _fixed(found: Finding) -> str:
    return found.fixed or (f"partly {found.partly}" if found.partly else "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is reported: images in order, and what deployed sites serve of them."""

    images: tuple[Image, ...]
    served: tuple[Served, ...] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Every finding as HEAD says."""
        return [
            (
                image.release, image.platform, found.id, found.severity, found.package,
                found.version, _fixed(found), remarks(found),
            )
            for image in self.images
            for found in image.findings
        ]  # fmt: skip

    @property
    def counts(self) -> list[tuple[str, ...]]:
        """How many findings of each level every image has, as COUNTS_HEAD says."""
        return [(i.release, i.platform, *map(str, counts(i).values())) for i in self.images]

    @property
    def gaps(self) -> list[tuple[str, str, str]]:
        """What nobody looked at, as GAPS_HEAD says."""
        return [(i.release, i.platform, gap) for i in self.images for gap in i.gaps]

    def only(self, name: str) -> Report:
        """Returns the report of one vulnerability, by its id or an alias."""
        wanted = name.casefold()
        images = []
        for image in (replace(image, remarks=()) for image in self.images):
            if image.scan is not None:
                found = tuple(
                    f for f in image.scan.findings if wanted in {n.casefold() for n in f.names}
                )
                images.append(replace(image, scan=replace(image.scan, findings=found)))
            else:
                images.append(image)
        return replace(self, images=tuple(images))

    def on_sites(self, deployed: Iterable[tuple[str, str, Mapping[str, Digest]]]) -> Report:
        """Returns the report with what sites serve.

        Args:
            deployed: (site, module, platform → config digest) of every release that they serve.
        """
        known = {
            image.config: len(image.scan.findings)
            for image in self.images
            if image.config is not None and image.scan is not None and image.scan.scanned
        }
        served = tuple(
            Served(site=site, module=module, platform=platform, found=known.get(config))
            for site, module, images in deployed
            for platform, config in images.items()
        )
        return replace(self, served=served)


def rank(severity: str) -> int:
    """Returns the place of a severity in LEVELS; what is no level comes last."""
    return LEVELS.index(severity) if severity in LEVELS else len(LEVELS)


def remarks(found: Finding) -> str:
    """Returns what is known of a finding besides, in words."""
    words = [found.what] if found.what else []
    if found.kev:
        words.append(f"exploited since {found.kev}")
    if found.epss:
        words.append(f"EPSS {found.epss}")
    if found.state:
        words.append(found.state + (f" since {found.since}" if found.since else ""))
    if found.severity_source:
        words.append(f"severity by {found.severity_source}")
    return "; ".join(words)


def counts(image: Image) -> dict[str, int]:
    """Returns how many findings of each level an image has; words that are no level are unknown."""
    found = dict.fromkeys(LEVELS, 0)
    for finding in image.findings:
        found[finding.severity if finding.severity in found else "unknown"] += 1
    return found


def to_json(report: Report) -> dict[str, Json]:
    """Returns ``{scans: [{release, platform, advisories, gaps, findings}], served}``."""
    return {
        "scans": [
            {
                "release": image.release,
                "platform": image.platform,
                "advisories": image.scan.advisories if image.scan is not None else "",
                "gaps": list(image.gaps),
                "findings": [_finding(f) for f in image.findings],
            }
            for image in report.images
        ],
        "served": [
            {"site": s.site, "module": s.module, "platform": s.platform, "findings": s.found}
            for s in report.served
        ],
    }


def _finding(found: Finding) -> dict[str, Json]:
    more = {
        "severity_source": found.severity_source, "kev": found.kev, "epss": found.epss,
        "state": found.state, "since": found.since,
    }  # fmt: skip
    aliases: list[Json] = [*sorted(found.names - {found.id})]
    return {**found.to_json(), "aliases": aliases, **{k: v for k, v in more.items() if v}}
