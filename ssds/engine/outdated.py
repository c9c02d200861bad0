"""What is newer than the locks: bases, packages, commits and tags, upstream versions.

Everything is asked of the mirrors, nothing is resolved and nothing is written. What nobody can
say is said to be unknown, with the reason.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from ssds.core.errors import SsdsError
from ssds.core.pins import BasePin, PackageSet, PinnedPackage, PlatformPins, SharedPins, SourcePin
from ssds.core.platform import Platform
from ssds.core.records import dataclass as record
from ssds.core.versions import version_key
from ssds.engine.resolve_packages import suite_of
from ssds.host.git_fetch import GitFetch
from ssds.host.local import make_folder
from ssds.host.mirrors import Mirrors
from ssds.host.simple_index import SimpleIndexes, normalized
from ssds.kinds.base.resolve import resolve_base
from ssds.kinds.build.contained import PinMap
from ssds.kinds.build.requests import Asking, PackageRequest, base_pin
from ssds.kinds.source import newest as upstream
from ssds.kinds.source.resolve import source_paragraphs
from ssds.packages import conda, debian
from ssds.packages.apt_index import open_index
from ssds.packages.newest import apt_candidates, newest_wheel
from ssds.recipe.model import Base, Catalog, Target
from ssds.recipe.ranges import answers, range_requests
from ssds.recipe.steps import SourceRequest
from ssds.store.fetch import fetching

NEWER, CURRENT, UNKNOWN = "newer", "current", "unknown"
T = TypeVar("T")
_NO_WHEEL = "the index has no wheel for this platform and Python"


@record(frozen=True, slots=True, kw_only=True)
class Row:
    """One pin, and what is newer.

    Attributes:
        state: NEWER, CURRENT or UNKNOWN.
        sort: ``base``, ``apt``, ``pip``, ``conda``, ``source`` or ``recipe``.
        name: of the base, package, source or recipe.
        pinned, newest: versions; ``newest`` is empty where it is unknown.
        by: ``lock`` where renewing the pin moves it, ``recipe`` where the recipe must be edited.
        note: why it is unknown, or what of a base is newer.
        failed: somebody was asked and gave no answer.
        of: releases with their platforms; of a base its platforms.
    """

    state: str
    sort: str
    name: str
    pinned: str
    newest: str = ""
    by: str = ""
    note: str = ""
    failed: bool = False
    of: tuple[str, ...] = ()


def outdated(
    targets: Iterable[Target],
    catalog: Catalog,
    shared: SharedPins,
    pins: PinMap,
    mirrors: Mirrors,
    cache: str,
) -> list[Row]:
    """Returns a row for each pin of the targets, equal ones joined; by sort, name and version.

    Args:
        targets: of which releases and platforms.
        catalog, shared, pins: the catalog and its locks.
        mirrors: who is asked.
        cache: a folder for package indexes, used for this one call.
    """
    joined: dict[Row, list[str]] = {}
    with fetching(mirrors) as (_, indexes):
        looking = _Looking(catalog, shared, pins, mirrors, indexes, cache)
        for target in targets:
            for row in looking.rows(target):
                of = f"{target.release} [{target.platform}]"
                if row.sort == "base":
                    of = str(target.platform.baseline)
                joined.setdefault(row, []).append(of)
    rows = [replace(row, of=tuple(dict.fromkeys(of))) for row, of in joined.items()]
    order = ("base", "recipe", "source", "apt", "pip", "conda")
    return sorted(rows, key=lambda r: (order.index(r.sort), r.name, r.pinned, r.of))


def _asked_once(ask: Callable[..., T]) -> Callable[..., T]:
    """Remembers what was answered, and that nobody did: a dead mirror is asked once."""

    def tried(*what: Any) -> tuple[Any, SsdsError | None]:
        try:
            return ask(*what), None
        except SsdsError as error:
            return None, error

    remembered = functools.cache(tried)  # the object that asks is in the key, and lives for a call

    @functools.wraps(ask)
    def answer(*what: Any) -> T:
        found, error = remembered(*what)
        if error is not None:
            raise error
        return cast(T, found)

    return answer


@dataclass(frozen=True, eq=False)
class _Looking:
    """Asks each question once; its answers are remembered by the functions themselves."""

    catalog: Catalog
    shared: SharedPins
    pins: PinMap
    mirrors: Mirrors
    indexes: SimpleIndexes
    cache: str

    def rows(self, target: Target) -> Iterator[Row]:
        """Gives a row for each pin of a target."""
        held = self.pins.get((target.release, target.platform), PlatformPins())
        if held.base and target.base:
            yield self._base(self.catalog.bases[target.base], target.platform.baseline, held.base)
        for request in range_requests(target):
            pin = held.recipes.get(request.name)
            if pin is not None:
                known = answers(request, self.catalog, target.platform)
                best = max((*known[:1], pin.version), key=version_key)
                yield _told("recipe", request.name, pin.version, best, "lock")
        below = base_pin(target, self.catalog, self.shared, self.pins)
        declared = self.catalog.bases.get(below.name) if below is not None else None
        for name, source in target.sources.items():
            source_pin = held.sources.get(name)
            if source_pin is not None and declared is not None:
                yield self._source(source, source_pin, declared)
        for package_request in self.asking.requests(target).packages:
            packages = held.packages.get(package_request.place)
            answers_it = packages is not None and packages.manager == package_request.manager
            if packages is not None and answers_it and declared is not None and below is not None:
                on = (declared, below)
                yield from self._packages(package_request, packages, target.platform, on)

    @functools.cached_property
    def asking(self) -> Asking:
        """What the targets ask for."""
        return Asking(self.catalog, self.shared, self.pins)

    # -- bases ---------------------------------------------------------------------------------

    def _base(self, base: Base, platform: Platform, identity: str) -> Row:
        return _tried(
            "base", base.name, identity, lambda: self._newer_base(base, platform, identity)
        )

    @_asked_once
    def _newer_base(self, base: Base, platform: Platform, identity: str) -> Row:
        if base.image:
            return self._newer_image(base, platform, identity)
        found = resolve_base(base, platform, self.mirrors, self.cache)
        pin = self.shared.bases.get((identity, platform))
        if pin is None or pin.packages.packages == found.packages.packages:
            return _told("base", base.name, identity, identity, "lock")
        old = {p.name: p.version for p in pin.packages.packages}
        new = {p.name: p.version for p in found.packages.packages}
        moved = [
            f"{name} {old.get(name, '-')} -> {new.get(name, '-')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        note = ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
        row = _told("base", base.name, identity, found.identity, "lock")
        return replace(
            row, state=NEWER, by="lock", note=note or "the same versions with other bytes"
        )

    def _newer_image(self, base: Base, platform: Platform, identity: str) -> Row:
        """Asks what the tag names now."""
        from ssds.oci.image_name import parse_image_name
        from ssds.oci.upstream import Images

        pin = self.shared.bases.get((identity, platform))
        now = Images(self.mirrors).current(parse_image_name(base.image))
        newest = f"{base.name}@{now.hex[:16]}"
        if pin is None or pin.image is None or pin.image.digest == now:
            newest = identity
        return _told("base", base.name, identity, newest, "lock")

    # -- sources -------------------------------------------------------------------------------

    def _source(self, source: SourceRequest, pin: SourcePin, base: Base) -> Row:
        pinned = pin.file.name

        def look() -> Row:
            found = self._upstream(source, pin, base)
            if found is None:
                why = (
                    "a commit id names no version" if source.git else "an address names no version"
                )
                return Row(state=UNKNOWN, sort="source", name=source.name, pinned=pinned, note=why)
            return _told("source", source.name, found.pinned, found.newest, found.by)

        return _tried("source", source.name, pinned, look)

    def _upstream(
        self, source: SourceRequest, pin: SourcePin, base: Base
    ) -> upstream.Newest | None:
        if source.git and pin.git is not None:
            return upstream.of_commit(source.ref, pin.git.commit, self._refs(source.git))
        if source.pypi:
            project = source.pypi.partition("/")[0]
            return upstream.of_python(source.pypi, self.indexes.files(project))
        if source.deb_src:
            index = open_index(
                self.cache,
                self.mirrors,
                suite=base.suite,
                components=base.components,
                architecture="amd64",
                sources=True,
            )
            name = source.deb_src.partition("/")[0]
            return upstream.of_debian(source.deb_src, source_paragraphs(index, name))
        return None

    @_asked_once
    def _refs(self, url: str) -> Mapping[str, str]:
        folder = os.path.join(self.cache, "refs")
        make_folder(folder)
        return GitFetch(folder, self.mirrors).refs(url)

    # -- packages ------------------------------------------------------------------------------

    def _packages(
        self,
        request: PackageRequest,
        held: PackageSet,
        platform: Platform,
        base: tuple[Base, BasePin],
    ) -> Iterator[Row]:
        for package in held.packages:
            if held.manager == "apt":
                look = functools.partial(self._debian, request, package, platform, base)
            elif held.manager == "conda":
                look = functools.partial(self._conda, request, package, held, platform)
            else:
                look = functools.partial(self._wheel, request, package, platform)
            yield _tried(held.manager, package.name, package.version, look)

    def _debian(
        self,
        request: PackageRequest,
        package: PinnedPackage,
        platform: Platform,
        base: tuple[Base, BasePin],
    ) -> Row:
        newest = self._candidates(*base, platform).get(package.name, "")
        if not newest:
            note = "the index does not have it any more"
            return _unknown("apt", package, note)
        newest = max(newest, package.version, key=debian.version_key)
        exact = any(asked.startswith(f"{package.name}=") for asked in request.asked)
        return _told("apt", package.name, package.version, newest, "recipe" if exact else "lock")

    @_asked_once
    def _candidates(self, base: Base, pin: BasePin, platform: Platform) -> Mapping[str, str]:
        index = open_index(
            self.cache,
            self.mirrors,
            suite=suite_of(base, pin),
            components=base.components,
            architecture=platform.debian,
        )
        return apt_candidates(index, self._locked_names(platform))

    def _locked_names(self, platform: Platform) -> set[str]:
        """Returns the names of all Debian packages that are locked for an architecture."""
        return {
            package.name
            for (_, other), held in self.pins.items()
            if other.debian == platform.debian
            for packages in held.packages.values()
            if packages.manager == "apt"
            for package in packages.packages
        }

    def _conda(
        self, request: PackageRequest, package: PinnedPackage, held: PackageSet, platform: Platform
    ) -> Row:
        names = frozenset((p.name, p.version) for p in held.packages)
        asked = conda.CondaRequest(
            channels=request.channels,
            packages=request.asked,
            platform=platform,
            glibc=request.glibc,
        )
        found = self._newest_conda(asked, names).get(package.name)
        if found is None:
            return _unknown("conda", package, "the channels do not have it any more")
        newest, exact = found
        return _told("conda", package.name, package.version, newest, "recipe" if exact else "lock")

    @_asked_once
    def _newest_conda(
        self, asked: conda.CondaRequest, names: frozenset[tuple[str, str]]
    ) -> Mapping[str, tuple[str, bool]]:
        return conda.newest(asked, names, self.mirrors, self.cache)

    def _wheel(self, request: PackageRequest, package: PinnedPackage, platform: Platform) -> Row:
        from packaging.requirements import Requirement
        from packaging.version import Version

        files = self.indexes.files(package.name)
        own = Version(package.version)
        newest = newest_wheel(files, platform, request.python, prereleases=own.is_prerelease)
        if not newest:
            return _unknown("pip", package, _NO_WHEEL)
        asked = [Requirement(text) for text in request.asked]
        held = any(
            normalized(one.name) == package.name and not one.specifier.contains(newest, True)
            for one in asked
        )
        best = newest if Version(newest) > own else package.version
        return _told("pip", package.name, package.version, best, "recipe" if held else "lock")


def _told(sort: str, name: str, pinned: str, newest: str, by: str) -> Row:
    state = CURRENT if pinned == newest else NEWER
    return Row(
        state=state,
        sort=sort,
        name=name,
        pinned=pinned,
        newest=newest,
        by=by if state == NEWER else "",
    )


def _unknown(sort: str, package: PinnedPackage, note: str) -> Row:
    return Row(state=UNKNOWN, sort=sort, name=package.name, pinned=package.version, note=note)


def _tried(sort: str, name: str, pinned: str, look: Callable[[], Row]) -> Row:
    """Returns the row, or an unknown one where nobody answered."""
    try:
        return look()
    except SsdsError as error:
        why = error.message.splitlines()[0][:200]
        return Row(state=UNKNOWN, sort=sort, name=name, pinned=pinned, note=why, failed=True)
