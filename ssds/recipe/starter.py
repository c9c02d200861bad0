"""The text of a new recipe: complete and valid, with places that ask for more. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a new recipe starts from; one of apt, pip, url is given.

    Attributes:
        apt: Debian packages.
        pip: Python requirements, exact (``nibabel==5.3.2``).
        url, sha256: of a source archive.
        commands: what it offers; the first one is tested.
        license_: an SPDX expression.
    """

    name: str
    version: str
    base: str
    summary: str
    license_: str
    homepage: str = ""
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    url: str = ""
    sha256: str = ""
    commands: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()


def upstream_version(debian: str) -> str:
    """Returns the upstream part of a Debian version (deb-version(7)): no epoch, no revision."""
    text = debian.rpartition("-")[0] or debian
    text = text.partition(":")[2] or text
    return re.sub(r"[+~.](?:dfsg|ds|repack|really).*$", "", text)


def version_of_archive(url: str) -> str:
    """Returns the version in an archive's file name (``seqtk-1.4.tar.gz``), or the empty string."""
    found = re.search(r"[-_/]v?(\d+(?:\.\d+)*[a-z]?)(?:\.orig)?\.(?:tar\.\w+|tgz|zip)$", url)
    return found[1] if found else ""


def starter_recipe(start: Start) -> str:
    """Returns the recipe's YAML."""
    lines = [
        f"name: {start.name}",
        f"version: {_text(start.version)}",
        f"summary: {_text(start.summary)}",
    ]
    if start.homepage:
        lines.append(f"homepage: {_text(start.homepage)}")
    lines += [
        "# An SPDX expression of what the image holds; look into the package itself.",
        f"licenses: [{_text(start.license_)}]",
        "platforms: {linux/amd64: required}",
        f"base: {start.base}",
        *_build(start),
    ]
    if start.commands:
        lines += ["deploy:", f"  commands: {_list(start.commands)}"]
    lines += _test(start)
    if start.publish:
        lines.append(f"publish: {_list(start.publish)}")
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Returns YAML's double-quoted form, which JSON's is; two braces are no template."""
    return json.dumps(text.replace("{{", "{{ '{{' }}"), ensure_ascii=False)


def _list(words: tuple[str, ...]) -> str:
    return "[" + ", ".join(_text(word) for word in words) + "]"


def _build(start: Start) -> list[str]:
    if start.apt:
        return ["build:", f"  - apt: {_list(start.apt)}"]
    if start.pip:
        return ["build:", '  - apt: ["python3"]', f"  - pip: {_list(start.pip)}"]
    return [
        "sources:",
        "  archive:",
        f"    url: {_text(start.url)}",
        f"    sha256: {_text(start.sha256)}",
        "    unpack: true",
        "build:",
        "  - run:",
        "      # These reach no image; add what the sources need (zlib1g-dev, cmake, …).",
        '      tools: ["gcc", "libc6-dev", "make"]',
        '      sources: ["archive"]',
        "      script: |",
        "        mkdir /tmp/build",
        "        cp -r /run/ssds/sources/archive/*/. /tmp/build",
        "        cd /tmp/build",
        f"        if [ -x configure ]; then ./configure --prefix=/opt/{start.name}; fi",
        "        make -j 2",
        f"        make install prefix=/opt/{start.name} PREFIX=/opt/{start.name}",
        "  - env:",
        f"      PATH: {_text(f'/opt/{start.name}/bin:{_PATH}')}",
    ]


def _test(start: Start) -> list[str]:
    note = [
        "tests:",
        "  # A start only. Let the tool do its work on a real file and check the answer by another",
        "  # way; docs/how-to/add-a-recipe.md says how.",
    ]
    if start.commands:
        name = start.commands[0]
        return [
            *note,
            f"  - name: {name} is there",
            f"    run: command -v {name}",
            f"    stdout: {_list((f'/{name}',))}",
        ]
    if start.pip:
        project = re.split(r"[^A-Za-z0-9_.-]", start.pip[0])[0]
        module = project.replace("-", "_").lower()
        python = f'import {module}, importlib.metadata as m; print(m.version("{project}"))'
        return [
            *note,
            "  - name: can be imported",
            f"    run: python3 -c '{python}'",
            f"    stdout: {_list((start.version,))}",
        ]
    package = start.apt[0].partition("=")[0]
    return [
        *note,
        "  - name: is installed",
        f"    run: dpkg-query --status {package}",
        '    stdout: ["install ok installed"]',
    ]
