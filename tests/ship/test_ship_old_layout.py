"""Modules of the view in NeuroDesk's layout, in the systems that the site's modules are for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from module_systems import shell_in
from ship_makers import image, release, site, small_tar

from ssds.core.model import ReleaseName
from ssds.lock.model import Lock, Withdrawal
from ssds.lock.write import with_variant
from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

ABOUT = {"metadata_version": 1, "fields": {"summary": "x", "categories": ["image analysis"]}}
PLACES = ("containers/modules", "neurodesk-modules/image_analysis")
DAY = "tool_1.0_20260101"


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Blobs, Lock]]:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(f"{folder}/blobs")
        half = image(blobs, [small_tar({"usr/bin/tool": b"#!/bin/sh\n"})], ("tool",), {})
        lock = release(blobs, half, about=ABOUT)
        name = ReleaseName("tool", "1.0", "")
        variant = lock.variant(name)
        dated = {
            p: replace(s, pins=replace(s.pins, epoch=1767225600))
            for p, s in variant.platforms.items()
        }
        yield blobs, with_variant(lock, name, replace(variant, platforms=dated))


@pytest.mark.parametrize(
    ("system", "want"), [("lmod", {"1.0.lua"}), ("tcl", {"1.0"}), ("both", {"1.0", "1.0.lua"})]
)
def test_a_site_gets_the_modules_of_its_system_under_every_old_path(
    made: tuple[Blobs, Lock], tmp_path: Path, system: str, want: set[str]
) -> None:
    blobs, lock = made
    deploy(site(views=("neurodesk",), modules=system), [lock], blobs, str(tmp_path / "tree"))
    assert [set(os.listdir(tmp_path / "tree" / p / "tool")) for p in PLACES] == [want, want]


@pytest.mark.component("environment-modules")
def test_environment_modules_loads_them_and_is_refused_what_was_withdrawn(
    made: tuple[Blobs, Lock], tmp_path: Path
) -> None:
    blobs, lock = made
    tree, tcl = str(tmp_path / "a tree"), site(views=("neurodesk",), modules="tcl")
    deploy(tcl, [lock], blobs, tree)
    for place in PLACES:
        done = shell_in("tcl", f"{tree}/{place}", "module load tool/1.0 && command -v tool")
        assert done.stdout.decode() == f"{tree}/containers/{DAY}/tool\n", done.stderr
    said = Withdrawal(why="it mixes left and right", since="2026-11-27")
    variants = {"": replace(lock.variants[""], withdrawn=said)}
    deploy(tcl, [replace(lock, variants=variants)], blobs, tree)
    for place in PLACES:
        done = shell_in("tcl", f"{tree}/{place}", "module load tool/1.0; command -v tool")
        assert b"it mixes left and right" in b" ".join(done.stderr.split())
        assert done.stdout == b""
