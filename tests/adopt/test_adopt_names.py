"""Public names of adopted releases in a site's own modules: they load, move, and are refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from module_systems import shell_in
from old_places import Place
from old_tree import state_of
from ship_makers import AMD64, image, release, site, small_tar

from ssds.core.diagnostics import Collector
from ssds.exports.entries import adopted_entries
from ssds.lock.model import Adoption, Lock, Withdrawal
from ssds.lock.read import parse_lock_bytes
from ssds.lock.write import lock_bytes
from ssds.oci.blobs import Blobs
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy

SITE = site(runtimes=("plain",), modules="both")
SAID = Withdrawal(why="it mixes left and right", since="2026-11-27")
SYSTEMS = [
    pytest.param("lmod", marks=pytest.mark.component("lmod")),
    pytest.param("tcl", marks=pytest.mark.component("environment-modules")),
]


def adopted_locks(place: Place) -> list[Lock]:
    assert place.adopt() == 0
    return place.locks()


def loaded(system: str, tree: Path, module: str, command: str) -> str:
    """Returns the real path of a command after a module was loaded, relative to the tree."""
    folder = str(tree / "sites" / "example" / "modules")
    done = shell_in(system, folder, f"module load {module} && command -v {command}")
    found = done.stdout.decode().strip()
    return os.path.relpath(os.path.realpath(found), tree) if found else done.stderr.decode()


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_adopted_name_loads_from_the_sites_modules_and_leads_to_the_old_wrappers(
    few: Place, system: str
) -> None:
    one = few.releases[0]
    module = few.tree / f"containers/modules/{one.name}/{one.version}.lua"
    with module.open("a") as file:
        file.write('setenv("OLD_HOME", "/cvmfs/there")\n')
    locks = adopted_locks(few)
    before = state_of(few.tree)
    assert deploy(SITE, locks, Blobs(str(few.folder / "blobs")), str(few.tree)).written
    for old in few.releases:
        for version in (old.version, f"{old.version}-r0"):
            found = loaded(system, few.tree, f"{old.name}/{version}", old.commands[0])
            assert found == f"containers/{old.id}/{old.commands[0]}"
    folder = str(few.tree / "sites/example/modules")
    said = shell_in(system, folder, f"module load {one.name}; echo $OLD_HOME")
    assert said.stdout == b"/cvmfs/there\n", said.stderr
    listed = shell_in(system, folder, "module avail 2>&1").stdout.decode()
    assert f"{one.name}/{one.version}" in listed
    assert "-r0" not in listed
    again = deploy(SITE, locks, Blobs(str(few.folder / "blobs")), str(few.tree))
    assert (again.written, {c.verb for c in again.changes}) == (False, {"="})
    assert check_tree(str(few.tree)).problems == ()
    now = state_of(few.tree)
    assert {p for p in before if now[p] != before[p]} <= {"sites"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_withdrawn_adopted_release_refuses_to_load_and_its_folder_stays(
    few: Place, system: str
) -> None:
    locks, blobs = adopted_locks(few), Blobs(str(few.folder / "blobs"))
    deploy(SITE, locks, blobs, str(few.tree))
    lock = locks[0]
    variants = {"": replace(lock.variants[""], withdrawn=SAID)}
    done = deploy(SITE, [replace(lock, variants=variants), *locks[1:]], blobs, str(few.tree))
    assert [c.verb for c in done.changes] == ["+", "=", "=", "="]
    for version in (lock.version, f"{lock.version}-r0"):
        said = loaded(system, few.tree, f"{lock.name}/{version}", lock.name)
        assert "it mixes left and right" in " ".join(said.split())
    assert (few.tree / f"containers/modules/{lock.name}/{lock.version}.lua").exists()
    back = deploy(SITE, locks, blobs, str(few.tree))
    assert back.changes[0].reason.endswith("not withdrawn any more")
    assert loaded(system, few.tree, f"{lock.name}/{lock.version}", lock.name).startswith("cont")


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_build_of_ours_takes_the_public_name_and_the_adopted_one_stays_hidden(
    few: Place, system: str
) -> None:
    locks, blobs = adopted_locks(few), Blobs(str(few.folder / "blobs"))
    old, was = few.releases[0], locks[0]
    assert (was.name, was.version) == (old.name, old.version)
    deploy(SITE, locks, blobs, str(few.tree))
    half = image(blobs, [small_tar({f"usr/bin/{old.commands[0]}": b"#!/bin/sh\n"})], (), {})
    half = replace(half, commands=(old.commands[0],))
    built = release(blobs, half, name=old.name, version=old.version)
    sections = {AMD64: replace(built.variants[""].platforms[AMD64], adopted=adoption_of(was))}
    both = replace(built, variants={"": replace(built.variants[""], platforms=sections)})
    data = lock_bytes(both)
    assert lock_bytes(parse_lock_bytes(data, "x", Collector())) == data
    assert not list(adopted_entries([both]))  # lists have one build of a name and version
    done = deploy(SITE, [both, *locks[1:]], blobs, str(few.tree))
    name = f"{old.name}/{old.version}"
    assert [(c.verb, c.what, c.reason.partition(",")[0]) for c in done.changes][:2] == [
        ("+", name, "r0 becomes r1"),
        ("=", f"{name}-r0", "adopted"),
    ]
    ours = ".ssds/sites/example/parts/"
    assert loaded(system, few.tree, name, old.commands[0]).startswith(ours)
    for hidden, want in (("r1", ours), ("r0", f"containers/{old.id}/")):
        assert loaded(system, few.tree, f"{name}-{hidden}", old.commands[0]).startswith(want)
    assert not deploy(SITE, [both, *locks[1:]], blobs, str(few.tree)).written
    deploy(SITE, locks, blobs, str(few.tree))  # without the build the old one has its name again
    assert loaded(system, few.tree, name, old.commands[0]).startswith(f"containers/{old.id}/")


def test_a_check_has_nothing_against_the_module_of_others_that_stays_beside_a_build_of_ours(
    few: Place,
) -> None:
    locks, blobs = adopted_locks(few), Blobs(str(few.folder / "blobs"))
    was = locks[0]
    half = image(blobs, [small_tar({"usr/bin/tool": b"#!/bin/sh\n"})], ("tool",), {})
    built = release(blobs, half, name=was.name, version=was.version)
    section = built.variants[""].platforms[AMD64]
    section = replace(
        section, adopted=adoption_of(was), pins=replace(section.pins, epoch=1767225600)
    )
    both = replace(built, variants={"": replace(built.variants[""], platforms={AMD64: section})})
    module = few.tree / f"containers/modules/{was.name}/{was.version}.lua"
    before = module.read_bytes()
    for _ in range(2):
        deploy(replace(SITE, views=("neurodesk",)), [both, *locks[1:]], blobs, str(few.tree))
    assert (few.tree / f"containers/{was.name}_{was.version}_20260101/commands.txt").exists()
    assert module.read_bytes() == before
    assert check_tree(str(few.tree)).problems == ()


def adoption_of(lock: Lock) -> Adoption:
    section = lock.variants[""].platforms[AMD64]
    assert section.adopted is not None
    return section.adopted
