"""SIF files on channels: the pure plan, both backends, and Apptainer that pulls and runs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apptainer_box import apptainer
from channel_places import CHANNEL, Place, Source, as_lines
from ship_makers import AMD64, image, release, root_tar, script, small_tar, with_sif

from ssds.core.errors import UnavailableError
from ssds.core.platform import Platform
from ssds.lock.model import Lock, Released, releasable
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.ship.backend_objects import ObjectsChannel
from ssds.ship.bringing import bring
from ssds.ship.channels import offers, plan_channel
from ssds.ship.observation import Observation, state_of
from ssds.ship.sifs import root_of
from ssds.sif.artefact import SIF_CONFIG, SIF_LAYER

ARM64, V3 = Platform("linux/arm64"), Platform("linux/amd64/v3")
WITH_SIF = replace(CHANNEL, sif=True)


@pytest.fixture
def files(place: Place) -> Place:
    """A channel that gets SIF files."""
    return replace(place, channel=replace(place.channel, sif=True))


def lock_of(blobs: Blobs, text: str, *more: Platform, before: Lock | None = None) -> Lock:
    """A release with a SIF file for each platform."""
    halves = {
        platform: with_sif(
            blobs,
            image(blobs, [small_tar({"bin/tool": script(text)})], ["tool"], {}, platform),
        )
        for platform in (AMD64, *more)
    }
    return release(blobs, halves[AMD64], before=before, others=halves)


def one(lock: Lock) -> Released:
    (found,) = releasable(lock)
    return found


def without_sif(lock: Lock, platform: Platform) -> Lock:
    variant = lock.variants[""]
    section = variant.platforms[platform]
    assert section.release is not None
    bare = replace(section, release=replace(section.release, sif=None))
    platforms = {**variant.platforms, platform: bare}
    return replace(lock, variants={"": replace(variant, platforms=platforms)})


def test_a_sif_has_the_tags_of_its_image_with_sif_at_the_end(tmp_path: Path) -> None:
    lock = lock_of(Blobs(str(tmp_path)), "x")
    lines = as_lines(plan_channel(WITH_SIF, [one(lock)], Observation(at=1)))
    wanted = [f"+ tool:{tag}-sif" for tag in ("1.0-r1", "1.0", "latest")]
    assert [line for line in lines if "sif" in line] == wanted
    lines = as_lines(plan_channel(CHANNEL, [one(lock)], Observation(at=1)))
    assert not any("sif" in line for line in lines)


def test_sif_tags_wait_until_every_platform_of_the_index_has_its_file(tmp_path: Path) -> None:
    lock = lock_of(Blobs(str(tmp_path)), "x", ARM64)
    old = {"tool:1.0-sif": root_of(one(lock))[0].digest}
    half_made = one(without_sif(lock, ARM64))
    lines = as_lines(plan_channel(WITH_SIF, [half_made], Observation(at=1, tags=old)))
    assert not any("sif" in line for line in lines)


def test_an_immutable_sif_tag_is_never_moved_and_holds_only_its_own(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    known, other = one(lock_of(blobs, "x")), one(lock_of(blobs, "y"))
    tags = {"tool:1.0-r1-sif": root_of(other)[0].digest}
    lines = as_lines(plan_channel(WITH_SIF, [known], Observation(at=1, tags=tags)))
    assert [line for line in lines if "sif" in line] == [
        "x tool:1.0-r1-sif",
        "x tool:1.0-sif",
        "x tool:latest-sif",
    ]
    assert "+ tool:1.0-r1" in lines
    taken = {"tool:1.0-r1": other.index.digest}
    lines = as_lines(plan_channel(WITH_SIF, [known], Observation(at=1, tags=taken)))
    assert {line[0] for line in lines if "sif" in line} == {"x"}


def test_what_a_saved_plan_expects_of_a_channel_counts_sif_tags(tmp_path: Path) -> None:
    name = one(lock_of(Blobs(str(tmp_path)), "x")).id
    digest = one(lock_of(Blobs(str(tmp_path)), "x")).index.digest
    empty = state_of(name, Observation(at=1))
    assert state_of(name, Observation(at=1, tags={"tool:1.0-sif": digest})) != empty
    assert state_of(name, Observation(at=1, tags={"tool:1.0-mpi-sif": digest})) == empty


@pytest.mark.parametrize("others", [(), (ARM64, V3)], ids=["one platform", "three platforms"])
def test_a_push_brings_the_files_and_a_second_one_has_nothing_to_do(
    files: Place, others: tuple[Platform, ...], tmp_path: Path
) -> None:
    lock = lock_of(files.blobs, "one", *others)
    found = one(lock)
    lines, after = files.push(lock)
    assert {line[0] for line in lines} == {"+"}
    root, _ = root_of(found)
    assert {after.tags[f"tool:{tag}-sif"] for tag in ("1.0-r1", "1.0", "latest")} == {root.digest}
    lines, again = files.push(lock)
    assert {line[0] for line in lines} == {"="}
    assert again == after
    elsewhere = Source(Blobs(str(tmp_path / "elsewhere")))
    wanted = {s.file.digest for s in found.sifs.values()}
    assert wanted <= offers(found, after)
    bring(files.backend, found, wanted, elsewhere, lambda _: None)  # type: ignore[arg-type]
    for sif in found.sifs.values():
        assert elsewhere.blobs.read(sif.file.digest) == files.blobs.read(sif.file.digest)
        manifest = types.parse_manifest(elsewhere.blobs.read(sif.manifest.digest))
        assert manifest.config.media_type == SIF_CONFIG
        assert [layer.media_type for layer in manifest.layers] == [SIF_LAYER]


def test_a_refused_sif_leaves_the_image_and_the_other_releases_alone(files: Place) -> None:
    first = lock_of(files.blobs, "one")
    files.push(first)
    files.set_tag("tool", "1.0-r2-sif", root_of(one(first))[0].digest)
    second = lock_of(files.blobs, "two", before=first)
    lines, after = files.push(second)
    assert "x tool:1.0-r2-sif" in lines
    assert after.tags["tool:1.0"] == one(second).index.digest
    assert after.tags["tool:1.0-sif"] == root_of(one(first))[0].digest


def test_a_sif_whose_bytes_are_gone_gets_no_tag(files: Place) -> None:
    lock = lock_of(files.blobs, "one")
    files.blobs.remove(one(lock).sifs[AMD64].file.digest)
    with pytest.raises(UnavailableError):
        files.push(lock)
    assert not any("sif" in tag for tag in files.backend.looker()("tool").tags)


@pytest.mark.parametrize("place", ["s3", "put", "swift"], indirect=True)
def test_an_object_store_has_each_sif_file_under_a_readable_name_that_stays(files: Place) -> None:
    first = lock_of(files.blobs, "one", ARM64)
    files.push(first)
    second = lock_of(files.blobs, "two", ARM64, before=first)
    files.push(second)
    backend = files.backend
    assert isinstance(backend, ObjectsChannel)
    for lock in (first, second):
        for platform, sif in one(lock).sifs.items():
            where = str(platform).replace("/", "-")
            key = f"tool/1.0/tool_{one(lock).full_tag}.{where}.sif"
            data = b"".join(backend.store.read(key) or ())
            assert data == files.blobs.read(sif.file.digest)
            digest = sif.file.digest
            assert backend.store.size(f"sha256/{digest.hex[:2]}/{digest.hex}") == len(data)


# -- Apptainer ---------------------------------------------------------------------------------


@pytest.fixture
def box() -> Iterator[str]:
    where = f"/var/tmp/ssds-pull-{os.getpid()}"
    os.mkdir(where, 0o755)
    yield where
    shutil.rmtree(where)


@pytest.mark.component("apptainer")
@pytest.mark.parametrize("place", ["registry"], indirect=True)
def test_apptainer_pulls_by_oras_and_runs(files: Place, box: str) -> None:
    halves = {}
    for platform in (AMD64, ARM64, V3):
        tars = [root_tar(), small_tar({"usr/bin/tool": script(f"echo made for {platform}")})]
        halves[platform] = with_sif(files.blobs, image(files.blobs, tars, [], {}, platform))
    many = release(files.blobs, halves[AMD64], others=halves)
    alone = release(files.blobs, halves[AMD64], version="2.0")
    files.push(many, alone)
    for version in ("1.0", "2.0"):
        address = f"oras://{files.channel.location}/tool:{version}-sif"
        pulled = apptainer("pull", "--no-https", f"{version}.sif", address, folder=box)
        assert pulled.returncode == 0, pulled.stderr.decode()
        expected = files.blobs.read(one(many).sifs[AMD64].file.digest)
        assert Path(box, f"{version}.sif").read_bytes() == expected
    ran = apptainer("exec", "1.0.sif", "tool", folder=box)
    assert ran.stdout.decode() == "made for linux/amd64\n", ran.stderr.decode()
