"""What is written in another form means the same; files beside a recipe affect who takes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from full_workspace import FULL, FULL_TEXT, write_neighbours
from slices import Sights, differing, put, seen_by_kinds


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forms")
    write_neighbours(root)
    return root


@pytest.fixture(scope="module")
def full(root: Path) -> Sights:
    return seen_by_kinds(root, FULL)


def turned(value: Any) -> Any:
    """Gives the same with the keys of every mapping in reverse."""
    if isinstance(value, dict):
        ordered = value.keys() & {"prefix", "flavour"}  # a variable sees those above it
        items = value.items() if ordered else reversed(value.items())
        return {key: turned(item) for key, item in items}
    return [turned(item) for item in value] if isinstance(value, list) else value


def in_style(style: str) -> str:
    """Gives the full recipe with every text in one of YAML's quoting styles."""

    class Styled(yaml.SafeDumper):
        pass

    def shown(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Styled.add_representer(str, shown)
    return yaml.dump(FULL, Dumper=Styled, sort_keys=False, width=40)


LINES = FULL_TEXT.split("\n")
FORMS: dict[str, Callable[[], str]] = {
    "as it is written": lambda: FULL_TEXT,
    "other comments": lambda: "# one\n\n" + FULL_TEXT.replace("\nbuild:", "  # two\n\nbuild: # 3"),
    "no comment": lambda: FULL_TEXT.partition("\n")[2],
    "CRLF": lambda: FULL_TEXT.replace("\n", "\r\n"),
    "no line end at the end": lambda: FULL_TEXT.rstrip("\n"),
    "blank lines": lambda: FULL_TEXT.replace("\nbase:", "\n\n   \n\nbase:") + "\n\n",
    "keys in reverse": lambda: yaml.safe_dump(turned(FULL), sort_keys=False),
    "keys sorted": lambda: yaml.safe_dump({**FULL, "variables": {}}, sort_keys=True).replace(
        "variables: {}\n", yaml.safe_dump({"variables": FULL["variables"]}, sort_keys=False)
    ),
    "JSON": lambda: json.dumps(json.loads(json.dumps(FULL, default=str))),
    "block style": lambda: yaml.safe_dump(FULL, sort_keys=False, default_flow_style=False),
    "flow style": lambda: yaml.safe_dump(FULL, sort_keys=False, default_flow_style=True),
    "deep and narrow": lambda: yaml.safe_dump(FULL, sort_keys=False, indent=7, width=20),
    "double quotes": lambda: in_style('"'),
    "single quotes": lambda: in_style("'"),
    "literal blocks": lambda: in_style("|"),
}


@pytest.mark.parametrize("form", FORMS)
def test_another_form_of_the_same_recipe_changes_nothing(
    form: str, root: Path, full: Sights
) -> None:
    assert differing(full, seen_by_kinds(root, FORMS[form]())) == {}


SAME = {
    "a script is a run step's short form": ("build[3].run", {"script": "echo amd64"}),
    "a number in the environment is its text": ("build[8].env.THREADS", "4"),
    "an exit code of 0 is the default": ("tests[1].exit_code", 0),
    "no environment is the default": ("tests[1].environment", {}),
    "a source is not unpacked by default": ("sources.wheel.unpack", False),
    "one platform needs no list": ("tests[1].when.platform", "linux/arm64"),
    "a step waits an hour by default": ("build[3].time_limit_s", 3600),
    "a date may be quoted": ("scan.waivers[0].until", "2031-12-31"),
    "a variable may stand in for its value": (
        "deploy.paths",
        ["/opt/full-{{ version }}{{ flavour }}/bin"],
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_another_way_to_say_the_same_changes_nothing(what: str, root: Path, full: Sights) -> None:
    address, value = SAME[what]
    after = copy.deepcopy(FULL)
    put(after, address, value)
    assert differing(full, seen_by_kinds(root, after)) == {}


# Files beside the recipe.


def _written(path: Path) -> None:
    path.write_text("changed")


def _executable(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ 0o111)


def _rights(path: Path) -> None:
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        ("files/a", _written, "build"),
        ("files/a", _executable, "build"),
        ("files/a", _rights, ""),
        ("icon.svg", _written, "metadata"),
        ("README.md", _written, "metadata"),
        ("new.svg", _written, ""),
    ],
)
def test_a_file_beside_the_recipe_affects_who_takes_it(
    root: Path, full: Sights, name: str, change: Callable[[Path], None], kind: str
) -> None:
    path = root / "catalog/full" / name
    kept, rights = path.read_text(), path.stat().st_mode
    try:
        change(path)
        after = seen_by_kinds(root, FULL)
    finally:
        path.write_text(kept)
        path.chmod(rights)
    assert set(differing(full, after)) == set(kind.split())
