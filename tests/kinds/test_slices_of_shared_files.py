"""Each field of what recipes share, and of what locks pin, affects exactly the kinds of its row.

A row says which kinds see something else once the pins are answered anew, and which nodes are "not
locked" until then. Locks and the catalog's lock are edited as they are, without another answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from full_workspace import FULL_TEXT, OTHER, write_neighbours
from laws_bench import apply_plan, lock, open_workspace
from laws_catalogs import SET_PATH, advisory_set, dump, load, write_catalog
from laws_model import keys_of
from slices import WHEN, Sights, differing, fields_of, put, sights, unknown_words

from ssds.core.model import KINDS
from ssds.recipe.schema import schema_bytes

IMAGED = OTHER.replace("other", "imaged").replace("base: d", "base: i")
IMAGED = IMAGED.replace("build: []", "build: [{apt: [dash]}]")
RANGER = OTHER.replace("other", "ranger").replace(
    "base: d", 'base: {recipe: other, version: ">=1"}'
)
PLAIN = re.sub(r"(?m)^  - (apt|pip): .*", r"  - \1: [zlib1g, perl-base]", FULL_TEXT).replace(
    "network: false", "network: true"
)
"""Packages stand for themselves in tests, and a name is all that a lock allows for a name."""
ALL = " ".join(k for k in KINDS if k not in ("data", "dataset"))
SHARED: dict[str, dict[str, Any]] = {
    "catalog/bases.yaml": {
        "d": {
            "suite": "x", "components": ["main"], "include": ["zlib1g"], "description": "d",
            "platforms": ["linux/amd64", "linux/arm64"], "advisories": "set",
        },
        "i": {"image": "ubuntu:24.04"},
    },
    "catalog/policies.yaml": {
        "default": {
            "description": "d", "fail_on": ["critical"], "only_fixable": False,
            "allow_network": True, "allow_emulated": True, "unscanned": "fail",
            "no_worse_than_released": True, "lint": ["critical"],
            "max_age_days": 3650,
            "reproducible": {"agreements": 1, "of": 2, "independent_by": ["machine"]},
        },
        "strict": {"allow_network": True},
    },
    "catalog/debts.yaml": {
        "other": {
            "findings": {
                "released": "other@1 r1", "reason": "old", "owner": "me",
                "owed": [{"id": "CVE-1", "package": "dash", "until": "2031-12-31"}],
            },
            "tests": [{"test": "t", "reason": "old", "owner": "me", "until": "2031-12-31"}],
        },
    },
    "catalog/channels.yaml": {
        "local": {
            "kind": "layout", "location": "dist", "description": "d", "move": ["version"],
            "sif": True, "on_drift": "restore", "data": [], "public": True,
            "licences": ["LicenseRef-x"],
        },
        "deep": {"kind": "objects", "location": "http://127.0.0.1:9/a", "replicas": []},
        "far": {"kind": "registry", "location": "127.0.0.1:5000/x", "insecure": True},
    },
    "catalog/advisories.yaml": {"set": SET_PATH, "second": "catalog/advisories/second.json"},
    "catalog/sites/lab.yaml": {
        "title": "Lab", "platforms": ["linux/amd64"], "include": ["full"], "exclude": ["other"],
        "data": [],
        "runtimes": ["apptainer", "singularity", "podman", "plain"], "binds": ["/data"],
        "modules": "lmod", "naming": "flat",
        "runtime_modules": {}, "gpu": "auto", "hook": "/etc/a.sh", "defaults": {}, "hidden": [],
        "prefer": [], "views": [], "cvmfs": {"repository": "a.example.org"},
    },
    "catalog/catalog.yaml": {"salt": ""},
    "ssds.yaml": {
        "catalog": "catalog", "store": {"path": "../store"}, "sandbox": "auto", "jobs": 1,
        "mirrors": {"debian": "http://127.0.0.1:9/debian"}, "proxy": "http://127.0.0.1:9",
        "upstream": {"https://example.org/": "http://127.0.0.1:9/"},
        "images": {"docker.io": "http://127.0.0.1:9/hub"},
        "ca_bundle": "ssds.yaml", "platforms": ["linux/amd64"], "builder": "docker",
        "runners": {"linux/amd64": "hosted"},
        "cache": [{"name": "a", "location": "../shared", "trust": "unsigned"}],
        "trust": {"keys": {"me": "ssds.yaml"}},
    },
}  # fmt: skip

# (file, schema field): (address, new value, kinds, kinds that are not locked before)
ROWS: dict[tuple[str, str], tuple[str, Any, str, str]] = {
    ("catalog/bases.yaml", "*.suite"): ("d.suite", "y", "base", "build"),
    ("catalog/bases.yaml", "*.image"): ("i.image", "ubuntu:22.04", "base", "build"),
    ("catalog/bases.yaml", "*.components"): ("d.components", ["main", "contrib"], "", "build"),
    ("catalog/bases.yaml", "*.include"): ("d.include", [], "", "build"),
    ("catalog/bases.yaml", "*.description"): ("d.description", "new", "", ""),
    ("catalog/bases.yaml", "*.platforms"): (
        "d.platforms", ["linux/arm64", "linux/amd64"], "", "",
    ),
    ("catalog/bases.yaml", "*.advisories"): ("d.advisories", "second", "scan", ""),
    ("catalog/policies.yaml", "*.description"): ("default.description", "new", "", ""),
    ("catalog/policies.yaml", "*.fail_on"): ("default.fail_on", ["high"], "gate", ""),
    ("catalog/policies.yaml", "*.only_fixable"): ("default.only_fixable", True, "gate", ""),
    ("catalog/policies.yaml", "*.unscanned"): ("default.unscanned", "pass", "gate", ""),
    ("catalog/policies.yaml", "*.kev"): ("default.kev", True, "gate", ""),
    ("catalog/policies.yaml", "*.epss_at_least"): ("default.epss_at_least", "0.5", "gate", ""),
    ("catalog/policies.yaml", "*.end_of_life"): ("default.end_of_life", "note", "gate", ""),
    ("catalog/policies.yaml", "*.no_worse_than_released"): (
        "default.no_worse_than_released", False, "gate", "",
    ),
    ("catalog/debts.yaml", "*.findings.released"): ("other.findings.released", "new", "", ""),
    ("catalog/debts.yaml", "*.findings.reason"): ("other.findings.reason", "new", "", ""),
    ("catalog/debts.yaml", "*.findings.owner"): ("other.findings.owner", "new", "", ""),
    **{
        ("catalog/debts.yaml", f"*.findings.owed[].{name}"): (
            f"other.findings.owed[0].{name}", value, "gate", "",
        )
        for name, value in (
            ("id", "CVE-2"), ("package", "perl"), ("until", "2030-01-01"), ("fixable", True),
            ("exploited", True),
        )
    },
    ("catalog/debts.yaml", "*.tests[].test"): ("other.tests[0].test", "none", "test", ""),
    ("catalog/debts.yaml", "*.tests[].reason"): ("other.tests[0].reason", "new", "", ""),
    ("catalog/debts.yaml", "*.tests[].owner"): ("other.tests[0].owner", "new", "", ""),
    ("catalog/debts.yaml", "*.tests[].until"): ("other.tests[0].until", "2001-01-01", "test", ""),
    ("catalog/policies.yaml", "*.max_age_days"): ("default.max_age_days", 1, "gate", ""),
    ("catalog/policies.yaml", "*.lint"): ("default.lint", ["high"], "gate", ""),
    ("catalog/policies.yaml", "*.allow_network"): ("strict.allow_network", False, "gate", ""),
    ("catalog/policies.yaml", "*.allow_emulated"): ("default.allow_emulated", False, "", ""),
    ("catalog/policies.yaml", "*.reproducible.agreements"): (
        "default.reproducible.agreements", 2, "", "",
    ),
    ("catalog/policies.yaml", "*.reproducible.of"): ("default.reproducible.of", 3, "", ""),
    ("catalog/policies.yaml", "*.reproducible.independent_by"): (
        "default.reproducible.independent_by", ["user"], "", "",
    ),
    ("catalog/channels.yaml", "*.description"): ("local.description", "new", "", ""),
    ("catalog/channels.yaml", "*.kind"): ("far.kind", "registry", "", ""),
    ("catalog/channels.yaml", "*.location"): ("local.location", "elsewhere", "", ""),
    ("catalog/channels.yaml", "*.insecure"): ("far.insecure", False, "", ""),
    ("catalog/channels.yaml", "*.move"): ("local.move", [], "", ""),
    ("catalog/channels.yaml", "*.on_drift"): ("local.on_drift", "refuse", "", ""),
    ("catalog/channels.yaml", "*.replicas"): (
        "deep.replicas", ["http://127.0.0.1:9/b"], "", "",
    ),
    ("catalog/channels.yaml", "*.data"): ("local.data", [], "", ""),
    ("catalog/channels.yaml", "*.public"): ("deep.public", True, "", ""),
    ("catalog/channels.yaml", "*.licences"): ("local.licences", [], "", ""),
    ("catalog/channels.yaml", "*.sif"): ("local.sif", False, "sif", ""),
    ("catalog/advisories.yaml", ".*"): ("set", "catalog/advisories/second.json", "scan", ""),
    ("catalog/sites/lab.yaml", "title"): ("title", "new", "", ""),
    ("catalog/sites/lab.yaml", "platforms"): ("platforms", ["linux/arm64"], "", ""),
    ("catalog/sites/lab.yaml", "include"): ("include", [], "", ""),
    ("catalog/sites/lab.yaml", "exclude"): ("exclude", [], "", ""),
    ("catalog/sites/lab.yaml", "data"): ("data", [], "", ""),
    ("catalog/sites/lab.yaml", "runtimes"): ("runtimes", ["plain"], "", ""),
    ("catalog/sites/lab.yaml", "binds"): ("binds", [], "", ""),
    ("catalog/sites/lab.yaml", "modules"): ("modules", "tcl", "", ""),
    ("catalog/sites/lab.yaml", "naming"): ("naming", "category", "", ""),
    ("catalog/sites/lab.yaml", "gpu"): ("gpu", "none", "", ""),
    ("catalog/sites/lab.yaml", "hook"): ("hook", "/etc/b.sh", "", ""),
    ("catalog/sites/lab.yaml", "defaults.*"): ("defaults", {"full": "1.0"}, "", ""),
    ("catalog/sites/lab.yaml", "hidden"): ("hidden", ["full"], "", ""),
    ("catalog/sites/lab.yaml", "prefer"): ("prefer", ["full"], "", ""),
    ("catalog/sites/lab.yaml", "views"): ("views", ["neurodesk"], "", ""),
    **{
        ("catalog/sites/lab.yaml", f"runtime_modules.{name}"): (
            "runtime_modules", {name: "containers"}, "", "",
        )
        for name in ("apptainer", "singularity", "podman")
    },
    ("catalog/sites/lab.yaml", "cvmfs.repository"): ("cvmfs.repository", "b.example.org", "", ""),
    ("catalog/sites/lab.yaml", "cvmfs.servers"): (
        "cvmfs.servers", ["http://127.0.0.1:9/cvmfs"], "", "",
    ),
    ("catalog/sites/lab.yaml", "cvmfs.proxies"): ("cvmfs.proxies", ["http://127.0.0.1:9"], "", ""),
    ("catalog/sites/lab.yaml", "cvmfs.cache_mib"): ("cvmfs.cache_mib", 100, "", ""),
    ("catalog/catalog.yaml", "salt"): ("salt", "poisoned", ALL, ""),
    ("ssds.yaml", "catalog.ssds"): ("catalog", {"ssds": "recipes"}, "", ""),
    ("ssds.yaml", "catalog.neurocontainers"): (
        "catalog", {"ssds": "recipes", "neurocontainers": "checkout"}, "", "",
    ),
    ("ssds.yaml", "store.path"): ("store.path", "../another", "", ""),
    ("ssds.yaml", "sandbox"): ("sandbox", "subuid", "", ""),
    ("ssds.yaml", "mirrors.*"): ("mirrors.debian", "http://127.0.0.1:8/debian", "", ""),
    ("ssds.yaml", "upstream.*"): (
        'upstream["https://example.org/"]', "http://127.0.0.1:8/", "", "",
    ),
    ("ssds.yaml", "images.*"): ('images["docker.io"]', "oci:../layout", "", ""),
    ("ssds.yaml", "proxy"): ("proxy", "http://127.0.0.1:8", "", ""),
    ("ssds.yaml", "ca_bundle"): ("ca_bundle", "catalog/bases.yaml", "", ""),
    ("ssds.yaml", "jobs"): ("jobs", 2, "", ""),
    ("ssds.yaml", "platforms"): ("platforms", ["linux/arm64"], "", ""),
    ("ssds.yaml", "builder"): ("builder", "buildah", "", ""),
    ("ssds.yaml", "runners.*"): ("runners", {"linux/amd64": "own"}, "", ""),
    ("ssds.yaml", "cache[].name"): ("cache[0].name", "b", "", ""),
    ("ssds.yaml", "cache[].location"): ("cache[0].location", "../elsewhere", "", ""),
    ("ssds.yaml", "cache[].trust"): ("cache[0].trust", "unsigned", "", ""),
    ("ssds.yaml", "cache[].push"): ("cache[0].push", True, "", ""),
    ("ssds.yaml", "cache[].impure"): ("cache[0].impure", False, "", ""),
    ("ssds.yaml", "cache[].insecure"): ("cache[0].insecure", True, "", ""),
    ("ssds.yaml", "cache[].timeout_s"): ("cache[0].timeout_s", 5, "", ""),
    ("ssds.yaml", "trust.advisories"): ("trust.advisories", "signed", "", ""),
    ("ssds.yaml", "trust.keys.*"): ("trust.keys.me", "catalog/bases.yaml", "", ""),
}  # fmt: skip
OWN = {("ssds.yaml", "trust.sign")}
"""Fields that only a person's own settings may have: no workspace can be edited there."""
ONE_VALUE = {
    ("catalog/sites/lab.yaml", "data"),  # its catalog has no data sets
    ("catalog/channels.yaml", "*.data"),
    ("catalog/channels.yaml", "*.kind"),
    ("ssds.yaml", "cache[].trust"),
}
"""Fields whose other value needs other fields too, or that have one value only."""

NEW_SHA256, NEW_KEY = "5e" * 32, "blake3:" + "6f" * 32
BASE = 'bases["d@20231114"].platforms["linux/amd64"]'
IMAGE = 'bases["i@20231114"].platforms["linux/amd64"]'
PACKAGE = f"{BASE}.packages.packages[0]"
# field of the catalog's lock: (address, new value, kinds, kinds that are not locked then)
SHARED_PINS: dict[str, tuple[str, Any, str, str]] = {
    "bases.*.current": ('bases["d@20240101"].current', True, "", ""),
    "bases.*.platforms.*.request": (f"{BASE}.request", NEW_KEY, "", "build"),
    "bases.*.platforms.*.epoch": (f"{BASE}.epoch", 1, "base", ""),
    "bases.*.platforms.*.diff_id": (f"{BASE}.diff_id", f"sha256:{NEW_SHA256}", "base", ""),
    "bases.*.platforms.*.packages.request": (f"{BASE}.packages.request", NEW_KEY, "", ""),
    "bases.*.platforms.*.packages.epoch": (f"{BASE}.packages.epoch", 1, "", ""),
    **{
        f"bases.*.platforms.*.packages.packages[].{name}": (f"{PACKAGE}.{name}", value, *kinds)
        for name, value, *kinds in [
            ("name", "new", "base", "build"),
            ("version", "9", "base", "build"),
            ("architecture", "amd64", "base", "build"),
            ("build", "h9_0", "base", ""),
            ("sha256", NEW_SHA256, "base", "build"),
            ("archive", "debian-security", "", ""),
            ("path", "pool/new.deb", "", ""),
            ("file", "new.deb", "", ""),
            ("size", 999, "", ""),
            ("urls", ["https://example.org/new.deb"], "", ""),
        ]
    },
    **{
        f"bases.*.platforms.*.{name}": (f"{IMAGE}.{address}", value, *kinds)
        for name, address, value, *kinds in [
            ("image.reference", "image.reference", "docker.io/library/x:1", "", ""),
            ("image.digest", "image.digest", f"sha256:{NEW_SHA256}", "", ""),
            ("image.manifest", "image.manifest", f"sha256:{NEW_SHA256}", "", ""),
            ("image.config.digest", "image.config.digest", f"sha256:{NEW_SHA256}", "base", "build"),
            ("image.config.size", "image.config.size", 9, "", ""),
            ("image.layers[].digest", "image.layers[0].digest", f"sha256:{NEW_SHA256}", "", ""),
            ("image.layers[].size", "image.layers[0].size", 9, "", ""),
            (
                "image.layers[].diff_id",
                "image.layers[0].diff_id",
                f"sha256:{NEW_SHA256}",
                "base",
                "",
            ),
            ("image.system", "image.system", "debian sid", "", ""),
            ("installed", "installed", ["dash 1 amd64"], "", "build"),
        ]
    },
    "advisories.*.current": ('advisories["set@2023-05-02"].current', True, "scan", ""),
    "advisories.*.path": ('advisories["set@2023-05-01"].path', "new.json", "", ""),
    "advisories.*.sha256": ('advisories["set@2023-05-01"].sha256', NEW_SHA256, "scan", ""),
    "advisories.*.size": ('advisories["set@2023-05-01"].size', 999, "", ""),
}
FORMAT = {"lock_version", "bases.*.platforms.*.packages.manager"}
"""What has one value only."""

PLATFORM = 'variants.default.platforms["linux/amd64"]'
PINS = f"{PLATFORM}.pins"
SET = f'{PINS}.packages["build/2"]'
# field below ``pins`` of a release's lock: (lock, address, new value, kinds, not locked then)
PINNED: dict[str, tuple[str, str, Any, str, str]] = {
    "base": ("other@1", f"{PINS}.base", "d@20240101", "base build sbom", ""),
    "advisories": ("other@1", f"{PINS}.advisories", "set@2023-05-02", "", ""),
    "epoch": ("full@1.0", f"{PINS}.epoch", 1, "build", ""),
    "packages.*.epoch": ("full@1.0", f"{SET}.epoch", 1, "", ""),
    "packages.*.request": ("full@1.0", f"{SET}.request", NEW_KEY, "", "build"),
    **{
        f"packages.*.packages[].{name}": ("full@1.0", f"{SET}.packages[0].{name}", value, *kinds)
        for name, value, *kinds in [
            ("name", "new", "build", ""),
            ("version", "9", "build", ""),
            ("architecture", "amd64", "build", ""),
            ("build", "h9_0", "build", ""),
            ("sha256", NEW_SHA256, "build", ""),
            ("archive", "debian-security", "", ""),
            ("path", "pool/new.deb", "", ""),
            ("file", "new.deb", "", ""),
            ("size", 999, "", ""),
            ("urls", ["https://example.org/new.deb"], "", ""),
        ]
    },
    # What stands on an unknown version has neither its advisories nor its gate yet.
    "recipes.*.request": (
        "ranger@1", f"{PINS}.recipes.other.request", NEW_KEY, "publish sbom scan", "build",
    ),
    "recipes.*.version": (
        "ranger@1", f"{PINS}.recipes.other.version", "1", "build publish sbom", "",
    ),
    **{
        f"sources.*.git.{name}": ("full@1.0", f"{PINS}.sources.code.git.{name}", value, "", "")
        for name, value in {
            "commit": "7a" * 20, "tree": "7b" * 20, "folder": "new", "empty_submodules": False,
        }.items()
    },
    "sources.*.request": ("full@1.0", f"{PINS}.sources.orig.request", NEW_KEY, "", "build test"),
    "sources.*.sha256": (
        "full@1.0", f"{PINS}.sources.orig.sha256", NEW_SHA256, "build sbom source test", "",
    ),
    "sources.*.epoch": ("full@1.0", f"{PINS}.sources.orig.epoch", 1, "", ""),
    "sources.*.archive": ("full@1.0", f"{PINS}.sources.orig.archive", "debian-security", "", ""),
    "sources.*.path": ("full@1.0", f"{PINS}.sources.orig.path", "pool/new.tar", "", ""),
    "sources.*.size": ("full@1.0", f"{PINS}.sources.orig.size", 999, "", ""),
    "sources.*.urls": (
        "full@1.0", f"{PINS}.sources.archive.urls", ["https://example.org/new.tar"], "", "",
    ),
}  # fmt: skip
PINNED_FORMAT = {"packages.*.manager", "sources.*.name"}
"""One is implied by the step; the other has a test of its own."""
RESULTS = (
    {"lock_version", "name", "version"}
    | {
        f"variants.*.{part}"
        for part in (
            "identifiers",
            "index",
            "metadata",
            "origin",
            "revision",
            "superseded_revision",
            "withdrawn",
        )
    }
    | {f"variants.*.platforms.*.{part}" for part in ("release", "latest", "adopted")}
)
"""What an apply writes into a lock: in no key, with all that is below it (C9)."""


def schema_fields(name: str) -> set[str]:
    """Gives the fields of a schema that hold no others."""
    document = json.loads(schema_bytes(name))
    assert {w for w in unknown_words(document) if "patternProperties" not in w} == set()
    fields = set(fields_of(document, document))
    return {f for f in fields if not any(o.startswith((f"{f}.", f"{f}[")) for o in fields)}


WRITTEN = {"plan", "graph", "plan-since", "saved-plan", "audit", "outdated"}
"""Schemas of what ssds writes for others; no plan reads it."""
SCHEMAS = {
    "catalog/bases.yaml": "bases",
    "catalog/policies.yaml": "policies",
    "catalog/debts.yaml": "debts",
    "catalog/channels.yaml": "channels",
    "catalog/advisories.yaml": "advisories",
    "catalog/sites/lab.yaml": "site",
    "catalog/catalog.yaml": "catalog",
    "ssds.yaml": "settings",
}


def test_every_shared_schema_has_rows() -> None:
    others = {"recipe", "neurocontainers", "data", "lock", "catalog-lock"} | WRITTEN
    folder = Path(__file__).parents[2] / "schemas"
    known = {p.name.removesuffix(".schema.json") for p in folder.glob("*.schema.json")}
    assert known - others == set(SCHEMAS.values())


@pytest.mark.parametrize("file", SCHEMAS)
def test_every_field_of_a_shared_file_has_a_row(file: str) -> None:
    fields = {f for f in schema_fields(SCHEMAS[file]) if f != ".*" or file.endswith("ories.yaml")}
    assert fields == {field for name, field in (*ROWS, *OWN) if name == file}


def test_every_pin_of_the_catalog_has_a_row() -> None:
    assert schema_fields("catalog-lock") == SHARED_PINS.keys() | FORMAT


def test_every_field_of_a_lock_is_a_pin_with_a_row_or_a_result() -> None:
    fields, pins = schema_fields("lock"), "variants.*.platforms.*.pins."
    assert {f.removeprefix(pins) for f in fields if f.startswith(pins)} == {*PINNED} | PINNED_FORMAT
    rest = {f for f in fields if not f.startswith(pins)}
    assert {f for f in rest if not any(f == r or f.startswith(f"{r}.") for r in RESULTS)} == set()


def make(root: Path) -> Path:
    """Writes the whole workspace and locks it."""
    write_neighbours(root)
    (root / "catalog/full/recipe.yaml").write_text(PLAIN)
    (root / "catalog/imaged").mkdir()
    (root / "catalog/imaged/recipe.yaml").write_text(IMAGED)
    (root / "catalog/ranger").mkdir()
    (root / "catalog/ranger/recipe.yaml").write_text(RANGER)
    (root / "lockfiles").mkdir()
    dump(root / SET_PATH, advisory_set("2023-05-01", "dash"))
    dump(root / "catalog/advisories/second.json", advisory_set("2023-07-01", "perl"))
    for name, value in SHARED.items():
        dump(root / name, value)
    lock(root)
    path = root / "lockfiles/catalog.lock.json"
    shared = load(path)
    shared["bases"]["d@20240101"] = {**shared["bases"]["d@20231114"]}
    del shared["bases"]["d@20240101"]["current"]
    later = {**shared["advisories"]["set@2023-05-01"], "sha256": "7a" * 32}
    del later["current"]
    shared["advisories"]["set@2023-05-02"] = later
    dump(path, shared)
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("shared") / "workspace")


@pytest.fixture(scope="module")
def before(whole: Path) -> Sights:
    found, unlocked = look(whole)
    assert unlocked == set()
    return found


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "workspace"
    shutil.copytree(whole, root, symlinks=True)
    yield root
    shutil.rmtree(root)


def look(root: Path) -> tuple[Sights, set[str]]:
    """Gives what the kinds see with the locks as they are, and the kinds that are not locked."""
    graph = open_workspace(root).graph(WHEN)
    open_nodes = {n.label: n.kind for n, node in graph.nodes.items() if node.unpinned}
    found = {label: seen for label, seen in sights(graph).items() if label not in open_nodes}
    return found, set(open_nodes.values())


@pytest.mark.parametrize(("file", "field"), ROWS)
def test_a_shared_field_affects_exactly_the_kinds_of_its_row(
    file: str, field: str, copied: Path, before: Sights
) -> None:
    address, value, kinds, unlocked = ROWS[file, field]
    document = json.loads(json.dumps(SHARED[file]))
    put(document, address, value)
    assert (document != SHARED[file]) != ((file, field) in ONE_VALUE)
    dump(copied / file, document)
    if field.startswith("catalog."):
        (copied / "checkout/recipes").mkdir(parents=True)
        os.replace(copied / "catalog", copied / value["ssds"])
        for name in ("set", "second"):
            (copied / "catalog/advisories").mkdir(parents=True, exist_ok=True)
            path = f"catalog/advisories/{name}.json"
            shutil.copy(copied / path.replace("catalog", value["ssds"], 1), copied / path)
    assert look(copied)[1] == set(unlocked.split())
    lock(copied)
    assert set(differing(before, look(copied)[0])) == set(kinds.split())


def edited(path: Path, address: str, value: Any) -> None:
    document = load(path)
    put(document, address, value)
    assert document != load(path)
    path.write_text(json.dumps(document))


def common(old: Sights, new: Sights, unlocked: set[str]) -> set[str]:
    """Gives the kinds that see something else, without those that are not locked now."""
    kept = {n: s for n, s in old.items() if n in new or s[0] not in unlocked}
    return set(differing(kept, new))


@pytest.mark.parametrize("field", SHARED_PINS)
def test_a_shared_pin_affects_exactly_the_kinds_of_its_row(
    field: str, copied: Path, before: Sights
) -> None:
    address, value, kinds, unlocked = SHARED_PINS[field]
    path = copied / "lockfiles/catalog.lock.json"
    if field.endswith(".current"):  # only one of a name is current
        document = load(path)
        for entry in document[field.partition(".")[0]].values():
            entry.pop("current", None)
        dump(path, document)
    edited(path, address, value)
    after, open_kinds = look(copied)
    assert open_kinds == set(unlocked.split())
    assert common(before, after, open_kinds) == set(kinds.split())


@pytest.mark.parametrize("field", PINNED)
def test_a_pin_affects_exactly_the_kinds_of_its_row(
    field: str, copied: Path, before: Sights
) -> None:
    name, address, value, kinds, unlocked = PINNED[field]
    edited(copied / f"lockfiles/{name}.lock.json", address, value)
    after, open_kinds = look(copied)
    assert open_kinds == set(unlocked.split())
    assert common(before, after, open_kinds) == set(kinds.split())


def test_what_an_apply_wrote_into_locks_is_in_no_key(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    write_catalog(root, Random(5))
    lock(root)
    known = look(root)
    apply_plan(root)
    written = [load(p) for p in (root / "lockfiles").glob("*@*")]
    variants = [v for lock_ in written for v in lock_["variants"].values()]
    assert any("index" in v and "metadata" in v for v in variants)
    assert any("release" in s and "latest" in s for v in variants for s in v["platforms"].values())
    assert look(root) == known


def test_the_file_name_of_a_source_affects_who_sees_it(copied: Path) -> None:
    known = keys_of(open_workspace(copied).graph(WHEN))
    edited(copied / "lockfiles/full@1.0.lock.json", f"{PINS}.sources.orig.name", "new.tar")
    found = keys_of(open_workspace(copied).graph(WHEN))
    kinds = {n.partition(":")[2].partition(" ")[0] for n in known if known[n] != found.get(n)}
    assert {"build", "test"} <= kinds
