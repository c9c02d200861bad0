"""Base images by a tag are noted where they are named, and get the digest that the locks hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from neurocontainers_checkout import BUILD, recipe, write_checkout

from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.pins import BasePin, ImagePin, PackageSet, SharedPins
from ssds.lint.bases import moving_bases, pinned
from ssds.lint.table import with_fixes
from ssds.lock.model import CatalogLock, Locks
from ssds.recipe.catalog import CatalogReading, read_catalog

D = Digest("sha256:" + "ab" * 32)
HEAD = "name: tool\nsummary: A tool.\nlicenses: [MIT]\n"
SINGLE = HEAD + 'version: "1.0"\n'
END = "build: [run: make]\ndeploy: {commands: [tool]}\n"


def reading(folder: Path, text: str, bases: str = "") -> CatalogReading:
    (folder / "catalog/tool").mkdir(parents=True)
    if bases:
        (folder / "catalog/bases.yaml").write_text(bases)
    (folder / "catalog/tool/recipe.yaml").write_text(text + END)
    found = read_catalog(str(folder))
    assert not found.collector.failed, list(found.collector)
    return found


def locks(name: str, *platforms: str, digest: Digest = D) -> Locks:
    pins = {
        (f"{name}@1", platform): BasePin(
            name=name,
            date="1",
            request=D,
            packages=PackageSet(request=D, manager="apt", packages=()),
            epoch=1,
            image=ImagePin(
                reference=name,
                digest=digest,
                manifest=D,
                config=D,
                config_size_bytes=1,
                layers=(),
            ),
        )
        for platform in platforms
    }
    shared = SharedPins(bases=pins, current={name: f"{name}@1"})
    return Locks(catalog=CatalogLock(pins=shared))


@pytest.mark.parametrize(
    ("base", "line", "after"),
    [
        ("base: {image: debian}\n", 5, f"base: {{image: debian@{D}}}\n"),
        ('base: {image: "debian:latest"}  # why\n', 5, f'base: {{image: "debian:latest@{D}"}}'),
        ("base:\n  image: docker.io/debian:latest\n", 6, f"debian:latest@{D}\n"),
    ],
)
def test_a_tag_in_a_recipe_is_noted_and_mended(
    tmp_path: Path, base: str, line: int, after: str
) -> None:
    from ssds.core.diagnostics import edited

    found = reading(tmp_path, SINGLE + base)
    (note,) = moving_bases(found)
    assert (note.code, note.span.line) == ("R087", line)
    held = locks("docker.io/library/debian:latest", "linux/amd64")
    (mended,) = with_fixes([note], found, held)
    text, made = edited(SINGLE + base, mended.fix)
    assert (after in text, len(made)) == (True, 1)
    assert not pinned(note, found, Locks())


def test_a_base_that_recipes_share_is_noted_once_where_it_is_declared(tmp_path: Path) -> None:
    found = reading(tmp_path, SINGLE + "base: noble\n", "noble:\n  image: ubuntu:24.04\n")
    (note,) = moving_bases(found)
    assert (note.span.path, note.span.line) == ("catalog/bases.yaml", 2)
    (edit,) = pinned(note, found, locks("noble", "linux/amd64"))
    assert edit.new == f"ubuntu:24.04@{D}"


def test_each_version_has_its_own_place_and_digests_and_templates_are_left(tmp_path: Path) -> None:
    text = HEAD + (
        "versions:\n"
        '  "1": {base: {image: "debian:1"}}\n'
        f'  "2": {{base: {{image: "debian:2@{D}"}}}}\n'
        '  "3": {}\n'
        'base: {image: "debian:{{ version }}"}\n'
    )
    found = reading(tmp_path, text)
    notes = list(moving_bases(found))
    assert [d.span.line for d in notes] == [5, 8]
    assert pinned(notes[0], found, locks("docker.io/library/debian:1", "linux/amd64"))
    assert not pinned(notes[1], found, locks("docker.io/library/debian:3", "linux/amd64"))


def test_platforms_that_are_not_all_locked_are_not_mended(tmp_path: Path) -> None:
    both = "platforms: {linux/amd64: required, linux/arm64: optional}\nbase: {image: debian}\n"
    found = reading(tmp_path, SINGLE + both)
    (note,) = moving_bases(found)
    name = "docker.io/library/debian:latest"
    assert not pinned(note, found, locks(name, "linux/amd64"))
    assert pinned(note, found, locks(name, "linux/amd64", "linux/arm64"))


@pytest.mark.parametrize(("image", "codes"), [("debian:12", ["R087"]), ("debian", ["N050"])])
def test_neurodesk_recipes_are_noted_once_and_mended(
    tmp_path: Path, image: str, codes: list[str]
) -> None:
    text = recipe("- run: [x]", build=BUILD.replace("debian:12", image))
    checkout = write_checkout(tmp_path / "c", text)
    found = read_catalog(str(tmp_path), checkouts={"neurocontainers": str(checkout)})
    wanted = [d for d in (*found.collector, *moving_bases(found)) if d.code in ("R087", "N050")]
    assert [d.code for d in wanted] == codes
    name = found.catalog.releases[ReleaseName("small", "1.0")].targets
    base = next(iter(name.values())).base
    (edit,) = pinned(wanted[0], found, locks(base, "linux/amd64", "linux/arm64"))
    assert edit.new == f"{image}@{D}"
