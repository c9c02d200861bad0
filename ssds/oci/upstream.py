"""Images that others keep: in their registry, or where the settings' source map says.

Everything that comes is checked: a place gives bytes, never trust.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.oci.answers import RegistryError
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.image_map import HTTP, LAYOUT, WEB, full_name, mapped
from ssds.oci.image_name import DEFAULT_HOST, ImageName
from ssds.oci.layout import Layout
from ssds.oci.registry import Registry, Sink
from ssds.oci.types import (
    CONFIG_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    Config,
    Descriptor,
    Manifest,
    descriptor_of,
    parse_config,
    parse_index,
    parse_manifest,
)
from ssds.oci.web_layout import WebLayout

ATTACHED_LIMIT = 200
_DEFAULT_SERVER = f"registry-1.{DEFAULT_HOST}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """One platform's image, all its documents checked against each other.

    Attributes:
        digest: what the tag names: an index, or a manifest where there is no index.
        manifest, config, layers: as they lie in the registry, base first.
        settings: what the config says; ``settings.diff_ids`` are those of the layers.
        documents: the bytes of index, manifest and config, checked.
    """

    digest: Digest
    manifest: Digest
    config: Descriptor
    layers: tuple[Descriptor, ...]
    settings: Config
    documents: Mapping[Digest, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image is looked for: a layout, or a repository of a registry."""

    shown: str
    tags: tuple[str, ...]
    layout: Layout | WebLayout | None = None
    registry: Registry | None = None
    repository: str = ""

    def document(self, reference: str) -> tuple[str, bytes]:
        """Returns media type and bytes of what a tag or digest names."""
        if self.registry is not None:
            media_type, data, _ = self.registry.fetch_manifest(self.repository, reference)
            return media_type, data
        assert self.layout is not None
        data = self.layout.read(Digest(reference), DOCUMENT_LIMIT_BYTES)
        kind = "index" if b'"manifests"' in data else "manifest"
        return f"application/vnd.oci.image.{kind}.v1+json", data


class Images:
    """Reads images for one call; threads may share it."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors
        self._registries: dict[str, Registry] = {}
        self._layouts: dict[str, WebLayout] = {}
        self._guard = threading.Lock()

    def current(self, name: ImageName) -> Digest:
        """Returns the digest that a reference names now; a digest in it needs no look-up.

        Raises:
            UnavailableError, IntegrityError: nobody knows it, or an answer that is wrong.
        """
        return name.digest or self._named(name)[0].digest

    def image(self, name: ImageName, platform: Platform) -> FoundImage:
        """Returns the image of one platform.

        Raises:
            UnavailableError: O131, it has no image for the platform; it is not there.
            IntegrityError: O132, O133, its documents do not fit each other.
        """
        top, data, place = self._named(name)
        documents = {top.digest: data}
        chosen = top
        if top.media_type in INDEX_TYPES:
            chosen = _of_platform(data, name, platform)
            _, data = place.document(chosen.digest)
            _check(chosen, data, name)
            documents[chosen.digest] = data
        manifest = parse_manifest(data, f"the manifest of {name} [{platform}]")
        if manifest.config.media_type not in CONFIG_TYPES:
            raise _wrong(name, f"it holds {manifest.config.media_type}, which is no image", "O132")
        raw = self._config(name, manifest.config)
        settings = parse_config(raw, f"the config of {name} [{platform}]")
        if settings.platform != platform:
            raise UnavailableError(
                f"{name} is an image for {settings.platform or 'another platform'}, "
                f"not for {platform}",
                hint="Take the platform out of the recipe, or choose another image.",
                code="O131",
            )
        if len(settings.diff_ids) != len(manifest.layers):
            counts = f"{len(manifest.layers)} layers, but {len(settings.diff_ids)} diffIDs"
            raise _wrong(name, counts, "O132")
        for layer in manifest.layers:
            if layer.media_type not in LAYER_TYPES:
                raise _wrong(name, f"a layer is {layer.media_type[:100]}", "O132")
        return FoundImage(
            digest=top.digest,
            manifest=chosen.digest,
            config=manifest.config,
            layers=manifest.layers,
            settings=settings,
            documents={**documents, manifest.config.digest: raw},
        )

    def tags(self, name: ImageName) -> tuple[str, ...]:
        """Returns the tags of a repository; of a layout, all its names."""
        found = self._place(name)
        if found.registry is not None:
            return found.registry.tags(found.repository)
        assert found.layout is not None
        return tuple(sorted(found.layout.tags()))

    def attached(self, name: ImageName, subject: Digest, artifact_type: str) -> list[Manifest]:
        """Returns the manifests of a type that have ``subject`` as their subject.

        A layout names the list of them ``NAME:sha256-<hex>``, as ``push`` does. What others
        attached, what is damaged and what is gone again is passed over.
        """
        found = self._place(name)
        if found.registry is not None:
            entries = found.registry.referrers(found.repository, subject)
        else:
            assert found.layout is not None
            known, tag = found.layout.tags(), subject.replace(":", "-")
            names = (name.repository, name.repository.rpartition("/")[2])
            listed = next((known[f"{n}:{tag}"] for n in names if f"{n}:{tag}" in known), None)
            data = found.layout.read(listed.digest, DOCUMENT_LIMIT_BYTES) if listed else b""
            entries = parse_index(data).manifests if listed else ()
        manifests = []
        for entry in [e for e in entries if e.artifact_type == artifact_type][:ATTACHED_LIMIT]:
            try:
                _, data = found.document(entry.digest)
                _check(entry, data, name)
                manifest = parse_manifest(data)
            except RegistryError as error:
                if error.status != 404:
                    raise
                continue
            except (IntegrityError, UnavailableError):
                continue
            if manifest.subject is not None and manifest.subject.digest == subject:
                manifests.append(manifest)
        return manifests

    def fetch(self, name: ImageName, digest: Digest, size_bytes: int, sink: Sink) -> None:
        """Writes a blob of an image's repository to ``sink``; the caller checks what came.

        Raises:
            UnavailableError, IntegrityError: it is not there, or other bytes are.
        """
        found = self._place(name)
        if found.registry is not None:
            found.registry.fetch_blob(found.repository, digest, size_bytes, sink)
            return
        assert found.layout is not None
        if isinstance(found.layout, WebLayout):
            found.layout.fetch(digest, size_bytes, sink)
            return
        for piece in found.layout.chunks(digest):
            sink.write(piece)

    def absent(self, name: ImageName, digest: Digest) -> str:
        """Returns the empty string where a blob of an image is there, else why it is not."""
        try:
            found = self._place(name)
            if found.registry is not None:
                there = found.registry.has_blob(found.repository, digest)
            else:
                there = found.layout is not None and found.layout.has(digest)
        except SsdsError as error:
            return error.message
        return "" if there else f"{found.shown} does not have it"

    # -- where ---------------------------------------------------------------------------------

    def _named(self, name: ImageName) -> tuple[Descriptor, bytes, _Place]:
        """Returns what a reference names, as a descriptor and as bytes, and where it lies."""
        place = self._place(name)
        reference = str(name.digest or (place.tags[0] if place.tags else ""))
        if place.layout is not None and name.digest is None:
            reference = str(_tagged(place.layout, place.tags, name))
        try:
            media_type, data = place.document(reference)
        except RegistryError as error:
            if error.status != 404:
                raise
            raise UnavailableError(
                f"{name} is not there: {place.shown} has no {reference}",
                hint="Check its name and tag.",
                code="O134",
            ) from None
        return descriptor_of(data, media_type), data, place

    def _config(self, name: ImageName, config: Descriptor) -> bytes:
        if config.size_bytes > DOCUMENT_LIMIT_BYTES:
            raise _wrong(name, f"its config is said to be {config.size_bytes} bytes", "O132")
        whole = _Bytes()
        self.fetch(name, config.digest, config.size_bytes, whole)
        data = bytes(whole.data)
        _check(config, data, name)
        return data

    def _place(self, name: ImageName) -> _Place:
        prefix, to = mapped(name, self._mirrors.images)
        if not prefix:
            server = _DEFAULT_SERVER if name.host == DEFAULT_HOST else name.host
            return self._remote(server, name.repository, name.tag, insecure=False)
        if to.startswith(LAYOUT):
            path, _, own = to.removeprefix(LAYOUT).partition(":")
            tags = (own,) if own else (full_name(name), name.tag) if name.tag else ()
            return _Place(f"the layout {path}", tags, Layout(path, create=False))
        if to.startswith(WEB):
            url, _, own = to.removeprefix("oci+").partition("#")
            return _Place(f"the layout {url}", (own,) if own else (), self._web(url))
        insecure = to.startswith(HTTP)
        server, _, path = to.removeprefix(HTTP).partition("/")
        path, _, own = path.partition(":")
        rest = name.place.removeprefix(prefix).strip("/") if len(prefix) < len(name.place) else ""
        repository = "/".join(part for part in (path.strip("/"), rest) if part)
        return self._remote(server, repository, own or name.tag, insecure=insecure)

    def _web(self, url: str) -> WebLayout:
        with self._guard:
            if url not in self._layouts:
                self._layouts[url] = WebLayout(url, self._mirrors)
            return self._layouts[url]

    def _remote(self, server: str, repository: str, tag: str, *, insecure: bool) -> _Place:
        with self._guard:
            registry = self._registries.get(server)
            if registry is None:
                registry = self._registries[server] = Registry(
                    server,
                    insecure,
                    ca_bundle=self._mirrors.ca_bundle,
                    proxy="" if insecure else self._mirrors.proxy,
                )
        tags = (tag,) if tag else ()
        return _Place(f"{server}/{repository}", tags, None, registry, repository)


class _Bytes:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> int:
        self.data += data
        return len(data)


def _tagged(layout: Layout | WebLayout, tags: tuple[str, ...], name: ImageName) -> Digest:
    """Returns what a layout has under one of these names; its only image needs no name."""
    known = layout.tags()
    for tag in tags:
        if tag in known:
            return known[tag].digest
    every = layout.index().manifests
    if len(every) == 1 and not known:
        return every[0].digest
    raise UnavailableError(
        f"{name} is not there: the layout {layout.path} has no {' or '.join(tags)}",
        hint=f"It has: {', '.join(sorted(known)[:8]) or 'nothing with a name'}.",
        code="O134",
    )


def _of_platform(data: bytes, name: ImageName, platform: Platform) -> Descriptor:
    """Returns the image of a platform in an index; the first of doubles, as other tools do."""
    entries = parse_index(data, f"the index of {name}").manifests
    for entry in entries:
        if entry.platform == platform:
            return entry
    known = sorted({str(e.platform or e.foreign_platform) for e in entries} - {"", "None"})
    shown = [p for p in known if not p.startswith("unknown")]
    raise UnavailableError(
        f"{name} has no image for {platform}; it has {', '.join(shown)[:300] or 'none'}",
        hint="Take the platform out of the recipe, or choose another image.",
        code="O131",
    )


def _check(promised: Descriptor, data: bytes, name: ImageName) -> None:
    if len(data) != promised.size_bytes or sha256_of(data) != promised.digest:
        raise _wrong(name, f"{promised.digest} has other bytes than promised", "O133")


def _wrong(name: ImageName, problem: str, code: str) -> IntegrityError:
    return IntegrityError(
        f"{name}: {problem}",
        hint="The image, or the registry that gives it, is broken; nothing was kept.",
        code=code,
    )
