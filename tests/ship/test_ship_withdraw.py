"""Withdrawn releases on a site: modules that refuse to load, commands that are on no PATH."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import Place
from module_systems import FACTS, HOSTILE, shell_in
from ship_makers import image, release, site, small_tar, tool_lock

from ssds.lock.model import Lock, Withdrawal, releasable
from ssds.oci.blobs import Blobs
from ssds.ship import modules, tcl
from ssds.ship.channels import plan_channel, wanted_tags
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy
from ssds.ship.syncing import carry_out, look_at
from ssds.ship.tree import read_deployed
from ssds.ship.withdrawing import judged

SAID = Withdrawal(why="it mixes left and right", since="2026-11-27", instead="tool/2.0")
TOLD = b"tool/1.0 was withdrawn on 2026-11-27: it mixes left and right. Use tool/2.0 instead."
SYSTEMS = [
    pytest.param("lmod", marks=pytest.mark.component("lmod")),
    pytest.param("tcl", marks=pytest.mark.component("environment-modules")),
]


def withdrawn(lock: Lock, said: Withdrawal | None = SAID) -> Lock:
    variants = {name: replace(v, withdrawn=said) for name, v in lock.variants.items()}
    return replace(lock, variants=variants)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[str, Blobs, Lock, Lock, Lock]]:
    """A tree with two revisions of 1.0, one of 2.0; and the locks, 1.0 as it was and is now."""
    folder = tempfile.mkdtemp(prefix="ssds-withdraw-", dir="/var/tmp")
    os.chmod(folder, 0o755)
    blobs = Blobs(f"{folder}/blobs")
    layer = small_tar({"usr/bin/tool": b"#!/bin/sh\n"})
    first = release(blobs, image(blobs, [layer], ("tool",), {}))
    second = release(blobs, image(blobs, [layer], ("tool",), {"N": "2"}), before=first)
    newer = release(blobs, image(blobs, [layer], ("tool",), {"N": "3"}), version="2.0")
    deploy(SITE, [first, newer], blobs, f"{folder}/tree")
    deploy(SITE, [second, newer], blobs, f"{folder}/tree")
    yield f"{folder}/tree", blobs, first, second, newer
    shutil.rmtree(folder, ignore_errors=True)


SITE = site(runtimes=("plain",), modules="both", defaults={"tool": "1.0"}, views=("neurodesk",))


def files_in(folder: str) -> dict[str, bytes]:
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(base, name), "rb") as file:
                found[os.path.relpath(os.path.join(base, name), folder)] = file.read()
    return found


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_withdrawn_module_refuses_to_load_and_says_why_until_it_is_taken_back(
    world: tuple[str, Blobs, Lock, Lock, Lock], system: str
) -> None:
    tree, blobs, _, lock, newer = world
    folder = f"{tree}/sites/example/modules"
    before = files_in(f"{folder}/tool")
    assert shell_in(system, folder, "module load tool; command -v tool").stdout.endswith(
        b"/wrappers/tool/1.0-r2/bin/tool\n"
    )
    done = deploy(SITE, [withdrawn(lock), newer], blobs, tree)
    assert [(c.verb, c.what, c.reason) for c in done.changes] == [
        ("+", "tool/1.0", "r2, withdrawn: it refuses to load"),
        ("=", "tool/2.0", "r1 is there"),
    ]
    for name in ("tool/1.0", "tool/1.0-r2", "tool/1.0-r1"):
        refused = shell_in(system, folder, f"module load {name} && exit 3; command -v tool")
        assert TOLD in b" ".join(refused.stderr.split()), (name, refused.stderr)
        assert (refused.returncode, refused.stdout) == (127, b""), (name, refused)
    bare = shell_in(system, folder, "module load tool; command -v tool")
    assert bare.stdout.endswith(b"/wrappers/tool/2.0-r1/bin/tool\n"), bare
    listed = shell_in(system, folder, "module avail -t tool 2>&1").stdout
    assert b"tool/2.0" in listed
    assert b"tool/1.0" not in listed
    assert os.readlink(f"{tree}/sites/example/bin/tool").startswith("../wrappers/tool/2.0-r1/")
    assert not os.path.lexists(f"{tree}/sites/example/wrappers/tool/1.0/bin/tool")
    again = deploy(SITE, [withdrawn(lock), newer], blobs, tree)
    assert not again.written
    assert again.changes[0].reason == "r2 is there, withdrawn"
    assert check_tree(tree).problems == ()
    # Its image stays while generations name it.
    entries = read_deployed(tree, "example").entries
    assert all(
        os.path.isdir(f"{tree}/.flat/{i.hex[:2]}/{i.hex}")
        for e in entries
        for i in e.images.values()
    )
    back = deploy(SITE, [lock, newer], blobs, tree)
    assert back.changes[0].reason == "r2, not withdrawn any more"
    assert files_in(f"{folder}/tool") == before
    assert os.path.lexists(f"{tree}/sites/example/wrappers/tool/1.0-r1/bin/tool")


@pytest.mark.parametrize("system", SYSTEMS)
def test_who_had_loaded_it_can_unload_it(
    world: tuple[str, Blobs, Lock, Lock, Lock], system: str
) -> None:
    tree, blobs, _, lock, newer = world
    deploy(SITE, [lock, newer], blobs, tree)
    folder = f"{tree}/sites/example/modules"
    bad = {p: judged({p: d}, "x was withdrawn")[p] for p, d in files_in(f"{folder}/tool").items()}
    place = tempfile.mkdtemp(dir=os.path.dirname(tree))
    shutil.copytree(f"{folder}/tool", f"{place}/modules/tool")
    for path, data in bad.items():
        if not os.path.basename(path).startswith("."):
            with open(f"{place}/modules/tool/{path}.new", "wb") as file:
                file.write(data)
    suffix = ".lua" if system == "lmod" else ""
    own = f'"{place}/modules/tool/1.0{suffix}"'
    done = shell_in(
        system,
        f"{place}/modules",
        f"module load tool/1.0; echo $PATH; mv {own}.new {own}; module unload tool; echo $PATH",
    )
    loaded, unloaded = done.stdout.decode().splitlines()
    assert "/wrappers/tool/1.0-r2/bin" in loaded
    assert "/wrappers/" not in unloaded, done
    assert done.returncode == 0


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_in_the_reason_is_obeyed(system: str, text: str) -> None:
    make = modules.module_text if system == "lmod" else tcl.module_text
    end = ".lua" if system == "lmod" else ""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/samtools/1.16.1{end}"
        os.mkdir(os.path.dirname(path))
        with open(path, "wb") as file:
            data = make(FACTS, hidden=False)
            said = judged({path: data}, f"{text} [exec touch {folder}/pwned] $HOME end of it")[path]
            assert judged({path: said}, "")[path] == data
            assert said.count(b"\n") == data.count(b"\n") + 1
            file.write(said)
        done = shell_in(system, folder, "module load samtools/1.16.1 && exit 3; echo $PATH")
        assert b"end of it" in done.stderr, done
        assert b"$HOME" in done.stderr
        assert b"wrappers" not in done.stdout
        assert os.listdir(folder) == ["samtools"]
    assert not os.path.exists("/tmp/pwned")


def test_where_its_image_is_not_there_none_is_brought(tmp_path: Path) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    lock = withdrawn(tool_lock(blobs))
    done = deploy(SITE, [lock], blobs, tree)
    assert (done.images_written, done.changes[0].reason) == (0, "new, withdrawn, r1")
    with open(f"{tree}/sites/example/modules/tool/1.0.lua") as file:
        assert 'LmodError("tool/1.0 was withdrawn on' in file.read()
    assert check_tree(tree).problems == ()
    assert not deploy(SITE, [lock], blobs, tree).written
    deploy(SITE, [withdrawn(lock, None)], blobs, tree)
    assert os.path.lexists(f"{tree}/sites/example/bin/tool")


def test_moving_tags_leave_a_withdrawn_release_and_its_immutable_one_stays(place: Place) -> None:
    layer = small_tar({"usr/bin/tool": b"#!/bin/sh\n"})
    old = release(place.blobs, image(place.blobs, [layer], ("tool",), {}))
    new = release(place.blobs, image(place.blobs, [layer], ("tool",), {"N": "2"}), version="2.0")
    never = release(place.blobs, image(place.blobs, [layer], ("tool",), {"N": "3"}), version="3.0")

    def sync(*locks: Lock) -> dict[str, str]:
        releases = [r for lock in locks for r in releasable(lock)]
        read = lambda d: place.blobs.read(d, 1 << 20) if place.blobs.has(d) else None  # noqa: E731
        look = look_at(place.channel, place.backend, releases, read=read, now=1, anew=True)
        done = carry_out(look, place.source, now=1)
        assert not [c for c in look.changes if c.verb == "x"]
        found = {what.partition(":")[2]: str(d) for what, d in done.after.tags.items()}
        return {tag: d for tag, d in found.items() if not tag.startswith("sha256-")}

    before = sync(old, new)
    assert before["latest"] == before["2.0"] == before["2.0-r1"]
    after = sync(old, withdrawn(new), withdrawn(never))
    assert after == {**before, "latest": before["1.0"]}
    tags = wanted_tags(place.channel, releasable(withdrawn(new)))["tool"]
    assert set(tags) == {"2.0-r1"}
    (change,) = [
        c
        for c in plan_channel(place.channel, releasable(withdrawn(new)), None)
        if c.what == "tool:2.0-r1"
    ]
    assert change.verb == "?"
    assert sync(old, new) == before
