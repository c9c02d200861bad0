"""What a release asks of the resolver, and whether its pins still answer that. Pure.

A pin is stale when the fingerprint of its request differs, and only then (C9). The fingerprint
holds everything that the answer depends on: the packages asked for and what is installed before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ssds.core.canonical import Json, fingerprint
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.patterns import pattern
from ssds.core.pins import BasePin, PackageSet, PlatformPins, SharedPins
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.kinds.build.contained import PinMap, release_of, target_of, unanswered
from ssds.recipe.model import Base, Catalog, Target
from ssds.recipe.steps import AptStep, CondaStep, PipStep, RunStep, SourceRequest, Step

_PYTHON = pattern(r"python(3\.\d+)(?:-minimal)?")
_GLIBC = pattern(r"(\d+\.\d+)(?![\d])")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRequest:
    """One package set that a step needs.

    Attributes:
        place: its place in the lock (``build/2``).
        manager: ``apt``, ``pip`` or ``conda``.
        asked: what the recipe names.
        python: the image's Python (``3.11``) for pip.
        channels: for conda, in their order.
        glibc: the version of the image's C library (``2.36``) for conda.
        installed: the sets that are there before, base first.
        request: the fingerprint.
    """

    place: str
    manager: str
    asked: tuple[str, ...]
    installed: tuple[PackageSet, ...]
    request: Digest
    python: str = ""
    channels: tuple[str, ...] = ()
    glibc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Something that a target asks for and that no valid pin answers.

    Attributes:
        kind: ``recipe``, ``base``, ``source``, ``apt``, ``pip`` or ``conda``.
        name: of the recipe, base or source; for packages the step's address (``build[2]``).
        place: for packages their place in the lock (``build/2``), otherwise the empty string.
        stale: a pin is there, and answers another request.
        asked: the packages that the step names.
        why: what the kind and the name do not say.
    """

    kind: str
    name: str
    place: str = ""
    stale: bool = False
    asked: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        if self.place:
            return f"{self.kind} packages of {self.name}"
        return f"{self.kind} {self.name}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Everything that one target asks for, as far as its pins allow to say it.

    Attributes:
        base: the pin of the base below, or None when it is not pinned.
        packages: by place, in step order.
        missing: what has no valid pin; empty means locked.
        stopped: True when a later request cannot be said before an earlier one is answered; of
            later package sets ``missing`` then has those without any pin.
        image: the sets that the finished image has, base first; what builds on it starts there.
    """

    base: BasePin | None
    packages: tuple[PackageRequest, ...]
    missing: tuple[Missing, ...]
    stopped: bool
    image: tuple[PackageSet, ...] = ()


def base_request(base: Base, platform: Platform) -> Digest:
    """Returns the fingerprint of what a base asks for on one platform."""
    asked: dict[str, Json] = {"image": base.image}
    if not base.image:
        asked = {
            "suite": base.suite,
            "components": list(base.components),
            "include": list(base.include),
        }
    return fingerprint({**asked, "platform": str(platform)}, "base-request")


def source_request(source: SourceRequest) -> Digest:
    """Returns the fingerprint of a source request; addresses and unpacking are not part of it."""
    asked: dict[str, Json]
    if source.deb_src:
        asked = {"deb_src": source.deb_src, "file": source.file}
    elif source.pypi:
        asked = {"pypi": source.pypi, "file": source.file}
    elif source.git:
        asked = git_request(source)
    else:
        asked = {"sha256": str(source.sha256 or ""), "url": "" if source.sha256 else source.url}
    return fingerprint(asked, "source-request")


def git_request(source: SourceRequest) -> dict[str, Json]:
    """Returns what of a repository is asked for; a full commit id is the same everywhere."""
    fixed = len(source.ref) in (40, 64) and not source.ref.strip("0123456789abcdef")
    return {
        "form": 1,  # of the archive
        "git": "" if fixed else source.git,
        "ref": source.ref,
        "folder": source.folder,
        "empty_submodules": source.empty_submodules,
    }


def base_pin(target: Target, catalog: Catalog, shared: SharedPins, pins: PinMap) -> BasePin | None:
    """Returns the bootstrapped base below a target, through recipes that it builds on."""
    seen: set[ReleaseName] = set()
    while target.base_recipe is not None:
        below = target_of(target.base_recipe, target, catalog, pins)
        if below is None or below.release in seen:
            return None
        seen.add(below.release)
        target = below
    held = pins.get((target.release, target.platform))
    identity = held.base if held and held.base else shared.current.get(target.base, "")
    return shared.bases.get((identity, str(target.platform.baseline)))


def requests_of(target: Target, catalog: Catalog, shared: SharedPins, pins: PinMap) -> Requests:
    """Says what the target needs pinned and which of it is missing or stale."""
    return Asking(catalog, shared, pins).requests(target)


def package_steps(
    steps: Sequence[Step],
) -> Iterator[tuple[str, Step, str, tuple[str, ...]]]:
    """Gives place in the lock, step, manager and what is asked for, of steps with packages."""
    for number, step in enumerate(steps):
        if isinstance(step, AptStep):
            yield f"build/{number}", step, "apt", step.packages
        elif isinstance(step, RunStep) and step.tools:
            yield f"build/{number}", step, "apt", step.tools
        elif isinstance(step, PipStep):
            yield f"build/{number}", step, "pip", step.requirements
        elif isinstance(step, CondaStep):
            yield f"build/{number}", step, "conda", step.packages


def _asks(target: Target) -> bool:
    """Whether any step asks for packages: what is installed below matters then."""
    return next(package_steps(target.steps), None) is not None


def _unmet(
    place: str, step: Step, manager: str, asked: tuple[str, ...], pin: PackageSet | None
) -> Missing:
    stale = pin is not None
    return Missing(kind=manager, name=step.address, place=place, stale=stale, asked=asked)


class Asking:
    """Says what the targets of one catalog ask for; what many of them share is worked out once.

    The pins must not change while it is used.
    """

    def __init__(self, catalog: Catalog, shared: SharedPins, pins: PinMap) -> None:
        self._catalog = catalog
        self._shared = shared
        self._pins = pins
        self._known: dict[tuple[ReleaseName, Platform], Requests] = {}
        self._bases: dict[tuple[str, Platform], Digest] = {}
        self._sources: dict[int, tuple[SourceRequest, Digest]] = {}
        self._contents: dict[int, tuple[PackageSet, str]] = {}
        self._pythons: dict[int, tuple[PackageSet, str]] = {}

    def requests(self, target: Target) -> Requests:
        """Says what the target needs pinned and which of it is missing or stale."""
        key = (target.release, target.platform)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._requests(target)
        return known

    def _requests(self, target: Target) -> Requests:
        catalog, pins = self._catalog, self._pins
        missing = [
            Missing(kind="recipe", name=name, stale=stale, why=why)
            for name, stale, why in unanswered(target, catalog, pins)
        ]
        base = base_pin(target, catalog, self._shared, pins)
        own_base = catalog.bases.get(target.base)
        if base is None:
            below = target.base_recipe
            if below is None or release_of(below, target, catalog, pins) is not None:
                missing.append(Missing(kind="base", name=below.name if below else target.base))
        elif own_base and base.request != self._base_request(own_base, target.platform.baseline):
            missing.append(Missing(kind="base", name=target.base, stale=True))
        if base is not None and base.image and not base.image.read and _asks(target):
            missing.append(Missing(kind="base", name=base.name, why="what is installed in it"))
        held = pins.get((target.release, target.platform), PlatformPins())
        if base is not None and not missing and not held.epoch:
            missing.append(
                Missing(kind="base", name=base.name)
            )  # known to others; this lock does not hold it yet
        for name, source in target.sources.items():
            pin = held.sources.get(name)
            if pin is None or pin.request != self._source_request(source):
                missing.append(Missing(kind="source", name=name, stale=pin is not None))
        installed = self._below(target, base)
        if installed is None:
            return Requests(base=base, packages=(), missing=tuple(missing), stopped=True)
        packages, absent, image = self._packages(target.steps, held, installed, target.platform)
        return Requests(
            base=base,
            packages=packages,
            missing=(*missing, *absent),
            stopped=bool(absent),
            image=image,
        )

    def _below(self, target: Target, base: BasePin | None) -> tuple[PackageSet, ...] | None:
        """Returns what is installed before the first step, or None when that is not locked."""
        if base is None or (base.image and not base.image.read and _asks(target)):
            return None
        if target.base_recipe is None:
            return (base.packages,)
        parent = target_of(target.base_recipe, target, self._catalog, self._pins)
        asked = self.requests(parent) if parent else None
        return None if asked is None or asked.missing or asked.stopped else asked.image

    def _packages(
        self,
        steps: Sequence[Step],
        held: PlatformPins,
        installed: tuple[PackageSet, ...],
        platform: Platform,
    ) -> tuple[tuple[PackageRequest, ...], list[Missing], tuple[PackageSet, ...]]:
        """Returns the requests, what is missing (the first one stops), the sets of the image."""
        found: list[PackageRequest] = []
        missing: list[Missing] = []
        for place, step, manager, asked in package_steps(steps):
            pin = held.packages.get(place)
            if missing:
                if pin is None:
                    missing.append(_unmet(place, step, manager, asked, pin))
                continue
            if isinstance(step, CondaStep):
                request = _conda_request(place, step, platform, installed)
            else:
                request = self._request(place, manager, asked, platform, installed)
            found.append(request)
            if pin is None or pin.request != request.request:
                missing.append(_unmet(place, step, manager, asked, pin))
            elif not isinstance(step, RunStep | CondaStep):
                installed = (*installed, pin)
        return tuple(found), missing, installed

    def _request(
        self,
        place: str,
        manager: str,
        asked: tuple[str, ...],
        platform: Platform,
        installed: tuple[PackageSet, ...],
    ) -> PackageRequest:
        """Returns what is asked of apt or pip: it depends on what is installed before."""
        python = self._python(installed) if manager == "pip" else ""
        request = fingerprint(
            {
                "manager": manager,
                "asked": list(asked),
                "platform": str(platform),
                "python": python,
                "installed": [self._content(s) for s in installed],
            },
            "package-request",
        )
        return PackageRequest(
            place=place,
            manager=manager,
            asked=asked,
            python=python,
            installed=installed,
            request=request,
        )

    # -- what many targets share: by identity, for comparing sets is as slow as working it out ---

    def _base_request(self, base: Base, platform: Platform) -> Digest:
        found = self._bases.get((base.name, platform))
        if found is None:
            found = self._bases[base.name, platform] = base_request(base, platform)
        return found

    def _source_request(self, source: SourceRequest) -> Digest:
        found = self._sources.get(id(source))
        if found is None:
            found = self._sources[id(source)] = (source, source_request(source))
        return found[1]

    def _content(self, packages: PackageSet) -> str:
        found = self._contents.get(id(packages))
        if found is None:
            found = self._contents[id(packages)] = (packages, str(_content(packages)))
        return found[1]

    def _python(self, installed: Sequence[PackageSet]) -> str:
        for packages in reversed(installed):
            found = self._pythons.get(id(packages))
            if found is None:
                found = self._pythons[id(packages)] = (packages, _python(packages))
            if found[1]:
                return found[1]
        return ""


def _conda_request(
    place: str, step: CondaStep, platform: Platform, installed: Sequence[PackageSet]
) -> PackageRequest:
    """Returns what is asked of conda: of all that is installed before, only glibc matters."""
    glibc = _glibc(installed)
    request = fingerprint(
        {
            "manager": "conda",
            "asked": list(step.packages),
            "channels": list(step.channels),
            "platform": str(platform),
            "glibc": glibc,
        },
        "package-request",
    )
    return PackageRequest(
        place=place,
        manager="conda",
        asked=step.packages,
        installed=(),
        request=request,
        channels=step.channels,
        glibc=glibc,
    )


def _content(packages: PackageSet) -> Digest:
    return fingerprint(
        [[p.name, p.version, p.architecture, str(p.file.digest)] for p in packages.packages],
        "package-set",
    )


def _python(packages: PackageSet) -> str:
    """Returns the version of the Python in a set (``3.11``), or the empty string without one."""
    if packages.manager == "apt":
        for package in packages.packages:
            match = _PYTHON.fullmatch(package.name)
            if match:
                return match[1]
    return ""


def _glibc(installed: Sequence[PackageSet]) -> str:
    """Returns the version of the C library in the sets (``2.36``), or the empty string."""
    for packages in reversed(installed):
        for package in packages.packages:
            match = _GLIBC.match(package.version) if package.name == "libc6" else None
            if match:
                return match[1]
    return ""
