"""A ``fulltest.yaml`` beside a recipe is what its targets are tested with, and nothing more."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import neurocontainers_checkout as checkouts

from ssds.core.pins import SharedPins
from ssds.graph.compile import compile_graph

SUITE = """\
name: small
version: "1.0"
required_files: [{dataset: ds000999, files: [sub-01/a.nii.gz]}]
test_data: {t1: ds000999/sub-01/a.nii.gz}
tests:
  - {name: looks, command: "small ${t1}", expected_output_contains: fine}
"""
TEXT = checkouts.recipe("- run: [echo hello]")


def a_checkout(folder: Path, suite: str = SUITE) -> Path:
    return checkouts.write_checkout(folder / "checkout", TEXT, files={"fulltest.yaml": suite})


def slices(checkout: Path) -> dict[str, object]:
    """Returns node → slice and inputs."""
    catalog = checkouts.read(checkout).catalog
    graph = compile_graph(catalog, SharedPins(), {}, dt.date(2026, 1, 1))
    return {name.label: (node.slice, node.inputs) for name, node in graph.nodes.items()}


def test_both_platforms_get_the_suite_and_its_data(tmp_path: Path) -> None:
    checkout = a_checkout(tmp_path)
    for platform in (checkouts.AMD64, checkouts.ARM64):
        found = checkouts.target(checkout, platform=platform)
        assert found.suite is not None
        (data,) = found.suite.data
        assert data.path == "small/ds000999/sub-01/a.nii.gz"
        assert found.sources[data.source].url.endswith("/ds000999/sub-01/a.nii.gz")
        (test,) = found.suite.tests
        assert test.script == "small /run/ssds/work/small/ds000999/sub-01/a.nii.gz\n"


def test_an_edit_of_the_suite_tests_again_and_builds_nothing(tmp_path: Path) -> None:
    before = slices(a_checkout(tmp_path / "a"))
    after = slices(a_checkout(tmp_path / "b", SUITE.replace("fine", "well")))
    assert {name.rpartition(":")[2] for name in before if before[name] != after[name]} == {
        "test [linux/amd64]",
        "test [linux/arm64]",
    }
    same = slices(a_checkout(tmp_path / "c", f"# a comment\n{SUITE}"))
    assert same == before


def test_the_test_waits_for_its_data_and_the_build_does_not(tmp_path: Path) -> None:
    catalog = checkouts.read(a_checkout(tmp_path)).catalog
    graph = compile_graph(catalog, SharedPins(), {}, dt.date(2026, 1, 1))
    test = next(n for n in graph.nodes.values() if n.kind == "test")
    build = next(n for n in graph.nodes.values() if n.kind == "build")
    assert any(text.startswith("source data-") for text in test.unpinned)
    assert not any(text.startswith("source") for text in build.unpinned)


def test_a_suite_of_another_version_is_warned_of_at_its_place_and_tests_all_the_same(
    tmp_path: Path,
) -> None:
    checkout = a_checkout(tmp_path, SUITE.replace("1.0", "2.0"))
    (found,) = [d for d in checkouts.read(checkout).collector if d.code == "N062"]
    assert found.span.path.endswith("recipes/small/fulltest.yaml")
    assert found.span.line == 2
    suite = checkouts.target(checkout).suite
    assert suite is not None
    assert [test.name for test in suite.tests] == ["looks"]


def test_a_suite_without_name_has_the_recipes_and_one_without_version_is_warned_of(
    tmp_path: Path,
) -> None:
    checkout = a_checkout(tmp_path, SUITE[SUITE.index("required_files") :])
    suite = checkouts.target(checkout).suite
    assert suite is not None
    assert suite.name == "small"
    (found,) = checkouts.read(checkout).collector
    assert (found.code, dict(found.facts)["suite"]) == ("N062", "none")


def test_a_suite_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    checkout = a_checkout(tmp_path)
    place = checkout / "recipes/small/fulltest.yaml"
    (tmp_path / "elsewhere.yaml").write_text(SUITE)
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere.yaml")
    assert [d.code for d in checkouts.read(checkout).collector] == ["R072"]
