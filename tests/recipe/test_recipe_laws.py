"""Laws: two readers of one schema agree, templates have one meaning, YAML keeps its values."""

from __future__ import annotations

import copy
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from full_workspace import MORE
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from ssds.core.canonical import canonical_bytes
from ssds.core.diagnostics import Collector
from ssds.core.errors import InputError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.recipe.address import format_address, parse_address
from ssds.recipe.catalog import read_catalog
from ssds.recipe.codes import every_code
from ssds.recipe.formats.ssds_metadata import USUAL_LICENSES, license_problem
from ssds.recipe.local import LocalProblem, read_tree
from ssds.recipe.schema import schema, schema_bytes
from ssds.recipe.settings import read_settings
from ssds.recipe.steps import CopyStep, RunStep
from ssds.recipe.templates import TemplateProblem, _render_with_jinja, render
from ssds.recipe.work import TooMuch, Work
from ssds.recipe.yamlmarks import load

FOLDER = Path(__file__).parents[2]
SCHEMAS = {
    "recipe": "R",
    "bases": "B",
    "policies": "P",
    "debts": "U",
    "channels": "C",
    "site": "S",
    "advisories": "V",
    "catalog": "K",
    "settings": "W",
    "data": "G",
}
FULL = yaml.safe_load((Path(__file__).parent / "full-recipe.yaml").read_text())


# -- YAML ---------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
    | st.booleans()
    | st.integers(-(10**14), 10**14),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcxyz-_/. 019", max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_as_json_is_read_unchanged(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    assert load(text, "x").data == value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_diagnostics(data: bytes) -> None:
    try:
        document = load(data, "x")
    except InputError:
        return
    canonical_bytes(document.data)


@given(st.text("ab:-[]{}#&*!|>'\"%@`,? \n\t019.~", max_size=60))
def test_any_punctuation_gives_a_value_or_diagnostics(text: str) -> None:
    collector = Collector()
    canonical_bytes(load(text.encode(), "x", collector).data)
    assert all(d.span.line >= 1 for d in collector)


@given(st.lists(st.text(min_size=1, max_size=8) | st.integers(0, 999), min_size=1, max_size=5))
def test_an_address_is_read_back_as_its_path(parts: list[str | int]) -> None:
    assert parse_address(format_address(tuple(parts))) == tuple(parts)


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "1.2.3", "2031-12-31", "1:30"])
def test_words_that_yaml_1_1_would_change_stay_text(word: str) -> None:
    assert load(f"a: {word}\n".encode(), "x").data == {"a": word}


def test_places_are_those_of_values_and_of_block_keys() -> None:
    document = load(b'a:\n  - run: x\n    b: {c: "y"}\nv:\n  "1.2": [p, q]\n', "f")
    assert str(document.span("a[0].b.c")) == "f:3:12"
    assert str(document.span('v["1.2"][1]')) == "f:5:14"
    assert str(document.span("v")) == "f:4:1"
    assert str(document.span("a[0].nothing.here")) == "f:2:5"


# -- schemas ------------------------------------------------------------------------------------


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(p for key, item in inner for p in paths_of(item, (*path, key)))]


JUNK = st.sampled_from(
    ["", "x", "a\nb", "x\n", "/abs", "A B", "linux/amd64", 0, -1, 10**12, True, [], {}, ["x", "x"],
     [""], {"a": "b"}, {"recipe": "x", "version": "1"}, {"run": "x", "apt": ["y"]}, "0" * 64]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_two_readers_of_the_recipe_schema_have_one_opinion(data: st.DataObject) -> None:
    recipe = copy.deepcopy(FULL)
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(paths_of(recipe)[1:]))
        holder = recipe
        for part in path[:-1]:
            holder = holder[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del holder[path[-1]]
        elif action == "replace":
            holder[path[-1]] = copy.deepcopy(data.draw(JUNK))
        elif isinstance(holder, dict):
            name = data.draw(st.sampled_from(["zzz", "", "run", "version", "A\n", "url"]))
            holder[name] = copy.deepcopy(data.draw(JUNK))
    checker = schema("recipe", "R")
    assert checker.accepts(recipe) == (not checker.problems(recipe))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SCHEMAS)), PLAIN)
def test_the_two_readers_agree_on_any_value(name: str, value: Any) -> None:
    checker = schema(name, SCHEMAS[name])
    assert checker.accepts(value) == (not checker.problems(value))


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_a_valid_one_and_knows_its_codes(name: str) -> None:
    from jsonschema import Draft202012Validator

    document = json.loads(schema_bytes(name))
    Draft202012Validator.check_schema(document)
    codes = [
        code
        for path in paths_of(document)
        if path and path[-1] == "x-code"
        for note in [_at(document, path)]
        for code in ([note] if isinstance(note, str) else note.values())
    ]
    assert set(codes) <= set(every_code())


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def test_the_full_recipe_uses_every_field_of_the_schema() -> None:
    whole = {**FULL, **MORE}
    used = {part for path in paths_of(whole) for part in path if isinstance(part, str)}
    document = json.loads(schema_bytes("recipe"))
    fields = {
        path[at + 1]
        for path in paths_of(document)
        for at, part in enumerate(path[:-1])
        if part == "properties"
    }
    assert fields - used == {"image"}  # stands instead of another recipe


# -- templates ----------------------------------------------------------------------------------

NAMES: dict[str, str | int] = {"name": "tool", "version": "1.2", "a_b": "{{ name }}", "n": 3}


@given(
    st.lists(
        st.sampled_from(["{{ name }}", "{{version}}", "{{  a_b  }}", "{{n}}", "}}", "{", "}", "{%",
                         "${#x[@]}", "{#", "#}", "%}", " ", "\n", "x", "'", '"', "\\"]),
        max_size=8,
    )
)  # fmt: skip
def test_the_short_way_and_jinja_give_one_text(parts: list[str]) -> None:
    text = "".join(parts)

    def either(way: Any) -> str:
        try:
            return str(way())
        except TemplateProblem as problem:
            return problem.code

    short = either(lambda: render(text, NAMES))
    assert "{{" not in text or short == either(
        lambda: _render_with_jinja(text, NAMES, 1 << 18, Work())
    )


@given(st.text("{}%#'\"()[]|.,+*~ nameversion_0", max_size=40))
def test_any_template_gives_text_or_a_problem(text: str) -> None:
    code = ""
    try:
        render("{{" + text + "}}", NAMES)
    except TemplateProblem as problem:
        code = problem.code
    assert not code or code in every_code()


@pytest.mark.parametrize(
    "text",
    [
        "{{ n + 1 }}", "{{ name ~ name ~ name }}", "{{ version.split('.')[0] }}",
        "{{ version|replace('.', '-') }}", "{{ name|upper|lower|trim }}",
    ],
)  # fmt: skip
def test_every_expression_costs_the_same_each_time_and_is_refused_in_the_end(text: str) -> None:
    work = Work(200_000)
    spent: list[int] = []

    def once() -> bool:
        before = work.left
        render(text, NAMES, work=work)
        spent.append(before - work.left)
        return True

    with pytest.raises(TooMuch):
        all(once() for _ in range(1000))
    assert len(spent) < 100
    assert len(set(spent)) == 1


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ version.split('.')[0] }}", "1"),
        ("{{ version|replace('.', '_') }}", "1_2"),
        ("{{ version.split('.')[0:2]|join('-') }}", "1-2"),
        ("{{ 'a' if name == 'tool' else 'b' }}", "a"),
        ("{{ name ~ '-' ~ n }}", "tool-3"),
        ("{{ '{{' }}", "{{"),
        ("line\n{{ n + 1 }}\n", "line\n4\n"),
        ("${#list[@]} {{ name }}", "${#list[@]} tool"),
    ],
)
def test_expressions_that_recipes_need(text: str, result: str) -> None:
    assert render(text, NAMES) == result


@pytest.mark.parametrize(
    "text",
    [
        "{{ name.__class__.__mro__ }}", "{{ ''.join }}", "{{ range(9) }}", "{{ name * 9999999 }}",
        "{{ 9 ** 9 }}", "{{ name|attr('x') }}", "{{ lipsum() }}", "{{ self }}",
        "{{ name.format(1) }}",
        "{{ version|replace('', name) }}", "{{ [1][0].real }}", "{{ ('%s' % name) }}",
        "{{ {} }}", "{{ name if name }}{{ none }}", "{{ name['__class__'] }}",
    ],
)  # fmt: skip
def test_ways_out_of_the_template_language_are_closed(text: str) -> None:
    with pytest.raises(TemplateProblem):
        render(text, NAMES)


# -- recipes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    recipe = folder / "catalog/full"
    (recipe / "files").mkdir(parents=True)
    (recipe / "recipe.yaml").write_text((Path(__file__).parent / "full-recipe.yaml").read_text())
    (recipe / "icon.svg").write_text("<svg/>")
    (recipe / "README.md").write_text("# full\n")
    (recipe / "files/start.sh").write_text("#!/bin/sh\n")
    (recipe / "files/start.sh").chmod(0o755)
    (recipe / "files/link").symlink_to("start.sh")
    (folder / "catalog/bases.yaml").write_text(
        "d: {suite: x, platforms: [linux/amd64, linux/arm64]}"
    )
    (folder / "catalog/policies.yaml").write_text("strict: {fail_on: [high]}")
    (folder / "catalog/channels.yaml").write_text("local: {kind: layout, location: dist}")
    other = folder / "catalog/other"
    other.mkdir()
    (other / "recipe.yaml").write_text(
        'name: other\nversion: "1"\nsummary: s\nlicenses: [MIT]\nbase: d\nbuild: []\n'
        "platforms: {linux/amd64: required, linux/arm64: required}\n"
        "tests: [{name: t, run: x, stdout: [y]}]\n"
    )
    return folder


def test_a_recipe_with_every_field_becomes_releases(full: Path) -> None:
    reading = read_catalog(str(full))
    assert [d.render() for d in reading.collector] == []
    names = [str(n) for n in reading.catalog.releases if n.name == "full"]
    assert names == ["full@1.0", "full@1.0+mpi", "full@2.0", "full@2.0+mpi"]
    release = reading.catalog.releases[ReleaseName("full", "2.0", "mpi")]
    target = release.targets[Platform("linux/amd64")]
    assert target.required
    assert not release.targets[Platform("linux/arm64")].required
    script = next(s for s in target.steps if isinstance(s, RunStep))
    assert "prefix=/opt/full-2.0-openmpi x86_64" in script.script
    assert target.sources["archive"].url == "https://example.org/full-2.0.tar.gz"
    assert {e.to.name for e in reading.edges} == {"other"}
    assert target.waivers[0].until == "2031-12-31"
    canonical_bytes(release.metadata)
    assert set(release.metadata_files) == {"icon", "gui[0].icon", "webapp.icon", "help.readme"}
    assert release.metadata["variant_description"] == "with MPI"


def test_conditions_choose_steps_by_platform_version_and_variant(full: Path) -> None:
    releases = read_catalog(str(full)).catalog.releases
    amd = releases[ReleaseName("full", "1.0")].targets[Platform("linux/amd64")]
    arm = releases[ReleaseName("full", "1.0")].targets[Platform("linux/arm64")]
    assert len(amd.steps) == len(arm.steps) + 1
    assert "armdata" in arm.sources
    assert "armdata" not in amd.sources


def test_a_local_folder_is_hashed_with_bits_and_links(full: Path) -> None:
    release = read_catalog(str(full)).catalog.releases[ReleaseName("full", "1.0")]
    steps = release.targets[Platform("linux/amd64")].steps
    tree = next(s.local for s in steps if isinstance(s, CopyStep) and s.local)
    assert tree.path == "catalog/full/files"
    assert [(e.path, e.executable, e.link) for e in tree.entries] == [
        ("link", False, "start.sh"),
        ("start.sh", True, ""),
    ]


def test_reading_twice_gives_equal_values(full: Path) -> None:
    assert read_catalog(str(full)).catalog == read_catalog(str(full)).catalog


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../outside", "../other"])
def test_a_link_out_of_the_recipe_is_refused(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "catalog/tool/files"
    folder.mkdir(parents=True)
    (tmp_path / "outside").write_text("x")
    (tmp_path / "catalog/other").write_text("x")
    (folder / "x").symlink_to(target if target != "../other" else "../../other")
    for name in ("files", "files/x"):
        with pytest.raises(LocalProblem) as caught:
            read_tree(str(tmp_path), "catalog/tool", name)
        assert caught.value.code == "R027"


def test_a_device_or_pipe_among_local_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "catalog/tool"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    with pytest.raises(LocalProblem) as caught:
        read_tree(str(tmp_path), "catalog/tool", "pipe")
    assert caught.value.code == "R028"


def test_link_circles_among_local_files_end(tmp_path: Path) -> None:
    folder = tmp_path / "catalog/tool/files"
    folder.mkdir(parents=True)
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "up").symlink_to(".")
    tree = read_tree(str(tmp_path), "catalog/tool", "files")
    assert [e.path for e in tree.entries] == ["a", "b", "up"]


# -- settings -----------------------------------------------------------------------------------


def test_the_environment_wins_over_the_workspace_and_that_over_the_user(tmp_path: Path) -> None:
    user = tmp_path / "home/.config/ssds"
    user.mkdir(parents=True)
    (user / "settings.yaml").write_text(
        "jobs: 1\nsandbox: trusted\nstore: {path: ~/s}\nproxy: 'http://user@p.example.org:3128'\n"
        "mirrors: {debian: 'https://d.example.org/debian/', pypi: 'https://u.example.org'}\n"
    )
    (tmp_path / "ssds.yaml").write_text("jobs: 2\nmirrors: {pypi: ['https://w.example.org/s']}\n")
    home = {"HOME": str(tmp_path / "home")}
    found = read_settings(str(tmp_path), {**home, "SSDS_JOBS": "3"})
    assert found.jobs == 3
    assert found.sandbox == "trusted"
    assert found.store_path == str(tmp_path / "home/s")
    assert found.mirrors == {
        "debian": ("https://d.example.org/debian",),
        "pypi": ("https://w.example.org/s",),
    }
    assert read_settings(str(tmp_path), home).jobs == 2
    assert read_settings(str(tmp_path / "home"), home).jobs == 1


# -- documents ----------------------------------------------------------------------------------


def test_every_field_of_the_schema_is_documented() -> None:
    page = (FOLDER / "docs/reference/recipe.md").read_text()
    document = json.loads(schema_bytes("recipe"))
    fields = {
        path[at + 1]
        for path in paths_of(document)
        for at, part in enumerate(path[:-1])
        if part == "properties"
    }
    assert [f for f in sorted(fields) if f"`{f}`" not in page] == []


def test_platforms_share_what_cannot_differ_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "catalog/tool"
    folder.mkdir(parents=True)
    (tmp_path / "catalog/bases.yaml").write_text(
        "d: {suite: x, platforms: [linux/amd64, linux/arm64]}"
    )
    recipe = (
        'name: tool\nversion: "1"\nsummary: s\nlicenses: [MIT]\nbase: d\n'
        "platforms: {linux/amd64: required, linux/arm64: optional}\n"
        "tests: [{name: t, run: x, stdout: [y]}]\n"
    )

    def scripts(build: str) -> list[str]:
        (folder / "recipe.yaml").write_text(recipe + build)
        reading = read_catalog(str(tmp_path))
        reading.collector.raise_if_failed()
        (release,) = reading.catalog.releases.values()
        assert [t.required for t in release.targets.values()] == [True, False]
        assert [str(t.platform) for t in release.targets.values()] == list(release.targets)
        steps = [t.steps[0] for t in release.targets.values()]
        return [s.script for s in steps if isinstance(s, RunStep)]

    assert scripts('build: [{run: "echo {{ version }}"}]\n') == ["echo 1", "echo 1"]
    assert scripts('build: [{run: "echo {{ \\x61rch }}"}]\n') == ["echo amd64", "echo arm64"]
    assert scripts('variables: {a: "{{ machine }}"}\nbuild: [{run: "{{ a }}"}]\n') == [
        "x86_64",
        "aarch64",
    ]
    assert scripts("build: [{run: a, platforms: [linux/amd64]}, {run: b}]\n") == ["a", "b"]


def test_every_code_of_the_table_is_given_somewhere() -> None:
    rooms = (FOLDER / "ssds/recipe", FOLDER / "ssds/lint", FOLDER / "ssds/importers")
    text = "".join(p.read_text() for room in rooms for p in room.rglob("*.py"))
    text = text.replace((FOLDER / "ssds/recipe/codes.py").read_text(), "")
    text += "".join(p.read_text() for p in (FOLDER / "schemas").glob("*.json"))
    own = [c for c in every_code() if not c[1:] <= "008" or c[0] == "Y"]
    assert [c for c in own if f'"{c}"' not in text] == []


@pytest.mark.parametrize(
    "licence", ["(" * 400, "MIT OR " * 60 + "MIT", "(" * 90 + "MIT" + ")" * 90, "AND", "MIT+", "é"]
)
def test_any_licence_text_gets_an_answer(licence: str) -> None:
    assert isinstance(license_problem(licence), str)


def test_hostile_templates_and_counts_end_soon(tmp_path: Path) -> None:
    folder = tmp_path / "catalog/tool"
    folder.mkdir(parents=True)
    braces = "{{ '" + "{{" * 60_000 + "' ~ nope }}"
    versions = "".join(f'  "{n}": {{}}\n' for n in range(150))
    variants = "".join(f"  v{n}: {{}}\n" for n in range(50))
    (folder / "recipe.yaml").write_text(
        f"name: tool\nversions:\n{versions}variants:\n{variants}summary: s\nlicenses: [MIT]\n"
        f'base: d\nbuild: [{{run: "{braces}"}}]\n'
    )
    begin = time.process_time()
    assert {d.code for d in read_catalog(str(tmp_path)).collector} == {"R064", "R076"}
    with pytest.raises(TemplateProblem):
        render(braces, NAMES)
    assert time.process_time() - begin < 20


@pytest.mark.parametrize("text", sorted(USUAL_LICENSES - {"NOASSERTION"}))
def test_a_usual_licence_is_one_that_the_library_of_licences_knows(text: str) -> None:
    info = get_spdx_licensing().validate(text)

    assert not info.errors
    assert info.normalized_expression == text
