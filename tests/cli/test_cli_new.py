"""``ssds new``: recipes that are complete and valid from the first moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_workspace import Site, check_error
from neurocontainers_checkout import recipe, write_checkout

from ssds.cli import main
from ssds.recipe.starter import upstream_version, version_of_archive

HEX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

APT = """\
# yaml-language-server: $schema=../../.ssds/schemas/recipe.schema.json
name: seqtk
version: "1.3"
summary: "seqtk, in one line: what does it do?"
# An SPDX expression of what the image holds; look into the package itself.
licenses: ["LicenseRef-not-stated-yet"]
platforms: {linux/amd64: required}
base: debian-12
build:
  - apt: ["seqtk"]
deploy:
  commands: ["seqtk"]
tests:
  # A start only. Let the tool do its work on a real file and check the answer by another
  # way; docs/how-to/add-a-recipe.md says how.
  - name: seqtk is there
    run: command -v seqtk
    stdout: ["/seqtk"]
"""


def test_a_debian_package_becomes_a_recipe(plain: Site) -> None:
    ended = plain.good("new", "seqtk", "--apt", "seqtk", "--version", "1.3")
    assert ended.out == "wrote catalog/seqtk/recipe.yaml\n"
    assert ended.err == (
        "To fill in: summary, licenses; and a test that uses the tool on a real file.\n"
        "Next: `ssds lock seqtk` pins what it needs, `ssds apply seqtk` builds and tests it.\n"
    )
    assert (plain.workspace / "catalog/seqtk/recipe.yaml").read_text() == APT


@pytest.mark.parametrize(
    "words",
    [
        ["--apt", "seqtk", "--version", "1.3"],
        ["--apt", "libhts3", "--apt", "tabix", "--version", "1.16+ds", "--command", "tabix"],
        ["--pip", "nibabel==5.3.2"],
        ["--pip", "nibabel", "--version", "5.3.2", "--command", "nib-ls"],
        ["--pip", "scikit-image[data]==0.22.0"],
        ["--from-archive", "https://example.org/tool-1.2.3.tar.gz", "--sha256", HEX.upper()],
        ["--from-archive", "https://example.org/x.zip", "--sha256", HEX, "--version", "2024a"],
        ["--apt", "x1", "--version", "1", "--summary", 'quotes " and {{ braces }}: # \\ ü'],
        ["--apt", "x1", "--version", "1", "--license", "MIT OR Apache-2.0"],
    ],
)
def test_every_start_gives_a_recipe_that_check_accepts(words: list[str], plain: Site) -> None:
    plain.good("new", "thing", *words)
    ended = plain.good("check", "--strict")
    assert ended.out.startswith("Good: 3 releases, 0 locks")
    assert "warning" not in ended.text


def test_what_was_given_is_not_asked_for_again(plain: Site) -> None:
    words = ["--apt", "seqtk", "--version", "1.3", "--summary", "Converts.", "--license", "MIT"]
    assert "To fill in" not in plain.good("new", "seqtk", *words).err
    assert '"summary": "Converts."' in plain.good("show", "seqtk", "--json").out


def test_a_name_that_a_checkout_has_is_refused(plain: Site) -> None:
    plain.write("theirs/recipes/seqtk/build.yaml", "name: seqtk\n")
    plain.write("ssds.yaml", "catalog: {ssds: catalog, neurocontainers: theirs}\n")
    ended = plain.run("new", "seqtk", "--apt", "seqtk", "--version", "1.3")
    assert ended.code == 1
    assert "error[K012]: two recipes of one name" in ended.err
    assert "theirs/recipes/seqtk/build.yaml" in ended.err
    assert not (plain.workspace / "catalog/seqtk").exists()


def test_the_first_channel_is_named_in_the_recipe(plain: Site) -> None:
    plain.write("catalog/channels.yaml", "local: {kind: layout, location: .ssds/channel}\n")
    plain.good("new", "seqtk", "--apt", "seqtk", "--version", "1.3")
    assert 'publish: ["local"]' in (plain.workspace / "catalog/seqtk/recipe.yaml").read_text()


def test_nothing_is_overwritten(plain: Site) -> None:
    before = (plain.workspace / "catalog/tiny/recipe.yaml").read_bytes()
    check_error(plain.run("new", "tiny", "--apt", "seqtk"), "is there already")
    assert (plain.workspace / "catalog/tiny/recipe.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Upper", "--apt", "x1"], "is not a name"),
        (["../out", "--apt", "x1"], "is not a name"),
        (["new"], "what does new start from?"),
        (["new", "--apt", "x1", "--pip", "y"], "what does new start from?"),
        (["new", "--apt", "x1;reboot", "--version", "1"], "is not a Debian package"),
        (["new", "--apt", "-o=x", "--version", "1"], "is not a Debian package"),
        (["new", "--pip", "y @ https://example.org/y.whl", "--version", "1"], "y"),
        (["new", "--from-archive", "https://example.org/x-1.tar.gz"], "belong together"),
        (["new", "--from-archive", "x", "--sha256", "12"], "belong together"),
        (["new", "--from-archive", "https://example.org/x.tar.gz", "--sha256", HEX], "version"),
        (["new", "--from-archive", "no address", "--sha256", HEX, "--version", "1"], "address"),
        (["new", "--apt", "x1", "--version", "1 2"], "is not a version"),
        (["new", "--apt", "x1", "--version", "latest"], "tag"),
        (["new", "--apt", "x1", "--base", "fedora", "--version", "1"], 'no base "fedora"'),
        (["new", "--apt", "x1", "--version", "1", "--command", "a b"], "name of a command"),
        (["new", "--apt", "x1", "--version", "1", "--license", "not a licence"], "SPDX"),
        (["sites", "--apt", "x1", "--version", "1"], ""),
    ],
)
def test_wrong_words_write_nothing(words: list[str], told: str, plain: Site) -> None:
    before = sorted(plain.workspace.rglob("*"))
    check_error(plain.run("new", *words), told)
    after = sorted(p for p in plain.workspace.rglob("*") if ".ssds" not in p.parts)
    assert after == before


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1.16.1-1", "1.16.1"),
        ("2:1.0-3+deb12u1", "1.0"),
        ("2.24+dfsg-3", "2.24"),
        ("1.0~ds1-2", "1.0"),
        ("20230101", "20230101"),
        ("1.2-rc1-4", "1.2-rc1"),
    ],
)
def test_the_upstream_part_of_a_debian_version_is_taken(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream


@pytest.mark.parametrize(
    ("url", "version"),
    [
        ("https://example.org/seqtk-1.4.tar.gz", "1.4"),
        ("https://example.org/archive/v1.0.20220720.zip", "1.0.20220720"),
        ("https://example.org/tool_2.30.0.orig.tar.xz", "2.30.0"),
        ("https://example.org/bwa-0.7.17a.tgz", "0.7.17a"),
        ("https://example.org/latest.tar.gz", ""),
    ],
)
def test_the_version_of_an_archive_is_in_its_name(url: str, version: str) -> None:
    assert version_of_archive(url) == version


@pytest.mark.component("apt")
def test_the_version_comes_from_the_index_when_it_is_not_given(plain: Site) -> None:
    plain.good("new", "seqtk", "--apt", "seqtk")
    assert 'version: "1.3"' in (plain.workspace / "catalog/seqtk/recipe.yaml").read_text()


@pytest.mark.component("apt")
def test_a_package_that_the_suite_lacks_is_told(plain: Site) -> None:
    check_error(plain.run("new", "x", "--apt", "no-such-package-here"), "has no package")


def test_without_a_declared_base_an_image_is_named_and_no_image_of_a_checkout_is_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkout(tmp_path / "theirs", recipe("- run: [x]"))
    (tmp_path / "ssds.yaml").write_text("catalog: {neurocontainers: theirs}\n")
    words = ["-C", str(tmp_path), "new", "tool", "--apt", "seqtk", "--version", "1.3"]
    assert main(words) == 1
    assert "this catalog has no base" in capsys.readouterr().err
    assert main([*words, "--base", "debian:12"]) == 0
    text = (tmp_path / "catalog/tool/recipe.yaml").read_text()
    assert 'base: {image: "docker.io/library/debian:12"}' in text
    assert main(["-C", str(tmp_path), "check"]) == 0
