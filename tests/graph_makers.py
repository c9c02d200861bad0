"""Makers of graphs and plans for tests of pictures: catalogs of any size, plans of every verb."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable

import makers

from ssds.core.digest import ActionKey, sha256_of
from ssds.core.model import KINDS, OUTPUTS, VERDICT_KINDS, Claim
from ssds.core.platform import Platform
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts, Plan, make_plan
from ssds.recipe.model import Catalog
from ssds.recipe.steps import RecipeRef

_WORDS = ("afni", "bedtools", "conn", "dcm", "eddy", "fsl", "gatk", "hisat", "itk", "julia")


class Everything:
    """A container of all digests: no bytes are ever missing."""

    def __contains__(self, digest: object) -> bool:
        return True


def many(count: int, *, seed: int = 1, upon: float = 0.2) -> Catalog:
    """Returns a catalog of ``count`` releases; a share of them is built on another one."""
    chance = random.Random(seed)
    releases = []
    for number in range(count):
        fields = {}
        if releases and chance.random() < upon:
            below = chance.choice(releases).id
            fields["base_recipe"] = RecipeRef(name=below.name, version=below.version)
        name = f"{_WORDS[number % len(_WORDS)]}-{number}"
        platforms = {makers.AMD64: True, makers.ARM64: False}
        releases.append(makers.a_release(name, "1.0", platforms=platforms, **fields))
    return makers.a_catalog(*releases)


def compiled(catalog: Catalog) -> Graph:
    """Returns the graph of a catalog whose every request is answered."""
    pins = makers.pinned(catalog)
    return compile_graph(catalog, makers.shared_pins(catalog), pins, dt.date(2026, 1, 1))


def planned(
    graph: Graph,
    *,
    known: Callable[[ActionKey], bool] = lambda key: True,
    passes: Callable[[ActionKey], bool] = lambda key: True,
    builds: Callable[[Platform], bool] = lambda platform: True,
) -> Plan:
    """Returns the plan where the keys that are ``known`` have a claim, and its verdict."""

    def claims(key: ActionKey) -> tuple[Claim, ...]:
        if not known(key):
            return ()
        return tuple(
            Claim(
                key=key,
                kind=kind,
                outputs={name: sha256_of(f"{key}{name}".encode()) for name in OUTPUTS[kind]},
                verdict=("pass" if passes(key) else "fail") if kind in VERDICT_KINDS else "",
            )
            for kind in KINDS
        )

    facts = Facts(
        claims=claims, has=Everything(), builder=lambda p: "" if builds(p) else f"no builder: {p}"
    )
    return make_plan(graph, facts)


def mixed(graph: Graph, share: int = 20) -> Plan:
    """Returns a plan of every verb that nodes can have; ``share`` of 256 keys are unknown."""
    return planned(
        graph,
        known=lambda key: int(key.hex[:2], 16) >= share,
        passes=lambda key: int(key.hex[2:4], 16) >= share,
        builds=lambda platform: platform == makers.AMD64,
    )
