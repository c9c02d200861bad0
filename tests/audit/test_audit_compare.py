"""Two images are compared level by level; what normalisation removes is no difference of files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ssds.audit.compare import compare
from ssds.audit.model import Comparison, Image
from ssds.core.digest import Digest

EPOCH = 1_000_000
File = tuple[str, bytes, dict[str, int]]
Make = Callable[..., Image]


def digest(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


@pytest.fixture
def image(tmp_path: Path) -> Make:
    """Makes images whose layers are written by the standard library."""

    def make(*layers: Sequence[File], config: dict | None = None, packed: bytes = b"") -> Image:
        tars, ids = [], []
        for files in layers:
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name, data, more in files:
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime, info.mode = len(data), EPOCH, 0o644
                    for field, value in more.items():
                        setattr(info, field, value)
                    tar.addfile(info, io.BytesIO(data))
            ids.append(digest(buffer.getvalue()))
            tars.append(str(tmp_path / ids[-1].hex))
            Path(tars[-1]).write_bytes(buffer.getvalue())
        own = config or {"config": {"Env": ["A=1"]}}
        text = json.dumps({**own, "rootfs": {"diff_ids": [str(i) for i in ids]}}).encode()
        return Image(
            manifest=digest(text + packed),
            config=digest(text),
            diff_ids=tuple(ids),
            tars=tuple(tars),
            config_bytes=text,
        )

    return make


def judged(first: Image, second: Image) -> Comparison:
    return compare(first, second, epoch=EPOCH)


def test_the_same_manifest_is_identical(image: Make) -> None:
    one = image([("a", b"x", {})])
    assert judged(one, one).result == "identical"


def test_entries_in_another_order_with_later_times_are_the_same_after_normalisation(image) -> None:
    first = image([("a", b"x", {}), ("b", b"y", {})])
    second = image([("b", b"y", {"mtime": EPOCH + 9}), ("a", b"x", {})])
    found = judged(first, second)
    assert (found.result, found.level, found.files) == ("normalised", "layers", ())


def test_what_layers_leave_out_does_not_count(image: Make) -> None:
    first = image([("a", b"x", {})])
    found = judged(first, image([("a", b"x", {}), ("var/log/dpkg.log", b"today", {})]))
    assert found.result == "normalised"


def test_files_split_over_other_layers_are_the_same_files(image: Make) -> None:
    found = judged(
        image([("a", b"x", {}), ("b", b"y", {})]), image([("a", b"x", {})], [("b", b"y", {})])
    )
    assert (found.result, found.level) == ("normalised", "layers")


def test_other_compression_differs_at_the_manifest_only(image: Make) -> None:
    found = judged(image([("a", b"x", {})]), image([("a", b"x", {})], packed=b"other"))
    assert (found.result, found.level) == ("normalised", "manifest")


def test_another_environment_differs_at_the_config_and_is_named(image: Make) -> None:
    other = image([("a", b"x", {})], config={"config": {"Env": ["A=2"]}})
    found = judged(image([("a", b"x", {})]), other)
    assert (found.result, found.level) == ("differs", "config")
    assert "config.Env" in found.note


@pytest.mark.parametrize(
    ("before", "after", "cause", "what"),
    [
        (("f", b"x", {}), ("f", b"x", {"mtime": 5}), "timestamps", "file time"),
        (("f", b"x", {}), ("f", b"x", {"mode": 0o600}), "content", "mode 644 became 600"),
        (("f", b"x", {}), ("f", b"x", {"uid": 7}), "content", "uid 0 became 7"),
        (("f", b"x", {}), ("g", b"x", {}), "content", "only in the released image"),
        (("f", b"a\nb\nc\n", {}), ("f", b"c\nb\na\n", {}), "order", "content"),
    ],
)
def test_each_differing_path_is_named_with_its_cause(image, before, after, cause, what) -> None:
    found = judged(image([before]), image([after]))
    assert (found.result, found.level) == ("differs", "tree")
    assert (found.files[0].path, found.files[0].cause, found.files[0].what) == ("f", cause, what)


@pytest.mark.parametrize(
    ("before", "after", "cause", "explained"),
    [
        ({"user.note": "1"}, {}, "attributes", "docker-attributes"),
        ({"user.note": "1", "user.more": "2"}, {"user.more": "2"}, "attributes", ""),
        ({}, {"user.note": "1"}, "attributes", ""),
        ({"security.capability": "c"}, {}, "attributes", ""),
    ],
)
def test_lost_user_attributes_are_what_a_docker_engine_explains(
    image, before, after, cause, explained
) -> None:
    def file(data: bytes, values: dict[str, str]) -> File:
        return "f", data, {"pax_headers": {f"SCHILY.xattr.{k}": v for k, v in values.items()}}

    found = judged(image([file(b"x", before)]), image([file(b"x", after)]))
    assert (found.causes, found.explained("docker")) == ((cause,), explained)
    assert found.explained("buildah") == ""
    other = judged(image([file(b"x", before)]), image([file(b"y", after)]))
    assert (other.causes, other.explained("docker")) == (("content",), "")


def test_the_owner_is_the_package_whose_list_names_the_path(image: Make) -> None:
    listed = ("var/lib/dpkg/info/tool.list", b"/.\n/usr\n/usr/tool\n", {})
    first = image([listed, ("usr/tool", b"1", {}), ("usr/own", b"1", {})])
    second = image([listed, ("usr/tool", b"2", {}), ("usr/own", b"2", {})])
    assert {f.path: f.owner for f in judged(first, second).files} == {
        "usr/tool": "package tool",
        "usr/own": "layer 1",
    }


def test_without_the_released_bytes_only_digests_are_compared_and_that_is_said(image) -> None:
    first = image([("a", b"x", {})])
    bare = Image(manifest=first.manifest, config=first.config, diff_ids=first.diff_ids)
    found = judged(bare, image([("a", b"y", {})]))
    assert (found.result, found.level, found.bytes_compared) == ("differs", "layers", False)
    assert "only digests" in found.note
