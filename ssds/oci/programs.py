"""Whether the kernel could start a file of an image: format, machine, loader, interpreter.

Nothing is run. Sources: execve(2), elf(5).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from ssds.core.errors import IntegrityError
from ssds.core.records import dataclass
from ssds.core.text import shown
from ssds.oci.elf import MACHINE_NAMES, MACHINES, MAGIC, read_elf
from ssds.oci.flatten import Entry, FlatTree

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HEAD_BYTES = 4096
FILES_LIMIT = 100_000
FOUND_LIMIT = 4096
"""How many commands that nobody declared an image may offer."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@%=,~:-]{0,127}")
"""A name that a wrapper, a module and a lock can have."""
NO_PROGRAM = "neither an ELF program nor a script with #!"


def resolve(tree: FlatTree, path: str) -> Entry | None:
    """Returns what a path means inside the image; None where it dangles or goes round."""
    try:
        return tree.resolve(path)
    except IntegrityError:
        return None


def is_program(entry: Entry | None) -> bool:
    """Whether it is a file with an execute bit."""
    return entry is not None and entry.type == "file" and bool(entry.mode & 0o111)


def search_folders(path: str) -> list[str]:
    """Returns the absolute folders of a PATH."""
    return [posixpath.normpath(f) for f in path.split(":") if f.startswith("/")]


def start_problem(tree: FlatTree, entry: Entry, architecture: str, search: Sequence[str]) -> str:
    """Returns why the kernel could not start this file, or the empty string."""
    head = _head(tree, entry)
    if head.startswith(MAGIC):
        return _elf_problem(tree, entry, architecture)
    if head.startswith(b"#!"):
        problems = (interpreter_problem(tree, i, search) for i in interpreters(head))
        return next((p for p in problems if p), "")
    return NO_PROGRAM


def _head(tree: FlatTree, entry: Entry) -> bytes:
    with tree.open_entry(entry) as file:
        return file.read(HEAD_BYTES)


def _elf_problem(tree: FlatTree, entry: Entry, architecture: str) -> str:
    elf = read_elf(tree, entry)
    if elf is None:
        return "its ELF header is damaged or big-endian"
    if elf.machine not in MACHINES[architecture]:
        name = MACHINE_NAMES.get(elf.machine, f"machine {elf.machine}")
        return f"built for {name}, not for {architecture}"
    if elf.loader and resolve(tree, elf.loader) is None:
        return f"its loader {shown(elf.loader)[:100]} is not in the image"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A program that the first line of a script names; ``searched``: by ``env``, along PATH."""

    name: str
    searched: bool = False

    def find(self, tree: FlatTree, search: Sequence[str]) -> str:
        """Returns the path that it means, or the empty string where the image has none."""
        places = (f"{folder}/{self.name}" for folder in search)
        if not self.searched or self.name.startswith("/"):
            places = (self.name for _ in range(1))
        return next((p for p in places if is_program(resolve(tree, p))), "")


def script_interpreters(tree: FlatTree, entry: Entry) -> tuple[Interpreter, ...]:
    """Returns the programs that a script names in its first line; none for other files."""
    head = _head(tree, entry)
    return interpreters(head) if head.startswith(b"#!") else ()


def interpreters(head: bytes) -> tuple[Interpreter, ...]:
    """Returns the interpreter of a ``#!`` line, and after ``env`` the program that it looks for."""
    line = head[2:].split(b"\n", 1)[0].decode("utf-8", "surrogateescape")
    words = [word for word in line.replace("\t", " ").split(" ") if word]
    first = Interpreter(name=words[0] if words else "")
    if posixpath.basename(first.name) != "env":
        return (first,)
    rest = [w for w in words[1:] if not w.startswith("-") and "=" not in w]
    return (first, *(Interpreter(name=name, searched=True) for name in rest[:1]))


def interpreter_problem(tree: FlatTree, wanted: Interpreter, search: Sequence[str]) -> str:
    """Returns what is wrong with an interpreter, or the empty string."""
    name = shown(wanted.name)[:100]
    if not wanted.searched and not name.startswith("/"):
        return f"its interpreter {name!r} is not an absolute path"
    if not wanted.find(tree, search):
        return f"its interpreter {name} is not in the image"
    return ""
