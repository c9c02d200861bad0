"""Reads a sound lock fast; gives up on any doubt, and ``parse`` then says what is wrong.

It takes nothing that ``parse`` refuses and gives the same values: a property test holds both to
one opinion. It may give up on a lock that is sound (escapes, letters beyond ASCII, adopted
releases): that costs time only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from ssds.core.digest import ActionKey, sha256_of
from ssds.core.model import FAIL, OUTPUTS, PASS, Claim
from ssds.core.platform import Platform
from ssds.lock import parse
from ssds.lock.check import COMMAND, Checker
from ssds.lock.model import (
    DEFAULT_VARIANT,
    IDENTIFIERS,
    LATEST_KINDS,
    LOCK_VERSION,
    RELEASE_KINDS,
    CatalogLock,
    IndexRecord,
    LayerRecord,
    Lock,
    PlatformLock,
    ReleaseHalf,
    SifRecord,
    SizedBlob,
    VariantLock,
    Withdrawal,
)
from ssds.lock.quick_pins import (
    NOTHING,
    Doubt,
    Known,
    PinReader,
    flag,
    form,
    is_blake3,
    list_of,
    number,
    sure,
    text_of,
)

_LONGEST_LINE = 4096  # no text in it is longer then
R = TypeVar("R", bound=PinReader)
T = TypeVar("T")
_UNSOUND = (
    Doubt, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


def quick_lock(data: bytes, known: Known | None = None) -> Lock | None:
    """Returns the lock in ``data``, or None where ``parse`` has to look at it.

    ``known`` keeps what this lock has in common with others.
    """
    return _quick(data, _LockReader(Known() if known is None else known), _LockReader.lock)


def quick_catalog_lock(data: bytes) -> CatalogLock | None:
    """Returns the catalog lock in ``data``, or None where ``parse`` has to look at it."""
    pins = _quick(data, PinReader(Known()), PinReader.shared)
    return CatalogLock(pins=pins) if pins is not None else None


def _quick(data: bytes, reader: R, read: Callable[[R, Any], T]) -> T | None:
    if not data.isascii() or b"\\" in data or b"\x7f" in data:
        return None
    if max(map(len, data.split(b"\n"))) > _LONGEST_LINE:
        return None
    try:
        marked = reader.known.marked(data, reader)
        found = read(reader, json.loads(marked.decode("ascii")))
        reader.check_digests()
    except _UNSOUND:
        return None
    # Without escapes each key ends in these two characters and nothing else does: a key that
    # stands twice in a map, or one that was not looked at, makes the numbers differ.
    return found if reader.keys == data.count(b'":') else None


_is_name = form(parse.NAME)
_is_version = form(parse.VERSION)
_is_variant = form(parse.VARIANT)
_is_output = form(parse.OUTPUT)
_is_why = form(parse.WHY)
_is_day = form(parse.DAY)
_is_module = form(parse.MODULE)
_is_mode = form(parse.MODE)
_is_command = form(COMMAND)
_is_command_path = form(rf"/(?:(?!\.{{1,2}}/)[^/]+/)*{COMMAND}")

_TOP = frozenset(("lock_version", "name", "version", "variants"))
_VARIANT = frozenset(
    (
        *("origin", "platforms", "revision", "superseded_revision", "index", "metadata"),
        *("identifiers", "withdrawn"),
    )
)
_WITHDRAWN = frozenset(("why", "since", "instead"))
_SECTION = frozenset(("pins", "release", "latest"))
_CLAIM = frozenset(("key", "outputs", "verdict", "mode", "emulated", "impure"))
_INDEX = frozenset(("digest", "size", "key", "platforms"))
_SIZED = frozenset(("digest", "size"))
_LAYER = frozenset(("digest", "size", "diff_id"))
_LATEST = frozenset(LATEST_KINDS)
_ACTIONS = frozenset(RELEASE_KINDS)
_SAID = frozenset(("", "pass", "fail"))
_HALF = frozenset(("actions", "manifest", "config", "layers", "commands", "found", "sif"))
_SIF = frozenset(("file", "manifest"))
_IDENTIFIERS = frozenset(IDENTIFIERS)
_VERDICTS = {"pass": sha256_of(PASS), "fail": sha256_of(FAIL)}


def _key(text: Any) -> ActionKey:
    return ActionKey.made(text_of(text, is_blake3))


def _commands(texts: list[Any]) -> tuple[str, ...]:
    for text in texts:
        sure(_is_command(text) or _is_command_path(text))
    sure(len({text.rpartition("/")[2] for text in texts}) == len(texts))
    return tuple(sorted(texts))


class _LockReader(PinReader):
    """Reads one release lock."""

    def lock(self, value: Any) -> Lock:
        top = self.map(value, _TOP)
        sure(number(top["lock_version"]) == LOCK_VERSION)
        variants = {}
        for name, entry in self.any_map(top["variants"]).items():
            sure(_is_variant(name))
            variants["" if name == DEFAULT_VARIANT else name] = self.variant(entry)
        name, version = text_of(top["name"], _is_name), text_of(top["version"], _is_version)
        return Lock(name=name, version=version, variants=variants)

    def variant(self, value: Any) -> VariantLock:
        top = self.map(value, _VARIANT)
        sure(top["origin"] == "built")
        platforms = {
            Platform(name): self.section(entry)
            for name, entry in self.any_map(top["platforms"]).items()
        }
        identifiers = self.map(top["identifiers"], _IDENTIFIERS) if "identifiers" in top else {}
        sure(all(type(text) is str and text for text in identifiers.values()))
        revision = number(top["revision"]) if "revision" in top else 0
        index = self.index(top["index"]) if "index" in top else None
        sure((index is None) == (revision == 0))
        for platform in index.platforms if index else ():
            sure(platform in platforms and platforms[platform].release is not None)
        older = top.get("superseded_revision")
        return VariantLock(
            revision=revision,
            superseded_revision=0 if older is None else number(older),
            index=index,
            metadata=self.claim("metadata", top["metadata"]) if "metadata" in top else None,
            identifiers=identifiers,
            platforms=platforms,
            withdrawn=self.withdrawn(top["withdrawn"]) if "withdrawn" in top else None,
        )

    def withdrawn(self, value: Any) -> Withdrawal:
        top = self.map(value, _WITHDRAWN)
        return Withdrawal(
            why=text_of(top["why"], _is_why),
            since=text_of(top["since"], _is_day),
            instead=text_of(top["instead"], _is_module) if "instead" in top else "",
        )

    def index(self, value: Any) -> IndexRecord:
        top = self.map(value, _INDEX)
        return IndexRecord(
            digest=self.sha256(top["digest"]),
            size_bytes=number(top["size"], 1),
            key=_key(top["key"]),
            platforms={
                Platform(name): self.sha256(digest)
                for name, digest in self.any_map(top["platforms"]).items()
            },
        )

    def section(self, value: Any) -> PlatformLock:
        top = self.map(value, _SECTION)
        latest = self.map(top.get("latest", NOTHING), _LATEST)
        return PlatformLock(
            pins=self.pins(top.get("pins", NOTHING)),
            release=self.half(top["release"]) if "release" in top else None,
            latest={kind: self.claim(kind, entry) for kind, entry in latest.items()},
        )

    def claim(self, kind: str, value: Any) -> Claim:
        top = self.map(value, _CLAIM)
        outputs = {
            text_of(name, _is_output): self.sha256(digest)
            for name, digest in self.any_map(top["outputs"]).items()
        }
        verdict = top.get("verdict", "")
        sure(verdict in _SAID)
        for name in OUTPUTS[kind]:
            sure(name in outputs and (name != "verdict" or outputs[name] == _VERDICTS[verdict]))
        return Claim(
            key=_key(top["key"]),
            kind=kind,
            outputs=outputs,
            verdict=verdict,
            mode=text_of(top["mode"], _is_mode) if "mode" in top else "",
            emulated="emulated" in top and flag(top["emulated"]),
            impure="impure" in top and flag(top["impure"]),
            origin="lock",
        )

    def half(self, value: Any) -> ReleaseHalf:
        top = self.map(value, _HALF)
        actions = self.map(top["actions"], _ACTIONS)
        half = ReleaseHalf(
            actions={kind: self.claim(kind, entry) for kind, entry in actions.items()},
            manifest=self.sized(top["manifest"]),
            config=self.sized(top["config"]),
            layers=tuple([self.layer(item) for item in list_of(top["layers"])]),
            commands=_commands(list_of(top["commands"])) if "commands" in top else (),
            found=_commands(list_of(top["found"])) if "found" in top else (),
            sif=self.sif(top["sif"]) if "sif" in top else None,
        )
        checker = Checker()
        parse.fits(checker, half, ())
        sure(not checker.faults)
        return half

    def sif(self, value: Any) -> SifRecord:
        top = self.map(value, _SIF)
        return SifRecord(file=self.sized(top["file"]), manifest=self.sized(top["manifest"]))

    def sized(self, value: Any) -> SizedBlob:
        top = self.map(value, _SIZED)
        return SizedBlob(digest=self.sha256(top["digest"]), size_bytes=number(top["size"], 1))

    def layer(self, value: Any) -> LayerRecord:
        top = self.map(value, _LAYER)
        return LayerRecord(
            digest=self.sha256(top["digest"]),
            size_bytes=number(top["size"], 1),
            diff_id=self.sha256(top["diff_id"]),
        )
