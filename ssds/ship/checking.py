"""Says by path what is wrong in a deployed tree; needs neither locks nor the images' layers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, Refused
from ssds.core.records import dataclass
from ssds.ship.generation import LMOD_LISTING, Deployed, lmod_files, lmod_listing
from ssds.ship.images import image_problems
from ssds.ship.links import link_steps
from ssds.ship.parts import LISTING
from ssds.ship.refdata.content import set_problems
from ssds.ship.tree import (
    check_owner,
    generations,
    linked_number,
    parts_path,
    public_link,
    read_generation,
    site_path,
    sites_in,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """What a check found.

    Attributes:
        sites: the sites that were looked at.
        images: how many images; data: how many data sets.
        problems: one line each, the path first.
    """

    sites: tuple[str, ...]
    images: int
    data: int
    problems: tuple[str, ...]


def check_tree(folder: str, sites: Sequence[str] = ()) -> TreeReport:
    """Compares a tree with what it says about itself; names and sizes of images, bytes of the rest.

    Args:
        sites: only these; all where empty.

    Raises:
        Refused: D010, D017 it is no tree of ours; D024 it has no such site.
    """
    known = sites_in(folder) if check_owner(folder) else ()
    missing = sorted(set(sites) - set(known))
    if missing or not known:
        raise Refused(
            f"{folder} holds no site {', '.join(missing)}".rstrip(),
            hint=f"It holds: {', '.join(known) or 'none'}.",
            code="D024",
        )
    looked = tuple(sorted(set(sites) or known))
    problems: list[str] = []
    images: set[Digest] = set()
    sets: set[Digest] = set()
    for site in looked:
        link, text = public_link(site)
        if not os.path.islink(path := os.path.join(folder, link)) or os.readlink(path) != text:
            problems.append(f"{link}: not a link to {text}")
        try:
            numbers, current = generations(folder, site), linked_number(folder, site, "current")
        except InvalidValue as error:
            problems.append(f"{site_path(site)}: {error}")
            continue
        for number in numbers:
            deployed = _read(folder, site, number, problems)
            images |= deployed.images
            sets |= deployed.sets
            if deployed.number and number == current:
                problems += generation_problems(folder, site, deployed)
        if current not in numbers:
            problems.append(f"{site_path(site)}/current: not there")
    for image in sorted(images):
        problems += image_problems(folder, image)
    for digest in sorted(sets):
        problems += set_problems(folder, digest)
    problems += _name_problems(folder, looked[0])
    return TreeReport(sites=looked, images=len(images), data=len(sets), problems=tuple(problems))


def _name_problems(folder: str, site: str) -> Iterator[str]:
    try:
        steps = link_steps(folder, site)
    except InvalidValue as error:
        yield f"the images' names were not looked at: {error}"
        return
    for path in steps.make:
        yield f"{path}: not as a deployed site wants it"
    for path in steps.remove:
        yield f"{path}: no deployed site wants it"
    for path in steps.strange:
        yield f"{path}: others wrote it where an image's name belongs"


def _read(folder: str, site: str, number: int, problems: list[str]) -> Deployed:
    try:
        return read_generation(folder, site, number)
    except (OSError, ValueError) as error:
        problems.append(f"{site_path(site)}/{number}: its record cannot be read ({error})")
        return Deployed()


def generation_problems(folder: str, site: str, deployed: Deployed) -> Iterator[str]:
    """Gives what is wrong with the files of a generation, and with its parts."""
    base = f"{site_path(site)}/{deployed.number}"
    root = os.path.join(folder, base)
    yield from _content_problems(folder, base, deployed.content)
    for part in sorted({share.part for share in deployed.shares.values()}):
        place = f"{parts_path(site)}/{part}"
        yield from _content_problems(folder, place, f"sha256:{part}", shown=base)
    try:
        here, wanted = lmod_files(root), lmod_listing(root)
    except (OSError, ValueError) as error:
        yield f"{base}/{LMOD_LISTING}: its files cannot be compared ({error})"
        return
    for path in sorted({*here, *wanted}):
        if here.get(path) != wanted.get(path):
            yield f"{base}/{path}: not as it was deployed"


def damaged_parts(folder: str, site: str, deployed: Deployed) -> frozenset[str]:
    """Returns the parts of a generation that are not as they were deployed."""
    base = parts_path(site)
    parts = {share.part for share in deployed.shares.values()}
    return frozenset(
        p for p in parts if any(_content_problems(folder, f"{base}/{p}", f"sha256:{p}"))
    )


def _content_problems(folder: str, base: str, content: str, shown: str = "") -> Iterator[str]:
    """Gives what is wrong with the folder ``base``, whose listing has the digest ``content``.

    Args:
        shown: the folder by which people see its files.
    """
    root = os.path.join(folder, base)
    try:
        with open(os.path.join(root, LISTING), "rb") as file:
            data = file.read()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != content:
            yield f"{base}/{LISTING}: not as it was deployed"
            return
        listing = json.loads(data)
    except (OSError, ValueError) as error:
        yield f"{base}/{LISTING}: cannot be read ({error})"
        return
    shown = shown or base
    programs = set(listing["programs"])
    for path, digest in listing["files"].items():
        try:
            with open(os.path.join(root, path), "rb") as file:
                found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
                runs = bool(os.fstat(file.fileno()).st_mode & 0o111)
        except OSError as error:
            yield f"{shown}/{path}: {error.strerror}"
            continue
        if found != digest:
            yield f"{shown}/{path}: other bytes than were deployed"
        elif path in programs and not runs:
            yield f"{shown}/{path}: cannot be run"
    for path, target in listing["links"].items():
        place = os.path.join(root, path)
        if not os.path.islink(place) or os.readlink(place) != target:
            yield f"{shown}/{path}: not a link to {target}"
