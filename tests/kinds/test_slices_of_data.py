"""Each field of a reference data set affects exactly the nodes of its row.

"Affects" means that what a node itself sees differs; what a lock pins is answered anew.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from slices import fields_of, put, unknown_words

from ssds.core.canonical import canonical_text
from ssds.core.digest import sha256_of
from ssds.core.model import ReleaseName
from ssds.core.pins import PinnedFile, SharedPins, SourcePin
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.explain import differences, own_address
from ssds.kinds.build.requests import source_request
from ssds.kinds.source.spec import request_text
from ssds.recipe.catalog import read_catalog
from ssds.recipe.schema import schema_bytes

NAME = ReleaseName("ref", "1")
WEB = "https://example.org"
FULL: dict[str, Any] = {
    "title": "t", "description": "d", "licenses": ["MIT"], "homepage": WEB, "categories": ["c"],
    "citations": [
        {"doi": "10.1000/1", "pmid": "1", "title": "t", "authors": ["A"], "year": 2020, "url": WEB}
    ],
    "sources": {
        "a": {"url": f"{WEB}/a.tar", "mirrors": [WEB], "sha256": "1" * 64, "unpack": True},
        "f": {"url": f"{WEB}/f", "sha256": "2" * 64, "file": "f", "insecure": True},
        "d": {"deb-src": "dd/1"},
        "p": {"pypi": "p/1"},
        "g": {"git": f"{WEB}/g.git", "ref": "v1", "folder": "x", "submodules": "empty"},
    },
    "unpack": [
        {"source": "a", "path": "x/y", "to": "z"}, {"source": "f"}, {"source": "d"},
        {"source": "p"}, {"source": "g", "to": "g"},
    ],
    "index": [{"name": "i", "with": "tool@1", "run": "x", "time_limit_s": 60}],
    "environment": {"E": "{path}"},
    "loc": {"t": [{"value": "v"}]},
    "resources": {"disk_mib": 1, "memory_mib": 1},
}  # fmt: skip
TOOL = {
    "name": "tool", "versions": {"1": {}, "2": {}}, "summary": "t", "licenses": ["MIT"],
    "platforms": {"linux/amd64": "required"}, "base": "d", "build": [{"run": "true"}],
}  # fmt: skip

# field: (address, new value, nodes that see something else)
ROWS: dict[str, tuple[str, Any, str]] = {
    **{
        name: (name, value, "")
        for name, value in {
            "title": "new", "description": "new", "licenses": ["ISC"], "homepage": f"{WEB}/new",
            "categories": ["new"],
        }.items()
    },
    **{
        f"citations[].{name}": (f"citations[0].{name}", value, "")
        for name, value in {
            "doi": "10.1000/2", "pmid": "2", "title": "new", "authors": [], "year": 2021,
            "url": f"{WEB}/new",
        }.items()
    },
    "environment.*": ("environment.E", "new", ""),
    "loc.*[].*": ("loc.t[0].value", "new", ""),
    "sources.*.url": ("sources.a.url", f"{WEB}/b.tar", ""),
    "sources.*.mirrors": ("sources.a.mirrors", [], ""),
    "sources.*.sha256": ("sources.a.sha256", "3" * 64, "data/files source"),
    "sources.*.insecure": ("sources.f.insecure", False, ""),
    "sources.*.deb-src": ("sources.d.deb-src", "dd/2", "data/files source"),
    "sources.*.pypi": ("sources.p.pypi", "p/2", "data/files source"),
    "sources.*.git": ("sources.g.git", f"{WEB}/h.git", "data/files source"),
    "sources.*.ref": ("sources.g.ref", "v2", "data/files source"),
    "sources.*.folder": ("sources.g.folder", "y", "data/files source"),
    "sources.*.submodules": ("sources.g.submodules", "refuse", "data/files source"),
    "sources.*.file": ("sources.d.file", "new", "data/files source"),
    "sources.*.unpack": ("sources.d.unpack", True, "data/files"),
    "unpack[].source": ("unpack[1].source", "a", "data/files source"),
    "unpack[].path": ("unpack[0].path", "new", "data/files"),
    "unpack[].to": ("unpack[0].to", "new", "data/files"),
    "index[].name": ("index[0].name", "new", "data/index/i data/index/new dataset"),
    "index[].with": ("index[0].with", "tool@2", "data/index/i"),
    "index[].run": ("index[0].run", "new", "data/index/i"),
    "index[].time_limit_s": ("index[0].time_limit_s", 61, ""),
    "resources.disk_mib": ("resources.disk_mib", 2, ""),
    "resources.memory_mib": ("resources.memory_mib", 2, ""),
}  # fmt: skip


def compiled(root: Path, document: dict[str, Any]) -> Graph:
    """Gives the graph of the set, its sources pinned by what they ask for."""
    for path, value in {
        "data/ref/1.yaml": document,
        "tool/recipe.yaml": TOOL,
        "bases.yaml": {"d": {"suite": "x", "platforms": ["linux/amd64"]}},
    }.items():
        (root / "catalog" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "catalog" / path).write_text(yaml.safe_dump(value))
    reading = read_catalog(str(root))
    reading.collector.raise_if_failed()
    pins = {}
    for name, source in reading.catalog.data[NAME].sources.items():
        request = source_request(source)
        digest = source.sha256 or sha256_of(str(request).encode())
        file = PinnedFile(name=source.file or "file", digest=digest, urls=(WEB,))
        pins[name] = SourcePin(request=request, file=file, epoch=1)
        assert request_text(source)
    return compile_graph(reading.catalog, SharedPins(), {}, dt.date(2024, 1, 1), {NAME: pins})


def sights(root: Path, document: dict[str, Any]) -> dict[str, str]:
    """Gives what each node of the set sees."""
    graph = compiled(root, document)
    wanted = set(graph.data[NAME])
    wanted |= {i.node for n in wanted for i in graph.nodes[n].inputs if i.node is not None}
    found = {}
    for name in wanted:
        node = graph.nodes[name]
        inputs = [[i.role, str(i.node) if i.node else ""] for i in node.inputs]
        if name.kind == "source":
            found[f"source {name.part}"] = canonical_text(dict(node.slice))
        elif name in graph.data[NAME]:
            assert not node.unpinned
            label = f"{name.kind}/{name.part}" if name.part else name.kind
            found[label] = canonical_text({"slice": dict(node.slice), "inputs": inputs})
    return found


def test_every_field_of_a_data_set_has_a_row() -> None:
    document = json.loads(schema_bytes("data"))
    assert unknown_words(document) == set()
    fields = set(fields_of(document, document))
    leaves = {f for f in fields if not any(o.startswith((f"{f}.", f"{f}[")) for o in fields)}
    assert leaves == set(ROWS)


@pytest.mark.parametrize("field", ROWS)
def test_a_field_affects_exactly_the_nodes_of_its_row(field: str, tmp_path: Path) -> None:
    address, value, nodes = ROWS[field]
    before = sights(tmp_path, FULL)
    document = copy.deepcopy(FULL)
    put(document, address, value)
    assert document != FULL
    after = sights(tmp_path, document)
    names = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
    assert {n.partition(" ")[0] for n in names} == set(nodes.split())


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("unpack[].path", "unpack[0].path"),
        ("unpack[].to", "unpack[0].to"),
        ("index[].run", "index[0].run"),
    ],
)
def test_a_difference_of_a_key_has_its_address_in_the_file(
    field: str, told: str, tmp_path: Path
) -> None:
    address, value, _ = ROWS[field]
    before = compiled(tmp_path, FULL)
    document = copy.deepcopy(FULL)
    put(document, address, value)
    after = compiled(tmp_path, document)
    found = [
        (difference.address != "", own_address(node, difference))
        for name, node in after.nodes.items()
        if name.kind == "data"
        for difference in differences(
            {"slice": before.nodes[name].slice}, {"slice": node.slice}, node
        )
    ]
    assert found == [(True, told)]


def test_what_is_placed_though_the_file_says_nothing_of_it_has_no_address(tmp_path: Path) -> None:
    document = {key: value for key, value in FULL.items() if key != "unpack"}
    graph = compiled(tmp_path, document)
    (files,) = [graph.nodes[n] for n in graph.data[NAME] if n.part == "files"]
    assert len(files.slice["unpack"]) == len(FULL["sources"])  # type: ignore[arg-type]
    assert dict(files.origin) == {}
