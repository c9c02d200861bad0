"""Each field of a recipe affects exactly the kinds that it should: a table over the schema.

A new field of ``schemas/recipe.schema.json`` fails here until a row says what it re-runs. "Affects"
means that what a kind itself sees differs; what comes after it runs only where an input came out
differently. Forms of one meaning are in ``test_slices_by_form.py``, what recipes share in
``test_slices_of_shared_files.py``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from full_workspace import FULL as PLAIN
from full_workspace import FULL_TEXT, GENERATED, MORE, write_neighbours
from slices import Sights, differing, fields_of, has, put, seen_by_kinds, unknown_words

from ssds.core.model import KINDS
from ssds.graph import compile as graph_compile
from ssds.kinds.test import spec as test_spec
from ssds.recipe.address import parse_address
from ssds.recipe.catalog import read_catalog
from ssds.recipe.schema import schema_bytes
from ssds.recipe.steps import Step

FULL = {**PLAIN, **MORE}
NEURODOCKER = f"build[{len(PLAIN['build'])}].neurodocker"
_DOCKER = len(PLAIN["build"]) + len(GENERATED)
DOCKER_RUN, DOCKER_COPY = f"build[{_DOCKER}].run", f"build[{_DOCKER + 1}].copy"
EVERYTHING = "build deploytest gate index metadata publish sbom scan sif test"
# schema field: (address in the full recipe, its new value, the kinds that it affects)
ROWS: dict[str, tuple[str, Any, str]] = {
    "name": ("name", "fuller", EVERYTHING),
    "version": ("version", "3.0", f"{EVERYTHING} source"),
    "summary": ("summary", "new", "metadata"),
    "description": ("description", "new", "metadata"),
    "homepage": ("homepage", "https://example.org/new", "metadata sbom"),
    "licenses": ("licenses", ["MIT"], "metadata sbom"),
    **{
        f"citations[].{name}": (f"citations[0].{name}", value, "metadata")
        for name, value in {
            "doi": "10.1000/999", "pmid": "7", "title": "new", "authors": ["C"], "year": 2021,
            "url": "https://example.org/new",
        }.items()
    },
    **{
        f"identifiers.{name}": (f"identifiers.{name}", value, "metadata sbom")
        for name, value in {
            "biotools": "new", "bioconda": "new", "rrid": "RRID:SCR_000002", "doi": "10.1000/9",
            "swhid": "swh:1:dir:1111111111111111111111111111111111111111",
            "cpe": "cpe:2.3:a:example:new", "purl": "pkg:generic/new",
        }.items()
    },
    "edam.topics": ("edam.topics", ["topic_0001"], "metadata"),
    "edam.operations": ("edam.operations", ["operation_0001"], "metadata"),
    "edam.data": ("edam.data", ["data_0001"], "metadata"),
    "edam.formats": ("edam.formats", ["format_0001"], "metadata"),
    "categories": ("categories", ["new"], "metadata"),
    "maintainers[].name": ("maintainers[0].name", "New", "metadata"),
    "maintainers[].github": ("maintainers[0].github", "new", "metadata"),
    "maintainers[].email": ("maintainers[0].email", "new@example.org", "metadata"),
    "maintainers[].orcid": ("maintainers[0].orcid", "0000-0001-5109-3700", "metadata"),
    "platforms.*": ('platforms["linux/arm64"]', "required", ""),
    "base": ("base", "d", "build"),
    "base.recipe": ("base.recipe", "another", "build publish"),
    "base.version": ("base.version", "2", "build publish"),
    "base.variant": ("base.variant", "v", "build publish"),
    "base.image": ("base", {"image": "ubuntu:24.04"}, "base build"),
    "variables.*": ("variables.prefix", "/usr/{{ name }}", "build deploytest metadata sbom"),
    "suite": ("suite", "new-suite.yaml", "test"),
    "sources.*.url": ("sources.archive.url", "https://example.org/new.tar.gz", ""),
    "sources.*.mirrors": ("sources.archive.mirrors", [], ""),
    "sources.*.sha256": ("sources.archive.sha256", "3d" * 32, "build sbom source"),
    "sources.*.insecure": ("sources.program.insecure", True, ""),
    "sources.*.deb-src": ("sources.orig.deb-src", "full/1.0-2", "build sbom source test"),
    "sources.*.pypi": ("sources.wheel.pypi", "full/1.0.1", "build sbom source"),
    "sources.*.git": ("sources.code.git", "https://example.org/other.git", "build sbom source"),
    "sources.*.ref": ("sources.code.ref", "v2", "build sbom source"),
    "sources.*.folder": ("sources.code.folder", "src", "build sbom source"),
    "sources.*.submodules": ("sources.code.submodules", "refuse", "build sbom source"),
    "sources.*.file": ("sources.wheel.file", "full-1.0.tar.gz", "build sbom source"),
    "sources.*.unpack": ("sources.archive.unpack", False, "build"),
    "sources.*.platforms": ("sources.armdata.platforms", ["linux/arm64", "linux/amd64"], ""),
    "sources.*.when.version": ("sources.extra.when.version", ["2.0", "1.0"], ""),
    "sources.*.when.variant": ("sources.extra.when.variant", ["mpi", "default"], ""),
    "sources.*.when.platform": ("sources.extra.when.platform", ["linux/arm64", "linux/amd64"], ""),
    "build[].run": ("build[3].run", "echo new", "build"),
    "build[].run.script": ("build[2].run.script", "echo new", "build"),
    "build[].run.tools": ("build[2].run.tools", ["gcc"], "build"),
    "build[].run.sources": ("build[2].run.sources", ["archive", "extra", "code"], "build sbom"),
    "build[].run.network": ("build[2].run.network", True, "build gate"),
    "build[].run.plain": (f"{DOCKER_RUN}.plain", False, "build"),
    "build[].run.files.*.content": (f'{DOCKER_RUN}.files["in.txt"].content', "new", "build"),
    "build[].run.files.*.executable": (f'{DOCKER_RUN}.files["in.txt"].executable', False, "build"),
    "build[].run.files.*.local": (f"{DOCKER_RUN}.files.own.local", "more/b", "build"),
    "build[].run.files.*.source": (f"{DOCKER_RUN}.files.code.source", "orig", "build sbom source"),
    "build[].copy.file": (f"{DOCKER_COPY}.file", "other.txt", "build"),
    "build[].copy.content": (f"{DOCKER_COPY}.content", "new", "build"),
    "build[].copy.merge": (f"{DOCKER_COPY}.merge", False, "build"),
    "build[].apt": ("build[0].apt", ["zlib1g"], "build"),
    "build[].pip": ("build[1].pip", ["numpy==1.26.5"], "build"),
    "build[].conda.channels": ("build[13].conda.channels", ["bio", "forge"], "build"),
    "build[].conda.packages": ("build[13].conda.packages", ["htop=3.4"], "build"),
    "build[].conda.prefix": ("build[13].conda.prefix", "/opt/new", "build"),
    "build[].copy.local": ("build[4].copy.local", "more", "build"),
    "build[].copy.source": ("build[5].copy.source", "archive", "build sbom source"),
    "build[].copy.recipe": ("build[6].copy.recipe", "another", "build publish"),
    "build[].copy.version": ("build[6].copy.version", "2", "build publish"),
    "build[].copy.variant": ("build[6].copy.variant", "v", "build publish"),
    "build[].copy.paths": ("build[6].copy.paths", ["/usr/bin/new"], "build"),
    "build[].copy.to": ("build[6].copy.to", "/opt/", "build"),
    "build[].copy.executable": ("build[4].copy.executable", False, "build"),
    "build[].file.path": ("build[7].file.path", "/etc/new.conf", "build"),
    "build[].file.content": ("build[7].file.content", "new", "build"),
    "build[].file.executable": ("build[7].file.executable", True, "build"),
    "build[].env.*": ("build[8].env.THREADS", 5, "build"),
    "build[].expand": ("build[8].expand", True, "build"),
    "build[].workdir": ("build[9].workdir", "/new", "build"),
    "build[].user": ("build[10].user", "daemon", "build"),
    "build[].labels.*": ('build[11].labels["org.example.label"]', "new", "build"),
    "build[].entrypoint": ("build[12].entrypoint", ["/usr/bin/new"], "build"),
    **{
        f"build[].neurodocker.{name}": (f"{NEURODOCKER}.{place}", value, kinds)
        for name, place, value, kinds in (
            ("template", "template", "mrtrix3", "build"),
            ("version", "version", "v1.0.20241211", "build"),
            ("method", "method", "binaries", "build"),
            ("args.*", "args.install_path", "/opt/new", "build"),
            ("source", "source", "wheel", "build"),
            ("network", "network", True, "build gate"),
        )
    },
    **{
        f"build[].{field}": (f"build[{len(PLAIN['build']) + at}].{place}", value, kinds)
        for field, at, place, value, kinds in (
            ("hpccm.blocks[].*.*.*", 1, "hpccm.blocks[2].generic_build.devel_environment.X", "2",
             "build"),
            ("hpccm.distro", 1, "hpccm.distro", "ubuntu24", ""),
            ("spack.specs", 2, "spack.specs", ["zlib@1.2"], "build"),
            ("spack.ref", 2, "spack.ref", "v0.23.0", "build sbom source"),
            ("spack.git", 2, "spack.git", "https://example.org/s.git", "build sbom source"),
            ("spack.prefix", 2, "spack.prefix", "/opt/new", "build"),
            ("spack.mirror", 2, "spack.mirror", "extra", "build"),
            ("spack.tools", 2, "spack.tools", ["make"], "build"),
            ("spack.libraries", 2, "spack.libraries", ["zlib1g"], "build"),
            ("spack.network", 2, "spack.network", True, "build gate"),
            ("easybuild.easyconfig", 3, "easybuild.easyconfig", "zlib-1.3.eb", "build"),
            ("easybuild.file", 4, "easybuild.file", "new.eb", "build"),
            ("easybuild.version", 4, "easybuild.version", "5.4.0", "build sbom source"),
            ("easybuild.prefix", 3, "easybuild.prefix", "/opt/new", "build"),
            ("easybuild.sources", 3, "easybuild.sources", ["wheel"], "build"),
            ("easybuild.tools", 3, "easybuild.tools", ["make"], "build"),
            ("easybuild.network", 3, "easybuild.network", True, "build gate"),
        )
    },
    "build[].platforms": ("build[9].platforms", ["linux/arm64"], "build"),
    "build[].when.platform": ("build[3].when.platform", "linux/arm64", "build"),
    "build[].when.variant": ("build[3].when.variant", "mpi", "build"),
    "build[].when.version": ("build[3].when.version", "2.0", "build"),
    "build[].time_limit_s": ("build[2].time_limit_s", 601, ""),
    "deploy.commands": ("deploy.commands", ["full", "fuller"], "deploytest sbom"),
    "deploy.paths": ("deploy.paths", ["/opt/new"], "deploytest sbom"),
    "deploy.environment.*": ("deploy.environment.FULL_DATA", "/new", "metadata"),
    "tests[].name": ("tests[0].name", "new", "test"),
    "tests[].run": ("tests[0].run", "full --new", "test"),
    "tests[].exit_code": ("tests[0].exit_code", 1, "test"),
    "tests[].stdout": ("tests[0].stdout", ["new"], "test"),
    "tests[].stderr": ("tests[0].stderr", ["new"], "test"),
    "tests[].stdout_equals": ("tests[0].stdout_equals", "new", "test"),
    "tests[].files[].path": ("tests[0].files[0].path", "new.txt", "test"),
    "tests[].files[].sha256": ("tests[0].files[0].sha256", "4e" * 32, "test"),
    "tests[].files[].contains": ("tests[0].files[0].contains", ["new"], "test"),
    "tests[].files[].min_size_bytes": ("tests[0].files[0].min_size_bytes", 2, "test"),
    "tests[].sources": ("tests[0].sources", ["orig", "wheel"], "test"),
    "tests[].environment.*": ("tests[0].environment.A", "new", "test"),
    "tests[].time_limit_s": ("tests[0].time_limit_s", 61, ""),
    "tests[].platforms": ("tests[0].platforms", ["linux/amd64", "linux/arm64"], "test"),
    "tests[].when.platform": ("tests[0].when.platform", "linux/amd64", ""),
    "tests[].when.variant": ("tests[0].when.variant", "mpi", "test"),
    "tests[].when.version": ("tests[0].when.version", ["2.0"], "test"),
    "scan.policy": ("scan.policy", "default", "gate"),
    "scan.waivers[].id": ("scan.waivers[0].id", "CVE-2023-2", "gate"),
    "scan.waivers[].package": ("scan.waivers[0].package", "new", "gate"),
    "scan.waivers[].reason": ("scan.waivers[0].reason", "new", "gate"),
    "scan.waivers[].owner": ("scan.waivers[0].owner", "new", "gate"),
    "scan.waivers[].until": ("scan.waivers[0].until", "2024-01-01", "gate"),
    "publish": ("publish", [], "sif"),
    "hints.gpu": ("hints.gpu", "amd", "metadata"),
    "hints.binds": ("hints.binds", ["/new"], "metadata"),
    "hints.mpi": ("hints.mpi", False, "metadata"),
    "icon": ("icon", "new.svg", "metadata"),
    "gui[].name": ("gui[0].name", "New", "metadata"),
    "gui[].command": ("gui[0].command", "full --new", "metadata"),
    "gui[].icon": ("gui[0].icon", "new.svg", "metadata"),
    **{
        f"webapp.{name}": (f"webapp.{name}", value, "metadata")
        for name, value in {
            "title": "New", "command": "full --new", "port": 8082, "start_page": "/new",
            "description": "new", "category": "new", "startup_timeout_s": 61, "icon": "new.svg",
        }.items()
    },
    "webapp.proxies[].path": ("webapp.proxies[0].path", "/new", "metadata"),
    "webapp.proxies[].port": ("webapp.proxies[0].port", 8083, "metadata"),
    **{
        f"help.{name}": (f"help.{name}", "new", "metadata")
        for name in ("description", "example", "documentation", "citation")
    },
    "help.readme": ("help.readme", "NEW.md", "metadata"),
    "runtime.arguments": ("runtime.arguments", [], "metadata"),
    "menu.show": ("menu.show", False, "metadata"),
    "menu.list": ("menu.list", False, "metadata"),
    "license_files[].path": ("license_files[0].path", "/new", "metadata"),
    "license_files[].environment": ("license_files[0].environment", "NEW", "metadata"),
    "license_files[].hint": ("license_files[0].hint", "new", "metadata"),
    "aliases": ("aliases", ["old"], "metadata"),
    "extra": ("extra", {"theirs": 2}, "metadata"),
    "resources.disk_mib": ("resources.disk_mib", 501, ""),
    "resources.memory_mib": ("resources.memory_mib", 2001, ""),
    "resources.time_s": ("resources.time_s", 601, ""),
    "variants.*.description": ("variants.mpi.description", "new", "metadata"),
}  # fmt: skip
PARTS = ('versions["2.0"]', "variants.mpi")
"""What may state some of the recipe's fields anew."""


DOCUMENT = json.loads(schema_bytes("recipe"))
FIELDS = frozenset(fields_of(DOCUMENT, DOCUMENT))
ANOTHER_FORM = {"version"}
"""Stands instead of something that the full recipe has."""


def without_row(fields: Collection[str], rows: Collection[str]) -> set[str]:
    """Gives the fields of a schema that no row speaks of, and the rows of no field."""
    inner = {f for f in fields if any(o.startswith((f"{f}.", f"{f}[")) for o in fields)}
    plain = {f.replace("versions.*.", "").replace("variants.*.", "") for f in {*fields} - inner}
    own = {"description"} & plain and {"variants.*.description"}
    return (plain | own | {"base", "build[].run"}) ^ {*rows}


def test_every_field_of_the_schema_has_a_row() -> None:
    assert without_row(FIELDS, ROWS) == set()


@pytest.mark.parametrize("field", ROWS)
def test_a_row_that_is_taken_away_is_missed(field: str) -> None:
    assert field in without_row(FIELDS, ROWS.keys() - {field})


def objects_of(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Gives the way to every part of a schema that has properties."""
    if isinstance(part, dict) and isinstance(part.get("properties"), dict):
        yield path
    if isinstance(part, dict | list):
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            yield from objects_of(inner, (*path, key))


PLACES = [way for way in objects_of(DOCUMENT) if way != ("$defs", "ref")]
"""Of ``ref`` only the single properties are referred to."""


@pytest.mark.parametrize("way", PLACES, ids=lambda way: "/".join(map(str, way)))
def test_a_field_that_is_new_anywhere_is_missed(way: tuple[Any, ...]) -> None:
    longer = copy.deepcopy(DOCUMENT)
    part = longer
    for key in way:
        part = part[key]
    part["properties"]["brand_new"] = {"type": "string"}
    missed = without_row(frozenset(fields_of(longer, longer)), ROWS)
    assert missed
    assert all("brand_new" in field for field in missed)


def test_the_schema_says_nothing_that_this_test_does_not_understand() -> None:
    assert unknown_words(DOCUMENT) == set()


def test_every_kind_is_affected_by_some_field() -> None:
    assert {k for _, _, kinds in ROWS.values() for k in kinds.split()} == {*KINDS} - {
        *("data", "dataset"),  # of files of their own
        "inspect",  # it sees nothing of a recipe but the image; a policy asks for it
    }


def test_the_full_recipe_uses_every_field() -> None:
    concrete = {field: address for field, (address, _, _) in ROWS.items()}
    assert {f for f, address in concrete.items() if not has(FULL, address)} == ANOTHER_FORM


def test_the_full_recipe_uses_every_type_of_step(root: Path) -> None:
    (root / "catalog/full/recipe.yaml").write_text(FULL_TEXT)
    try:
        catalog = read_catalog(str(root)).catalog
    finally:
        (root / "catalog/full/recipe.yaml").unlink()
    targets = [t for r in catalog.releases.values() for t in r.targets.values()]
    assert {type(s) for t in targets for s in t.steps} == set(Step.__subclasses__())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fields")
    write_neighbours(root)
    return root


@pytest.fixture(scope="module")
def full(root: Path) -> Sights:
    return seen_by_kinds(root, FULL)


def affected(root: Path, before: Mapping[str, Any] | Sights, after: Any) -> dict[str, set[str]]:
    old = before if "name" not in before else seen_by_kinds(root, before)
    return differing(old, seen_by_kinds(root, after))


@pytest.mark.parametrize("field", ROWS)
def test_a_field_affects_exactly_the_kinds_that_its_row_names(
    field: str, root: Path, full: Sights
) -> None:
    address, value, kinds = ROWS[field]
    after = copy.deepcopy(FULL)
    put(after, address, value)
    assert after != FULL
    if field == "version":
        del after["versions"]
        for part in (after["sources"]["extra"], after["build"][3], *after["tests"]):
            del part["when"]["version"]
    assert set(affected(root, full, after)) == set(kinds.split())


SHARED = ("base", "source")
"""Kinds whose nodes belong to no release."""
STATED = [
    (field, part)
    for field in ROWS
    for part in PARTS
    if f"{part.partition('[')[0].partition('.')[0]}.*.{field}" in FIELDS and field != "description"
]


@pytest.mark.parametrize(("field", "part"), STATED)
def test_what_a_version_or_variant_states_affects_only_itself(
    field: str, part: str, root: Path
) -> None:
    address, value, kinds = ROWS[field]
    key = str(parse_address(address)[0])
    before = copy.deepcopy(FULL)
    stated = {**FULL[key]} if isinstance(FULL[key], dict) else FULL[key]
    put(before, f"{part}.{key}", stated)
    if part == "variants.mpi" and key == "variables":
        put(before, "variants.mpi.variables.flavour", "-openmpi")
    after = copy.deepcopy(before)
    put(after, f"{part}.{address}", value)
    found = affected(root, before, after)
    assert set(found) == set(kinds.split())
    mine = "full@2.0" if part.startswith("versions") else "+mpi"
    assert all(
        mine in name for kind, names in found.items() if kind not in SHARED for name in names
    )


def test_a_kind_that_sees_too_much_is_found(
    root: Path, full: Sights, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = test_spec.node

    def greedy(target: Any, **more: Any) -> Any:
        node = real(target, **more)
        limits = [t.time_limit_s for t in target.tests]
        return replace(node, slice={**node.slice, "limits": limits})

    monkeypatch.setattr(graph_compile.test_spec, "node", greedy)
    before = seen_by_kinds(root, FULL)
    assert set(differing(full, before)) == {"test"}
    after = copy.deepcopy(FULL)
    put(after, *ROWS["tests[].time_limit_s"][:2])
    assert set(affected(root, before, after)) == {"test"}
