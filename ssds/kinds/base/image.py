"""Bases that are images of registries: a reference becomes a pin, a pin becomes layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.pins import (
    BasePin,
    ImageLayer,
    ImagePin,
    PackageSet,
    PinnedFile,
    PinnedPackage,
)
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.host.mirrors import Mirrors
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.base.spec import request_of
from ssds.oci.compress import decompress_stream
from ssds.oci.flatten import FlatTree, flatten
from ssds.oci.image_name import parse_image_name
from ssds.oci.types import LAYER, LAYER_GZIP, LAYER_ZSTD, parse_config
from ssds.oci.upstream import Images
from ssds.packages.installed import installed_in, status_text, system_of
from ssds.packages.wire import files_of
from ssds.recipe.model import Base
from ssds.store.fetch import fetch_files
from ssds.store.store import Store

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def resolve_image(
    base: Base, platform: Platform, mirrors: Mirrors, digest: Digest | None = None
) -> BasePin:
    """Returns the pin of an image on one platform; its layers are not fetched.

    Args:
        digest: of the index that another platform was pinned to; it counts, not the tag.

    Raises:
        UnavailableError: it is not there, or not for this platform.
        IntegrityError: its documents are wrong.
    """
    name = parse_image_name(base.image)
    found = Images(mirrors).image(replace(name, digest=digest or name.digest), platform)
    layers = tuple(
        ImageLayer(digest=layer.digest, size_bytes=layer.size_bytes, diff_id=diff_id)
        for layer, diff_id in zip(found.layers, found.settings.diff_ids, strict=True)
    )
    image = ImagePin(
        reference=base.image,
        digest=found.digest,
        manifest=found.manifest,
        config=found.config.digest,
        config_size_bytes=found.config.size_bytes,
        layers=layers,
    )
    request, epoch = request_of(base, platform), max(found.settings.created or 0, 1)
    return BasePin(
        name=base.name,
        date=found.digest.hex[:16],
        request=request,
        packages=PackageSet(manager="apt", request=request, packages=(), epoch=epoch),
        epoch=epoch,
        image=image,
    )


def run_image(bench: Bench) -> Outcome:
    """Gives the outputs ``config`` and ``layer/N``: the image's own, its layers uncompressed.

    Raises:
        UnavailableError: the bytes cannot be had.
        IntegrityError: O135, a layer does not have its diffID, or the config names others.
    """
    node = bench.action.node
    files = files_of(node)
    diff_ids = [node.fixed[f"layer/{number}"] for number in range(len(files) - 1)]
    bring(files, diff_ids, bench.store, bench.mirrors, bench.say, bench.stopping)
    return Outcome(outputs=dict(node.fixed))


def bring(
    files: Sequence[PinnedFile],
    diff_ids: Sequence[Digest],
    store: Store,
    mirrors: Mirrors,
    say: Callable[[str], None],
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Puts an image's config and uncompressed layers into the store.

    Args:
        files: the config, then the layers as they lie in the registry, base first.
        diff_ids: of the layers, in the same order.

    Raises:
        UnavailableError, IntegrityError: as ``run_image``.
    """
    config, *layers = files
    fetch_files(store, (config,), mirrors, say, stopping=stopping)
    said = parse_config(store.blobs.read(config.digest), f"the config {config.name}")
    if list(said.diff_ids) != list(diff_ids):
        raise IntegrityError(
            f"the config {config.digest.short} names other layers than the lock",
            hint="Renew the pin: ssds lock --upgrade base.",
            code="O135",
        )
    missing = [p for p in zip(layers, diff_ids, strict=True) if not store.blobs.has(p[1])]
    fetch_files(store, [file for file, _ in missing], mirrors, say, stopping=stopping)
    for file, diff_id in missing:
        _uncompress(store, file.digest, diff_id)


def _uncompress(store: Store, packed: Digest, diff_id: Digest) -> None:
    with store.blobs.open(packed) as file:
        head = file.read(4)
        file.seek(0)
        media_type = LAYER_GZIP if head[:2] == _GZIP else LAYER_ZSTD if head == _ZSTD else LAYER
        try:
            with store.blobs.writer(expected=diff_id) as sink:
                for piece in decompress_stream(file, media_type):
                    sink.write(piece)
        except IntegrityError as error:
            if error.code != "O053":
                raise
            raise IntegrityError(
                f"the layer {packed.short} does not unpack to {diff_id}, as its config says",
                hint="The image is broken; nothing was kept of this layer.",
                code="O135",
            ) from None


def look_into(pin: BasePin, store: Store, mirrors: Mirrors, say: Callable[[str], None]) -> BasePin:
    """Returns the pin of an image with what its dpkg lists, and the system that it says it is.

    Raises:
        UnavailableError, IntegrityError: its bytes cannot be had or read.
    """
    assert pin.image is not None
    tree = _tree(pin, store, mirrors, say)
    rows = installed_in(status_text(tree))
    file = PinnedFile(name="", digest=pin.image.config)
    packages = tuple(
        PinnedPackage(name=name, version=version, architecture=architecture, file=file)
        for name, version, architecture in sorted(set(rows), key=lambda r: (r[0], r[2], r[1]))
    )
    image = replace(pin.image, read=True, system=system_of(tree))
    return replace(pin, image=image, packages=replace(pin.packages, packages=packages))


def dpkg_status(pin: BasePin, store: Store, mirrors: Mirrors, say: Callable[[str], None]) -> str:
    """Returns the text of the image's dpkg status file; empty where it has none."""
    return status_text(_tree(pin, store, mirrors, say))


def _tree(pin: BasePin, store: Store, mirrors: Mirrors, say: Callable[[str], None]) -> FlatTree:
    assert pin.image is not None
    diff_ids = [layer.diff_id for layer in pin.image.layers]
    bring(pin.files, diff_ids, store, mirrors, say)
    return flatten([store.blobs.path(digest) for digest in diff_ids])
