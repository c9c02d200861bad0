"""``ssds lock --check`` and ``--locked`` resolve nothing and name every pin, with its place."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from e2e_workspace import ROOT, Site, assert_no_traceback, check_error

SHA = "a" * 64


def with_source(site: Site, *, more: str = "") -> None:
    """Gives the recipe ``tiny`` a source with an address and a sha256."""
    path = "catalog/tiny/recipe.yaml"
    source = f"  code: {{url: https://example.org/code.tar, sha256: {SHA}}}"
    site.edit(path, "build:\n", f"sources:\n{source}\nbuild:\n{more}")
    site.edit(path, "  - run: |", "  - copy: {source: code, to: /c/}\n  - run: |")


def test_every_pin_that_is_missing_is_told_at_its_place(plain: Site) -> None:
    with_source(plain, more="  - apt: [zlib1g, bzip2]\n")
    ended = plain.run("lock", "--check")
    assert ended.code == 2, ended.text
    assert_no_traceback(ended)
    assert "error[L032]: a pin is missing\n  --> catalog/tiny/recipe.yaml:6:1  (base)" in ended.err
    assert "  --> catalog/tiny/recipe.yaml:8:3  (sources.code)\n      pin  source code" in ended.err
    assert "      of   tiny@1.0 [linux/amd64]" in ended.err
    assert ended.err.endswith("\n3 errors\n"), ended.err  # the apt set waits for the base
    told = json.loads(plain.run("lock", "--check", "--json", "tiny").out)
    assert told["ok"] is False
    assert [d["address"] for d in told["diagnostics"]] == ["base", "sources.code"]
    assert not (plain.workspace / "lockfiles/tiny@1.0.lock.json").exists()


def test_locked_resolves_nothing_and_names_each_pin(plain: Site) -> None:
    ended = plain.run("lock", "--locked")
    check_error(ended, "E082", "tiny@1.0 [linux/amd64]: base debian-12 (missing)")
    assert "ground@1.0 [linux/amd64]: base debian-12 (missing)" in ended.err
    assert list((plain.workspace / "lockfiles").iterdir()) == []


def test_a_lock_that_answers_passes_both(site: Site) -> None:
    assert site.good("lock", "--check").out == "Every pin answers its request.\n"
    assert site.good("lock", "--locked").out.startswith("Nothing to lock")


def test_a_stale_pin_is_told_with_its_place_in_recipe_and_lock(site: Site) -> None:
    path = "catalog/tiny/recipe.yaml"
    with_source(site)
    site.good("lock")  # an address with a sha256 is pinned without asking anybody
    site.edit(path, SHA, "b" * 64)
    site.edit(
        "catalog/bases.yaml", "  components: [main]", "  components: [main]\n  include: [curl]"
    )
    ended = site.run("lock", "--check")
    assert ended.code == 2, ended.text
    assert ended.err.count("error[L033]") == 2
    assert "  --> catalog/bases.yaml:1:1  (debian-12)" in ended.err
    assert "ground@1.0 [linux/amd64], tiny@1.0 [linux/amd64]" in ended.err
    assert "lock  lockfiles/catalog.lock.json:" in ended.err
    assert f"  --> {path}:8:3  (sources.code)" in ended.err
    lines = (site.workspace / "lockfiles/tiny@1.0.lock.json").read_text().splitlines()
    at = next(n for n, line in enumerate(lines, 1) if '"code": {' in line)
    assert f"lock  lockfiles/tiny@1.0.lock.json:{at}:" in ended.err
    check_error(site.run("lock", "--locked"), "source code (stale)")


def test_options_that_do_not_go_together_are_refused(plain: Site) -> None:
    check_error(plain.run("lock", "--check", "--upgrade", "all"), "E201")
    check_error(plain.run("lock", "--locked", "--upgrade", "apt"), "E201")
    check_error(plain.run("lock", "--json"), "E201")
    check_error(plain.run("lock", "--upgrade", "nonsense"), "E200", "nonsense")


def test_outdated_says_who_gave_no_answer(site: Site, tmp_path: Path) -> None:
    with_source(site)
    site.good("lock")
    nowhere = {"SSDS_MIRROR_DEBIAN": f"file://{tmp_path}/nothing"}
    ended = site.run("outdated", **nowhere)
    assert_no_traceback(ended)
    assert ended.code == 1, ended.text
    assert ended.out.endswith("2 pins: 0 newer, 2 not known, 0 current.\n")
    told = json.loads(site.run("outdated", "--json", **nowhere).out)
    schema = json.loads((ROOT / "schemas/outdated.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(told)
    states = {(pin["sort"], pin["name"]): (pin["state"], pin["failed"]) for pin in told["pins"]}
    assert states == {
        ("base", "debian-12"): ("unknown", True),
        ("source", "code"): ("unknown", False),
    }


def test_outdated_of_what_is_not_locked_has_no_pins(plain: Site) -> None:
    assert plain.good("outdated").out == "0 pins: 0 newer, 0 not known, 0 current.\n"
    assert not (plain.workspace / ".ssds").exists() or not list(plain.workspace.glob(".ssds/.*"))
