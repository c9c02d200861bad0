"""What ssds would have done against what the old scripts did since the last report. Pure.

Both sides are compared by what users see: name, version and day. Bytes are compared where both are
of one kind; an unpacked folder's fingerprint says nothing of an image's digest.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from ssds.adopt.model import ARM64, Reading
from ssds.core.digest import Digest
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.lock.model import Locks, releasable
from ssds.ship.changes import Change
from ssds.ship.old_layout import ARM64_SUFFIX, build_date


class Build(NamedTuple):
    """One build as the old scripts name it: ``fsl_6.0.4_20210105``, for a platform."""

    name: str
    version: str
    built: str
    platform: str

    @property
    def release(self) -> tuple[str, str, str]:
        """Name, version and platform: what users ask for."""
        return self.name, self.version, self.platform


Builds = Mapping[Build, str]
"""Build → its digest as text; empty where it is of no kind that could be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Both sides at one moment.

    Attributes:
        at: when, ISO 8601 in UTC; empty for none.
        theirs: what stands at the sources; ours: what locks have.
        listed: what their lists name.
    """

    at: str = ""
    theirs: Builds = field(default_factory=dict)
    ours: Builds = field(default_factory=dict)
    listed: frozenset[Build] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One release on one platform.

    Attributes:
        they, we: what each side has done since the last report: ``added``, ``changed``,
            ``removed``, or the empty string.
        theirs, ours: the days that each side has, in words.
        verdict: one of VERDICTS.
    """

    release: str
    platform: str
    they: str
    we: str
    theirs: str
    ours: str
    verdict: str
    reason: str

    @property
    def news(self) -> bool:
        """Whether a reader of the last report does not know it."""
        return bool(self.they or self.we)

    @property
    def agrees(self) -> bool:
        """Whether both sides offer the same."""
        return self.verdict in AGREES


AGREES = ("both", "withdrawn", "neither")
VERDICTS = (*AGREES, "other day", "other bytes", "theirs only", "ours only", "gone", "listed")


def state_of(readings: Iterable[Reading], locks: Locks, at: str) -> State:
    """Returns both sides as they are now."""
    theirs: dict[Build, str] = {}
    listed: set[Build] = set()
    for reading in readings:
        for one in reading.seen:
            for platform, digest in one.platforms.items():
                build = _build(one.id.name, one.id.version, one.id.built, platform)
                theirs.setdefault(build, str(digest))
        for entry in reading.listed:
            name = entry.id
            listed.add(_build(name.name, name.version, entry.about.built, name.platform))
    return State(at=at, theirs=theirs, ours=_ours(locks), listed=frozenset(listed))


def _build(name: str, version: str, built: str, platform: Platform) -> Build:
    return Build(name=name, version=version, built=built, platform=str(platform))


def _ours(locks: Locks) -> dict[Build, str]:
    found: dict[Build, str] = {}
    for lock in locks.releases.values():
        for variant in lock.variants.values():
            for platform, section in variant.platforms.items():
                old = section.adopted
                if old is not None:
                    build = _build(lock.name, lock.version, old.about.built, platform)
                    found[build] = str(old.digest)
        for released in releasable(lock):
            for platform, half in released.platforms.items():
                name = released.id.name + (ARM64_SUFFIX if platform == ARM64 else "")
                build = _build(name, released.id.tag, build_date(released), platform)
                found[build] = str(half.manifest.digest)
    return found


def report(
    now: State,
    last: State,
    *,
    planned: Sequence[Change] = (),
    would: Mapping[tuple[str, str], str] | None = None,
    withdrawn: Mapping[tuple[str, str], str] | None = None,
    adopted: Container[tuple[str, str]] = (),
) -> list[Row]:
    """Returns a row for each release that either side has, or their lists name.

    Args:
        last: an empty one for the first report, which then has no news.
        planned: what adoption would do, for its reasons.
        would: (name, version) → what the plan says of a recipe that is not released.
        withdrawn: (name, version) → what users are told.
        adopted: (name, version) of what was adopted.
    """
    reasons = {change.what: change for change in planned if change.verb != "unmanaged"}
    sides = [_days(side) for side in (now.theirs, now.ours, now.listed)]
    then = [_by_release(side) for side in (last.theirs, last.ours)]
    today = [_by_release(side) for side in (now.theirs, now.ours)]
    names = sorted(set().union(*sides, *then))
    rows = []
    for name in names:
        theirs, ours, listed = (side.get(name, {}) for side in sides)
        label = f"{name[0]}/{name[1]}"
        they, we = (
            _event(after.get(name, {}), before.get(name, {})) if last.at else ""
            for after, before in zip(today, then, strict=True)
        )
        verdict, reason = _verdict(
            theirs, ours, listed, now,
            planned=reasons.get(f"{label} [{name[2]}]"),
            would=(would or {}).get(name[:2], ""),
            withdrawn=(withdrawn or {}).get(name[:2], ""),
            adopted=name[:2] in adopted,
        )  # fmt: skip
        rows.append(
            Row(
                release=label,
                platform=name[2],
                they=they,
                we=we,
                theirs=_text(theirs),
                ours=_text(ours),
                verdict=verdict,
                reason=reason,
            )
        )
    return rows


def _days(side: Iterable[Build]) -> dict[tuple[str, str, str], dict[str, Build]]:
    found: dict[tuple[str, str, str], dict[str, Build]] = {}
    for build in side:
        found.setdefault(build.release, {})[build.built] = build
    return found


def _text(side: Mapping[str, Build]) -> str:
    return ", ".join(day or "no day" for day in sorted(side)) or "-"


def _by_release(side: Builds) -> dict[tuple[str, str, str], dict[Build, str]]:
    found: dict[tuple[str, str, str], dict[Build, str]] = {}
    for build, digest in side.items():
        found.setdefault(build.release, {})[build] = digest
    return found


def _event(after: Builds, before: Builds) -> str:
    """Returns what happened to a release between two moments, of its builds at both."""
    if after == before:
        return ""
    if not before:
        return "added"
    return "changed" if after else "removed"


def _verdict(
    theirs: Mapping[str, Build],
    ours: Mapping[str, Build],
    listed: Mapping[str, Build],
    now: State,
    *,
    planned: Change | None,
    would: str,
    withdrawn: str,
    adopted: bool,
) -> tuple[str, str]:
    if withdrawn:
        return ("theirs only", f"ssds: {withdrawn}") if theirs else ("withdrawn", withdrawn)
    if theirs and ours:
        return _compared(theirs, ours, now)
    if theirs:
        if would:
            return "theirs only", f"ssds: {would}"
        if planned is not None and planned.verb == "x":
            return "theirs only", f"held by adopt: {planned.reason}"
        return "theirs only", "no lock has it; `ssds adopt` would take it"
    if ours:
        if planned is not None and planned.verb == "x":
            return "gone", f"{planned.reason}; ssds removes nothing of others"
        if adopted:
            return "ours only", "adopted from a place that these sources do not hold"
        wanted = "; their lists name it" if listed else ""
        return "ours only", f"released here; `ssds deploy` would add it{wanted}"
    if listed:
        return "listed", "their lists name it, and there is no image: to come, or failed"
    return "neither", "neither side has it any more"


def _compared(
    theirs: Mapping[str, Build], ours: Mapping[str, Build], now: State
) -> tuple[str, str]:
    both = theirs.keys() & ours.keys()
    if not both:
        return "other day", "the same name and version, built on another day"
    for day in sorted(both):
        pair = now.theirs[theirs[day]], now.ours[ours[day]]
        kinds = {Digest(text).algorithm for text in pair}
        if pair[0] != pair[1] and len(kinds) == 1:
            return "other bytes", "changed in place: same name and day, other bytes"
    more = sorted(theirs.keys() - ours.keys())
    if more:
        return (
            "other day",
            f"they also have {', '.join(day or 'one without a day' for day in more)}",
        )
    if ours.keys() - theirs.keys():
        newer = ", ".join(sorted(ours.keys() - theirs.keys()))
        return "other day", f"a later build of ours has the name: {newer}"
    known = all(now.theirs[theirs[day]] == now.ours[ours[day]] for day in both)
    return "both", "the same bytes" if known else "bytes of two kinds are not compared"
