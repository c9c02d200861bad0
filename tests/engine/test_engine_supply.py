"""Before anything is built, everything that cannot be had is told at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from git_server import make_repository

from ssds.core.digest import sha256_of
from ssds.core.errors import SsdsError
from ssds.core.model import Node
from ssds.core.pins import PinnedFile, SourcePin
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew
from ssds.engine.supply import supply
from ssds.graph.plan import Plan, PlanStep, Verb
from ssds.host.mirrors import Mirrors
from ssds.kinds.build.requests import source_request
from ssds.kinds.source.resolve import resolve_source
from ssds.kinds.source.spec import node
from ssds.recipe.steps import SourceRequest
from ssds.store.store import Store

CODE = SourceRequest(name="code", git="https://git.example.org/tool.git", ref="v1")
FILES = {"a.txt": b"a", "b.txt": b"b"}


class Supplied:
    """A web site and a repository in a folder, and sources pinned there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_repository(folder / "git" / "tool.git")
        (folder / "web").mkdir()
        self.nodes: list[Node] = []
        for name, data in FILES.items():
            (folder / "web" / name).write_bytes(data)
            request = SourceRequest(name=name, url=f"https://example.org/{name}")
            file = PinnedFile(name=name, digest=sha256_of(data), urls=(request.url,))
            self.nodes.append(node(request, SourcePin(request=source_request(request), file=file)))
        self.nodes.append(node(CODE, resolve_source(CODE, self.mirrors, str(folder / "cache"))))

    @property
    def mirrors(self) -> Mirrors:
        places = {"https://git.example.org/": "git", "https://example.org/": "web"}
        return Mirrors(url_prefixes={k: f"file://{self.folder}/{v}/" for k, v in places.items()})

    def run(
        self, store: Store, verb: Verb = Verb.RUN, *, blobs: tuple[str, ...] = ()
    ) -> SsdsError | None:
        steps = {
            n.id: PlanStep(node=n, verb=verb, reason="new", text="no result") for n in self.nodes
        }
        crew = Crew(
            store=store,
            sandbox=None,
            mirrors=replace(self.mirrors, blobs=blobs),
            workspace=str(self.folder),
            state_folder=str(self.folder / ".ssds"),
        )
        return supply(Plan(steps=steps), crew, Reporter())

    def has(self, store: Store) -> list[bool]:
        return [store.blobs.has(n.fixed["file"]) for n in self.nodes]


@pytest.fixture
def supplied(tmp_path: Path) -> Supplied:
    return Supplied(tmp_path)


@pytest.fixture
def a_store(tmp_path: Path) -> Callable[[str], Store]:
    return lambda name: Store.open(str(tmp_path / name))


def test_files_and_commits_come_before_their_steps(
    supplied: Supplied, a_store: Callable[[str], Store]
) -> None:
    store = a_store("store")
    assert supplied.run(store) is None
    assert supplied.has(store) == [True, True, True]
    assert not list(Path(store.scratch).iterdir())


def test_everything_that_is_gone_is_told_at_once(
    supplied: Supplied, a_store: Callable[[str], Store]
) -> None:
    shutil.rmtree(supplied.folder / "git")
    (supplied.folder / "web" / "a.txt").unlink()
    mirrors = supplied.folder / "web"
    error = supplied.run(a_store("store"))
    assert error is not None
    assert error.code == "F065"
    told = error.message
    assert told.startswith("2 pinned files cannot be had; what needs them fails:")
    assert f"a.txt ({sha256_of(b'a')}), for a.txt:source/" in told
    assert f"{mirrors}/a.txt: no such file" in told
    assert "tool-v1.tar (sha256:" in told
    assert "b.txt" not in told


def test_an_archive_of_a_commit_comes_from_a_blob_mirror_without_its_repository(
    supplied: Supplied, a_store: Callable[[str], Store]
) -> None:
    full = a_store("full")
    supplied.run(full)
    shutil.rmtree(supplied.folder / "git")
    shutil.rmtree(supplied.folder / "web")
    store = a_store("store")
    supplied.run(store, blobs=(f"file://{full.path}",))  # a store is a blob mirror too
    assert supplied.has(store) == [True, True, True]


def test_what_waits_or_is_reused_needs_nothing(
    supplied: Supplied, a_store: Callable[[str], Store]
) -> None:
    shutil.rmtree(supplied.folder / "git")
    shutil.rmtree(supplied.folder / "web")
    store = a_store("store")
    supplied.run(store, Verb.REUSE)
    assert supplied.has(store) == [False, False, False]
