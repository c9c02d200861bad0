"""Laws of keys: what changes one, and what of a machine or a process never does."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from full_workspace import answered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws_bench import apply_plan, lock, lock_files
from laws_catalogs import write_catalog
from laws_model import actions_of, claim_of

from ssds.core.model import VERDICT_KINDS, Action, Claim, NodeId
from ssds.graph.compile import Graph, compile_graph
from ssds.lock.parse import catalog_lock_from_dict, lock_from_dict
from ssds.lock.read import read_catalog_lock, read_lock
from ssds.lock.write import catalog_lock_bytes, catalog_lock_to_dict, lock_bytes, lock_to_dict
from ssds.recipe.catalog import read_catalog

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests/laws_keys.py"
SEEDS = (3, 5, 9)
WHEN = dt.date(2026, 1, 1)
LAW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
RANDOMS = st.randoms(use_true_random=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws") / "workspace"


def graph_on_disk(folder: Path, random: Random) -> Graph:
    """Gives the graph of a random catalog, every request answered."""
    shutil.rmtree(folder, ignore_errors=True)
    write_catalog(folder, random)
    reading = read_catalog(str(folder))
    reading.collector.raise_if_failed()
    shared, pins = answered(reading.catalog)
    return compile_graph(reading.catalog, shared, pins, WHEN)


def keys(graph: Graph, give: Callable[[Action], Claim] = claim_of) -> dict[NodeId, str]:
    return {name: str(action.key) for name, action in actions_of(graph, give).items()}


def changed(before: Mapping[NodeId, str], after: Mapping[NodeId, str]) -> set[NodeId]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def reached(graph: Graph, start: NodeId) -> set[NodeId]:
    """Gives what a change of a node's outputs must reach; a verdict that stays stops it."""
    consumers, found = graph.consumers(), set[NodeId]()
    stack = [start]
    while stack:
        for name in consumers.get(stack.pop(), ()):
            if name not in found:
                found.add(name)
                if name.kind not in VERDICT_KINDS:
                    stack.append(name)
    return found


def with_slice(graph: Graph, name: NodeId) -> Graph:
    node = graph.nodes[name]
    other = replace(node, slice={**node.slice, "law": "changed"})
    return replace(graph, nodes={**graph.nodes, name: other})


@LAW
@given(random=RANDOMS)
def test_other_outputs_reach_exactly_what_stands_on_them(folder: Path, random: Random) -> None:
    graph = graph_on_disk(folder, random)
    name = random.choice(sorted(n for n in graph.nodes if n.kind not in VERDICT_KINDS))

    def give(action: Action) -> Claim:
        return claim_of(action, "other bytes" if action.node.id == name else "")

    expected = set() if graph.nodes[name].fixed else reached(graph, name)
    assert changed(keys(graph), keys(graph, give)) == expected


@LAW
@given(random=RANDOMS)
def test_a_changed_slice_changes_its_node_and_what_its_new_outputs_reach(
    folder: Path, random: Random
) -> None:
    graph = graph_on_disk(folder, random)
    name = random.choice(sorted(graph.nodes))
    found = changed(keys(graph), keys(with_slice(graph, name)))
    stays = name.kind in VERDICT_KINDS or graph.nodes[name].fixed
    assert found == {name} | (set() if stays else reached(graph, name))


@LAW
@given(random=RANDOMS)
def test_equal_bytes_cut_off_at_the_changed_node(folder: Path, random: Random) -> None:
    graph = graph_on_disk(folder, random)
    name = random.choice(sorted(graph.nodes))

    def give(action: Action) -> Claim:
        return claim_of(action, "the same" if action.node.id == name else "")

    assert changed(keys(graph, give), keys(with_slice(graph, name), give)) == {name}


@LAW
@given(random=RANDOMS)
def test_what_is_in_no_slice_is_in_no_key(folder: Path, random: Random) -> None:
    graph = graph_on_disk(folder, random)
    nodes = {
        name: replace(
            node,
            hints={"other": random.randint(0, 9)},
            marks=frozenset({"impure"}),
            origin={},
            recipe_path="elsewhere",
            required=not node.required,
        )
        for name, node in graph.nodes.items()
    }
    assert changed(keys(graph), keys(replace(graph, nodes=nodes))) == set()


@LAW
@given(random=RANDOMS)
def test_the_order_of_mappings_is_in_no_key(folder: Path, random: Random) -> None:
    graph = graph_on_disk(folder, random)

    def turned(value: Any) -> Any:
        if isinstance(value, Mapping):
            items = list(value.items())
            random.shuffle(items)
            return {k: turned(v) for k, v in items}
        return [turned(v) for v in value] if isinstance(value, list | tuple) else value

    nodes = {
        name: replace(node, slice=turned(node.slice), inputs=_shuffled(node.inputs, random))
        for name, node in graph.nodes.items()
    }
    assert changed(keys(graph), keys(replace(graph, nodes=nodes))) == set()


def _shuffled(values: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
    found = list(values)
    random.shuffle(found)
    return tuple(found)


@LAW
@given(random=RANDOMS)
def test_the_order_of_releases_changes_neither_keys_nor_the_order_of_the_graph(
    folder: Path, random: Random
) -> None:
    graph_on_disk(folder, random)
    catalog = read_catalog(str(folder)).catalog
    shared, pins = answered(catalog)
    items, held = list(catalog.releases.items()), list(pins.items())
    random.shuffle(items)
    random.shuffle(held)
    permuted = replace(catalog, releases=dict(items))
    one = compile_graph(catalog, shared, pins, WHEN)
    other = compile_graph(permuted, shared, dict(held), WHEN)
    assert list(one.nodes) == list(other.nodes)
    assert keys(one) == keys(other)


def test_the_salt_changes_every_key(folder: Path) -> None:
    graph = graph_on_disk(folder, Random(1))
    salted = replace(graph, salt="poisoned")
    assert changed(keys(graph), keys(salted)) == set(graph.nodes)


# Whole processes.


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some workspaces that were applied; each with a store of its own."""
    top = tmp_path_factory.mktemp("settled")
    places = [top / str(seed) / "workspace" for seed in SEEDS]
    for seed, root in zip(SEEDS, places, strict=True):
        write_catalog(root, Random(seed))
        lock(root)
        apply_plan(root)
    return places


def said(places: list[Path], *options: str, cwd: Path | None = None, **more: str) -> Any:
    """Runs the script in a process of its own; gives what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "SSDS_"))}
    own = {"PYTHONPATH": str(ROOT), "SSDS_USER_SETTINGS": os.devnull}
    environment = {**kept, **own, **more}
    ended = subprocess.run(
        [sys.executable, *more.get("FLAGS", "").split(), str(SCRIPT), *options, *map(str, places)],
        env=environment,
        cwd=cwd or "/",
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def plain(settled: list[Path]) -> Any:
    return said(settled, PYTHONHASHSEED="0")


SURROUNDINGS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "another hash seed": ((), {"PYTHONHASHSEED": "4242"}),
    "folders in another order": (("--shuffle", "7"), {}),
    "a Turkish locale": ((), {"LC_ALL": "tr_TR.UTF-8"}),
    "a plain locale": ((), {"LC_ALL": "C"}),
    "another time zone": ((), {"TZ": "Pacific/Kiritimati"}),
    "a narrow umask": (("--umask", "0077"), {}),
    "asserts left out": ((), {"FLAGS": "-O"}),
    "another home": ((), {"HOME": "/nonexistent", "XDG_DATA_HOME": "/nonexistent/data"}),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_the_surroundings_of_a_process_change_no_key_and_no_plan(
    what: str, settled: list[Path], plain: Any
) -> None:
    options, environment = SURROUNDINGS[what]
    assert said(settled, *options, **environment) == plain


def test_another_current_folder_changes_nothing(settled: list[Path], plain: Any) -> None:
    assert said(settled, cwd=settled[0] / "catalog") == plain


def test_another_place_with_other_rights_times_and_inodes_changes_nothing(
    settled: list[Path], plain: Any, tmp_path: Path
) -> None:
    moved = [tmp_path / f"Zöe's place {i}" / "w s" for i in range(len(settled))]
    for old, new in zip(settled, moved, strict=True):
        shutil.copytree(old, new, symlinks=True, copy_function=_without_rights)
        shutil.copytree(old.parent / "store", new.parent / "store")
    assert said(moved) == plain


def _without_rights(source: str, target: str) -> str:
    shutil.copyfile(source, target, follow_symlinks=False)
    if not os.path.islink(source):
        os.chmod(target, 0o700 if os.stat(source).st_mode & 0o100 else 0o600)
        os.utime(target, (0, 0))
    return target


def test_a_lock_is_what_its_dictionary_says_and_its_bytes_are_one(settled: list[Path]) -> None:
    seen = 0
    for root in settled:
        for name, data in lock_files(root).items():
            path = str(root / "lockfiles" / name)
            if name == "catalog.lock.json":
                shared = read_catalog_lock(path)
                assert catalog_lock_from_dict(copy.deepcopy(catalog_lock_to_dict(shared))) == shared
                assert catalog_lock_bytes(shared) == data
                continue
            found = read_lock(path)
            assert found is not None
            assert lock_from_dict(lock_to_dict(found)) == found
            assert lock_bytes(found) == data
            seen += 1
    assert seen >= len(settled)
