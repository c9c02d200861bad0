"""A recipe on a range of another, with the real builder: what moves, what stays, what is told."""

from __future__ import annotations

import json

import pytest
from e2e_workspace import Site, check_error

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]

LIB = """\
name: lib
versions: {%s}
summary: A library for tests.
licenses: [MIT]
base: debian-12
build:
  - file: {path: /opt/lib/version, content: "lib {{ version }}\\n"}
tests: [{name: is there, run: cat /opt/lib/version, stdout: ["lib {{ version }}"]}]
"""
APP = """\
name: app
version: "1.0"
summary: Stands on the library.
licenses: [MIT]
base: {recipe: lib, version: "%s"}
build:
  - run: sed s/lib/app-on/ /opt/lib/version > /opt/lib/app
tests: [{name: is there, run: cat /opt/lib/app, stdout: ["app-on 1."]}]
"""


def write(site: Site, versions: str, asked: str = ">=1,<2") -> None:
    site.write("catalog/lib/recipe.yaml", LIB % ", ".join(f'"{v}": {{}}' for v in versions.split()))
    site.write("catalog/app/recipe.yaml", APP % asked)


def pinned(site: Site) -> str:
    section = site.lock("app")["variants"]["default"]["platforms"]["linux/amd64"]
    return str(section["pins"]["recipes"]["lib"]["version"])


@pytest.mark.slow
def test_a_pinned_range_builds_stays_and_moves_when_asked(site: Site) -> None:
    write(site, "1.9 1.10 2.0")
    unlocked = site.plan("app")
    assert unlocked["app@1.0:build"] == ("unknown", "not locked: recipe lib")
    check_error(site.run("apply", "--yes", "app"), "not locked", "app@1.0:build")
    locked = site.good("lock", "app")
    assert "recipe lib 1.10 for >=1,<2" in locked.err
    assert pinned(site) == "1.10"
    site.good("apply", "--yes", "app")
    assert {"lib@1.10:build", "app@1.0:build", "app@1.0:test"} <= site.executed()
    assert not any(node.startswith("lib@2.0") for node in site.states())
    shown = json.loads(site.good("show", "app", "--json").out)
    assert shown[0]["platforms"]["linux/amd64"]["recipes"] == {"lib": "1.10"}
    why = json.loads(site.good("explain", "app:build", "--json").out)
    assert why[0]["recipes"] == {"lib": {"asked": ">=1,<2", "pinned": "1.10"}}
    assert "recipe lib" in site.good("explain", "app:build").out

    write(site, "1.9 1.10 1.11 2.0")  # a newer one moves nothing
    before = site.locks()
    assert "Nothing to lock" in site.good("lock", "app").out
    assert site.locks() == before
    assert site.run("plan", "app", "--detailed-exitcode").code == 0

    site.good("lock", "--upgrade", "recipes", "app")
    assert pinned(site) == "1.11"
    steps = site.plan("app")
    assert steps["app@1.0:build"] == ("unknown", "known after lib@1.11:build [linux/amd64]")
    site.good("apply", "--yes", "app")
    assert site.lock("app")["variants"]["default"]["revision"] == 2


def test_removing_what_a_pin_names_is_refused_until_it_has_moved(site: Site) -> None:
    write(site, "1.9 1.10")
    site.good("lock", "app", "lib")
    write(site, "1.9")
    before = site.locks()
    for command in (("plan",), ("apply", "--yes", "--lock"), ("lock",), ("lock", "--check")):
        check_error(site.run(*command), "E087", "lib@1.10", "app@1.0 [linux/amd64]", "--upgrade")
    checked = site.run("check")
    assert checked.code == 1
    assert "L029" in checked.err
    assert "lockfiles/app@1.0.lock.json" in checked.err
    assert site.locks() == before
    site.good("lock", "--upgrade", "recipes", "app")
    assert pinned(site) == "1.9"
    assert site.good("check").code == 0
    gone = site.plan()
    assert gone["lib@1.10:lock"] == ("remove", "no longer in the catalog")
