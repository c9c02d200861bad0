"""A recipe on an image that NeuroDesk published is built on the recipe that makes it (C16)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from neurocontainers_checkout import AMD64, ARM64, BUILD, HEAD, NAME, read, recipe, write_checkout

from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.recipe.catalog import read_catalog
from ssds.recipe.refers import References
from ssds.recipe.steps import RecipeRef
from ssds.recipe.written.moved import moved

LOWER = HEAD.replace("name: small", "name: lower").replace('"1.0"', '"6.0.3"')
OPTIONS = """\
options: {data: {description: d, default: false, version_suffix: .Data}}
variants: {gpu: {architectures: [x86_64, aarch64]}}
"""


def both(tmp_path: Path, image: str, *, lower: str = LOWER + OPTIONS) -> Path:
    build = BUILD.replace("debian:12", image)
    checkout = write_checkout(tmp_path / "c", recipe("- run: [x]", build=build))
    return write_checkout(checkout, recipe("- run: [y]", head=lower), name="lower")


@pytest.mark.parametrize(
    ("image", "platform", "version", "variant"),
    [
        ("vnmd/lower_6.0.3:20200905", AMD64, "6.0.3", ""),
        ("vnmd/lower_6.0.3", ARM64, "6.0.3", ""),
        ("docker.io/vnmd/lower_arm64_6.0.3:20200905", ARM64, "6.0.3", ""),
        ("registry.example.org/neurodesk/lower_6.0.3:20200905", AMD64, "6.0.3", ""),
        ("registry.example.org/neurodesk/caid/lower_6.0.3:20200905", AMD64, "6.0.3", ""),
        ("registry.example.org/neurodesk/lower:6.0.3_20200905", AMD64, "6.0.3", ""),
        ("registry.example.org/neurodesk/lower:6.0.3", AMD64, "6.0.3", ""),
        ("vnmd/lower_6.0.3.data:20200905", AMD64, "6.0.3.Data", ""),
        ("vnmd/lower_gpu_6.0.3:20200905", AMD64, "6.0.3", "gpu"),
        ("vnmd/lower_gpu_arm64_6.0.3:20200905", ARM64, "6.0.3", "gpu"),
    ],
)
def test_a_published_image_is_the_release_that_makes_it(
    tmp_path: Path, image: str, platform: Platform, version: str, variant: str
) -> None:
    reading = read(both(tmp_path, image))
    found = reading.catalog.releases[NAME].targets[platform]
    assert (found.base, found.base_recipe) == (
        "",
        RecipeRef(name="lower", version=version, variant=variant),
    )
    edges = [e for e in reading.edges if e.release == NAME and e.platform == platform]
    assert [(e.to.name, e.address) for e in edges] == [("lower", "build.base-image")]
    if "arm64" not in image:
        assert "N055" not in [d.code for d in reading.collector]


@pytest.mark.parametrize(
    "image",
    [
        "vnmd/lower_6.0.4:20200905",
        "registry.example.org/neurodesk/lower:latest",
        "vnmd/lower_tpu_6.0.3:20200905",
        "vnmd/lower_arm64_6.0.3:20200905",
    ],
)
def test_the_image_of_another_version_is_used_as_it_is_and_that_is_noted(
    tmp_path: Path, image: str
) -> None:
    reading = read(both(tmp_path, image))
    found = reading.catalog.releases[NAME].targets[AMD64]
    assert found.base_recipe is None
    assert found.base.endswith(image)
    noted = [d for d in reading.collector if d.code == "N055"]
    assert [d.span.line for d in noted][:1] == [11]
    assert reading.looked == {"small": frozenset(["lower"])}


@pytest.mark.parametrize(
    "image",
    [
        "example.org/other/lower_6.0.3:1",
        "vnmd/small_1.0:20200905",
        "vnmd/else_1.0:20200905",
        "vnmd/lower_6.0.3@sha256:" + "0" * 64,
    ],
)
def test_other_images_are_no_recipes(tmp_path: Path, image: str) -> None:
    reading = read(both(tmp_path, image))
    assert not reading.edges
    assert "N055" not in [d.code for d in reading.collector]


@pytest.mark.parametrize(
    ("image", "wrong"),
    [
        ("vnmd/lower_6.0.3:1", "colour: red\n"),
        ("vnmd/lower_gpu_6.0.3:1", "variants: {gpu: {options: {data: true}}}\n"),
    ],
)
def test_a_recipe_that_is_wrong_makes_no_edge(tmp_path: Path, image: str, wrong: str) -> None:
    reading = read(both(tmp_path, image, lower=LOWER + wrong))
    assert {d.span.path for d in reading.collector if d.severity.value == "error"} == {
        f"{tmp_path}/c/recipes/lower/build.yaml"
    }
    assert not reading.edges


def test_a_part_of_a_checkout_is_read_with_what_it_is_built_on(tmp_path: Path) -> None:
    checkout = both(tmp_path, "vnmd/lower_6.0.3:20200905")
    reading = read_catalog(
        str(tmp_path), checkouts={"neurocontainers": str(checkout)}, only=["small"]
    )
    assert {release.name for release in reading.catalog.releases} == {"small", "lower"}


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ("vnmd/lower_6.0.3:1", {"lower"}),
        ("debian:12", set()),
        ('"vnmd/{{ context.name }}_1.0"', None),
        ('"vn\\x6dd/lower_6.0.3"', None),
        ('"{{ context.owner }}/lower_6.0.3:1"', None),
        (">-\n    {{ context.owner }}/lower_6.0.3:1", None),
        ('"debian:{{ context.release }}"', set()),
    ],
)
def test_what_a_recipe_may_be_built_on_is_found_in_its_text(
    tmp_path: Path, image: str, named: set[str] | None
) -> None:
    from ssds.recipe.homes import homes

    both(tmp_path, image)
    references = References(str(tmp_path), homes("catalog", {"neurocontainers": "c"}))
    assert references.of("small") == named
    assert references.above("lower") == (
        None if named is None else {"lower"} | ({"small"} if named else set())
    )


def test_such_a_recipe_moves_over_with_its_edge(tmp_path: Path) -> None:
    reading = read(both(tmp_path, "vnmd/lower_6.0.3:20200905"))
    releases = [r for r in reading.catalog.releases.values() if r.id.name == "small"]
    written = yaml.safe_load(moved(releases, reading.catalog.bases).written.text)
    assert written["base"] == {"recipe": "lower", "version": "6.0.3"}
    assert ReleaseName("lower", "6.0.3") in reading.catalog.releases
