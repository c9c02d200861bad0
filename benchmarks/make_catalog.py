"""Makes a workspace of any size, released through the product's own interfaces.

Run as ``python benchmarks/make_catalog.py N DIR``. DIR then holds N recipes with one local file
each, their locks, and a store with the blobs and claims of every node, so that ``ssds plan`` there
has nothing to do. The same N gives the same bytes. A folder that is made already is kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import catalog_texts as texts
from catalog_outcomes import Outcomes
from catalog_pins import PinTable, answer, shared_pins

from ssds.core.diagnostics import Collector
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import SsdsError
from ssds.core.model import KINDS, Claim, NodeId
from ssds.core.pins import SharedPins
from ssds.core.platform import Platform
from ssds.graph.compile import Graph, compile_graph
from ssds.kinds.scan.resolve import pin_advisories
from ssds.lock.make import Found, make_variant
from ssds.lock.model import (
    LOCK_VERSION,
    CatalogLock,
    Lock,
    PlatformLock,
    VariantLock,
    lock_file_name,
)
from ssds.lock.write import catalog_lock_bytes, lock_bytes, with_variant
from ssds.recipe.catalog import RecipeReader
from ssds.recipe.model import Catalog, Release
from ssds.recipe.shared import Shared, read_shared
from ssds.recipe.yamlmarks import Spans
from ssds.store.records import SCHEMA_VERSION
from ssds.store.store import STORE_VERSION, Store

STAMP = "made.json"
CHUNK = 1000
"""So many recipes are in memory at once; a multiple of 100, so that none refers outside."""
MOST = 1_000_000
SOURCES = ("make_catalog.py", "catalog_texts.py", "catalog_pins.py", "catalog_outcomes.py")


def stamp(count: int) -> dict[str, object]:
    """Returns what says whether a made folder is of this generator and these formats."""
    import importlib

    here = Path(__file__).resolve().parent
    code = hashlib.sha256(b"".join((here / name).read_bytes() for name in SOURCES))
    kinds = {k: importlib.import_module(f"ssds.kinds.{k}.spec").KIND_VERSION for k in KINDS}
    return {
        "recipes": count,
        "generator": code.hexdigest(),
        "kinds": kinds,
        "formats": {"lock": LOCK_VERSION, "claims": SCHEMA_VERSION, "store": STORE_VERSION},
    }


def is_made(folder: Path, count: int) -> bool:
    """Whether ``folder`` is whole and as this generator makes it."""
    return _stamp_of(folder) == {**stamp(count), "whole": True}


def _stamp_of(folder: Path) -> dict[str, object] | None:
    """Returns the stamp of a folder that this program made, whole or not; None for all others."""
    try:
        found = json.loads((folder / STAMP).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    ours = isinstance(found, dict) and found.keys() == {*stamp(0), "whole"}
    return found if ours else None


def _put_stamp(folder: Path, count: int, *, whole: bool) -> None:
    text = json.dumps({**stamp(count), "whole": whole}, indent=1, sort_keys=True)
    (folder / STAMP).write_text(text + "\n")


@dataclass(kw_only=True)
class Maker:
    """What the chunks share."""

    folder: Path
    store: Store
    outcomes: Outcomes
    parts: Shared
    pins: SharedPins

    def chunk(self, numbers: range) -> int:
        """Makes the recipes of these numbers; returns how many nodes they have."""
        for number in numbers:
            self._write_recipe(number)
        releases = self._read(numbers)
        catalog = Catalog(
            releases={r.id: r for r in releases},
            bases=self.parts.bases or {},
            policies=self.parts.policies or {},
            advisories=self.parts.advisories or {},
            salt=self.parts.salt,
        )
        return self.released(catalog)

    def released(self, catalog: Catalog) -> int:
        """Writes locks, blobs and claims of all releases; returns how many nodes they have."""
        releases = list(catalog.releases.values())
        pins: PinTable = {}
        for release in releases:
            for target in release.targets.values():
                answer(target, catalog, self.pins, pins)
        graph = compile_graph(catalog, self.pins, pins, dt.date(2026, 1, 1))
        claims = self._claims(graph)
        for release in releases:
            self._write_lock(release, pins, claims)
        self.outcomes.forget()
        return len(graph.nodes)

    def _write_recipe(self, number: int) -> None:
        folder = self.folder / "catalog" / texts.name_of(number)
        folder.mkdir()
        (folder / "recipe.yaml").write_text(texts.recipe_text(number))
        (folder / "settings.conf").write_text(texts.local_text(number))

    def _read(self, numbers: range) -> list[Release]:
        collector = Collector()
        reader = RecipeReader(str(self.folder), Spans(str(self.folder)), self.parts, collector)
        names = map(texts.name_of, numbers)
        readings = [reader.read(f"catalog/{name}", name) for name in names]
        collector.raise_if_failed()
        return [release for reading in readings if reading for release in reading.releases]

    def _claims(self, graph: Graph) -> dict[NodeId, Claim]:
        claims: dict[NodeId, Claim] = {}
        entries = []
        for node in graph.nodes.values():
            inputs: dict[str, Digest] = {}
            for item in node.inputs:
                if item.digest is not None:
                    inputs[item.role] = item.digest
                elif item.node is not None:
                    inputs[item.role] = claims[item.node].outputs[item.output]
            action = node.resolve(inputs, graph.salt)
            claims[node.id] = self.outcomes.claim(action)
            entries.append((claims[node.id], action.preimage_bytes, str(node.id)))
        self.store.claims.add_many(entries)
        return claims

    def _write_lock(self, release: Release, pins: PinTable, claims: dict[NodeId, Claim]) -> None:
        platforms = tuple(release.targets)
        before = VariantLock(
            platforms={p: PlatformLock(pins=pins[release.id, p]) for p in platforms}
        )
        found = Found(claims=claims, read=self.store.blobs.read)
        variant = make_variant(release.id, platforms, before, found)
        name, version = release.id.name, release.id.version
        lock = with_variant(Lock(name=name, version=version), release.id, variant)
        path = self.folder / "lockfiles" / lock_file_name(name, version)
        path.write_bytes(lock_bytes(lock))


def put_into(store: Store) -> Outcomes:
    """Returns outcomes that keep blobs in ``store``, without a disk sync for each."""
    places = store.blobs.folder
    os.makedirs(places, exist_ok=True)

    def put(data: bytes) -> Digest:
        digest = sha256_of(data)
        try:
            handle = os.open(
                os.path.join(places, digest.hex), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444
            )
        except FileExistsError:
            return digest
        with open(handle, "wb") as file:
            file.write(data)
        return digest

    return Outcomes(put, texts.ADVISORIES.encode())


def make(count: int, folder: Path) -> int:
    """Makes the workspace; returns how many nodes its graph has.

    Raises:
        SystemExit: the folder holds something that this program did not make.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if _stamp_of(folder) is None:
            raise SystemExit(f"{folder} is a file or holds other files: name a new folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _put_stamp(folder, count, whole=False)
    for path, text in texts.SHARED.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "lockfiles").mkdir()
    store = Store.open(str(folder / "store"))
    try:
        nodes = _make_chunks(count, folder, store)
        store.register_workspace(str(folder))
    finally:
        store.close()
    _put_stamp(folder, count, whole=True)
    return nodes


def _make_chunks(count: int, folder: Path, store: Store) -> int:
    outcomes = put_into(store)
    collector = Collector()
    parts = read_shared(str(folder), "catalog", Spans(str(folder)), collector)
    collector.raise_if_failed()
    wanted = [(b.name, p) for b in (parts.bases or {}).values() for p in b.platforms]
    diff_ids: dict[tuple[str, Platform], Digest] = {
        (name, platform): outcomes.base_layer(f"{name} {platform}") for name, platform in wanted
    }
    for family in range(0, count, texts.FAMILY):
        outcomes.keep(texts.archive_bytes(family))
    advisories = pin_advisories(str(folder), "debian-12", texts.ADVISORIES_PATH)
    pins = shared_pins(Catalog(bases=parts.bases or {}), diff_ids, advisories)
    (folder / "lockfiles/catalog.lock.json").write_bytes(catalog_lock_bytes(CatalogLock(pins=pins)))
    maker = Maker(folder=folder, store=store, outcomes=outcomes, parts=parts, pins=pins)
    nodes = len(wanted)
    for start in range(0, count, CHUNK):
        nodes += maker.chunk(range(start, min(start + CHUNK, count))) - len(wanted)
        print(f"{min(start + CHUNK, count)} of {count} recipes", file=sys.stderr)
    return nodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", type=int, metavar="N", help="how many recipes")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the workspace to make")
    asked = parser.parse_args()
    if not 1 <= asked.recipes <= MOST:
        parser.error(f"N must be from 1 to {MOST}")
    folder = asked.folder.resolve()
    if is_made(folder, asked.recipes):
        print(f"{folder} is made already")
        return
    began = time.monotonic()
    try:
        nodes = make(asked.recipes, folder)
    except (OSError, SsdsError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{asked.recipes} recipes, {nodes} nodes in {time.monotonic() - began:.0f} s: {folder}")


if __name__ == "__main__":
    main()
