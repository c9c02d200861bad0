"""What a site gets: which releases, on which platform, under which module names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.lock.model import Lock, Released, ReleaseHalf, blocked, releasable
from ssds.recipe.model import Site

_BAD_BIND = re.compile(r"[\x00-\x1f\x7f,]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One release on the platform that the site prefers.

    Attributes:
        module: the public module name's last part, ``VERSION[-VARIANT]``.
        full: the hidden one, ``VERSION[-VARIANT]-rN``.
    """

    released: Released
    platform: Platform
    half: ReleaseHalf

    @property
    def name(self) -> str:
        """The module's name."""
        return self.released.id.name

    @property
    def module(self) -> str:
        """``VERSION[-VARIANT]``, fit for a file name."""
        return self.released.tag

    @property
    def full(self) -> str:
        """``VERSION[-VARIANT]-rN``."""
        return self.released.full_tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a site gets, and what it does not get, with a reason each."""

    picks: tuple[Pick, ...]
    left_out: tuple[tuple[str, str], ...]


def select(site: Site, locks: Iterable[Lock]) -> Selection:
    """Returns the releases of ``locks`` that ``site`` asks for, by name.

    Raises:
        InvalidValue: two releases would have one module name.
    """
    picks: dict[tuple[str, str], Pick] = {}
    left_out: list[tuple[str, str]] = []
    for lock in sorted(locks, key=lambda found: (found.name, found.version)):
        for name, variant in sorted(lock.variants.items()):
            reason = blocked(variant)
            release = lock.release_name(name)
            if wanted(site, str(release)) and reason:
                left_out.append((str(release), reason))
        for released in releasable(lock):
            if not wanted(site, str(released.id)):
                continue
            platform = preferred(site, released.platforms)
            if platform is None:
                built = " ".join(released.platforms)
                left_out.append((str(released.id), f"built for {built} only"))
                continue
            pick = Pick(released=released, platform=platform, half=released.platforms[platform])
            other = picks.setdefault((pick.name, pick.module), pick)
            if other is not pick:
                raise InvalidValue(
                    f"{other.released.id} and {released.id} would both be the module "
                    f"{pick.name}/{pick.module}",
                    hint="Exclude one of them in the site's file.",
                    code="D001",
                )
    return Selection(picks=tuple(picks.values()), left_out=tuple(left_out))


def preferred(site: Site, built: Mapping[Platform, ReleaseHalf]) -> Platform | None:
    """Returns the first of the site's platforms that was built, or what runs in its place.

    A level that was not built takes the best below it: ``zen3``, ``zen2``, ``zen``, ``v3``, ``v2``.
    """
    return next((found for p in site.platforms if (found := p.best_of(built))), None)


def wanted(site: Site, release: str) -> bool:
    """Whether a site's selectors take a release (``samtools``, ``samtools@1.16.1[+variant]``)."""

    def hit(selectors: tuple[str, ...]) -> bool:
        name, _, rest = release.partition("@")
        version = rest.partition("+")[0] if release.count("+") else rest
        return any(s in (name, f"{name}@{version}", release) for s in selectors)

    return (not site.include or hit(site.include)) and not hit(site.exclude)


def binds_of(site: Site) -> tuple[tuple[str, str, str], ...]:
    """Returns the site's binds as (source, target, ``ro`` or ``rw``), checked.

    Raises:
        InvalidValue: a bind is not ``/source[:/target[:ro|rw]]``.
    """
    found = []
    for text in site.binds:
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        target, mode = target or source, mode or "rw"
        parts = {*source.split("/")[1:], *target.split("/")[1:]}
        if (
            _BAD_BIND.search(text)
            or not (source.startswith("/") and target.startswith("/"))
            or mode not in ("ro", "rw")
            or parts & {"", ".", ".."}
        ):
            raise InvalidValue(
                f"the bind {text[:200]!r} of site {site.name} is not /source[:/target[:ro|rw]]",
                hint="Use absolute paths without commas, '..' or a slash at the end.",
                code="D002",
            )
        found.append((source, target, mode))
    return tuple(found)
