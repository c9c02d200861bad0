"""Unpacked images of a deployed tree: ``.flat/<2 hex>/<config hex>/``, shared by all sites.

An image is unpacked beside its place, synced and renamed; its marker below ``.ssds/images`` comes
last. A folder without a marker is a killed writer's and is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Protocol

from ssds.core.canonical import pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.host.files import atomic_write
from ssds.host.folders import discard_folder, scratch_folder, staged_folder, sweep_folders
from ssds.lock.model import ReleaseHalf
from ssds.oci.compress import decompress
from ssds.oci.flatten import flatten
from ssds.oci.types import Config, Descriptor, parse_config, parse_manifest
from ssds.oci.unpack import write_tree
from ssds.ship.tree import image_path, marker_path
from ssds.sif.runtime import BIND_FILES, BIND_FOLDERS

LINKS_LIMIT = 40
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
        dropped: paths of devices, fifos and sockets that were left out.
    """

    folder: str
    written: bool
    dropped: tuple[str, ...] = ()


def has_image(target: str, config: Digest) -> bool:
    """Whether the tree holds that image whole."""
    marker = os.path.join(target, marker_path(config))
    return os.path.isfile(marker) and os.path.isdir(os.path.join(target, image_path(config)))


def config_of(blobs: BlobSource, half: ReleaseHalf) -> Config:
    """Returns the image's config; raises IntegrityError where it is not what the lock says."""
    config = parse_config(blobs.read(half.config.digest), f"config {half.config.digest.short}")
    if config.diff_ids != tuple(layer.diff_id for layer in half.layers):
        raise IntegrityError(
            f"the config {half.config.digest.short} names other layers than its lock",
            hint="Restore the lock from git, or run ssds apply.",
            code="D020",
        )
    return config


def unpack_image(target: str, half: ReleaseHalf, blobs: BlobSource) -> Unpacked:
    """Puts an image into the tree unless it is there; every byte is checked on the way.

    Raises:
        UnavailableError: a layer is neither here compressed nor uncompressed.
        IntegrityError: damaged bytes, a hostile layer.
    """
    folder = os.path.join(target, image_path(half.config.digest))
    if has_image(target, half.config.digest):
        return Unpacked(folder=folder, written=False)
    config_of(blobs, half)
    for path in (folder, os.path.join(target, marker_path(half.config.digest))):
        sweep_folders(os.path.dirname(path))
    discard_folder(folder)
    with layer_tars(os.path.dirname(folder), half, blobs) as tars:
        tree = flatten(tars)
        with staged_folder(folder, point="deploy.image") as staging:
            report = write_tree(tree, staging)
            added = _bind_points(staging)
    marker = {
        "marker_version": 1,
        "config": str(half.config.digest),
        "files": report.files,
        "folders": report.folders,
        "symlinks": report.symlinks,
        "hard_links": report.hard_links,
        "size": report.size_bytes,
        "dropped": list(report.dropped),
        "bind_points": added,
    }
    place = os.path.join(target, marker_path(half.config.digest))
    atomic_write(place, pretty_bytes(marker), point="deploy.marker")
    return Unpacked(folder=folder, written=True, dropped=report.dropped)


@contextlib.contextmanager
def layer_tars(folder: str, half: ReleaseHalf, blobs: BlobSource) -> Iterator[list[str]]:
    """Gives the paths of the uncompressed layer tars, base first, each with its diffID checked."""
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
        yield tars


def _uncompress(blobs: BlobSource, layer: Descriptor, diff_id: Digest, path: str) -> None:
    with blobs.open(layer.digest) as source, open(path, "wb") as sink:
        found, _ = decompress(source, sink, layer.media_type)
    if found != diff_id:
        raise IntegrityError(
            f"the layer {layer.digest.short} unpacks to {found.short}, not to {diff_id.short}",
            hint="The blob is damaged; run ssds store verify and fetch it again.",
            code="D022",
        )


def _bind_points(folder: str) -> list[str]:
    """Makes the places that the runtime binds the host's files over, where there is nothing yet."""
    made = []
    for name in BIND_FOLDERS:
        if _free(folder, name):
            os.mkdir(os.path.join(folder, name), 0o755)
            made.append(name)
    for name in BIND_FILES:
        if _free(folder, name):
            with open(os.path.join(folder, name), "xb"):
                made.append(name)
    return made


def _free(folder: str, name: str) -> bool:
    """Whether ``name`` is not there, and its parent is a real folder that can take it."""
    path = os.path.join(folder, name)
    parent = os.path.dirname(path)
    if os.path.lexists(path) or os.path.islink(parent) or not os.path.isdir(parent):
        return False
    return os.access(parent, os.W_OK)


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


def find_program(root: str, command: str, path: str) -> str:
    """Returns the absolute path in the image of a command, or the empty string.

    Args:
        root: the image's folder.
        command: a name, looked up along ``path``, or an absolute path.
        path: the image's PATH.
    """
    names = [command] if command.startswith("/") else [f"{f}/{command}" for f in path.split(":")]
    for name in names:
        real = inside(root, name) if name.startswith("/") else ""
        if real and os.path.isfile(real) and os.lstat(real).st_mode & 0o111:
            return name
    return ""


def find_setpriv(root: str) -> str:
    """Returns the image's own ``setpriv``, with which a program gives up the mounts' rights."""
    return next((path for path in SETPRIV if find_program(root, path, "")), "")


def marker_of(target: str, config: Digest) -> Mapping[str, object]:
    """Returns the marker of an image; empty where there is none."""
    try:
        with open(os.path.join(target, marker_path(config)), "rb") as file:
            found = json.loads(file.read(16 * 1024 * 1024))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def image_problems(target: str, config: Digest) -> list[str]:
    """Returns what is wrong with a deployed image, by counting its entries."""
    marker = marker_of(target, config)
    folder = os.path.join(target, image_path(config))
    if not marker or not os.path.isdir(folder):
        return [f"the image {config.short} is not complete"]
    found = {"files": 0, "folders": 1, "symlinks": 0}
    for folders, files, links in _walk(folder):
        found["folders"] += folders
        found["files"] += files
        found["symlinks"] += links
    added = marker.get("bind_points", [])
    names = [str(name) for name in added] if isinstance(added, list) else []
    files_added = sum(name in BIND_FILES for name in names)
    wanted = {
        "files": _count(marker, "files") + _count(marker, "hard_links") + files_added,
        "folders": _count(marker, "folders") + len(names) - files_added,
        "symlinks": _count(marker, "symlinks"),
    }
    return [
        f"the image {config.short} has {found[kind]} {kind} where {wanted[kind]} belong"
        for kind in found
        if found[kind] != wanted[kind]
    ]


def _count(marker: Mapping[str, object], kind: str) -> int:
    value = marker.get(kind, 0)
    return value if isinstance(value, int) else 0


def _walk(folder: str) -> Iterator[tuple[int, int, int]]:
    """Gives the numbers of folders, files and links in each folder."""
    pending = [folder]
    while pending:
        folders = files = links = 0
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links += 1
                elif entry.is_dir():
                    folders += 1
                    pending.append(entry.path)
                else:
                    files += 1
        yield folders, files, links
