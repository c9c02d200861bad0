"""Locks of reference data sets: what is written is read again, and what is hostile is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import makers
import pytest

from ssds.core.diagnostics import Collector
from ssds.core.digest import ActionKey, sha256_of
from ssds.core.errors import InputError
from ssds.core.model import Claim, NodeId, ReleaseName
from ssds.core.pins import PinnedFile, SourcePin
from ssds.kinds.build.requests import source_request
from ssds.lock.data import DataLock, make_data_lock, read_data_locks, update_data_lock
from ssds.recipe.data_model import DataSet
from ssds.recipe.steps import SourceRequest

NAME = ReleaseName("ref", "1.0")
DATA = DataSet(
    id=NAME,
    path="catalog/data/ref/1.0.yaml",
    about={"title": "Reference", "licenses": ["MIT"]},
    environment={"REF": "{path}/x"},
    loc={"table": [{"value": "v", "path": "{path}/x"}]},
)
LIST = json.dumps(
    {
        "set_version": 1,
        "layers": [{"digest": str(sha256_of(b"layer")), "size": 5}],
        "files": [{"path": "x", "size": 3, "sha256": "1" * 64}, {"path": "l", "link": "x"}],
    }
).encode()
NODES = (NodeId("ref@1.0", "data", part="files"), NodeId("ref@1.0", "dataset"))


def claims(content: bytes = LIST) -> dict[NodeId, Claim]:
    outputs = ({"layer": sha256_of(b"layer")}, {"set": sha256_of(content)})
    return {
        node: Claim(key=ActionKey("blake3:" + "ab" * 32), kind=node.kind, outputs=out)
        for node, out in zip(NODES, outputs, strict=True)
    }


def a_lock() -> DataLock:
    request = source_request(SourceRequest(name="a", deb_src="a/1"))
    file = PinnedFile(name="a.tar", digest=sha256_of(b"a"), size_bytes=1, urls=("https://e.org/a",))
    pins = {"a": SourcePin(request=request, file=file, epoch=makers.EPOCH)}
    return make_data_lock(DATA, NODES, DataLock(id=NAME, sources=pins), claims(), lambda _: LIST)


def read(folder: Path) -> tuple[dict[ReleaseName, DataLock], list[str]]:
    collector = Collector()
    found = read_data_locks(str(folder), shown="lockfiles", collector=collector)
    return found, [d.code for d in collector]


def write(folder: Path, lock: DataLock | None) -> bool:
    return update_data_lock(str(folder), NAME, guard=str(folder / "guard"), change=lambda _: lock)


def test_a_lock_that_was_written_is_read_again(tmp_path: Path) -> None:
    lock = a_lock()
    assert lock.made is not None
    assert (lock.made.files, lock.made.size_bytes) == (2, 3)
    assert write(tmp_path, lock)
    assert not write(tmp_path, lock)
    found, problems = read(tmp_path)
    assert problems == []
    assert found[NAME].to_dict() == lock.to_dict()


def test_a_set_that_is_gone_has_no_lock(tmp_path: Path) -> None:
    write(tmp_path, a_lock())
    assert write(tmp_path, None)
    assert read(tmp_path) == ({}, [])


def test_a_lock_without_all_results_keeps_what_it_had() -> None:
    lock = a_lock()
    part = {NODES[0]: claims()[NODES[0]]}
    assert make_data_lock(DATA, NODES, lock, part, lambda _: None) == lock
    empty = DataLock(id=NAME)
    assert make_data_lock(DATA, NODES, empty, part, lambda _: None) == empty


EDITS: dict[str, tuple[tuple[str, ...], Any]] = {
    "L009": (("lock_version",), 99),
    "L011": (("more",), 1),
    "L013": (("sources",), []),
    "L014": (("environment", "A B"), "x"),
    "L015": (("made", "digest"), "sha256:x"),
    "L016": (("version",), "2.0"),
    "L018": (("made", "digest"), str(sha256_of(b"other"))),
    "L024": (("sources", "a", "name"), "../a"),
    "L031": (("actions", "dataset", "outputs"), {}),
}


@pytest.mark.parametrize("code", EDITS)
def test_a_damaged_lock_is_told_with_its_place_and_not_overwritten(
    code: str, tmp_path: Path
) -> None:
    write(tmp_path, a_lock())
    path = tmp_path / "data/ref@1.0.lock.json"
    document = json.loads(path.read_text())
    (*above, last), value = EDITS[code]
    part = document
    for key in above:
        part = part[key]
    part[last] = value
    path.write_text(json.dumps(document))
    assert code in read(tmp_path)[1]
    before = path.read_bytes()
    with pytest.raises(InputError):
        write(tmp_path, a_lock())
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["x\ty", "x\ny", "\x1b[0m"])
def test_values_that_would_break_a_table_are_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, a_lock())
    path = tmp_path / "data/ref@1.0.lock.json"
    document = json.loads(path.read_text())
    document["loc"]["table"][0]["value"] = text
    path.write_text(json.dumps(document))
    assert read(tmp_path)[1] == ["L014"]
