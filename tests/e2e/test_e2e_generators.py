"""Steps of others' generators are built for real, from files that the test itself provides."""

from __future__ import annotations

import hashlib

from e2e_workspace import Site

PROGRAM = "#!/bin/sh\necho jq-1.7 of the test\n"
RECIPE = """\
name: generated
version: "1.0"
summary: Built by a template of neurodocker.
licenses: [MIT]
platforms: {linux/amd64: required}
base: debian-12
sources:
  program: {url: "https://downloads.example.org/jq/jq-linux64", sha256: "%s"}
build:
  - neurodocker: {template: jq, version: "1.7", source: program}
deploy: {commands: [jq]}
tests:
  - {name: is the source's, run: jq, stdout_equals: jq-1.7 of the test, time_limit_s: 60}
"""


def test_a_neurodocker_template_builds_a_declared_source_without_network(site: Site) -> None:
    files = site.folder / "files" / "jq"
    files.mkdir(parents=True)
    (files / "jq-linux64").write_text(PROGRAM)
    upstream = f"upstream: {{'https://downloads.example.org/': 'file://{files.parent}/'}}\n"
    site.edit("ssds.yaml", "jobs: 1\n", f"jobs: 1\n{upstream}")
    digest = hashlib.sha256(PROGRAM.encode()).hexdigest()
    site.write("catalog/generated/recipe.yaml", RECIPE % digest)
    site.good("lock", "generated")
    assert "impure" not in site.good("plan", "generated").out
    site.good("apply", "--yes", "generated")
    release = site.lock("generated")["variants"]["default"]["platforms"]["linux/amd64"]
    assert release["latest"]["test"], release
    assert all(verb == "=" for verb, _ in site.plan("generated").values())
    shown = site.good("render", "generated").out
    assert "file:///run/ssds/sources/program/jq-linux64" in shown
