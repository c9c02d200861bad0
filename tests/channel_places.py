"""Channels that tests push to: a backend, where it reads from, and a way to spoil it."""

from __future__ import annotations

from dataclasses import dataclass

from ssds.core.digest import Digest
from ssds.lock.model import Lock, releasable
from ssds.oci.blobs import Blobs
from ssds.oci.layout import Layout
from ssds.recipe.model import Channel
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.observation import Observation
from ssds.ship.plug import Backend
from ssds.ship.pushing import apply_changes

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
        else:
            assert isinstance(self.backend, RegistryChannel)
            registry, repository = self.backend.registry, f"{self.backend.prefix}/{name}"
            media_type, data, _ = registry.fetch_manifest(repository, digest)
            registry.push_manifest(repository, tag, media_type, data)

    def push(self, *locks: Lock) -> tuple[list[str], Observation]:
        found = [r for lock in locks for r in releasable(lock)]
        changes, after = apply_changes(
            self.channel,
            self.backend,
            found,
            self.source,
            now=7,  # type: ignore[arg-type]
        )
        return as_lines(changes), after


class Source:
    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
