"""What a plan says of each recipe, as the index keeps it. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from ssds.graph.compile import Graph
from ssds.graph.index.edit import Entry
from ssds.graph.index.table import KEY_BYTES, NEVER_DAY, SETTLED, WAIVERS
from ssds.graph.plan import Plan, PlanStep, Verb
from ssds.kinds.gate.spec import AGE_UNTIL, next_change
from ssds.recipe.model import Catalog, Release
from ssds.recipe.steps import LocalTree
from ssds.recipe.uses import local_trees_of

_SEEN_KINDS = ("build", "gate")
"""Kinds whose outputs other recipes take."""

_EPOCH = dt.date(1970, 1, 1)


def day_of(date: dt.date) -> int:
    """Returns the days since 1970-01-01."""
    return (date - _EPOCH).days


def describe(
    graph: Graph,
    plan: Plan,
    catalog: Catalog,
    *,
    built_on: Mapping[str, Collection[str]],
    locked: Mapping[str, Iterable[str]],
    channels: Mapping[str, Collection[str]],
    busy: Collection[str],
    as_of: dt.date,
) -> dict[str, Entry]:
    """Returns an entry for each recipe of the catalog and each name with a lock, without rows.

    Args:
        graph: of at least these recipes.
        plan: its whole plan.
        catalog: the recipes.
        built_on: recipe → the recipes that it is built on.
        locked: recipe → the keys that its locks claim.
        channels: recipe → the channels to which something of it can be pushed.
        busy: the recipes of which something is to be done.
        as_of: the date of the plan.
    """
    releases: dict[str, list[Release]] = {}
    for release in catalog.releases.values():
        releases.setdefault(release.id.name, []).append(release)
    return {
        name: _entry(
            releases.get(name, []),
            graph,
            plan,
            builds_on=built_on.get(name, ()),
            keys=locked.get(name, ()),
            channels=channels.get(name, ()),
            idle=name not in busy,
            as_of=as_of,
            ends=_ends(catalog, name),
        )
        for name in sorted({*releases, *locked})
    }


def _entry(
    releases: list[Release],
    graph: Graph,
    plan: Plan,
    *,
    builds_on: Iterable[str],
    keys: Iterable[str],
    channels: Collection[str],
    idle: bool,
    as_of: dt.date,
    ends: tuple[dt.date, ...],
) -> Entry:
    owners = {str(release.id) for release in releases}
    seen = hashlib.sha256()
    shared: dict[str, bytes] = {}
    settled, own = idle, 0
    until, waivers = NEVER_DAY, False
    for release in releases:
        seen.update(_offer(release).encode())
        for target in release.targets.values():
            waivers = waivers or bool(target.waivers) or bool(ends)
            change = next_change(target.waivers, as_of, ends)
            until = min(until, day_of(change)) if change else until
        for name in graph.releases[release.id]:
            step = plan.steps[name]
            own += 1
            if age := step.node.hints.get(AGE_UNTIL):  # a gate's advisory set grows too old
                change = next_change((), as_of, (dt.date.fromisoformat(str(age)),))
                until = min(until, day_of(change)) if change else until
                waivers = True
            settled = settled and _is_settled(step)
            if name.kind in _SEEN_KINDS:
                seen.update(_outcome(step, plan.withdrawn).encode())
            for item in step.node.inputs:
                other = item.node
                if item.gate and other is not None and other.owner not in owners:
                    # What this recipe contains holds what is built on it, too.
                    seen.update(_outcome(plan.steps[other], plan.withdrawn).encode())
                if other is not None and other.owner not in owners and other.label not in shared:
                    source = plan.steps[other]
                    if other.kind in ("source", "base"):
                        settled = settled and _is_settled(source, for_others=True)
                        key = source.action.key.hex if source.action else ""
                        shared[other.label] = bytes.fromhex(key).ljust(32, b"\0")
    return Entry(
        flags=(SETTLED if settled else 0) | (WAIVERS if waivers else 0),
        until=until,
        own=own,
        seen=seen.digest(),
        channels=tuple(sorted(channels)),
        releases=" ".join(sorted(owners)),
        builds_on=tuple(sorted(set(builds_on))),
        keys=tuple({bytes.fromhex(key.rpartition(":")[2][: 2 * KEY_BYTES]) for key in keys}),
        shared=tuple(sorted(shared.items())),
    )


def _ends(catalog: Catalog, name: str) -> tuple[dt.date, ...]:
    """Returns the last days of what a recipe owes."""
    if name not in catalog.debts:
        return ()
    from ssds.recipe.debts import ends  # few catalogs owe anything

    return ends(catalog.debts[name])


def data_settled(graph: Graph, plan: Plan) -> bool:
    """Whether the plan of all reference data sets rests on their files and locks only."""
    for nodes in graph.data.values():
        for name in nodes:
            step = plan.steps[name]
            if not _is_settled(step):
                return False
            sources = (i.node for i in step.node.inputs if i.node and i.node.kind == "source")
            if not all(_is_settled(plan.steps[s], for_others=True) for s in sources):
                return False
    return True


def _is_settled(step: PlanStep, *, for_others: bool = False) -> bool:
    """Whether a step is reused because of its lock or its pin, whatever the store remembers.

    ``for_others``: one that only makes known bytes again gives others what it gave before.
    """
    again = for_others and step.reason == "bytes"
    if step.claim is None or not (again or step.verb is Verb.REUSE):
        return False
    fixed = step.node.fixed
    if fixed:
        return all(step.claim.outputs.get(name) == digest for name, digest in fixed.items())
    return step.claim.origin == "lock"


def _offer(release: Release) -> str:
    targets = (f"{target.platform} {target.required}" for target in release.targets.values())
    return f"release {release.id} {' '.join(targets)}\n"


def _outcome(step: PlanStep, withdrawn: frozenset[str]) -> str:
    outputs = " ".join(f"{name}={digest}" for name, digest in sorted(step.outputs.items()))
    verdict = step.claim.verdict if step.claim else ""
    held = " withdrawn" * (step.node.id.owner in withdrawn)
    return f"{step.node.id.label} {step.verb.value} {verdict} {outputs}{held}\n"


def local_trees(releases: Iterable[Release]) -> Iterator[LocalTree]:
    """Gives every local file and folder that releases rest on."""
    for release in releases:
        yield from release.metadata_files.values()
        for target in release.targets.values():
            if target.suite is not None:
                yield LocalTree(path=target.suite.file, entries=())
            for step in target.steps:
                yield from local_trees_of(step)


def unit_of(owner: str) -> str:
    """Returns the recipe's name of a release's text (``samtools`` of ``samtools@1.16.1``)."""
    return owner.partition("@")[0]
