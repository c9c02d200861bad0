"""Public names of images: the links by which CVMFS users and DUCC's tools find them.

::

    <registry>/<repository>:<tag> -> ../.flat/…            of the site that was deployed last
    .multiarch/<arch>/<registry>/<repository>:<tag>        for each architecture; aliases by uname
    .metadata/<registry>/<repository>:<tag>/manifest.json  the manifest as the registry has it

Registry and repository are those of the channel that publishes the release. Each generation of a
site says which names it wants (``links.json``); ``.ssds/links.json`` lists the names that ssds
wrote, and nothing else is ever replaced or removed (C14).
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence

from ssds.core.canonical import Json, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.host import local
from ssds.lock.model import ReleaseHalf
from ssds.recipe.model import Channel
from ssds.ship.channels import split_location, wanted_tags
from ssds.ship.sites import Pick
from ssds.ship.tree import (
    IMAGES,
    OURS,
    SITES,
    generations,
    image_path,
    linked_number,
    public_link,
    site_path,
    sites_in,
)

LINKS = "links.json"
OWNED = f"{OURS}/{LINKS}"
MANIFESTS = "manifests"
VIEW = "view"
MULTIARCH = ".multiarch"
METADATA = ".metadata"
_IMAGE_LINK = re.compile(rf"(\.\./)*{re.escape(IMAGES)}/[0-9a-f]{{2}}/[0-9a-f]{{64}}")
_WRAPPER_LINK = re.compile(rf"\.\./\.\./{SITES}/[^/]+/wrappers/[^/]+/[^/]+/bin/[^/]+")
_ALIASES = {
    "amd64": ("x86_64", "x86-64"),
    "arm64:v8": ("aarch64", "arm64"),
    "arm:v6": ("armel",),
    "386": ("i386",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What stands at one public path: a link to ``target``, or a copy of the file ``source``.

    Attributes:
        target: of a relative link; empty for a file.
        source: path of the file's bytes, relative to the site's generation.
    """

    target: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What has to be done to the public names of a tree.

    Attributes:
        owned: all paths that are ours during the steps; written before the first. What others put
            in the place of ours is theirs from then on.
        make: path → (site, what stands there).
        remove: ours that nobody wants any longer.
        strange: wanted paths that hold what others wrote; they stay.
    """

    owned: tuple[str, ...]
    make: Mapping[str, tuple[str, Name]]
    remove: tuple[str, ...]
    strange: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is to do."""
        return not self.make and not self.remove


def arch_name(platform: Platform) -> str:
    """Returns DUCC's name of a platform: ``amd64``, ``arm64:v8``, ``amd64:v3``."""
    if platform.architecture == "arm64" and not platform.variant:
        return "arm64:v8"
    return ":".join(part for part in (platform.architecture, platform.variant) if part)


def public_names(
    picks: Sequence[Pick], channels: Iterable[Channel]
) -> tuple[dict[str, Name], dict[str, Digest]]:
    """Returns path → what stands there, and the file below ``manifests/`` → manifest digest."""
    by_release = {str(pick.released.id): pick for pick in picks}
    names: dict[str, Name] = {}
    manifests: dict[str, Digest] = {}
    for channel in sorted(channels, key=lambda found: found.name):
        if channel.kind != "registry":
            continue
        prefix = "/".join(split_location(channel.location))
        if any(part.startswith(".") or not part for part in prefix.split("/")):
            raise InvalidValue(
                f"the location {channel.location!r} of the channel {channel.name} names no folder",
                hint="Correct it in catalog/channels.yaml.",
                code="D018",
            )
        for name, tags in wanted_tags(channel, [p.released for p in picks]).items():
            for tag, released in tags.items():
                pick = by_release[str(released.id)]
                for platform, half in pick.images.items():
                    manifest = half.manifest.digest
                    source = f"{MANIFESTS}/{manifest.hex}.json"
                    manifests[source] = manifest
                    exact = f"{prefix}/{name}:sha256:{manifest.hex}"
                    _name(names, exact, exact, platform, half, source)
                    moving = f"{prefix}/{name}:{tag}"
                    plain = moving if platform == _plain(pick) else ""
                    _name(names, moving, plain, platform, half, source)
    return names, manifests


def _plain(pick: Pick) -> Platform:
    """Returns the platform that a name without one means: whoever takes it chooses nothing."""
    first = next(iter(pick.images))
    return first.baseline if first.baseline in pick.images else first


def _name(
    names: dict[str, Name],
    reference: str,
    plain: str,
    platform: Platform,
    half: ReleaseHalf,
    source: str,
) -> None:
    arch = arch_name(platform)
    for path in (plain, f"{MULTIARCH}/{arch}/{reference}"):
        if path:
            names[path] = Name(target="../" * path.count("/") + image_path(half.config.digest))
    for alias in _ALIASES.get(arch, ()):
        names[f"{MULTIARCH}/{alias}"] = Name(target=arch)
    if plain:
        names[f"{METADATA}/{plain}/manifest.json"] = Name(source=source)


def names_bytes(names: Mapping[str, Name]) -> bytes:
    """Returns the bytes of a generation's ``links.json``."""
    found: dict[str, Json] = {
        "links_version": 1,
        "links": {path: name.target for path, name in names.items() if name.target},
        "files": {path: name.source for path, name in names.items() if name.source},
    }
    return pretty_bytes(found)


def read_names(folder: str, site: str, number: int) -> dict[str, Name]:
    """Returns the public names that a generation wants; none where it has no such file."""
    path = os.path.join(folder, site_path(site), str(number), LINKS)
    try:
        with local.open_regular(path) as file:
            data = file.read()
    except FileNotFoundError as error:
        if number and not os.path.isdir(os.path.dirname(path)):
            raise _damaged(os.path.dirname(path)) from error
        return {}
    except InvalidValue as error:
        raise _damaged(path) from error
    return parse_names(data, path)


def parse_names(data: bytes, path: str = LINKS) -> dict[str, Name]:
    """Returns what a ``links.json`` says; raises InvalidValue (D019) where it is damaged."""
    try:
        found = json.loads(data)
        links, files = found["links"], found["files"]
        names = {str(p): Name(target=str(t)) for p, t in links.items()}
        names |= {str(p): Name(source=str(s)) for p, s in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path) from error
    if any(not _inside(p) for p in names):
        raise _damaged(path)
    return names


def owned_paths(folder: str) -> tuple[str, ...]:
    """Returns the public paths that ssds wrote."""
    path = os.path.join(folder, OWNED)
    try:
        with local.open_regular(path) as file:
            paths = [str(p) for p in json.loads(file.read())["paths"]]
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    if any(not _inside(p) for p in paths):
        raise _damaged(path)
    return tuple(paths)


def owned_bytes(paths: Iterable[str]) -> bytes:
    """Returns the bytes of the list of public paths that are ours."""
    found: list[Json] = [*sorted(set(paths))]
    return pretty_bytes({"links_version": 1, "paths": found})


def _damaged(path: str) -> InvalidValue:
    return InvalidValue(
        f"{path} is damaged",
        hint="Restore it from a backup, or deploy into a new folder.",
        code="D019",
    )


def _inside(path: str) -> bool:
    parts = path.split("/")
    return bool(path) and not {"", ".", ".."} & set(parts) and parts[0] not in (OURS, ".flat")


def link_steps(folder: str, site: str, wanted: Mapping[str, Name] | None = None) -> Steps:
    """Returns what makes the public names agree with all sites' generations.

    Args:
        site: its names win over those of other sites.
        wanted: its names after the switch; those of its current generation where None.
    """
    sites = {
        s: read_names(folder, s, linked_number(folder, s, "current")) for s in sites_in(folder)
    }
    settled = wanted is None  # any site's value will do: the last one that was deployed won
    if wanted is not None:
        sites[site] = dict(wanted)
    merged: dict[str, tuple[str, Name]] = {}
    accepted: dict[str, set[Name]] = {}
    for owner in sorted(sites, key=lambda s: s == site):
        for path, name in sites[owner].items():
            merged[path] = (owner, name)
            accepted.setdefault(path, set()).add(name)
    owned = set(owned_paths(folder))
    known: dict[str, bool] = {}
    make, strange = {}, []
    for path, (owner, name) in merged.items():
        good = accepted[path] if settled else {name}
        if not _within(folder, os.path.dirname(path), known):
            strange.append(path)
        elif any(_stands(folder, path, candidate) for candidate in good):
            continue
        elif not os.path.lexists(os.path.join(folder, path)) or (
            path in owned and _is_ours(folder, path)
        ):
            make[path] = (owner, name)
        else:
            strange.append(path)
    gone = owned - set(merged)
    remove = {p for p in gone if _within(folder, os.path.dirname(p), known) and _is_ours(folder, p)}
    return Steps(
        owned=tuple(sorted((owned - gone - set(strange)) | remove | set(make))),
        make=make,
        remove=tuple(sorted(remove)),
        strange=tuple(sorted(strange)),
    )


def _within(folder: str, parent: str, known: dict[str, bool]) -> bool:
    """Whether ``parent`` is made of the tree's own folders, or may be: no link leads outside."""
    if not parent:
        return True
    if parent not in known:
        known[parent] = _within(folder, os.path.dirname(parent), known)
        try:
            is_folder = stat.S_ISDIR(os.lstat(os.path.join(folder, parent)).st_mode)
        except OSError:
            is_folder = True  # it can be made
        known[parent] = known[parent] and is_folder
    return known[parent]


def _is_ours(folder: str, path: str) -> bool:
    """Whether what stands at a path has the form that ssds gives it: others' may be there now."""
    place = os.path.join(folder, path)
    if os.path.islink(place):
        text = os.readlink(place)
        alias = path.startswith(f"{MULTIARCH}/") and path.count("/") == 1
        if alias:
            return "/" not in text
        return bool(_IMAGE_LINK.fullmatch(text) or _WRAPPER_LINK.fullmatch(text))
    if not os.path.isfile(place):
        return False
    digest = _file_digest(place)
    return any(
        os.path.isfile(os.path.join(folder, site_path(site), str(number), source))
        for source in (f"{MANIFESTS}/{digest}.json", f"{VIEW}/{digest}")
        for site in sites_in(folder)
        for number in generations(folder, site)
    )


def _stands(folder: str, path: str, name: Name) -> bool:
    place = os.path.join(folder, path)
    try:
        if name.target:
            return os.readlink(place) == name.target
        # A source's file is named by its digest's hex, and written whole.
        return (
            os.path.isfile(place)
            and not os.path.islink(place)
            and _file_digest(place) == os.path.basename(name.source).partition(".")[0]
        )
    except OSError:
        return False


def _file_digest(place: str) -> str:
    import hashlib

    with open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def links_stand(folder: str, site: str) -> bool:
    """Whether the site's public link and the images' public names are there."""
    link, text = public_link(site)
    place = os.path.join(folder, link)
    whole = os.path.islink(place) and os.readlink(place) == text
    return whole and link_steps(folder, site).empty
