"""Bases that are images, in the catalog's lock: written, read with care, and read fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.pins import (
    BasePin,
    ImageLayer,
    ImagePin,
    PackageSet,
    PinnedFile,
    PinnedPackage,
)
from ssds.lock.check import MISSING, Checker
from ssds.lock.marks import Path
from ssds.oci.image_name import parse_image_name

if TYPE_CHECKING:
    from ssds.lock.quick_pins import PinReader

REFERENCE = r"[a-z0-9\[][A-Za-z0-9._:/@\[\]-]{0,499}"
SYSTEM = r"[a-z0-9._-]{1,64}(?: [a-z0-9._-]{1,64})?"
INSTALLED = r"[a-z0-9][a-z0-9+.-]* [A-Za-z0-9][A-Za-z0-9+._~:-]* [a-z0-9-]+"
SECTION = frozenset(("request", "epoch", "image", "installed"))
_IMAGE = frozenset(("reference", "digest", "manifest", "config", "layers", "system"))
_SIZED = frozenset(("digest", "size"))
_LAYER = frozenset(("digest", "size", "diff_id"))


def image_to_dict(image: ImagePin) -> dict[str, Json]:
    """Returns the JSON form of what an image's reference stood for."""
    return {
        "reference": image.reference,
        "digest": str(image.digest),
        "manifest": str(image.manifest),
        "config": {"digest": str(image.config), "size": image.config_size_bytes},
        "layers": [
            {
                "digest": str(layer.digest),
                "size": layer.size_bytes,
                "diff_id": str(layer.diff_id),
            }
            for layer in image.layers
        ],
        **({"system": image.system} if image.system else {}),
    }


def installed_to_list(packages: PackageSet) -> list[Json]:
    """Returns what an image's dpkg lists, one text for each package."""
    return [
        f"{p.name} {p.version} {p.architecture}"
        for p in sorted(packages.packages, key=lambda p: (p.name, p.architecture, p.version))
    ]


def installed_set(rows: list[str], image: ImagePin, request: Digest, epoch: int) -> PackageSet:
    """Returns the packages in an image as a set; they have no file but the image itself."""
    file = PinnedFile(name="", digest=image.config)
    packages = [
        PinnedPackage(name=name, version=version, architecture=architecture, file=file)
        for name, version, architecture in (row.split(" ") for row in sorted(rows))
    ]
    packages.sort(key=lambda p: (p.name, p.architecture, p.version))
    return PackageSet(manager="apt", request=request, packages=tuple(packages), epoch=epoch)


def parse_image_base(c: Checker, name: str, date: str, value: object, path: Path) -> BasePin:
    """Returns the pin of a base that is an image; faults are collected."""
    top = c.map(value, path, required="request epoch image", optional="installed")
    request = c.digest(top.get("request", MISSING), (*path, "request"), "blake3")
    epoch = c.number(top.get("epoch", MISSING), (*path, "epoch"))
    image = _image(c, top.get("image", MISSING), (*path, "image"), read="installed" in top)
    at = (*path, "installed")
    rows = [c.text(row, p, pattern=INSTALLED) for p, row in c.items(top.get("installed", []), at)]
    if len(set(rows)) != len(rows):
        c.fault("L028", at, package="of the image")
    good = [row for row in rows if row.count(" ") == 2]
    packages = installed_set(good, image, request, epoch)
    return BasePin(
        name=name, date=date, request=request, packages=packages, epoch=epoch, image=image
    )


def _image(c: Checker, value: object, path: Path, *, read: bool) -> ImagePin:
    top = c.map(value, path, required="reference digest manifest config layers", optional="system")
    reference = c.text(
        top.get("reference", MISSING), (*path, "reference"), pattern=REFERENCE, empty=True
    )
    if not _is_full(reference):
        c.fault("L014", (*path, "reference"), found=repr(reference[:80]), expected="an image")
    config = c.map(top.get("config", MISSING), (*path, "config"), required="digest size")
    return ImagePin(
        reference=reference,
        digest=c.digest(top.get("digest", MISSING), (*path, "digest")),
        manifest=c.digest(top.get("manifest", MISSING), (*path, "manifest")),
        config=c.digest(config.get("digest", MISSING), (*path, "config", "digest")),
        config_size_bytes=c.number(config.get("size", MISSING), (*path, "config", "size")),
        layers=tuple(
            _layer(c, item, at)
            for at, item in c.items(top.get("layers", MISSING), (*path, "layers"))
        ),
        system=c.text(top["system"], (*path, "system"), pattern=SYSTEM) if "system" in top else "",
        read=read,
    )


def _layer(c: Checker, value: object, path: Path) -> ImageLayer:
    top = c.map(value, path, required="digest size diff_id")
    return ImageLayer(
        digest=c.digest(top.get("digest", MISSING), (*path, "digest")),
        size_bytes=c.number(top.get("size", MISSING), (*path, "size")),
        diff_id=c.digest(top.get("diff_id", MISSING), (*path, "diff_id")),
    )


def _is_full(reference: str) -> bool:
    try:
        return str(parse_image_name(reference)) == reference
    except InvalidValue:
        return False


def quick_image_base(r: PinReader, name: str, date: str, value: Mapping[str, Any]) -> BasePin:
    """Returns the same of a sound section, or raises Doubt or what a wrong type raises."""
    from ssds.lock.quick_pins import form, is_blake3, list_of, number, sure, text_of

    top = r.map(value, SECTION)
    request = Digest.made(text_of(top["request"], is_blake3))
    epoch = number(top["epoch"])
    said = r.map(top["image"], _IMAGE)
    sure(_is_full(said["reference"]) and form(REFERENCE)(said["reference"]))
    config = r.map(said["config"], _SIZED)
    layers = []
    for item in list_of(said["layers"]):
        entry = r.map(item, _LAYER)
        layers.append(
            ImageLayer(
                digest=r.sha256(entry["digest"]),
                size_bytes=number(entry["size"]),
                diff_id=r.sha256(entry["diff_id"]),
            )
        )
    image = ImagePin(
        reference=said["reference"],
        digest=r.sha256(said["digest"]),
        manifest=r.sha256(said["manifest"]),
        config=r.sha256(config["digest"]),
        config_size_bytes=number(config["size"]),
        layers=tuple(layers),
        system=text_of(said["system"], form(SYSTEM)) if "system" in said else "",
        read="installed" in top,
    )
    rows = list_of(top["installed"]) if "installed" in top else []
    fits = form(INSTALLED)
    sure(all(fits(row) for row in rows) and len(set(rows)) == len(rows))
    packages = installed_set(rows, image, request, epoch)
    return BasePin(
        name=name, date=date, request=request, packages=packages, epoch=epoch, image=image
    )
