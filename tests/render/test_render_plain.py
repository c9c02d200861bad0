"""Dockerfiles of plain recipes: what their reader makes of them is what the recipe says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sbom_images import target

from ssds.core.records import replace
from ssds.importers.dockerwords import words
from ssds.kinds.build.state import expanded
from ssds.recipe.steps import EntrypointStep, EnvStep, RunStep, WorkdirStep
from ssds.render.plain import plain_dockerfile


class Known(dict[str, str]):
    """Every variable is known; those that nobody set are empty."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return ""


KNOWN = Known(HOME="/root", a='x"y\\z$')
TEXTS = st.text(st.sampled_from("ab \\\"'$`{}:-#=\t"), max_size=12)
ODD = {
    "QUOTES": """say "hi" and 'ho'""",
    "BACKSLASHES": "C:\\new\\\\dir\\",
    "DOLLARS": "$HOME ${HOME} $5 $",
    "NUMBER": "# no comment",
}


def rendered(*steps):
    return plain_dockerfile(replace(target(), steps=steps), "scratch")


def env_of(value, *, expand=False):
    return rendered(EnvStep(address="", values={"V": value}, expand=expand)).splitlines()[2]


@given(TEXTS)
@example("a\\")
def test_a_value_is_read_as_it_stands(value):
    name, word = words(env_of(value).removeprefix("ENV "), at="=")
    assert (name.plain, word.plain) == ("V", value)


@given(TEXTS)
@example('$HOME/"a" \\$b \\')
def test_a_value_with_variables_is_read_as_the_build_reads_it(value):
    _, word = words(env_of(value, expand=True).removeprefix("ENV "), at="=")
    assert word.filled(KNOWN).plain == expanded(value, KNOWN)


def test_commands_of_several_lines_and_odd_words_are_lists():
    text = rendered(
        RunStep(address="", script="cat <<X\nRUN no\nX\n", plain=True),
        EntrypointStep(address="", arguments=('a "b"', "\\")),
        WorkdirStep(address="", path="/a $b"),
        WorkdirStep(address="", path="/plain"),
    )
    assert text.splitlines()[2:] == [
        'RUN ["/bin/sh", "-c", "cat <<X\\nRUN no\\nX\\n"]',
        'ENTRYPOINT ["a \\"b\\"", "\\\\"]',
        'WORKDIR "/a \\$b"',
        "WORKDIR /plain",
    ]


@pytest.mark.component("buildah")
@pytest.mark.component("root")
def test_buildah_reads_the_values_that_the_recipe_says(tmp_path: Path) -> None:
    live = {"LIVE": '$HOME/"x"\\y \\$z ${NONE:-else}'}
    text = rendered(
        EnvStep(address="", values={**ODD, "HOME": "/h o"}),
        EnvStep(address="", values=live, expand=True),
    )
    (tmp_path / "Dockerfile").write_text(text)
    program = ["buildah", "--root", f"{tmp_path}/s", "--runroot", f"{tmp_path}/r"]
    program += ["--storage-driver", "vfs"]

    def run(*more: str) -> str:
        done = subprocess.run([*program, *more], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("bud", "-q", "--network", "none", "-t", "it", str(tmp_path))
    config = json.loads(run("inspect", "--type", "image", "it"))["OCIv1"]["config"]
    found = dict(line.split("=", 1) for line in config["Env"])
    wanted = {**ODD, "LIVE": expanded(live["LIVE"], {"HOME": "/h o"})}
    assert {name: found[name] for name in wanted} == wanted
