"""Pins that answer every request of a made catalog, as the resolver would write them."""

from __future__ import annotations

from dataclasses import replace

from ssds.core.digest import Digest, sha256_of
from ssds.core.model import ReleaseName
from ssds.core.pins import (
    AdvisoryPin,
    BasePin,
    ImageLayer,
    ImagePin,
    PackageSet,
    PinnedFile,
    PinnedPackage,
    PlatformPins,
    RecipePin,
    SharedPins,
    SourcePin,
)
from ssds.core.platform import Platform
from ssds.kinds.build.requests import base_request, requests_of, source_request
from ssds.recipe.model import Base, Catalog, Target
from ssds.recipe.ranges import answers, range_requests

EPOCH = 1_735_700_000
DATE = "20250101"
BASE_PACKAGES = 60
PinTable = dict[tuple[ReleaseName, Platform], PlatformPins]


def package(name: str, platform: Platform) -> PinnedPackage:
    """Returns one Debian package, pinned."""
    version = f"1.{len(name)}-1"
    content = f"{name} {version} {platform.debian}".encode()
    file_name = f"{name}_{version}_{platform.debian}.deb"
    return PinnedPackage(
        name=name,
        version=version,
        architecture=platform.debian,
        file=PinnedFile(
            name=file_name,
            digest=sha256_of(content),
            size_bytes=1000 + len(content),
            archive="debian",
            path=f"pool/main/{name[0]}/{name}/{file_name}",
        ),
    )


def _set(names: tuple[str, ...], request: Digest, platform: Platform) -> PackageSet:
    packages = tuple(package(name, platform) for name in sorted(set(names)))
    return PackageSet(manager="apt", request=request, packages=packages, epoch=EPOCH)


def base_pin(base: Base, platform: Platform, diff_id: Digest) -> BasePin:
    """Returns the pin of a base of BASE_PACKAGES packages, bootstrapped as ``diff_id``."""
    request = base_request(base, platform)
    names = ("base-files", "dash", "dpkg", *(f"libbase{n:02d}" for n in range(BASE_PACKAGES - 3)))
    return BasePin(
        name=base.name,
        date=DATE,
        request=request,
        packages=_set(names, request, platform),
        epoch=EPOCH,
        diff_id=diff_id,
    )


def image_pin(base: Base, platform: Platform, config: bytes, layer: ImageLayer) -> BasePin:
    """Returns the pin of an image of one layer, whose packages nobody read."""
    request = base_request(base, platform)
    digest = sha256_of(base.image.encode())
    return BasePin(
        name=base.name,
        date=digest.hex[:16],
        request=request,
        packages=PackageSet(manager="dpkg", request=request, packages=()),
        epoch=EPOCH,
        image=ImagePin(
            reference=base.image,
            digest=digest,
            manifest=sha256_of(f"{base.image} {platform}".encode()),
            config=sha256_of(config),
            config_size_bytes=len(config),
            layers=(layer,),
        ),
    )


def shared_pins(
    catalog: Catalog, diff_ids: dict[tuple[str, Platform], Digest], advisories: AdvisoryPin
) -> SharedPins:
    """Returns the catalog-wide pins.

    Args:
        diff_ids: the layer of each (base, platform).
    """
    bases = [
        base_pin(base, platform, diff_ids[base.name, platform])
        for base in catalog.bases.values()
        for platform in base.platforms
    ]
    identity = f"{advisories.name}@{advisories.date}"
    current = {pin.name: pin.identity for pin in bases}
    current[f"advisories/{advisories.name}"] = identity
    by_identity = {
        (pin.identity, str(platform)): pin
        for pin, platform in zip(
            bases, (p for b in catalog.bases.values() for p in b.platforms), strict=True
        )
    }
    return SharedPins(bases=by_identity, advisories={identity: advisories}, current=current)


def answer(target: Target, catalog: Catalog, shared: SharedPins, pins: PinTable) -> None:
    """Puts the pins of one target into ``pins``; what it is built on is answered already."""
    key = (target.release, target.platform)
    recipes = {
        asked.name: RecipePin(
            request=asked.request, version=answers(asked, catalog, target.platform)[0]
        )
        for asked in range_requests(target)
    }
    sources = {
        name: SourcePin(
            request=source_request(source),
            file=PinnedFile(
                name=source.url.rpartition("/")[2] or "file",
                digest=source.sha256 or sha256_of(name.encode()),
                urls=(source.url,),
            ),
        )
        for name, source in target.sources.items()
    }
    base = shared.current[target.base] if target.base else ""
    pins[key] = PlatformPins(base=base, sources=sources, recipes=recipes, epoch=EPOCH)
    while True:
        asked = requests_of(target, catalog, shared, pins)
        if not asked.missing:
            return
        request = asked.packages[-1]
        names = tuple(word for name in request.asked for word in (name, f"{name}-common"))
        found = _set(names, request.request, target.platform)
        held = pins[key]
        pins[key] = replace(held, packages={**held.packages, request.place: found})
