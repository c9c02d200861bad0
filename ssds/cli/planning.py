"""Makes and prints the joint plan, for ``plan`` and ``apply``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from ssds.cli import channels, reasons
from ssds.cli.output import counted, fitted, print_json, show, table, terminal_width
from ssds.cli.wishes import make_wishes, parse_date
from ssds.core.digest import Digest
from ssds.core.memory import uncollected
from ssds.core.records import dataclass, field, replace
from ssds.delivery import (
    Delivery,
    Row,
    bring_rows,
    change_rows,
    data_lock_rows,
    found_by_plan,
    graph_rows,
    lock_rows,
    required_waits,
)
from ssds.graph.compile import Graph
from ssds.graph.plan import Facts, Plan, Verb, make_plan
from ssds.kinds.build.contained import lost_versions, refuse_removal
from ssds.lock.model import Locks, only_adopted
from ssds.workspace import Workspace

_ORDER = (Verb.HELD, Verb.REMOVE, Verb.RUN, Verb.UNKNOWN, Verb.WAIT, Verb.REUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options that ``plan`` and ``apply`` share."""

    selectors: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    as_of: str = ""
    fetch: bool = False
    rerun: tuple[str, ...] = ()
    retry: bool = False
    refresh: bool = False
    builder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan and what it was made from."""

    graph: Graph
    facts: Facts
    delivery: Delivery
    as_of: dt.date
    pushes: channels.Pushes = field(default_factory=channels.Pushes)

    @property
    def plan(self) -> Plan:
        """The graph's plan."""
        return self.delivery.plan


@uncollected()
def make(
    workspace: Workspace, asked: Asked, change: Callable[[Facts], Facts] = lambda facts: facts
) -> Planned:
    """Returns the joint plan; reads, and changes nothing.

    Where a remote cache turns out to give less than it claims, the plan is made again without.

    Args:
        change: makes other facts of those that were found, for what-if questions.
    """
    as_of = parse_date(asked.as_of)
    graph = workspace.graph(as_of)
    refuse_removal(lost_versions(workspace.catalog, workspace.locks.pins))
    pushes = channels.look(workspace, refresh=asked.refresh)
    caches = workspace.caches
    while True:
        retracted = caches.retracted if caches else 0
        facts, delivery = _deliver(workspace, asked, change, graph, pushes)
        if caches is None or caches.retracted == retracted:
            return Planned(graph=graph, facts=facts, delivery=delivery, as_of=as_of, pushes=pushes)


def site_notes(workspace: Workspace) -> tuple[str, ...]:
    """Returns what is to be said of files of sites that have errors."""
    return tuple(
        f"{path} has {counted(len(found), 'error')}; its site is not deployed, all else goes on: "
        "ssds check"
        for path, found in workspace.reading.site_errors.items()
    )


def told_notes(texts: Mapping[str, str]) -> tuple[str, ...]:
    """Returns what is to be said of releases, by what ``told_texts`` gives."""
    found = [f"{name} was {text}" for name, text in sorted(texts.items()) if text]
    if adopted := sum(not text for text in texts.values()):
        found.append(f"{counted(adopted, 'adopted release')} reused as others deployed")
    return tuple(found)


def told_texts(locks: Locks) -> dict[str, str]:
    """Returns release → what users are told of what is withdrawn; the empty text for adopted ones.

    What was adopted and has a build of ours is none of them.
    """
    texts = {
        str(lock.release_name(name)): ""
        for lock in locks.releases.values()
        for name, variant in lock.variants.items()
        if only_adopted(variant)
    }
    return texts | {str(name): said.text for name, said in locks.withdrawn.items()}


def cache_notes(workspace: Workspace) -> tuple[str, ...]:
    """Returns what is to be said of the remote caches, where they were asked."""
    caches = workspace.asked.get("")
    return caches.notes() if caches else ()


class _Offers:
    """The digests that a channel or a remote cache has; caches are asked only when it matters."""

    def __init__(self, pushes: channels.Pushes, workspace: Workspace) -> None:
        self._pushes, self._workspace = pushes, workspace

    def __contains__(self, digest: object) -> bool:
        caches = self._workspace.caches
        return digest in self._pushes.offers or (caches is not None and digest in caches)

    def place(self, digest: Digest, owner: str) -> str:
        """Returns the name of who gives a digest."""
        if digest in self._pushes.offers:
            return self._pushes.offer(digest, owner)[0].name
        caches = self._workspace.caches
        return caches.offering(digest) if caches else ""


def _deliver(
    workspace: Workspace,
    asked: Asked,
    change: Callable[[Facts], Facts],
    graph: Graph,
    pushes: channels.Pushes,
) -> tuple[Facts, Delivery]:
    wishes = make_wishes(
        graph,
        selectors=asked.selectors,
        platforms=asked.platforms or workspace.settings.platforms,
        fetch=asked.fetch,
        rerun=asked.rerun,
        retry=asked.retry,
    )
    wishes = replace(wishes, fetch=wishes.fetch | pushes.wanted(workspace, graph))
    offers = _Offers(pushes, workspace)
    facts = replace(change(workspace.facts()), offered=offers)
    plan = reasons.explained(workspace, make_plan(graph, facts, wishes))
    if workspace.caches:
        steps = [s for s in plan.steps.values() if s.action]
        origins = {s.action.key: s.claim.origin if s.claim else "" for s in steps if s.action}
        workspace.caches.note_choices(origins)
    found = found_by_plan(plan, workspace.read_blob)
    rows = graph_rows(plan)
    rows += bring_rows(plan, offers.place)
    whole = not asked.selectors
    rows += lock_rows(graph, workspace.catalog, plan, workspace.locks, found, whole=whole)
    if graph.data or workspace.data_locks:
        rows += data_lock_rows(
            graph, workspace.catalog, plan, workspace.data_locks, found, whole=whole
        )
    rows += change_rows(pushes.judged(plan, graph))
    delivery = Delivery(
        plan=plan,
        rows=tuple(rows),
        notes=(
            *pushes.notes,
            *cache_notes(workspace),
            *site_notes(workspace),
            *told_notes(told_texts(workspace.locks)),
        ),
        required_waits=required_waits(plan),
    )
    return facts, delivery


def present(
    delivery: Delivery, *, as_json: bool, full: bool = False, more: Mapping[str, Any] | None = None
) -> None:
    """Prints the plan, for people or as one JSON object with ``more`` in it."""
    if as_json:
        print_json({**delivery.to_dict(full=full), **(more or {})})
    else:
        show(render(delivery, full=full))


def render(delivery: Delivery, *, full: bool = False) -> str:
    """Returns the plan for people: summary first, reasons, one line of counts at the end."""
    shown = [r for r in delivery.rows if full or r.verb is not Verb.REUSE]
    lines = [_headline(delivery), ""]
    if shown:
        shown.sort(key=lambda r: _ORDER.index(r.verb))
        cells = [_cells(row) for row in shown]
        lines += [table(cells if full else fitted(cells, terminal_width() - 2), indent="  "), ""]
    lines += [f"note: {note}" for note in delivery.notes]
    lines.append(_counts(delivery))
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    marks = ("!" if "irreversible" in row.marks else "") + ("i" if "impure" in row.marks else "")
    return [f"{row.verb.value}{marks}", row.node, row.platform, row.text]


def _headline(delivery: Delivery) -> str:
    code = delivery.exit_code
    if code == 0:
        waiting = delivery.count(Verb.WAIT)
        rest = f" ({waiting} optional ones wait)" if waiting else ""
        return f"Nothing to do: {delivery.count(Verb.REUSE)} results are reused{rest}."
    if code == 3:
        return "Nothing can run, but something is held or waits."
    running = delivery.count(Verb.RUN) + delivery.count(Verb.UNKNOWN) + delivery.count(Verb.REMOVE)
    return (
        f"{counted(running, 'step')} to do, {counted(delivery.count(Verb.REUSE), 'result')} reused."
    )


def _counts(delivery: Delivery) -> str:
    summary = delivery.summary
    words = [f"{summary[verb.word]} {verb.word}" for verb in Verb]
    marks = [f"{summary[m]} {m}" for m in ("irreversible", "impure") if summary[m]]
    return "Plan: " + ", ".join(words + marks) + "."
