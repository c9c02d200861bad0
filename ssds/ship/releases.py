"""The facts of each release that a site gets: from its lock, its metadata and its image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ssds.core.digest import sha256_of
from ssds.core.errors import Refused, UnavailableError
from ssds.core.platform import Platform
from ssds.lock.model import Released, ReleaseHalf
from ssds.recipe.model import Site
from ssds.recipe.selectors import About, about, looks_inside
from ssds.ship.about import Reader, environment_of, read_about
from ssds.ship.adopted import Guest, guests_of
from ssds.ship.clients import client_files
from ssds.ship.composing import Current, Kept, Older, compose, support_part
from ssds.ship.generation import Deployed, Entry, Generation
from ssds.ship.images import BlobSource, Programs, config_of, has_image
from ssds.ship.modules import ModuleFacts
from ssds.ship.parts import Share, lacking
from ssds.ship.sites import Look, Pick, Selection
from ssds.ship.tree import data_path, image_path, parts_path, site_path
from ssds.ship.wrappers import FACTS, ImageFacts, release_facts
from ssds.version import VERSION

FORM = 3
"""Of modules and wrappers: raised when the same facts give other bytes (C9)."""


def compose_site(
    site: Site,
    selection: Selection,
    before: Deployed,
    folder: str,
    blobs: BlobSource,
    programs_of: Callable[[ReleaseHalf], Programs],
    *,
    inner: str = "",
    anew: bool = False,
) -> Generation:
    """Returns the next generation of a site.

    Args:
        before: what stands there; its earlier revisions stay loadable, and the parts of software
            that is made from the same stay as they are.
        folder: the tree; inner: its folder in the repository that clients mount.
        programs_of: where an image's commands are; the images of all picks are there.
        anew: compose everything, whatever stands there.

    Raises:
        Refused: D014, images lack commands that their locks offer; all are named.
    """
    picks: dict[str, list[Pick]] = {}
    for pick in selection.picks:
        picks.setdefault(pick.name, []).append(pick)
    guests: dict[str, list[Guest]] = {}
    ours = {(pick.name, pick.module) for pick in selection.picks}
    for guest in guests_of(site, selection.residents, folder, ours):
        guests.setdefault(guest.entry.name, []).append(guest)
        picks.setdefault(guest.entry.name, [])
    olds = _earlier(picks, before, folder)
    made_from = _origins(site, picks, olds, guests)
    standing = _standing(site, made_from, before, folder) if not anew else {}
    staying = _staying(standing, picks, olds, guests, before)
    kept = [
        _kept(staying[name], several, site, blobs)
        for name, several in picks.items()
        if name in staying
    ]
    composed = [name for name in picks if name not in staying]
    releases = _releases([p for name in composed for p in picks[name]], programs_of, blobs)
    said = {(pick.name, pick.module): pick.withdrawn for pick in selection.picks}
    entries = (entry for name in composed for entry in olds.get(name, ()))
    found = (
        _older(folder, site.name, before.number, entry, said[entry.release]) for entry in entries
    )
    older = [old for old in found if old]
    invited = [guest for name in composed for guest in guests.get(name, ())]
    made = compose(site, releases, older, kept=kept, guests=invited, made_from=made_from)
    if selection.data or before.data:
        from ssds.ship.refdata.compose import add_data

        add_data(made, site, selection.data, before, folder)
    images = [image_path(image) for entry in made.entries for image in entry.images.values()]
    images += [data_path(entry.digest) for entry in made.data if entry.current]
    images += [one.folder for one in selection.residents]
    made.files.update(client_files(site, images, inner))
    return made


def _earlier(
    picks: Mapping[str, Sequence[Pick]], before: Deployed, folder: str
) -> dict[str, list[Entry]]:
    """Returns name → the earlier revisions that stay loadable: their images are there."""
    now = {(p.name, p.module): p.released.revision for several in picks.values() for p in several}
    found: dict[str, list[Entry]] = {}
    for entry in before.entries:
        stays = now.get(entry.release, entry.revision) != entry.revision and not entry.adopted
        if stays and all(has_image(folder, image) for image in entry.images.values()):
            found.setdefault(entry.name, []).append(replace(entry, current=False))
    return found


def _origins(
    site: Site,
    picks: Mapping[str, Sequence[Pick]],
    olds: Mapping[str, Sequence[Entry]],
    guests: Mapping[str, Sequence[Guest]],
) -> dict[str, str]:
    """Returns name → digest of everything that its part is composed from."""
    names = {Platform(p) for old in olds.values() for entry in old for p in entry.images}
    names |= {platform for several in picks.values() for p in several for platform in p.images}
    plain = replace(site, title="", include=(), exclude=(), prefer=(), views=(), cvmfs=None)
    common = repr((FORM, VERSION, plain, support_part(site, names).name))
    found = {}
    for name, several in picks.items():
        facts = [
            (
                str(pick.released.id),
                pick.released.revision,
                pick.released.index.digest,
                pick.released.metadata,
                sorted(pick.released.identifiers.items()),
                [(p, h.config.digest, h.commands, h.found) for p, h in pick.images.items()],
                *([pick.withdrawn] if pick.withdrawn else []),
            )
            for pick in several
        ]
        earlier = [(entry.full, list(entry.images.values())) for entry in olds.get(name, ())]
        text = f"{common}{facts!r}{earlier!r}"
        if name in guests:
            text += repr([(g.entry, sorted(g.files.items()), g.links) for g in guests[name]])
        found[name] = sha256_of(text.encode()).hex
    return found


def _standing(
    site: Site, made_from: Mapping[str, str], before: Deployed, folder: str
) -> dict[str, Share]:
    """Returns name → a part that is there, made from the same."""
    same = {
        n: s for n, s in before.shares.items() if s.made_from and s.made_from == made_from.get(n)
    }
    gone = lacking(os.path.join(folder, parts_path(site.name)), (s.part for s in same.values()))
    return {name: share for name, share in same.items() if share.part not in gone}


def _staying(
    standing: Mapping[str, Share],
    picks: Mapping[str, Sequence[Pick]],
    olds: Mapping[str, Sequence[Entry]],
    guests: Mapping[str, Sequence[Guest]],
    before: Deployed,
) -> dict[str, Kept]:
    """Returns name → software whose part stands and whose entries are known."""
    known = {(e.name, e.module, e.revision): e for e in before.entries}
    found = {}
    for name, share in standing.items():
        keys = [(name, pick.module, pick.released.revision) for pick in picks[name]]
        if all(key in known for key in keys):
            invited = (guest.entry for guest in guests.get(name, ()))
            entries = (*(known[key] for key in keys), *olds.get(name, ()), *invited)
            found[name] = Kept(share=share, entries=entries)
    return found


def _kept(known: Kept, picks: Sequence[Pick], site: Site, blobs: BlobSource) -> Kept:
    """Returns it with what the site's ``prefer`` looks at."""
    if not looks_inside(site.prefer):
        return known
    look = look_with(blobs)
    abouts = {f"{pick.module}-r{pick.released.revision}": look(pick.released) for pick in picks}
    return replace(known, abouts=abouts)


def _releases(
    picks: Iterable[Pick], programs_of: Callable[[ReleaseHalf], Programs], blobs: BlobSource
) -> list[Current]:
    problems: list[str] = []
    releases = []
    for pick in picks:
        try:
            releases.append(_release(pick, programs_of, blobs))
        except Refused as error:
            problems.append(error.message)
    if problems:
        raise Refused(
            "; ".join(problems),
            hint="Was the tree's image damaged? `ssds deploy --repair` makes it anew. Else correct "
            "deploy.commands in the recipe and apply again, or exclude the release.",
            code="D014",
        )
    return releases


def _release(
    pick: Pick, programs_of: Callable[[ReleaseHalf], Programs], blobs: BlobSource
) -> Current:
    released = pick.released
    images: dict[Platform, ImageFacts] = {}
    missing: list[str] = []
    for platform, half in pick.images.items():
        images[platform] = _image(half, programs_of(half), blobs)
        lacking = sorted(c for c, program in images[platform].programs.items() if not program)
        missing += [f"{name} ({platform})" for name in lacking]
    if missing:
        raise Refused(f"the image of {released.id} has no program {', '.join(missing)}")
    metadata = read_about(released.metadata, blobs)
    defaults = environment_of(metadata)
    declared = any(half.commands for half in pick.halves[:1])
    entry = Entry(
        name=pick.name,
        version=released.id.version,
        variant=released.id.variant,
        revision=released.revision,
        module=pick.module,
        images={str(platform): half.config.digest for platform, half in pick.images.items()},
        commands=tuple(sorted({c for image in images.values() for c in image.programs})),
        found=not declared,
        withdrawn=bool(pick.withdrawn),
    )
    facts = ModuleFacts(
        name=pick.name,
        version=pick.module,
        revision=released.revision,
        image=str(released.index.digest),
        commands=entry.commands,
        environment=defaults,
        description=metadata,
        identifiers=released.identifiers,
    )
    wrapper = release_facts(
        release=f"{released.id}-r{released.revision}", images=images, defaults=defaults
    )
    labels = config_of(blobs, pick.halves[0]).labels if pick.halves else {}
    return Current(
        entry=entry,
        facts=facts,
        wrapper=wrapper,
        about=about(metadata, labels),
        withdrawn=pick.withdrawn,
    )


def _image(half: ReleaseHalf, found: Programs, blobs: BlobSource) -> ImageFacts:
    """Returns what wrappers know of one image; a program that it lacks is the empty string."""
    return ImageFacts(
        folder=image_path(half.config.digest),
        programs={c.rsplit("/", 1)[-1]: found.paths.get(c, "") for c in half.offered},
        environment=dict(config_of(blobs, half).environment),
        setpriv=found.setpriv,
    )


def look_with(blobs: Reader) -> Look:
    """Returns what gives a release's categories, licences and labels to a site's selectors.

    Raises (when it is called):
        UnavailableError: D028, they are not here: nothing is then selected by a guess.
    """

    def look(released: Released) -> About:
        half = next(iter(released.platforms.values()))
        needed = [half.config.digest, *([released.metadata] if released.metadata else [])]
        if missing := [digest for digest in needed if not blobs.has(digest)]:
            raise UnavailableError(
                f"the site selects by category, licence or label, and those of {released.id} are "
                f"not here: {missing[0].short}",
                hint=f"Bring them: ssds apply --fetch {released.id.name}.",
                code="D028",
            )
        return about(read_about(released.metadata, blobs), config_of(blobs, half).labels)

    return look


def _older(folder: str, site: str, number: int, entry: Entry, said: str) -> Older | None:
    """Returns an earlier revision as it stands in the current generation, if its images are."""
    if not all(has_image(folder, image) for image in entry.images.values()):
        return None
    root = os.path.join(folder, site_path(site), str(number))
    module = f"{entry.folder}/{entry.full}"
    files = {path: _bytes(os.path.join(root, path)) for path in (module, f"{module}.lua")}
    found = {path: data for path, data in files.items() if data}
    wrapper = _bytes(os.path.join(root, f"wrappers/{entry.name}/{entry.full}/{FACTS}"))
    if not (found and wrapper):
        return None
    entry = replace(entry, withdrawn=bool(said))
    return Older(entry=entry, modules=found, wrapper=wrapper, withdrawn=said)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
