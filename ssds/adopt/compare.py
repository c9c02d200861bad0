"""What two sets of NeuroDesk's lists say differently, with a reason each. Pure.

Order does not count: of categories, of applications, of entries.
"""

from __future__ import annotations

from ssds.adopt.merge import Facts, facts_of
from ssds.adopt.model import Listed, Reading
from ssds.core.records import dataclass

_FIELDS = ("categories", "applications", "arguments", "hidden", "webapp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One fact that two sets of lists say differently.

    Attributes:
        release: ``NAME/VERSION``.
        field: ``entry``, ``built`` or one of an entry's facts.
        theirs, ours: as text; empty where there is nothing.
    """

    release: str
    field: str
    theirs: str
    ours: str
    reason: str


def compare(theirs: Reading, ours: Reading) -> list[Difference]:
    """Returns the differences, by release."""
    old, new = _by_release(theirs), _by_release(ours)
    found = []
    for release in sorted({*old, *new}):
        before, after = old.get(release), new.get(release)
        if before is None or after is None:
            found.append(_alone(release, before, after))
            continue
        days = (_text(before.built), _text(after.built))
        if before.built != after.built:
            reason = "another build is released"
            if len(before.built) > 1:
                reason = "their lists contradict each other"
            found.append(_row(release, "built", days, reason))
        for field in _FIELDS:
            texts = (_text(getattr(before.about, field)), _text(getattr(after.about, field)))
            if texts[0] != texts[1]:
                found.append(_row(release, field, texts, "the release says it so"))
    return found


def _by_release(reading: Reading) -> dict[str, Facts]:
    groups: dict[str, list[Listed]] = {}
    for entry in reading.listed:
        groups.setdefault(f"{entry.id.name}/{entry.id.version}", []).append(entry)
    return {release: facts_of(several) for release, several in groups.items()}


def _alone(release: str, before: Facts | None, after: Facts | None) -> Difference:
    texts = (_text(before.built) if before else "", _text(after.built) if after else "")
    reason = "no lock has it: held, not deployed, or left out" if before else "new here"
    return _row(release, "entry", texts, reason)


def _row(release: str, field: str, texts: tuple[str, str], reason: str) -> Difference:
    return Difference(release=release, field=field, theirs=texts[0], ours=texts[1], reason=reason)


def _text(values: object) -> str:
    """Returns a set of values as text, in one order."""
    items = values if isinstance(values, tuple | frozenset) else (values,)
    return ", ".join(sorted("=".join(v) if isinstance(v, tuple) else str(v) for v in items))
