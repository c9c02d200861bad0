"""The commands of an image, found without running it: execute bit, links, format, interpreter.

Sources: execve(2), environ(7), elf(5); ELF machine numbers of the System V gABI.
"""

from __future__ import annotations

import posixpath
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.core.errors import IntegrityError, StepFailed
from ssds.core.platform import Platform
from ssds.kinds.sbom.package import printable
from ssds.oci.flatten import Entry, FlatTree

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HEAD_BYTES = 4096
COMMANDS_LIMIT = 100_000
_MACHINES = {"amd64": (62, 3), "arm64": (183,)}
_MACHINE_NAMES = {3: "i386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64"}
_PT_INTERP = 3
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@%=,~:-]{0,127}")
"""A name that a wrapper, a module and a lock can have."""


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
    """

    platform: Platform
    commands: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    search: str = DEFAULT_PATH


def list_commands(tree: FlatTree, wanted: Wanted) -> dict[str, Json]:
    """Returns ``{declared: […], all: [name], paths: {declared name: absolute path}}``, sorted.

    ``declared`` is in the form of locks: a name where the image's PATH finds the program, else
    its absolute path. Programs of declared folders whose names cannot be wrappers are left out.

    Raises:
        StepFailed: V010 when a declared command is missing or cannot run on the platform, V011
            when a declared folder is missing; the message names each.
    """
    folders = [posixpath.normpath(f) for f in wanted.search.split(":") if f.startswith("/")]
    found: dict[str, Command] = {}
    for folder in (*folders, *wanted.paths):
        for command in _in_folder(tree, folder, wanted.platform, folders):
            known = found.get(command.name)
            if known is None or (known.problem and not command.problem):
                found[command.name] = command
    declared = _declared(tree, wanted, folders, found)
    return {
        "declared": sorted(
            c.name if posixpath.dirname(c.path) in folders else c.path for c in declared.values()
        ),
        "all": sorted(printable(c.name) for c in found.values() if not c.problem),
        "paths": {c.name: c.path for c in declared.values()},
    }


def _declared(
    tree: FlatTree, wanted: Wanted, folders: Sequence[str], found: dict[str, Command]
) -> dict[str, Command]:
    declared: dict[str, Command] = {}
    for folder in wanted.paths:
        place = _resolve(tree, folder)
        if place is None or place.type != "folder":
            raise StepFailed(
                f"the declared folder {folder} is not in the image",
                hint="Correct deploy.paths, or let a build step make the folder.",
                code="V011",
            )
        for command in _in_folder(tree, folder, wanted.platform, folders):
            if not command.problem and NAME.fullmatch(command.name):
                declared.setdefault(command.name, command)
    problems: list[str] = []
    for name in wanted.commands:
        found_command = found.get(name)
        if not NAME.fullmatch(name):
            problems.append(f"{printable(name)!r} (not a name that a wrapper can have)")
        elif found_command is None:
            problems.append(f"{name} (not found)")
        elif found_command.problem:
            problems.append(f"{name} ({found_command.path}: {found_command.problem})")
        else:
            declared[name] = found_command
    if problems:
        raise StepFailed(
            "declared commands cannot run in the image: " + ", ".join(problems),
            hint="Looked in "
            + ":".join(dict.fromkeys((*folders, *wanted.paths)))
            + ". Correct deploy.commands or deploy.paths, or install the program.",
            code="V010",
        )
    return declared


def _resolve(tree: FlatTree, path: str) -> Entry | None:
    try:
        return tree.resolve(path)
    except IntegrityError:
        return None


def _in_folder(
    tree: FlatTree, folder: str, platform: Platform, search: Sequence[str]
) -> list[Command]:
    place = _resolve(tree, folder)
    if place is None or place.type != "folder":
        return []
    commands: list[Command] = []
    for name in tree.names(place.path)[:COMMANDS_LIMIT]:
        path = posixpath.normpath(posixpath.join("/", folder, name))
        entry = _resolve(tree, f"{place.path}/{name}")
        if entry is not None and entry.type == "file" and entry.mode & 0o111:
            problem = _problem(tree, entry, platform, search)
            commands.append(Command(name=name, path=path, problem=problem))
    return commands


def _problem(tree: FlatTree, entry: Entry, platform: Platform, search: Sequence[str]) -> str:
    """Returns why the kernel could not start this file, or the empty string."""
    with tree.open_entry(entry) as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"\x7fELF"):
        return _elf_problem(tree, entry, head, platform)
    if head.startswith(b"#!"):
        return _script_problem(tree, head, search)
    return "neither an ELF program nor a script with #!"


def _elf_problem(tree: FlatTree, entry: Entry, head: bytes, platform: Platform) -> str:
    if len(head) < 52 or head[5] != 1:
        return "its ELF header is damaged or big-endian"
    machine: int = struct.unpack_from("<H", head, 18)[0]
    if machine not in _MACHINES[platform.architecture]:
        name = _MACHINE_NAMES.get(machine, f"machine {machine}")
        return f"built for {name}, not for {platform.architecture}"
    loader = _loader(tree, entry, head)
    if loader and _resolve(tree, loader) is None:
        return f"its loader {loader} is not in the image"
    return ""


def _loader(tree: FlatTree, entry: Entry, head: bytes) -> str:
    """Returns the program interpreter of an ELF file, or the empty string for a static one."""
    wide = head[4] == 2
    try:
        start: int = struct.unpack_from("<Q" if wide else "<I", head, 32 if wide else 28)[0]
        size, count = struct.unpack_from("<HH", head, 54 if wide else 42)
        for index in range(min(count, 64)):
            at = start + index * size
            if struct.unpack_from("<I", head, at)[0] != _PT_INTERP:
                continue
            offset: int = struct.unpack_from("<Q" if wide else "<I", head, at + (8 if wide else 4))[
                0
            ]
            length: int = struct.unpack_from(
                "<Q" if wide else "<I", head, at + (32 if wide else 16)
            )[0]
            with tree.open_entry(entry) as file:
                file.seek(min(offset, entry.size_bytes))
                text = file.read(min(length, 4096)).rstrip(b"\0")
            return text.decode("utf-8", "surrogateescape")
    except struct.error:
        return ""
    return ""


def _script_problem(tree: FlatTree, head: bytes, search: Sequence[str]) -> str:
    line = head[2:].split(b"\n", 1)[0].decode("utf-8", "surrogateescape").strip()
    interpreter, _, rest = line.partition(" ")
    if not interpreter.startswith("/"):
        return f"its interpreter {printable(interpreter)[:100]!r} is not an absolute path"
    if not _runs(tree, interpreter):
        return f"its interpreter {printable(interpreter)[:100]} is not in the image"
    if posixpath.basename(interpreter) != "env":
        return ""
    words = [w for w in rest.split() if not w.startswith("-") and "=" not in w]
    name = words[0] if words else ""
    if name and not any(_runs(tree, f"{folder}/{name}") for folder in search):
        return f"its interpreter {printable(name)[:100]} is not in the image"
    return ""


def _runs(tree: FlatTree, path: str) -> bool:
    entry = _resolve(tree, path)
    return entry is not None and entry.type == "file" and bool(entry.mode & 0o111)
