"""Checks a whole release: sizes, digests, platforms, and diffIDs against the layers themselves.

Source: OCI image specification 1.1; the list of checks follows distribution rule 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.oci.compress import decompress
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.types import (
    CONFIG_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    Config,
    Descriptor,
    Manifest,
    parse_config,
    parse_index,
    parse_manifest,
)

Read = Callable[[Digest], bytes]
Open = Callable[[Digest], IO[bytes]]
_CHUNK_BYTES = 1 << 20
_NESTING_LIMIT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: the way to it (``index > manifest linux/amd64 > layer 2``)."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def validate_index(
    read: Read, descriptor: Descriptor, deep: Open | None = None
) -> tuple[Finding, ...]:
    """Returns everything that is wrong with a release; empty when all is well.

    Args:
        read: gives the bytes of a manifest, index or config by digest, checked or not.
        descriptor: of the index or of one manifest.
        deep: opens a layer by digest; then each layer's bytes are read, and its uncompressed form
            is compared with the config's diffID.
    """
    checker = _Checker(read, deep)
    checker.check(descriptor, "release", 0)
    return tuple(checker.findings)


class _Checker:
    """Collects findings; each blob is checked once."""

    def __init__(self, read: Read, deep: Open | None) -> None:
        self.read = read
        self.deep = deep
        self.findings: list[Finding] = []
        self.layers: dict[tuple[Digest, str], Digest | None] = {}

    def report(self, where: str, problem: str) -> None:
        self.findings.append(Finding(where=where, problem=problem))

    def check(self, descriptor: Descriptor, where: str, depth: int) -> None:
        if depth > _NESTING_LIMIT:
            self.report(where, "indexes are nested too deeply")
        elif descriptor.media_type in INDEX_TYPES:
            self._index(descriptor, where, depth)
        elif descriptor.media_type in MANIFEST_TYPES:
            self._manifest(descriptor, where)
        else:
            self.report(where, f"{descriptor.media_type} is not an index or a manifest")

    def _bytes(self, descriptor: Descriptor, where: str) -> bytes | None:
        """Returns a document's bytes if they are what the descriptor promises."""
        if descriptor.size_bytes > DOCUMENT_LIMIT_BYTES:
            self.report(where, f"is said to be {descriptor.size_bytes} bytes, too many")
            return None
        try:
            data = self.read(descriptor.digest)
        except SsdsError as error:
            self.report(where, error.message)
            return None
        found = hashlib.new(descriptor.digest.algorithm, data).hexdigest()
        if len(data) != descriptor.size_bytes:
            self.report(where, f"has {len(data)} bytes, not {descriptor.size_bytes}")
        if found != descriptor.digest.hex:
            self.report(where, f"has the digest {found[:12]}…, not {descriptor.digest}")
            return None
        return data

    def _index(self, descriptor: Descriptor, where: str, depth: int) -> None:
        data = self._bytes(descriptor, where)
        if data is None:
            return
        try:
            index = parse_index(data, "the index")
        except SsdsError as error:
            self.report(where, error.message)
            return
        if not index.manifests:
            self.report(where, "names no image")
        seen = set()
        for number, entry in enumerate(index.manifests):
            name = entry.platform or entry.foreign_platform or f"number {number + 1}"
            if name in seen:
                self.report(where, f"names two images for {name}")
            seen.add(name)
            self.check(entry, f"{where} > {name}", depth + 1)

    def _manifest(self, descriptor: Descriptor, where: str) -> None:
        data = self._bytes(descriptor, where)
        if data is None:
            return
        try:
            manifest = parse_manifest(data, "the manifest")
            if manifest.media_type != descriptor.media_type:
                self.report(where, f"says that it is {manifest.media_type}")
            if manifest.config.media_type not in CONFIG_TYPES:
                return  # an artifact, not an image: its parts have their own form
            raw = self._bytes(manifest.config, f"{where} > config")
            config = parse_config(raw, "the config") if raw is not None else None
        except SsdsError as error:
            self.report(where, error.message)
            return
        if config is None:
            return
        if descriptor.platform and config.platform != descriptor.platform:
            self.report(
                where,
                f"the index says {descriptor.platform}, the config {config.platform or 'another'}",
            )
        self._layers(manifest, config, where)

    def _layers(self, manifest: Manifest, config: Config, where: str) -> None:
        if len(manifest.layers) != len(config.diff_ids):
            self.report(where, f"{len(manifest.layers)} layers, but {len(config.diff_ids)} diffIDs")
            return
        for number, (layer, diff_id) in enumerate(
            zip(manifest.layers, config.diff_ids, strict=True), 1
        ):
            place = f"{where} > layer {number}"
            if layer.media_type not in LAYER_TYPES:
                self.report(place, f"{layer.media_type} is not a layer's media type")
            elif self.deep is not None:
                found = self._diff_id(layer, place, self.deep)
                if found is not None and found != diff_id:
                    self.report(place, f"its diffID is {found}, the config says {diff_id}")

    def _diff_id(self, layer: Descriptor, where: str, opener: Open) -> Digest | None:
        """Reads a layer; returns its diffID, or None after a finding."""
        known = (layer.digest, layer.media_type)
        if known not in self.layers:
            self.layers[known] = None
            try:
                with opener(layer.digest) as file:
                    self.layers[known] = self._read_layer(file, layer, where)
            except SsdsError as error:
                self.report(where, error.message)
        return self.layers[known]

    def _read_layer(self, file: IO[bytes], layer: Descriptor, where: str) -> Digest | None:
        found = hashlib.new(layer.digest.algorithm)
        size = 0
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
            size += len(chunk)
        if size != layer.size_bytes:
            self.report(where, f"has {size} bytes, not {layer.size_bytes}")
            return None
        if found.hexdigest() != layer.digest.hex:
            self.report(where, f"has the digest {found.hexdigest()[:12]}…, not {layer.digest}")
            return None
        file.seek(0)
        return decompress(file, None, layer.media_type)[0]
