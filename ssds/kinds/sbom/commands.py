"""The commands of an image, found without running it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.core.platform import Platform
from ssds.core.text import printable
from ssds.oci.flatten import FlatTree
from ssds.oci.programs import (
    DEFAULT_PATH,
    FILES_LIMIT,
    FOUND_LIMIT,
    NAME,
    is_program,
    resolve,
    search_folders,
    start_problem,
)
from ssds.oci.system_names import is_system


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One name that can be called.

    Attributes:
        path: where it stands, absolute, before links are followed.
        problem: why it cannot run, or the empty string.
    """

    name: str
    path: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the recipe declares and where programs are looked for, all from outside the image.

    Attributes:
        commands: names that get a wrapper.
        paths: folders whose programs get one too.
        search: the image's PATH.
        base: the image below, where what it does not have is wanted too: nothing is declared.
    """

    platform: Platform
    commands: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    search: str = DEFAULT_PATH
    base: FlatTree | None = None


def list_commands(tree: FlatTree, wanted: Wanted) -> dict[str, Json]:
    """Returns ``{declared: […], all: [name], paths: {name: absolute path}}``, sorted.

    ``declared`` is in the form of locks: a name where the image's PATH finds the program, else
    its absolute path. What cannot run or be a wrapper is left out. Where a base is given,
    ``found`` has the names that neither it nor any system has (``SYSTEM``).
    """
    folders = search_folders(wanted.search)
    found: dict[str, Command] = {}
    for folder in (*folders, *wanted.paths):
        for command in _in_folder(tree, folder, wanted.platform, folders):
            known = found.get(command.name)
            if known is None or (known.problem and not command.problem):
                found[command.name] = command
    declared = _declared(tree, wanted, folders, found)
    own = _own(wanted.base, folders, found) if wanted.base is not None else {}
    return {
        **({"found": sorted(own)} if wanted.base is not None else {}),
        "declared": sorted(
            c.name if posixpath.dirname(c.path) in folders else c.path for c in declared.values()
        ),
        "all": sorted(printable(c.name) for c in found.values() if not c.problem),
        "paths": {c.name: c.path for c in (*declared.values(), *own.values())},
    }


def _own(
    base: FlatTree, folders: Sequence[str], found: Mapping[str, Command]
) -> dict[str, Command]:
    """Returns the commands that the image has and its base has not, by name, at most FOUND_LIMIT.

    A name that the base has stays the base's, whatever a later layer puts there.
    """
    below = {name for folder in folders for name in _names(base, folder)}
    names = sorted(
        name
        for name, command in found.items()
        if not command.problem
        and NAME.fullmatch(name)
        and name not in below
        and not is_system(name)
    )
    return {name: found[name] for name in names[:FOUND_LIMIT]}


def _names(tree: FlatTree, folder: str) -> list[str]:
    place = resolve(tree, folder)
    return tree.names(place.path) if place is not None and place.type == "folder" else []


def _declared(
    tree: FlatTree, wanted: Wanted, folders: Sequence[str], found: Mapping[str, Command]
) -> dict[str, Command]:
    """Returns what is declared and runs; the deploy test says what is wrong with the others."""
    declared: dict[str, Command] = {}
    for folder in wanted.paths:
        for command in _in_folder(tree, folder, wanted.platform, folders):
            if not command.problem and NAME.fullmatch(command.name):
                declared.setdefault(command.name, command)
    for name in wanted.commands:
        named = found.get(name)
        if named is not None and not named.problem and NAME.fullmatch(name):
            declared[name] = named
    return declared


def _in_folder(
    tree: FlatTree, folder: str, platform: Platform, search: Sequence[str]
) -> list[Command]:
    place = resolve(tree, folder)
    if place is None or place.type != "folder":
        return []
    commands: list[Command] = []
    for name in tree.names(place.path)[:FILES_LIMIT]:
        path = posixpath.normpath(posixpath.join("/", folder, name))
        entry = resolve(tree, f"{place.path}/{name}")
        if entry is not None and is_program(entry):
            problem = start_problem(tree, entry, platform.architecture, search)
            commands.append(Command(name=name, path=path, problem=problem))
    return commands
