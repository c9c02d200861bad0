"""``plan --matrix``: the jobs of a CI run, one for what can be built together on one platform.

A job has the releases that share something that is to be built, so that no two runners build the
same thing; its labels come from the setting ``runners``, its needs from the recipes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ssds.cli import planning
from ssds.cli.output import say
from ssds.core.canonical import Json
from ssds.core.errors import UsageError
from ssds.core.model import NodeId
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.graph.compile import Graph
from ssds.graph.plan import Facts, Plan
from ssds.workspace import Workspace

MOST_JOBS = 256
"""So many a forge takes; beyond that, jobs of one platform are joined."""
RUN_ID = "{run_id}"
_RUN_VARIABLES = ("SSDS_RUN_ID", "GITHUB_RUN_ID", "CI_PIPELINE_ID")


def matrix(workspace: Workspace, asked: planning.Asked, most: int = MOST_JOBS) -> dict[str, Json]:
    """Returns ``{"include": [job, …]}``; every platform with a runner counts as one with a builder.

    Raises:
        UsageError: E224, the settings name no runners.
    """
    runners = workspace.settings.runners
    if not runners:
        raise UsageError(
            "no runners are named",
            hint="Map platforms to labels under `runners` in ssds.yaml: "
            "{linux/amd64: [ubuntu-24.04]}.",
            code="E224",
        )

    def there(facts: Facts) -> Facts:
        return replace(
            facts,
            builder=lambda p: "" if _labels(p, runners) else f"no runner for {p}",
            sandbox=lambda: "",
            emulates=lambda _: "",
        )

    planned = planning.make(workspace, asked, there)
    lacking = {str(s.node.id.platform) for s in planned.plan.steps.values() if _unserved(s.text)}
    for platform in sorted(lacking):
        say(f"warning: no runner for {platform}; name one under `runners` in ssds.yaml")
    sets = _set_platforms(planned.graph, runners)
    found = _groups(planned.graph, planned.plan, sets)
    count = sum(len(groups) for groups in found.values())
    steps = Counter(
        (s.node.id.owner, s.node.id.platform or str(sets.get(s.node.id.owner, "")))
        for s in planned.plan.steps.values()
        if s.runs
    )
    jobs: list[Json] = []
    for platform, groups in found.items():
        fair = max(1, most * len(groups) // max(1, count))
        for names in _joined(groups, fair):
            count_here = sum(steps[name, str(platform)] for name in names)
            jobs.append(_job(workspace, planned, platform, names, sets, steps=count_here))
    return {"include": jobs}


def _unserved(text: str) -> bool:
    return text.startswith("no runner for ")


def _labels(platform: Platform, runners: Mapping[Platform, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns the labels of a platform's runner, or of its baseline's."""
    return runners.get(platform) or runners.get(platform.baseline) or ()


def _set_platforms(
    graph: Graph, runners: Mapping[Platform, tuple[str, ...]]
) -> dict[str, Platform]:
    """Returns data set → where the whole set is made: where its last index step runs, or anywhere.

    What an index step on another platform makes is a job of its own there.
    """
    anywhere = next(iter(runners))
    return {
        str(name): next((Platform(n.platform) for n in reversed(nodes) if n.platform), anywhere)
        for name, nodes in graph.data.items()
    }


def _groups(
    graph: Graph, plan: Plan, sets: Mapping[str, Platform]
) -> dict[Platform, list[list[str]]]:
    """Returns platform → groups of releases and data sets.

    Those of one group share what is to be built.
    """
    owners = {*map(str, graph.releases), *sets}
    found: dict[Platform, dict[str, set[str]]] = {}
    for step in plan.steps.values():
        name = step.node.id
        platform = Platform(name.platform) if name.platform else sets.get(name.owner)
        if not step.runs or platform is None or name.owner not in owners:
            continue
        links = found.setdefault(platform, {}).setdefault(name.owner, set())
        links.update(
            item.node.owner
            for item in step.node.inputs
            if item.node is not None and _to_be_built(plan, item.node) and item.node.owner in owners
        )
    return {platform: _components(links) for platform, links in sorted(found.items())}


def _to_be_built(plan: Plan, name: NodeId) -> bool:
    return plan.steps[name].runs and bool(name.platform)


def _components(links: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Returns the connected parts of a graph, each sorted, in the order of their first names."""
    root = {name: name for name in links}

    def top(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for name, others in links.items():
        for other in others:
            if other in root:
                first, second = sorted((top(name), top(other)))
                root[second] = first
    parts: dict[str, list[str]] = {}
    for name in sorted(links):
        parts.setdefault(top(name), []).append(name)
    return list(parts.values())


def _joined(groups: list[list[str]], most: int) -> list[list[str]]:
    """Returns the groups joined to at most ``most``, about equally large."""
    if len(groups) <= most:
        return groups
    bins: list[list[str]] = [[] for _ in range(most)]
    for group in sorted(groups, key=len, reverse=True):
        min(bins, key=len).extend(group)
    return [sorted(names) for names in bins]


def _selectors(
    graph: Graph, plan: Plan, name: str, platform: Platform, sets: Mapping[str, Platform]
) -> list[str]:
    """Returns what selects a job's part of a release or a data set."""
    if sets.get(name) == platform:
        return [f"{name}:dataset"]
    nodes = {str(found): several for found, several in graph.data.items()}.get(name, ())
    parts = [f"{name}:{n.kind}/{n.part}" for n in nodes if n.platform == str(platform)]
    kinds = ("publish", "sif")
    return parts + [f"{name}:{k}" for k in kinds if NodeId(name, k, str(platform)) in plan.steps]


def _job(
    workspace: Workspace,
    planned: planning.Planned,
    platform: Platform,
    names: list[str],
    sets: Mapping[str, Platform],
    *,
    steps: int,
) -> dict[str, Json]:
    plan, runners = planned.plan, workspace.settings.runners
    run_id = next((os.environ[name] for name in _RUN_VARIABLES if os.environ.get(name)), "0")
    labels: list[Json] = [text.replace(RUN_ID, run_id) for text in _labels(platform, runners)]
    needs: dict[str, int] = {}
    catalog = workspace.catalog
    resources = [(n, r.resources) for n, r in catalog.releases.items()]
    resources += [(n, d.resources) for n, d in catalog.data.items()]
    for name, wanted in resources:
        for key, value in wanted.items() if str(name) in names else ():
            needs[key] = max(needs.get(key, 0), value)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    job: dict[str, Any] = {
        "name": f"{names[0]}{more} {platform}",
        "platform": str(platform),
        "runs_on": labels,
        "selectors": " ".join(
            text for name in names for text in _selectors(planned.graph, plan, name, platform, sets)
        ),
        "steps": steps,
        **{key: needs.get(key, 0) for key in ("memory_mib", "disk_mib", "time_s")},
    }
    return job
