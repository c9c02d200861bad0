"""Which pin a field of a key comes from, and where it stands in the file that is written."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from makers import (
    AMD64,
    a_base,
    a_catalog,
    a_release,
    a_source,
    an_apt_step,
    pinned,
    shared_pins,
)

from ssds.core.digest import sha256_of
from ssds.core.model import Node, NodeId, ReleaseName
from ssds.core.pins import AdvisoryPin
from ssds.graph.compile import compile_graph
from ssds.lock.marks import marks_of
from ssds.lock.model import CatalogLock, Lock, Locks, PlatformLock, VariantLock
from ssds.lock.places import pin_place, variant_of
from ssds.lock.write import catalog_lock_bytes, lock_bytes
from ssds.recipe.steps import RecipeRef, RunStep

LIB = a_release("lib", "1.5")
APP = a_release(
    "app",
    "1.0+git",
    base_recipe=RecipeRef(name="lib", version=">=1"),
    sources={"data": a_source()},
    steps=(
        an_apt_step("zlib1g", "libc6"),
        RunStep(address="build[1]", script="true", tools=("gcc",), sources=("data",)),
    ),
)
PLAIN = a_release("plain", "2")
CATALOG = a_catalog(
    LIB, APP, PLAIN, bases={"debian-12": a_base(advisories="set")}, advisories={"set": "set.json"}
)
ADVISORIES = AdvisoryPin(name="set", date="2026-01-01", digest=sha256_of(b"set"), size_bytes=3)
SHARED = replace(
    shared_pins(CATALOG),
    advisories={"set@2026-01-01": ADVISORIES},
    current={"debian-12": "debian-12@20231114", "advisories/set": "set@2026-01-01"},
)
PINS = pinned(CATALOG)
GRAPH = compile_graph(CATALOG, SHARED, PINS, dt.date(2026, 1, 1))


def a_lock(name: ReleaseName) -> Lock:
    platforms = {AMD64: PlatformLock(pins=PINS[name, AMD64])}
    return Lock(
        name=name.name,
        version=name.version,
        variants={name.variant: VariantLock(platforms=platforms)},
    )


LOCKS = Locks(
    releases={(n.name, n.version): a_lock(n) for n in CATALOG.releases},
    catalog=CatalogLock(pins=SHARED),
)


def node(owner: str, kind: str, part: str = "") -> Node:
    return GRAPH.nodes[NodeId(owner, kind, AMD64, part)]


APP_NODE, SHARED_NAME = "app@1.0+git", "debian-12@20231114"


@pytest.mark.parametrize(
    ("owner", "kind", "path", "named", "line"),
    [
        (APP_NODE, "build", "slice.steps[0].packages.zlib1g", "package zlib1g", '"zlib1g"'),
        (APP_NODE, "build", "slice.steps[0].packages.gone", "package gone", '"build/0"'),
        (APP_NODE, "build", "slice.steps[1].tools.gcc", "package gcc", '"gcc"'),
        (APP_NODE, "build", "slice.steps[1].tools", "packages of build/1", '"build/1"'),
        (APP_NODE, "build", "inputs.source/data", "source data", '"data"'),
        (APP_NODE, "build", "inputs.base", "recipe lib", '"lib"'),
        (APP_NODE, "build", "source_date_epoch", "epoch", '"epoch"'),
        ("plain@2", "build", "inputs.base", f"base {SHARED_NAME}", f'"{SHARED_NAME}"'),
        ("plain@2", "scan", "inputs.advisories", "advisory set set@2026-01-01", '"set@2026'),
    ],
)
def test_a_field_names_its_pin_and_the_line_has_it(
    owner: str, kind: str, path: str, named: str, line: str
) -> None:
    place = pin_place(LOCKS, node(owner, kind), path)
    assert place is not None
    assert place.name == named
    shared = place.lock == ("", "")
    data = catalog_lock_bytes(LOCKS.catalog) if shared else lock_bytes(LOCKS.releases[place.lock])
    text = data.decode()
    number, _ = marks_of(text).place(place.path)
    assert line in text.splitlines()[number - 1]


def test_a_package_of_a_base_stands_in_the_shared_lock() -> None:
    place = pin_place(LOCKS, node("debian-12", "base", "20231114"), "slice.packages.dash")
    assert place is not None
    assert place.name == f"package dash of base {SHARED_NAME}"
    text = catalog_lock_bytes(LOCKS.catalog).decode()
    number, _ = marks_of(text).place(place.path)
    assert '"dash"' in text.splitlines()[number - 1]


@pytest.mark.parametrize(
    ("owner", "kind", "path"),
    [
        (APP_NODE, "build", "slice.steps[0].type"),
        (APP_NODE, "build", "slice.steps[7].packages.x"),
        (APP_NODE, "build", "inputs.source/other"),
        (APP_NODE, "publish", "inputs.config"),
        ("plain@2", "test", "slice.tests[0].script"),
        ("plain@2", "build", "kind_version"),
    ],
)
def test_what_is_no_pin_has_no_place(owner: str, kind: str, path: str) -> None:
    assert pin_place(LOCKS, node(owner, kind), path) is None
    assert pin_place(Locks(), node(owner, kind), path) is None


def test_a_version_with_a_plus_is_no_variant() -> None:
    def of(*names: ReleaseName) -> Locks:
        locks = {}
        for n in names:
            lock = locks.get((n.name, n.version), Lock(name=n.name, version=n.version))
            variants = {**lock.variants, n.variant: VariantLock()}
            locks[n.name, n.version] = replace(lock, variants=variants)
        return Locks(releases=locks)

    plus, variant = ReleaseName("x", "1+git"), ReleaseName("x", "1", "cuda")
    both = ReleaseName("x", "1+git", "cuda")
    locks = of(plus, variant, both)
    for name in (plus, variant, both):
        found = variant_of(locks, str(name))
        assert found is not None
        assert found[0].release_name(found[1]) == name
    assert variant_of(locks, "x@2") is None
    assert variant_of(locks, "y@1+cuda") is None
    assert variant_of(Locks(), "x") is None
