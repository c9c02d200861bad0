"""What adoption would write: a pure function of what was found, the locks, and what people chose.

Nothing is guessed. What two sources tell in two ways, or what may be meant by one name in two ways,
is held with everything that is known of it, until somebody chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ssds.adopt.codes import capped
from ssds.adopt.merge import Facts, adoption_of, facts_of, kind_of
from ssds.adopt.model import Listed, Reading, Seen
from ssds.core.diagnostics import Diagnostic
from ssds.core.errors import UsageError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.lock.model import Adoption, Locks, VariantLock, takes_adoptions
from ssds.ship.changes import Change

LOCKS = "lockfiles"
NO_DAY = "none"
"""How a build is called whose name says no day."""
Key = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What people decided.

    Attributes:
        builds: ``NAME/VERSION`` → the day of the build that is meant; empty for one without.
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
    chosen: Chosen | None = None,
    stands: Callable[[str], bool] = lambda _: True,
) -> Adoptions:
    """Returns what adoption would do.

    Args:
        readings: one per source; the first one's place is the first location of a new lock.
        stands: whether something is at an absolute path.

    Raises:
        UsageError: E219, a choice names nothing that is there, listed or locked.
    """
    planner = _Planner(readings, locks, chosen or Chosen(), stands)
    planner.check_choices()
    planner.look()
    planner.gone()
    unmanaged = [
        Change(where=LOCKS, what=place, verb="unmanaged", reason=reason)
        for reading in readings
        for place, reason in reading.unmanaged
    ]
    rows = sorted(planner.changes, key=lambda c: (c.what, c.verb))
    return Adoptions(
        changes=(*rows, *sorted(unmanaged, key=lambda c: c.what)),
        writes=planner.writes,
        problems=tuple(capped(p for reading in readings for p in reading.problems)),
    )


class _Planner:
    def __init__(
        self,
        readings: Sequence[Reading],
        locks: Locks,
        chosen: Chosen,
        stands: Callable[[str], bool],
    ) -> None:
        self.locks, self.chosen, self.stands = locks, chosen, stands
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

    def check_choices(self) -> None:
        """Raises UsageError where a choice names nothing."""
        known = {"/".join(key) for key in (*self.seen, *self.listed, *self.locks.releases)}
        if unknown := sorted(self.chosen.builds.keys() - known):
            raise UsageError(
                f"--choose names {', '.join(unknown)}, and no source has it",
                hint="Write NAME/VERSION as the rows show it.",
                code="E219",
            )

    def look(self) -> None:
        """Decides on everything that was seen or listed."""
        for key in sorted({*self.seen, *self.listed}):
            facts = facts_of(self.listed.get(key, ()))
            platforms = self.seen.get(key, {})
            builds: dict[str, list[Seen]] = {}
            for one in (one for several in platforms.values() for one in several):
                builds.setdefault(one.id.built, []).append(one)
            built, why = self._build(key, builds, facts) if builds else ("", "")
            why = why or self._clash(key)
            for platform, several in sorted(platforms.items()):
                what = f"{'/'.join(key)} [{platform}]"
                if why:
                    self._say("x", what, why)
                else:
                    self._platform(key, platform, several, facts, built)
            if key not in self.seen:
                where = self.listed[key][0].span
                self._say("w", "/".join(key), f"listed in {where}; no image was found")

    def gone(self) -> None:
        """Tells adopted releases whose place is not there any more; their locks stay."""
        for key, lock in sorted(self.locks.releases.items()):
            variant = lock.variants.get("", VariantLock())
            for platform, section in variant.platforms.items():
                if section.adopted is None or platform in self.seen.get(key, {}):
                    continue
                place = section.adopted.locations[0]
                if self._is_gone(section.adopted):
                    more = ", ".join(section.adopted.locations[1:])
                    text = f"{place} is gone" + (f"; it is also {more}" if more else "")
                    self._say("x", f"{'/'.join(key)} [{platform}]", text)

    def _say(self, verb: str, what: str, reason: str) -> None:
        self.changes.append(Change(where=LOCKS, what=what, verb=verb, reason=reason))

    def _is_gone(self, adoption: Adoption) -> bool:
        place = adoption.locations[0]
        return place.startswith("/") and not self.stands(place)

    def _is_strange(self, key: Key, built: str, meant: Sequence[Seen], old: Adoption) -> bool:
        """Whether these may be another build than the lock's, and nobody said that they are not."""
        told = "/".join(key) in self.chosen.builds
        return not (
            told or built == old.about.built or any(one.place in old.locations for one in meant)
        )

    def _platform(
        self, key: Key, platform: Platform, several: list[Seen], facts: Facts, built: str
    ) -> None:
        """Decides on one platform; ``built`` is the build that the name and version mean."""
        what = f"{'/'.join(key)} [{platform}]"
        meant = [one for one in several if one.id.built == built]
        others = (one for one in several if one.id.built != built)
        for one in sorted(others, key=lambda one: one.place):
            text = f"another build; {'/'.join(key)} is that of {built or NO_DAY}"
            self._say("unmanaged", one.place, text)
        if not meant:
            return
        old = self._old(key, platform)
        strange = old is not None and self._is_strange(key, built, meant, old)
        anew = strange or (old is not None and self._is_gone(old))
        fallbacks = self.chosen.fallbacks
        made, why = adoption_of(meant, platform, facts, fallbacks, old, anew=anew)
        if why:
            self._say("x", what, why)
        elif made == old:
            known = ", not looked at again" if all(one.remembered for one in meant) else ""
            self._say("=", what, f"at {made.locations[0]}{known}")
        elif old is not None and old.digest != made.digest and not self.chosen.accept:
            text = f"the lock says {_short(old)}, {made.locations[0]} has {_short(made)}; "
            if strange and kind_of(old) != kind_of(made):
                text += f"--choose {'/'.join(key)}={built or NO_DAY} adds that place, "
            self._say("x", what, f"{text}--accept takes it as it is")
        else:
            self.writes.setdefault(key, {})[platform] = made
            new = "adopted" if old is None else "taken anew" if old.digest != made.digest else (
                "what is known of it changed"
            )  # fmt: skip
            lost = ", in no list" if self.lists and key not in self.listed else ""
            self._say("+", what, f"{new}, at {made.locations[0]}{lost}")

    def _build(self, key: Key, builds: Mapping[str, list[Seen]], facts: Facts) -> tuple[str, str]:
        """Returns the build that is meant, or why that is not known."""
        name, days = "/".join(key), ", ".join(day or NO_DAY for day in sorted(builds))
        hint = f"--choose {name}={min(builds) or NO_DAY} says which"
        if name in self.chosen.builds:
            word = self.chosen.builds[name]
            return (
                (word, "")
                if word in builds
                else ("", f"{word or NO_DAY} was chosen; there is {days}")
            )
        by_module = {day for day, found in builds.items() if any(one.chosen for one in found)}
        by_list = set(facts.built)
        listed = ", ".join(sorted(by_list))
        if len(by_list) > 1:
            return "", f"lists disagree: {listed}; {hint}"
        locked = self._locked(key)
        if by_list and not by_list & builds.keys():
            if builds.keys() == {""} and by_list == locked:
                return "", ""  # chosen before; the lock has the day that lists say
            return "", f"lists say {listed}; there is {days}; {hint}"
        if len(builds) == 1:
            return next(iter(builds)), ""
        words = by_module | by_list or (locked & builds.keys())
        if len(words) == 1:
            return words.pop(), ""
        if not by_module | by_list:
            return "", f"builds of {days}, and neither a module nor a list names one; {hint}"
        told = f"the module says {', '.join(sorted(by_module))}, lists {listed}"
        return "", f"{told}; {hint}"

    def _locked(self, key: Key) -> set[str]:
        """Returns the build that was chosen before: that of the lock."""
        variant = self.locks.get(ReleaseName(*key, "")).variants.get("", VariantLock())
        adopted = [section.adopted for section in variant.platforms.values()]
        return {adoption.about.built for adoption in adopted if adoption is not None}

    def _clash(self, key: Key) -> str:
        variant = self.locks.get(ReleaseName(*key, "")).variants.get("")
        if variant is not None and not takes_adoptions(variant):
            return "its lock was made by building it here"
        return ""

    def _old(self, key: Key, platform: Platform) -> Adoption | None:
        lock = self.locks.releases.get(key)
        section = lock.platform(ReleaseName(*key, ""), platform) if lock else None
        return section.adopted if section else None


def _short(adoption: Adoption) -> str:
    return f"{adoption.digest.algorithm}:{adoption.digest.short}"
