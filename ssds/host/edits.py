"""Random edits of a scratch copy of a workspace, for ``ssds selfcheck``.

They are those of people and programs: saving in place or by rename, with or without the old times,
moves, links, rights, new and lost files. What they mean is left to the reader of the files: an
edit may break a recipe, so each one can be undone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time

from ssds.host.scratch import LOCK_SUFFIX, MAX_BYTES, RECIPE, Edit, Editing, read

_PAST_NS = 1_500_000_000 * 10**9
_LETTER = re.compile(rb"(?<=[a-z ])[a-z](?=[a-z\n])")

EDITS: list[Edit] = []


def _edit(function: Edit) -> Edit:
    EDITS.append(function)
    return function


@_edit
def _touched(editing: Editing) -> str:
    path = editing.any_file()
    if not path:
        return ""
    moment = editing.random.choice((time.time_ns(), _PAST_NS, 3 * _PAST_NS))
    os.utime(path, ns=(moment, moment))
    return f"touched {editing.name(path)}"


@_edit
def _written_again(editing: Editing) -> str:
    path = editing.any_file()
    if not path or os.path.getsize(path) > MAX_BYTES:
        return ""
    return f"written again: {editing.put(path, read(path))}"


@_edit
def _comment(editing: Editing) -> str:
    path = editing.recipe_file()
    if not path:
        return ""
    return "a comment: " + editing.put(path, read(path) + b"# %d\n" % editing.number())


@_edit
def _line_ends(editing: Editing) -> str:
    path = editing.recipe_file()
    if not path:
        return ""
    data = read(path)
    lf = data.replace(b"\r\n", b"\n")
    return "line ends: " + editing.put(path, lf.replace(b"\n", b"\r\n") if lf == data else lf)


@_edit
def _one_letter(editing: Editing) -> str:
    path = editing.recipe_file()
    data = read(path) if path else b""
    places = [match.start() for match in _LETTER.finditer(data)]
    if not places:
        return ""
    at = editing.random.choice(places)
    letter = editing.random.choice([c for c in b"aeiou" if c != data[at]])
    return "one letter: " + editing.put(path, data[:at] + bytes([letter]) + data[at + 1 :])


@_edit
def _summary(editing: Editing) -> str:
    path = editing.recipe_file()
    data = read(path) if path else b""
    changed = re.sub(rb"(?m)^(summary: \w[\w ]*)$", rb"\1 %d" % editing.number(), data, count=1)
    return "a summary: " + editing.put(path, changed) if changed != data else ""


@_edit
def _local_bytes(editing: Editing) -> str:
    path = editing.local_file()
    if not path or not 0 < os.path.getsize(path) <= MAX_BYTES:
        return ""
    data = bytearray(read(path))
    data[editing.random.randrange(len(data))] ^= 1
    return "one bit: " + editing.put(path, bytes(data))


@_edit
def _rights(editing: Editing) -> str:
    path = editing.local_file()
    if not path:
        return ""
    os.chmod(path, os.stat(path).st_mode ^ 0o111)
    return f"execute bit of {editing.name(path)}"


@_edit
def _local_moved(editing: Editing) -> str:
    path = editing.local_file()
    if not path:
        return ""
    os.replace(path, f"{path}.moved")
    if editing.random.random() < 0.5:
        os.symlink(os.path.basename(f"{path}.moved"), path)
        return f"{editing.name(path)} is a link"
    return f"{editing.name(path)} renamed"


@_edit
def _local_added(editing: Editing) -> str:
    folder = editing.recipe()
    places = [place for place, _, _ in os.walk(folder)] if folder else []
    if not places:
        return ""
    path = os.path.join(editing.random.choice(sorted(places)), f"added-{editing.number()}")
    with open(path, "wb") as file:
        file.write(b"added")
    return f"{editing.name(path)} added"


@_edit
def _recipe_added(editing: Editing) -> str:
    folder = editing.recipe()
    if not folder:
        return ""
    old, name = os.path.basename(folder), f"added{editing.number()}"
    new = editing.new(os.path.join(editing.catalog, name))
    shutil.copytree(folder, new, symlinks=True)
    path = os.path.join(new, RECIPE)
    if not os.path.islink(path):
        line = re.compile(rb"(?m)^name: *%b *$" % re.escape(os.fsencode(old)))
        data = line.sub(b"name: " + name.encode(), read(path), count=1)
        with open(path, "wb") as file:
            file.write(data)
    return f"{editing.name(new)} added"


@_edit
def _recipe_removed(editing: Editing) -> str:
    folder = editing.recipe()
    if not folder:
        return ""
    if editing.random.random() < 0.5:
        os.unlink(os.path.join(folder, RECIPE))
        return f"{editing.name(folder)}/{RECIPE} removed"
    shutil.rmtree(folder)
    return f"{editing.name(folder)} removed"


@_edit
def _recipe_linked(editing: Editing) -> str:
    folder = editing.recipe()
    if not folder:
        return ""
    if editing.random.random() < 0.5:
        hidden = editing.new(os.path.join(editing.catalog, f".{os.path.basename(folder)}"))
        if os.path.lexists(hidden):
            return ""
        os.replace(folder, hidden)
        os.symlink(os.path.basename(hidden), folder)
        return f"{editing.name(folder)} is a link"
    path = os.path.join(folder, RECIPE)
    os.replace(path, f"{path}.real")
    os.symlink(f"{RECIPE}.real", path)
    return f"{editing.name(path)} is a link"


@_edit
def _broken(editing: Editing) -> str:
    path = editing.recipe_file() if editing.random.random() < 0.5 else editing.lock()
    if not path:
        return ""
    data = editing.random.choice((b"", b"{", b"\xff", b"name: [", b"[]"))
    return f"broken: {editing.put(path, data)}"


@_edit
def _lock_moved(editing: Editing) -> str:
    path = editing.lock()
    if not path:
        return ""
    if editing.random.random() < 0.5:
        os.unlink(path)
        return f"{editing.name(path)} removed"
    other = editing.new(os.path.join(editing.locks, f"moved{editing.number()}@1{LOCK_SUFFIX}"))
    os.replace(path, other)
    return f"{editing.name(path)} renamed"


@_edit
def _lock_layout(editing: Editing) -> str:
    import json

    path = editing.lock()
    with contextlib.suppress(ValueError):
        if path:
            value = json.loads(read(path))
            return "another layout: " + editing.put(path, json.dumps(value).encode())
    return ""


@_edit
def _stray(editing: Editing) -> str:
    place = editing.random.choice((editing.catalog, editing.locks))
    path = editing.new(os.path.join(place, f"stray-{editing.number()}.txt"))
    with contextlib.suppress(OSError), open(path, "wb") as file:
        file.write(b"stray")
        return f"{editing.name(path)} added"
    return ""
