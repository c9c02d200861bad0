"""A release is checked as a whole; copies are proven."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from oci_makers import entry, put_image, put_release, tar_bytes

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.copy import copy_release, platform_manifests
from ssds.oci.layout import Layout
from ssds.oci.types import Descriptor
from ssds.oci.validate import validate_index


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path / "layout"))


def problems(layout: Layout, release: Descriptor) -> list[str]:
    def read(digest: object) -> bytes:
        with layout.blobs.open(digest) as file:  # type: ignore[arg-type]
            return file.read()

    return [str(f) for f in validate_index(read, release, layout.blobs.open)]


def edited(layout: Layout, descriptor: Descriptor, change: Callable[[dict], object]) -> Descriptor:
    """Puts a changed copy of a document; returns its descriptor."""
    document = json.loads(layout.read(descriptor.digest))
    change(document)
    data = json.dumps(document).encode()
    layout.put_blob(data)
    return types.descriptor_of(data, descriptor.media_type, platform=descriptor.platform)


def test_a_good_release_has_no_findings(layout: Layout) -> None:
    assert problems(layout, put_release(layout.blobs)) == []


def with_manifest(layout: Layout, change: Callable[[dict], object]) -> Descriptor:
    image = put_image(layout.blobs, "linux/amd64", [tar_bytes([entry("a")])])
    changed = edited(layout, image, change)
    data = types.index_bytes([changed])
    layout.put_blob(data)
    return types.descriptor_of(data, types.INDEX)


CASES = [
    ("a wrong layer size", lambda m: m["layers"][0].update(size=3), "layer 1: has"),
    (
        "a missing layer",
        lambda m: m["layers"][0].update(digest="sha256:" + "0" * 64),
        "have the blob",
    ),
    ("a layer too few", lambda m: m["layers"].clear(), "0 layers, but 1 diffIDs"),
    ("another media type", lambda m: m["layers"][0].update(mediaType="text/x"), "not a layer's"),
    (
        "a plain type for gzip",
        lambda m: m["layers"][0].update(mediaType=types.LAYER),
        "its diffID is",
    ),
    (
        "a missing config",
        lambda m: m["config"].update(digest="sha256:" + "0" * 64),
        "have the blob",
    ),
    ("a wrong config size", lambda m: m["config"].update(size=3), "bytes, not 3"),
    ("a manifest that is none", lambda m: m.clear(), "is missing"),
]


@pytest.mark.parametrize(("name", "change", "expected"), CASES, ids=[c[0] for c in CASES])
def test_what_is_wrong_in_a_manifest_is_found(
    layout: Layout, name: str, change: Callable[[dict], object], expected: str
) -> None:
    found = problems(layout, with_manifest(layout, change))
    assert any(expected in f for f in found), found
    assert all("release > linux/amd64" in f for f in found)


def test_a_platform_that_differs_from_the_config_is_found(layout: Layout) -> None:
    image = put_image(layout.blobs, "linux/amd64", [tar_bytes([entry("a")])])
    wrong = Descriptor(
        media_type=image.media_type,
        digest=image.digest,
        size_bytes=image.size_bytes,
        platform=Platform("linux/arm64"),
    )
    data = types.index_bytes([wrong, wrong])
    layout.put_blob(data)
    found = problems(layout, types.descriptor_of(data, types.INDEX))
    assert any("the index says linux/arm64, the config linux/amd64" in f for f in found)
    assert any("two images for linux/arm64" in f for f in found)


def test_a_damaged_layer_is_found_once_per_place(layout: Layout) -> None:
    release = put_release(layout.blobs)
    manifest = platform_manifests(layout.read(release.digest))[Platform("linux/amd64")]
    layer = types.parse_manifest(layout.read(manifest.digest)).layers[1]
    path = Path(layout.blobs.path(layer.digest))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
    found = problems(layout, release)
    assert len(found) == 1
    assert "linux/amd64 > layer 2: has the digest" in found[0]


def test_an_index_that_names_itself_deeply_ends(layout: Layout) -> None:
    inner = put_release(layout.blobs)
    for _ in range(8):
        data = types.index_bytes([inner])
        layout.put_blob(data)
        inner = types.descriptor_of(data, types.INDEX)
    assert any("nested too deeply" in f for f in problems(layout, inner))
    with pytest.raises(IntegrityError, match="nested"):
        copy_release(layout, Layout(layout.path + "-copy"), inner)


def test_a_copy_sends_only_what_is_missing_and_the_index_last(
    layout: Layout, tmp_path: Path
) -> None:
    sink = Layout(str(tmp_path / "sink"))
    first, second = put_release(layout.blobs), put_release(layout.blobs, b"2")
    report = copy_release(layout, sink, first)
    assert (len(report.copied), report.present) == (8, ())
    again = copy_release(layout, sink, second)
    assert len(again.copied) == 7
    assert len(again.present) == 1
    assert again.copied[-1] == second.digest
    assert problems(sink, second) == []


def test_a_copy_of_a_damaged_release_stops_and_leaves_no_index(
    layout: Layout, tmp_path: Path
) -> None:
    release = put_release(layout.blobs)
    manifest = platform_manifests(layout.read(release.digest))[Platform("linux/arm64")]
    layer = types.parse_manifest(layout.read(manifest.digest)).layers[1]
    path = Path(layout.blobs.path(layer.digest))
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(b"x" * size)
    sink = Layout(str(tmp_path / "sink"))
    with pytest.raises(IntegrityError):
        copy_release(layout, sink, release)
    assert not sink.has(release.digest)
    assert not sink.has(layer.digest)
    path.unlink()
    with pytest.raises(UnavailableError):
        copy_release(layout, sink, release)


def test_a_descriptor_with_a_wrong_size_is_refused(layout: Layout, tmp_path: Path) -> None:
    release = put_release(layout.blobs)
    for size in (release.size_bytes + 1, 1 << 40):
        wrong = Descriptor(media_type=types.INDEX, digest=release.digest, size_bytes=size)
        with pytest.raises(IntegrityError):
            copy_release(layout, Layout(str(tmp_path / "sink")), wrong)
