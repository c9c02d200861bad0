"""Releases of one name as one recipe: what they share stands once, the rest under conditions."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssds.core.errors import UsageError
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.recipe.address import Path, parse_address
from ssds.recipe.model import Base, Deploy, Release, Target
from ssds.recipe.steps import LocalTree, RunStep
from ssds.recipe.written.steps import Named, Placed, ref_map, source_map, step_map, test_map
from ssds.recipe.written.yaml_text import as_text, yaml_text

Place = tuple[str, str, Platform]
"""Version, variant (``default`` for the nameless one) and platform of a target."""

DEFAULT = "default"
_KEYS = ("version", "variant", "platform")
HEADER = "# yaml-language-server: $schema=../../schemas/recipe.schema.json\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A recipe as text.

    Attributes:
        text: of ``recipe.yaml``.
        trees: path beside the recipe → the local file or folder that shall stand there.
    """

    text: str
    trees: Mapping[str, LocalTree]


def write_recipe(
    releases: Sequence[Release],
    description: Mapping[str, Any],
    bases: Mapping[str, Base],
    variants: Mapping[str, str],
) -> Written:
    """Returns the recipe that gives these releases again.

    Args:
        releases: all of one name.
        description: its descriptive fields, as a recipe has them.
        bases: those that the targets name; images of registries are written out.
        variants: variant → its description.

    Raises:
        UsageError: the releases have no common recipe.
    """
    places = _Places(releases)
    trees = _Trees()
    value: dict[str, Any] = {"name": releases[0].id.name}
    versions = list(dict.fromkeys(r.id.version for r in releases))
    known = list(dict.fromkeys(r.id.variant or DEFAULT for r in releases))
    if len(versions) == 1:
        value["version"] = as_text(versions[0])
    value |= description
    for role, tree in releases[0].metadata_files.items():
        if tree.entries:  # else it is named, but not there
            _put(value, parse_address(role), as_text(trees.place(tree)))
    value["platforms"] = places.platforms()
    value["base"] = places.base(bases)
    sources, own_sources = places.sources()
    if sources:
        value["sources"] = sources
    value["build"] = places.steps(trees.place)
    tests = places.tests()
    if tests:
        value["tests"] = tests
    deploy = places.deploy()
    if deploy.get(""):
        value["deploy"] = deploy.pop("")
    own: dict[str, dict[str, Any]] = {}
    for name in (*versions, *known):
        if name in variants:
            own.setdefault(name, {})["description"] = as_text(variants[name])
        if name in own_sources:
            own.setdefault(name, {})["sources"] = own_sources[name]
        if deploy.get(name):
            own.setdefault(name, {})["deploy"] = deploy[name]
    if len(versions) > 1:
        value["versions"] = {version: own.get(version, {}) for version in versions}
    if known != [DEFAULT]:
        value["variants"] = {variant: own.get(variant, {}) for variant in known}
    return Written(text=HEADER + yaml_text(value), trees=trees.known)


def _put(value: Any, path: Path, text: str) -> None:
    """Sets a field below ``value``, in maps and lists that are there."""
    *above, last = path
    for part in above:
        value = value.setdefault(part, {}) if isinstance(value, dict) else value[part]
    value[last] = text


_RESERVED = frozenset(("recipe.yaml", "fulltest.yaml", "icon.svg", "icon.png"))
"""Files of a new recipe that are made otherwise."""


class _Trees:
    """Local files and folders get places beside the new recipe, each content once."""

    def __init__(self) -> None:
        self.known: dict[str, LocalTree] = {}

    def place(self, tree: LocalTree) -> str:
        """Returns the path of a tree beside the recipe."""
        wanted = tree.path.rstrip("/").rpartition("/")[2] or "files"
        for number in range(1, 10_000):
            stem, dot, end = wanted.partition(".")
            name = wanted if number == 1 else f"{stem}-{number}{dot}{end}"
            if name in _RESERVED:
                continue
            held = self.known.setdefault(name, tree)
            if held.path == tree.path and held.to_json() == tree.to_json():
                return name
        raise UsageError(f"too many local files are called {wanted!r}")


class _Places:
    """The targets of all releases, and where a thing holds."""

    def __init__(self, releases: Sequence[Release]) -> None:
        self.targets: dict[Place, Target] = {
            (r.id.version, r.id.variant or DEFAULT, platform): target
            for r in releases
            for platform, target in r.targets.items()
        }
        self.names: dict[tuple[Place, str], str] = {}
        versions = {version for version, _, _ in self.targets}
        variants = {variant for _, variant, _ in self.targets}
        platforms = {platform for _, _, platform in self.targets}
        if len(self.targets) != len(versions) * len(variants) * len(platforms):
            raise UsageError(
                f"{releases[0].id.name}: not every version and variant has every platform",
                hint="Keep this recipe in its own format, or make two of it.",
            )

    def platforms(self) -> dict[str, str]:
        """Returns each platform with ``required`` or ``optional``."""
        return {
            str(platform): "required" if target.required else "optional"
            for (_, _, platform), target in self.targets.items()
        }

    def conditions(self, held: set[Place]) -> list[dict[str, Any]]:
        """Returns conditions that hold in ``held`` together; an empty one holds everywhere."""
        if held == set(self.targets):
            return [{}]
        when: dict[str, Any] = {}
        count = 1
        for index, key in enumerate(_KEYS):
            here = list(dict.fromkeys(str(p[index]) for p in self.targets if p in held))
            known = {str(p[index]) for p in self.targets}
            count *= len(here)
            if len(here) < len(known):
                when[key] = here if len(here) > 1 else here[0]
        if count == len(held):
            return [{"when": when}]
        one = [dict(zip(_KEYS, map(str, place), strict=True)) for place in self.targets]
        return [{"when": w} for w, p in zip(one, self.targets, strict=True) if p in held]

    def base(self, bases: Mapping[str, Base]) -> Any:
        """Returns what all targets start from; where platforms differ, as a template."""
        found: dict[Place, Any] = {}
        for place, target in self.targets.items():
            if target.base_recipe is not None:
                found[place] = ref_map(target.base_recipe)
            else:
                base = bases.get(target.base)
                image = base.image if base is not None else ""
                plain = image if image and base is not None and base.name == image else ""
                found[place] = {"image": plain} if plain else target.base
        values = list({json.dumps(v, sort_keys=True): v for v in found.values()}.values())
        if len(values) == 1:
            return values[0]
        by_arch = {p.architecture: found[v, w, p] for v, w, p in found}
        same = all(by_arch[p.architecture] == found[v, w, p] for v, w, p in found)
        if not same or not all(isinstance(v, dict) and "image" in v for v in by_arch.values()):
            raise UsageError(
                "the releases start from bases that one recipe cannot name",
                hint="Keep this recipe in its own format, or make several of it.",
            )
        *first, (_, last) = by_arch.items()
        text = "".join(f"'{v['image']}' if arch == '{a}' else " for a, v in first)
        return {"image": "{{ " + text + f"'{last['image']}'" + " }}"}

    def sources(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Returns the sources of all, and by version or variant those that differ there."""
        held: dict[str, dict[Place, dict[str, Any]]] = {}
        for place, target in self.targets.items():
            for name, source in target.sources.items():
                held.setdefault(name, {})[place] = source_map(source)
        common: dict[str, Any] = {}
        own: dict[str, dict[str, Any]] = {}
        for name, values in held.items():
            if _same(values.values()):
                conditions = self.conditions(set(values))
                more = conditions[0] if len(conditions) == 1 else {}
                common[name] = {**next(iter(values.values())), **more}
            elif (index := _by(values)) is not None:
                for place, value in values.items():
                    own.setdefault(place[index], {})[name] = value
            else:
                common |= self._renamed(name, values)
        return common, own

    def _renamed(self, name: str, values: Mapping[Place, dict[str, Any]]) -> dict[str, Any]:
        """Returns one source under a name for each of its meanings: steps must not see the name."""
        if any(name in _seen(self.targets[place]) for place in values):
            raise UsageError(
                f"the source {name!r} differs by platform, and scripts read it by that name",
                hint="Keep this recipe in its own format, or make several of it.",
            )
        found: dict[str, tuple[dict[str, Any], set[Place]]] = {}
        for place, value in values.items():
            written, number = name, 1
            while found.setdefault(written, (value, set()))[0] != value:
                number += 1
                written = f"{name[:58]}-{number}"
            found[written][1].add(place)
            self.names[place, name] = written
        return {
            written: {**value, **self.conditions(places)[0]}
            for written, (value, places) in found.items()
        }

    def _named(self, place: Place) -> Named:
        return lambda name: self.names.get((place, name), name)

    def steps(self, placed: Placed) -> list[dict[str, Any]]:
        """Returns all build steps in order, with conditions where they are not everywhere."""
        return self._joined(
            {
                place: [step_map(step, placed, self._named(place)) for step in target.steps]
                for place, target in self.targets.items()
            }
        )

    def tests(self) -> list[dict[str, Any]]:
        """Returns all tests."""
        return self._joined(
            {
                place: [test_map(test, self._named(place)) for test in target.tests]
                for place, target in self.targets.items()
            }
        )

    def _joined(self, lists: Mapping[Place, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Returns one list that gives each of ``lists`` where its conditions hold."""
        joined: list[tuple[str, dict[str, Any], set[Place]]] = []
        for place, items in lists.items():
            texts = [json.dumps(item) for item in items]
            matcher = difflib.SequenceMatcher(None, [t for t, _, _ in joined], texts, False)
            merged: list[tuple[str, dict[str, Any], set[Place]]] = []
            for tag, a, a_end, b, b_end in matcher.get_opcodes():
                if tag == "equal":
                    merged += [(t, v, {*held, place}) for t, v, held in joined[a:a_end]]
                    continue
                merged += joined[a:a_end]
                merged += [(texts[i], items[i], {place}) for i in range(b, b_end)]
            joined = merged
        return [
            {**value, **condition}
            for _, value, held in joined
            for condition in self.conditions(held)
        ]

    def deploy(self) -> dict[str, dict[str, Any]]:
        """Returns what is offered by version or variant; under the empty text, everywhere."""
        found: dict[Place, list[Deploy]] = {}
        for (version, variant, _), target in self.targets.items():
            for place in self.targets:
                if place[:2] == (version, variant):
                    found.setdefault(place, []).append(target.deploy)
        maps = {place: _deploy_map(offers) for place, offers in found.items()}
        if _same(maps.values()):
            return {"": next(iter(maps.values()))}
        index = _by(maps)
        if index is None:
            raise UsageError(
                "what is offered differs by version and by variant",
                hint="Keep this recipe in its own format, or make several of it.",
            )
        return {place[index]: value for place, value in maps.items()}


def _same(values: Iterable[Any]) -> bool:
    first, *rest = values
    return all(value == first for value in rest)


def _by(values: Mapping[Place, Any]) -> int | None:
    """Returns 0 or 1 where values go by version or by variant alone, else None."""
    for index in (0, 1):
        by = {place[index]: value for place, value in values.items()}
        if all(by[place[index]] == value for place, value in values.items()):
            return index
    return None


def _seen(target: Target) -> set[str]:
    """Returns the sources whose names scripts see."""
    steps = {name for s in target.steps if isinstance(s, RunStep) for name in s.sources}
    return steps | {name for test in target.tests for name in test.sources}


def _deploy_map(offers: Sequence[Deploy]) -> dict[str, Any]:
    """Returns what one release offers, on any of its platforms."""
    commands = list(dict.fromkeys(c for offer in offers for c in offer.commands))
    paths = list(dict.fromkeys(p for offer in offers for p in offer.paths))
    environment = {k: v for offer in offers for k, v in offer.environment.items()}
    found: dict[str, Any] = {}
    if commands:
        found["commands"] = [as_text(c) for c in commands]
    if paths:
        found["paths"] = [as_text(p) for p in paths]
    if environment:
        found["environment"] = {k: as_text(v) for k, v in environment.items()}
    return found
