"""Channels that tests push to: a backend, where it reads from, and a way to spoil it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ship_makers import AMD64, image, key, release, script, small_tar

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.model import Claim
from ssds.lock.data import DataLock
from ssds.lock.model import Lock, Released, releasable
from ssds.oci.blobs import Blobs
from ssds.oci.layout import Layout
from ssds.recipe.model import Channel
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backend_objects import ObjectsChannel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.object_tags import set_tags
from ssds.ship.observation import Observation
from ssds.ship.plug import Backend
from ssds.ship.pushing import Pushed
from ssds.ship.refdata.artefact import released_set
from ssds.ship.syncing import Look, carry_out, look_at

CHANNEL = Channel(name="local", kind="layout", location="out")


def as_lines(changes: object) -> list[str]:
    return [f"{c.verb} {c.what}" for c in changes]  # type: ignore[attr-defined]


@dataclass
class Place:
    """A channel to push to, and a way to spoil it from outside."""

    backend: Backend
    channel: Channel
    source: object
    blobs: Blobs

    def set_tag(self, name: str, tag: str, digest: Digest) -> None:
        """As a stranger would."""
        if isinstance(self.backend, LayoutChannel):
            layout = Layout(self.backend.path)
            known = {d.digest: d for d in layout.tags().values()}
            layout.set_tags({f"{name}:{tag}": known[digest]})
        elif isinstance(self.backend, ObjectsChannel):
            entries = self.backend._entries(name)
            known = {d.digest: d for d in entries.values()}
            set_tags(self.backend.store, name, {tag: known[digest]})
        else:
            assert isinstance(self.backend, RegistryChannel)
            registry, repository = self.backend.registry, f"{self.backend.prefix}/{name}"
            media_type, data, _ = registry.fetch_manifest(repository, digest)
            registry.push_manifest(repository, tag, media_type, data)

    def push(self, *locks: Lock) -> tuple[list[str], Observation]:
        """Syncs after a look at every tag; raises the first error."""
        changes, done = sync(self, *locks, at=7, anew=True, kept=True)
        for error in done.failed.values():
            raise error
        return changes, done.after


class Source:
    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs


BASE = small_tar({"base": bytes(range(256)) * 64})


def lock_of(blobs: Blobs, name: str, *, evidence: bool = False, version: str = "1.0") -> Lock:
    """A release on a layer that all share."""
    tars = [BASE, small_tar({f"bin/{name}": script(f"{name} {version}")})]
    half = image(blobs, tars, [name], {})
    lock = release(blobs, half, name=name, version=version)
    return with_evidence(blobs, lock) if evidence else lock


def with_evidence(blobs: Blobs, lock: Lock, *, about: Digest | None = None) -> Lock:
    variant = lock.variants[""]
    section = variant.platforms[AMD64]
    assert section.release is not None
    config = about or section.release.config.digest
    sbom = blobs.put(canonical_bytes({"bomFormat": "CycloneDX", "image": str(config)}))
    tests = {"tests": [{"name": "runs", "problems": [], "result": "pass"}]}
    report = blobs.put(canonical_bytes(tests))
    used = {"name": "osv", "date": "2026-11-01"}
    scan = {"scanned": True, "advisories": used, "findings": []}
    findings = blobs.put(canonical_bytes(scan))
    claims = {
        "sbom": Claim(key=key("s"), kind="sbom", outputs={"sbom": sbom, "commands": sbom}),
        "test": Claim(
            key=key("t"), kind="test", verdict="pass", outputs={"verdict": report, "report": report}
        ),
        "scan": Claim(key=key("f"), kind="scan", outputs={"findings": findings}),
    }
    sections = {AMD64: replace(section, latest=claims)}
    return replace(lock, variants={"": replace(variant, platforms=sections)})


def all_of(*locks: Lock | DataLock) -> list[Released]:
    found: list[Released] = []
    for lock in locks:
        found += releasable(lock) if isinstance(lock, Lock) else filter(None, [released_set(lock)])
    return found


def look(
    place: Place, *locks: Lock | DataLock, at: int = 1000, refresh: bool = False, **more: Any
) -> Look:
    def read(digest: Digest) -> bytes | None:
        return place.blobs.read(digest) if place.blobs.has(digest) else None

    found = all_of(*locks)
    return look_at(place.channel, place.backend, found, read=read, now=at, deep=refresh, **more)


def sync(
    place: Place, *locks: Lock | DataLock, at: int = 1000, kept: bool = False, **more: Any
) -> tuple[list[str], Pushed]:
    found = look(place, *locks, at=at, **more)
    done = carry_out(found, place.source, now=at)  # type: ignore[arg-type]
    return [line for line in as_lines(done.changes) if kept or line[0] != "="], done
