"""The starter catalog keeps what the project promises of it."""

from __future__ import annotations

import os

import pytest

from ssds.core.platform import Platform
from ssds.recipe.catalog import read_catalog
from ssds.recipe.model import Catalog, Target
from ssds.recipe.steps import AptStep, CopyStep, PipStep, RunStep

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    reading = read_catalog(ROOT)
    reading.collector.raise_if_failed()
    assert [item.render() for item in reading.collector] == []
    return reading.catalog


def targets(catalog: Catalog) -> dict[str, Target]:
    return {release.id.name: release.targets[AMD64] for release in catalog.releases.values()}


def test_it_holds_ten_tools_of_both_fields_in_equal_parts(catalog: Catalog) -> None:
    fields = [
        field
        for release in catalog.releases.values()
        for field in ("genomics", "neuroimaging")
        if field in str(release.metadata.get("categories"))
    ]
    assert len(fields) >= 10
    assert abs(fields.count("genomics") - fields.count("neuroimaging")) <= 1


def test_at_most_half_install_with_one_apt_line(catalog: Catalog) -> None:
    steps = [target.steps for target in targets(catalog).values()]
    one_line = [s for s in steps if len(s) == 1 and isinstance(s[0], AptStep)]
    assert 2 * len(one_line) <= len(steps)


def test_it_uses_every_way_to_make_an_image(catalog: Catalog) -> None:
    all_targets = targets(catalog).values()
    steps = [step for target in all_targets for step in target.steps]
    assert any(isinstance(step, RunStep) and step.tools and step.sources for step in steps)
    assert any(isinstance(step, PipStep) for step in steps)
    assert any(isinstance(step, CopyStep) and step.recipe for step in steps)
    assert any(target.base_recipe for target in all_targets)
    assert any(target.waivers for target in all_targets)
    arm = [r for r in catalog.releases.values() if ARM64 in r.targets]
    assert len(arm) >= 2
    assert not any(release.targets[ARM64].required for release in arm)


def test_every_test_works_on_pinned_files_and_judges_an_answer(catalog: Catalog) -> None:
    for name, target in targets(catalog).items():
        assert target.tests, name
        for test in target.tests:
            assert test.sources or name == "netpipe", (name, test.name)  # it sends its own data
            assert test.stdout or test.stdout_equals is not None, (name, test.name)
            assert "--version" not in test.script, (name, test.name)
        for source in target.sources.values():
            assert source.deb_src or source.pypi, (name, source.name)


def test_every_release_can_be_cited_found_and_called(catalog: Catalog) -> None:
    for release in catalog.releases.values():
        for word in ("summary", "description", "homepage", "licenses", "edam", "maintainers"):
            assert release.metadata.get(word), (release.id, word)
        assert release.targets[AMD64].deploy.commands, release.id
        assert release.channels == ("local",), release.id


def test_waivers_outlive_the_demo_and_say_why(catalog: Catalog) -> None:
    for name, target in targets(catalog).items():
        for waiver in target.waivers:
            assert waiver.until > "2030", name
            assert len(waiver.reason) > 40, name
            assert waiver.owner, name
