"""Where images are looked for: the source map, and what a place must give to be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from oci_makers import put_release

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.oci.image_map import check_prefix, check_source, layout_path, mapped
from ssds.oci.image_name import parse_image_name
from ssds.oci.layout import Layout
from ssds.oci.types import INDEX, Descriptor, descriptor_of
from ssds.oci.upstream import Images

AMD64 = Platform("linux/amd64")
MAP = {
    "docker.io": "mirror.example/hub",
    "docker.io/library": "mirror.example/official",
    "docker.io/library/ubuntu": "oci:/u",
    "docker.io/library/ubuntu:24.04": "oci:/noble",
    "ghcr.io/x": "http://localhost:5000/x",
}


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04"),
        ("ubuntu:24.04@sha256:" + "0" * 64, "docker.io/library/ubuntu:24.04"),
        ("ubuntu:22.04", "docker.io/library/ubuntu"),
        ("ubuntu-core:1", "docker.io/library"),
        ("librarys/ubuntu:1", "docker.io"),
        ("ghcr.io/x/y:1", "ghcr.io/x"),
        ("ghcr.io/xx/y:1", ""),
        ("quay.example/x:1", ""),
    ],
)
def test_the_longest_beginning_of_whole_parts_wins(name: str, prefix: str) -> None:
    assert mapped(parse_image_name(name), MAP) == (prefix, MAP.get(prefix, ""))


@pytest.mark.parametrize(
    "to", ["oci:x", "oci:/x:tag", "localhost:5000/x", "m.example", "m.example/x/y:1",
           "http://127.0.0.1:5000/x", "http://[::1]:5000"],
)  # fmt: skip
def test_a_layout_or_a_place_in_a_registry_may_stand_for_images(to: str) -> None:
    assert check_source(to) == ""


@pytest.mark.parametrize(
    "to", ["", "oci:", "x", "http://m.example/x", "https://m.example/x", "user:pw@m.example/x",
           "m.example/X", "ftp://m.example"],
)  # fmt: skip
def test_anything_else_may_not(to: str) -> None:
    assert check_source(to) != ""


def test_names_are_written_in_full() -> None:
    assert [check_prefix(p) for p in MAP] == [""] * len(MAP)
    assert "docker.io/library/ubuntu" in check_prefix("docker.io/ubuntu")
    assert all(check_prefix(p) for p in ("ubuntu", "library/ubuntu", "docker.io/Ubuntu"))


def test_paths_are_relative_to_the_file_of_the_settings() -> None:
    assert layout_path("oci:../x:1", "/a/b", "/home") == "oci:/a/x:1"
    assert layout_path("oci:~/x", "/a/b", "/home") == "oci:/home/x"
    assert layout_path("m.example/x", "/a/b", "/home") == "m.example/x"


def images(layout: Layout, to: str = "") -> Images:
    return Images(Mirrors(images={"docker.io/library/x": to or f"oci:{layout.path}"}))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "layout"))
    layout.set_tags({"docker.io/library/x:1": put_release(layout.blobs)})
    return layout


def test_an_image_is_found_by_full_name_tag_digest_and_own_name(layout: Layout) -> None:
    top = layout.tags()["docker.io/library/x:1"]
    found = images(layout).image(parse_image_name("x:1"), AMD64)
    assert found.digest == top.digest
    assert len(found.layers) == len(found.settings.diff_ids)
    for name in (f"x@{top.digest}", f"x:9@{top.digest}"):
        assert images(layout).image(parse_image_name(name), AMD64) == found
    layout.set_tags({"2": top}, remove=["docker.io/library/x:1"])
    assert images(layout).current(parse_image_name("x:2")) == top.digest
    assert images(layout, f"oci:{layout.path}:2").current(parse_image_name("x:7")) == top.digest
    with pytest.raises(UnavailableError) as caught:
        images(layout).current(parse_image_name("x:3"))
    assert (caught.value.code, caught.value.hint) == ("O134", "It has: 2.")


def test_a_platform_that_is_not_there_is_told_with_those_that_are(layout: Layout) -> None:
    with pytest.raises(UnavailableError, match="it has linux/amd64") as caught:
        images(layout).image(parse_image_name("x:1"), Platform("linux/amd64/v9x"))
    assert caught.value.code == "O131"


def changed(layout: Layout, part: str, change: dict[str, Any]) -> Images:
    """Puts an image whose index, manifest or config says something else under the tag."""

    def put(data: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
        digest = layout.put_blob(json.dumps(data).encode())
        return {**old, "digest": digest, "size": layout.blobs.size(digest)}

    def read(entry: dict[str, Any]) -> dict[str, Any]:
        return json.loads(layout.read(Digest(entry["digest"])))  # type: ignore[no-any-return]

    index = json.loads(layout.read(layout.tags()["docker.io/library/x:1"].digest))
    entry = next(e for e in index["manifests"] if e["platform"]["architecture"] == "amd64")
    manifest = read(entry)
    config = read(manifest["config"])
    if part == "config":
        manifest["config"] = put({**config, **change}, manifest["config"])
    manifest = {**manifest, **(change if part == "manifest" else {})}
    entry = {**put(manifest, entry), **(change if part == "entry" else {})}
    data = json.dumps({**index, "manifests": [entry]}).encode()
    layout.put_blob(data)
    layout.set_tags({"docker.io/library/x:1": descriptor_of(data, INDEX)})
    return images(layout)


LAYER = {"mediaType": "text/plain", "digest": "sha256:" + "0" * 64, "size": 1}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("config", {"architecture": "arm64"}, "O131"),
    ("config", {"architecture": "s390x"}, "O131"),
    ("config", {"rootfs": {"type": "layers", "diff_ids": []}}, "O132"),
    ("config", {"rootfs": {"type": "layers", "diff_ids": ["x"]}}, "O004"),
    ("config", {"config": {"Env": ["x"]}}, "O004"),
    ("manifest", {"layers": [LAYER] * 2}, "O132"),
    ("manifest", {"layers": [LAYER] * 1001}, "O004"),
    ("manifest", {"schemaVersion": 1}, "O005"),
    ("entry", {"digest": "sha256:" + "0" * 64}, "O050"),
    ("entry", {"size": 3}, "O133"),
]


@pytest.mark.parametrize(("part", "change", "code"), BAD)
def test_documents_that_do_not_fit_each_other_are_refused(
    part: str, change: dict[str, Any], code: str, layout: Layout
) -> None:
    with pytest.raises((IntegrityError, UnavailableError)) as caught:
        changed(layout, part, change).image(parse_image_name("x:1"), AMD64)
    assert caught.value.code == code


def test_a_config_that_is_no_image_or_too_large_is_refused(layout: Layout) -> None:
    for config in (
        Descriptor(media_type="text/plain", digest=layout.put_blob(b"{}"), size_bytes=2),
        Descriptor(
            media_type="application/vnd.oci.image.config.v1+json",
            digest=layout.put_blob(b"{ }"),
            size_bytes=1 << 40,
        ),
    ):
        found = changed(layout, "manifest", {"config": config.to_json()})
        with pytest.raises(SsdsError) as caught:
            found.image(parse_image_name("x:1"), AMD64)
        assert caught.value.code == "O132"
