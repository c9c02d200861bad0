"""``--upgrade`` renews what it names and nothing else: whole sorts of pins, or single ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_archives import Deb, Signer, end_signer, make_signer
from package_world import World, an_app

from ssds.core.errors import UsageError
from ssds.engine.renewal import Renewal, parse_renewal

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("apt-get", "gpg", "gpgv")), reason="needs apt and gpg"
)

APP = an_app(apt=("tool", "other"), pip=("thing", "more"))
OLD = (
    Deb(name="tool", version="1-1", depends="libtool1"),
    Deb(name="libtool1", version="1-1", depends="libcommon"),
    Deb(name="libcommon", version="1-1"),
    Deb(name="other", version="1-1"),
)
NEW = (
    Deb(name="tool", version="2-1", depends="libtool2"),
    Deb(name="libtool2", version="2-1", depends="libcommon (>= 1)"),
    Deb(name="libcommon", version="2-1"),
    Deb(name="other", version="2-1"),
)
OLD_WHEELS = {"thing": ["1.0"], "more": ["1.0"]}
NEW_WHEELS = {"thing": ["1.0", "2.0"], "more": ["1.0", "2.0"]}


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    made = make_signer(str(tmp_path_factory.mktemp("key")))
    yield made
    end_signer(made)


@pytest.fixture
def world(tmp_path: Path, signer: Signer) -> World:
    """A locked app, and mirrors that moved on; the old packages have left the index."""
    world = World(tmp_path, signer)
    world.publish(*OLD, wheels=OLD_WHEELS)
    assert world.lock(APP) == []
    for deb in OLD:  # a mirror's index forgets first, its pool later
        path = tmp_path / "kept" / deb.pool_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(deb.data)
    world.publish(*NEW, wheels=NEW_WHEELS)
    shutil.copytree(tmp_path / "kept", tmp_path / "debian", dirs_exist_ok=True)
    return world


def versions(world: World) -> dict[str, str]:
    return {**world.packages("build/0"), **world.packages("build/1")}


def test_nothing_moves_by_itself(world: World) -> None:
    before = world.held()
    assert world.lock(APP) == []
    assert world.held() == before


def test_a_sort_is_renewed_and_no_other(world: World) -> None:
    assert world.lock(APP, "pip") == []
    assert world.packages("build/1") == {"more": "2.0", "pip": "24.0", "thing": "2.0"}
    assert world.packages("build/0")["tool"] == "1-1"
    assert world.lock(APP, "apt") == []
    assert world.packages("build/0") == {
        "libcommon": "2-1",
        "libtool2": "2-1",
        "other": "2-1",
        "python3.11-minimal": "3.11.2-6",
        "tool": "2-1",
    }


def test_one_debian_package_is_renewed_with_what_it_needs(world: World) -> None:
    assert world.lock(APP, "tool") == []
    assert world.packages("build/0") == {
        "libcommon": "1-1",
        "libtool2": "2-1",  # libtool1 was there for the old tool only
        "other": "1-1",
        "python3.11-minimal": "3.11.2-6",
        "tool": "2-1",
    }
    assert world.packages("build/1")["thing"] == "1.0"
    assert world.lock(APP) == []
    assert world.packages("build/0")["other"] == "1-1"


def test_one_python_package_is_renewed_alone(world: World) -> None:
    apt = world.packages("build/0")
    assert world.lock(APP, "pip:thing") == []
    assert world.packages("build/1") == {"more": "1.0", "pip": "24.0", "thing": "2.0"}
    assert world.packages("build/0") == apt


def test_a_renewed_base_leaves_the_packages_that_it_does_not_touch(world: World) -> None:
    before = world.held()
    assert world.lock(APP, "base:debian-12") == []
    assert world.held() == before  # the archive's packages of the base are the same ones


def test_a_word_that_names_no_pin_is_refused_with_near_ones(world: World) -> None:
    with pytest.raises(UsageError, match="toool") as caught:
        world.lock(APP, "toool")
    assert "Did you mean tool" in caught.value.hint
    with pytest.raises(UsageError):
        world.lock(APP, "pip:tool")  # it is no Python package


def test_the_words_of_upgrade_mean_sorts_or_names(world: World) -> None:
    targets = tuple(t for r in APP.releases.values() for t in r.targets.values())
    words = ["packages", "sources", "debian-12"]
    found = parse_renewal(words, targets, APP, world.pins.releases)
    assert found == Renewal(
        sorts=frozenset({"apt", "pip", "conda", "source"}), names=frozenset({("base", "debian-12")})
    )
    assert not found.of("base", "other")
