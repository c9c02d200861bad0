"""The part of a workspace that explains a node gives the rows that the whole plan has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_workspace import ROOT

from ssds.cli import main, planning
from ssds.cli.part import nodes_called, part_of, plan_for
from ssds.core.digest import sha256_of
from ssds.core.errors import UsageError
from ssds.core.model import NodeId, ReleaseName
from ssds.core.pins import PinnedFile, SourcePin
from ssds.graph.plan import Plan, Verb
from ssds.kinds.build.requests import source_request
from ssds.lock.data import DataLock, update_data_lock
from ssds.workspace import Workspace

REMOVE = Verb.REMOVE
ASKED = planning.Asked(as_of="2026-01-01")


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the starter catalog with its locks, and no store: no bytes are here."""
    folder = tmp_path / "starter"
    folder.mkdir()
    for name in ("catalog", "lockfiles"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "ssds.yaml").write_text("store: {path: ../store}\n")
    monkeypatch.setenv("SSDS_USER_SETTINGS", os.devnull)
    return folder


def edit(folder: Path, name: str, change: Callable[[str], str]) -> None:
    path = folder / "catalog" / name / "recipe.yaml"
    path.write_text(change(path.read_text()))


def another_step(text: str) -> str:
    return text.replace("\nbuild:\n", '\nbuild:\n  - env: {ANOTHER: "1"}\n', 1)


def another_test(text: str) -> str:
    return text.replace("\ntests:\n", "\ntests:\n  - {name: one more, run: 'true'}\n", 1)


def another_summary(text: str) -> str:
    return text.replace("summary: ", "summary: Changed. ", 1)


def rows(plan: Plan, names: frozenset[NodeId]) -> dict[NodeId, tuple[object, ...]]:
    return {
        name: (step.verb, step.reason, step.text, step.action.key if step.action else None)
        for name, step in plan.steps.items()
        if name in names
    }


EDITS: list[tuple[str, Callable[[str], str]]] = [
    ("samtools", another_step),
    ("samtools", another_test),
    ("variant-calling", another_step),
    ("bwa", another_summary),
]


@pytest.mark.parametrize("count", range(len(EDITS) + 1))
def test_a_parts_rows_are_those_of_the_whole_plan(count: int, starter: Path) -> None:
    for name, change in EDITS[:count]:
        edit(starter, name, change)
    whole = planning.make(Workspace.open(str(starter)), ASKED)
    for release in whole.graph.releases:
        part, planned = plan_for(Workspace.open(str(starter)), str(release), ASKED)
        assert part.only is not None
        names = nodes_called(whole.graph, str(release))
        assert rows(planned.plan, names) == rows(whole.plan, names)
        assert len(planned.graph.releases) < len(whole.graph.releases)


DATA_SET = """\
title: Two words
licenses: [CC0-1.0]
sources: {a: {url: "https://example.org/a"}}
index: [{name: words, with: samtools@1.16.1, run: samtools --version > words}]
"""


@pytest.fixture
def with_set(starter: Path) -> Path:
    """The starter with a data set that is pinned and not made, and the lock of one that is gone."""
    path = starter / "catalog/data/two/1.0.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(DATA_SET)
    name = ReleaseName("two", "1.0")
    asked = source_request(Workspace.open(str(starter)).catalog.data[name].sources["a"])
    file = PinnedFile(name="a", digest=sha256_of(b"a"), size_bytes=1, urls=("https://e.org/a",))
    pins = {"a": SourcePin(request=asked, file=file, epoch=1)}
    for each in (name, ReleaseName("gone", "1.0")):
        lock = DataLock(id=each, sources=pins)
        folder, guard = str(starter / "lockfiles"), str(starter / "guard")
        assert update_data_lock(folder, each, guard=guard, change=lambda _, lock=lock: lock)
    return starter


def test_rows_are_those_of_the_whole_plan_where_there_is_a_data_set(with_set: Path) -> None:
    whole = planning.make(Workspace.open(str(with_set)), ASKED)
    for release in (*whole.graph.releases, "two@1.0"):
        _, planned = plan_for(Workspace.open(str(with_set)), str(release), ASKED)
        names = nodes_called(whole.graph, str(release))
        assert rows(planned.plan, names) == rows(whole.plan, names)
    (build,) = [
        step
        for name, step in whole.plan.steps.items()
        if (name.owner, name.kind, name.platform) == ("samtools@1.16.1", "build", "linux/amd64")
    ]
    assert build.text.startswith("bytes wanted by two@1.0:data")


def test_a_part_removes_no_lock_of_a_data_set(with_set: Path) -> None:
    gone = [
        [row.node for row in planning.make(workspace, ASKED).delivery.rows if row.verb is REMOVE]
        for whole in [Workspace.open(str(with_set))]
        for workspace in (whole, whole.part({"seqtk"}))
    ]
    assert gone == [["gone@1.0:lock"], []]


def test_the_files_of_a_data_set_wait_where_there_is_no_sandbox(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "subuid" if os.getuid() == 0 else "identity"  # the mode of the other kind of user
    monkeypatch.setenv("SSDS_SANDBOX", other)
    steps = planning.make(Workspace.open(str(with_set)), ASKED).plan.steps
    (files,) = [s for name, s in steps.items() if (name.kind, name.part) == ("data", "files")]
    assert (files.verb, files.reason) == (Verb.WAIT, "builder")
    assert files.text.startswith(f"no builder here: sandbox mode {other} is for")
    main(["-C", str(with_set), "explain", "two@1.0:data/files"])
    assert f"The sandbox cannot run here: sandbox mode {other} is for" in capsys.readouterr().out


def test_bytes_that_another_recipe_wants_are_seen_from_below(starter: Path) -> None:
    edit(starter, "variant-calling", another_step)
    part, planned = plan_for(Workspace.open(str(starter)), "samtools:build", ASKED)
    step = next(s for s in planned.plan.steps.values() if str(s.node.id) == "samtools@1.16.1:build")
    assert "variant-calling" in {release.name for release in planned.graph.releases}
    assert (step.reason, step.text.split(" [")[0]) == (
        "bytes",
        "bytes wanted by variant-calling@1.0:build",
    )
    assert part.only is not None
    assert part.only >= {"samtools", "bwa", "variant-calling"}


def test_a_question_reads_only_its_recipes_and_locks(starter: Path) -> None:
    shutil.rmtree(starter / "catalog/niimath")
    (starter / "catalog/pydicom/recipe.yaml").write_text("name: [\n")
    (starter / "lockfiles/pydicom@3.0.2.lock.json").write_text("{")
    part, planned = plan_for(Workspace.open(str(starter)), "seqtk", ASKED)
    assert [str(release) for release in planned.graph.releases] == ["seqtk@1.3"]
    assert set(part.locks.releases) == {("seqtk", "1.3")}


def test_what_names_no_recipe_is_asked_of_the_whole(starter: Path) -> None:
    whole = Workspace.open(str(starter))
    for text in ("debian-12:base", "nothing", "", "../seqtk", ".", ":build"):
        assert part_of(whole, text, users=True) is whole


def test_shared_nodes_are_called_by_their_own_names(starter: Path) -> None:
    graph = planning.make(Workspace.open(str(starter)), ASKED).graph
    bases = nodes_called(graph, "debian-12:base")
    assert {node.kind for node in bases} == {"base"}
    (date,) = {node.part for node in bases}
    assert nodes_called(graph, "debian-12") == bases
    assert nodes_called(graph, f"debian-12@{date}") == bases
    assert nodes_called(graph, f"debian-12:base/{date}") == bases
    for text in ("debian-12:build", "debian-12:base/1", "debian-13"):
        with pytest.raises(UsageError):
            nodes_called(graph, text)


def test_sources_are_called_by_their_file_or_before_locking_by_their_address(starter: Path) -> None:
    graph = planning.make(Workspace.open(str(starter)), ASKED).graph
    (locked,) = nodes_called(graph, "samtools_1.16.1.orig.tar.gz:source")
    assert locked in nodes_called(graph, "samtools_1.16.1.orig.tar.gz")
    for path in (starter / "lockfiles").glob("[!c]*.lock.json"):
        path.unlink()
    graph = planning.make(Workspace.open(str(starter)), ASKED).graph
    for text in ("deb-src:samtools/1.16.1-1", "deb-src:samtools/1.16.1-1:source"):
        (unlocked,) = nodes_called(graph, text)
        assert graph.nodes[unlocked].unpinned
