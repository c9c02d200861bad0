"""One unpacked conda package: what its own ``info/`` says, read with distrust.

Sources: conda-build's package specification (``index.json``, ``paths.json``, ``link.json``), and
for packages older than ``paths.json`` the files ``files`` and ``has_prefix``.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any

from ssds.core.errors import IntegrityError
from ssds.core.patterns import pattern
from ssds.core.pins import PinnedPackage
from ssds.host import local
from ssds.oci.document import Place, load_document

OLD_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"
"""What stands for the prefix where ``has_prefix`` does not say it."""
_LIMIT_BYTES = 256 * 1024 * 1024
_LIMIT_ENTRIES = 500_000
_ENTRY_POINT = pattern(
    r"([A-Za-z0-9_][A-Za-z0-9_.+-]*)\s*=\s*"
    r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*:\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)",
    re.ASCII,
)
_DAMAGED = "Its channel is damaged; ask for another build, or renew the pin: ssds lock."


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEntry:
    """One path that a package installs.

    Attributes:
        path: below the package's root, as it is written there.
        kind: ``hardlink`` (a file), ``softlink`` or ``directory``.
        placeholder: the text that stands for the prefix in it, or the empty string.
        binary: how the placeholder is replaced: padded with NULs, or as text.
        sha256: as the package states it, or the empty string.
    """

    path: str
    kind: str = "hardlink"
    placeholder: str = ""
    binary: bool = False
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """A command of a Python package: ``name = module:function``."""

    name: str
    module: str
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaPackage:
    """What a package says of itself.

    Attributes:
        pin: what the lock says of it.
        folder: where it is unpacked.
        index: its ``index.json``.
        python: whether it is for any Python (``noarch: python``).
        depends: names of the packages that it needs.
    """

    pin: PinnedPackage
    folder: str
    index: dict[str, Any]
    paths: tuple[PathEntry, ...]
    python: bool
    entry_points: tuple[EntryPoint, ...]
    depends: tuple[str, ...]


def read_package(pin: PinnedPackage, folder: str) -> CondaPackage:
    """Returns what the package in ``folder`` says of itself.

    Raises:
        IntegrityError: it is not what its pin says (F047), or not of the form of a package.
    """
    index = _document(pin, folder, "info/index.json")
    if index is None:
        raise damaged(pin, "has no info/index.json")
    found = tuple(index.text(key) for key in ("name", "version", "build"))
    if found != (pin.name, pin.version, pin.build):
        raise IntegrityError(
            f"{pin.file.name} is {' '.join(found)[:200]}, but the lock says "
            f"{pin.name} {pin.version} {pin.build}",
            code="F047",
            hint="Renew the pin: ssds lock.",
        )
    link = _document(pin, folder, "info/link.json")
    noarch = link.child("noarch") if link is not None and link.has("noarch") else None
    python = index.map().get("noarch") == "python"
    points = noarch.texts("entry_points") if noarch is not None and python else ()
    return CondaPackage(
        pin=pin,
        folder=folder,
        index=dict(index.map()),
        paths=_paths(pin, folder),
        python=python,
        entry_points=tuple(_entry_point(pin, text) for text in points),
        depends=tuple(text.split(" ", 1)[0] for text in index.texts("depends")),
    )


def site_packages(python: CondaPackage) -> str:
    """Returns where the Python of a set has its packages (CEP 17), below the prefix."""
    stated = str(python.index.get("python_site_packages_path") or "")
    if stated and re.fullmatch(r"lib/python[0-9.]+t?/site-packages", stated):
        return stated
    return f"lib/python{short_version(python.pin.version)}/site-packages"


def short_version(version: str) -> str:
    """Returns ``3.12`` of ``3.12.4``."""
    return ".".join(version.split(".")[:2])


def damaged(pin: PinnedPackage, why: str) -> IntegrityError:
    """Returns the error that says what is wrong with a package."""
    return IntegrityError(f"{pin.file.name} {why}", code="F069", hint=_DAMAGED)


def _document(pin: PinnedPackage, folder: str, name: str) -> Place | None:
    data = local.read_below(folder, name, _LIMIT_BYTES)
    if data is None:
        return None
    return load_document(data, f"{pin.file.name}: {name}", limit_bytes=_LIMIT_BYTES)


def _entry_point(pin: PinnedPackage, text: str) -> EntryPoint:
    match = _ENTRY_POINT.fullmatch(text.strip())
    if match is None:
        raise damaged(pin, f"has an entry point that is none: {text[:80]!r}")
    return EntryPoint(name=match[1], module=match[2], function=match[3])


def _paths(pin: PinnedPackage, folder: str) -> tuple[PathEntry, ...]:
    document = _document(pin, folder, "info/paths.json")
    if document is None:
        return _old_paths(pin, folder)
    return tuple(_path(pin, item) for item in document.items("paths", limit=_LIMIT_ENTRIES))


def _path(pin: PinnedPackage, item: Place) -> PathEntry:
    kind, mode = item.text("path_type", "hardlink"), item.text("file_mode", "text")
    if kind not in ("hardlink", "softlink", "directory") or mode not in ("text", "binary"):
        item.fail(f"{kind[:40]!r} {mode[:40]!r} is not a kind of path")
    placeholder = item.text("prefix_placeholder", "")
    if placeholder and not (_is_plain(placeholder) and placeholder.startswith("/")):
        raise damaged(pin, f"has a placeholder that is no path: {placeholder[:80]!r}")
    return PathEntry(
        path=_checked(pin, item.text("_path")),
        kind=kind,
        placeholder=placeholder,
        binary=mode == "binary",
        sha256=item.text("sha256", ""),
    )


def _is_plain(text: str) -> bool:
    """Whether a text is not empty and has neither control characters nor lone surrogates."""
    try:
        return all(character >= " " for character in text) and text.encode() != b""
    except UnicodeEncodeError:
        return False


def _checked(pin: PinnedPackage, path: str) -> str:
    if (
        not _is_plain(path)
        or path.startswith("/")
        or posixpath.normpath(path) != path.rstrip("/")
        or "\\" in path
    ):
        raise damaged(pin, f"installs {path[:120]!r}, which is no path below the prefix")
    if path.split("/", maxsplit=1)[0] in ("..", ".", "info", "conda-meta"):
        raise damaged(pin, f"installs {path[:120]!r}, which is not a package's to install")
    return path.rstrip("/")


def _old_paths(pin: PinnedPackage, folder: str) -> tuple[PathEntry, ...]:
    """Returns the paths of a package from before ``paths.json``."""
    listed = local.read_below(folder, "info/files", _LIMIT_BYTES)
    if listed is None:
        raise damaged(pin, "has neither info/paths.json nor info/files")
    prefixes: dict[str, tuple[str, bool]] = {}
    stated = local.read_below(folder, "info/has_prefix", _LIMIT_BYTES) or b""
    for line in stated.decode("utf-8", "replace").splitlines():
        words = [word.strip("\"'") for word in line.split(None, 2)]
        if len(words) == 3:
            prefixes[words[2]] = (words[0], words[1] == "binary")
        elif words:
            prefixes[line.strip().strip("\"'")] = (OLD_PLACEHOLDER, False)
    found = []
    for line in dict.fromkeys(listed.decode("utf-8", "replace").splitlines()):
        if line.strip():
            placeholder, binary = prefixes.get(line, ("", False))
            path = _checked(pin, line)
            found.append(PathEntry(path=path, placeholder=placeholder, binary=binary))
    return tuple(found)
