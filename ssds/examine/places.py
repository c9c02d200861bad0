"""Opens an image that no lock names: a folder, a SIF file, a layout, an archive, a registry's.

What lies there is hostile until it was checked; nothing in it is executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BufferedReader
from typing import IO

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, UnavailableError, UsageError
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.host.machine import free_bytes
from ssds.host.mirrors import Mirrors
from ssds.host.process import run
from ssds.oci.compress import decompress
from ssds.oci.content import Content, entry_of
from ssds.oci.document import DOCUMENT_LIMIT_BYTES, load_document
from ssds.oci.flatten import Entry, FlatTree, flatten
from ssds.oci.folder_tree import FolderTree
from ssds.oci.image_name import parse_image_name
from ssds.oci.layout import Layout
from ssds.oci.tarindex import ENTRY_LIMIT, Member, index_tar
from ssds.oci.types import (
    INDEX_TYPES,
    LAYER,
    LAYER_GZIP,
    Config,
    Descriptor,
    parse_config,
    parse_index,
    parse_manifest,
)
from ssds.oci.upstream import Images
from ssds.sif.container import PARTITION, read_container

REGISTRY = "docker://"
_UNSQUASH_LIMIT_S = 3600
_LISTED = pattern(rb"-\S+ +\d+/\d+ +(\d{1,20}) ")
"""A file's line in the listing: mode, owner, size."""
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An image that can be looked through.

    Attributes:
        tree: its merged view.
        platform: its platform, or the empty string where nothing says it.
        digest: of its config, or None.
        environment: of its config.
        unreadable: paths that could not be looked at.
    """

    tree: FlatTree
    platform: str = ""
    digest: Digest | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


def open_place(place: str, platform: Platform, scratch: str, mirrors: Mirrors) -> Opened:
    """Returns the image at ``place``.

    Args:
        place: a folder with an unpacked image, a SIF file, an OCI image layout (``FOLDER[:NAME]``),
            an archive of ``docker save``, or ``docker://NAME``.
        platform: which one of several.
        scratch: an empty folder for what must be unpacked.
        mirrors: where images of registries come from.

    Raises:
        UnavailableError, IntegrityError: it is not there, cannot be read, or is damaged.
        UsageError: E280, it is none of these; E282, it holds several images.
    """
    if place.startswith(REGISTRY):
        return _of_registry(place.removeprefix(REGISTRY), platform, scratch, mirrors)
    folder, _, name = place.partition(":")
    if os.path.isfile(os.path.join(folder, "oci-layout")):
        return _of_layout(Layout(folder, create=False), name, platform, scratch)
    if os.path.isdir(place):
        tree = FolderTree(place)
        return Opened(tree=tree, unreadable=tree.unreadable)
    head = _head(place)
    if b"SIF_MAGIC" in head[:64] or head[:4] == b"hsqs":
        return _of_sif(place, head[:4] == b"hsqs", scratch)
    if head[257:262] == b"ustar":
        return _of_archive(place, platform, scratch)
    raise UsageError(
        f"{place} is no image that ssds can open",
        hint="Name the root folder of an unpacked image, a SIF file, an OCI image layout, an "
        "archive of `docker save`, or docker://NAME.",
        code="E280",
    )


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(512)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read: {error.strerror}", hint="Check its name.", code="E281"
        ) from error


def _of_config(config: Config, digest: Digest, layers: list[str]) -> Opened:
    return Opened(
        tree=flatten(layers),
        platform=str(config.platform or ""),
        digest=digest,
        environment=config.environment,
    )


def _of_registry(text: str, platform: Platform, scratch: str, mirrors: Mirrors) -> Opened:
    name = parse_image_name(text)
    images = Images(mirrors)
    found = images.image(name, platform)
    layers = []
    for number, layer in enumerate(found.layers):
        packed = os.path.join(scratch, "packed")
        with open(packed, "wb") as sink:
            images.fetch(name, layer.digest, layer.size_bytes, sink)
        with open(packed, "rb") as file:
            layers.append(_layer(file, layer.media_type, found.settings, number, scratch))
    return _of_config(found.settings, found.config.digest, layers)


def _of_layout(layout: Layout, name: str, platform: Platform, scratch: str) -> Opened:
    tags = layout.tags()
    entries = [tags[name]] if name in tags else list(tags.values() or layout.index().manifests)
    if len(entries) != 1 or (name and name not in tags):
        known = ", ".join(sorted(tags)[:10]) or "none"
        raise UsageError(
            f"the layout {layout.path} has {len(tags)} images: {known}",
            hint="Name one of them: FOLDER:NAME.",
            code="E282",
        )
    chosen = entries[0]
    if chosen.media_type in INDEX_TYPES:
        chosen = _of_platform(layout, chosen, platform)
    manifest = parse_manifest(layout.read(chosen.digest, DOCUMENT_LIMIT_BYTES))
    config = parse_config(layout.read(manifest.config.digest, DOCUMENT_LIMIT_BYTES))
    if len(config.diff_ids) != len(manifest.layers):
        raise IntegrityError(
            "the image's manifest and config name other layers",
            hint="The image is damaged or forged.",
            code="E283",
        )
    layers = []
    for number, layer in enumerate(manifest.layers):
        with layout.blobs.open(layer.digest) as file:
            layers.append(_layer(file, layer.media_type, config, number, scratch))
    return _of_config(config, manifest.config.digest, layers)


def _of_platform(layout: Layout, index: Descriptor, platform: Platform) -> Descriptor:
    entries = parse_index(layout.read(index.digest, DOCUMENT_LIMIT_BYTES)).manifests
    known = {entry.platform: entry for entry in entries if entry.platform is not None}
    if platform not in known:
        raise UnavailableError(
            f"the image in {layout.path} is not for {platform}",
            hint=f"Pass --platform; it has {', '.join(sorted(map(str, known))) or 'none'}.",
            code="E284",
        )
    return known[platform]


def _layer(file: IO[bytes], media_type: str, config: Config, number: int, scratch: str) -> str:
    """Unpacks a layer; returns its path. Raises IntegrityError (E283) where it is another one."""
    path, wanted = os.path.join(scratch, str(number)), config.diff_ids[number]
    with open(path, "wb") as sink:
        found, _ = decompress(file, sink, media_type)
    if found != wanted:
        raise IntegrityError(
            f"a layer unpacks to {found.short}, and the config says {wanted.short}",
            hint="The image is damaged or forged.",
            code="E283",
        )
    return path


def _of_archive(path: str, platform: Platform, scratch: str) -> Opened:
    """Opens what ``docker save`` writes. Source: Docker Image Specification v1.2, manifest.json."""
    members = {member.path: member for member in index_tar(path, what=path)}
    data = _member(path, members, "manifest.json")
    wrapped = b'{"images":' + data + b"}"  # a list at the top, where documents are maps
    images = load_document(wrapped, f"{path}: manifest.json").items("images", limit=1000)
    if len(images) != 1:
        raise UsageError(
            f"the archive {path} has {len(images)} images",
            hint="Save one image at a time.",
            code="E282",
        )
    data = _member(path, members, images[0].text("Config"))
    config = parse_config(data)
    names = images[0].texts("Layers")
    if len(names) != len(config.diff_ids):
        raise IntegrityError(
            "the archive and the image's config name other layers",
            hint="The image is damaged or forged.",
            code="E283",
        )
    if config.platform is not None and config.platform != platform:
        raise UnavailableError(
            f"the image in {path} is for {config.platform}, not for {platform}",
            hint=f"Pass --platform {config.platform}.",
            code="E284",
        )
    return _of_config(config, sha256_of(data), _unpacked(path, members, names, config, scratch))


def _unpacked(
    path: str,
    members: Mapping[str, Member],
    names: Sequence[str],
    config: Config,
    scratch: str,
) -> list[str]:
    layers = []
    for number, name in enumerate(names):
        with BufferedReader(Content(path, _entry(path, members, name))) as raw:
            packed = raw.peek(2)[:2] == _GZIP_MAGIC
            layers.append(_layer(raw, LAYER_GZIP if packed else LAYER, config, number, scratch))
    return layers


def _entry(path: str, members: Mapping[str, Member], name: str) -> Entry:
    member = members.get(name)
    if member is not None and member.type in ("symlink", "hardlink"):  # a layer that is there twice
        folder = os.path.dirname(name) if member.type == "symlink" else ""
        member = members.get(os.path.normpath(os.path.join(folder, member.target)))
    if member is None or member.type != "file":
        raise IntegrityError(
            f"the archive {path} has no file {name[:200]!r}",
            hint="Give an archive as `docker save` writes it.",
            code="E285",
        )
    return entry_of(member, name)


def _member(path: str, members: Mapping[str, Member], name: str) -> bytes:
    with BufferedReader(Content(path, _entry(path, members, name))) as file:
        data = file.read(DOCUMENT_LIMIT_BYTES + 1)
    if len(data) > DOCUMENT_LIMIT_BYTES:
        raise IntegrityError(
            f"{name[:200]!r} in {path} is too large",
            hint="Give an archive as `docker save` writes it.",
            code="E285",
        )
    return data


def _of_sif(path: str, bare: bool, scratch: str) -> Opened:
    """Unpacks the file system of a SIF, or a bare squashfs, with Debian's squashfs-tools."""
    offset, architecture = 0, ""
    if not bare:
        with open(path, "rb") as file:
            container = read_container(file)
        architecture = container.architecture
        systems = [part for part in container.parts if part.type == PARTITION]
        if len(systems) != 1:
            raise IntegrityError(
                f"{path} has {len(systems)} file systems",
                hint="Give a SIF file with one; or unpack it and name the folder.",
                code="E286",
            )
        offset = systems[0].offset
    target = os.path.join(scratch, "root")
    command = ["unsquashfs", "-no-progress", "-quiet", "-processors", "1", "-offset", str(offset)]
    _check_room(command, path, scratch)
    done = run([*command, "-dest", target, path], timeout_s=_UNSQUASH_LIMIT_S)
    if done.returncode != 0 or not os.path.isdir(target):
        raise IntegrityError(
            f"the file system in {path} cannot be unpacked: {done.text.strip()[-300:]}",
            hint="It is damaged, encrypted, or no squashfs.",
            code="E286",
        )
    tree = FolderTree(target)
    platform = f"linux/{architecture}" if architecture else ""
    return Opened(tree=tree, platform=platform, unreadable=tree.unreadable)


class _Listing:
    """Counts the entries and bytes of a squashfs while it is listed; a name cannot hide any."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.entries = 0
        self.size_bytes = 0
        self._rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:4096]  # the size stands at the beginning
        self.entries += len(lines)
        for line in lines:
            if found := _LISTED.match(line):
                self.size_bytes += int(found[1])

    def over(self) -> bool:
        return self.entries > ENTRY_LIMIT or self.size_bytes > self.limit_bytes


def _check_room(command: Sequence[str], path: str, scratch: str) -> None:
    """Raises UnavailableError (E290) where a squashfs would not fit when it is unpacked."""
    room = free_bytes(scratch)
    listing = _Listing(room)
    run(
        [*command, "-lln", path],
        timeout_s=_UNSQUASH_LIMIT_S,
        log=listing,
        capture=False,
        stop=listing.over,
    )
    if listing.over():
        raise UnavailableError(
            f"the file system in {path} has more than {ENTRY_LIMIT} entries, or more than "
            f"the {room >> 20} MiB that are free once it is unpacked",
            hint="Make room, or mount it and name the folder; where nobody needs that much, it is "
            "hostile.",
            code="E290",
        )
