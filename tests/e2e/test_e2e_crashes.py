"""SIGKILL at every write point and at random moments: the next run completes, nothing is torn.

The points are collected at run time from a traced run; no list of them is kept anywhere.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2e_workspace import Site, assert_no_traceback, finish, kill, make_site
from thorough import cases

from ssds.core.diagnostics import Collector
from ssds.lock.read import read_locks
from ssds.oci.layout import Layout
from ssds.store.store import Store

WORKERS = 2
POINTS = cases(16, 48)
POINTS_OF_GC = cases(9, 48)
MOMENTS = cases(8, 50)
SMALL_BYTES = 1 << 20


def traced(site: Site, *arguments: str) -> list[str]:
    """Runs to the end and returns the write points that were passed, in order."""
    trace = site.folder / "trace"
    site.good(*arguments, SSDS_FAULT_TRACE=str(trace))
    return trace.read_text(encoding="utf-8").split()


def spread(points: Sequence[str], limit: int) -> list[str]:
    """Returns all points, or at least one of each name, at counts spread over the run."""
    if len(points) <= limit:
        return list(points)
    by_name: dict[str, list[str]] = {}
    for point in points:
        by_name.setdefault(point.rpartition(":")[0], []).append(point)
    count = len(by_name)
    chosen = {own[i * len(own) // count] for i, own in enumerate(by_name.values())}
    rest = [point for point in points if point not in chosen]
    free = max(0, limit - len(chosen))
    chosen |= {rest[i * len(rest) // free] for i in range(free)}
    return [point for point in points if point in chosen]


def check_nothing_torn(site: Site) -> None:
    """What can be seen right after the kill is whole: locks, layout, claims and their blobs."""
    collector = Collector()
    read_locks(str(site.workspace / "lockfiles"), shown="lockfiles", collector=collector)
    assert not collector.failed, [d.render() for d in collector]
    for path in site.workspace.rglob(".ssds/**/*.json"):
        json.loads(path.read_bytes())
    if not (site.store / "oci-layout").exists():
        return
    Layout(str(site.store), create=False).index()
    store = Store(str(site.store))
    try:
        for digest in store.blobs.all():
            if store.blobs.size(digest) <= SMALL_BYTES:
                store.blobs.read(digest)
        collected = store.claims.collected()
        for claim in store.claims.all():
            for digest in {*claim.outputs.values(), *claim.logs.values()} - collected:
                assert store.blobs.has(digest), f"{claim.kind} names {digest}"
    finally:
        store.close()


def check_recovers(site: Site, arguments: Sequence[str], wanted: dict[str, bytes]) -> None:
    """The next run completes with the bytes of an undisturbed one, and leaves nothing to do."""
    assert site.await_quiet() == []
    check_nothing_torn(site)
    assert_no_traceback(site.good(*arguments))
    assert site.locks() == wanted
    site.good("plan", "--detailed-exitcode")
    store = Store(str(site.store))
    assert store.verify() == []
    store.close()
    if site.leftovers():  # of the very end: the run that completed had nothing to do
        site.good("gc")
        assert site.leftovers() == []


def all_of_them(work: Callable[[str], None], names: Sequence[str], workers: int = WORKERS) -> None:
    """Does the work for each name, a few at once; tells every name that failed."""

    def attempt(name: str) -> str:
        try:
            work(name)
        except AssertionError as error:
            return f"{name}: {error}"
        return ""

    with ThreadPoolExecutor(workers) as pool:
        failed = [text for text in pool.map(attempt, names) if text]
    assert not failed, "\n\n".join([f"{len(failed)} of {len(names)} failed", *failed[:5]])


@pytest.fixture(scope="module")
def undisturbed(warm: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, list[str]]:
    """An apply that nothing disturbed, and its write points."""
    site = warm.copy(tmp_path_factory.mktemp("undisturbed") / "site")
    return site, traced(site, "apply", "--yes")


@pytest.mark.slow
def test_kill_at_every_write_point_of_apply_loses_nothing(undisturbed, warm, tmp_path):
    reference, points = undisturbed
    wanted = reference.locks()
    chosen = spread(points, POINTS)
    assert {p.rpartition(":")[0] for p in points} == {p.rpartition(":")[0] for p in chosen}

    def work(point: str) -> None:
        site = warm.copy(tmp_path / point.replace(":", "-"))
        ended = site.run("apply", "--yes", SSDS_FAULT_KILL=point)
        assert ended.code == -signal.SIGKILL, ended.text
        check_recovers(site, ("apply", "--yes"), wanted)
        shutil.rmtree(site.folder)

    all_of_them(work, chosen)


@pytest.mark.slow
def test_kill_at_random_moments_loses_nothing(undisturbed, warm, tmp_path):
    reference, _ = undisturbed
    wanted = reference.locks()
    timed = warm.copy(tmp_path / "timed")
    began = time.monotonic()
    timed.good("apply", "--yes")
    duration_s = time.monotonic() - began
    seeded = random.Random(20261122)
    moments = [str(round(seeded.uniform(0.1, 1.0) * duration_s, 3)) for _ in range(MOMENTS)]
    landed: list[int] = []

    def work(moment: str) -> None:
        site = warm.copy(tmp_path / f"at-{moment}")
        process = site.start("apply", "--yes")
        time.sleep(float(moment))
        kill(process)
        landed.append(finish(process).code)
        check_recovers(site, ("apply", "--yes"), wanted)
        shutil.rmtree(site.folder)

    all_of_them(work, moments)
    assert landed.count(-signal.SIGKILL) >= MOMENTS // 2


def test_kill_at_every_write_point_of_a_new_store_loses_nothing(tmp_path):
    points = traced(make_site(tmp_path / "reference"), "store")
    assert len(points) > 8

    def work(point: str) -> None:
        site = make_site(tmp_path / point.replace(":", "-"))
        assert site.run("store", SSDS_FAULT_KILL=point).code == -signal.SIGKILL
        check_nothing_torn(site)
        site.good("store")
        assert site.good("store", "verify").out == "Clean.\n"

    all_of_them(work, points)


def test_kill_at_every_write_point_of_lock_loses_nothing(warm, tmp_path):
    def prepared(name: str) -> Site:
        site = warm.copy(tmp_path / name)
        site.recipe("later")
        return site

    reference = prepared("reference")
    points = traced(reference, "lock")
    assert points

    def work(point: str) -> None:
        site = prepared(point.replace(":", "-"))
        assert site.run("lock", SSDS_FAULT_KILL=point).code == -signal.SIGKILL
        check_nothing_torn(site)
        site.good("lock")
        assert site.locks() == reference.locks()

    all_of_them(work, points)


def test_kill_at_every_write_point_of_gc_loses_nothing(undisturbed, tmp_path):
    reference, _ = undisturbed

    def prepared(name: str) -> Site:
        # Others, in other processes too, link and remove the blobs of the warm start at any time.
        site = reference.copy(tmp_path / name, apart=True)
        site.edit("catalog/tiny/recipe.yaml", "printf '#!/bin/sh", "printf '#!/bin/sh -e")
        site.good("apply", "--yes")
        return site

    ready = prepared("reference")
    traced_site = ready.copy(tmp_path / "traced")
    points = spread(traced(traced_site, "gc", "--keep-days", "0"), POINTS_OF_GC)
    left = sorted(p.name for p in traced_site.blob("sha256:").iterdir())
    assert points
    # All copies first: a link made later would make the blobs of the others look young.
    sites = {point: ready.copy(tmp_path / point.replace(":", "-")) for point in points}

    landed: list[int] = []

    def work(point: str) -> None:
        site = sites[point]
        command = ("gc", "--keep-days", "0")
        # Blobs of equal logs are one: a run may pass a point once less than the traced one.
        code = site.run(*command, SSDS_FAULT_KILL=point).code
        assert code in (0, -signal.SIGKILL)
        landed.append(code)
        check_nothing_torn(site)
        site.good(*command)
        assert sorted(p.name for p in site.blob("sha256:").iterdir()) == left
        assert site.good("store", "verify").out == "Clean.\n"

    # One by one: the copies share inodes, and a blob that another removes at this moment is young.
    all_of_them(work, points, workers=1)
    assert landed.count(-signal.SIGKILL) >= len(points) - 2


def test_every_durable_effect_of_apply_passes_a_write_point(undisturbed):
    reference, points = undisturbed
    names = {point.partition(":")[0] for point in points}
    assert {"blob.renamed", "claim.written", "trees.renamed", "lock.renamed"} <= names
    made = list((reference.store / "trees").glob("*/*.complete"))
    assert made
    assert not list(Path(reference.folder).rglob(".ssds-tmp-*"))
