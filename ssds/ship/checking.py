"""Says by path what is wrong in a deployed tree; needs neither locks nor the images' layers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue, Refused
from ssds.core.records import dataclass
from ssds.host import local
from ssds.host.spider import FOLDER as LMOD_FOLDER
from ssds.recipe.codes import near
from ssds.ship.composing import SUPPORT_PATH
from ssds.ship.generation import (
    LMOD_LISTING,
    RECORD,
    RECORD_SIGNATURE,
    Deployed,
    lmod_files,
    lmod_listing,
)
from ssds.ship.images import image_problems
from ssds.ship.links import link_steps
from ssds.ship.parts import ATTACHED, LISTING, OWN
from ssds.ship.refdata.content import set_problems
from ssds.ship.tree import (
    IMAGES,
    OURS,
    SITES,
    check_owner,
    generations,
    image_path,
    known_copies,
    linked_number,
    parts_path,
    public_link,
    read_deployed,
    read_generation,
    site_path,
    sites_in,
)

_BESIDE_PART = frozenset({LISTING, ATTACHED, "locks"})
_BESIDE = _BESIDE_PART | {RECORD, RECORD_SIGNATURE, LMOD_LISTING, LMOD_FOLDER}
_ROOT = f"{SUPPORT_PATH}/root"
_EMPTY = frozenset({"modules", _ROOT})
"""Folders that are there without anything in them."""
_COPY_LIMIT_BYTES = 64 << 20
_ODD = (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What reading a list raises that somebody else wrote."""
_Copies = Mapping[str, Collection[str]]
"""Part, or OWN → the digests that its list of copies of locks may have; none where nobody said."""


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
    held = f"It holds: {', '.join(known) or 'none'}."
    if missing or not known:
        raise Refused(
            f"{folder} holds no site {', '.join(missing)}".rstrip(),
            hint=" ".join([*(near(name, set(known)) for name in missing), held]).strip(),
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
            problems.append(f"{site_path(site)}: {error}. {error.hint}".rstrip())
            continue
        for number in numbers:
            deployed = _read(folder, site, number, problems)
            images |= deployed.images
            sets |= deployed.sets
            if deployed.number and number == current:
                problems += generation_problems(folder, site, deployed)
        if current not in numbers:
            problems.append(f"{site_path(site)}/current: not there")
    problems += _closed_folders(folder, looked, images)
    for image in sorted(images):
        problems += image_problems(folder, image)
    for digest in sorted(sets):
        problems += set_problems(folder, digest)
    problems += _name_problems(folder, looked[0])
    return TreeReport(sites=looked, images=len(images), data=len(sets), problems=tuple(problems))


def _closed_folders(folder: str, sites: Sequence[str], images: Iterable[Digest]) -> Iterator[str]:
    """Gives the folders above what users read that they cannot enter."""
    above = {SITES, OURS, IMAGES, *(os.path.dirname(image_path(image)) for image in images)}
    for site in sites:
        above |= {os.path.dirname(site_path(site)), site_path(site), parts_path(site)}
    if not os.path.ismount(folder):  # a server closes the root of its own mount
        above.add("")
    for path in sorted(above):
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.stat(os.path.join(folder, path)).st_mode)
            if mode & 0o005 != 0o005:
                yield f"{path or '.'}: users cannot enter it (mode {mode:o}); make it 755"


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
    yield from own_problems(folder, site, deployed)
    copies = known_copies(folder, site)
    for part in sorted({share.part for share in deployed.shares.values()}):
        yield from part_problems(folder, f"{parts_path(site)}/{part}", copies, shown=base)


def own_problems(folder: str, site: str, deployed: Deployed) -> Iterator[str]:
    """Gives what is wrong with what only this generation has."""
    base = f"{site_path(site)}/{deployed.number}"
    root = os.path.join(folder, base)
    copies = {deployed.copies[OWN]} if OWN in deployed.copies else ()
    yield from _content_problems(folder, base, deployed.content, copies, beside=_BESIDE)
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
    copies = known_copies(folder, site)
    return frozenset(p for p in parts if any(part_problems(folder, f"{base}/{p}", copies)))


def part_problems(folder: str, path: str, copies: _Copies, *, shown: str = "") -> Iterator[str]:
    """Gives what is wrong with the part at ``path`` of the tree; ``shown`` as below."""
    name = os.path.basename(path)
    content, known = f"sha256:{name}", copies.get(name, ())
    yield from _content_problems(folder, path, content, known, beside=_BESIDE_PART, shown=shown)


def check_written(folder: str, site: str, parts: Iterable[str], images: Iterable[Digest]) -> None:
    """Looks at what was written, as it stands; raises IntegrityError (D046) where it differs."""
    deployed = read_deployed(folder, site)
    problems = [*own_problems(folder, site, deployed)]
    copies = known_copies(folder, site)
    for part in parts:
        problems += part_problems(folder, f"{parts_path(site)}/{part}", copies)
    for image in sorted(images):
        problems += image_problems(folder, image)
    if problems:
        raise IntegrityError(
            f"what was deployed is not what stands there: {len(problems)} things are wrong, the "
            f"first is {problems[0]}",
            hint="Look at the disk; `ssds deploy --check` names all, and --repair makes them anew.",
            code="D046",
        )


def _content_problems(
    folder: str,
    base: str,
    content: str,
    copies: Collection[str],
    *,
    beside: Collection[str],
    shown: str = "",
) -> Iterator[str]:
    """Gives what is wrong with the folder ``base``, whose listing has the digest ``content``.

    Args:
        copies: the digests that its list of copies of locks may have.
        beside: names in it that the listing does not tell of.
        shown: the folder by which people see its files.
    """
    root = os.path.join(folder, base)
    try:
        with local.open_regular(os.path.join(root, LISTING)) as file:
            data = file.read()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != content:
            yield f"{base}/{LISTING}: not as it was deployed"
            return
        listing = json.loads(data)
        files, links, programs = (listing[key] for key in ("files", "links", "programs"))
        files, links, programs = dict(files), dict(links), set(programs)
        here = _entries(root, beside)
    except _ODD as error:
        yield f"{base}/{LISTING}: cannot be read ({error})"
        return
    shown = shown or base
    for path, digest in files.items():
        place = os.path.join(root, path)
        if os.path.islink(place):
            yield f"{shown}/{path}: a link where a file belongs"
            continue
        try:
            with local.open_regular(place) as file:
                found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except (OSError, InvalidValue) as error:
            yield f"{shown}/{path}: {getattr(error, 'strerror', None) or error}"
            continue
        wanted = 0o555 if path in programs else 0o444
        if found != digest:
            yield f"{shown}/{path}: other bytes than were deployed"
        elif mode & wanted != wanted:
            verb = "read" if mode & 0o444 != 0o444 else "run"
            yield f"{shown}/{path}: cannot be {verb} by everybody (mode {mode:o})"
    for path, target in links.items():
        place = os.path.join(root, path)
        if not os.path.islink(place) or os.readlink(place) != target:
            yield f"{shown}/{path}: not a link to {target}"
    yield from _attached_problems(root, shown, copies)
    known = {*files, *links}
    above = {"", *(p[:at] for p in known for at, c in enumerate(p) if c == "/")}
    if f"{SUPPORT_PATH}/wrapper" in programs and _ROOT not in here:
        yield f"{shown}/{_ROOT}: not there"
    for path, mode in here.items():
        if mode < 0 and path not in known:
            yield f"{shown}/{path}: nobody deployed it"
        elif mode >= 0 and mode & 0o555 != 0o555:
            yield f"{shown}/{path}: users cannot enter it (mode {mode:o})".replace("/:", ":")
        elif mode >= 0 and path not in above and path not in _EMPTY:
            yield f"{shown}/{path}: nobody deployed it"


def _attached_problems(root: str, shown: str, known: Collection[str]) -> Iterator[str]:
    """Gives what is wrong with the copies of locks in a folder.

    Args:
        known: the digests that their list may have; empty where no generation noted one, as those
            of earlier versions of ssds.
    """
    if not os.path.lexists(os.path.join(root, ATTACHED)):
        if known:
            yield f"{shown}/{ATTACHED}: not there"
        return
    try:
        data = local.read_below(root, ATTACHED, _COPY_LIMIT_BYTES)
        if data is None:
            raise InvalidValue("it is no regular file, or closed")
        if known and f"sha256:{hashlib.sha256(data).hexdigest()}" not in known:
            yield f"{shown}/{ATTACHED}: not as it was deployed"
            return
        wanted = dict(json.loads(data))
        for path, digest in wanted.items():
            if not path.startswith("locks/") or ".." in path.split("/"):
                raise ValueError(f"{path[:80]!r} is no copy of a lock")
            if _digest_below(root, path) != digest:
                yield f"{shown}/{path}: not the lock that was deployed"
        place = os.path.join(root, "locks")
        folders = _entries(place, ()) if os.path.isdir(place) and not os.path.islink(place) else {}
        above = {os.path.dirname(path) for path in wanted}
        for path in sorted({f"locks/{path}" for path in folders if path} - {*wanted} - above):
            yield f"{shown}/{path}: nobody deployed it"
    except _ODD as error:
        yield f"{shown}/{ATTACHED}: cannot be read ({error})"


def _digest_below(root: str, path: str) -> str:
    """Returns the digest of a regular file of a size that locks have; empty of all else."""
    with contextlib.suppress(InvalidValue):
        data = local.read_below(root, path, _COPY_LIMIT_BYTES)
        return "" if data is None else f"sha256:{hashlib.sha256(data).hexdigest()}"
    return ""


def _entries(root: str, beside: Collection[str]) -> dict[str, int]:
    """Returns path → mode of each folder, -1 of everything else; without what stands beside."""
    found = {"": stat.S_IMODE(os.lstat(root).st_mode)}
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with os.scandir(os.path.join(root, above)) as entries:
            for entry in entries:
                path = f"{above}/{entry.name}".lstrip("/")
                if path in beside:
                    continue
                folder = entry.is_dir(follow_symlinks=False)
                found[path] = stat.S_IMODE(entry.stat().st_mode) if folder else -1
                if folder and found[path] & 0o500 == 0o500:
                    waiting.append(path)
    return dict(sorted(found.items()))
