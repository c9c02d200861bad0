"""Recipes for what was adopted: a name and version is built or adopted, never both (C12, C23)."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.core.diagnostics import Collector, Diagnostic
from ssds.core.records import replace
from ssds.lock.model import DEFAULT_VARIANT, Locks
from ssds.lock.read import diagnostic
from ssds.recipe.address import format_address
from ssds.recipe.catalog import CatalogReading


def mixed(reading: CatalogReading, locks: Locks) -> Iterator[Diagnostic]:
    """Gives a finding (L034) for each release of the catalog whose lock is an adopted one."""
    for release in sorted(locks.adopted & reading.catalog.releases.keys()):
        path = reading.catalog.releases[release].recipe_path
        file = locks.paths[release.name, release.version]
        variant = ("variants", release.variant or DEFAULT_VARIANT)
        keys = [variant, ("versions", release.version), ("version",), ("name",)]
        at = reading.spans.first(path, keys)
        found = diagnostic("L034", file, at=format_address(at), release=str(release))
        yield replace(found, span=reading.spans(path, at, key=True))


def refuse_mixed(reading: CatalogReading, locks: Locks) -> None:
    """Raises InputError with what ``mixed`` finds, where it finds something."""
    collector = Collector()
    collector.extend(mixed(reading, locks))
    collector.raise_if_failed()
