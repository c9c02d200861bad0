"""Manifests, indexes and configs: what is written is read back; what is hostile is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.document import DOCUMENT_LIMIT_BYTES

D = "sha256:" + "a" * 64
GOOD_DESCRIPTOR = {"mediaType": types.CONFIG, "digest": D, "size": 3}
GOOD_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": types.MANIFEST,
    "config": GOOD_DESCRIPTOR,
    "layers": [{"mediaType": types.LAYER_GZIP, "digest": D, "size": 5}],
}


def changed(**more: object) -> bytes:
    return json.dumps({**GOOD_MANIFEST, **more}).encode()


def in_config(**more: object) -> bytes:
    return changed(config={**GOOD_DESCRIPTOR, **more})


BAD_MANIFESTS = [
    ("no JSON", b"{", "O002"),
    ("cut", changed()[:-5], "O002"),
    ("not UTF-8", b'{"a": "\xff"}', "O002"),
    ("a byte order mark", b"\xef\xbb\xbf" + changed(), "O002"),
    ("NaN", b'{"schemaVersion": NaN}', "O002"),
    ("a number of 5000 digits", b'{"schemaVersion": ' + b"9" * 5000 + b"}", "O002"),
    ("too large", b" " * (DOCUMENT_LIMIT_BYTES + 1), "O001"),
    ("a key twice", b'{"schemaVersion": 2, "schemaVersion": 2}', "O003"),
    ("deep nesting", b"[" * 100_000, "O004"),
    ("a hidden deep nesting", changed(annotations=json.loads("[" * 90 + "]" * 90)), "O004"),
    ("a list", b"[]", "O004"),
    ("null", b"null", "O004"),
    ("no version", json.dumps({"config": GOOD_DESCRIPTOR, "layers": []}).encode(), "O004"),
    ("version 1", changed(schemaVersion=1), "O005"),
    ("version true", changed(schemaVersion=True), "O004"),
    ("another media type", changed(mediaType="text/html"), "O005"),
    ("an index's media type", changed(mediaType=types.INDEX), "O005"),
    ("index and manifest at once", changed(manifests=[]), "O004"),
    ("no config", changed(config=None), "O004"),
    ("no layers", changed(layers=None), "O004"),
    ("layers as a map", changed(layers={}), "O004"),
    ("1001 layers", changed(layers=[GOOD_DESCRIPTOR] * 1001), "O004"),
    ("config as text", changed(config="x"), "O004"),
    ("no digest", in_config(digest=None), "O004"),
    ("a bad digest", in_config(digest="sha256:zz"), "O004"),
    ("an upper-case digest", in_config(digest="sha256:" + "A" * 64), "O004"),
    ("a path as digest", in_config(digest="../../etc/passwd"), "O004"),
    ("a blake3 digest", in_config(digest="blake3:" + "a" * 64), "O004"),
    ("a number as digest", in_config(digest=3), "O004"),
    ("no size", in_config(size=None), "O004"),
    ("a negative size", in_config(size=-1), "O004"),
    ("a huge size", in_config(size=1 << 80), "O004"),
    ("a size as text", in_config(size="3"), "O004"),
    ("a size with a fraction", in_config(size=3.5), "O004"),
    ("a media type with a newline", in_config(mediaType="a/b\nc"), "O004"),
    ("a NUL in an annotation", changed(annotations={"a": "b\0c"}), "O004"),
    ("a number in an annotation", changed(annotations={"a": 3}), "O004"),
    ("a platform without architecture", in_config(platform={"os": "linux"}), "O004"),
    ("a subject without digest", changed(subject={"mediaType": types.MANIFEST}), "O004"),
]


@pytest.mark.parametrize(("name", "data", "code"), BAD_MANIFESTS, ids=[b[0] for b in BAD_MANIFESTS])
def test_a_bad_manifest_is_refused_with_its_reason(name: str, data: bytes, code: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        types.parse_manifest(data, "manifest of probe")
    assert caught.value.code == code
    assert "manifest of probe" in caught.value.message
    assert caught.value.hint


def test_the_error_names_the_path_inside_the_document() -> None:
    data = changed(layers=[GOOD_DESCRIPTOR, {**GOOD_DESCRIPTOR, "size": "x"}])
    with pytest.raises(IntegrityError, match=r"layers\[1\]\.size: expected a whole number"):
        types.parse_manifest(data)


BAD_CONFIGS = [
    ("no rootfs", {"os": "linux", "architecture": "amd64"}),
    ("another rootfs", {"os": "linux", "architecture": "amd64", "rootfs": {"type": "x"}}),
    ("no platform", {"rootfs": {"type": "layers", "diff_ids": []}}),
    (
        "a bad diffID",
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ["x"]}},
    ),
    (
        "a variable without a name",
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers"},
            "config": {"Env": ["=x"]},
        },
    ),
    (
        "an entry point as text",
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers"},
            "config": {"Entrypoint": "sh"},
        },
    ),
]


@pytest.mark.parametrize(("name", "value"), BAD_CONFIGS, ids=[b[0] for b in BAD_CONFIGS])
def test_a_bad_config_is_refused(name: str, value: object) -> None:
    with pytest.raises(IntegrityError):
        types.parse_config(json.dumps(value).encode())


@pytest.mark.parametrize("data", [changed(), b"{}", json.dumps({"manifests": {}}).encode()])
def test_a_bad_index_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        types.parse_index(data)


def test_docker_documents_are_read_with_their_nulls() -> None:
    manifest = types.parse_manifest(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": types.DOCKER_MANIFEST,
                "config": {"mediaType": types.DOCKER_CONFIG, "digest": D, "size": 3},
                "layers": [{"mediaType": types.DOCKER_LAYER_GZIP, "digest": D, "size": 5}],
            }
        ).encode()
    )
    assert manifest.media_type == types.DOCKER_MANIFEST
    config = types.parse_config(
        json.dumps(
            {
                "os": "linux",
                "architecture": "arm64",
                "variant": "v8",
                "created": "2023-11-14T22:13:20.123456789Z",
                "config": {"Env": ["A=b=c", "A=d"], "Entrypoint": None, "Labels": None},
                "rootfs": {"type": "layers", "diff_ids": [D]},
            }
        ).encode()
    )
    assert config.platform == Platform("linux/arm64")
    assert config.environment == {"A": "d"}
    assert config.created == 1_700_000_000
    assert config.entrypoint == ()


def test_a_platform_that_is_not_known_is_kept_as_text() -> None:
    entry = {**GOOD_DESCRIPTOR, "platform": {"os": "linux", "architecture": "s390x"}}
    index = types.parse_index(json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
    assert index.manifests[0].platform is None
    assert index.manifests[0].foreign_platform == "linux/s390x"
    assert index.manifests[0].to_json()["platform"] == entry["platform"]


def test_the_config_writer_gives_golden_bytes() -> None:
    data = types.config_bytes(
        platform=Platform("linux/amd64"),
        diff_ids=[Digest(D)],
        created=1_700_000_000,
        environment={"B": "2", "A": "1"},
        working_folder="/data",
        user="worker",
        entrypoint=["/bin/sh", "-c"],
        labels={"b": "2", "a": "1"},
        history=["apt samtools"],
    )
    assert sha256_of(data) == (
        "sha256:9b44e453af8dda6fb0a9ee480d31f5987863a7aa59fc868452d2694fbb41c566"
    )
    assert json.loads(data)["created"] == "2023-11-14T22:13:20Z"


def test_a_history_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidValue):
        types.config_bytes(
            platform=Platform("linux/amd64"), diff_ids=[], created=0, history=["one"]
        )


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.text("ABCdef_09", min_size=1, max_size=8)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda h: Digest("sha256:" + h))


@given(
    environment=st.dictionaries(names, text, max_size=4),
    labels=st.dictionaries(names, text, max_size=4),
    diff_ids=st.lists(digests, max_size=4),
    created=st.integers(0, 2**33),
    entrypoint=st.lists(text, max_size=3),
    platform=st.sampled_from(["linux/amd64", "linux/arm64", "linux/amd64/v3"]),
    user=text,
    folder=text,
)
def test_a_config_is_read_back_as_it_was_written(
    environment: dict[str, str],
    labels: dict[str, str],
    diff_ids: list[Digest],
    created: int,
    entrypoint: list[str],
    platform: str,
    user: str,
    folder: str,
) -> None:
    data = types.config_bytes(
        platform=Platform(platform),
        diff_ids=diff_ids,
        created=created,
        environment=environment,
        labels=labels,
        entrypoint=entrypoint,
        user=user,
        working_folder=folder,
    )
    assert types.parse_config(data) == types.Config(
        platform=Platform(platform),
        diff_ids=tuple(diff_ids),
        created=created,
        environment=environment,
        labels=labels,
        entrypoint=tuple(entrypoint),
        user=user,
        working_folder=folder,
    )


descriptors = st.builds(
    types.Descriptor,
    media_type=st.sampled_from([types.CONFIG, types.LAYER_GZIP, types.MANIFEST]),
    digest=digests,
    size_bytes=st.integers(0, 1 << 50),
    platform=st.none() | st.sampled_from([Platform("linux/amd64"), Platform("linux/arm64")]),
    annotations=st.dictionaries(names, text, max_size=3),
    artifact_type=st.sampled_from(["", "application/x"]),
)


@given(
    config=descriptors,
    layers=st.lists(descriptors, max_size=3),
    annotations=st.dictionaries(names, text, max_size=3),
    subject=st.none() | descriptors,
)
def test_manifests_and_indexes_are_read_back_as_they_were_written(
    config: types.Descriptor,
    layers: list[types.Descriptor],
    annotations: dict[str, str],
    subject: types.Descriptor | None,
) -> None:
    data = types.manifest_bytes(
        config=config, layers=layers, annotations=annotations, subject=subject
    )
    assert types.parse_manifest(data) == types.Manifest(
        config=config, layers=tuple(layers), annotations=annotations, subject=subject
    )
    data = types.index_bytes(layers, annotations=annotations)
    assert types.parse_index(data) == types.Index(manifests=tuple(layers), annotations=annotations)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    for parse in (types.parse_manifest, types.parse_index, types.parse_config):
        with pytest.raises(IntegrityError):
            parse(data)
