"""What is rendered for a recipe that uses everything, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ssds.core.errors import InvalidValue
from ssds.kinds.build.state import ConfigState
from ssds.render.apptainer import apptainer
from ssds.render.dockerfile import dockerfile
from ssds.render.model import Act, Rendered
from ssds.render.record import check_state

GOLDENS = Path(__file__).parent / "goldens"
FIXED = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1700000000"}
ODD = """it's "odd" $HOME \\ and `so`"""
SCRIPT = "cat <<'X' > \"$HOME/a\"\n$1\n%post\n\n \t%setup\nBootstrap: docker\n{{ it }} {{{'{'{\nX\n"
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
            script=SCRIPT,
            environment={**FIXED, "ODD": ODD},
            binds={
                "/run/ssds/sources/b": "2/b",
                "/run/ssds/sources/a": "2/a",
            },
            user="alice",
            working_folder="/srv/my data",
        ),
        Act(title="build[2] run", script="curl x\n", user="1234:77", network=True),
        Act(title="build[3] run", script="id\n", user="1234"),
    ),
    environment={"PATH": "/usr/bin:/bin", "ODD": ODD},
    user="alice",
    working_folder="/srv",
    entrypoint=("tool", "--with space", "it's\n%setup\ntouch /a"),
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
    sections = re.findall(r"^\s*(%\S*)", text, re.MULTILINE)  # as Apptainer finds them
    assert sections == ["%setup", "%post", "%environment", "%labels", "%runscript"]
    assert len(re.findall(r"(?mi)^bootstrap:", text)) == 1
    assert "{{" not in text
    post = _section(text, "%post")
    step = post[post.index("env -i", post.index("# build[1] run")) :].split("\nrm -rf", 1)[0]
    assert shlex.split(step)[-1] == SCRIPT
    assert subprocess.run(["sh", "-n"], input=_section(text, "%post"), text=True).returncode == 0
    shown = _section(text, "%environment") + 'printf %s "$ODD"\n'
    seen = subprocess.run(["sh"], input=shown, text=True, capture_output=True).stdout
    assert seen == ODD
    assert shlex.split(_section(text, "%runscript"))[:4] == ["exec", *WHOLE.entrypoint]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"labels": {"a": "{{ b }}"}}, "E178"),
        ({"acts": (Act(title="t", script="x" * 70_000, environment={}),)}, "E177"),
    ],
)
def test_what_a_definition_cannot_hold_is_refused(wrong, code) -> None:
    with pytest.raises(InvalidValue) as caught:
        apptainer(replace(WHOLE, **wrong))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": {"x\nRUN evil": "1"}},
        {"environment": {"A B": "1"}},
        {"environment": {"A": "1\n2"}},
        {"user": "alice\nRUN evil"},
        {"working_folder": "/a\nRUN evil"},
    ],
)
def test_what_an_image_below_says_cannot_become_a_line(wrong) -> None:
    state = replace(ConfigState(), **wrong)
    with pytest.raises(InvalidValue) as caught:
        check_state(state, state.labels)
    assert caught.value.code == ("E181" if wrong == {"environment": {"A": "1\n2"}} else "E172")


def _section(text: str, name: str) -> str:
    rest = text.split(f"\n{name}", 1)[1].split("\n", 1)[1]
    return rest.split("\n%", 1)[0] + "\n"
