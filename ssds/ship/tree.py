"""Where things stand in a deployed tree, and what a tree says about itself (C14, C22).

::

    .flat/<2 hex>/<config hex>/             unpacked images, shared by all platforms and sites
    .ssds/tree.json                         the tree is ours
    .ssds/images/<2 hex>/<config hex>.json  an image's marker, written last
    .ssds/data/<2 hex>/<set hex>/           files of data sets, shared by all sites
    .ssds/data/<2 hex>/<set hex>.json       a set's marker, written last
    .ssds/sites/<site>/parts/<64 hex>/      modules and wrappers of one software, shared by them
    .ssds/sites/<site>/<n>/                 one generation of one site, written whole
    .ssds/sites/<site>/current -> <n>       the one link that is switched for that site
    .ssds/sites/<site>/newest -> <n>        only after a rollback: later ones stay
    sites/<site> -> ../.ssds/sites/<site>/current
"""

from __future__ import annotations

import contextlib
import json
import os
import re

from ssds.core.canonical import pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, Refused
from ssds.host import local
from ssds.host.files import TEMPORARY_PREFIX, explained
from ssds.ship.generation import RECORD, RECORD_REMEDY, Deployed, read_record
from ssds.ship.parts import PARTS

OURS = ".ssds"
IMAGES = ".flat"
SITES = "sites"
TREE_FILE = f"{OURS}/tree.json"
TREE_LOCK = f"{OURS}/lock"
MARKERS = f"{OURS}/images"
DATA = f"{OURS}/data"
TREE_VERSION = 1
_SERVERS = ("new_repository", ".cvmfsdirtab", ".cvmfscatalog")
"""What ``cvmfs_server`` and its owner put into a new repository."""
_MARKER = re.compile(r"[0-9a-f]{64}\.json")
_EARLIER = (".generations", ".ssds-site.json")


def image_path(config: Digest) -> str:
    """Returns an image's folder, relative to the tree."""
    return f"{IMAGES}/{config.hex[:2]}/{config.hex}"


def marker_path(config: Digest) -> str:
    """Returns the place of an image's marker, relative to the tree."""
    return f"{MARKERS}/{config.hex[:2]}/{config.hex}.json"


def data_path(digest: Digest) -> str:
    """Returns a data set's folder, relative to the tree."""
    return f"{DATA}/{digest.hex[:2]}/{digest.hex}"


def data_marker(digest: Digest) -> str:
    """Returns the place of a data set's marker, relative to the tree."""
    return f"{data_path(digest)}.json"


def marked(folder: str, markers: str) -> list[Digest]:
    """Returns the digests that have a marker of ours below ``markers`` (MARKERS, DATA)."""
    found = []
    root = os.path.join(folder, markers)
    for bucket in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        inner = os.path.join(root, bucket)
        names = sorted(os.listdir(inner)) if os.path.isdir(inner) else []
        hexes = [n[:-5] for n in names if _MARKER.fullmatch(n) and n[:2] == bucket]
        found += [Digest(f"sha256:{text}") for text in hexes]
    return found


def site_path(site: str) -> str:
    """Returns the folder of a site's generations, relative to the tree."""
    return f"{OURS}/{SITES}/{site}"


def parts_path(site: str) -> str:
    """Returns the folder of a site's parts, relative to the tree."""
    return f"{site_path(site)}/{PARTS}"


def public_link(site: str) -> tuple[str, str]:
    """Returns the path of a site's public link, relative to the tree, and what it points to."""
    return f"{SITES}/{site}", f"../{site_path(site)}/current"


def tree_file() -> bytes:
    """Returns the bytes that make a folder ours."""
    return pretty_bytes({"tree_version": TREE_VERSION})


def check_owner(folder: str, *, shared: bool = False) -> bool:
    """Returns whether ``folder`` is a tree of ours already; False where it is new or empty.

    Args:
        shared: whether what others wrote may stand beside ours: it was adopted.

    Raises:
        Refused: D010 the folder holds what ssds did not write, D017 a tree of another form.
    """
    with explained(folder):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise Refused(
                f"{folder} is not a folder", hint="Choose a folder.", code="D010"
            ) from None
    names = [name for name in names if name not in _SERVERS]
    if any(name in names for name in _EARLIER):
        _refuse_form(folder, "a tree of an earlier ssds, for one site")
    try:
        with local.open_regular(os.path.join(folder, TREE_FILE)) as file:
            version = json.loads(file.read(65536))["tree_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if not shared and _strange(folder, names):
            absent = isinstance(error, FileNotFoundError)
            if absent and os.path.exists(os.path.join(folder, TREE_FILE)):
                return check_owner(folder, shared=shared)  # another run has made the tree meanwhile
            raise Refused(
                f"{folder} holds files and was not made by ssds",
                hint="Choose an empty folder or one that ssds deployed before.",
                code="D010",
            ) from None
        return False
    if version != TREE_VERSION:
        _refuse_form(folder, f"a tree of the form {str(version)[:20]!r}")
    return True


def _refuse_form(folder: str, what: str) -> None:
    raise Refused(
        f"{folder} is {what}; this ssds writes the form {TREE_VERSION}",
        hint="Deploy into a new folder, point your users there, then remove this one.",
        code="D017",
    )


def _strange(folder: str, names: list[str]) -> bool:
    """Whether there is more than what a killed first deploy leaves."""
    if [n for n in names if n != OURS and not n.startswith(TEMPORARY_PREFIX)]:
        return True
    path = os.path.join(folder, OURS)
    inner = os.listdir(path) if os.path.isdir(path) else []
    lock = os.path.basename(TREE_LOCK)
    return bool([n for n in inner if n != lock and not n.startswith(TEMPORARY_PREFIX)])


def sites_in(folder: str) -> tuple[str, ...]:
    """Returns the names of the sites that a tree holds or held."""
    path = os.path.join(folder, OURS, SITES)
    names = os.listdir(path) if os.path.isdir(path) else []
    return tuple(sorted(n for n in names if not n.startswith(".")))


def linked_number(folder: str, site: str, name: str) -> int:
    """Returns the generation that a site's link ``current`` or ``newest`` names; 0 for none.

    Raises:
        InvalidValue: D012, the link is lost or damaged: what is there would count as never visible.
    """
    path = os.path.join(folder, site_path(site), name)
    try:
        text = os.readlink(path)
    except OSError:
        text = ""
    if text.isdecimal() and text.isascii() and int(text):
        return int(text)
    numbers = _numbers(folder, site)
    # A first deployment that was killed leaves its one generation, and nothing beside it.
    shown = os.path.lexists(os.path.join(folder, public_link(site)[0])) or numbers[1:]
    if os.path.lexists(path) or (name == "current" and numbers and shown):
        raise InvalidValue(
            f"the link {path} is lost or damaged",
            hint=f"Make it anew, if {max(numbers, default=1)} was its generation: "
            f"ln -sfn {max(numbers, default=1)} {path}",
            code="D012",
        )
    return 0


def _numbers(folder: str, site: str) -> list[int]:
    """Returns the numbers of all generations that are here, oldest first."""
    path = os.path.join(folder, site_path(site))
    names = os.listdir(path) if os.path.isdir(path) else []
    return sorted(int(n) for n in names if n.isdecimal() and n.isascii() and int(n))


def newest_number(folder: str, site: str) -> int:
    """Returns the newest generation that was ever visible; what is above was never switched to."""
    return max(linked_number(folder, site, name) for name in ("current", "newest"))


def generations(folder: str, site: str) -> list[int]:
    """Returns the numbers of a site's generations that are here whole, oldest first."""
    newest = newest_number(folder, site)
    return [number for number in _numbers(folder, site) if number <= newest]


def read_generation(folder: str, site: str, number: int) -> Deployed:
    """Returns what one generation holds.

    Raises:
        InvalidValue: D012, its record is not there, unreadable or damaged.
    """
    path = os.path.join(folder, site_path(site), str(number), RECORD)
    try:
        with local.open_regular(path) as file:
            data = file.read()
    except (OSError, InvalidValue) as error:
        raise InvalidValue(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint=RECORD_REMEDY,
            code="D012",
        ) from error
    return read_record(data, number)


def known_copies(folder: str, site: str) -> dict[str, list[str]]:
    """Returns part → digests that its list of copies of locks has had, the newest last.

    A repair writes a part anew with the locks of its day, and earlier generations keep it.
    """
    found: dict[str, list[str]] = {}
    for number in generations(folder, site):
        with contextlib.suppress(InvalidValue):  # a damaged record is told by who needs it
            for part, digest in read_generation(folder, site, number).copies.items():
                found.setdefault(part, []).append(digest)
    return found


def read_deployed(folder: str, site: str, *, repair: bool = False) -> Deployed:
    """Returns what the current generation of a site holds; empty where there is none.

    Args:
        repair: a damaged record says nothing; the generation that follows makes it good.
    """
    number = linked_number(folder, site, "current")
    try:
        return read_generation(folder, site, number) if number else Deployed()
    except InvalidValue:
        if not repair:
            raise
        return Deployed(number=number)
