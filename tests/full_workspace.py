"""The workspace around the recipe that uses every field: its neighbours, files and pins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml
from makers import pinned, shared_pins

from ssds.core.digest import sha256_of
from ssds.core.model import ReleaseName
from ssds.core.pins import GitPlace, PinnedFile, PlatformPins, SharedPins, SourcePin
from ssds.core.platform import Platform
from ssds.kinds.build.requests import source_request
from ssds.recipe.model import Catalog

FULL_TEXT = (Path(__file__).parent / "recipe/full-recipe.yaml").read_text(encoding="utf-8")
FULL = yaml.safe_load(FULL_TEXT)
GENERATED = [
    {
        "neurodocker": {
            "template": "dcm2niix",
            "version": "v1.0.20250506",
            "method": "source",
            "args": {"install_path": "/opt/converter"},
            "source": "program",
            "network": False,
        }
    },
    {
        "hpccm": {
            "blocks": [
                {"gnu": {"fortran": False}},
                {"openmpi": {"version": "4.1.6", "toolchain": "gnu", "source": "tarball"}},
                {"generic_build": {"source": "tarball", "devel_environment": {"X": "1"}}},
            ],
            "distro": "ubuntu22",
        }
    },
    {
        "spack": {
            "specs": ["zlib@1.3"], "ref": "v0.23.1", "git": "https://example.org/spack.git",
            "prefix": "/opt/own", "mirror": "code", "tools": ["gcc"], "libraries": ["libgomp1"],
            "network": False,
        }
    },
    {
        "easybuild": {
            "easyconfig": "zlib-1.3.1.eb", "version": "5.4.1", "prefix": "/opt/easy",
            "sources": ["program"], "tools": ["gcc"], "network": False,
        }
    },
    {
        "easybuild": {
            "file": "more.eb", "version": "5.4.1", "prefix": "/opt/other", "sources": ["program"],
        }
    },
]  # fmt: skip
"""A step of each generator: in no golden key, for their packages change what comes of them."""
GENERATED_SOURCES = {
    "program": {"url": "https://example.org/program", "sha256": "4e" * 32, "insecure": False},
    "tarball": {"url": "https://example.org/x-1.tar.gz", "sha256": "5e" * 32},
}
AS_DOCKER = [
    {
        "run": {
            "plain": True,
            "files": {
                "in.txt": {"content": "one", "executable": True},
                "own": {"local": "files/a"},
                "code": {"source": "seen"},
            },
            "script": "cat /run/ssds/files/in.txt",
        }
    },
    {"copy": {"file": "new.txt", "content": "two", "to": "/etc/new.txt", "merge": True}},
    {"workdir": "/$FULL", "expand": True},
    {"user": "$FULL", "expand": True},
]
"""Steps as a Dockerfile has them: in no golden key, for they are younger than those."""
MORE = {
    "sources": {
        **FULL["sources"],
        **GENERATED_SOURCES,
        "seen": {"url": "https://example.org/seen", "sha256": "6e" * 32},
    },
    "build": [*FULL["build"], *GENERATED, *AS_DOCKER],
    "aliases": ["older"],
    "extra": {"theirs": {"field": "{{ name }}"}},
    "suite": "suite.yaml",
}
"""The full recipe's younger fields."""
OTHER = (
    "name: other\nversions: {'1': {}, '2': {}}\nvariants: {default: {}, v: {}}\nsummary: s\n"
    "licenses: [MIT]\nbase: d\nbuild: []\ntests: [{name: t, run: x, stdout: [y]}]\n"
    "platforms: {linux/amd64: required, linux/arm64: required}\n"
)


def write_neighbours(root: Path) -> None:
    """Writes all that the full recipe names beside itself; the recipe is left to the caller."""
    catalog = root / "catalog"
    for name in ("full/files", "full/more", "other", "another"):
        (catalog / name).mkdir(parents=True)
    for name in (
        "more.eb",
        "new.eb",
        "icon.svg",
        "new.svg",
        "README.md",
        "NEW.md",
        "files/a",
        "more/b",
    ):
        (catalog / "full" / name).write_text(name)
    for name, command in (("suite.yaml", "full"), ("new-suite.yaml", "full --new")):
        suite = f"name: full\nversion: 1\ntests: [{{name: runs, command: {command}}}]\n"
        (catalog / "full" / name).write_text(suite)
    (catalog / "bases.yaml").write_text("d: {suite: x, platforms: [linux/amd64, linux/arm64]}")
    (catalog / "policies.yaml").write_text("default: {}\nstrict: {allow_network: false}")
    (catalog / "channels.yaml").write_text("local: {kind: layout, location: dist, sif: true}")
    (catalog / "other/recipe.yaml").write_text(OTHER)
    (catalog / "another/recipe.yaml").write_text(OTHER.replace("other", "another"))


def answered(
    catalog: Catalog,
) -> tuple[SharedPins, dict[tuple[ReleaseName, Platform], PlatformPins]]:
    """Returns pins for every request; a source without a digest has that of its request."""
    pins = pinned(catalog)
    for (name, platform), own in pins.items():
        asked = catalog.releases[name].targets[platform].sources
        answers = {
            key: SourcePin(
                request=source_request(source),
                file=PinnedFile(
                    name="file",
                    digest=source.sha256 or sha256_of(str(source_request(source)).encode()),
                ),
                git=GitPlace(commit="a" * 40, tree="b" * 40, folder="f", empty_submodules=True)
                if source.git
                else None,
            )
            for key, source in asked.items()
        }
        pins[name, platform] = replace(own, sources=answers)
    return shared_pins(catalog), pins
