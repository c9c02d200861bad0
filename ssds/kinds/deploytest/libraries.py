"""The shared libraries of a program, found as a dynamic loader finds them, without running it.

Sources: ld.so(8) and ldconfig(8) of glibc; musl's manual for its search path. Libraries that a
program opens later by itself (dlopen) cannot be seen this way.
"""

from __future__ import annotations

import fnmatch
import functools
import posixpath
from collections.abc import Iterator, Mapping
from itertools import islice

from ssds.core.errors import SsdsError
from ssds.core.records import dataclass, replace
from ssds.core.text import shown
from ssds.kinds.deploytest.access import Access, mode_problems
from ssds.oci.elf import Elf, read_elf
from ssds.oci.flatten import Entry
from ssds.oci.programs import resolve

_TRIPLETS = {62: "x86_64-linux-gnu", 3: "i386-linux-gnu", 183: "aarch64-linux-gnu"}
_MUSL = {62: "x86_64", 3: "i386", 183: "aarch64"}
_CONF, _CACHE = "/etc/ld.so.conf", "/etc/ld.so.cache"
_CONF_BYTES, _CACHE_BYTES, _CONF_DEPTH, _FILES = 1 << 18, 16 << 20, 8, 4096
_CONF_FILES, _CONF_PATTERNS = 256, 64
_FOLDERS = 1024
"""Folders that one object, LD_LIBRARY_PATH or the configuration can name; the rest is a fault."""
LOOKS, LOOKS_OF_ALL, _NEW = 100_000, 20_000_000, 20
"""Looks for the libraries of one program, and of all of an image, where a new place counts more."""


class _TooMany(Exception):
    """A program has its loader look at too many places; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """A program or library in a process: where it stands, and who asked for it.

    Attributes:
        inherited: folders of RPATHs, its own and of those that asked; glibc's way.
        asking: folders of RUNPATHs or RPATHs, its own and of those that asked; musl's way.
    """

    path: str
    elf: Elf
    by: _Object | None = None
    inherited: tuple[str, ...] = ()
    asking: tuple[str, ...] = ()


class Loader:
    """The dynamic loader of one image."""

    def __init__(self, access: Access, environment: Mapping[str, str]) -> None:
        self.access, self.tree = access, access.tree
        words = environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
        self.preferred = tuple(dict.fromkeys(word for word in words if word))
        self._elves: dict[str, Elf | None] = {}
        self._fitting: dict[tuple[str, int, bool], bool] = {}
        self._looks = self._looks_of_all = 0

    def elf(self, entry: Entry) -> Elf | None:
        """Returns what a file says of itself; each is read once."""
        if entry.path not in self._elves:
            self._elves[entry.path] = read_elf(self.tree, entry)
        return self._elves[entry.path]

    def problems(self, entry: Entry) -> list[str]:
        """Returns which libraries of a program are missing or closed to others, each once."""
        program = self.elf(entry)
        if program is None or not program.loader:
            return []  # static, or judged already
        found: dict[str, None] = {}
        self._looks = 0
        try:
            self._closure(entry, program, found)
        except _TooMany as error:
            found[f"its libraries have too many places: {error}"] = None
        return list(found)

    def _closure(self, entry: Entry, program: Elf, found: dict[str, None]) -> None:
        """Adds what is wrong with the libraries of a program."""
        _, way = self.access.follow(program.loader)
        found.update(dict.fromkeys(way))
        queue = [_object(f"/{entry.path}", program, None)]
        loaded = {posixpath.basename(program.loader)}
        for item in queue:  # breadth first, as the loader does; grows while it runs
            for name in item.elf.needed:
                if name in loaded or len(queue) > _FILES:
                    continue
                loaded.add(name)
                path, missing = self.find(name, item, program)
                library = resolve(self.tree, path) if path else None
                if missing or library is None:
                    user = "" if item.by is None else f" (needed by {shown(item.path)})"
                    found[f"its library {shown(name)} {missing}{user}"] = None
                    continue
                _, way = self.access.follow(path)
                found.update(dict.fromkeys((*way, *mode_problems(library, 4))))
                elf = self.elf(library)
                if elf is not None:
                    loaded.add(elf.soname)
                    queue.append(_object(path, elf, item))

    def find(self, name: str, item: _Object, program: Elf) -> tuple[str, str]:
        """Returns the path of a library and the empty string, or why there is none."""
        if "/" in name:
            path = _expanded(name, item)
            return (path, "") if self.fits(path, program) else ("", "is not in the image")
        musl = posixpath.basename(program.loader).startswith("ld-musl-")
        for folder in self.musl(item, program) if musl else self.folders(item, program):
            if self.fits(f"{folder}/{name}", program):
                return f"{folder}/{name}", ""
        if musl:
            return "", "is not in the image's library folders"
        for folder in self.configured:
            if self.fits(f"{folder}/{name}", program):
                self.count(looks := len(self.cache) >> 12, looks)
                if name.encode("utf-8", "surrogateescape") + b"\0" in self.cache:
                    return f"{folder}/{name}", ""
                return "", f"is in {shown(folder)}, but not in {_CACHE}: run ldconfig in the build"
        return "", "is in none of the folders where its loader looks"

    def fits(self, path: str, program: Elf) -> bool:
        """Whether a library for this program stands there; others are passed over."""
        key = (path, program.machine, program.wide)
        known = self._fitting.get(key)
        self.count(1, 1 if known is not None else _NEW)
        if known is None:
            known = self._fitting[key] = self._fits(path, program)
        return known

    def count(self, looks: int, of_all: int) -> None:
        """Counts looks.

        Raises:
            _TooMany: there were enough.
        """
        self._looks += looks
        self._looks_of_all += of_all
        if self._looks > LOOKS:
            raise _TooMany(f"more than {LOOKS} looks for this program")
        if self._looks_of_all > LOOKS_OF_ALL:
            raise _TooMany("this image's programs have used up what is looked at in one image")

    def _fits(self, path: str, program: Elf) -> bool:
        entry = resolve(self.tree, path)
        if entry is None or entry.type != "file":
            return False
        elf = self.elf(entry)
        return elf is not None and (elf.machine, elf.wide) == (program.machine, program.wide)

    def folders(self, item: _Object, program: Elf) -> Iterator[str]:
        """Gives glibc's folders but those of its configuration."""
        if not item.elf.runpath:
            yield from item.inherited
        yield from self.preferred
        yield from _split(item.elf.runpath, item)
        if not item.elf.no_default:
            triplet = _TRIPLETS.get(program.machine, "")
            yield from (f"/lib/{triplet}", f"/usr/lib/{triplet}")
            yield from ("/lib64", "/usr/lib64") if program.wide else ()
            yield from ("/lib", "/usr/lib")

    def musl(self, item: _Object, program: Elf) -> Iterator[str]:
        """Gives musl's folders: paths of all that asked, then its own file or its default."""
        yield from self.preferred
        yield from item.asking
        own = self.text(f"/etc/ld-musl-{_MUSL.get(program.machine, '')}.path", _CONF_BYTES)
        yield from own.replace("\n", ":").split(":") if own else ("/lib", "/usr/local/lib")
        yield from () if own else ("/usr/lib",)

    @functools.cached_property
    def configured(self) -> tuple[str, ...]:
        """The folders of ld.so.conf and what it includes."""
        return tuple(dict.fromkeys(islice(self.conf(_CONF, 0, [], set()), _FOLDERS)))

    def conf(self, path: str, depth: int, shapes: list[str], seen: set[str]) -> Iterator[str]:
        """Gives the folders that a file of ldconfig names; each file is read once."""
        if path in seen or len(seen) >= _CONF_FILES:
            return
        seen.add(path)
        for line in self.text(path, _CONF_BYTES).splitlines():
            words = line.partition("#")[0].replace(",", " ").replace(":", " ").split()
            if words[:1] == ["include"] and depth < _CONF_DEPTH:
                for pattern in words[1 : 1 + _CONF_PATTERNS - len(shapes)]:
                    shapes.append(pattern)
                    whole = posixpath.join(posixpath.dirname(path), pattern)
                    folder, _, shape = whole.rpartition("/")
                    place = resolve(self.tree, folder)
                    names = self.tree.names(place.path) if place else []
                    for name in fnmatch.filter(names, shape)[:_CONF_FILES]:
                        yield from self.conf(f"{folder}/{name}", depth + 1, shapes, seen)
            elif words[:1] != ["hwcap"]:
                yield from (word.partition("=")[0] for word in words if word.startswith("/"))

    @functools.cached_property
    def cache(self) -> bytes:
        """The bytes of ld.so.cache: glibc reads it, never ld.so.conf."""
        try:
            return self.tree.read(_CACHE, _CACHE_BYTES)
        except SsdsError:
            return b""

    def text(self, path: str, limit: int) -> str:
        """Returns a file's text; the empty string where there is none that can be read."""
        try:
            return self.tree.read(path, limit).decode("utf-8", "surrogateescape")
        except SsdsError:
            return ""


def _object(path: str, elf: Elf, by: _Object | None) -> _Object:
    """Returns an object with the folders of those that asked for it: glibc's, and musl's.

    Raises:
        _TooMany: they name too many.
    """
    alone = _Object(path=path, elf=elf, by=by)
    rpath = () if elf.runpath else _split(elf.rpath, alone)
    above = (by.inherited, by.asking) if by is not None else ((), ())
    inherited = tuple(dict.fromkeys((*rpath, *above[0])))
    asking = tuple(dict.fromkeys((*_split(elf.runpath or elf.rpath, alone), *above[1])))
    if max(len(inherited), len(asking)) > _FOLDERS:
        raise _TooMany(f"{shown(path)} and what asks for it name more than {_FOLDERS} folders")
    return replace(alone, inherited=inherited, asking=asking)


def _split(paths: str, item: _Object) -> Iterator[str]:
    for folder in paths.split(":") if paths else ():
        if folder:
            yield _expanded(folder, item)


def _expanded(text: str, item: _Object) -> str:
    """Replaces ``$ORIGIN``, ``$LIB`` and ``$PLATFORM``."""
    lib = f"lib/{_TRIPLETS.get(item.elf.machine, '')}"
    words = {"ORIGIN": posixpath.dirname(item.path), "LIB": lib, "PLATFORM": "x86_64"}
    if item.elf.machine == 183:
        words["PLATFORM"] = "aarch64"
    for word, value in words.items():
        text = text.replace(f"${{{word}}}", value).replace(f"${word}", value)
    return text
