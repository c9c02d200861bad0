"""``ssds status``: what is released, what is held, what is behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from ssds.audit.agreements import REPRODUCIBLE, Standing
from ssds.cli import open_work, planning
from ssds.cli.app import Context
from ssds.cli.output import print_json, say, table
from ssds.cli.standings import standings
from ssds.cli.syncing import place_names
from ssds.core.model import ReleaseName
from ssds.core.text import shown
from ssds.graph.compile import Graph
from ssds.graph.plan import Plan, Verb
from ssds.lock.model import Locks, VariantLock, only_adopted
from ssds.workspace import Workspace


@click.command("status")
@click.option("--as-of", default="", metavar="DATE", help="Judge waivers on this date.")
@click.option(
    "--fail-on-alert",
    is_flag=True,
    help="Exit with 3 when a release has an alert, or a sync left work.",
)
@click.option(
    "--tests", "tests", is_flag=True, help="Count tests: pass, fail, skip, known to fail."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context, /, as_of: str, fail_on_alert: bool, tests: bool, as_json: bool
) -> int:
    """Show every release: revision, platforms, verdicts, and whether the lock is behind.

    An alert is a released image whose newest gate fails (it stays deployable, its next revision is
    held), or one that fewer audits agree on than its policy demands. What the last `ssds sync`
    could not do stays open until a later one does it.

    With --tests, a row for each release, platform and sort of test instead (the recipe's own or its
    suite, and the deploy test), and the sum. `ssds log NAME:test` shows each result.
    """
    workspace = Workspace.open(context.folder)
    planned = planning.make(workspace, planning.Asked(as_of=as_of))
    if tests:
        from ssds.cli.tested import print_tests

        print_tests(workspace, planned.plan, as_json=as_json)
        return 0
    entries = []
    standing: dict[str, list[Standing]] = {}
    for one in standings(workspace, workspace.catalog.releases):
        if one.released.demand is not None:
            standing.setdefault(one.released.release, []).append(one)
    for name in sorted(workspace.catalog.releases):
        variant = workspace.locks.get(name).variant(name)
        entries.append(_entry(name, variant, planned.plan, standing.get(str(name), [])))
    entries += _adopted(workspace.locks)
    _note_withdrawn(entries, workspace.locks)
    left = open_work.read_all(workspace, place_names(workspace))
    for entry in entries:
        entry["open"] = [
            work.channel for work in left if work.reason or _is_open(entry, work.releases)
        ]
    sets = _data_entries(workspace, planned.graph, planned.plan) if planned.graph.data else []
    if as_json:
        print_json([*entries, *sets])
    else:
        head = ["release", "revision", "platforms", "tests", "gate", "state"]
        if any(entry["reproducible"] for entry in entries):
            head.append("reproducible")
        if left:
            head.append("open")
        rows = [[_cell(entry[key]) for key in head] for entry in entries]
        print(table([head, *rows]))
        for entry in entries:
            if entry["withdrawn"]:
                say(f"{entry['release']} was {shown(entry['withdrawn']['text'])}")
        if sets:
            titles = ["data", "digest", "files", "size_bytes", "licenses", "state"]
            print("\n" + table([titles, *([str(one[key]) for key in titles] for one in sets)]))
        for work in left:
            for what, reason in {"": work.reason, **work.releases}.items():
                if reason:
                    say(f"open on {work.channel}{f', {what}' if what else ''}: {reason}")
        if left:
            say("`ssds sync` tries again.")
        _say_sites(workspace)
    alerts = [entry for entry in entries if entry["alert"]]
    return 3 if fail_on_alert and (alerts or left) else 0


def _say_sites(workspace: Workspace) -> None:
    """Says what the newest tests on sites' own trees gave."""
    from ssds.cli.site_results import summaries

    for one in summaries(workspace):
        failing = f": {', '.join(map(shown, one['failing'][:5]))}" if one["failing"] else ""
        say(
            f"tested on site {shown(one['site'])} at {one['at']}, generation {one['generation']}: "
            f"{one['modules']} modules, {one['pass']} pass, {one['fail']} fail, "
            f"{one['skip']} skip, {one['known']} known{failing}"
        )


def _note_withdrawn(entries: list[dict[str, Any]], locks: Locks) -> None:
    """Says of each release whether it is withdrawn; such a one raises no alert (C15)."""
    known = {str(name): said for name, said in locks.withdrawn.items()}
    for entry in entries:
        said = known.get(entry["release"])
        entry["withdrawn"] = {**said.to_dict(), "text": said.text} if said else None
        if said:
            entry |= {"state": "withdrawn", "alert": False}


def _adopted(locks: Locks) -> list[dict[str, Any]]:
    """Returns what there is to say of what others deployed: no revision, no evidence."""
    words = ("revision", "tests", "gate")
    return [
        {
            "release": str(lock.release_name(variant)),
            **dict.fromkeys(words, "-"),
            "index": "",
            "platforms": ",".join(p for p, section in entry.platforms.items() if section.adopted),
            "state": "adopted",
            "reproducible": "",
            "alert": False,
        }
        for lock in locks.releases.values()
        for variant, entry in lock.variants.items()
        if only_adopted(entry)
    ]


def _cell(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _is_open(entry: dict[str, Any], whats: Iterable[str]) -> bool:
    """Whether something that is left is of this release: its own name, or one of its tags."""
    name, _, version = entry["release"].partition("@")
    tag = ReleaseName(name, *version.partition("+")[::2]).tag
    ours = {entry["release"], *(f"{name}:{t}" for t in (tag, f"{tag}-{entry['revision']}"))}
    return any(what.removesuffix("-sif") in ours for what in whats)


def _data_entries(workspace: Workspace, graph: Graph, plan: Plan) -> list[dict[str, Any]]:
    """Returns what there is to say of each reference data set."""
    words = {"released": "locked", "not built": "not made"}
    found = []
    for name, nodes in graph.data.items():
        lock = workspace.data_locks.get(name)
        made = lock.made if lock else None
        licenses = workspace.catalog.data[name].about["licenses"]
        state = _state([plan.steps[node].verb for node in nodes], made is not None)
        found.append(
            {
                "data": str(name),
                "digest": str(made.content.digest) if made else "-",
                "files": made.files if made else 0,
                "size_bytes": made.size_bytes if made else 0,
                "licenses": ", ".join(map(str, licenses if isinstance(licenses, list) else ())),
                "state": words.get(state, state),
            }
        )
    return found


def _entry(
    name: ReleaseName, variant: VariantLock, plan: Plan, standing: list[Standing]
) -> dict[str, Any]:
    steps = [s for n, s in plan.steps.items() if n.owner == str(name)]
    gates = {s.claim.verdict for s in steps if s.node.kind == "gate" and s.claim}
    tests = {s.claim.verdict for s in steps if s.node.kind in ("test", "deploytest") and s.claim}
    released = variant.index is not None
    return {
        "release": str(name),
        "revision": f"r{variant.revision}" if released else "-",
        "index": str(variant.index.digest) if variant.index else "",
        "platforms": ",".join(variant.index.platforms) if variant.index else "-",
        "tests": _verdict(tests),
        "gate": _verdict(gates),
        "state": _state([s.verb for s in steps if s.node.required], released),
        "reproducible": _reproducible(standing),
        "alert": released
        and ("fail" in gates or any(one.standing != REPRODUCIBLE for one in standing)),
    }


def _reproducible(standing: list[Standing]) -> str:
    """Returns what audits of the platforms of a release say where its policy asks for them."""
    return ", ".join(
        f"{one.released.platform}: {one.standing} ({one.count})"
        if len(standing) > 1
        else f"{one.standing} ({one.count})"
        for one in standing
    )


def _verdict(verdicts: set[str]) -> str:
    return "fail" if "fail" in verdicts else "pass" if verdicts else "-"


def _state(verbs: list[Verb], released: bool) -> str:
    if Verb.HELD in verbs:
        return "held"
    if Verb.RUN in verbs or Verb.UNKNOWN in verbs:
        return "behind" if released else "not built"
    if Verb.WAIT in verbs:
        return "waiting"
    return "released" if released else "not locked"
