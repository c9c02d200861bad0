"""Lmod's spider cache in pieces: what changed is listed by Lmod, the rest is taken over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ship_makers import ABOUT, image, release, script, site, small_tar

from ssds.host import spider
from ssds.host.spider_text import replaced, split
from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

NAMES = ("tool", "tool-b", "tool10", "tool2", "3d")
ODD = 'Reads ]] and ]=] and [[ "quotes\\"\n    },\n    evil = {\n      fileT = {},\n    },\n  },\n'


def lock(blobs: Blobs, name: str, text: str = "one", before: Lock | None = None) -> Lock:
    half = image(blobs, [small_tar({f"usr/bin/{name}": script(f"echo {text}")})], [name], {})
    about = {**ABOUT, "fields": {**ABOUT["fields"], "description": ODD}}  # type: ignore[dict-item]
    return release(blobs, half, name=name, before=before, about=about)


def cache_of(tree: str) -> str:
    return Path(f"{tree}/sites/example/lmod/cache/spiderT.lua").read_text()


def lists(argv: list[str]) -> int:
    """How many software the folder of modules has that Lmod was given."""
    return len(list(Path(argv[-1]).iterdir()))


@pytest.mark.component("lmod")
def test_a_cache_of_pieces_is_the_one_that_lmod_makes_of_everything(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    given: list[int] = []
    run = spider.process.run
    monkeypatch.setattr(
        "ssds.host.spider.process.run",
        lambda argv, **more: (given.append(lists(argv)), run(argv, **more))[1],
    )
    locks = {name: lock(blobs, name) for name in NAMES}
    deploy(site(), locks.values(), blobs, tree)
    assert split(cache_of(tree), f"{tree}/sites/example/modules") is not None
    locks["tool2"] = lock(blobs, "tool2", "two", locks["tool2"])
    del locks["tool10"]
    locks["new"] = lock(blobs, "new")
    deploy(site(), locks.values(), blobs, tree)
    assert given == [len(NAMES), 2]
    pieces = cache_of(tree)
    assert '"tool2/1.0-r2"' in pieces
    assert "tool10" not in pieces
    shutil.rmtree(f"{tree}/.ssds/sites/example/2/lmod")
    deploy(site(), locks.values(), blobs, tree, repair=True)
    assert given == [len(NAMES), 2, len(NAMES)]
    assert cache_of(tree) == pieces


@pytest.mark.component("lmod")
def test_a_cache_that_somebody_changed_is_not_taken_over(in_memory: str) -> None:
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    locks = [lock(blobs, name) for name in NAMES[:2]]
    deploy(site(), locks, blobs, tree)
    path = Path(f"{tree}/.ssds/sites/example/1/lmod/cache/spiderT.lua")
    path.write_text(path.read_text().replace("Tools for alignments", "evil"))
    deploy(site(), [lock(blobs, "tool", "two", locks[0]), locks[1]], blobs, tree)
    assert "evil = {" in cache_of(tree)  # of the description, which is a text
    assert '"evil"' not in cache_of(tree)


def test_a_text_of_another_form_is_not_cut() -> None:
    assert split("", "/m") is None
    assert split('spiderT = {\n  ["/m"] = {\n  },\n}\n', "/m") is None


def test_pieces_of_other_versions_of_the_form_are_not_joined() -> None:
    text = (
        "timestampFn = {\n  false,\n}\nmrcT = {\n  alias2modT = {},\n  hiddenT = {\n  },\n"
        '  version2modT = {},\n}\n\nmrcMpathT = {\n  ["/m"] = {\n    hiddenT = {\n    },\n  },\n}\n'
        'spiderT = {\n  ["/m"] = {\n    a = {\n    },\n  },\n  version = 5,\n}\nmpathMapT = {}\n'
    )
    five, six = split(text, "/m"), split(text.replace("= 5", "= 6"), "/m")
    assert five is not None
    assert six is not None
    assert replaced(five, five, frozenset("a")) == five
    assert replaced(five, six, frozenset("a")) is None
