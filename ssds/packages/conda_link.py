"""Links conda packages to the tree of one environment, with the same bytes on every machine.

This runs no foreign program: archives are unpacked, placeholders replaced by the prefix, files
moved to their place, records written. What must run in the image (byte code of Python packages,
post-link scripts) is left to the script of ``conda_install``. Sources: conda's CEP 12 (records in
``conda-meta``), PEP 552 (byte code).
"""

from __future__ import annotations

import graphlib
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ssds.core.canonical import Json
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.pins import PinnedPackage
from ssds.host import local
from ssds.host.archives import unpack_archive
from ssds.host.safe_folder import MIB, Limits, SafeFolder, held
from ssds.packages.conda_package import (
    CondaPackage,
    PathEntry,
    damaged,
    read_package,
    short_version,
    site_packages,
)
from ssds.packages.conda_record import record_bytes

_LIMITS = Limits()
_CHANGED_BYTES = 512 * MIB
"""The most that a file may have whose bytes are changed: it is in memory."""


@dataclass(slots=True, kw_only=True)
class Staged:
    """A linked environment that waits to be copied to its prefix.

    Attributes:
        python: the environment's own interpreter below the prefix, or the empty string.
        compiled: Python files whose byte code is to be made, below the prefix; sorted.
        post_links: packages with a post-link script, in the order in which they run.
        notes: what people should know.
    """

    python: str = ""
    compiled: list[str] = field(default_factory=list)
    post_links: list[CondaPackage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stage(
    folder: str, scratch: str, packages: Sequence[tuple[PinnedPackage, str]], prefix: str
) -> Staged:
    """Fills ``folder`` with what the environment at ``prefix`` holds.

    Args:
        folder: exists and is empty.
        scratch: an empty folder on the same file system.
        packages: each with the path of its archive, whose sha256 was checked.
        prefix: the absolute path in the image.

    Raises:
        IntegrityError: an archive that is damaged, hostile or not what its pin says; packages
            that cannot be linked together.
    """
    found = []
    for number, (pin, path) in enumerate(packages):
        unpacked = os.path.join(scratch, str(number))
        unpack_archive(path, unpacked, _LIMITS, name=pin.file.name)
        found.append(read_package(pin, unpacked))
    ordered = _ordered(found)
    python = next((p for p in ordered if p.pin.name == "python"), None)
    tree = SafeFolder(folder, prefix, _LIMITS)
    try:
        linking = _Linking(tree, prefix, python)
        for package in ordered:
            linking.add(package)
    finally:
        tree.close()
    staged = linking.staged
    staged.compiled.sort()
    if python is not None:
        staged.python = f"bin/python{short_version(python.pin.version)}"
    return staged


def _ordered(packages: Iterable[CondaPackage]) -> list[CondaPackage]:
    """Returns packages with what they need before them; circles are cut, by name.

    What is needed is looked up in the packages' own lists.
    """
    by_name = {p.pin.name: p for p in sorted(packages, key=lambda p: p.pin.name)}
    needs = {
        n: [d for d in dict.fromkeys(p.depends) if d in by_name and d != n]
        for n, p in by_name.items()
    }
    order = _without_circles(needs)
    found: list[CondaPackage] = []
    while order.is_active():
        ready = sorted(order.get_ready())
        found += [by_name[name] for name in ready]
        order.done(*ready)
    return found


def _without_circles(needs: dict[str, list[str]]) -> graphlib.TopologicalSorter[str]:
    """Returns a prepared sorter; of each circle, one need of its first name is forgotten."""
    while True:
        order = graphlib.TopologicalSorter(needs)
        try:
            order.prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
            first = min(range(len(circle) - 1), key=lambda i: circle[i])
            needs[circle[first + 1]].remove(circle[first])
            continue
        return order


class _Linking:
    """Puts one package after the other into the tree."""

    def __init__(self, tree: SafeFolder, prefix: str, python: CondaPackage | None) -> None:
        self.tree, self.prefix, self.python = tree, prefix, python
        self.staged = Staged()
        self.owners: dict[str, str] = {}

    def add(self, package: CondaPackage) -> None:
        """Links one package and writes its record."""
        name = package.pin.name
        rows: list[Json] = []
        for entry in sorted(package.paths, key=lambda e: _is_byte_code(e.path)):
            target = self._target(package, entry.path)
            self._claim(target, name)
            rows.append(self._link(package, entry, target))
        rows += [
            self._entry_point(package, p.name, p.module, p.function) for p in package.entry_points
        ]
        record = record_bytes(package.pin, package.index, rows)
        place = f"conda-meta/{package.pin.name}-{package.pin.version}-{package.pin.build}.json"
        self.tree.file(place, io.BytesIO(record), executable=False, mtime_s=0)
        self._scripts(package)

    def _target(self, package: CondaPackage, path: str) -> str:
        if not package.python:
            return path
        head, slash, rest = path.partition("/")
        if slash and head == "python-scripts":
            return f"bin/{rest}"
        if slash and head == "site-packages":
            return f"{site_packages(self._interpreter(package))}/{rest}"
        return path

    def _interpreter(self, package: CondaPackage) -> CondaPackage:
        if self.python is None:
            raise IntegrityError(
                f"{package.pin.name} is a Python package, and the set has no python",
                code="F070",
                hint="Add python to the packages of the step.",
            )
        return self.python

    def _claim(self, target: str, name: str) -> None:
        before = self.owners.get(target)
        if before is not None and before != name:
            self.staged.notes.append(f"{target}: {name} replaces the one of {before}")
        self.owners[target] = name

    def _link(self, package: CondaPackage, entry: PathEntry, target: str) -> Json:
        row: dict[str, Json] = {"_path": target, "path_type": entry.kind}
        if entry.kind == "directory":
            self.tree.folder(target, 0)
            return row
        with held(package.folder, entry.path) as found:
            if found is None or stat.S_ISDIR(found[2].st_mode):
                raise damaged(package.pin, f"lists {entry.path[:120]!r}, and does not hold it")
            holder, leaf, status = found
            if stat.S_ISLNK(status.st_mode):
                self.tree.adopt(target, holder, leaf)
                return row | {"path_type": "softlink"}
            self._note(package, target)
            data = self._changed(package, entry)
            if data is None:
                self.tree.adopt(target, holder, leaf)
        if data is None:
            row["size_in_bytes"] = status.st_size
            digest = entry.sha256
        else:
            executable = bool(status.st_mode & 0o111)
            self.tree.file(target, io.BytesIO(data), executable=executable, mtime_s=0)
            digest = hashlib.sha256(data).hexdigest()
            row["size_in_bytes"] = len(data)
        if entry.placeholder:
            row["prefix_placeholder"] = entry.placeholder
            row["file_mode"] = "binary" if entry.binary else "text"
        stated = {"sha256": entry.sha256, "sha256_in_prefix": digest}
        return row | {key: value for key, value in stated.items() if value}

    def _changed(self, package: CondaPackage, entry: PathEntry) -> bytes | None:
        """Returns the bytes that a file has at this prefix, or None for those that it has."""
        byte_code = _is_byte_code(entry.path)
        if not entry.placeholder and not byte_code:
            return None
        data = self._read(package, package.folder, entry.path)
        if byte_code:
            source = _source_of(entry.path)
            place = self._target(package, source)
            text = self._read(package, self.tree.path, place) if source else b""
            return unchecked_byte_code(data, text)
        old, new = entry.placeholder.encode(), self.prefix.encode()
        if len(data) + data.count(old) * max(0, len(new) - len(old)) > _CHANGED_BYTES:
            raise damaged(package.pin, f"has too large a file to change: {entry.path[:120]!r}")
        if not entry.binary:
            return data.replace(old, new)
        if len(new) > len(old):
            raise IntegrityError(
                f"the prefix {self.prefix} is longer than the {len(old)} bytes that "
                f"{package.pin.file.name} has room for",
                code="F071",
                hint="Choose a shorter prefix.",
            )
        return with_prefix(data, old, new)

    def _read(self, package: CondaPackage, folder: str, path: str) -> bytes:
        try:
            return local.read_below(folder, path, _CHANGED_BYTES) or b""
        except InvalidValue as error:
            raise damaged(package.pin, f"has too large a file to change: {path[:120]!r}") from error

    def _note(self, package: CondaPackage, target: str) -> None:
        if package.python and target.endswith(".py"):
            self.staged.compiled.append(target)
        if re.fullmatch(r"etc/conda/activate\.d/[^/]+", target):
            note = f"{target}: {package.pin.name} sets variables on activation; it is not run"
            self.staged.notes.append(note)

    def _entry_point(self, package: CondaPackage, name: str, module: str, function: str) -> Json:
        version = short_version(self._interpreter(package).pin.version)
        first = function.partition(".")[0]
        text = (
            f"#!{self.prefix}/bin/python{version}\n"
            f"import sys\n\nfrom {module} import {first}\n\n"
            f'if __name__ == "__main__":\n    sys.exit({function}())\n'
        ).encode()
        target = f"bin/{name}"
        self._claim(target, package.pin.name)
        self.tree.file(target, io.BytesIO(text), executable=True, mtime_s=0)
        return {
            "_path": target,
            "path_type": "unix_python_entry_point",
            "sha256_in_prefix": hashlib.sha256(text).hexdigest(),
            "size_in_bytes": len(text),
        }

    def _scripts(self, package: CondaPackage) -> None:
        name = package.pin.name
        paths = {entry.path for entry in package.paths}
        if f"bin/.{name}-pre-link.sh" in paths:
            raise IntegrityError(
                f"{package.pin.file.name} wants to run a script before it is installed",
                code="F072",
                hint="Such scripts are not run (conda warns of them too); ask for another build.",
            )
        if f"bin/.{name}-post-link.sh" in paths:
            self.staged.post_links.append(package)


# --- bytes ---------------------------------------------------------------------------------------


def with_prefix(data: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    """Returns a binary with the prefix in each C string, NULs at the string's end for the rest.

    The length stays; ``prefix`` is not longer than ``placeholder``.
    """
    parts, at = [], 0
    while (start := data.find(placeholder, at)) >= 0:
        end = data.find(b"\0", start)
        end = len(data) if end < 0 else end
        text = data[start:end].replace(placeholder, prefix)
        parts += [data[at:start], text, b"\0" * (end - start - len(text))]
        at = end
    return b"".join([*parts, data[at:]])


def _is_byte_code(path: str) -> bool:
    return path.endswith(".pyc")


def _source_of(path: str) -> str:
    """Returns the .py file that byte code belongs to, below the package."""
    folder, slash, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.')[0]}.py" if slash else ""


def unchecked_byte_code(data: bytes, source: bytes) -> bytes:
    """Returns byte code that carries its source's hash instead of its time (PEP 552).

    Times in a layer are not those of the package, so Python would not trust it and compile anew
    at every start. Byte code of Python before 3.7 stays as it is.
    """
    import _imp

    magic = int.from_bytes(data[:2], "little")
    plain = data[4:8] == b"\0\0\0\0" and data[2:4] == b"\r\n" and len(data) >= 16
    if not plain or not 3390 <= magic < 20_000:
        return data
    digest = _imp.source_hash(int.from_bytes(data[:4], "little"), source)
    return data[:4] + b"\1\0\0\0" + digest + data[16:]
