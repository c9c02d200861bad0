"""Unpacked images of a deployed tree: ``.flat/<2 hex>/<config hex>/``, shared by all sites.

An image is unpacked beside its place, synced and renamed; its marker below ``.ssds/images`` comes
last. A folder without a marker is a killed writer's and is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Protocol

from ssds.core.canonical import Json, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.host import local
from ssds.host.files import atomic_write, remove_file
from ssds.host.folders import scratch_folder, staged_folder, sweep_folders
from ssds.lock.model import ReleaseHalf
from ssds.oci.compress import decompress
from ssds.oci.flatten import FlatTree
from ssds.oci.programs import DEFAULT_PATH
from ssds.oci.types import Config, Descriptor, parse_config, parse_manifest
from ssds.oci.unpack import write_tree
from ssds.ship.about import Reader
from ssds.ship.fingerprint import of_folder, of_tree, shown
from ssds.ship.published import Published, catalogs_above, publish
from ssds.ship.tree import image_path, marker_path

LINKS_LIMIT = 40
MARKER_VERSION = 2
MARKER_LIMIT_BYTES = 16 << 20
PROBLEMS_SHOWN = 20
SETPRIV = ("/usr/bin/setpriv", "/bin/setpriv")


class BlobSource(Protocol):
    """Where bytes come from: a store, a layout, or a cache of a registry."""

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""

    def path(self, digest: Digest) -> str:
        """Returns the path of the blob's file."""

    def open(self, digest: Digest) -> IO[bytes]:
        """Opens the blob for reading; raises UnavailableError where it is not here."""

    def read(self, digest: Digest, limit_bytes: int = ...) -> bytes:
        """Returns the blob's bytes, checked."""

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Gives the blob's bytes; raises IntegrityError at the end where they are damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was found or written.

    Attributes:
        written: False where the image was there already.
        notes: (path, what is with it) of what was left out or may surprise.
    """

    written: bool
    notes: tuple[tuple[str, str], ...] = ()


def has_image(target: str, config: Digest) -> bool:
    """Whether the tree holds that image whole."""
    marker = os.path.join(target, marker_path(config))
    return os.path.isfile(marker) and os.path.isdir(os.path.join(target, image_path(config)))


def config_of(blobs: Reader, half: ReleaseHalf) -> Config:
    """Returns the image's config; raises IntegrityError where it is not what the lock says."""
    config = parse_config(blobs.read(half.config.digest), f"config {half.config.digest.short}")
    if config.diff_ids != tuple(layer.diff_id for layer in half.layers):
        raise IntegrityError(
            f"the config {half.config.digest.short} names other layers than its lock",
            hint="Restore the lock from git, or run ssds apply.",
            code="D020",
        )
    return config


def unpack_image(
    target: str, half: ReleaseHalf, blobs: BlobSource, *, scratch: str = "", anew: bool = False
) -> Unpacked:
    """Puts an image into the tree unless it is there; every byte is checked on the way.

    Args:
        scratch: a folder for uncompressed layers; beside the image where empty.
        anew: replace what is there; it stays until the new one is written.

    Raises:
        UnavailableError: a layer is neither here compressed nor uncompressed.
        IntegrityError: damaged bytes, a hostile layer.
    """
    digest = half.config.digest
    if not anew and has_image(target, digest):
        return Unpacked(written=False)
    path = image_path(digest)
    opened = opened_image(half, blobs, scratch or os.path.dirname(os.path.join(target, path)))
    return put_folder(target, path, marker_path(digest), opened, digest, point="deploy.image")


@contextlib.contextmanager
def opened_image(half: ReleaseHalf, blobs: BlobSource, scratch: str) -> Iterator[Published]:
    """Gives the published form of an image; it lives as long as the block."""
    config = config_of(blobs, half)
    with layer_tars(scratch, half, blobs) as (tars, room):
        yield publish(tars, config, room)


def put_folder(
    target: str,
    path: str,
    marker_at: str,
    opened: AbstractContextManager[Published],
    digest: Digest,
    *,
    point: str,
    what: str = "config",
) -> Unpacked:
    """Puts a published folder at ``path`` of the tree, and its marker last.

    Args:
        opened: gives it; digest: what names it; ``what`` it is the digest of.
        point: the write point of its appearance.
    """
    folder, marker = os.path.join(target, path), os.path.join(target, marker_at)
    for place in (folder, marker):
        sweep_folders(os.path.dirname(place))
    with opened as published:
        for catalog in catalogs_above(path):
            if not os.path.exists(os.path.join(target, catalog)):
                atomic_write(os.path.join(target, catalog), b"", point="deploy.catalog")
        with staged_folder(folder, point=point, replace=True) as staging:
            write_tree(published.tree, staging)
            remove_file(marker, point="deploy.unmark")
        data = marker_bytes(digest, published, what)
    atomic_write(marker, data, point="deploy.marker")
    return Unpacked(written=True, notes=notes_of(published))


def notes_of(published: Published) -> tuple[tuple[str, str], ...]:
    """Returns (path, what is with it) of all that differs from the image or may surprise."""
    told = (
        (published.dropped, "a device, a fifo or a socket: left out"),
        (published.reserved, "a name that CVMFS reads as its own: left out"),
        (published.expanded, "a link with $(…), which a CVMFS client expands"),
        (published.large, "larger than 1 GiB, the default limit of a CVMFS repository"),
    )
    return tuple((path, text) for paths, text in told for path in paths)


def marker_bytes(digest: Digest, published: Published, what: str = "config") -> bytes:
    """Returns the marker of a folder: what it must hold, to check it at any time.

    One that no reader would take lacks what only tells people where a difference is.

    Args:
        digest: what names the folder; ``what`` it is the digest of.
    """
    found = of_tree(published.tree)
    brief: dict[str, Json] = {
        "marker_version": MARKER_VERSION,
        what: str(digest),
        "tree": found.digest,
        "files": found.files,
        "folders": found.folders,
        "symlinks": found.symlinks,
        "size": found.size_bytes,
    }
    more: dict[str, Json] = {
        "parts": dict(found.parts),
        "catalogs": [shown(path) for path in published.catalogs],
        "notes": [[shown(path), text] for path, text in notes_of(published)],
    }
    data = pretty_bytes({**brief, **more})
    return data if len(data) <= MARKER_LIMIT_BYTES else pretty_bytes(brief)


@contextlib.contextmanager
def layer_tars(
    folder: str, half: ReleaseHalf, blobs: BlobSource
) -> Iterator[tuple[list[str], str]]:
    """Gives the paths of the uncompressed layer tars, base first, each with its diffID checked.

    The second value is a folder for scratch files; it goes with the block.
    """
    manifest = parse_manifest(blobs.read(half.manifest.digest))
    named = {layer.digest: layer for layer in manifest.layers}
    with scratch_folder(folder) as scratch:
        tars = []
        for number, layer in enumerate(half.layers):
            if blobs.has(layer.diff_id):
                for _ in blobs.chunks(layer.diff_id):
                    pass
                tars.append(blobs.path(layer.diff_id))
                continue
            descriptor = named.get(layer.digest)
            if descriptor is None:
                raise IntegrityError(
                    f"the manifest {half.manifest.digest.short} does not name the layer "
                    f"{layer.digest.short} of its lock",
                    hint="Restore the lock from git, or run ssds apply.",
                    code="D021",
                )
            path = os.path.join(scratch, f"{number}.tar")
            _uncompress(blobs, descriptor, layer.diff_id, path)
            tars.append(path)
        yield tars, scratch


def _uncompress(blobs: BlobSource, layer: Descriptor, diff_id: Digest, path: str) -> None:
    with blobs.open(layer.digest) as source, open(path, "wb") as sink:
        found, _ = decompress(source, sink, layer.media_type)
    if found != diff_id:
        raise IntegrityError(
            f"the layer {layer.digest.short} unpacks to {found.short}, not to {diff_id.short}",
            hint="The blob is damaged; run ssds store verify and fetch it again.",
            code="D022",
        )


def inside(root: str, path: str) -> str:
    """Returns where ``path`` of the image in ``root`` really is, or "" ; links stay inside."""
    left = [part for part in path.split("/") if part]
    done: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = os.path.join(root, *done, part)
        try:
            mode = os.lstat(here).st_mode
        except OSError:
            return ""
        if not stat.S_ISLNK(mode):
            done.append(part)
            continue
        links += 1
        if links > LINKS_LIMIT:
            return ""
        text = os.readlink(here)
        done = [] if text.startswith("/") else done
        left = [p for p in text.split("/") if p] + left
    return os.path.join(root, *done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What an image offers.

    Attributes:
        paths: command → absolute path in the image, or the empty string where it has none.
        setpriv: the image's own ``setpriv``, with which a program gives up the mounts' rights.
    """

    paths: Mapping[str, str]
    setpriv: str


def programs_in(root: str | FlatTree, config: Config, commands: Iterable[str]) -> Programs:
    """Returns where an image's commands are; ``root`` is its folder or its merged view."""
    path = config.environment.get("PATH", "") or DEFAULT_PATH
    return Programs(
        paths={command: find_program(root, command, path) for command in commands},
        setpriv=next((path for path in SETPRIV if find_program(root, path, "")), ""),
    )


def programs_of_folder(target: str, blobs: BlobSource, half: ReleaseHalf) -> Programs:
    """Returns where the commands of an image are that stands in the tree."""
    root = os.path.join(target, image_path(half.config.digest))
    return programs_in(root, config_of(blobs, half), half.offered)


def find_program(root: str | FlatTree, command: str, path: str) -> str:
    """Returns the absolute path in the image of a command, or the empty string.

    Args:
        root: the image's folder, or its merged view.
        command: a name, looked up along ``path``, or an absolute path.
        path: the image's PATH.
    """
    names = [command] if command.startswith("/") else [f"{f}/{command}" for f in path.split(":")]
    return next((n for n in names if n.startswith("/") and _is_program(root, n)), "")


def _is_program(root: str | FlatTree, path: str) -> bool:
    if isinstance(root, str):
        real = inside(root, path)
        return bool(real) and os.path.isfile(real) and bool(os.lstat(real).st_mode & 0o111)
    try:
        entry = root.resolve(path)
    except IntegrityError:
        return False
    return entry is not None and entry.type == "file" and bool(entry.mode & 0o111)


def _marker(path: str) -> Mapping[str, object]:
    """Returns a marker; empty where there is none."""
    try:
        with local.open_regular(path) as file:
            found = json.loads(file.read(MARKER_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def image_problems(target: str, config: Digest) -> list[str]:
    """Returns what is wrong with a deployed image, by path; it reads names, not content."""
    return folder_problems(target, image_path(config), marker_path(config), "image")


def folder_problems(target: str, path: str, marker_at: str, what: str) -> list[str]:
    """Returns what of a folder differs from its marker, by path."""
    marker = _marker(os.path.join(target, marker_at))
    folder = os.path.join(target, path)
    if not marker or not os.path.isdir(folder):
        return [f"{path}: the {what} is not complete"]
    try:
        found = of_folder(folder)
    except OSError as error:
        return [f"{path}: it cannot be read: {error.strerror}"]
    if found.digest == marker.get("tree"):
        return []
    wanted = marker.get("parts")
    parts = wanted if isinstance(wanted, dict) else {}
    odd = {p for p in {*parts, *found.parts} if parts and parts.get(p) != found.parts.get(p)}
    deepest = sorted(p for p in odd if not any(o != p and _below(o, p) for o in odd)) or [""]
    counts = ", ".join(
        f"{getattr(found, kind)} {kind} where {marker.get(kind)} belong"
        for kind in ("files", "folders", "symlinks")
        if getattr(found, kind) != marker.get(kind)
    )
    return [
        f"{path}/{part}".rstrip("/") + f": not as it was deployed{counts and f' ({counts})'}"
        for part in deepest[:PROBLEMS_SHOWN]
    ]


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") or not folder
