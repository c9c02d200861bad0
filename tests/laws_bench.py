"""Lock and apply for laws: all is real but what needs a sandbox or a network.

Base, source, build and test are small kinds of their own that write true tars and configs; the
other kinds, the engine, the store, the resolver's writer and the locks are the product's.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from full_workspace import answered
from laws_catalogs import source_content
from sbom_images import elf

from ssds.cli import planning, resolving
from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import ActionKey, sha256_of
from ssds.core.model import FAIL, PASS, NodeId
from ssds.core.platform import Platform
from ssds.delivery import gone
from ssds.engine import runner as engine_runner
from ssds.engine.apply import Result, apply
from ssds.engine.report import Reporter
from ssds.engine.resolve import Pins
from ssds.host.mirrors import Mirrors
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.table import runner as real_runner
from ssds.oci.types import config_bytes, parse_config
from ssds.packages.wire import identities
from ssds.workspace import Workspace

COMMENT = re.compile(r"[ \t]*#.*")


def a_tar(files: Mapping[str, bytes]) -> bytes:
    """Returns the one tar of these executable files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def base_tar(platform: str, packages: Json) -> bytes:
    """Returns the layer of a base: a function of what is in its key."""
    status = b"Package: dash\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\n"
    own = canonical_bytes([platform, packages])
    shell = elf(183 if "arm64" in platform else 62) + own
    return a_tar({"bin/sh": shell, "var/lib/dpkg/status": status})


def _base(bench: Bench) -> Outcome:
    node = bench.action.node
    layer = base_tar(node.id.platform, node.slice["packages"])
    return Outcome(outputs={"layer": bench.store.blobs.put(layer)}, mode="identity")


def _source(bench: Bench) -> Outcome:
    hints = cast(Any, bench.action.node.hints["file"])
    wanted = bench.action.node.slice["sha256"]
    given = [u.rpartition("/")[2].removesuffix(".tar") for u in hints.get("urls", ())]
    data = source_content(given[0]) if given else hints["path"].encode()
    digest = bench.store.blobs.put(data)
    assert digest == wanted, (hints, wanted)
    return Outcome(outputs={"file": digest})


def _build(bench: Bench) -> Outcome:
    """Makes one layer that holds what the steps say; a comment in a script changes no byte."""
    node, blobs = bench.action.node, bench.store.blobs
    slice_ = cast(Any, node.slice)
    origin = next(i for i in node.inputs if i.role == "base")
    below = bench.action.inputs["base"]
    chain = [below]
    if origin.output == "config":
        chain = list(parse_config(blobs.read(below)).diff_ids)
    steps = [
        {k: COMMENT.sub("", v) if k == "script" else v for k, v in step.items()}
        for step in slice_["steps"]
    ]
    inputs = {role: str(d) for role, d in bench.action.inputs.items()}
    name = slice_["name"]
    layer = {"steps": steps, "inputs": inputs, "version": slice_["version"]}
    program = b"#!/bin/sh\n" + canonical_bytes(layer)
    chain.append(blobs.put(a_tar({f"usr/bin/{name}": program})))
    config = config_bytes(
        platform=Platform(node.id.platform),
        diff_ids=chain,
        created=node.epoch or 0,
        environment={"PATH": "/usr/bin:/bin"},
    )
    layers = {f"layer/{i}": d for i, d in enumerate(chain)}
    return Outcome(outputs={"config": blobs.put(config), **layers}, mode="identity")


def _test(bench: Bench) -> Outcome:
    tests = cast(Any, bench.action.node.slice["tests"])
    failed = [t["name"] for t in tests if t["script"] == "false"]
    put = bench.store.blobs.put
    report = put(canonical_bytes({"failed": failed, "of": [t["name"] for t in tests]}))
    return Outcome(
        outputs={"verdict": put(FAIL if failed else PASS), "report": report},
        verdict="fail" if failed else "pass",
        mode="identity",
    )


SMALL: Mapping[str, Callable[[Bench], Outcome]] = {
    "base": _base,
    "source": _source,
    "build": _build,
    "test": _test,
}


class BenchWorkspace(Workspace):
    """A workspace on a machine that can build everything and reaches nothing."""

    sandbox = None  # type: ignore[assignment]

    def builder(self, platform: Platform) -> str:
        return ""

    @functools.cached_property
    def mirrors(self) -> Mirrors:  # type: ignore[override]
        return Mirrors()


@dataclass
class Ran:
    """What an apply did.

    Attributes:
        called: node → key of every run that really happened.
        locks: the lock files that changed.
    """

    planned: planning.Planned
    result: Result
    called: list[tuple[NodeId, ActionKey]]
    locks: list[str]

    @property
    def labels(self) -> set[str]:
        """The labels of what was called."""
        return {name.label for name, _ in self.called}


@contextlib.contextmanager
def small_kinds(called: list[tuple[NodeId, ActionKey]]) -> Iterator[None]:
    """Puts the small kinds into the engine's table; notes what is called."""

    def chosen(kind: str) -> Callable[[Bench], Outcome]:
        run = SMALL.get(kind) or real_runner(kind)

        def noted(bench: Bench) -> Outcome:
            called.append((bench.action.node.id, bench.action.key))
            return run(bench)

        return noted

    before = engine_runner.runner
    engine_runner.runner = chosen  # type: ignore[assignment]
    try:
        yield
    finally:
        engine_runner.runner = before


@contextlib.contextmanager
def no_sync() -> Iterator[None]:
    """Durability costs most of a law's time, and no law here is about power loss."""
    before = os.fsync
    os.fsync = lambda _: None
    try:
        yield
    finally:
        os.fsync = before


def open_workspace(root: Path) -> BenchWorkspace:
    """Returns the workspace, read anew."""
    found = BenchWorkspace.open(str(root))
    assert isinstance(found, BenchWorkspace)
    return found


def lock(root: Path) -> list[str]:
    """Pins everything that the catalog asks for, as the resolver would; returns what changed."""
    with no_sync():
        workspace = open_workspace(root)
        before = Pins(shared=workspace.locks.catalog.pins, releases=workspace.locks.pins)
        shared, releases = answered(workspace.catalog)
        bases = {
            key: pin
            if pin.image
            else replace(
                pin,
                diff_id=sha256_of(base_tar(key[1], identities(pin.packages.packages))),
                packages=replace(pin.packages, request=pin.request),
            )
            for key, pin in shared.bases.items()
        }
        for key, own in releases.items():
            sources = {}
            for name, pin in own.sources.items():
                asked = workspace.catalog.releases[key[0]].targets[key[1]].sources[name]
                file = replace(pin.file, name=f"{name}.tar", urls=(asked.url, *asked.mirrors))
                if asked.sha256 is None:
                    path = f"pool/{name}/{pin.request.hex}"
                    digest = sha256_of(path.encode())
                    file = replace(file, digest=digest, archive="debian", path=path, urls=())
                sources[name] = replace(pin, file=file)
            releases[key] = replace(own, sources=sources)
        pins = Pins(shared=replace(shared, bases=bases), releases=releases)
        resolving.pin_advisories(workspace, pins)
        return resolving.write_pins(workspace, before, pins)


def apply_plan(root: Path, *, jobs: int = 1, asked: planning.Asked | None = None) -> Ran:
    """Plans and applies; the locks are updated, and those of lost releases removed."""
    called: list[tuple[NodeId, ActionKey]] = []
    with no_sync(), small_kinds(called):
        workspace = open_workspace(root)
        planned = planning.make(workspace, asked or planning.Asked())
        workspace.tidy()
        with workspace.store.shared():
            crew = workspace.crew(jobs=jobs)
            result = apply(planned.plan, planned.facts, crew, Reporter())
            locks = resolving.update_locks(workspace, planned.graph, result)
            lost = gone(workspace.catalog, workspace.locks)
            locks += resolving.remove_locks(workspace, lost)
        close(workspace)
    return Ran(planned=planned, result=result, called=called, locks=locks)


def plan(root: Path, asked: planning.Asked | None = None) -> planning.Planned:
    """Returns the joint plan."""
    workspace = open_workspace(root)
    planned = planning.make(workspace, asked or planning.Asked())
    close(workspace)
    return planned


def close(workspace: Workspace) -> None:
    """Closes the store's file where it was opened."""
    workspace.close()


def lock_files(root: Path) -> dict[str, bytes]:
    """Returns the bytes of every lock."""
    return {p.name: p.read_bytes() for p in sorted((root / "lockfiles").iterdir())}


def claims(store: Path) -> set[tuple[str, ...]]:
    """Returns what a store's claims say: key, kind, outputs and verdict."""
    with contextlib.closing(sqlite3.connect(store / "claims.sqlite")) as known:
        return set(known.execute("SELECT key, kind, outputs, verdict FROM claims"))
