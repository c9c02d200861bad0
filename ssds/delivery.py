"""The one plan that people see: the graph's steps, the locks' updates, the channels' changes.

Above both hands: it joins what ``graph`` plans with what ``ship`` would change (C14). Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.model import NodeId, ReleaseName
from ssds.core.records import dataclass
from ssds.graph.compile import Graph
from ssds.graph.plan import Plan, PlanStep, Verb
from ssds.lock.make import Found, make_variant
from ssds.lock.model import Locks, VariantLock, only_adopted
from ssds.recipe.model import Catalog
from ssds.ship.changes import Change

if TYPE_CHECKING:
    from ssds.lock.data import DataLock

FORMAT_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the plan.

    Attributes:
        node: a node id, or ``<release>:lock``, ``<release>:push/<channel>``.
        reason: a fixed code; ``text`` says it in words.
        marks: of ``irreversible impure``.
    """

    node: str
    kind: str
    platform: str
    verb: Verb
    reason: str
    text: str
    marks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "node": self.node,
            "kind": self.kind,
            "platform": self.platform,
            "verb": self.verb.word,
            "reason": self.text,
            "reason_code": self.reason,
            "marks": list(self.marks),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Everything that apply would do.

    Attributes:
        rows: graph first, then locks, then channels.
        notes: what is worth a line but no row (a channel that was never observed).
        required_waits: releases that wait for a platform that they require.
        rowless: reused results that have no row: nobody asked for them one by one.
    """

    plan: Plan
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    required_waits: tuple[str, ...] = ()
    rowless: int = 0

    def count(self, verb: Verb) -> int:
        """How many rows, or reused results without a row, have that verb."""
        found = sum(1 for row in self.rows if row.verb is verb)
        return found + self.rowless if verb is Verb.REUSE else found

    @property
    def summary(self) -> dict[str, int]:
        """The counts by verb and by mark."""
        counts = {verb.word: self.count(verb) for verb in Verb}
        for mark in ("irreversible", "impure"):
            active = (r for r in self.rows if r.verb is not Verb.REUSE)
            counts[mark] = sum(1 for row in active if mark in row.marks)
        return counts

    @property
    def exit_code(self) -> int:
        """For ``plan --detailed-exitcode``: 0 nothing to do, 2 something can run, 3 it cannot."""
        if any(self.count(verb) for verb in (Verb.RUN, Verb.UNKNOWN, Verb.REMOVE)):
            return 2
        return 3 if self.count(Verb.HELD) or self.required_waits else 0

    def to_dict(self, *, full: bool = False) -> dict[str, Json]:
        """Returns the one JSON object of ``plan --json`` (schemas/plan.schema.json)."""
        shown = [r for r in self.rows if full or r.verb is not Verb.REUSE]
        return {
            "format_version": FORMAT_VERSION,
            "summary": dict(self.summary),
            "steps": [row.to_dict() for row in shown],
            "notes": list(self.notes),
        }


def graph_rows(plan: Plan) -> list[Row]:
    """Returns the rows of the graph's plan: what releases share, then release by release.

    Their order is that of names, so that a part of a catalog gives it too.
    """
    return [
        Row(
            node=str(step.node.id),
            kind=step.node.kind,
            platform=step.node.id.platform,
            verb=step.verb,
            reason=step.reason,
            text=step.text,
            marks=tuple(sorted(step.node.marks)),
        )
        for step in sorted(plan.steps.values(), key=_place)
    ]


def _place(step: PlanStep) -> tuple[bool, str]:
    name = step.node.id
    shared = name.kind in ("source", "base")
    return (False, name.label) if shared else (True, name.owner)


def found_by_plan(plan: Plan, read: Callable[[Digest], bytes | None]) -> Found:
    """Returns what the plan knows already: reused claims, and those whose bytes come again."""
    claims = {
        name: step.claim
        for name, step in plan.steps.items()
        if step.claim is not None and step.verb in (Verb.REUSE, Verb.RUN)
    }
    return Found(claims=claims, read=functools.cache(read))  # platforms often share their bytes


def lock_rows(
    graph: Graph, catalog: Catalog, plan: Plan, locks: Locks, found: Found, *, whole: bool
) -> list[Row]:
    """Returns a row for every lock that is behind, and one for every lock without a recipe.

    The latter only for the ``whole`` catalog: a selection removes nothing.
    """

    def behind(name: ReleaseName) -> str:
        before = locks.get(name).variant(name)
        after = make_variant(name, tuple(catalog.releases[name].targets), before, found)
        return _what_changes(before, after) if after != before else ""

    return _lock_rows(plan, graph.releases, behind, gone(catalog, locks) if whole else ())


def _lock_rows(
    plan: Plan,
    owners: Mapping[ReleaseName, Iterable[NodeId]],
    behind: Callable[[ReleaseName], str],
    lost: Iterable[ReleaseName],
) -> list[Row]:
    """Returns a row for every lock of which something is to be written or removed.

    Args:
        owners: whose lock → its nodes; locks of which not every node is planned are left out.
        behind: says in what a lock is behind, or the empty string; asked where nothing runs.
        lost: whose locks have nothing in the catalog.
    """
    rows = []
    for name, nodes in sorted(owners.items()):
        steps = [(node, plan.steps.get(node)) for node in nodes]
        if any(step is None for _, step in steps):
            continue
        news = [n for n, step in steps if step and step.runs and step.reason != "bytes"]
        if news:
            rows.append(_lock_row(name, Verb.UNKNOWN, "input", f"known after {news[0].label}"))
        elif text := behind(name):
            rows.append(_lock_row(name, Verb.RUN, "behind", text))
    rows += [
        _lock_row(name, Verb.REMOVE, "gone", "no longer in the catalog") for name in sorted(lost)
    ]
    return rows


def lacking(plan: Plan, locks: Locks, releases: Iterable[ReleaseName]) -> set[ReleaseName]:
    """Returns the releases whose locks hold no image or index, or another one than is claimed.

    Whether such a lock is behind depends on bytes that may come and go.
    """
    found = set()
    for name in releases:
        variant = locks.get(name).variant(name)
        index = plan.steps.get(NodeId(str(name), "index"))
        known = variant.index.digest if variant.index else None
        claims = [(index.claim if index else None, "index", known)]
        for platform, section in variant.platforms.items():
            publish = plan.steps.get(NodeId(str(name), "publish", str(platform)))
            known = section.release.manifest.digest if section.release else None
            claims.append((publish.claim if publish else None, "manifest", known))
            sif = plan.steps.get(NodeId(str(name), "sif", str(platform)))
            known = (
                section.release.sif.file.digest if section.release and section.release.sif else None
            )
            claims.append((sif.claim if sif else None, "sif", known))
        if any(claim and claim.outputs.get(output) != digest for claim, output, digest in claims):
            found.add(name)
    return found


def gone(catalog: Catalog, locks: Locks) -> list[ReleaseName]:
    """Returns the locked releases that the catalog has no more; adopted ones are others'."""
    return [
        lock.release_name(variant)
        for lock in locks.releases.values()
        for variant, entry in lock.variants.items()
        if lock.release_name(variant) not in catalog.releases and not only_adopted(entry)
    ]


def data_lock_rows(
    graph: Graph,
    catalog: Catalog,
    plan: Plan,
    locks: Mapping[ReleaseName, DataLock],
    found: Found,
    *,
    whole: bool,
) -> list[Row]:
    """Returns a row for every data set's lock that is behind, and for every one without a set."""
    from ssds.lock.data import DataLock, make_data_lock

    def behind(name: ReleaseName) -> str:
        before = locks.get(name, DataLock(id=name))
        after = make_data_lock(
            catalog.data[name], graph.data[name], before, found.claims, found.read
        )
        if after == before:
            return ""
        same = before.made == after.made
        return "its description is behind" if same else "the lock is behind what was made"

    lost = set(locks) - set(catalog.data) if whole else ()
    return _lock_rows(plan, graph.data, behind, lost)


def _lock_row(name: ReleaseName, verb: Verb, reason: str, text: str) -> Row:
    return Row(node=f"{name}:lock", kind="lock", platform="", verb=verb, reason=reason, text=text)


def _what_changes(before: VariantLock, after: VariantLock) -> str:
    if after.index is None:
        return "the lock is behind what was built"
    if before.revision != after.revision:
        return f"revision {after.revision} is {after.index.digest}"
    return "its evidence is behind"


def change_rows(changes: Iterable[tuple[Change, ReleaseName]]) -> list[Row]:
    """Returns one row for all changes of a release on a channel that go the same way.

    What ssds does not manage is no row: it is never touched.
    """
    groups: dict[tuple[ReleaseName, str, str, str], list[Change]] = {}
    for change, name in changes:
        if change.verb != "unmanaged":
            kept_apart = "" if change.verb == "+" else change.reason
            key = (name, change.where, change.verb, kept_apart)
            groups.setdefault(key, []).append(change)
    rows = []
    for (name, where, verb, reason), group in sorted(groups.items(), key=_where):
        tags = ", ".join(change.what.partition(":")[2] for change in group)
        rows.append(
            Row(
                node=f"{name}:push/{where}",
                kind="push",
                platform="",
                verb=Verb(verb),
                reason="channel",
                text=f"{reason}: {tags}" if reason else tags,
                marks=tuple(sorted({mark for c in group for mark in c.marks} - {"drift"})),
            )
        )
    return rows


def _where(item: tuple[tuple[ReleaseName, str, str, str], object]) -> tuple[str, ReleaseName, str]:
    name, where, verb, reason = item[0]
    return where, name, f"{verb} {reason}"


def bring_rows(plan: Plan, channel_of: Callable[[Digest, str], str]) -> list[Row]:
    """Returns one row for each release whose bytes come from a channel (C2)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for node, digests in plan.brought.items():
        where = channel_of(digests[0], node.owner)
        groups.setdefault((node.owner, where), []).append(
            f"{node.kind} [{node.platform}]" if node.platform else node.kind
        )
    return [
        Row(
            node=f"{owner}:fetch/{where}",
            kind="fetch",
            platform="",
            verb=Verb.RUN,
            reason="bytes",
            text=f"bytes of {', '.join(kinds)}",
        )
        for (owner, where), kinds in sorted(groups.items())
    ]


def required_waits(plan: Plan) -> tuple[str, ...]:
    """Returns the releases, and required platforms of releases, that wait."""
    return tuple(
        step.node.id.label
        for step in plan.steps.values()
        if step.verb is Verb.WAIT and step.node.required and step.node.kind in ("publish", "index")
    )
