"""What a site gets: which releases, on which platforms, under which module names. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.lock.data import DataLock
from ssds.lock.model import (
    Adoption,
    Lock,
    Released,
    ReleaseHalf,
    Withdrawal,
    blocked,
    releasable,
)
from ssds.recipe.model import Site
from ssds.recipe.selectors import About, hits, looks_inside
from ssds.recipe.shared import parse_bind

_NOTHING = About()
Look = Callable[[Released], About]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One release on the platforms that the site wants.

    Attributes:
        images: platform → image, the site's first choice first; the machine chooses at run time.
        module: the public module name's last part, ``VERSION[-VARIANT]``.
    """

    released: Released
    images: Mapping[Platform, ReleaseHalf]

    @property
    def halves(self) -> tuple[ReleaseHalf, ...]:
        """Each image, the site's first choice first."""
        return tuple(self.images.values())

    @property
    def name(self) -> str:
        """The module's name."""
        return self.released.id.name

    @property
    def module(self) -> str:
        """``VERSION[-VARIANT]``, fit for a file name."""
        return self.released.tag

    @property
    def withdrawn(self) -> str:
        """What users are told of a withdrawn release, or the empty string."""
        said = self.released.withdrawn
        return f"{self.name}/{self.module} was {said.text}" if said else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A release in a tree that others deployed and that was adopted.

    Attributes:
        place: absolute path of its image; inside: the same below the tree.
    """

    id: ReleaseName
    place: str
    inside: str
    adoption: Adoption
    withdrawn: Withdrawal | None = None

    @property
    def folder(self) -> str:
        """The folder of its wrappers, below the tree."""
        return os.path.dirname(self.inside)

    @property
    def release(self) -> tuple[str, str]:
        """Name and public module name."""
        return self.id.name, self.id.tag

    @property
    def said(self) -> str:
        """What users are told of a withdrawn release, or the empty string."""
        name = "/".join(self.release)
        return f"{name} was {self.withdrawn.text}" if self.withdrawn else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a site gets, data sets too, and what it does not get, with a reason each.

    Attributes:
        residents: adopted releases in its tree, whose names its modules offer too.
    """

    picks: tuple[Pick, ...]
    left_out: tuple[tuple[str, str], ...]
    data: tuple[DataLock, ...] = ()
    residents: tuple[Resident, ...] = ()

    @property
    def images(self) -> frozenset[Digest]:
        """The images that the site gets."""
        return frozenset(half.config.digest for pick in self.picks for half in pick.halves)


def select(site: Site, locks: Iterable[Lock], look: Look = lambda _: _NOTHING) -> Selection:
    """Returns the releases of ``locks`` that ``site`` asks for, by name.

    Args:
        look: gives what selectors other than names look at; called only where they stand.

    Raises:
        InvalidValue: two releases would have one module name.
    """
    picks: dict[tuple[str, str], Pick] = {}
    left_out: list[tuple[str, str]] = []
    if not looks_inside((*site.include, *site.exclude)):
        look = lambda _: _NOTHING  # noqa: E731 - no bytes are read for names
    for lock in sorted(locks, key=lambda found: (found.name, found.version)):
        for name, variant in sorted(lock.variants.items()):
            reason = blocked(variant)
            release = lock.release_name(name)
            if reason and wanted(site, release):
                left_out.append((str(release), reason))
        for released in releasable(lock):
            if not wanted(site, released.id, look(released)):
                continue
            images = chosen(site, released.platforms)
            if not images:
                built = " ".join(released.platforms)
                left_out.append((str(released.id), f"built for {built} only"))
                continue
            pick = Pick(released=released, images=images)
            other = picks.setdefault((pick.name, pick.module), pick)
            if other is not pick:
                raise InvalidValue(
                    f"{other.released.id} and {released.id} would both be the module "
                    f"{pick.name}/{pick.module}",
                    hint="Exclude one of them in the site's file.",
                    code="D001",
                )
    return Selection(picks=tuple(picks.values()), left_out=tuple(left_out))


def chosen(site: Site, built: Mapping[Platform, ReleaseHalf]) -> dict[Platform, ReleaseHalf]:
    """Returns what of a release's images the site gets, in the site's order.

    A level that was not built takes the best below it: ``zen3``, ``zen2``, ``zen``, ``v3``, ``v2``.
    Every architecture ends in its generic image, where there is one.
    """
    generic = dict.fromkeys(platform.baseline for platform in site.platforms)
    found = (p.best_of(built) for p in (*site.platforms, *generic))
    return {platform: built[platform] for platform in found if platform is not None}


def wanted(site: Site, release: ReleaseName, facts: About = _NOTHING) -> bool:
    """Whether a site's selectors take a release."""
    taken = not site.include or hits(site.include, release, facts)
    return taken and not hits(site.exclude, release, facts)


def binds_of(site: Site) -> tuple[tuple[str, str, str], ...]:
    """Returns the site's binds as (source, target, ``ro`` or ``rw``), checked.

    Raises:
        InvalidValue: a bind is not ``/source[:/target[:ro|rw]]``.
    """
    found = []
    for text in site.binds:
        bind = parse_bind(text)
        if bind is None:
            raise InvalidValue(
                f"the bind {text[:200]!r} of site {site.name} is not /source[:/target[:ro|rw]]",
                hint="Use absolute paths without commas, '..' or a slash at the end.",
                code="D002",
            )
        found.append(bind)
    return tuple(found)
