"""One release as exports see it: its lock, where its images are, and what describes it."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.records import dataclass, field
from ssds.core.versions import version_key
from ssds.lock.model import Lock, Released, releasable
from ssds.ship.about import Reader, read_about, read_files
from ssds.ship.old_layout import build_date as day_of

ICON_LIMIT_BYTES = 2 << 20
_WRITTEN = re.compile(r"data:image/(?:png|svg\+xml);base64,([A-Za-z0-9+/=\s]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Icon:
    """An image file; ``suffix`` is ``.svg`` or ``.png``."""

    suffix: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One release.

    Attributes:
        repository: ``host[:port]/prefix/name`` where its images are, or "" where nowhere.
        about: its descriptive fields; empty where their bytes are not here.
        commands: what any of its platforms offers, sorted.
        icons: by role (``icon``, ``gui[0].icon``, ``webapp.icon``), as far as their bytes are here.
    """

    released: Released
    repository: str
    about: Mapping[str, Json]
    commands: tuple[str, ...]
    icons: Mapping[str, Icon] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.released.id.name

    @property
    def epoch(self) -> int:
        """The newest date among its pinned inputs, seconds since the Unix epoch; 0 for none."""
        return self.released.epoch

    @property
    def tag(self) -> str:
        """``VERSION[-VARIANT]``."""
        return self.released.tag

    def text(self, key: str, default: str = "") -> str:
        """Returns a descriptive field that is text."""
        value = self.about.get(key)
        return value if isinstance(value, str) and value else default

    def texts(self, key: str) -> list[str]:
        """Returns a descriptive field that is a list of texts."""
        value = self.about.get(key)
        return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []

    def entries(self, key: str) -> list[Mapping[str, Any]]:
        """Returns a descriptive field that is a list of maps."""
        value = self.about.get(key)
        return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []

    def icon(self, role: str) -> Icon | None:
        """Returns an icon by its role."""
        return self.icons.get(role)

    def part(self, *keys: str) -> Mapping[str, Any]:
        """Returns a descriptive field that is a map, by its path; empty where there is none."""
        value: Any = self.about
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an export writes.

    Attributes:
        files: path relative to the export's folder → bytes.
        notes: (release, what it does not get and why).
    """

    files: Mapping[str, bytes]
    notes: Sequence[tuple[str, str]] = field(default_factory=tuple)


def offers(
    locks: Iterable[Lock], blobs: Reader | None, repositories: Mapping[str, str]
) -> list[Offer]:
    """Returns what may be delivered and is not withdrawn, by name, oldest version first.

    Args:
        blobs: where descriptive fields are read; None where there is no store.
        repositories: recipe → ``host[:port]/prefix/name``.
    """
    found = []
    for lock in locks:
        for released in (r for r in releasable(lock) if r.withdrawn is None):
            about = read_about(released.metadata, blobs) if blobs else {}
            commands = {c for half in released.platforms.values() for c in half.offered}
            found.append(
                Offer(
                    released=released,
                    repository=repositories.get(released.id.name, ""),
                    about=about,
                    commands=tuple(sorted(commands)),
                    icons=_icons(released.metadata, about, blobs) if blobs else {},
                )
            )
    return sorted(
        found, key=lambda o: (o.name, version_key(o.released.id.version), o.released.id.variant)
    )


def _icons(metadata: Digest | None, about: Mapping[str, Json], blobs: Reader) -> dict[str, Icon]:
    """Returns the icons of a release by role: files of its metadata, or written into the recipe."""
    found = {}
    extra = about.get("extra")
    text = extra.get("icon") if isinstance(extra, Mapping) else None
    if (
        isinstance(text, str)
        and len(text) <= ICON_LIMIT_BYTES
        and (match := _WRITTEN.fullmatch(text))
    ):
        with contextlib.suppress(ValueError):
            found["icon"] = base64.b64decode(match[1], validate=True)
    for role, digest in read_files(metadata, blobs).items():
        if role.endswith("icon") and blobs.has(digest):
            found[role] = blobs.read(digest, ICON_LIMIT_BYTES)
    kinds = {role: (_suffix(data), data) for role, data in found.items()}
    return {role: Icon(suffix=s, data=d) for role, (s, d) in kinds.items() if s}


def _suffix(data: bytes) -> str:
    """Returns what kind of image it is by its first bytes; the empty string for all others."""
    if data.startswith(b"\x89PNG\r\n"):
        return ".png"
    return ".svg" if b"<svg" in data[:4096].lower() else ""


def by_name(found: Iterable[Offer]) -> dict[str, list[Offer]]:
    """Returns recipe → its releases, oldest version first."""
    groups: dict[str, list[Offer]] = {}
    for offer in found:
        groups.setdefault(offer.name, []).append(offer)
    return groups


def build_date(offer: Offer) -> str:
    """Returns ``YYYYMMDD`` for lists that name a release by its day."""
    return day_of(offer.released)
