"""What is rendered for a recipe that uses everything, word for word."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ssds.render.apptainer import apptainer
from ssds.render.dockerfile import dockerfile
from ssds.render.model import Act, Rendered

GOLDENS = Path(__file__).parent / "goldens"
FIXED = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1700000000"}
ODD = """it's "odd" $HOME \\ and `so`"""
WHOLE = Rendered(
    release="tool@1.0",
    platform="linux/amd64",
    base_name="debian-12@20260711",
    acts=(
        Act(
            title="build[0] apt",
            script="apt-get install -- 'bwa=0.7'\n",
            environment=FIXED,
            binds={"/run/ssds/packages": "0/packages"},
        ),
        Act(title="build[1] tools", script="true\n", environment=FIXED, note="A note."),
        Act(
            title="build[1] run",
            script="cat <<'X' > \"$HOME/a\"\n$1\n%post\nX\n",
            environment={**FIXED, "ODD": ODD},
            binds={
                "/run/ssds/sources/b": "2/b",
                "/run/ssds/sources/a": "2/a",
            },
            user="alice",
            working_folder="/srv/my data",
        ),
        Act(title="build[2] run", script="curl x\n", user="1234:77", network=True),
    ),
    environment={"PATH": "/usr/bin:/bin", "ODD": ODD},
    user="alice",
    working_folder="/srv",
    entrypoint=("tool", "--with space", "it's"),
    labels={"b": ODD, "a": "1"},
)


@pytest.mark.parametrize(("name", "write"), [("dockerfile", dockerfile), ("apptainer", apptainer)])
def test_a_recipe_that_uses_everything_is_written_word_for_word(name, write) -> None:
    golden = GOLDENS / name
    text = write(WHOLE)
    if os.environ.get("SSDS_UPDATE_GOLDENS"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_another_image_as_base_needs_no_tar() -> None:
    based = replace(WHOLE, base="localhost/base:1")
    assert "\nFROM localhost/base:1\n" in dockerfile(based)
    assert "base.tar" not in dockerfile(based)
    assert apptainer(based).startswith("Bootstrap: docker\nFrom: localhost/base:1\n")
    assert "base.tar" not in apptainer(based)


def test_an_offline_recipe_says_that_it_needs_no_network() -> None:
    offline = replace(WHOLE, acts=WHOLE.acts[:3])
    assert "--network none" in dockerfile(offline)
    assert "--network none" not in dockerfile(WHOLE)


def test_a_shell_reads_values_of_a_definition_as_they_were() -> None:
    text = apptainer(WHOLE)
    assert text.count("\n%post") == 1
    assert subprocess.run(["sh", "-n"], input=_section(text, "%post"), text=True).returncode == 0
    shown = _section(text, "%environment") + 'printf %s "$ODD"\n'
    seen = subprocess.run(["sh"], input=shown, text=True, capture_output=True).stdout
    assert seen == ODD
    assert shlex.split(_section(text, "%runscript"))[:4] == ["exec", *WHOLE.entrypoint]


def _section(text: str, name: str) -> str:
    rest = text.split(f"\n{name}", 1)[1].split("\n", 1)[1]
    return rest.split("\n%", 1)[0] + "\n"
