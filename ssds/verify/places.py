"""Where an image that is verified lies: a registry's repository, or a layout in a folder."""

from __future__ import annotations

import io
from typing import Protocol

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, UsageError
from ssds.core.records import dataclass
from ssds.oci import types
from ssds.oci.answers import RegistryError
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.image_name import is_loopback, parse_image_name
from ssds.oci.layout import Layout
from ssds.oci.names import fallback_tag
from ssds.oci.registry import Registry
from ssds.oci.types import Descriptor
from ssds.oci.validate import Open

LAYOUT = "oci:"
HTTP = "http://"


class Place(Protocol):
    """One repository."""

    @property
    def name(self) -> str:
        """The last part of the repository's name: the recipe's."""

    def tagged(self, tag: str) -> tuple[str, bytes] | None:
        """Returns media type and bytes of what a tag names; None where there is no such tag."""

    def document(self, digest: Digest) -> bytes:
        """Returns the bytes of a manifest or an index, unchecked."""

    def blob(self, item: Descriptor) -> bytes:
        """Returns the bytes of a config or another small blob."""

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Returns what refers to an image."""

    @property
    def layers(self) -> Open | None:
        """Opens a layer by its digest; None where they cannot be read without a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An image that somebody asks about.

    Attributes:
        tag: what was asked for, or empty; digest: what was asked for, or None.
    """

    text: str
    place: Place
    tag: str
    digest: Digest | None


def target_of(text: str, *, ca_bundle: str = "", proxy: str = "") -> Target:
    """Returns the image that a text names.

    ``oci:PATH:NAME:TAG`` is in a layout, anything else ``[http://]HOST/REPOSITORY[:TAG][@DIGEST]``.

    Raises:
        UsageError: E245, it is none of these; E246, plain http to another machine.
        InvalidValue: O090, O098, O099, O130.
    """
    if text.startswith(LAYOUT):
        path, _, rest = text.removeprefix(LAYOUT).partition(":")
        name, colon, tag = rest.partition(":")
        if not (path and name and colon and tag):
            raise UsageError(
                f"{text!r} does not name an image of a layout",
                hint="Write oci:FOLDER:NAME:TAG.",
                code="E245",
            )
        return Target(
            text=text, place=_InLayout(Layout(path, create=False), name), tag=tag, digest=None
        )
    insecure = text.startswith(HTTP)
    name_ = parse_image_name(text.removeprefix(HTTP))
    if insecure and not is_loopback(name_.host):
        raise UsageError(
            f"{name_.host} is another machine: its answers could be changed on the way",
            hint="Plain http is for loopback addresses.",
            code="E246",
        )
    registry = Registry(name_.host, insecure, ca_bundle=ca_bundle, proxy="" if insecure else proxy)
    place = _InRegistry(registry, name_.repository)
    return Target(text=text, place=place, tag=name_.tag, digest=name_.digest)


class _InLayout:
    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self.name = name
        self.layers = layout.blobs.open

    def tagged(self, tag: str) -> tuple[str, bytes] | None:
        found = self._layout.tags().get(f"{self.name}:{tag}")
        if found is None:
            return None
        data = self._raw(found.digest)
        return found.media_type, data

    def document(self, digest: Digest) -> bytes:
        return self._raw(digest)

    def _raw(self, digest: Digest) -> bytes:
        with self._layout.blobs.open(digest) as file:
            return file.read(DOCUMENT_LIMIT_BYTES + 1)

    def blob(self, item: Descriptor) -> bytes:
        return self._raw(item.digest)

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        found = self.tagged(fallback_tag(subject))
        return types.parse_index(found[1]).manifests if found else ()


class _InRegistry:
    layers = None

    def __init__(self, registry: Registry, repository: str) -> None:
        self._registry = registry
        self._repository = repository
        self.name = repository.rpartition("/")[2]

    def tagged(self, tag: str) -> tuple[str, bytes] | None:
        try:
            media_type, data, _ = self._registry.fetch_manifest(self._repository, tag)
        except RegistryError as error:
            if error.status == 404:
                return None
            raise
        return media_type, data

    def document(self, digest: Digest) -> bytes:
        return self._registry.fetch_manifest(self._repository, digest)[1]

    def blob(self, item: Descriptor) -> bytes:
        if item.size_bytes > DOCUMENT_LIMIT_BYTES:
            raise IntegrityError(
                f"{item.digest} is said to have {item.size_bytes} bytes, too many for a document",
                hint="It was not made for this use.",
                code="X040",
            )
        sink = io.BytesIO()
        self._registry.fetch_blob(self._repository, item.digest, item.size_bytes, sink)
        return sink.getvalue()

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        return self._registry.referrers(self._repository, subject)
