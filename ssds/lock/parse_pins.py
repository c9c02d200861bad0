"""Pins from parsed JSON: sources, package sets, bases and advisory sets."""

from __future__ import annotations

from collections.abc import Mapping

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
from ssds.lock.check import MISSING, Checker
from ssds.lock.marks import Path

IDENTITY = r"[a-z0-9\[][A-Za-z0-9._:/@\[\]-]*@[0-9A-Za-z.-]+"
STEP = r"[a-z]+(?:/[0-9]{1,4})?"
SOURCE = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
PACKAGE = r"[A-Za-z0-9_][A-Za-z0-9+._-]*"
PACKAGE_VERSION = r"[A-Za-z0-9][A-Za-z0-9+._~:!-]*"
BUILD = r"[A-Za-z0-9_.+]+"
ARCHITECTURE = r"[a-z0-9_.-]+"
ARCHIVE = r"[a-z][a-z0-9-]*"
RECIPE = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}"
GIT_ID = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
URL = r"(?:https?|ftp)://[^\s/@]+(?:/\S*)?"


def platform_pins(c: Checker, value: object, path: Path) -> PlatformPins:
    """Returns the pins of one release on one platform."""
    top = c.map(value, path, optional="base advisories sources packages recipes epoch")
    sources, sets = {}, {}
    for name, item in c.any_map(top.get("sources", {}), (*path, "sources")).items():
        c.text(name, (*path, "sources", name), pattern=SOURCE)
        sources[name] = parse_source(c, item, (*path, "sources", name))
    for name, item in c.any_map(top.get("packages", {}), (*path, "packages")).items():
        c.text(name, (*path, "packages", name), pattern=STEP)
        sets[name] = package_set(c, item, (*path, "packages", name))
    recipes = {
        c.text(name, (*path, "recipes", name), pattern=RECIPE): _recipe(
            c, item, (*path, "recipes", name)
        )
        for name, item in c.any_map(top.get("recipes", {}), (*path, "recipes")).items()
    }
    texts = {
        part: c.text(top[part], (*path, part), pattern=IDENTITY) if part in top else ""
        for part in ("base", "advisories")
    }
    return PlatformPins(
        base=texts["base"],
        advisories=texts["advisories"],
        sources=sources,
        packages=sets,
        recipes=recipes,
        epoch=c.number(top.get("epoch", 0), (*path, "epoch")),
    )


def _recipe(c: Checker, value: object, path: Path) -> RecipePin:
    top = c.map(value, path, required="request version")
    return RecipePin(
        request=c.digest(top.get("request", MISSING), (*path, "request"), "blake3"),
        version=c.text(top.get("version", MISSING), (*path, "version"), pattern=VERSION),
    )


def parse_source(c: Checker, value: object, path: Path) -> SourcePin:
    """Returns the pin of a source."""
    top = c.map(
        value, path, required="request name sha256", optional="epoch size archive path urls git"
    )
    return SourcePin(
        request=c.digest(top.get("request", MISSING), (*path, "request"), "blake3"),
        file=_file(c, top, path, c.file_name(top.get("name", MISSING), (*path, "name"))),
        epoch=c.number(top.get("epoch", 0), (*path, "epoch")),
        git=_git(c, top["git"], (*path, "git")) if "git" in top else None,
    )


def _git(c: Checker, value: object, path: Path) -> GitPlace:
    top = c.map(value, path, required="commit tree", optional="folder empty_submodules")
    return GitPlace(
        commit=c.text(top.get("commit", MISSING), (*path, "commit"), pattern=GIT_ID),
        tree=c.text(top.get("tree", MISSING), (*path, "tree"), pattern=GIT_ID),
        folder=c.relative_path(top["folder"], (*path, "folder")) if "folder" in top else "",
        empty_submodules=c.flag(top.get("empty_submodules", False), (*path, "empty_submodules")),
    )


def _file(c: Checker, top: Mapping[str, object], path: Path, name: str) -> PinnedFile:
    archive = location = ""
    if "archive" in top:
        archive = c.text(top["archive"], (*path, "archive"), pattern=ARCHIVE)
    if "path" in top:
        location = c.relative_path(top["path"], (*path, "path"))
    at = (*path, "urls")
    return PinnedFile(
        name=name,
        digest=c.bare_sha256(top.get("sha256", MISSING), (*path, "sha256")),
        size_bytes=c.number(top.get("size", 0), (*path, "size")),
        archive=archive,
        path=location,
        urls=tuple(c.text(v, p, pattern=URL) for p, v in c.items(top.get("urls", []), at)),
    )


def package_set(c: Checker, value: object, path: Path) -> PackageSet:
    """Returns one package set, sorted; a package that appears twice is a fault."""
    top = c.map(value, path, required="manager request packages", optional="epoch")
    packages: dict[tuple[str, str, str], PinnedPackage] = {}
    for at, item in c.items(top.get("packages", MISSING), (*path, "packages")):
        entry = c.map(
            item,
            at,
            required="name version architecture sha256",
            optional="build file size archive path urls",
        )
        package = _package(c, entry, at)
        key = (package.name, package.architecture, package.version)
        if key in packages:
            c.fault("L028", at, package=" ".join(key))
        packages[key] = package
    return PackageSet(
        manager=c.choice(top.get("manager", MISSING), (*path, "manager"), ("apt", "pip", "conda")),
        request=c.digest(top.get("request", MISSING), (*path, "request"), "blake3"),
        packages=tuple(packages[key] for key in sorted(packages)),
        epoch=c.number(top.get("epoch", 0), (*path, "epoch")),
    )


def _package(c: Checker, entry: Mapping[str, object], at: Path) -> PinnedPackage:
    if "file" in entry:
        file_name = c.file_name(entry["file"], (*at, "file"))
    else:
        base = str(entry.get("path", "")).rpartition("/")[2]
        file_name = c.file_name(base or MISSING, (*at, "file"))
        if not base:
            c.fault("L012", at, missing="file")
    return PinnedPackage(
        name=c.text(entry.get("name", MISSING), (*at, "name"), pattern=PACKAGE),
        version=c.text(entry.get("version", MISSING), (*at, "version"), pattern=PACKAGE_VERSION),
        architecture=c.text(
            entry.get("architecture", MISSING), (*at, "architecture"), pattern=ARCHITECTURE
        ),
        file=_file(c, entry, at, file_name),
        build=c.text(entry["build"], (*at, "build"), pattern=BUILD) if "build" in entry else "",
    )


def shared_pins(c: Checker, data: object) -> SharedPins:
    """Returns the shared pins of a catalog lock."""
    top = c.map(data, (), required="lock_version", optional="bases advisories")
    bases: dict[tuple[str, str], BasePin] = {}
    advisories: dict[str, AdvisoryPin] = {}
    current: dict[str, str] = {}
    for name, value in c.any_map(top.get("bases", {}), ("bases",)).items():
        path = ("bases", name)
        entry = c.map(value, path, required="platforms", optional="current")
        short = _identity(c, name, path)
        _current(c, entry, path, current, short)
        at = (*path, "platforms")
        for text, section in c.any_map(entry.get("platforms", MISSING), at).items():
            platform = c.platform(text, (*at, text))
            bases[name, platform] = _base(c, name, section, (*at, text))
    for name, value in c.any_map(top.get("advisories", {}), ("advisories",)).items():
        path = ("advisories", name)
        entry = c.map(value, path, required="sha256 size path", optional="current")
        short = _identity(c, name, path)
        _current(c, entry, path, current, f"advisories/{short}")
        advisories[name] = AdvisoryPin(
            name=short,
            date=name.rpartition("@")[2],
            digest=c.bare_sha256(entry.get("sha256", MISSING), (*path, "sha256")),
            size_bytes=c.number(entry.get("size", MISSING), (*path, "size")),
            path=c.relative_path(entry.get("path", MISSING), (*path, "path")),
        )
    return SharedPins(bases=bases, advisories=advisories, current=current)


def _identity(c: Checker, name: str, path: Path) -> str:
    return c.text(name, path, pattern=IDENTITY).rpartition("@")[0]


def _current(
    c: Checker,
    entry: Mapping[str, object],
    path: Path,
    current: dict[str, str],
    short: str,
) -> None:
    if c.flag(entry.get("current", False), (*path, "current")):
        if short in current:
            c.fault("L014", (*path, "current"), found=f"{current[short]} is current too")
        current[short] = str(path[-1])


def _base(c: Checker, identity: str, value: object, path: Path) -> BasePin:
    name, _, date = identity.rpartition("@")
    if isinstance(value, dict) and "image" in value:
        from ssds.lock.images import parse_image_base  # few catalogs have one

        return parse_image_base(c, name, date, value, path)
    top = c.map(value, path, required="request epoch packages", optional="diff_id")
    diff_id = c.digest(top["diff_id"], (*path, "diff_id")) if "diff_id" in top else None
    return BasePin(
        name=name,
        date=date,
        request=c.digest(top.get("request", MISSING), (*path, "request"), "blake3"),
        packages=package_set(c, top.get("packages", MISSING), (*path, "packages")),
        epoch=c.number(top.get("epoch", MISSING), (*path, "epoch")),
        diff_id=diff_id,
    )
