"""Makers: small, whole, valid values for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ssds.core.digest import Digest, sha256_of
from ssds.core.model import ReleaseName
from ssds.core.pins import (
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
from ssds.kinds.build.requests import Asking, PackageRequest, base_request, source_request
from ssds.recipe.model import Base, Catalog, Channel, Deploy, Policy, Release, Site, Target, Test
from ssds.recipe.ranges import answers, range_requests
from ssds.recipe.steps import AptStep, RunStep, SourceRequest

AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
EPOCH = 1_700_000_000


def a_package(name: str, version: str = "1.0") -> PinnedPackage:
    content = f"{name} {version}".encode()
    file = PinnedFile(
        name=f"{name}_{version}_all.deb",
        digest=sha256_of(content),
        size_bytes=len(content),
        archive="debian",
        path=f"pool/main/{name}_{version}_all.deb",
    )
    return PinnedPackage(name=name, version=version, architecture="all", file=file)


def a_conda_package(text: str, channel: str) -> PinnedPackage:
    name, _, version = text.partition("=")
    found = a_package(name, version or "1.0")
    path = f"{channel}/noarch/{name}-{found.version}-h0_0.conda"
    file = replace(found.file, name=path.rpartition("/")[2], archive="conda", path=path)
    return replace(found, file=file, architecture="noarch", build="h0_0")


def a_base(name: str = "debian-12", **fields: Any) -> Base:
    fields.setdefault("platforms", (AMD64, ARM64))
    return Base(name=name, suite="bookworm", **fields)


def an_image_pin(base: Base, platform: Platform) -> BasePin:
    config = sha256_of(f"config of {base.image} {platform}".encode())
    layers = tuple(
        ImageLayer(
            digest=sha256_of(f"{base.image} {platform} {n}".encode()),
            size_bytes=100 + n,
            diff_id=sha256_of(f"{base.image} {platform} {n} unpacked".encode()),
        )
        for n in range(2)
    )
    image = ImagePin(
        reference=base.image,
        digest=sha256_of(f"index of {base.image}".encode()),
        manifest=sha256_of(f"manifest of {base.image} {platform}".encode()),
        config=config,
        config_size_bytes=50,
        layers=layers,
        system="debian bookworm",
        read=True,
    )
    request = base_request(base, platform)
    file = PinnedFile(name="", digest=config)
    packages = (replace(a_package("base-files"), file=file), replace(a_package("dash"), file=file))
    held = PackageSet(manager="apt", request=request, packages=packages, epoch=EPOCH)
    return BasePin(
        name=base.name,
        date="20231114",
        request=request,
        packages=held,
        epoch=EPOCH,
        image=image,
    )


def a_base_pin(base: Base, platform: Platform) -> BasePin:
    if base.image:
        return an_image_pin(base, platform)
    packages = PackageSet(
        manager="apt",
        request=sha256_of(b"base"),
        packages=(a_package("base-files"), a_package("dash")),
        epoch=EPOCH,
    )
    return BasePin(
        name=base.name,
        date="20231114",
        request=base_request(base, platform),
        packages=packages,
        epoch=EPOCH,
        diff_id=sha256_of(f"{base.name} {platform}".encode()),
    )


def a_target(
    name: str = "samtools",
    version: str = "1.16.1",
    platform: Platform = AMD64,
    **fields: Any,
) -> Target:
    fields.setdefault("base", "" if "base_recipe" in fields else "debian-12")
    fields.setdefault("required", True)
    fields.setdefault("steps", (RunStep(address="build[0]", script="true"),))
    fields.setdefault("tests", (Test(name="works", script="true"),))
    fields.setdefault("deploy", Deploy(commands=(name,)))
    return Target(release=ReleaseName(name, version), platform=platform, **fields)


def a_release(name: str = "samtools", version: str = "1.16.1", **fields: Any) -> Release:
    platforms = fields.pop("platforms", {AMD64: True})
    metadata = fields.pop("metadata", {"summary": f"what {name} does"})
    extra = fields.pop("release", {})
    targets = {
        p: a_target(name, version, p, required=required, **fields)
        for p, required in platforms.items()
    }
    return Release(
        id=ReleaseName(name, version),
        recipe_path=f"catalog/{name}/recipe.yaml",
        targets=targets,
        metadata=metadata,
        software={"name": name, "version": version},
        **extra,
    )


def a_catalog(*releases: Release, **fields: Any) -> Catalog:
    fields.setdefault("bases", {"debian-12": a_base()})
    fields.setdefault("policies", {"default": Policy(name="default", unscanned="pass")})
    fields.setdefault("channels", {"local": Channel(name="local", kind="layout", location="out")})
    fields.setdefault("sites", {"example": Site(name="example", platforms=(AMD64,))})
    return Catalog(releases={r.id: r for r in releases}, **fields)


def a_package_set(request: Digest, *names: str) -> PackageSet:
    return PackageSet(
        manager="apt", request=request, packages=tuple(map(a_package, sorted(names))), epoch=EPOCH
    )


def shared_pins(catalog: Catalog) -> SharedPins:
    bases = {
        (pin.identity, str(platform)): pin
        for base in catalog.bases.values()
        for platform in base.platforms or (AMD64, ARM64)
        for pin in [a_base_pin(base, platform)]
    }
    current = {name: f"{name}@20231114" for name in catalog.bases}
    return SharedPins(bases=bases, current=current)


def pinned(catalog: Catalog) -> dict[tuple[ReleaseName, Platform], PlatformPins]:
    """Answers every request of a catalog, as the resolver would: apt names stand for themselves."""
    pins: dict[tuple[ReleaseName, Platform], PlatformPins] = {}
    asking = Asking(catalog, shared_pins(catalog), pins)
    pending = [t for r in catalog.releases.values() for t in r.targets.values()]
    while True:
        known = dict(pins)
        for target in pending:
            _answer(target, catalog, asking, pins)
        if pins == known:
            return pins


def _answer(
    target: Target,
    catalog: Catalog,
    asking: Asking,
    pins: dict[tuple[ReleaseName, Platform], PlatformPins],
) -> None:
    key = (target.release, target.platform)
    sources = {
        name: SourcePin(
            request=source_request(source),
            file=PinnedFile(name=f"{name}.tar", digest=source.sha256 or sha256_of(name.encode())),
        )
        for name, source in target.sources.items()
    }
    recipes = {
        asked.name: RecipePin(request=asked.request, version=found[0])
        for asked in range_requests(target)
        if (found := answers(asked, catalog, target.platform))
    }
    base = f"{target.base}@20231114" if target.base else ""
    held = pins.get(key, PlatformPins())
    pins[key] = replace(held, base=base, sources=sources, recipes=recipes, epoch=EPOCH)
    while True:
        asking._known.clear()  # the pins have changed; what it knows of sets and sources has not
        held = pins[key]
        new = {
            request.place: _found(request)
            for request in asking.requests(target).packages
            if request.place not in held.packages
            or held.packages[request.place].request != request.request
        }
        if not new:
            return
        pins[key] = replace(held, packages={**held.packages, **new})


def _found(request: PackageRequest) -> PackageSet:
    """Answers one request; what comes after it in the same recipe can be asked only then."""
    found = a_package_set(request.request, *request.asked)
    if request.manager == "conda":
        made = tuple(a_conda_package(p, request.channels[0]) for p in request.asked)
        found = replace(found, manager="conda", packages=made)
    return found


def an_apt_step(*packages: str, address: str = "build[0]") -> AptStep:
    return AptStep(address=address, packages=packages)


def a_source(name: str = "data", **fields: Any) -> SourceRequest:
    fields.setdefault("url", f"https://example.org/{name}.tar")
    fields.setdefault("sha256", sha256_of(name.encode()))
    return SourceRequest(name=name, **fields)
