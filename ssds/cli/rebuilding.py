"""The rebuilding process of an audit: it enters changed surroundings before it does anything."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from ssds.audit import rebuild
from ssds.builders.table import find
from ssds.cli.progress import make_reporter
from ssds.cli.wishes import parse_date
from ssds.core.errors import EnvironmentProblem
from ssds.core.platform import Platform
from ssds.host import local, surroundings
from ssds.host.files import explained
from ssds.host.machine import can_run
from ssds.host.sandbox import Sandbox
from ssds.host.surroundings import Surroundings
from ssds.workspace import Workspace


def rebuild_here(workspace: Workspace, request: str) -> int:
    """Is the rebuilding process: enters the surroundings, builds, writes what came out."""
    with explained(request), open(request, "rb") as file:
        value = json.load(file)
    changed = Surroundings.read(value["surroundings"])
    surroundings.enter(changed, os.path.dirname(os.path.abspath(request)))
    platform = Platform(value["platform"])
    graph = workspace.graph(parse_date(value["as_of"]))
    names = [name for name in graph.releases if str(name) in value["releases"]]
    part = rebuild.part_to_rebuild(graph, names, platform)
    native = can_run(platform).kind == "native"
    clock = surroundings.clock(changed.clock_offset_s) if native else None
    mode = workspace.probe.mode
    if not mode:
        raise EnvironmentProblem(f"no sandbox in the rebuild: {workspace.probe.reason}")
    if workspace.builder_missing is not None:
        raise workspace.builder_missing
    jobs = min(value["jobs"] or 256, len(os.sched_getaffinity(0)))
    sandbox = Sandbox(mode, workspace.store.scratch, clock=clock, reverses=changed.reversed_layers)
    builder = find(workspace.settings.builder, sandbox, workspace.builder_folder)
    crew = replace(workspace.crew(jobs=jobs, accept=True), sandbox=sandbox, builder=builder)
    try:
        nodes = rebuild.build(
            part, crew, workspace.builder, make_reporter(), bases=bool(value["bases"])
        )
    finally:
        builder.close()
    local.write(value["answer"], rebuild.to_bytes(nodes))
    return 0
