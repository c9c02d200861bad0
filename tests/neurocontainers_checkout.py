"""Small checkouts of NeuroDesk's format, of our own writing, and what their recipes become."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

import yaml

from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.recipe.catalog import CatalogReading, read_catalog
from ssds.recipe.model import Target
from ssds.render.plain import plain_dockerfile

NAME = ReleaseName("small", "1.0")
AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")

HEAD = """\
name: small
version: "1.0"
architectures: [x86_64, aarch64]
categories: [programming]
icon: "data:image/png;base64,AAAA"
copyright:
  - license: MIT
readme: A small tool.
"""
BUILD = """\
build:
  kind: neurodocker
  base-image: debian:12
  pkg-manager: apt
  add-default-template: false
  directives:
"""

TEMPLATE = """\
name: tool
binaries:
  arguments:
    required: [version]
    optional:
      install_path: /opt/tool-{{ self.version }}
      extra: ''
  urls:
    '2.0': https://example.org/tool-2.0-{{ self.arch }}.tar.gz
  dependencies:
    apt: [curl, ca-certificates]
    debs: [https://example.org/b.deb]
    yum: [curl]
  directives:
    - environment:
        TOOL_HOME: '{{ self.install_path }}'
        PATH: '{{ self.install_path }}/bin:$PATH'
    - run: |
        {{ self.install_dependencies() }}
        curl -fsSL {{ self.urls[self.version] }} | tar -xz -C {{ self.install_path }}
        {% if self.extra -%}
        tool add {% for w in self.extra.split() %}{{ w }}{{ '' if loop.last else ' ' }}{% endfor %}
        {% endif -%}
        echo {{ self.nothing }}done
    - install: [tool-doc]
source:
  arguments: {required: [version]}
  env: {BUILT: 'yes'}
  instructions: make {{ self.version }}
"""

MACRO = """\
directives:
  - workdir: /opt/macro
  - run: ['echo {{ flavour | default("plain") }}']
  - install: [late]
    condition: (flavour | default("plain")) == "plain"
"""


def recipe(directives: str, *, head: str = HEAD, build: str = BUILD, tail: str = "") -> str:
    """Returns the text of a recipe with these directives."""
    return head + build + textwrap.indent(textwrap.dedent(directives), "    ") + tail


def write_checkout(
    folder: Path, text: str, *, name: str = "small", files: Mapping[str, str] | None = None
) -> Path:
    """Writes a checkout with one recipe, one template and one macro; returns its folder."""
    for path, content in {
        f"recipes/{name}/build.yaml": text,
        "builder/templates/tool.yaml": TEMPLATE,
        "macros/flavours/base.yaml": MACRO,
        **{f"recipes/{name}/{path}": content for path, content in (files or {}).items()},
    }.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return folder


def read(checkout: Path) -> CatalogReading:
    """Returns what a workspace beside the checkout reads of it."""
    return read_catalog(
        str(checkout.parent),
        checkouts={"neurocontainers": str(checkout)},
        collector=Collector(),
    )


def target(checkout: Path, name: ReleaseName = NAME, platform: Platform = AMD64) -> Target:
    """Returns one target of a good checkout."""
    reading = read(checkout)
    assert not reading.collector.failed, list(reading.collector)
    return reading.catalog.releases[name].targets[platform]


def instructions(checkout: Path, name: ReleaseName = NAME, platform: Platform = AMD64) -> list[str]:
    """Returns the instructions of a target, one line each, between the usual ones at both ends."""
    found = target(checkout, name, platform)
    text = plain_dockerfile(found, "base").replace("\\\n", "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("RUN mkdir -p /afm01"))
    end = next(i for i, line in enumerate(lines) if line.startswith("ENV DEPLOY_PATH="))
    return lines[start + 1 : end]


def edited(checkout: Path, change: Mapping[str, object], name: str = "small") -> None:
    """Changes top-level fields of a recipe."""
    path = checkout / "recipes" / name / "build.yaml"
    data = yaml.safe_load(path.read_text())
    data.update(change)
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def corpus() -> str:
    """Returns the folder of a whole checkout of NeuroDesk's, or the empty text."""
    return os.environ.get("SSDS_NEUROCONTAINERS", "")
