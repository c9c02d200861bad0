"""SIF files: the container, what runtimes need in it, and hostile images."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oci_makers import entry, folder, link, put_image, tar_bytes

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.flatten import FlatTree, flatten
from ssds.oci.types import Config
from ssds.sif.container import DEFINITION, JSON, LABELS, PARTITION, Container, read_container
from ssds.sif.image import write_sif
from ssds.sif.runtime import environment_script, quoted, runscript, runtime_layer

EPOCH = 1_700_000_000


def sif(tmp_path: Path, *layers: bytes, platform: str = "linux/amd64") -> tuple[Container, bytes]:
    blobs = Blobs(str(tmp_path / "blobs"))
    image = put_image(blobs, platform, layers)
    return written(blobs, image.digest, tmp_path)


def written(blobs: Blobs, manifest: Digest, tmp_path: Path) -> tuple[Container, bytes]:
    folder = tmp_path / "scratch"
    folder.mkdir()
    with (tmp_path / "out.sif").open("w+b") as file:
        report = write_sif(blobs, manifest, file, str(folder))
    data = (tmp_path / "out.sif").read_bytes()
    assert report.digest.hex == hashlib.sha256(data).hexdigest()
    assert report.size_bytes == len(data)
    return read_container(io.BytesIO(data)), data


def config(**more: object) -> Config:
    return Config(platform=None, diff_ids=(), **more)  # type: ignore[arg-type]


def shown(tmp_path: Path, entries: Sequence[object], given: Config | None = None) -> FlatTree:
    """The tree of an image with the runtime's layer on top."""
    below, above = tmp_path / "below.tar", tmp_path / "above.tar"
    below.write_bytes(tar_bytes(entries))  # type: ignore[arg-type]
    tree = flatten([str(below)])
    above.write_bytes(runtime_layer(tree, given or config(), {}, epoch=EPOCH))
    return flatten([str(below), str(above)])


def test_a_sif_holds_definition_labels_config_and_a_squashfs(tmp_path: Path) -> None:
    found, data = sif(tmp_path, tar_bytes([entry("a")]))
    assert found.architecture == "amd64"
    assert found.created == EPOCH
    assert [p.type for p in found.parts] == [DEFINITION, LABELS, JSON, JSON, PARTITION]
    assert all(p.offset % 4096 == 0 for p in found.parts)
    partition = found.parts[-1]
    assert struct.unpack("<ii2s", partition.extra) == (1, 2, b"02")
    assert data[partition.offset :][:4] == b"hsqs"
    assert partition.offset + partition.size_bytes == len(data)


@pytest.mark.parametrize(
    ("platform", "name"), [("linux/arm64", "arm64"), ("linux/amd64/v3", "amd64")]
)
def test_the_architecture_stands_in_the_head(tmp_path: Path, platform: str, name: str) -> None:
    found, _ = sif(tmp_path, tar_bytes([entry("a")]), platform=platform)
    assert found.architecture == name


def test_the_same_image_gives_the_same_file_from_plain_and_compressed_layers(
    tmp_path: Path,
) -> None:
    tar = tar_bytes([folder("usr"), entry("usr/tool", content=b"x" * 9000, mode=0o755)])
    results = []
    for name in ("packed", "plain"):
        where = tmp_path / name
        where.mkdir()
        blobs = Blobs(str(where / "blobs"))
        image = put_image(blobs, "linux/amd64", [tar])
        if name == "plain":
            blobs.put(tar)
        results.append(written(blobs, image.digest, where)[1])
    assert results[0] == results[1]


def test_another_image_has_another_identifier(tmp_path: Path) -> None:
    ids = set()
    for number in range(2):
        where = tmp_path / str(number)
        where.mkdir()
        ids.add(sif(where, tar_bytes([entry("a", content=b"%d" % number)]))[0].uuid)
    assert len(ids) == 2


def test_an_image_whose_layer_is_not_here_is_told(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    image = put_image(blobs, "linux/amd64", [tar_bytes([entry("a")])])
    blobs.remove(types.parse_manifest(blobs.read(image.digest)).layers[0].digest)
    with pytest.raises(UnavailableError):
        written(blobs, image.digest, tmp_path)


def test_a_layer_that_is_not_its_diff_id_is_refused(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    one = put_image(blobs, "linux/amd64", [tar_bytes([entry("a")])])
    two = put_image(blobs, "linux/amd64", [tar_bytes([entry("b")])])
    config_of_one = types.parse_manifest(blobs.read(one.digest)).config
    layers = types.parse_manifest(blobs.read(two.digest)).layers
    mixed = blobs.put(types.manifest_bytes(config=config_of_one, layers=layers))
    with pytest.raises(IntegrityError) as caught:
        written(blobs, mixed, tmp_path)
    assert caught.value.code == "O126"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"architecture": "riscv64"}, "O124"),
        ({"rootfs": {"type": "layers", "diff_ids": []}}, "O125"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    tmp_path: Path, changes: Mapping[str, object], code: str
) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    image = put_image(blobs, "linux/amd64", [tar_bytes([entry("a")])])
    manifest = types.parse_manifest(blobs.read(image.digest))
    import json

    data = canonical_bytes({**json.loads(blobs.read(manifest.config.digest)), **changes})
    blobs.put(data)
    other = types.manifest_bytes(
        config=types.descriptor_of(data, types.CONFIG), layers=manifest.layers
    )
    with pytest.raises(IntegrityError) as caught:
        written(blobs, blobs.put(other), tmp_path)
    assert caught.value.code == code


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_container_is_refused_or_read_never_more(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = tmp_path_factory.getbasetemp() / "damaged.sif"
    if not where.exists():
        folder = tmp_path_factory.mktemp("damaged")
        where.write_bytes(sif(folder, tar_bytes([entry("a")]))[1])
    raw = bytearray(where.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _ in range(data.draw(st.integers(0, 3))):
        if raw:
            raw[data.draw(st.integers(0, min(len(raw), 8000) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_container(io.BytesIO(bytes(raw)))
    except IntegrityError:
        return
    assert all(p.offset + p.size_bytes <= len(raw) for p in found.parts)


HOSTILE = {
    "the folder is a link to another place": [folder("etc"), link(".singularity.d", "etc")],
    "the folder is a file": [entry(".singularity.d", content=b"mine")],
    "a script is a folder": [folder(".singularity.d"), folder(".singularity.d/runscript")],
    "a script is a link": [folder("etc"), entry("etc/passwd", content=b"root"),
                           folder(".singularity.d"),
                           link(".singularity.d/runscript", "/etc/passwd")],
    "what is linked is a folder": [folder("singularity"), entry("singularity/x")],
    "the bind points loop": [link("var", "tmp"), link("tmp", "var")],
    "the bind points lead nowhere": [link("etc", "/not/there"), link("home", "../../..")],
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_the_runtimes_files_are_ours_in_every_image(tmp_path: Path, case: str) -> None:
    tree = shown(tmp_path, HOSTILE[case])
    script = tree.get(".singularity.d/runscript")
    assert script is not None
    assert (script.type, script.mode) == ("file", 0o755)
    assert tree.read(".singularity.d/runscript", 4096).startswith(b"#!/bin/sh\n")
    assert tree.get("singularity").target == ".singularity.d/runscript"  # type: ignore[union-attr]
    if tree.get("etc/passwd") and case == "a script is a link":
        assert tree.read("etc/passwd", 10) == b"root"


def test_what_an_image_has_of_bind_points_stays(tmp_path: Path) -> None:
    tree = shown(
        tmp_path, [folder("etc"), entry("etc/hosts", content=b"own"), folder("tmp", mode=0o700)]
    )
    assert tree.read("etc/hosts", 10) == b"own"
    assert tree.get("tmp").mode == 0o700  # type: ignore[union-attr]
    assert tree.get("var/tmp").mode == 0o1777  # type: ignore[union-attr]
    assert tree.get("etc/passwd").size_bytes == 0  # type: ignore[union-attr]


def test_only_sound_variables_are_set_and_none_of_the_hosts() -> None:
    text = environment_script(
        config(environment={"A": "1", "A-B": "2", "HOME": "/x", "X;rm": "3", "Z": "a\nb"})
    )
    assert text.splitlines()[1:] == ['export A="1"', 'export Z="a', 'b"']


@pytest.mark.parametrize("shell", ["sh", "bash"])
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_a_quoted_text_is_one_word_that_is_the_text(shell: str, text: str) -> None:
    import subprocess

    done = subprocess.run(
        [shell, "-c", f"printf '%s|' {quoted(text)} end"], capture_output=True, check=True
    )
    assert done.stdout == f"{text}|end|".encode()


@pytest.mark.parametrize(
    ("entrypoint", "command", "arguments", "ran"),
    [
        (("printf", "%s|"), ("a b",), (), "a b|"),
        (("printf", "%s|"), ("a b",), ("c", "d e"), "c|d e|"),
        ((), ("printf", "%s|", "$x"), (), "$x|"),
        ((), ("false",), ("printf", "%s|", "mine"), "mine|"),
        (("printf", "%s|", "only"), (), (), "only|"),
        ((), (), ("printf", "bare"), "bare"),
    ],
)
def test_run_does_what_entrypoint_and_command_say(
    entrypoint: tuple[str, ...], command: tuple[str, ...], arguments: tuple[str, ...], ran: str
) -> None:
    import subprocess

    text = runscript(config(entrypoint=entrypoint, command=command))
    done = subprocess.run(["sh", "-c", text, "sh", *arguments], capture_output=True, check=True)
    assert done.stdout.decode() == ran
