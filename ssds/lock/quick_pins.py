"""Reads sound pins fast: the part of ``quick`` that release locks and the catalog's lock share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ssds.core.digest import Digest
from ssds.core.pins import (
    AdvisoryPin,
    BasePin,
    GitPlace,
    PackageSet,
    PinnedFile,
    PinnedPackage,
    PlatformPins,
    RecipePin,
    SharedPins,
    SourcePin,
)
from ssds.core.platform import Platform
from ssds.lock import parse_pins
from ssds.lock.model import LOCK_VERSION

_MOST = 1 << 62
_MOST_KNOWN = 1 << 14
_LIST = re.compile(rb'"packages": (\[[^\[\]]*\])')
NOTHING: dict[str, Any] = {}


class Doubt(Exception):
    """This text is for ``parse``."""


def form(pattern: str) -> Callable[[str], object]:
    """Returns a function that says whether a text has this form."""
    return re.compile(pattern).fullmatch


_are_sha256 = form(r"(?:sha256:[0-9a-f]{64}\n)*")
is_blake3 = form("blake3:[0-9a-f]{64}")
_is_hex = form("[0-9a-f]{64}")
_is_identity = form(parse_pins.IDENTITY)
_is_source = form(parse_pins.SOURCE)
_is_step = form(parse_pins.STEP)
_is_recipe = form(parse_pins.RECIPE)
_is_archive = form(parse_pins.ARCHIVE)
_is_git_id = form(parse_pins.GIT_ID)
_is_url = form(parse_pins.URL)
_is_file_name = form(r"(?!\.{1,2}$)[^/]{1,255}")
_is_path = form(r"(?:(?!\.{1,2}/)[^/]+/)*(?!\.{1,2}$)[^/]+")
_is_package = form(f"{parse_pins.PACKAGE}\n{parse_pins.ARCHITECTURE}\n{parse_pins.PACKAGE_VERSION}")
_is_usual_package = form(  # what a Debian package's line holds, in one look
    f"{parse_pins.PACKAGE}\n{parse_pins.ARCHITECTURE}\n{parse_pins.PACKAGE_VERSION}\n"
    f"{parse_pins.ARCHIVE}\n[0-9a-f]{{64}}\n"
    r"(?:(?!\.{1,2}/)[^/\n]+/)*(?!\.{1,2}$)[^/\n]{1,255}"
)
_is_build = form(parse_pins.BUILD)
_is_pinned_version = form(parse_pins.VERSION)
_PINS = frozenset(("base", "advisories", "sources", "packages", "recipes", "epoch"))
_FILE = frozenset(("sha256", "size", "archive", "path", "urls"))
_SOURCE = _FILE | {"request", "name", "epoch", "git"}
_GIT = frozenset(("commit", "tree", "folder", "empty_submodules"))
_PACKAGE = _FILE | {"name", "version", "architecture", "build", "file"}
_USUAL_PACKAGE = frozenset(("name", "version", "architecture", "sha256", "size", "archive", "path"))
_SHARED = frozenset(("lock_version", "bases", "advisories"))
_BASE = frozenset(("platforms", "current"))
_BASE_SECTION = frozenset(("request", "epoch", "packages", "diff_id"))
_ADVISORIES = frozenset(("sha256", "size", "path", "current"))
_SET = frozenset(("manager", "request", "packages", "epoch"))
_RECIPE = frozenset(("request", "version"))
_MANAGERS = frozenset(("apt", "pip", "conda"))


def sure(fits: object) -> None:
    """Raises Doubt where something is not as it should be."""
    if not fits:
        raise Doubt


def number(value: Any, least: int = 0) -> int:
    """Returns a whole number from ``least``."""
    sure(type(value) is int and least <= value < _MOST)
    found: int = value
    return found


def text_of(value: Any, fits: Callable[[str], object]) -> str:
    """Returns a text of some form."""
    sure(fits(value))  # a TypeError where it is no text
    text: str = value
    return text


def flag(value: Any) -> bool:
    """Returns a boolean."""
    sure(value is True or value is False)
    return value is True


def list_of(value: Any) -> list[Any]:
    """Returns a list."""
    sure(type(value) is list)
    found: list[Any] = value
    return found


def _request(top: dict[str, Any]) -> Digest:
    return Digest.made(text_of(top["request"], is_blake3))


class Known:
    """What many locks hold alike, read and made once: packages, and sets of them.

    Lists of packages are known by their text, which stands in a lock's text only where it is a
    value of its own; in its place a mark is left that no lock can hold. It remembers a bounded
    number of each.
    """

    def __init__(self) -> None:
        self.packages: dict[tuple[str, int], PinnedPackage] = {}
        self.sets: dict[tuple[str, str, int, int], PackageSet] = {}
        self._lists: dict[bytes, tuple[tuple[PinnedPackage, ...], int]] = {}

    def marked(self, data: bytes, reader: PinReader) -> bytes:
        """Returns the text of a lock with a mark for each plain list of packages.

        Raises:
            ValueError: and the like, where such a list is not sound.
        """
        for kept in (self.packages, self.sets, self._lists):
            if len(kept) > _MOST_KNOWN:
                kept.clear()

        def mark(match: re.Match[bytes]) -> bytes:
            text = match[1]
            found = self._lists.get(text)
            if found is None:
                before = reader.keys
                packages = reader.packages(json.loads(text.decode("ascii")))
                found = self._lists[text] = (packages, reader.keys - before)
                reader.keys = before
            reader.lists.append(found)
            return b'"packages": "\\u0000%d"' % (len(reader.lists) - 1)

        return _LIST.sub(mark, data)


class PinReader:
    """Reads one lock; ``keys`` counts the keys of all maps that it looked at.

    Attributes:
        lists: the lists of packages that a mark stands for, each with the number of its keys.
    """

    def __init__(self, known: Known) -> None:
        self.keys = 0
        self.known = known
        self.lists: list[tuple[tuple[PinnedPackage, ...], int]] = []
        self._digests: dict[str, Digest] = {}
        self._bare: dict[str, Digest] = {}

    def map(self, value: Any, known: frozenset[str]) -> dict[str, Any]:
        """Returns a map without unknown keys; who reads a missing one gets a KeyError."""
        sure(type(value) is dict and known.issuperset(value))
        return self.any_map(value)

    def any_map(self, value: Any) -> dict[str, Any]:
        """Returns a map with any keys."""
        sure(type(value) is dict)
        self.keys += len(value)
        found: dict[str, Any] = value
        return found

    def sha256(self, text: Any) -> Digest:
        """Returns a digest; the same ones stand in a lock again and again."""
        found = self._digests.get(text)
        if found is None:
            found = self._digests[text] = Digest.made(text)
        return found

    def check_digests(self) -> None:
        """Raises Doubt where a text that was taken for a digest is none; to be asked at the end."""
        texts = "\n".join((*self._digests, ""))  # a TypeError where one is no text
        sure(_are_sha256(texts))

    def bare_sha256(self, text: Any) -> Digest:
        """Returns the digest of a field that holds the 64 hex digits alone."""
        found = self._bare.get(text)
        if found is None:
            sure(_is_hex(text))
            found = self._bare[text] = Digest.made("sha256:" + text)
        return found

    def pins(self, value: Any) -> PlatformPins:
        """Returns the pins of one release on one platform."""
        top = self.map(value, _PINS)
        sources, packages, recipes = {}, {}, {}
        for name, item in self.any_map(top.get("sources", NOTHING)).items():
            sure(_is_source(name))
            sources[name] = self.source(item)
        for name, item in self.any_map(top.get("packages", NOTHING)).items():
            sure(_is_step(name))
            packages[name] = self.package_set(item)
        for name, item in self.any_map(top.get("recipes", NOTHING)).items():
            sure(_is_recipe(name))
            entry = self.map(item, _RECIPE)
            version = text_of(entry["version"], _is_pinned_version)
            recipes[name] = RecipePin(request=_request(entry), version=version)
        return PlatformPins(
            base=text_of(top["base"], _is_identity) if "base" in top else "",
            advisories=text_of(top["advisories"], _is_identity) if "advisories" in top else "",
            sources=sources,
            packages=packages,
            recipes=recipes,
            epoch=number(top["epoch"]) if "epoch" in top else 0,
        )

    def source(self, value: Any) -> SourcePin:
        """Returns one pinned source."""
        top = self.map(value, _SOURCE)
        return SourcePin(
            request=_request(top),
            file=self.file(top, text_of(top["name"], _is_file_name)),
            epoch=number(top["epoch"]) if "epoch" in top else 0,
            git=self.git(top["git"]) if "git" in top else None,
        )

    def git(self, value: Any) -> GitPlace:
        """Returns which files of a repository a source is made from."""
        top = self.map(value, _GIT)
        return GitPlace(
            commit=text_of(top["commit"], _is_git_id),
            tree=text_of(top["tree"], _is_git_id),
            folder=text_of(top["folder"], _is_path) if "folder" in top else "",
            empty_submodules="empty_submodules" in top and flag(top["empty_submodules"]),
        )

    def file(self, top: dict[str, Any], name: str) -> PinnedFile:
        """Returns the file of a source or package."""
        return PinnedFile(
            name=name,
            digest=self.bare_sha256(top["sha256"]),
            size_bytes=number(top["size"]) if "size" in top else 0,
            archive=text_of(top["archive"], _is_archive) if "archive" in top else "",
            path=text_of(top["path"], _is_path) if "path" in top else "",
            urls=tuple([text_of(u, _is_url) for u in list_of(top["urls"])])
            if "urls" in top
            else (),
        )

    def package_set(self, value: Any) -> PackageSet:
        """Returns one package set, sorted."""
        top = self.map(value, _SET)
        items = top["packages"]
        if type(items) is str and items[:1] == "\0":
            packages, keys = self.lists[int(items[1:])]
            self.keys += keys
        else:
            packages = self.packages(items)
        manager, request = top["manager"], top["request"]
        epoch = number(top["epoch"]) if "epoch" in top else 0
        place = (manager, request, id(packages), epoch)
        found = self.known.sets.get(place)
        if found is None or found.packages is not packages:
            sure(manager in _MANAGERS)
            found = self.known.sets[place] = PackageSet(
                manager=manager, request=_request(top), packages=packages, epoch=epoch
            )
        return found

    def packages(self, value: Any) -> tuple[PinnedPackage, ...]:
        """Returns the packages of a list, sorted."""
        found = {}
        items = list_of(value)
        for item in items:
            package = self.package(item)
            found[package.name, package.architecture, package.version] = package
        sure(len(found) == len(items))
        return tuple([found[key] for key in sorted(found)])

    def package(self, item: Any) -> PinnedPackage:
        """Returns one package of a set."""
        entry = self.map(item, _PACKAGE)
        if entry.keys() == _USUAL_PACKAGE:
            return self._usual_package(**entry)
        name, version, architecture = entry["name"], entry["version"], entry["architecture"]
        names = (name, architecture, version)  # joined: a number among them is a TypeError
        sure(_is_package("\n".join(names)))
        file_name = entry["file"] if "file" in entry else entry["path"].rpartition("/")[2]
        file = self.file(entry, text_of(file_name, _is_file_name))
        build = text_of(entry["build"], _is_build) if "build" in entry else ""
        return PinnedPackage(
            name=name, version=version, architecture=architecture, file=file, build=build
        )

    def _usual_package(
        self,
        *,
        name: str,
        version: str,
        architecture: str,
        sha256: str,
        size: int,
        archive: str,
        path: str,
    ) -> PinnedPackage:
        texts = (name, architecture, version, archive, sha256, path)
        place = ("\n".join(texts), number(size))
        found = self.known.packages.get(place)
        if found is None:
            sure(_is_usual_package(place[0]))
            file = PinnedFile(
                name=path.rpartition("/")[2],
                digest=Digest.made("sha256:" + sha256),
                size_bytes=size,
                archive=archive,
                path=path,
            )
            found = self.known.packages[place] = PinnedPackage(
                name=name, version=version, architecture=architecture, file=file
            )
        return found

    # -- the catalog's lock --------------------------------------------------------------------

    def shared(self, value: Any) -> SharedPins:
        """Returns the shared pins of a catalog lock."""
        top = self.map(value, _SHARED)
        sure(number(top["lock_version"]) == LOCK_VERSION)
        current: dict[str, str] = {}
        bases: dict[tuple[str, str], BasePin] = {}
        for name, item in self.any_map(top.get("bases", NOTHING)).items():
            entry = self.map(item, _BASE)
            self.note_current(entry, name, "", current)
            for text, section in self.any_map(entry["platforms"]).items():
                bases[name, Platform(text)] = self.base(name, section)
        advisories = {}
        for name, item in self.any_map(top.get("advisories", NOTHING)).items():
            entry = self.map(item, _ADVISORIES)
            self.note_current(entry, name, "advisories/", current)
            short, _, date = name.rpartition("@")
            advisories[name] = AdvisoryPin(
                name=short,
                date=date,
                digest=self.bare_sha256(entry["sha256"]),
                size_bytes=number(entry["size"]),
                path=text_of(entry["path"], _is_path),
            )
        return SharedPins(bases=bases, advisories=advisories, current=current)

    def note_current(
        self, entry: dict[str, Any], name: str, prefix: str, current: dict[str, str]
    ) -> None:
        """Keeps ``name`` where it is the current one of its kind."""
        sure(_is_identity(name))
        if "current" in entry and flag(entry["current"]):
            short = prefix + name.rpartition("@")[0]
            sure(short not in current)
            current[short] = name

    def base(self, identity: str, value: Any) -> BasePin:
        """Returns a base on one platform."""
        name, _, date = identity.rpartition("@")
        if "image" in value:
            from ssds.lock.images import quick_image_base  # few catalogs have one

            return quick_image_base(self, name, date, value)
        top = self.map(value, _BASE_SECTION)
        return BasePin(
            name=name,
            date=date,
            request=_request(top),
            packages=self.package_set(top["packages"]),
            epoch=number(top["epoch"]),
            diff_id=self.sha256(top["diff_id"]) if "diff_id" in top else None,
        )
