"""``ssds outdated`` compares locks with what local mirrors, indexes and repositories have now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from git_server import commit, git, make_repository
from makers import AMD64
from package_archives import Deb, Signer, end_signer, make_signer, wheel_bytes, write_index
from package_world import World, an_app

from ssds.core.digest import sha256_of
from ssds.engine.outdated import Row, outdated
from ssds.host.mirrors import Mirrors
from ssds.host.simple_index import IndexFile
from ssds.kinds.source.newest import of_commit, of_debian
from ssds.packages.newest import newest_wheel
from ssds.recipe.model import Catalog
from ssds.recipe.steps import SourceRequest

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("apt-get", "gpg", "gpgv", "git")),
    reason="needs apt, gpg and git",
)
TOOL = "https://git.example.org/tool.git"
SOURCES = (
    SourceRequest(name="branch", git=TOOL, ref="main"),
    SourceRequest(name="tag", git=TOOL, ref="v1"),
    SourceRequest(name="release", pypi="thing/1.0"),
    SourceRequest(name="plain", url="https://example.org/a.tar", sha256=sha256_of(b"a")),
)
APP = an_app(apt=("tool", "held=1-1"), pip=("thing==1.0", "more"), sources=SOURCES)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    made = make_signer(str(tmp_path_factory.mktemp("key")))
    yield made
    end_signer(made)


class Moving(World):
    """The world with a repository and a source archive."""

    @property
    def mirrors(self) -> Mirrors:
        prefixes = {"https://git.example.org/": f"file://{self.folder}/git/"}
        return replace(super().mirrors, url_prefixes=prefixes)

    def index(self, *versions: str) -> None:
        files = {f"thing-{v}-py3-none-any.whl": wheel_bytes("thing", v) for v in versions}
        files |= {f"thing-{v}.tar.gz": v.encode() for v in versions}
        write_index(str(self.folder / "simple"), {"thing": files})

    def look(self, catalog: Catalog = APP) -> dict[tuple[str, str], Row]:
        targets = tuple(t for r in catalog.releases.values() for t in r.targets.values())
        pins, cache = self.pins, self.cache()
        rows = outdated(targets, catalog, pins.shared, pins.releases, self.mirrors, cache)
        return {(row.sort, row.name): row for row in rows}


@pytest.fixture
def world(tmp_path: Path, signer: Signer) -> Moving:
    world = Moving(tmp_path, signer)
    make_repository(tmp_path / "git" / "tool.git")
    debs = (Deb(name="tool", version="1-1", depends="libx"), Deb(name="libx", version="1-1"))
    held = Deb(name="held", version="1-1")
    world.publish(*debs, held, wheels={"more": ["1.0"]})
    world.index("1.0")
    assert world.lock(APP) == []
    return world


def test_what_is_current_and_what_nobody_knows_is_told_apart(world: Moving) -> None:
    rows = world.look()
    assert {row.state for row in rows.values()} == {"current", "unknown"}
    unknown = [key for key, row in rows.items() if row.state == "unknown"]
    assert unknown == [("source", "plain")]
    assert rows["source", "plain"].note == "an address names no version"
    assert not any(row.failed for row in rows.values())


def test_everything_that_moved_is_found_with_who_moves_it(world: Moving) -> None:
    repository = world.folder / "git" / "tool.git"
    before = git(repository, "rev-parse", "main")
    after = commit(repository)
    git(repository, "tag", "v1.2")
    git(repository, "tag", "v2.0-rc1")
    world.publish(
        Deb(name="tool", version="2-1"),
        Deb(name="libx", version="1-1"),
        Deb(name="held", version="2-1"),
        wheels={"more": ["1.0", "1.1", "2.0rc1"]},
        system="1.1-1",
    )
    world.index("1.0", "1.5")
    rows = world.look()
    newer = {
        key: (row.pinned, row.newest, row.by) for key, row in rows.items() if row.state == "newer"
    }
    assert newer == {
        ("apt", "held"): ("1-1", "2-1", "recipe"),
        ("apt", "tool"): ("1-1", "2-1", "lock"),
        ("base", "debian-12"): ("debian-12@20200314", "debian-12@20200314", "lock"),
        ("pip", "more"): ("1.0", "1.1", "lock"),
        ("pip", "thing"): ("1.0", "1.5", "recipe"),
        ("source", "branch"): (f"main {before[:12]}", f"main {after[:12]}", "lock"),
        ("source", "release"): ("1.0", "1.5", "recipe"),
        ("source", "tag"): ("v1", "v1.2", "recipe"),
    }
    assert rows["base", "debian-12"].note == "apt 1.0-1 -> 1.1-1"
    assert rows["apt", "tool"].of == ("app@1.0 [linux/amd64]",)


def test_a_mirror_that_gives_no_answer_is_told_and_hides_nothing(world: Moving) -> None:
    world.publish(Deb(name="tool", version="2-1"), wheels={"more": ["1.0"]})
    shutil.rmtree(world.folder / "git")
    rows = world.look()
    assert rows["source", "branch"].failed
    assert "git.example.org" in rows["source", "branch"].note
    assert rows["pip", "thing"].failed  # no index has it any more
    assert rows["apt", "libx"].note == "the index does not have it any more"
    assert rows["apt", "tool"].newest == "2-1"


def test_a_mirror_that_lags_behind_the_lock_has_nothing_newer(world: Moving) -> None:
    world.publish(
        Deb(name="tool", version="1-0"),
        Deb(name="libx", version="1-1"),
        Deb(name="held", version="1-1"),
        wheels={"more": ["1.0"]},
    )
    rows = world.look()
    assert (rows["apt", "tool"].state, rows["apt", "tool"].newest) == ("current", "1-1")


def test_a_wheel_counts_where_the_image_can_install_it() -> None:
    def newest(*names: str, python: str = "", yanked: bool = False, early: bool = False) -> str:
        files = [IndexFile(name=n, url="u", requires_python=python, yanked=yanked) for n in names]
        return newest_wheel(files, AMD64, "3.11", prereleases=early)

    one, two = "a-1.0-py3-none-any.whl", "a-2.0-py3-none-any.whl"
    assert newest(one, two, "a-3.0-cp312-cp312-manylinux_2_17_x86_64.whl") == "2.0"
    assert newest("a-3.0-cp311-cp311-manylinux_2_17_aarch64.whl") == ""
    assert newest("a-3.0-cp38-abi3-manylinux_2_17_x86_64.whl", one) == "3.0"
    assert newest(one, python=">=3.12") == newest(one, yanked=True) == ""
    assert newest(one, "a-2.0rc1-py3-none-any.whl") == "1.0"
    assert newest(one, "a-2.0rc1-py3-none-any.whl", early=True) == "2.0rc1"
    assert newest("a.whl", "a-1.0.tar.gz", one, python="no specifier") == ""


def test_tags_of_another_form_are_not_newer() -> None:
    a, b = "a" * 40, "b" * 40
    refs = {"refs/tags/v1.9": a, "refs/tags/v1.10": b, "refs/tags/w3": b, "refs/tags/v2-beta": b}
    found = of_commit("v1.9", a, refs)
    assert found is not None
    assert (found.newest, found.by) == ("v1.10", "recipe")
    moved = of_commit("v1.9", b, refs)
    assert moved is not None
    assert (moved.newest, moved.by) == (f"v1.9 {a[:12]}", "lock")
    gone = of_commit("v9", a, refs)
    assert gone is not None
    assert gone.newest == "v9 is gone"
    assert of_commit(a, a, refs) is None
    assert of_debian("x/1.9-1", [{"Version": "1.10-1"}, {}]).newest == "1.10-1"
    assert of_debian("x/1.9-1", [{"Version": "1.9~rc1-1"}]).newest == "1.9-1"
