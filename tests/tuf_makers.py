"""A TUF repository with two root keepers and one site, and what attackers do to such."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trust_makers import new_signer
from tuf.api.metadata import Metadata

from ssds.host.fetch import Fetcher
from ssds.trust.keys import LocalSigner
from ssds.tuf import repository as disk
from ssds.tuf.client import Refreshed, refresh
from ssds.tuf.publish import publish
from ssds.tuf.roles import Keepers, Staged, delegate, sign_root, stage_root, waiting_root

NOW = datetime.now(UTC)
SITE_FILE = "catalog/sites/uq.yaml"
FIRST = {"lockfiles/bwa@0.7.17.lock.json": b'{"revision": 1}\n', "ssds.yaml": b"{}\n"}
SECOND = {**FIRST, "lockfiles/bwa@0.7.17.lock.json": b'{"revision": 2}\n'}
NAMES = ("anna", "ben", "lab", "ci", "uq", "stranger")


@dataclass
class Kit:
    """A repository's folder and everybody's keys."""

    folder: Path
    keys: Mapping[str, LocalSigner] = field(
        default_factory=lambda: {name: new_signer("ed25519", name) for name in NAMES}
    )

    def signers(self, *names: str) -> list[LocalSigner]:
        return [self.keys[name] for name in names]

    def stage(self, **changes: Any) -> None:
        keepers = {
            "root": tuple(self.keys[n].public for n in ("anna", "ben")),
            "threshold": 2,
            "targets": (self.keys["lab"].public,),
            "online": (self.keys["ci"].public,),
        }
        stage_root(str(self.folder), Keepers(**{**keepers, **changes}), NOW)

    def sign(self, name: str) -> Staged:
        seen = waiting_root(str(self.folder)).digest
        return sign_root(str(self.folder), self.keys[name], seen)

    def root(self, *names: str, **changes: Any) -> None:
        self.stage(**changes)
        for name in names or ("anna", "ben"):
            self.sign(name)

    def publish(
        self, files: Mapping[str, bytes] | None, *names: str, site: str = "", now: datetime = NOW
    ) -> tuple[str, ...]:
        return publish(str(self.folder), files, self.signers(*names), now, site=site).written

    def delegate(self, site: str, key: str, path: str = SITE_FILE) -> None:
        keys = [self.keys[key].public]
        delegate(str(self.folder), site, keys, [path], self.signers("lab"), NOW)

    @property
    def first_root(self) -> bytes:
        return (self.folder / "1.root.json").read_bytes()

    def rewrite(self, name: str, key: str, change: Callable[[Any], object]) -> None:
        """Changes metadata as one who has a key can: signed anew by it alone."""
        found = Metadata.from_bytes((self.folder / name).read_bytes())
        change(found.signed)
        found.signatures.clear()
        disk.sign(found, [self.keys[key]])
        (self.folder / name).write_bytes(found.to_bytes())

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        """Changes metadata as one who has no key can."""
        document = json.loads((self.folder / name).read_bytes())
        change(document)
        (self.folder / name).write_text(json.dumps(document))


def new_kit(folder: Path) -> Kit:
    """A repository in its first state: two files, and a site that has published its own."""
    kit = Kit(folder)
    kit.root()
    kit.delegate("uq", "uq")
    kit.publish(FIRST, "lab")
    kit.publish({SITE_FILE: b"modules: lmod\n"}, "uq", site="uq")
    kit.publish(None, "ci")
    return kit


def fetch(place: Path | str, folder: Path, root: bytes | None = None, site: str = "") -> Refreshed:
    with Fetcher(pauses_s=(), timeout_s=5) as fetcher:
        return refresh(str(place), str(folder), fetcher, root=root, site=site)


def state(folder: Path) -> dict[str, bytes]:
    """What a site reads: path → bytes of the current state."""
    current = folder / "current"
    files = [path for path in current.rglob("*") if path.is_file()] if current.exists() else []
    return {str(path.relative_to(current)): path.read_bytes() for path in files}


def in_past(days: int) -> datetime:
    return NOW - timedelta(days=days)
