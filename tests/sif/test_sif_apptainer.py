"""SIF files in real Apptainer, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from apptainer_box import apptainer
from ship_makers import root_tar, script, small_tar

from ssds.core.digest import sha256_of
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.compress import compress_chunks
from ssds.sif.image import write_sif

pytestmark = pytest.mark.component("apptainer")
GREETING = 'it\'s $HOME `x` \\ "q"'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A folder that every user can enter, with ``x.sif``."""
    where = Path("/var/tmp") / f"ssds-sif-{os.getpid()}"
    where.mkdir(mode=0o755)
    blobs = Blobs(str(tmp_path_factory.mktemp("blobs")))
    tars = [root_tar(), small_tar({"usr/bin/words": script('printf "%s|" "$@"')})]
    packed = [b"".join(compress_chunks(iter([tar]))) for tar in tars]
    for data in packed:
        blobs.put(data)
    config = types.config_bytes(
        platform=Platform("linux/amd64"),
        diff_ids=[sha256_of(tar) for tar in tars],
        created=1_700_000_000,
        environment={"PATH": "/usr/bin:/bin", "GREETING": GREETING},
        entrypoint=["words", "first one"],
        command=["second  one"],
        labels={"org.opencontainers.image.title": "probe"},
    )
    blobs.put(config)
    manifest = types.manifest_bytes(
        config=types.descriptor_of(config, types.CONFIG),
        layers=[types.descriptor_of(data, types.LAYER_GZIP) for data in packed],
    )
    with (where / "x.sif").open("w+b") as file:
        write_sif(blobs, blobs.put(manifest), file, str(tmp_path_factory.mktemp("scratch")))
    yield str(where)
    shutil.rmtree(where)


@pytest.fixture(params=[0, 54321], ids=["root", "user"])
def user(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def out(verb: str, *arguments: str, place: str, user: int, **environment: str) -> str:
    done = apptainer(verb, *arguments, folder=place, user=user, **environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_exec_sees_the_images_files_and_environment(place: str, user: int) -> None:
    text = 'printf "%s\\n" "$GREETING"; id -u; ls -d /.singularity.d/libs'
    found = out("exec", "x.sif", "sh", "-c", text, place=place, user=user)
    assert found == f"{GREETING}\n{user}\n/.singularity.d/libs\n"


def test_the_image_wins_over_the_caller_and_apptainers_own_words_win_over_both(
    place: str, user: int
) -> None:
    show = ("x.sif", "sh", "-c", 'echo "$GREETING"')
    assert out("exec", *show, place=place, user=user, GREETING="callers") == f"{GREETING}\n"
    assert out("exec", *show, place=place, user=user, APPTAINERENV_GREETING="mine") == "mine\n"


def test_run_starts_the_entrypoint_with_the_command_or_the_callers_words(
    place: str, user: int
) -> None:
    assert out("run", "x.sif", place=place, user=user) == "first one|second  one|"
    assert out("run", "x.sif", "a  b", "$c", place=place, user=user) == "first one|a  b|$c|"


def test_a_path_that_the_caller_appends_is_searched(place: str, user: int) -> None:
    found = out(
        "exec", "x.sif", "sh", "-c", "echo $PATH", place=place, user=user,
        APPTAINERENV_APPEND_PATH="/added", APPTAINERENV_PREPEND_PATH="/before",
    )  # fmt: skip
    assert found.startswith("/before:/usr/bin:/bin")
    assert found.endswith(":/added\n")


def test_inspect_tells_labels_runscript_and_environment(place: str) -> None:
    found = json.loads(out("inspect", "--all", "--json", "x.sif", place=place, user=0))
    told = found["data"]["attributes"]
    assert told["labels"]["org.opencontainers.image.title"] == "probe"
    assert "words" in told["runscript"]
    assert "GREETING" in told["environment"]["/.singularity.d/env/10-docker2singularity.sh"]
    assert "bootstrap: docker" in told["deffile"]


def test_test_succeeds_where_an_image_has_none(place: str) -> None:
    out("test", "x.sif", place=place, user=0)


def test_apptainer_lists_the_parts(place: str) -> None:
    found = out("sif", "list", "x.sif", place=place, user=0)
    assert "FS (Squashfs/*System/amd64)" in found
    for name in ("Def.FILE", "JSON.Labels", "JSON.Generic"):
        assert name in found


def test_the_image_is_read_only_and_the_callers_folder_is_not(place: str) -> None:
    done = apptainer("exec", "x.sif", "sh", "-c", "touch /new", folder=place)
    assert done.returncode != 0
    out("exec", "--bind", place, "x.sif", "touch", f"{place}/new", place=place, user=0)
    assert (Path(place) / "new").exists()
