"""The merged view of an image's layers, without unpacking any.

Rules: OCI image specification 1.1, layer.md ("Applying changesets", "Whiteouts"), and overlayfs
where that leaves things open:

- whiteouts and opaque marks hide what lower layers hold, never what their own layer brings, at
  whatever place they stand in the archive;
- a type change replaces the whole subtree; the last of double entries wins;
- a hard link names the content that its target has at that moment, in this layer or a lower one;
- parents that are symbolic links are followed, as in the container; nothing leaves the root.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO, Never, cast

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.oci.content import Content, Entry, entry_of
from ssds.oci.tarindex import DEPTH_LIMIT, PATH_LIMIT_BYTES, Member, index_tar

__all__ = ["Entry", "FlatTree", "add_layer", "flatten"]

LINK_LIMIT = 40
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_ROOT = ""


class FlatTree:
    """What a program in the container sees; only this module writes it."""

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self.entries: dict[str, Entry] = {_ROOT: Entry(path=_ROOT, type="folder", mode=0o755)}
        self.children: dict[str, dict[str, None]] = {_ROOT: {}}

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, path: str) -> Entry | None:
        """Returns the entry at exactly this path, no link followed."""
        return self.entries.get(path.strip("/"))

    def names(self, folder: str) -> list[str]:
        """Returns the sorted names in a folder; none for anything else."""
        return sorted(self.children.get(folder.strip("/"), ()))

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """Gives the entry at ``prefix`` and all below it: a folder, then its names in order."""
        start = self.entries.get(prefix.strip("/"))
        stack = [start] if start else []
        while stack:
            entry = stack.pop()
            yield entry
            names = self.children.get(entry.path)
            if names:
                base = entry.path + "/" if entry.path else ""
                stack.extend(self.entries[base + name] for name in sorted(names, reverse=True))

    def remove(self, path: str) -> None:
        """Removes a path and all below it; nothing where it is not there."""
        if path not in self.entries:
            return
        folder, _, name = path.rpartition("/")
        self.children[folder].pop(name, None)
        stack = [path]
        while stack:
            gone = stack.pop()
            del self.entries[gone]
            stack.extend(f"{gone}/{child}" for child in self.children.pop(gone, ()))

    def resolve(self, path: str, *, follow: bool = True) -> Entry | None:
        """Returns the entry that ``path`` means inside the root, or None where there is nothing.

        Symbolic links are followed as in a chroot: ``..`` and absolute targets stay inside.

        Args:
            follow: also follow a link at the end of the path.

        Raises:
            IntegrityError: O035, a loop of symbolic links.
        """
        where, rest = self.reach(path, follow=follow)
        return None if rest else self.entries.get(where)

    def reach(self, path: str, *, follow: bool = True) -> tuple[str, list[str]]:
        """Returns the real path as far as it exists and the names that are left."""
        rest = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        where = _ROOT
        links = 0
        while rest:
            name = rest.pop()
            if name == "..":
                where = where.rpartition("/")[0]
                continue
            step = f"{where}/{name}" if where else name
            entry = self.entries.get(step)
            if entry is None:
                return where, [name, *reversed(rest)]
            if entry.type == "symlink" and (rest or follow):
                links += 1
                if links > LINK_LIMIT:
                    raise IntegrityError(
                        f"the image's path /{path[:200]} goes round in symbolic links",
                        hint="The image is broken at this path.",
                        code="O035",
                    )
                if entry.target.startswith("/"):
                    where = _ROOT
                rest.extend(p for p in reversed(entry.target.split("/")) if p not in ("", "."))
                continue
            if rest and entry.type != "folder":
                return step, list(reversed(rest))
            where = step
        return where, []

    def open(self, path: str) -> BinaryIO:
        """Opens a file's content, links followed; the object can seek.

        Raises:
            UnavailableError: O036, there is no such file.
        """
        entry = self.resolve(path)
        if entry is None or entry.type != "file":
            raise UnavailableError(f"the image has no file /{path.strip('/')[:200]}", code="O036")
        return self.open_entry(entry)

    def open_entry(self, entry: Entry) -> BinaryIO:
        """Opens the content of a file entry of this tree."""
        content = Content(self.layers[entry.layer], entry)
        return cast(BinaryIO, io.BufferedReader(content, 64 * 1024))

    def read(self, path: str, limit_bytes: int) -> bytes:
        """Returns a file's content, links followed.

        Raises:
            UnavailableError: O036, there is no such file.
            IntegrityError: O037, it is larger than ``limit_bytes``.
        """
        with self.open(path) as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise IntegrityError(
                f"the image's file /{path.strip('/')[:200]} is larger than {limit_bytes} bytes",
                hint="It was not read: no file of this kind is so large.",
                code="O037",
            )
        return data


def flatten(layer_tars: Sequence[str]) -> FlatTree:
    """Returns the merged view of uncompressed layer tars, base first.

    Raises:
        IntegrityError: O030 to O035; the message names the layer and the entry.
    """
    tree = FlatTree(layer_tars)
    for number, path in enumerate(layer_tars):
        _Layer(tree, number, f"layer {number + 1} of {len(layer_tars)}").apply(path)
    return tree


def add_layer(tree: FlatTree, path: str, what: str) -> None:
    """Puts one more layer tar on top of ``tree``; raises IntegrityError as ``flatten`` does."""
    tree.layers = (*tree.layers, path)
    _Layer(tree, len(tree.layers) - 1, what).apply(path)


class _Layer:
    """Applies one layer's entries to the tree."""

    def __init__(self, tree: FlatTree, number: int, what: str) -> None:
        self.tree = tree
        self.number = number
        self.what = what

    def apply(self, path: str) -> None:
        members: list[Member] = []
        hides: list[tuple[str, str]] = []
        for member in index_tar(path, what=self.what):
            folder, _, name = member.path.rpartition("/")
            if name.startswith(_WHITEOUT):
                hides.append((folder, name))
            else:
                members.append(member)
        # A link may name what this very layer hides (a rename made of link and whiteout).
        below = self._lower_targets(members) if hides and self.number else {}
        if hides and self.number:
            brought = {m.path for m in members if m.type != "symlink"}
            for folder, name in hides:
                self._hide(folder, name, brought)
        else:
            for _, name in hides:
                self._whiteout_name(name)
        for member in members:
            self._add(member, below)

    def _lower_targets(self, members: Sequence[Member]) -> dict[str, Entry]:
        targets = {m.target for m in members if m.type == "hardlink"}
        found = ((target, self.tree.resolve(target, follow=False)) for target in targets)
        return {target: entry for target, entry in found if entry}

    def _whiteout_name(self, name: str) -> str:
        hidden = name[len(_WHITEOUT) :]
        if hidden in ("", ".", ".."):
            raise IntegrityError(
                f"{self.what}: {name!r} hides nothing that can exist",
                hint="The layer is damaged or hostile; it was not unpacked.",
                code="O034",
            )
        return hidden

    def _hide(self, folder: str, name: str, brought: set[str]) -> None:
        """Hides one lower path, or all children of a folder."""
        hidden = self._whiteout_name(name)
        if hidden.startswith(_WHITEOUT) and name != _OPAQUE:
            return  # aufs keeps its own marks as .wh..wh.plnk and the like
        where = _ROOT
        for part in folder.split("/") if folder else ():
            step = f"{where}/{part}" if where else part
            entry = self.tree.entries.get(step)
            if entry is not None and entry.type == "symlink":
                if step in brought:
                    return  # the layer puts its own folder there; the lower one has no children
                entry = self.tree.resolve(step)
            if entry is None or entry.type != "folder":
                return
            where = entry.path
        if name == _OPAQUE:
            for child in list(self.tree.children.get(where, ())):
                self.tree.remove(f"{where}/{child}" if where else child)
        else:
            self.tree.remove(f"{where}/{hidden}" if where else hidden)

    def _folder(self, path: str, mtime: int) -> str:
        """Returns the real path of a parent folder, made where it is missing."""
        entry = self.tree.entries.get(path)
        if entry is not None and entry.type == "folder":
            return path
        where, rest = self.tree.reach(path)
        if self.tree.entries[where].type != "folder":
            self.tree.remove(where)
            folder, _, name = where.rpartition("/")
            where, rest = folder, [name, *rest]
        for name in rest:
            if name == "..":
                where = where.rpartition("/")[0]
                continue
            where = f"{where}/{name}" if where else name
            if where not in self.tree.entries:
                self._put(Entry(path=where, type="folder", mode=0o755, mtime=mtime))
        return where

    def _put(self, entry: Entry) -> None:
        tree = self.tree
        if entry.path.count("/") >= DEPTH_LIMIT or len(entry.path) > PATH_LIMIT_BYTES:
            raise IntegrityError(
                f"{self.what}: links make the path /{entry.path[:60]}… too deep or too long",
                hint="The layer is damaged or hostile; it was not unpacked.",
                code="O031",
            )
        tree.entries[entry.path] = entry
        if entry.path != _ROOT:
            folder, _, name = entry.path.rpartition("/")
            tree.children[folder][name] = None
        if entry.type == "folder":
            tree.children.setdefault(entry.path, {})

    def _add(self, member: Member, below: Mapping[str, Entry]) -> None:
        path = member.path
        if path == _ROOT:
            if member.type != "folder":
                self._refuse(member, "the root is not a folder")
        else:
            folder, _, name = path.rpartition("/")
            real = self._folder(folder, member.mtime)
            path = f"{real}/{name}" if real else name
        if member.type == "hardlink":
            self._link(member, path, below)
            return
        old = self.tree.entries.get(path)
        if old is not None and (old.type != "folder" or member.type != "folder"):
            self.tree.remove(path)
        self._put(
            entry_of(
                member,
                path,
                layer=self.number,
                content_id=(self.number, member.header_offset),
            )
        )

    def _link(self, member: Member, path: str, below: Mapping[str, Entry]) -> None:
        target = self.tree.resolve(member.target, follow=False) or below.get(member.target)
        if target is None:
            self._refuse(member, f"its target /{member.target[:200]} does not exist")
        if target.type == "folder":
            self._refuse(member, f"its target /{member.target[:200]} is a folder")
        if target.path == path:
            return
        if path in self.tree.entries:
            self.tree.remove(path)
            if target.path not in self.tree.entries and target.path.startswith(path + "/"):
                self._refuse(member, "it replaces the folder that its target is in")
        self._put(replace(target, path=path))

    def _refuse(self, member: Member, problem: str) -> Never:
        where = f"hard link /{member.path[:200]}: " if member.type == "hardlink" else ""
        raise IntegrityError(
            f"{self.what}: {where}{problem}",
            hint="The layer is damaged or hostile; it was not unpacked.",
            code="O034",
        )
