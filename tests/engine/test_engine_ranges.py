"""The resolver answers ranges of recipes: newest first, then it stays (C16)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from makers import AMD64, ARM64, a_catalog, a_release, shared_pins

from ssds.core.model import ReleaseName
from ssds.core.pins import PlatformPins
from ssds.core.platform import Platform
from ssds.engine.renewal import parse_renewal
from ssds.engine.report import Reporter
from ssds.engine.resolve import Order, Pins, resolve
from ssds.engine.runner import Crew
from ssds.host.mirrors import Mirrors
from ssds.kinds.build.requests import requests_of
from ssds.recipe.model import Catalog, Release
from ssds.recipe.steps import CopyStep, RecipeRef
from ssds.store.store import Store

APP = ReleaseName("app", "1.0")


class Notes(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


class Resolver:
    """The real resolver on a real store; nothing here needs a mirror."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.open(str(folder / "store"))
        self.releases: dict[tuple[ReleaseName, Platform], PlatformPins] = {}
        self.notes: list[str] = []

    def run(
        self, catalog: Catalog, *, names: Iterable[str] = ("app",), upgrade: str = ""
    ) -> list[str]:
        """Resolves and keeps the pins; returns the problems."""
        reporter = Notes()
        targets = tuple(
            target
            for name, release in catalog.releases.items()
            if name.name in names
            for target in release.targets.values()
        )
        pins = Pins(shared=shared_pins(catalog), releases=dict(self.releases))
        crew = Crew(
            store=self.store,
            sandbox=None,
            mirrors=Mirrors(),
            workspace=str(self.folder),
            state_folder=str(self.folder / ".ssds"),
        )
        renewal = parse_renewal(upgrade.split(), targets, catalog, self.releases)
        order = Order(targets=targets, renewal=renewal)
        resolve(catalog, pins, order, crew, reporter, str(self.folder))
        self.releases, self.notes = pins.releases, reporter.lines
        return [f"{problem.code}: {problem.message}" for problem in pins.problems]

    def chosen(self, platform: Platform = AMD64, release: ReleaseName = APP) -> dict[str, str]:
        recipes = self.releases[release, platform].recipes
        return {name: pin.version for name, pin in recipes.items()}


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    return Resolver(tmp_path)


def libs(*versions: str, name: str = "lib", **fields: object) -> list[Release]:
    return [a_release(name, version, **fields) for version in versions]


def app(version: str = ">=1,<2", **fields: object) -> Release:
    return a_release("app", "1.0", base_recipe=RecipeRef(name="lib", version=version), **fields)


def locked(resolver: Resolver, catalog: Catalog) -> bool:
    return not any(
        requests_of(target, catalog, shared_pins(catalog), resolver.releases).missing
        for release in catalog.releases.values()
        for target in release.targets.values()
    )


def test_the_newest_version_in_the_range_is_pinned_and_said(resolver: Resolver) -> None:
    catalog = a_catalog(*libs("1.9", "1.10", "1.11~rc1", "2.0"), app("<1.11"))
    assert resolver.run(catalog) == []
    assert resolver.chosen() == {"lib": "1.11~rc1"}
    assert resolver.notes == ["app@1.0 [linux/amd64]: recipe lib 1.11~rc1 for <1.11"]
    assert resolver.run(a_catalog(*libs("1.9", "1.10", "2.0"), app("<1.11,!=1.9"))) == []
    assert resolver.chosen() == {"lib": "1.10"}


def test_a_newer_version_moves_the_pin_only_when_asked(resolver: Resolver) -> None:
    resolver.run(a_catalog(*libs("1.9"), app()))
    more = a_catalog(*libs("1.9", "1.10"), app())
    before = dict(resolver.releases)
    assert resolver.run(more) == []
    assert resolver.releases == before
    assert resolver.notes == []
    resolver.run(more, upgrade="base sources packages")
    assert resolver.chosen() == {"lib": "1.9"}
    resolver.run(more, upgrade="recipes")
    assert resolver.chosen() == {"lib": "1.10"}
    assert locked(resolver, a_catalog(*libs("1.10"), app()))


def test_a_changed_range_is_answered_anew(resolver: Resolver) -> None:
    resolver.run(a_catalog(*libs("1.9", "1.10", "2.0"), app()))
    resolver.run(a_catalog(*libs("1.9", "1.10", "2.0"), app(">=2")))
    assert resolver.chosen() == {"lib": "2.0"}


def test_what_the_chosen_version_contains_is_locked_before_it(resolver: Resolver) -> None:
    core = libs("0.1", "0.2", name="core")
    ref = RecipeRef(name="core", version=">0.1")
    middle = [
        a_release("lib", "1.9"),
        a_release("lib", "1.10", base_recipe=ref),
    ]
    catalog = a_catalog(*core, *middle, app())
    assert resolver.run(catalog) == []
    assert resolver.chosen(release=ReleaseName("lib", "1.10")) == {"core": "0.2"}
    assert list(resolver.releases) == [
        (APP, AMD64),
        (ReleaseName("lib", "1.10"), AMD64),
        (ReleaseName("core", "0.2"), AMD64),
    ]
    touched = {name for name, _ in resolver.releases}
    assert ReleaseName("lib", "1.9") not in touched
    assert locked(resolver, a_catalog(*core[1:], middle[1], app()))


def test_platforms_are_answered_apart(resolver: Resolver) -> None:
    both = {AMD64: True, ARM64: False}
    catalog = a_catalog(*libs("1.9", platforms=both), *libs("1.10"), app(platforms=both))
    assert resolver.run(catalog) == []
    assert resolver.chosen(AMD64) == {"lib": "1.10"}
    assert resolver.chosen(ARM64) == {"lib": "1.9"}


def test_two_ranges_of_one_recipe_get_one_version(resolver: Resolver) -> None:
    copy = CopyStep(
        address="build[0]",
        to="/opt/",
        recipe=RecipeRef(name="lib", version="!=1.10"),
        paths=("/lib",),
    )
    assert resolver.run(a_catalog(*libs("1.9", "1.10", "2.0"), app(steps=(copy,)))) == []
    assert resolver.chosen() == {"lib": "1.9"}


def test_a_pin_that_nobody_asks_for_any_more_goes(resolver: Resolver) -> None:
    resolver.run(a_catalog(*libs("1.9"), app()))
    resolver.run(a_catalog(*libs("1.9"), app("1.9")))
    assert resolver.chosen() == {}


def test_a_pinned_version_that_is_gone_is_not_replaced_silently(resolver: Resolver) -> None:
    resolver.run(a_catalog(*libs("1.9", "1.10"), app()))
    before = dict(resolver.releases)
    after = a_catalog(*libs("1.9"), app(), a_release("other", "1.0"))
    [problem] = resolver.run(after, names=("app", "other"))
    assert problem.startswith("E087: ")
    assert "lib@1.10" in problem
    assert "app@1.0 [linux/amd64]" in problem
    assert resolver.releases[APP, AMD64] == before[APP, AMD64]
    assert (ReleaseName("other", "1.0"), AMD64) in resolver.releases  # it stops nobody else
    assert resolver.run(after, upgrade="recipes") == []
    assert resolver.chosen() == {"lib": "1.9"}


def test_a_range_that_nothing_answers_is_a_problem_of_that_target_only(resolver: Resolver) -> None:
    catalog = a_catalog(*libs("1.9"), app(">=3"), a_release("other", "1.0"))
    [problem] = resolver.run(catalog, names=("app", "other"))
    assert "no lib is >=3" in problem
    assert (APP, AMD64) not in resolver.releases
    assert (ReleaseName("other", "1.0"), AMD64) in resolver.releases


def test_a_lock_from_outside_cannot_choose_what_the_range_forbids(resolver: Resolver) -> None:
    catalog = a_catalog(*libs("1.9", "2.0"), app())
    resolver.run(catalog)
    held = resolver.releases[APP, AMD64]
    false = replace(held.recipes["lib"], version="2.0")
    resolver.releases[APP, AMD64] = replace(held, recipes={"lib": false})
    assert not locked(resolver, catalog)
    resolver.run(catalog)
    assert resolver.chosen() == {"lib": "1.9"}


def test_many_diamonds_of_ranges_are_visited_once_each(resolver: Resolver) -> None:
    releases = [a_release("n0", "1.0")]
    for number in range(1, 40):
        below = f"n{number - 1}"
        copies = tuple(
            CopyStep(
                address=f"build[{place}]",
                to="/opt/",
                recipe=RecipeRef(name=below, version=version),
                paths=("/x",),
            )
            for place, version in enumerate((">=1", "<2", "1.0"))
        )
        releases.append(a_release(f"n{number}", "1.0", steps=copies))
    catalog = a_catalog(*releases)
    assert resolver.run(catalog, names=("n39",)) == []
    assert len(resolver.releases) == 40


def test_what_stands_on_a_release_that_cannot_be_locked_keeps_its_pins(resolver: Resolver) -> None:
    top = a_release("top", "1.0", base_recipe=RecipeRef(name="app", version="<2"))
    resolver.run(a_catalog(*libs("1.9", "1.10"), app(), top), names=("top",))
    before = dict(resolver.releases)
    after = a_catalog(*libs("1.9"), app(), top)
    [problem] = resolver.run(after, names=("top",))
    assert problem.startswith("E087: ")
    assert resolver.releases == before
