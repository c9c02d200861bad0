"""Pins for ``lock`` and ``apply --lock``: resolve, then write what changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace

from ssds.cli import datasets
from ssds.cli.output import report_error, say
from ssds.cli.progress import PlainReporter
from ssds.cli.releases import select
from ssds.cli.wishes import parse_platforms
from ssds.core.errors import SsdsError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.engine.apply import Result
from ssds.engine.renewal import parse_renewal
from ssds.engine.resolve import Order, Pins, resolve
from ssds.engine.states import USABLE
from ssds.graph.compile import Graph
from ssds.host.local import remove_folder
from ssds.kinds.scan.resolve import pin_advisories as pin_set
from ssds.lock.make import Found, make_variant
from ssds.lock.merge import advanced
from ssds.lock.model import (
    CatalogLock,
    Lock,
    lock_file_name,
)
from ssds.lock.read import CATALOG_LOCK
from ssds.lock.write import update_catalog_lock, update_lock, with_platform, with_variant
from ssds.recipe.model import Target
from ssds.workspace import LOCK_FOLDER, Workspace


def lock_all(
    workspace: Workspace,
    selectors: tuple[str, ...],
    platforms: tuple[str, ...],
    renew: tuple[str, ...] = (),
) -> list[str]:
    """Resolves and writes pins; returns the names of the lock files that changed.

    Args:
        workspace: where.
        selectors, platforms: of what; all for none.
        renew: the words of ``--upgrade``.

    Raises:
        SsdsError: the first of the problems, after all were printed; what could be resolved
            is written all the same.
    """
    targets = chosen_targets(workspace, selectors, platforms)
    before = Pins(shared=workspace.locks.catalog.pins, releases=workspace.locks.pins)
    pins = Pins(shared=before.shared, releases=dict(before.releases))
    renewal = parse_renewal(renew, targets, workspace.catalog, before.releases)
    pin_advisories(workspace, pins)
    workspace.check_writable()
    crew = workspace.crew(jobs=1)
    workspace.tidy()
    with workspace.store.shared():
        cache = crew.store.new_folder()
        try:
            order = Order(targets=targets, renewal=renewal)
            resolve(workspace.catalog, pins, order, crew, PlainReporter(), cache)
            data, more = datasets.resolve_sets(
                workspace, datasets.chosen_sets(workspace, selectors), renewal, crew, cache
            )
            pins.problems += more
        finally:
            remove_folder(cache)
    changed = write_pins(workspace, before, pins)
    changed += datasets.write_data_pins(workspace, data)
    for problem in pins.problems:
        _locate(problem, workspace)
    if pins.problems:
        for problem in pins.problems[:-1]:
            report_error(problem)
            say("")
        raise pins.problems[-1]
    return changed


def _locate(problem: SsdsError, workspace: Workspace) -> None:
    """Adds the place in the catalog that asked, where one did."""
    path, address = problem.where
    if path:
        span = workspace.reading.spans(path, address)
        problem.args = (f"{problem.message}\n  --> {span}  ({address})",)


def chosen_targets(
    workspace: Workspace, selectors: tuple[str, ...], platforms: tuple[str, ...]
) -> tuple[Target, ...]:
    """Returns the targets that selectors and platforms name; all of them for none."""
    releases = workspace.catalog.releases
    known = {**releases, **workspace.catalog.data}
    names = select(known, selectors) & set(releases) if selectors else set(releases)
    wanted = parse_platforms(platforms or workspace.settings.platforms)
    return tuple(
        target
        for name in sorted(names)
        for platform, target in releases[name].targets.items()
        if wanted is None or platform in wanted
    )


def pin_advisories(workspace: Workspace, pins: Pins) -> None:
    """Pins every advisory set that the catalog names, at its present bytes."""
    for name, path in workspace.catalog.advisories.items():
        pin = pin_set(workspace.root, name, path)
        identity = f"{name}@{pin.date}"
        pins.shared = replace(
            pins.shared,
            advisories={**pins.shared.advisories, identity: pin},
            current={**pins.shared.current, f"advisories/{name}": identity},
        )


def write_pins(workspace: Workspace, before: Pins, pins: Pins) -> list[str]:
    """Writes pins that changed; returns the names of the files that were written.

    Only what differs from ``before`` is put into the files as they are now: another process may
    have locked other releases and platforms meanwhile (C20).
    """
    changed = []

    def change_shared(lock: CatalogLock) -> CatalogLock:
        shared = advanced(lock.pins, before.shared, pins.shared)
        used = {p.base for p in pins.releases.values()} | set(shared.current.values())
        kept = {k: v for k, v in shared.bases.items() if k[0] in used}
        sets = {k: v for k, v in shared.advisories.items() if k in used}
        return CatalogLock(pins=replace(shared, bases=kept, advisories=sets))

    path = os.path.join(workspace.lock_folder, CATALOG_LOCK)
    if update_catalog_lock(path, guard=workspace.guard(CATALOG_LOCK), change=change_shared):
        changed.append(f"{LOCK_FOLDER}/{CATALOG_LOCK}")
    for name, version in sorted({(n.name, n.version) for n, _ in pins.releases}):

        def change(lock: Lock, key: tuple[str, str] = (name, version)) -> Lock:
            for (release, platform), own in pins.releases.items():
                same = before.releases.get((release, platform)) == own
                if (release.name, release.version) == key and not same:
                    lock = with_platform(lock, release, platform, pins=own)
            return lock

        if _update(workspace, name, version, change):
            changed.append(f"{LOCK_FOLDER}/{lock_file_name(name, version)}")
    workspace.forget_locks()
    return changed


def _update(workspace: Workspace, name: str, version: str, change: Callable[[Lock], Lock]) -> bool:
    file_name = lock_file_name(name, version)
    return update_lock(
        os.path.join(workspace.lock_folder, file_name),
        guard=workspace.guard(file_name),
        name=name,
        version=version,
        change=change,
    )


def update_locks(workspace: Workspace, graph: Graph, result: Result) -> list[str]:
    """Writes what an apply found into the locks; returns the files that were written (C20)."""
    claims = {
        name: record.claim
        for name, record in result.records.items()
        if record.state in USABLE and record.claim is not None
    }
    found = Found(claims=claims, read=workspace.read_blob)
    changed = []
    for release, nodes in graph.releases.items():
        if not any(node in claims for node in nodes):
            continue
        platforms = tuple(workspace.catalog.releases[release].targets)

        def change(
            lock: Lock,
            release: ReleaseName = release,
            platforms: tuple[Platform, ...] = platforms,
        ) -> Lock:
            variant = make_variant(release, platforms, lock.variant(release), found)
            return with_variant(lock, release, variant)

        if _update(workspace, release.name, release.version, change):
            changed.append(f"{LOCK_FOLDER}/{lock_file_name(release.name, release.version)}")
    changed += datasets.update_data_locks(workspace, graph, result)
    workspace.forget_locks()
    return changed


def remove_locks(workspace: Workspace, names: Iterable[ReleaseName]) -> list[str]:
    """Takes releases out of the locks; returns the files that were changed or removed."""
    changed = []
    for gone in names:

        def change(lock: Lock, gone: ReleaseName = gone) -> Lock:
            kept = {v: e for v, e in lock.variants.items() if lock.release_name(v) != gone}
            return replace(lock, variants=kept)

        if _update(workspace, gone.name, gone.version, change):
            changed.append(f"{LOCK_FOLDER}/{lock_file_name(gone.name, gone.version)}")
    workspace.forget_locks()
    return changed
