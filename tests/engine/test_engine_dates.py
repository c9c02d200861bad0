"""SOURCE_DATE_EPOCH of a release is the newest date of what its image is made from (C18)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from makers import AMD64, EPOCH, a_catalog, a_release, a_source, pinned, shared_pins

from ssds.core.model import ReleaseName
from ssds.engine.report import Reporter
from ssds.engine.resolve import Order, Pins, resolve
from ssds.engine.runner import Crew
from ssds.host.mirrors import Mirrors
from ssds.recipe.model import Catalog, Test
from ssds.recipe.steps import RecipeRef, RunStep
from ssds.store.store import Store


def epoch(folder: Path, catalog: Catalog, name: str, dates: dict[str, int]) -> int:
    """Locks a catalog whose sources have these dates; returns the epoch of one release."""
    held = {
        key: replace(
            own,
            epoch=0,
            sources={n: replace(s, epoch=dates[n]) for n, s in own.sources.items()},
        )
        for key, own in pinned(catalog).items()
    }
    pins = Pins(shared=shared_pins(catalog), releases=dict(held))
    crew = Crew(
        store=Store.open(str(folder / "store")),
        sandbox=None,
        mirrors=Mirrors(),
        workspace=str(folder),
        state_folder=str(folder / ".ssds"),
    )
    release = next(r for r in catalog.releases.values() if r.id.name == name)
    order = Order(targets=tuple(release.targets.values()))
    resolve(catalog, pins, order, crew, Reporter(), str(folder))
    assert not pins.problems
    return pins.releases[ReleaseName(name, "1"), AMD64].epoch


def test_a_newer_source_of_the_build_moves_the_date_and_test_data_does_not(tmp_path: Path) -> None:
    catalog = a_catalog(
        a_release(
            "tool",
            "1",
            sources={"code": a_source("code"), "data": a_source("data")},
            steps=(RunStep(address="build[0]", script="make", sources=("code",)),),
            tests=(Test(name="works", script="true", sources=("data",)),),
        )
    )
    dates = {"code": EPOCH + 10, "data": EPOCH + 1000}
    assert epoch(tmp_path, catalog, "tool", dates) == EPOCH + 10


def test_the_date_is_never_older_than_that_of_a_contained_recipe(tmp_path: Path) -> None:
    below = a_release(
        "below",
        "1",
        sources={"code": a_source("code")},
        steps=(RunStep(address="build[0]", script="make", sources=("code",)),),
    )
    above = a_release("above", "1", base_recipe=RecipeRef(name="below", version="1"))
    catalog = a_catalog(below, above)
    assert epoch(tmp_path, catalog, "above", {"code": EPOCH + 10}) == EPOCH + 10
