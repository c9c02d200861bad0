"""Reads a sound lock fast; gives up on any doubt, and ``parse`` then says what is wrong.

It takes nothing that ``parse`` refuses and gives the same values: a property test holds both to
one opinion. It may give up on a lock that is sound (escapes, letters beyond ASCII, adopted
releases): that costs time only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.model import FAIL, OUTPUTS, PASS, Claim
from ssds.core.pins import (
    PackageSet,
    PinnedFile,
    PinnedPackage,
    PlatformPins,
    RecipePin,
    SourcePin,
)
from ssds.core.platform import Platform
from ssds.lock import parse, parse_pins
from ssds.lock.check import COMMAND, Checker
from ssds.lock.model import (
    DEFAULT_VARIANT,
    IDENTIFIERS,
    LATEST_KINDS,
    LOCK_VERSION,
    RELEASE_KINDS,
    IndexRecord,
    LayerRecord,
    Lock,
    PlatformLock,
    ReleaseHalf,
    SizedBlob,
    VariantLock,
)

_MOST = 1 << 62
_LONGEST_LINE = 4096  # no text in it is longer then


class _Doubt(Exception):
    """This text is for ``parse``."""


def quick_lock(data: bytes) -> Lock | None:
    """Returns the lock in ``data``, or None where ``parse`` has to look at it."""
    if not data.isascii() or b"\\" in data or b"\x7f" in data:
        return None
    if max(map(len, data.split(b"\n"))) > _LONGEST_LINE:
        return None
    reader = _Reader()
    try:
        lock = reader.lock(json.loads(data.decode("ascii")))
    except (_Doubt, ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return None
    # Without escapes each key ends in these two characters and nothing else does: a key that
    # stands twice in a map, or one that was not looked at, makes the numbers differ.
    return lock if reader.keys == data.count(b'":') else None


def _form(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


_is_sha256 = _form("sha256:[0-9a-f]{64}")
_is_blake3 = _form("blake3:[0-9a-f]{64}")
_is_hex = _form("[0-9a-f]{64}")
_is_name = _form(parse.NAME)
_is_version = _form(parse.VERSION)
_is_variant = _form(parse.VARIANT)
_is_output = _form(parse.OUTPUT)
_is_mode = _form(parse.MODE)
_is_identity = _form(parse_pins.IDENTITY)
_is_source = _form(parse_pins.SOURCE)
_is_step = _form(parse_pins.STEP)
_is_recipe = _form(parse_pins.RECIPE)
_is_archive = _form(parse_pins.ARCHIVE)
_is_url = _form(parse_pins.URL)
_is_file_name = _form(r"(?!\.{1,2}$)[^/]{1,255}")
_is_path = _form(r"(?:(?!\.{1,2}/)[^/]+/)*(?!\.{1,2}$)[^/]+")
_is_package = _form(
    f"{parse_pins.PACKAGE}\n{parse_pins.ARCHITECTURE}\n{parse_pins.PACKAGE_VERSION}"
)
_is_pinned_version = _form(parse_pins.VERSION)
_is_command = _form(COMMAND)
_is_command_path = _form(rf"/(?:(?!\.{{1,2}}/)[^/]+/)*{COMMAND}")

_TOP = frozenset(("lock_version", "name", "version", "variants"))
_VARIANT = frozenset(
    ("origin", "platforms", "revision", "superseded_revision", "index", "metadata", "identifiers")
)
_SECTION = frozenset(("pins", "release", "latest"))
_PINS = frozenset(("base", "advisories", "sources", "packages", "recipes", "epoch"))
_FILE = frozenset(("sha256", "size", "archive", "path", "urls"))
_SOURCE = _FILE | {"request", "name", "epoch"}
_PACKAGE = _FILE | {"name", "version", "architecture", "file"}
_SET = frozenset(("manager", "request", "packages", "epoch"))
_CLAIM = frozenset(("key", "outputs", "verdict", "mode", "emulated", "impure"))
_INDEX = frozenset(("digest", "size", "key", "platforms"))
_SIZED = frozenset(("digest", "size"))
_LAYER = frozenset(("digest", "size", "diff_id"))
_RECIPE = frozenset(("request", "version"))
_LATEST = frozenset(LATEST_KINDS)
_ACTIONS = frozenset(RELEASE_KINDS)
_SAID = frozenset(("", "pass", "fail"))
_HALF = frozenset(("actions", "manifest", "config", "layers", "commands"))
_IDENTIFIERS = frozenset(IDENTIFIERS)
_MANAGERS = frozenset(("apt", "pip", "conda"))
_VERDICTS = {"pass": sha256_of(PASS), "fail": sha256_of(FAIL)}
_NOTHING: dict[str, Any] = {}


def _sure(fits: object) -> None:
    if not fits:
        raise _Doubt


def _number(value: Any, least: int = 0) -> int:
    _sure(type(value) is int and least <= value < _MOST)
    number: int = value
    return number


def _text(value: Any, fits: Callable[[str], object]) -> str:
    _sure(fits(value))  # a TypeError where it is no text
    text: str = value
    return text


def _flag(value: Any) -> bool:
    _sure(value is True or value is False)
    return value is True


def _list(value: Any) -> list[Any]:
    _sure(type(value) is list)
    found: list[Any] = value
    return found


def _key(text: Any) -> ActionKey:
    return ActionKey.made(_text(text, _is_blake3))


def _request(top: dict[str, Any]) -> Digest:
    return Digest.made(_text(top["request"], _is_blake3))


def _commands(texts: list[Any]) -> tuple[str, ...]:
    for text in texts:
        _sure(_is_command(text) or _is_command_path(text))
    _sure(len({text.rpartition("/")[2] for text in texts}) == len(texts))
    return tuple(sorted(texts))


class _Reader:
    """Reads one lock; ``keys`` counts the keys of all maps that it looked at."""

    def __init__(self) -> None:
        self.keys = 0
        self._digests: dict[str, Digest] = {}
        self._bare: dict[str, Digest] = {}

    def map(self, value: Any, known: frozenset[str]) -> dict[str, Any]:
        """Returns a map without unknown keys; who reads a missing one gets a KeyError."""
        _sure(type(value) is dict and known.issuperset(value))
        return self.any_map(value)

    def any_map(self, value: Any) -> dict[str, Any]:
        _sure(type(value) is dict)
        self.keys += len(value)
        found: dict[str, Any] = value
        return found

    def sha256(self, text: Any) -> Digest:
        """Returns a digest; the same ones stand in a lock again and again."""
        found = self._digests.get(text)
        if found is None:
            _sure(_is_sha256(text))
            found = self._digests[text] = Digest.made(text)
        return found

    def bare_sha256(self, text: Any) -> Digest:
        found = self._bare.get(text)
        if found is None:
            _sure(_is_hex(text))
            found = self._bare[text] = Digest.made("sha256:" + text)
        return found

    def lock(self, value: Any) -> Lock:
        top = self.map(value, _TOP)
        _sure(_number(top["lock_version"]) == LOCK_VERSION)
        variants = {}
        for name, entry in self.any_map(top["variants"]).items():
            _sure(_is_variant(name))
            variants["" if name == DEFAULT_VARIANT else name] = self.variant(entry)
        name, version = _text(top["name"], _is_name), _text(top["version"], _is_version)
        return Lock(name=name, version=version, variants=variants)

    def variant(self, value: Any) -> VariantLock:
        top = self.map(value, _VARIANT)
        _sure(top["origin"] == "built")
        platforms = {
            Platform(name): self.section(entry)
            for name, entry in self.any_map(top["platforms"]).items()
        }
        identifiers = self.map(top["identifiers"], _IDENTIFIERS) if "identifiers" in top else {}
        _sure(all(type(text) is str and text for text in identifiers.values()))
        revision = _number(top["revision"]) if "revision" in top else 0
        index = self.index(top["index"]) if "index" in top else None
        _sure((index is None) == (revision == 0))
        for platform in index.platforms if index else ():
            _sure(platform in platforms and platforms[platform].release is not None)
        older = top.get("superseded_revision")
        return VariantLock(
            revision=revision,
            superseded_revision=0 if older is None else _number(older),
            index=index,
            metadata=self.claim("metadata", top["metadata"]) if "metadata" in top else None,
            identifiers=identifiers,
            platforms=platforms,
        )

    def index(self, value: Any) -> IndexRecord:
        top = self.map(value, _INDEX)
        return IndexRecord(
            digest=self.sha256(top["digest"]),
            size_bytes=_number(top["size"], 1),
            key=_key(top["key"]),
            platforms={
                Platform(name): self.sha256(digest)
                for name, digest in self.any_map(top["platforms"]).items()
            },
        )

    def section(self, value: Any) -> PlatformLock:
        top = self.map(value, _SECTION)
        latest = self.map(top.get("latest", _NOTHING), _LATEST)
        return PlatformLock(
            pins=self.pins(top.get("pins", _NOTHING)),
            release=self.half(top["release"]) if "release" in top else None,
            latest={kind: self.claim(kind, entry) for kind, entry in latest.items()},
        )

    def claim(self, kind: str, value: Any) -> Claim:
        top = self.map(value, _CLAIM)
        outputs = {
            _text(name, _is_output): self.sha256(digest)
            for name, digest in self.any_map(top["outputs"]).items()
        }
        verdict = top.get("verdict", "")
        _sure(verdict in _SAID)
        for name in OUTPUTS[kind]:
            _sure(name in outputs and (name != "verdict" or outputs[name] == _VERDICTS[verdict]))
        return Claim(
            key=_key(top["key"]),
            kind=kind,
            outputs=outputs,
            verdict=verdict,
            mode=_text(top["mode"], _is_mode) if "mode" in top else "",
            emulated="emulated" in top and _flag(top["emulated"]),
            impure="impure" in top and _flag(top["impure"]),
            origin="lock",
        )

    def half(self, value: Any) -> ReleaseHalf:
        top = self.map(value, _HALF)
        actions = self.map(top["actions"], _ACTIONS)
        half = ReleaseHalf(
            actions={kind: self.claim(kind, entry) for kind, entry in actions.items()},
            manifest=self.sized(top["manifest"]),
            config=self.sized(top["config"]),
            layers=tuple([self.layer(item) for item in _list(top["layers"])]),
            commands=_commands(_list(top["commands"])) if "commands" in top else (),
        )
        checker = Checker()
        parse.fits(checker, half, ())
        _sure(not checker.faults)
        return half

    def sized(self, value: Any) -> SizedBlob:
        top = self.map(value, _SIZED)
        return SizedBlob(digest=self.sha256(top["digest"]), size_bytes=_number(top["size"], 1))

    def layer(self, value: Any) -> LayerRecord:
        top = self.map(value, _LAYER)
        return LayerRecord(
            digest=self.sha256(top["digest"]),
            size_bytes=_number(top["size"], 1),
            diff_id=self.sha256(top["diff_id"]),
        )

    # -- pins ----------------------------------------------------------------------------------

    def pins(self, value: Any) -> PlatformPins:
        top = self.map(value, _PINS)
        sources, packages, recipes = {}, {}, {}
        for name, item in self.any_map(top.get("sources", _NOTHING)).items():
            _sure(_is_source(name))
            sources[name] = self.source(item)
        for name, item in self.any_map(top.get("packages", _NOTHING)).items():
            _sure(_is_step(name))
            packages[name] = self.package_set(item)
        for name, item in self.any_map(top.get("recipes", _NOTHING)).items():
            _sure(_is_recipe(name))
            entry = self.map(item, _RECIPE)
            version = _text(entry["version"], _is_pinned_version)
            recipes[name] = RecipePin(request=_request(entry), version=version)
        return PlatformPins(
            base=_text(top["base"], _is_identity) if "base" in top else "",
            advisories=_text(top["advisories"], _is_identity) if "advisories" in top else "",
            sources=sources,
            packages=packages,
            recipes=recipes,
            epoch=_number(top["epoch"]) if "epoch" in top else 0,
        )

    def source(self, value: Any) -> SourcePin:
        top = self.map(value, _SOURCE)
        return SourcePin(
            request=_request(top),
            file=self.file(top, _text(top["name"], _is_file_name)),
            epoch=_number(top["epoch"]) if "epoch" in top else 0,
        )

    def file(self, top: dict[str, Any], name: str) -> PinnedFile:
        return PinnedFile(
            name=name,
            digest=self.bare_sha256(top["sha256"]),
            size_bytes=_number(top["size"]) if "size" in top else 0,
            archive=_text(top["archive"], _is_archive) if "archive" in top else "",
            path=_text(top["path"], _is_path) if "path" in top else "",
            urls=tuple([_text(u, _is_url) for u in _list(top["urls"])]) if "urls" in top else (),
        )

    def package_set(self, value: Any) -> PackageSet:
        top = self.map(value, _SET)
        items = _list(top["packages"])
        found: dict[tuple[str, str, str], PinnedPackage] = {}
        for item in items:
            entry = self.map(item, _PACKAGE)
            key = (entry["name"], entry["architecture"], entry["version"])
            _sure(_is_package("\n".join(key)))
            file_name = entry["file"] if "file" in entry else entry["path"].rpartition("/")[2]
            found[key] = PinnedPackage(
                name=key[0],
                version=key[2],
                architecture=key[1],
                file=self.file(entry, _text(file_name, _is_file_name)),
            )
        _sure(len(found) == len(items) and top["manager"] in _MANAGERS)
        return PackageSet(
            manager=top["manager"],
            request=_request(top),
            packages=tuple([found[key] for key in sorted(found)]),
            epoch=_number(top["epoch"]) if "epoch" in top else 0,
        )
