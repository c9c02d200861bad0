"""SIF files at paths, an installation of SHPC, a folder of Galaxy's depot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import partial

from ssds.adopt.codes import diagnostic
from ssds.adopt.images import (
    SUFFIXES,
    UNREADABLE,
    gathered,
    holds,
    inside,
    look_at,
    unreadable,
)
from ssds.adopt.memory import Memory
from ssds.adopt.model import BuildName, Reading, Seen, build_name, checked, good_commands
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.errors import InvalidValue, UsageError
from ssds.host import local
from ssds.lock.check import storable

MODULE_LIMIT_BYTES = 4 << 20
_DEPTH = 8
_MODULES = ("module.lua", "module.tcl")
_CONTAINER = re.compile(
    r"^[ \t]*(?:local[ \t]+containerPath[ \t]*=[ \t]*'([^'\n]+)'"
    r"|set[ \t]+containerPath[ \t]+(\S[^\n]*))",
    re.MULTILINE,
)
_VERSION = re.compile(r"v?[0-9]")
_HELPERS = re.compile(r".*-(?:run|shell|exec|container|inspect-runscript|inspect-deffile)")


def read_sif(place: str, memory: Memory) -> Reading:
    """Returns SIF files: one, or those directly in a folder.

    Their names are ``NAME_VERSION_YYYYMMDD``, ``NAME_VERSION`` or ``NAME:VERSION``; what may be
    split in two ways is not.
    """
    top = os.path.abspath(place)
    if not os.path.lexists(top):
        raise UsageError(f"there is no {place}", hint="Name a SIF file or a folder.", code="E212")
    folder = top if os.path.isdir(top) else os.path.dirname(top)
    names = sorted(os.listdir(top)) if os.path.isdir(top) else [os.path.basename(top)]
    fit = [name for name in names if name.endswith(SUFFIXES)]
    named = {os.path.join(folder, name): file_name(name) for name in fit}
    return _images(folder, named, memory)


def file_name(name: str) -> BuildName | None:
    """Returns what the name of a SIF file says, or None where that is not sure."""
    stem = next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)
    if found := build_name(stem):
        return None if "_" in found.name.removesuffix("_arm64") else found
    if stem.count(":") == 1:
        return checked(*stem.split(":"))
    name, _, version = stem.partition("_")
    return checked(name, version) if _VERSION.match(version) and "_" not in version else None


def read_depot(place: str, memory: Memory) -> Reading:
    """Returns the images of a depot: ``NAME:VERSION--BUILD``, flat or below two letters."""
    top = os.path.abspath(place)
    if not os.path.isdir(top):
        raise UsageError(f"there is no folder {place}", hint="Name the depot.", code="E213")
    named: dict[str, BuildName | None] = {}
    closed: list[OSError] = []
    for folder, folders, files in os.walk(top, onerror=closed.append):
        depth = os.path.relpath(folder, top).count("/") + (folder != top)
        for name in sorted((*folders, *files)):
            if ":" in name:
                named[os.path.join(folder, name)] = checked(*name.split(":", 1))
        folders[:] = sorted(n for n in folders if ":" not in n and depth < 2 and n[:1] != ".")
    return _images(top, named, memory, closed)


def _images(
    top: str,
    named: dict[str, BuildName | None],
    memory: Memory,
    closed: Iterable[OSError] = (),
) -> Reading:
    problems, unmanaged = _closed(closed)
    looks = [
        (path, path, partial(_image, top, path, found, memory, problems))
        for path, found in named.items()
    ]
    return gathered(looks, problems, unmanaged)


def _image(
    top: str, path: str, found: BuildName | None, memory: Memory, problems: list[Diagnostic]
) -> Seen | str:
    """Returns the image at a path, or why it is not taken."""
    if found is None:
        problems.append(diagnostic("A003", Span(path=path), found=os.path.basename(path)))
        return "its name does not say name and version"
    if os.path.islink(path) and not inside(top, path):
        problems.append(diagnostic("A004", Span(path=path), target=os.path.realpath(path)))
        return "a link out of the folder"
    image = os.path.realpath(path) if os.path.islink(path) else path
    return look_at(found, image, memory, problems) or UNREADABLE


def _closed(errors: Iterable[OSError]) -> tuple[list[Diagnostic], list[tuple[str, str]]]:
    """Returns what is to be said of folders that could not be opened: findings and rows."""
    found = list(errors)
    rows = [(str(error.filename), UNREADABLE) for error in found]
    return [unreadable(error, str(error.filename)) for error in found], rows


# -- SHPC ----------------------------------------------------------------------------------------


def read_shpc(place: str, memory: Memory) -> Reading:
    """Returns what an installation of SHPC (Singularity Registry HPC) holds.

    ``place`` is its ``module_base``: ``<registry>/<repository>/<tag>/module.lua``, with wrappers in
    ``bin`` beside it. Views, which are links, are not followed.
    """
    top = os.path.abspath(place)
    if not os.path.isdir(top):
        raise UsageError(
            f"there is no folder {place}", hint="Name SHPC's module_base.", code="E214"
        )
    closed: list[OSError] = []
    modules = list(_modules(top, closed))
    problems, unmanaged = _closed(closed)
    looks = [
        (folder, os.path.join(folder, file), partial(_module, top, folder, file, memory, problems))
        for folder, file in modules
    ]
    return gathered(looks, problems, unmanaged)


def _module(
    top: str, folder: str, file: str, memory: Memory, problems: list[Diagnostic]
) -> Seen | str:
    """Returns the image that one module file names, or why it is not taken."""
    path = os.path.join(folder, file)
    inner = os.path.relpath(folder, top)
    repository, _, tag = inner.rpartition("/")
    name = checked(repository.rpartition("/")[2].lower(), tag)
    data = local.read_below(folder, file, MODULE_LIMIT_BYTES) or b""
    text = data.decode("utf-8", "replace")
    match = _CONTAINER.search(text)
    image = (match[1] or match[2]).strip().strip("\"'{}") if match else ""
    sound = os.path.isabs(image) and storable(image)
    if not sound or name is None or holds(os.path.realpath(image), os.path.realpath(folder)):
        code, why = ("A007", image) if name else ("A003", inner)
        problems.append(diagnostic(code, Span(path=path), found=why))
        return "name or image are not known"
    line = text.count("\n", 0, match.start()) + 1 if match else 0
    one = look_at(
        name,
        os.path.realpath(image),
        memory,
        problems,
        span=Span(path=path, line=line, column=1),
        commands=_wrappers(folder),
        more=_reference(repository, tag),
    )
    return one or f"its image cannot be read: {image}"


def _modules(top: str, closed: list[OSError]) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(top, onerror=closed.append):
        file = next((name for name in _MODULES if name in files), "")
        if file:
            yield folder, file
        depth = os.path.relpath(folder, top).count("/") + (folder != top)
        folders[:] = sorted(folders) if not file and depth < _DEPTH else []


def _wrappers(folder: str) -> tuple[str, ...]:
    place = os.path.join(folder, "bin")
    names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    return good_commands(name for name in names if not _HELPERS.fullmatch(name))[0]


def _reference(repository: str, tag: str) -> tuple[str, ...]:
    """Returns the image in its registry, where the folders name one."""
    from ssds.oci.image_name import parse_image_name

    if "." not in repository.partition("/")[0]:
        return ()
    try:
        return (str(parse_image_name(f"{repository}:{tag}")),)
    except InvalidValue:
        return ()
