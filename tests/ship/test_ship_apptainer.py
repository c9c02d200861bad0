"""Wrappers with real Apptainer: what their stand-in in the other tests cannot know."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import pytest
from apptainer_box import run_boxed
from ship_makers import site, tool_lock

from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

pytestmark = pytest.mark.component("apptainer")
USER = 54321


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A folder with a deployed tree and one of an ordinary user, ``work``."""
    where = f"/var/tmp/ssds-wrappers-{os.getpid()}"
    os.mkdir(where, 0o755)
    blobs = Blobs(str(tmp_path_factory.mktemp("blobs")))
    deploy(site(runtimes=("apptainer",)), [tool_lock(blobs)], blobs, f"{where}/tree")
    os.mkdir(f"{where}/work", 0o755)
    os.chown(f"{where}/work", USER, USER)
    yield where
    shutil.rmtree(where)


def wrapped(
    place: str, command: str, *arguments: str, folders: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return run_boxed(
        [f"{place}/tree/sites/example/wrappers/tool/1.0-r1/bin/{command}", *arguments],
        folders=[place, *folders],
        cwd=f"{place}/work",
        user=USER,
        environment=environment,
        stdin=b"from outside",
    )


def test_arguments_reach_the_program_as_they_are(place: str) -> None:
    arguments = ["a b", "*", "'", '"', "\\", "", "$HOME", "-x", "ü"]
    done = wrapped(place, "tool", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == "".join(f"{a}\n" for a in arguments)


def test_the_working_folder_is_seen_and_files_are_the_callers(place: str) -> None:
    done = wrapped(place, "show", "pwd; id -u; echo made >new")
    assert done.stdout.decode() == f"{place}/work\n{USER}\n", done.stderr.decode()
    assert os.stat(os.path.join(place, "work", "new")).st_uid == USER


def test_the_images_variables_win_and_defaults_do_not(place: str) -> None:
    text = 'printf "%s\\n" "$IMAGE_VALUE" "$TOOL_DATA" "$MINE"'
    mine = {"IMAGE_VALUE": "callers", "TOOL_DATA": "callers", "MINE": "kept"}
    done = wrapped(place, "show", text, **mine)
    assert done.stdout.decode() == "from the image's $HOME\ncallers\nkept\n", done.stderr.decode()
    assert wrapped(place, "show", text).stdout.decode().splitlines()[1] == "/opt/data"


def test_input_and_exit_code_are_the_programs(place: str) -> None:
    assert wrapped(place, "cat").stdout == b"from outside"
    assert wrapped(place, "false").returncode == 1
    assert wrapped(place, "show", "exit 7").returncode == 7


def test_a_program_calls_its_sibling_by_the_wrapper(place: str) -> None:
    wrappers = f"{place}/tree/sites/example/wrappers/tool/1.0-r1/bin"
    done = wrapped(place, "sibling", "x", TOOL_WRAPPERS=wrappers, SSDS_BINDS=f"{place}/tree")
    assert done.stdout == b"inner\nx\n", done.stderr.decode()


def test_a_folder_that_the_caller_names_is_bound(place: str) -> None:
    os.makedirs(f"{place}/data", exist_ok=True)
    with open(f"{place}/data/file", "w", encoding="utf-8") as file:
        file.write("bound")
    binds = f"{place}/data:/mnt/data:ro"
    done = wrapped(place, "show", "cat /mnt/data/file; echo x >/mnt/data/y", SSDS_BINDS=binds)
    assert done.stdout == b"bound", done.stderr.decode()
    assert done.returncode != 0


@pytest.mark.parametrize("value", ["$(id)", "`id`", 'a "b" c', "back\\slash", "it's", "$$", "a\nb"])
def test_a_variables_text_is_never_evaluated(place: str, value: str) -> None:
    done = wrapped(place, "show", 'printf "%s|" "$TOOL_DATA"', TOOL_DATA=value)
    assert done.stdout.decode() == f"{value}|", done.stderr.decode()
