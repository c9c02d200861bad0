"""The facts of each release that a site gets: from its lock, its metadata and its image."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from ssds.core.errors import Refused
from ssds.lock.model import ReleaseHalf
from ssds.recipe.model import Site
from ssds.ship.about import read_about
from ssds.ship.generation import Deployed, Entry, Generation, compose
from ssds.ship.images import BlobSource, Programs, config_of, has_image
from ssds.ship.modules import ModuleFacts
from ssds.ship.sites import Pick, Selection
from ssds.ship.tree import image_path, site_path
from ssds.ship.wrappers import FACTS, release_facts


def compose_site(
    site: Site,
    selection: Selection,
    before: Deployed,
    folder: str,
    blobs: BlobSource,
    programs_of: Callable[[ReleaseHalf], Programs],
) -> Generation:
    """Returns the next generation of a site.

    Args:
        before: what stands there; its earlier revisions stay loadable.
        folder: the tree.
        programs_of: where an image's commands are; the images of all picks are there.

    Raises:
        Refused: D014, images lack commands that their locks offer; all are named.
    """
    problems: list[str] = []
    releases = []
    for pick in selection.picks:
        try:
            releases.append(_release(pick, programs_of(pick.half), blobs))
        except Refused as error:
            problems.append(error.message)
    if problems:
        raise Refused(
            "; ".join(problems),
            hint="Correct deploy.commands in the recipe and apply again, or exclude the release.",
            code="D014",
        )
    wanted = {entry.release for entry, _, _ in releases}
    now = {(entry.release, entry.revision) for entry, _, _ in releases}
    older = []
    for entry in before.entries:
        if entry.release in wanted and (entry.release, entry.revision) not in now:
            kept = _older(folder, site.name, before.number, replace(entry, current=False))
            older += [kept] if kept else []
    return compose(site, releases, older)


def _release(pick: Pick, found: Programs, blobs: BlobSource) -> tuple[Entry, ModuleFacts, bytes]:
    half, released = pick.half, pick.released
    environment = dict(config_of(blobs, half).environment)
    programs = {c.rsplit("/", 1)[-1]: found.paths.get(c, "") for c in half.offered}
    missing = sorted(command for command, program in programs.items() if not program)
    if missing:
        raise Refused(f"the image of {released.id} has no program {', '.join(missing)}")
    metadata = read_about(released.metadata, blobs)
    given = metadata.get("deploy", {})
    wanted = given.get("environment", {}) if isinstance(given, Mapping) else {}
    defaults = {str(k): str(v) for k, v in wanted.items()} if isinstance(wanted, Mapping) else {}
    entry = Entry(
        name=pick.name,
        version=released.id.version,
        variant=released.id.variant,
        revision=released.revision,
        platform=pick.platform,
        module=pick.module,
        image=half.config.digest,
        commands=tuple(sorted(programs)),
    )
    facts = ModuleFacts(
        name=pick.name,
        version=pick.module,
        revision=released.revision,
        image=str(half.manifest.digest),
        commands=entry.commands,
        environment=defaults,
        description=metadata,
        identifiers=released.identifiers,
    )
    wrapper = release_facts(
        release=f"{released.id}-r{released.revision}",
        image=image_path(half.config.digest),
        programs=programs,
        environment=environment,
        defaults=defaults,
        setpriv=found.setpriv,
    )
    return entry, facts, wrapper


def _older(folder: str, site: str, number: int, entry: Entry) -> tuple[Entry, bytes, bytes] | None:
    """Returns an earlier revision as it stands in the current generation, if its image is there."""
    if not has_image(folder, entry.image):
        return None
    root = os.path.join(folder, site_path(site), str(number))
    try:
        found = []
        for path in (
            f"modules/{entry.name}/{entry.full}.lua",
            f"wrappers/{entry.name}/{entry.full}/{FACTS}",
        ):
            with open(os.path.join(root, path), "rb") as file:
                found.append(file.read())
    except OSError:
        return None
    return entry, found[0], found[1]
