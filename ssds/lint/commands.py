"""What recipes offer to type: nothing, or what others offer as well."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.core.diagnostics import Diagnostic
from ssds.recipe.catalog import CatalogReading
from ssds.recipe.codes import diagnostic
from ssds.recipe.model import Release

_MOST = 6


def offers_nothing(reading: CatalogReading) -> Iterator[Diagnostic]:
    """Gives a note (R085) for each recipe without commands and paths that none is built on."""
    below = {edge.to.name for edge in reading.edges}
    for path, releases in _by_recipe(reading).items():
        targets = [t for release in releases for t in release.targets.values()]
        if any(t.deploy.commands or t.deploy.paths for t in targets):
            continue
        if not any(release.id.name in below for release in releases):
            span = reading.spans(path, "deploy", key=True)
            yield diagnostic("R085", span, "deploy")


def offers_what_others_offer(reading: CatalogReading) -> Iterator[Diagnostic]:
    """Gives a note (R086) for each command that several recipes offer, at the first of them.

    Recipes that contain others are bundles: they offer again what is offered, on purpose.
    """
    bundles = {edge.release.name for edge in reading.edges}
    known: dict[str, dict[str, str]] = {}  # command → recipe's file → address
    names: dict[str, str] = {}
    for path, releases in _by_recipe(reading).items():
        if releases[0].id.name in bundles:
            continue
        names[path] = releases[0].id.name
        for release in releases:
            for target in release.targets.values():
                for index, command in enumerate(target.deploy.commands):
                    address = f"deploy.commands[{index}]"
                    known.setdefault(command, {}).setdefault(path, address)
    for command, places in sorted(known.items()):
        if len(places) < 2:
            continue
        (path, address), *others = places.items()
        listed = ", ".join(names[other] for other, _ in others[:_MOST])
        more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
        facts = (("command", command), ("also in", listed + more))
        yield diagnostic("R086", reading.spans(path, address), address, facts)


def _by_recipe(reading: CatalogReading) -> dict[str, list[Release]]:
    found: dict[str, list[Release]] = {}
    for release in reading.catalog.releases.values():
        found.setdefault(release.recipe_path, []).append(release)
    return found
