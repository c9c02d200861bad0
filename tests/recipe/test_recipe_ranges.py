"""Ranges of versions: their order, their text, and what the catalog says of them (C16)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.diagnostics import Diagnostic
from ssds.core.errors import InvalidValue
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.versions import VersionRange, is_version, parse_range, version_key
from ssds.recipe.catalog import CatalogReading, read_catalog
from ssds.recipe.ranges import answers, range_requests

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
VERSIONS = st.from_regex(r"[0-9A-Za-z][0-9a-c._+~:-]{0,6}", fullmatch=True)
RANGES = st.lists(
    st.tuples(st.sampled_from([">=", ">", "<=", "<", "==", "!="]), VERSIONS), min_size=1, max_size=4
)


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.0~rc1", "1.0", "1.0a", "1.0.1", "1.2", "1.9", "1.10", "1.10.1", "2", "10"],
        ["0.9", "1~alpha", "1", "1+dfsg", "1.0"],
        ["2.24", "2.24+dfsg-3", "2.25~pre", "2.25"],
        ["20200101", "20210101", "20210101b"],
    ],
)
def test_versions_stand_in_the_stated_order(ordered: list[str]) -> None:
    for shuffled in (ordered[::-1], ordered[2:] + ordered[:2]):
        assert sorted(shuffled, key=version_key) == ordered


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total_and_only_equal_texts_are_equal(a: str, b: str, c: str) -> None:
    one, two, three = map(version_key, (a, b, c))
    assert (one == two) == (a == b)
    assert (one < two) + (one == two) + (one > two) == 1
    assert not (one < two < three) or one < three


@given(RANGES, VERSIONS)
def test_a_range_holds_what_each_of_its_comparisons_holds(
    parts: list[tuple[str, str]], version: str
) -> None:
    text = ",".join(sign + bound for sign, bound in parts)
    each = [version in parse_range(sign + bound) for sign, bound in parts]
    assert (version in parse_range(text)) == all(each)


@given(RANGES, st.randoms())
def test_one_meaning_has_one_text(parts: list[tuple[str, str]], chance: object) -> None:
    plain = parse_range(",".join(sign + bound for sign, bound in parts))
    mixed = [*parts, parts[0]]
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    spaced = " , ".join(f"{sign} {bound}" for sign, bound in mixed)
    assert parse_range(spaced) == plain
    assert parse_range(str(plain)) == plain
    assert not is_version(str(plain))


@given(st.text(max_size=60))
def test_any_text_is_a_version_a_range_or_refused(text: str) -> None:
    if not is_version(text):
        with contextlib.suppress(InvalidValue):
            assert isinstance(parse_range(text), VersionRange)


@pytest.mark.parametrize(
    "text",
    ["", ",", ">=", ">=1,", "~=1.2", "^1.2", "=>1", ">=1 <2", ">=1;<2", ">=-1", ">=1/2", "1.*",
     "===1", ">=1," * 16 + "<2", ">=" + "1" * 65, ">= \u0661", "latest or so"],
)  # fmt: skip
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_range(text)


# -- catalogs -----------------------------------------------------------------------------------

HEAD = "summary: A tool\nlicenses: [MIT]\ntests: [{name: works, run: x, stdout: [x]}]\n"
LIB = f"""\
name: lib
versions: {{"1.9": {{}}, "1.10": {{}}, "2.0": {{platforms: {{linux/amd64: required}}}}}}
platforms: {{linux/amd64: required, linux/arm64: required}}
base: debian-12
build: []
{HEAD}"""


def app(version: str, more: str = "") -> str:
    own = f'name: app\nversion: "1.0"\nbase: {{recipe: lib, version: "{version}"}}\n{HEAD}'
    return own + (more if "build:" in more else f"{more}build: []\n")


def catalog(root: Path, **recipes: str) -> CatalogReading:
    bases = "debian-12: {suite: bookworm, platforms: [linux/amd64, linux/arm64]}\n"
    (root / "catalog").mkdir(exist_ok=True)
    (root / "catalog/bases.yaml").write_text(bases)
    for name, text in recipes.items():
        (root / "catalog" / name).mkdir(exist_ok=True)
        (root / "catalog" / name / "recipe.yaml").write_text(text)
    return read_catalog(str(root))


def chosen(reading: CatalogReading, platform: Platform = AMD64) -> Mapping[str, list[str]]:
    assert not reading.collector.failed, [d.render() for d in reading.collector]
    target = reading.catalog.releases[ReleaseName("app", "1.0")].targets[platform]
    return {r.name: answers(r, reading.catalog, platform) for r in range_requests(target)}


def problems(reading: CatalogReading) -> list[Diagnostic]:
    return [d for d in reading.collector if d.severity.value == "error"]


def test_what_answers_a_range_is_newest_first(tmp_path: Path) -> None:
    assert chosen(catalog(tmp_path, lib=LIB, app=app(">=1, <3"))) == {"lib": ["2.0", "1.10", "1.9"]}
    assert chosen(catalog(tmp_path, lib=LIB, app=app(">1.9,<2"))) == {"lib": ["1.10"]}
    assert chosen(catalog(tmp_path, lib=LIB, app=app("!=2.0"))) == {"lib": ["1.10", "1.9"]}


def test_each_platform_has_its_own_answer(tmp_path: Path) -> None:
    more = "platforms: {linux/amd64: required, linux/arm64: required}\n"
    reading = catalog(tmp_path, lib=LIB, app=app(">=1", more))
    assert chosen(reading, AMD64)["lib"][0] == "2.0"
    assert chosen(reading, ARM64)["lib"][0] == "1.10"


def test_an_exact_version_asks_for_no_pin(tmp_path: Path) -> None:
    assert chosen(catalog(tmp_path, lib=LIB, app=app("1.9"))) == {}


def test_a_range_may_come_from_a_variable(tmp_path: Path) -> None:
    reading = catalog(tmp_path, lib=LIB, app=app(">={{ least }}", 'variables: {least: "1.10"}\n'))
    assert chosen(reading) == {"lib": ["2.0", "1.10"]}


def test_all_ranges_of_one_recipe_are_answered_by_one_version(tmp_path: Path) -> None:
    copy = 'build: [{copy: {recipe: lib, version: "%s", paths: [/x], to: /y}}]\n'
    reading = catalog(tmp_path, lib=LIB, app=app(">=1.9", copy % "<2"))
    assert chosen(reading) == {"lib": ["1.10", "1.9"]}
    [found] = problems(catalog(tmp_path, lib=LIB, app=app(">=2", copy % "<2")))
    assert (found.code, found.address) == ("R078", "build[0].copy")
    assert "one version of a recipe" in found.hint.lower()
    exact = catalog(tmp_path, lib=LIB, app=app(">=2", copy % "1.9"))
    assert chosen(exact) == {"lib": ["2.0"]}


@pytest.mark.parametrize(
    ("version", "code", "column"),
    [
        (">=1.16 <2", "R077", 30),
        ("^1.0", "R077", 30),
        (">= ", "R077", 30),
        (">=3", "R078", 30),
        (">=2,<1", "R078", 30),
        ("3.0", "R049", 30),
    ],
)
def test_a_wrong_range_is_told_at_its_place(
    tmp_path: Path, version: str, code: str, column: int
) -> None:
    [found] = problems(catalog(tmp_path, lib=LIB, app=app(version)))
    assert (found.code, str(found.span)) == (code, f"catalog/app/recipe.yaml:3:{column}")
    assert found.hint


def test_a_range_without_the_platform_or_the_variant_is_told(tmp_path: Path) -> None:
    more = "platforms: {linux/amd64: required, linux/arm64: required}\n"
    [found] = problems(catalog(tmp_path, lib=LIB, app=app(">=2", more)))
    assert found.code == "R050"
    assert ("platform", "linux/arm64") in found.facts
    other = app(">=1").replace('">=1"', '">=1", variant: mpi')
    [found] = problems(catalog(tmp_path, lib=LIB, app=other))
    assert (found.code, dict(found.facts)["range"]) == ("R078", ">=1 (mpi)")


def test_a_circle_through_any_version_in_the_range_is_found(tmp_path: Path) -> None:
    back = LIB.replace(
        '"2.0": {', '"2.0": {base: {recipe: app, version: "1.0"}, '
    )  # only the newest leads back
    [found] = problems(catalog(tmp_path, lib=back, app=app(">=1.9")))
    assert found.code == "R052"
    assert [name for name, _ in found.facts] == ["app@1.0", "lib@2.0"]
    assert "in >=1.9" in found.facts[0][1]
    assert not problems(catalog(tmp_path, lib=back, app=app("<2")))


def test_a_recipe_may_build_on_its_own_older_version_by_a_range(tmp_path: Path) -> None:
    own = LIB.replace('"2.0": {', '"2.0": {base: {recipe: lib, version: "<2"}, ')
    assert not problems(catalog(tmp_path, lib=own))
    circle = LIB.replace("base: debian-12", 'base: {recipe: lib, version: "<2"}')
    assert {d.code for d in problems(catalog(tmp_path, lib=circle))} == {"R052"}


def test_ranges_that_lead_to_many_versions_end_soon(tmp_path: Path) -> None:
    many = ", ".join(f'"1.{n}": {{}}' for n in range(60))
    recipes = {
        f"r{n}": LIB.replace("lib", f"r{n}")
        .replace('"1.9": {}, "1.10": {}', many)
        .replace("debian-12", f'{{recipe: r{n + 1}, version: ">=1,<2"}}' if n < 5 else "debian-12")
        for n in range(6)
    }
    start = time.process_time()
    assert not problems(catalog(tmp_path, **recipes))
    assert time.process_time() - start < 20
