"""Reference data sets for ``lock``, ``apply`` and ``status``: pins, locks and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ssds.cli.output import say
from ssds.cli.progress import PlainReporter
from ssds.cli.releases import select
from ssds.core.diagnostics import Diagnostic
from ssds.core.errors import SsdsError
from ssds.core.model import Claim, NodeId, ReleaseName
from ssds.core.pins import SourcePin
from ssds.core.records import replace
from ssds.engine.apply import Result
from ssds.engine.renewal import Renewal
from ssds.engine.runner import Crew
from ssds.engine.states import USABLE
from ssds.graph.compile import Graph
from ssds.kinds.build.requests import source_request
from ssds.kinds.source.resolve import resolve_source
from ssds.lock.data import DataLock, described, make_data_lock, update_data_lock
from ssds.lock.model import lock_file_name
from ssds.lock.read import DATA_FOLDER, diagnostic
from ssds.recipe.data_model import DataSet
from ssds.workspace import LOCK_FOLDER, Workspace


def chosen_sets(workspace: Workspace, selectors: tuple[str, ...]) -> dict[ReleaseName, DataSet]:
    """Returns the data sets that selectors name; all of them for none."""
    catalog = workspace.catalog
    if not selectors:
        return dict(catalog.data)
    names = select({**catalog.releases, **catalog.data}, selectors)
    return {name: found for name, found in catalog.data.items() if name in names}


def lacking_pins(workspace: Workspace, selectors: tuple[str, ...]) -> list[Diagnostic]:
    """Returns a finding for each source of a data set whose pin is missing or stale."""
    found = []
    for name, data in chosen_sets(workspace, selectors).items():
        held = workspace.data_locks.get(name, DataLock(id=name)).sources
        for key, source in data.sources.items():
            pin = held.get(key)
            if pin is None or pin.request != source_request(source):
                address = f"sources.{key}"
                span = workspace.reading.spans(data.path, address)
                facts = (("set", str(name)), ("pin", f"source {key}"))
                row = diagnostic("L032" if pin is None else "L033", span.path, at=address)
                found.append(replace(row, span=span, facts=facts))
    return found


def resolve_sets(
    workspace: Workspace,
    sets: Mapping[ReleaseName, DataSet],
    renewal: Renewal,
    crew: Crew,
    cache: str,
) -> tuple[dict[ReleaseName, dict[str, SourcePin]], list[SsdsError]]:
    """Returns the pins of the sets' sources, and the problems; none stops the others."""
    pins: dict[ReleaseName, dict[str, SourcePin]] = {}
    problems: list[SsdsError] = []
    reporter = PlainReporter()
    for name, data in sets.items():
        held = workspace.data_locks.get(name, DataLock(id=name)).sources
        pins[name] = {key: pin for key, pin in held.items() if key in data.sources}
        for key, source in data.sources.items():
            request = source_request(source)
            pin = pins[name].get(key)
            if pin is not None and pin.request == request and not renewal.of("source", key):
                continue
            reporter.note(f"{name}: source {key}")
            try:
                found = resolve_source(source, crew.mirrors, cache, blobs=crew.store.blobs)
            except SsdsError as error:
                problem = type(error)(f"{name}: {error.message}", hint=error.hint, code=error.code)
                problem.where = (data.path, f"sources.{key}")
                problems.append(problem)
                continue
            pins[name][key] = replace(found, request=request)
            if source.url and source.sha256 is None:
                word = f"source {key} is {found.file.digest} from now on: no sha256 is stated"
                reporter.note(f"{name}: {word}")
    return pins, problems


def write_data_pins(
    workspace: Workspace, pins: Mapping[ReleaseName, Mapping[str, SourcePin]]
) -> list[str]:
    """Writes the pins that differ; returns the files that were written."""
    changed = []
    for name, sources in pins.items():
        data = workspace.catalog.data[name]

        def change(
            lock: DataLock, data: DataSet = data, sources: Mapping[str, SourcePin] = sources
        ) -> DataLock:
            if lock.made is None:
                lock = described(lock, data)
            return replace(lock, sources=sources)

        changed += _update(workspace, name, change)
    workspace.forget_locks()
    return changed


def update_data_locks(workspace: Workspace, graph: Graph, result: Result) -> list[str]:
    """Writes what an apply found into the locks; returns the files that were written (C20)."""
    claims: dict[NodeId, Claim] = {
        name: record.claim
        for name, record in result.records.items()
        if record.state in USABLE and record.claim is not None
    }
    changed = []
    for name, nodes in graph.data.items():
        if not any(node in claims for node in nodes):
            continue
        data = workspace.catalog.data[name]

        def change(
            lock: DataLock, data: DataSet = data, nodes: tuple[NodeId, ...] = nodes
        ) -> DataLock:
            return make_data_lock(data, nodes, lock, claims, workspace.read_blob)

        changed += _update(workspace, name, change)
    workspace.forget_locks()
    return changed


def remove_data_locks(workspace: Workspace, names: list[ReleaseName]) -> list[str]:
    """Removes the locks of data sets that the catalog has no more."""
    changed = []
    for name in names:
        say(f"  - {name}: its lock is removed")
        changed += _update(workspace, name, lambda _: None)
    workspace.forget_locks()
    return changed


def _update(
    workspace: Workspace, name: ReleaseName, change: Callable[[DataLock], DataLock | None]
) -> list[str]:
    file = lock_file_name(name.name, name.version)
    guard = workspace.guard(f"{DATA_FOLDER}-{file}")
    written = update_data_lock(workspace.lock_folder, name, guard=guard, change=change)
    return [f"{LOCK_FOLDER}/{DATA_FOLDER}/{file}"] if written else []
