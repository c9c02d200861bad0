"""What adoption would write: a pure function of what was found, the locks, and what people chose.

Nothing is guessed. What two sources tell in two ways, or what may be meant by one name in two ways,
is held with everything that is known of it, until somebody chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from ssds.adopt.merge import Facts, adoption_of, facts_of
from ssds.adopt.model import Listed, Reading, Seen
from ssds.core.diagnostics import Diagnostic
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.lock.model import BUILT, Adoption, Locks, VariantLock
from ssds.ship.changes import Change

LOCKS = "lockfiles"
Key = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What people decided.

    Attributes:
        builds: ``NAME/VERSION`` → the day of the build that is meant.
        fallbacks: image references and addresses with ``{name} {version} {built}`` in them.
        accept: whether a place whose bytes differ from the lock's is taken as it is now.
    """

    builds: Mapping[str, str] = field(default_factory=dict)
    fallbacks: Sequence[str] = ()
    accept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoptions:
    """What would be written and what not.

    Attributes:
        changes: by release and platform; ``x`` is held, ``w`` is only listed.
        writes: what locks get.
    """

    changes: tuple[Change, ...]
    writes: Mapping[Key, Mapping[Platform, Adoption]]
    problems: tuple[Diagnostic, ...]

    @property
    def held(self) -> int:
        """How many wait for somebody's word."""
        return sum(change.verb == "x" for change in self.changes)


def plan_adoption(
    readings: Sequence[Reading],
    locks: Locks,
    *,
    recipes: Container[ReleaseName] = (),
    chosen: Chosen | None = None,
    stands: Callable[[str], bool] = lambda _: True,
) -> Adoptions:
    """Returns what adoption would do.

    Args:
        readings: one per source; of equal bytes the first one's place is the first location.
        recipes: what the catalog builds: that is not adopted.
        stands: whether something is at an absolute path.
    """
    planner = _Planner(readings, locks, recipes, chosen or Chosen())
    planner.look()
    planner.gone(stands)
    unmanaged = [
        Change(where=LOCKS, what=place, verb="unmanaged", reason=reason)
        for reading in readings
        for place, reason in reading.unmanaged
    ]
    rows = sorted(planner.changes, key=lambda c: (c.what, c.verb))
    return Adoptions(
        changes=(*rows, *sorted(unmanaged, key=lambda c: c.what)),
        writes=planner.writes,
        problems=tuple(p for reading in readings for p in reading.problems),
    )


class _Planner:
    def __init__(
        self,
        readings: Sequence[Reading],
        locks: Locks,
        recipes: Container[ReleaseName],
        chosen: Chosen,
    ) -> None:
        self.locks, self.recipes, self.chosen = locks, recipes, chosen
        self.lists = any(reading.lists for reading in readings)
        self.listed: dict[Key, list[Listed]] = {}
        for entry in (entry for reading in readings for entry in reading.listed):
            self.listed.setdefault((entry.id.name, entry.id.version), []).append(entry)
        self.seen: dict[Key, dict[Platform, list[Seen]]] = {}
        for one in (one for reading in readings for one in reading.seen):
            platforms = self.seen.setdefault((one.id.name, one.id.version), {})
            for platform in one.platforms:
                platforms.setdefault(platform, []).append(one)
        self.changes: list[Change] = []
        self.writes: dict[Key, dict[Platform, Adoption]] = {}

    def look(self) -> None:
        """Decides on everything that was seen or listed."""
        for key in sorted({*self.seen, *self.listed}):
            facts = facts_of(self.listed.get(key, ()))
            for platform, several in sorted(self.seen.get(key, {}).items()):
                self._platform(key, platform, several, facts)
            if key not in self.seen:
                where = self.listed[key][0].span
                self._say("w", "/".join(key), f"listed in {where}; no image was found")

    def gone(self, stands: Callable[[str], bool]) -> None:
        """Tells adopted releases whose place is not there any more; their locks stay."""
        for key, lock in sorted(self.locks.releases.items()):
            variant = lock.variants.get("", VariantLock())
            for platform, section in variant.platforms.items():
                if section.adopted is None or platform in self.seen.get(key, {}):
                    continue
                place = section.adopted.locations[0]
                if place.startswith("/") and not stands(place):
                    more = ", ".join(section.adopted.locations[1:])
                    text = f"{place} is gone" + (f"; it is also {more}" if more else "")
                    self._say("x", f"{'/'.join(key)} [{platform}]", text)

    def _say(self, verb: str, what: str, reason: str) -> None:
        self.changes.append(Change(where=LOCKS, what=what, verb=verb, reason=reason))

    def _platform(self, key: Key, platform: Platform, several: list[Seen], facts: Facts) -> None:
        what = f"{'/'.join(key)} [{platform}]"
        builds: dict[str, list[Seen]] = {}
        for one in several:
            builds.setdefault(one.id.built, []).append(one)
        built, why = self._build(key, builds, facts)
        for other in sorted(builds.keys() - {built}) if not why else ():
            places = ", ".join(one.place for one in builds[other])
            text = f"another build; {'/'.join(key)} is that of {built}"
            self._say("unmanaged", places, text)
        if not why:
            why = self._clash(key)
        if why:
            self._say("x", what, why)
            return
        old = self._old(key, platform)
        made, why = adoption_of(builds[built], platform, facts, self.chosen.fallbacks, old)
        if why:
            self._say("x", what, why)
        elif made == old:
            self._say("=", what, f"at {made.locations[0]}")
        elif old is not None and old.digest != made.digest and not self.chosen.accept:
            self._say(
                "x",
                what,
                f"the lock says {_short(old)}, {made.locations[0]} has {_short(made)}; "
                "--accept takes it as it is",
            )
        else:
            self.writes.setdefault(key, {})[platform] = made
            new = "adopted" if old is None else "taken anew" if old.digest != made.digest else (
                "what is known of it changed"
            )  # fmt: skip
            lost = ", in no list" if self.lists and key not in self.listed else ""
            self._say("+", what, f"{new}, at {made.locations[0]}{lost}")

    def _build(self, key: Key, builds: Mapping[str, list[Seen]], facts: Facts) -> tuple[str, str]:
        """Returns the build that is meant, or why that is not known."""
        name, days = "/".join(key), ", ".join(sorted(builds))
        if word := self.chosen.builds.get(name):
            return (word, "") if word in builds else ("", f"{word} was chosen; there is {days}")
        if len(facts.built) > 1:
            return "", f"lists disagree: {', '.join(sorted(facts.built))}; {_choose(name, days)}"
        by_module = {day for day, found in builds.items() if any(one.chosen for one in found)}
        by_list = set(facts.built)
        if by_list and not by_list & builds.keys():
            if builds.keys() == {""}:
                return "", f"lists say {min(by_list)}, and {builds[''][0].place} says no day"
            return "", f"lists say {min(by_list)}; there is {days}; {_choose(name, days)}"
        if len(builds) == 1:
            return next(iter(builds)), ""
        words = by_module | by_list
        if len(words) == 1:
            return words.pop(), ""
        if not words:
            return "", f"builds of {days}, and neither a module nor a list names one; " + _choose(
                name, days
            )
        told = f"the module says {', '.join(sorted(by_module))}, lists {', '.join(sorted(by_list))}"
        return "", f"{told}; {_choose(name, days)}"

    def _clash(self, key: Key) -> str:
        release = ReleaseName(*key, "")
        variant = self.locks.get(release).variants.get("")
        if variant is not None and variant.origin == BUILT:
            return "its lock was made by building it here"
        if release in self.recipes:
            return "the catalog has a recipe for it; give the recipe another version"
        return ""

    def _old(self, key: Key, platform: Platform) -> Adoption | None:
        lock = self.locks.releases.get(key)
        section = lock.platform(ReleaseName(*key, ""), platform) if lock else None
        return section.adopted if section else None


def _choose(name: str, days: str) -> str:
    return f"--choose {name}={days.partition(',')[0]} says which"


def _short(adoption: Adoption) -> str:
    return f"{adoption.digest.algorithm}:{adoption.digest.short}"
