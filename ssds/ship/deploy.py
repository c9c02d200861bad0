"""Deploys releases into a folder: images, modules, wrappers; the plain form of a tree (C22).

::

    DIR/images/<2 hex>/<config hex>/        unpacked images, shared, and their markers
    DIR/.generations/<n>/{modules,wrappers} written whole
    DIR/.generations/current -> <n>         the one link that is switched
    DIR/modules, DIR/wrappers               links into the current generation

It reads only locks, blobs and site files. It changes only what ssds wrote (C14).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ssds.core.canonical import Json, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import Refused, SsdsError, UnavailableError
from ssds.host.files import TEMPORARY_PREFIX, atomic_symlink, atomic_write, explained, locked
from ssds.host.folders import discard_folder, readable_for_all, staged_folder, sweep_folders
from ssds.lock.model import Lock
from ssds.recipe.model import Site
from ssds.ship.changes import Change, removals
from ssds.ship.generation import RECORD, Deployed, Entry, Generation, compose, read_record
from ssds.ship.images import (
    BlobSource,
    config_of,
    find_program,
    find_setpriv,
    has_image,
    image_path,
    unpack_image,
)
from ssds.ship.modules import ModuleFacts
from ssds.ship.sites import Pick, Selection, select
from ssds.ship.wrappers import DEFAULT_PATH, FACTS, release_facts

GENERATIONS = ".generations"
SITE_FILE = ".ssds-site.json"
REMOVAL_LIMIT = 5
METADATA_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What a deployment did.

    Attributes:
        changes: by release; ``=`` where nothing was to do.
        generation: the number of the current generation.
        written: False when the tree was as it should be and nothing was written.
        images_written: how many images were unpacked.
        left_out: (release, reason) of what the site asks for and did not get.
        dropped: (release, path) of devices, fifos and sockets that were left out of images.
    """

    changes: tuple[Change, ...]
    generation: int
    written: bool
    images_written: int
    left_out: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()


def deploy(
    site: Site,
    locks: Iterable[Lock],
    blobs: BlobSource,
    target: str,
    *,
    catalog_version: str = "",
    allow_remove: int = REMOVAL_LIMIT,
) -> DeployReport:
    """Makes the tree ``target`` hold what ``site`` asks for; readers see the old one or the new.

    Args:
        blobs: where bytes come from; only images that are missing are read.
        catalog_version: noted in the record, for people.
        allow_remove: how many releases may disappear.

    Raises:
        Refused: D010 the folder is not ours, D011 it is another site's, D013 too many removals,
            D014 an image lacks a command that its lock offers.
        UnavailableError: bytes are missing. IntegrityError: bytes are damaged.
    """
    selection = select(site, locks)
    target = os.path.abspath(target)
    _check_owner(target, site)
    with readable_for_all(), locked(os.path.join(target, GENERATIONS, ".lock")):
        _claim(target, site)
        for folder in (target, os.path.join(target, GENERATIONS)):
            sweep_folders(folder)
        before = read_deployed(target)
        changes = _changes(site, selection, before)
        if removals(changes) > allow_remove:
            raise Refused(
                f"this would remove {removals(changes)} releases from {target}",
                hint=f"If that is meant, allow it: --allow-remove {removals(changes)}.",
                code="D013",
            )
        _check_bytes(target, selection, blobs)
        written, dropped = _unpack_all(target, selection, blobs)
        generation = _compose(site, selection, before, target, blobs)
        switched = str(generation.digest) != before.content or not _links_stand(target)
        number = before.number
        if switched:
            number = _switch(target, generation, before, catalog_version)
    return DeployReport(
        changes=tuple(changes),
        generation=number,
        written=switched or written > 0,
        images_written=written,
        left_out=selection.left_out,
        dropped=tuple(dropped),
    )


def plan_deploy(site: Site, locks: Iterable[Lock], target: str) -> tuple[Change, ...]:
    """Returns what ``deploy`` would change, by release; reads the tree's record only."""
    _check_owner(target, site)
    return tuple(_changes(site, select(site, locks), read_deployed(target)))


def read_deployed(target: str) -> Deployed:
    """Returns what the current generation of a tree holds; empty where there is none."""
    try:
        number = os.readlink(os.path.join(target, GENERATIONS, "current"))
        with open(os.path.join(target, GENERATIONS, number, RECORD), "rb") as file:
            data = file.read()
    except OSError:
        return Deployed()
    return read_record(data, int(number) if number.isdecimal() else 0)


def _check_owner(target: str, site: Site) -> None:
    with explained(target):
        try:
            names = os.listdir(target)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise Refused(
                f"{target} is not a folder", hint="Choose a folder.", code="D010"
            ) from None
    try:
        with open(os.path.join(target, SITE_FILE), "rb") as file:
            owner = json.loads(file.read(65536))["site"]
    except (OSError, ValueError, KeyError, TypeError):
        strange = [n for n in names if n != GENERATIONS and not n.startswith(TEMPORARY_PREFIX)]
        if strange:
            raise Refused(
                f"{target} holds files and was not made by ssds",
                hint="Choose an empty folder or one that ssds deployed before.",
                code="D010",
            ) from None
        return
    if owner != site.name:
        raise Refused(
            f"{target} belongs to the site {str(owner)[:80]!r}, not to {site.name!r}",
            hint="Give each site a folder of its own.",
            code="D011",
        )


def _claim(target: str, site: Site) -> None:
    path = os.path.join(target, SITE_FILE)
    if not os.path.exists(path):
        data = pretty_bytes({"site_version": 1, "site": site.name})
        atomic_write(path, data, point="deploy.site")


def _changes(site: Site, selection: Selection, before: Deployed) -> list[Change]:
    """Returns the changes by release."""
    current = {entry.release: entry for entry in before.entries if entry.current}
    found = []
    for pick in selection.picks:
        old = current.pop((pick.name, pick.module), None)
        what = f"{pick.name}/{pick.module}"
        if old is None:
            verb, reason = "+", f"new, r{pick.released.revision}"
        elif (old.revision, old.image) != (pick.released.revision, pick.half.config.digest):
            verb, reason = "+", f"r{old.revision} becomes r{pick.released.revision}"
        else:
            verb, reason = "=", f"r{old.revision} is there"
        found.append(Change(where=site.name, what=what, verb=verb, reason=reason))
    for (name, module), _ in sorted(current.items()):
        reason = "no longer asked for by the site or no longer locked"
        found.append(Change(where=site.name, what=f"{name}/{module}", verb="-", reason=reason))
    return found


def missing_bytes(
    target: str, selection: Selection, blobs: BlobSource
) -> tuple[tuple[str, Digest], ...]:
    """Returns (release, digest) of all bytes that a deployment needs and that are not here (C2)."""
    missing = []
    for pick in selection.picks:
        half = pick.half
        needed = [half.config.digest]
        if not has_image(target, half.config.digest):
            needed.append(half.manifest.digest)
            needed += [layer.digest for layer in half.layers if not blobs.has(layer.diff_id)]
        missing += [(str(pick.released.id), d) for d in needed if not blobs.has(d)]
    return tuple(missing)


def _check_bytes(target: str, selection: Selection, blobs: BlobSource) -> None:
    missing = missing_bytes(target, selection, blobs)
    if missing:
        releases = sorted({release for release, _ in missing})
        raise UnavailableError(
            f"{len(missing)} blobs of {', '.join(releases)} are not here, the first is "
            f"{missing[0][1]}",
            hint="Bring them with `ssds apply --fetch`, then deploy again.",
            code="D016",
        )


def _unpack_all(
    target: str, selection: Selection, blobs: BlobSource
) -> tuple[int, list[tuple[str, str]]]:
    written = 0
    dropped: list[tuple[str, str]] = []
    for pick in selection.picks:
        folder = os.path.dirname(os.path.join(target, image_path(pick.half.config.digest)))
        if not has_image(target, pick.half.config.digest):
            sweep_folders(folder)
        done = unpack_image(target, pick.half, blobs)
        written += done.written
        dropped += [(str(pick.released.id), path) for path in done.dropped]
    return written, dropped


def _compose(
    site: Site, selection: Selection, before: Deployed, target: str, blobs: BlobSource
) -> Generation:
    problems: list[str] = []
    releases = []
    for pick in selection.picks:
        try:
            releases.append(_release(pick, target, blobs))
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
            kept = _older(target, before.number, replace(entry, current=False))
            older += [kept] if kept else []
    return compose(site, releases, older)


def _release(pick: Pick, target: str, blobs: BlobSource) -> tuple[Entry, ModuleFacts, bytes]:
    half, released = pick.half, pick.released
    image = os.path.join(target, image_path(half.config.digest))
    environment = dict(config_of(blobs, half).environment)
    path = environment.get("PATH", "") or DEFAULT_PATH
    programs = {c.rsplit("/", 1)[-1]: find_program(image, c, path) for c in half.commands}
    missing = sorted(command for command, program in programs.items() if not program)
    if missing:
        raise Refused(f"the image of {released.id} has no program {', '.join(missing)}")
    metadata = _metadata(pick, blobs)
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
        setpriv=find_setpriv(image),
    )
    return entry, facts, wrapper


def _metadata(pick: Pick, blobs: BlobSource) -> Mapping[str, Json]:
    """Returns the descriptive fields; empty where the lock names none or the bytes are not here."""
    digest = pick.released.metadata
    if digest is None or not blobs.has(digest):
        return {}
    try:
        found = json.loads(blobs.read(digest, METADATA_LIMIT_BYTES))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    fields = found.get("fields", found)
    return fields if isinstance(fields, dict) else {}


def _older(target: str, number: int, entry: Entry) -> tuple[Entry, bytes, bytes] | None:
    """Returns an earlier revision as it stands in the current generation, if its image is there."""
    if not has_image(target, entry.image):
        return None
    root = os.path.join(target, GENERATIONS, str(number))
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


def _links_stand(target: str) -> bool:
    for name in ("modules", "wrappers"):
        try:
            if os.readlink(os.path.join(target, name)) != f"{GENERATIONS}/current/{name}":
                return False
        except OSError:
            return False
    return True


def _switch(target: str, generation: Generation, before: Deployed, catalog_version: str) -> int:
    """Writes a generation, switches to it, and makes the public links; returns its number."""
    root = os.path.join(target, GENERATIONS)
    for name in os.listdir(root):
        if name.isdecimal() and int(name) > before.number:
            discard_folder(os.path.join(root, name))  # written whole by a deploy that was killed
    number = before.number
    if str(generation.digest) != before.content:
        number += 1
        with staged_folder(os.path.join(root, str(number)), point="deploy.generation") as staging:
            generation.write(staging, catalog_version)
        atomic_symlink(str(number), os.path.join(root, "current"), point="deploy.switch")
    for name in ("modules", "wrappers"):
        place = os.path.join(target, name)
        if os.path.isdir(place) and not os.path.islink(place):
            raise SsdsError(
                f"{place} is a folder where ssds keeps a link",
                hint="Move it elsewhere and deploy again.",
                code="D015",
            )
        atomic_symlink(f"{GENERATIONS}/current/{name}", place, point=f"deploy.link-{name}")
    return number
