"""SIF files at paths, an installation of SHPC, a folder of Galaxy's depot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ssds.adopt.codes import diagnostic
from ssds.adopt.images import SUFFIXES, inside, is_image, look_at
from ssds.adopt.memory import Memory
from ssds.adopt.model import BuildName, Reading, Seen, build_name, checked, good_commands
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.errors import InvalidValue, UsageError
from ssds.host import local

MODULE_LIMIT_BYTES = 4 << 20
_DEPTH = 8
_MODULES = ("module.lua", "module.tcl")
_CONTAINER = re.compile(
    r"^\s*(?:local\s+containerPath\s*=\s*'([^'\n]+)'|set\s+containerPath\s+(\S.*?))\s*$",
    re.MULTILINE,
)
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
        return found
    for mark in (":", "_"):
        if stem.count(mark) == 1:
            return checked(*stem.split(mark))
    return None


def read_depot(place: str, memory: Memory) -> Reading:
    """Returns the images of a depot: ``NAME:VERSION--BUILD``, flat or below two letters."""
    top = os.path.abspath(place)
    if not os.path.isdir(top):
        raise UsageError(f"there is no folder {place}", hint="Name the depot.", code="E213")
    named: dict[str, BuildName | None] = {}
    for folder, folders, files in os.walk(top):
        depth = os.path.relpath(folder, top).count("/") + (folder != top)
        for name in sorted((*folders, *files)):
            if ":" in name:
                named[os.path.join(folder, name)] = checked(*name.split(":", 1))
        folders[:] = sorted(n for n in folders if ":" not in n and depth < 2 and n[:1] != ".")
    return _images(top, named, memory)


def _images(top: str, named: dict[str, BuildName | None], memory: Memory) -> Reading:
    seen: list[Seen] = []
    unmanaged: list[tuple[str, str]] = []
    problems: list[Diagnostic] = []
    for path, found in named.items():
        if found is None:
            problems.append(diagnostic("A003", Span(path=path), found=os.path.basename(path)))
            unmanaged.append((path, "its name does not say name and version"))
            continue
        image = path
        if os.path.islink(path):
            if not inside(top, path):
                problems.append(diagnostic("A004", Span(path=path), target=os.path.realpath(path)))
                unmanaged.append((path, "a link out of the folder"))
                continue
            image = os.path.realpath(path)
        one = look_at(found, image, memory, problems) if is_image(image) else None
        if one is None:
            unmanaged.append((path, "it cannot be read"))
        else:
            seen.append(one)
    return Reading(seen=tuple(seen), unmanaged=tuple(unmanaged), problems=tuple(problems))


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
    seen: list[Seen] = []
    unmanaged: list[tuple[str, str]] = []
    problems: list[Diagnostic] = []
    for folder, file in _modules(top):
        path = os.path.join(folder, file)
        inner = os.path.relpath(folder, top)
        repository, _, tag = inner.rpartition("/")
        found = checked(repository.rpartition("/")[2].lower(), tag)
        data = local.read_below(folder, file, MODULE_LIMIT_BYTES) or b""
        match = _CONTAINER.search(data.decode("utf-8", "replace"))
        image = (match[1] or match[2]).strip("\"'{}") if match else ""
        if not os.path.isabs(image) or found is None:
            code, why = ("A007", image) if found else ("A003", inner)
            problems.append(diagnostic(code, Span(path=path), found=why))
            unmanaged.append((folder, "name or image are not known"))
            continue
        line = data[: match.start()].count(b"\n") + 1 if match else 0
        one = look_at(
            found,
            os.path.realpath(image),
            memory,
            problems,
            span=Span(path=path, line=line, column=1),
            commands=_wrappers(folder),
            more=_reference(repository, tag),
        )
        if one is None:
            unmanaged.append((folder, f"its image cannot be read: {image}"))
        else:
            seen.append(one)
    return Reading(seen=tuple(seen), unmanaged=tuple(unmanaged), problems=tuple(problems))


def _modules(top: str) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(top):
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
