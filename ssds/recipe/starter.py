"""The text of a new recipe: complete and valid, with places that ask for more. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ssds.core.records import dataclass, field

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_CHANNELS = ("conda-forge", "bioconda")
TOOLS = {
    "cmake": ("cmake", "g++", "gcc", "libc6-dev", "make"),
    "configure": ("gcc", "libc6-dev", "make"),
    "make": ("gcc", "libc6-dev", "make"),
}
"""How an archive is built → the packages that it takes at least."""
_LICENCES = (
    ("Apache License", "Version 2.0", "Apache-2.0"),
    ("Mozilla Public License", "2.0", "MPL-2.0"),
    ("Permission is hereby granted, free of charge", "MERCHANTABILITY", "MIT"),
    ("Redistribution and use in source and binary forms", "Neither the name", "BSD-3-Clause"),
    ("Redistribution and use in source and binary forms", "", "BSD-2-Clause"),
    ("Permission to use, copy, modify, and", "ISC", "ISC"),
)
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a new recipe starts from; one of apt, pip, conda, url, step is given.

    Attributes:
        apt: Debian packages.
        pip: Python requirements, exact (``nibabel==5.3.2``).
        conda, channels: conda packages and where they come from.
        url, sha256: of a source archive; ``way`` says how it is built (a key of TOOLS).
        step: the type and the fields of a generator's step; it reads the source ``download``
            where ``url`` is given.
        commands: what it offers; the first one is tested.
        license_: an SPDX expression.
        schema: where an editor finds the schema, relative to the recipe.
    """

    name: str
    version: str
    base: str
    summary: str
    license_: str
    homepage: str = ""
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    channels: tuple[str, ...] = DEFAULT_CHANNELS
    url: str = ""
    sha256: str = ""
    way: str = ""
    step: tuple[str, Mapping[str, str]] = field(default_factory=lambda: ("", {}))
    commands: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an index or a file says of a piece of software; empty where it says nothing."""

    version: str = ""
    summary: str = ""
    license_: str = ""
    homepage: str = ""
    commands: tuple[str, ...] = ()


def upstream_version(debian: str) -> str:
    """Returns the upstream part of a Debian version (deb-version(7)): no epoch, no revision."""
    text = debian.rpartition("-")[0] or debian
    text = text.partition(":")[2] or text
    return re.sub(r"[+~.](?:dfsg|ds|repack|really).*$", "", text)


def version_of_archive(url: str) -> str:
    """Returns the version in an archive's file name (``seqtk-1.4.tar.gz``), or the empty string."""
    found = re.search(r"[-_/]v?(\d+(?:\.\d+)*[a-z]?)(?:\.orig)?\.(?:tar\.\w+|tgz|zip)$", url)
    return found[1] if found else ""


def version_of_tag(tag: str) -> str:
    """Returns the version that a tag stands for (``v1.4`` → ``1.4``), or the empty string."""
    found = re.search(r"(?:^|[-_/v])(\d[A-Za-z0-9._+]*)$", tag)
    return found[1] if found else ""


def newest_tag(tags: list[str]) -> str:
    """Returns the tag with the highest plain version, or the empty string."""
    numbered = [
        (tuple(map(int, found[1].split("."))), tag)
        for tag in tags
        if (found := re.fullmatch(r"v?(\d{1,9}(?:\.\d{1,9})*)", tag))
    ]
    return max(numbered)[1] if numbered else ""


def licence_of_text(text: str) -> str:
    """Returns the SPDX identifier of a licence's text, of those whose text alone tells it."""
    words = " ".join(text[:20_000].split())
    return next(
        (name for first, second, name in _LICENCES if first in words and second in words), ""
    )


def facts_of_debian(paragraph: str) -> Facts:
    """Returns what ``apt-cache show`` says of a package (deb-control(5))."""
    fields = dict(re.findall(r"^([A-Za-z0-9-]+): *(.*)$", paragraph, re.MULTILINE))
    told = fields.get("Description-en") or fields.get("Description", "")
    return Facts(
        version=upstream_version(fields.get("Version", "")),
        summary=_line(told),
        homepage=_web(fields.get("Homepage", "")),
    )


def facts_of_wheel(metadata: str, entry_points: str) -> Facts:
    """Returns what a wheel says of itself (core metadata 2.4; entry points specification)."""
    from email.parser import HeaderParser

    from ssds.recipe.formats.ssds_metadata import license_problem

    told = HeaderParser().parsestr(metadata)
    classified = [
        _CLASSIFIERS[word]
        for text in told.get_all("Classifier", [])
        if (word := text.rpartition(" :: ")[2].strip()) in _CLASSIFIERS
    ]
    stated = [told.get("License-Expression", ""), *set(classified), told.get("License", "")]
    plain = [t for t in stated if t and len(t) < 100 and "\n" not in t and not license_problem(t)]
    links = {
        label.strip().lower(): address.strip()
        for label, _, address in (t.partition(",") for t in told.get_all("Project-URL", []))
    }
    pages = [told.get("Home-page", ""), *(links.get(w, "") for w in ("homepage", "repository"))]
    script = re.search(r"(?ms)^\[console_scripts\]$(.*?)(?=^\[|\Z)", entry_points)
    own = script[1] if script else ""
    names = re.findall(r"(?m)^\s*([A-Za-z0-9_][A-Za-z0-9._+-]*)\s*=", own)
    return Facts(
        version=told.get("Version", ""),
        summary=_line(told.get("Summary", "")),
        license_=plain[0] if plain else "",
        homepage=next(filter(None, map(_web, [*pages, *links.values()])), ""),
        commands=tuple(dict.fromkeys(names)),
    )


def way_of(names: list[str]) -> str:
    """Returns how an archive is built, by the names of the files at its top."""
    for file, way in (("configure", "configure"), ("CMakeLists.txt", "cmake")):
        if file in names:
            return way
    return "make" if {"Makefile", "makefile", "GNUmakefile"} & set(names) else ""


def _line(text: str) -> str:
    line = " ".join(text.split())
    line = "".join(c for c in line if c.isprintable())[:190].strip()
    return line[:1].upper() + line[1:]


def _web(text: str) -> str:
    return text if re.fullmatch(r"https?://[!-~]{3,500}", text) else ""


def starter_recipe(start: Start) -> str:
    """Returns the recipe's YAML."""
    lines = [f"# yaml-language-server: $schema={start.schema}"] if start.schema else []
    lines += [
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
    kind, fields = start.step
    if kind:
        lines = []
        if start.url:
            lines = ["sources:", "  download:", f"    url: {_text(start.url)}"]
            lines += [f"    sha256: {_text(start.sha256)}"]
        told = [f"      {key}: {value}" for key, value in fields.items()]
        return [*lines, "build:", f"  - {kind}:", *told]
    if start.apt:
        return ["build:", f"  - apt: {_list(start.apt)}"]
    if start.conda:
        own = f"channels: {_list(start.channels)}, packages: {_list(start.conda)}"
        return ["build:", f"  - conda: {{{own}}}"]
    if start.pip:
        return ["build:", '  - apt: ["python3"]', f"  - pip: {_list(start.pip)}"]
    return _build_archive(start)


def _build_archive(start: Start) -> list[str]:
    place = f"/opt/{start.name}"
    scripts = {
        "cmake": [
            f"cmake -S . -B out -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX={place}",
            "cmake --build out -j 2",
            "cmake --install out",
        ],
        "configure": [f"./configure --prefix={place}", "make -j 2", "make install"],
        "make": ["make -j 2", f"make install prefix={place} PREFIX={place}"],
        "": [
            f"if [ -x configure ]; then ./configure --prefix={place}; fi",
            "make -j 2",
            f"make install prefix={place} PREFIX={place}",
        ],
    }
    return [
        "sources:",
        "  archive:",
        f"    url: {_text(start.url)}",
        f"    sha256: {_text(start.sha256)}",
        "    unpack: true",
        "build:",
        "  - run:",
        "      # These reach no image; add what the sources need (zlib1g-dev, …).",
        f"      tools: {_list(TOOLS[start.way or 'make'])}",
        '      sources: ["archive"]',
        "      script: |",
        "        mkdir /tmp/build",
        "        cp -r /run/ssds/sources/archive/*/. /tmp/build",
        "        cd /tmp/build",
        *(f"        {line}" for line in scripts[start.way]),
        "  - env:",
        f"      PATH: {_text(f'{place}/bin:{_PATH}')}",
    ]


def _test(start: Start) -> list[str]:
    note = [
        "tests:",
        "  # A start only. Let the tool do its work on a real file and check the answer by another",
        "  # way; docs/how-to/add-a-recipe.md says how.",
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
    if start.commands:
        name = start.commands[0]
        return [
            *note,
            f"  - name: {name} is there",
            f"    run: command -v {name}",
            f"    stdout: {_list((f'/{name}',))}",
        ]
    package = start.apt[0].partition("=")[0]
    return [
        *note,
        "  - name: is installed",
        f"    run: dpkg-query --status {package}",
        '    stdout: ["install ok installed"]',
    ]
