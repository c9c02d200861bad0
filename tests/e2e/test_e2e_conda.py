"""A recipe with a conda step, from a channel to a program that runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conda_channel import PLACEHOLDER, Conda, write_channel
from e2e_workspace import Site, check_error

P = PLACEHOLDER.encode()
HELLO = (
    Conda(
        name="hello",
        version="1.0",
        build="h1_0",
        depends=["words >=1", "__glibc >=2.17"],
        files={"bin/hello": b"#!/bin/sh\nexec cat " + P + b"/share/words\n"},
    ),
    Conda(name="words", version="1.2", subdir="noarch", files={"share/words": b"hello\n"}),
    Conda(name="words", version="1.2", build="h0_9", depends=["__glibc >=9"]),
)
RECIPE = """\
name: env
version: "1.0"
summary: A tool of a conda channel.
licenses: [MIT]
platforms: {linux/amd64: required}
base: debian-12
build:
  - conda: {channels: [forge], packages: [hello=1.0]}
  - run: command -v hello > /opt/where
deploy: {commands: [hello]}
tests:
  - {name: says hello, run: "hello; cat /opt/where", stdout_equals: "hello\\n/opt/conda/bin/hello"}
"""


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    write_channel(str(tmp_path / "channels"), HELLO)
    return tmp_path / "channels"


def locked(site: Site, channels: Path) -> Site:
    site.environment["SSDS_MIRROR_CONDA"] = f"file://{channels}"
    site.write("catalog/env/recipe.yaml", RECIPE)
    site.good("lock", "env")
    return site


def layers(site: Site) -> list[str]:
    half = site.lock("env")["variants"]["default"]["platforms"]["linux/amd64"]["release"]
    return [layer["diff_id"] for layer in half["layers"]]


def test_a_conda_recipe_is_locked_built_tested_and_listed(
    new_site, channels: Path, tmp_path: Path
) -> None:
    site = locked(new_site(), channels)
    lock = site.lock("env")["variants"]["default"]["platforms"]["linux/amd64"]["pins"]
    packages = lock["packages"]["build/0"]["packages"]
    assert [(p["name"], p["version"], p["build"], p["architecture"]) for p in packages] == [
        ("hello", "1.0", "h1_0", "linux-64"),
        ("words", "1.2", "h0_0", "noarch"),
    ]
    assert str(tmp_path) not in json.dumps(lock)
    site.good("apply", "--yes", "env")
    site.good("lock", "--check", "env")
    assert site.plan("env") == {}
    claims = site.lock("env")["variants"]["default"]["platforms"]["linux/amd64"]["latest"]
    sbom = json.loads(site.blob(claims["sbom"]["outputs"]["sbom"]).read_bytes())
    purls = {c.get("purl") for c in sbom["components"]}
    assert "pkg:conda/hello@1.0?build=h1_0&channel=forge&subdir=linux-64" in purls

    site.good("render", "env", "--format", "dockerfile", "--out", str(tmp_path / "rendered"))
    linked = [path for path in (tmp_path / "rendered").rglob("tree/bin/hello") if path.is_file()]
    assert "exec cat /opt/conda/share/words" in linked[0].read_text()
    assert "CONDA_PREFIX" in (tmp_path / "rendered/Dockerfile").read_text()

    # another store and another mirror give the same bytes
    moved = tmp_path / "elsewhere"
    shutil.copytree(channels, moved)
    other = new_site()
    other.environment["SSDS_MIRROR_CONDA"] = f"file://{moved}"
    other.write("catalog/env/recipe.yaml", RECIPE)
    shutil.copy(site.workspace / "lockfiles/env@1.0.lock.json", other.workspace / "lockfiles")
    other.good("apply", "--yes", "env")
    assert layers(other) == layers(site)

    # what has left the channel is renewed only when somebody asks, and the difference reads well
    before = (site.workspace / "lockfiles/env@1.0.lock.json").read_bytes()
    shutil.rmtree(channels)
    newer = Conda(name="words", version="1.3", subdir="noarch", files={"share/words": b"hi\n"})
    write_channel(str(channels), (*HELLO, newer))
    assert "Nothing" in site.good("lock", "env").out
    told = json.loads(site.run("outdated", "--json", "env").out)["pins"]
    assert [(p["name"], p["newest"], p["by"]) for p in told if p["sort"] == "conda"] == [
        ("hello", "1.0", ""),
        ("words", "1.3", "lock"),
    ]
    site.good("lock", "--upgrade", "words", "env")
    (tmp_path / "old.json").write_bytes(before)
    new = site.workspace / "lockfiles/env@1.0.lock.json"
    told = site.run("lock", "diff", str(tmp_path / "old.json"), str(new)).out
    assert "build/0 package words:noarch: 1.2 h0_0 -> 1.3 h0_0\n1 difference" in told
    why = site.good("explain", "env@1.0:build").out
    assert "words" in why, why


def test_what_cannot_be_locked_or_built_is_named(site: Site, channels: Path) -> None:
    locked(site, channels)
    site.edit("catalog/env/recipe.yaml", "hello=1.0", "helo")
    place = "--> catalog/env/recipe.yaml:8:5  (build[0])"
    check_error(site.run("lock", "env"), "'helo'", "Did you mean hello?", place)
    site.edit("catalog/env/recipe.yaml", "helo", "hello=1.0")
    path = channels / "forge/linux-64/hello-1.0-h1_0.conda"
    path.write_bytes(path.read_bytes()[:-40] + b"x" * 40)
    check_error(site.run("apply", "--yes", "env"), "hello-1.0-h1_0.conda", "other bytes")
