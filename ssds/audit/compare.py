"""Compares a rebuilt image with the released one: trees, then layers, config, compressed bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

from ssds.audit.causes import cause
from ssds.audit.model import DIFFERS, IDENTICAL, LOST, NORMALISED, Comparison, Image
from ssds.oci import normal
from ssds.oci.flatten import Entry, FlatTree, flatten
from ssds.store.ledger import AuditedFile

_CHUNK = 1 << 20
_READ_LIMIT = 16 << 20
"""Of larger files the cause is not looked for: it is their content."""
_LIST_LIMIT = 8 << 20
_INFO = "var/lib/dpkg/info"
_NEVER = frozenset({"diff_ids", "history"})

Owner = Callable[[Entry, bool], str]


def compare(
    released: Image,
    rebuilt: Image,
    *,
    epoch: int,
    names: Iterable[str] = (),
    layer_name: Callable[[int], str] = lambda number: f"layer {number + 1}",
) -> Comparison:
    """Returns how two images differ, and in which files.

    Args:
        released: the image of the lock; its bytes may be missing, the rebuilt one's may not.
        epoch: SOURCE_DATE_EPOCH in seconds: later file times mean this one.
        names: what a file may not know of this machine (``causes.cause``).
        layer_name: says which step wrote a layer.
    """
    if released.manifest == rebuilt.manifest:
        return Comparison(result=IDENTICAL)
    if released.diff_ids == rebuilt.diff_ids:
        return _compare_forms(released, rebuilt)
    if not released.tars:
        note = "the released bytes are neither in the store nor in a channel: only digests were"
        return Comparison(
            result=DIFFERS, level="layers", bytes_compared=False, note=f"{note} compared"
        )
    before, after = flatten(released.tars), flatten(rebuilt.tars)
    same = {
        (a, b)
        for a, first in enumerate(released.diff_ids)
        for b, second in enumerate(rebuilt.diff_ids)
        if first == second
    }
    walk = _Walk(before, after, same, epoch, tuple(names), _owners(after, layer_name))
    files = tuple(walk.differences())
    if files:
        return Comparison(result=DIFFERS, level="tree", files=files)
    changed = _config_differs(released, rebuilt)
    if changed:
        return Comparison(result=DIFFERS, level="config", note=changed)
    note = "the files are the same; the layers hold them in another form"
    return Comparison(result=NORMALISED, level="layers", note=note)


def _compare_forms(released: Image, rebuilt: Image) -> Comparison:
    """Compares images of the same uncompressed layers."""
    if released.config == rebuilt.config:
        note = "the layers are the same; their compressed bytes or the manifest's words are not"
        return Comparison(result=NORMALISED, level="manifest", note=note)
    if not released.config_bytes:
        note = "the released config is not here: only digests were compared"
        return Comparison(result=DIFFERS, level="config", bytes_compared=False, note=note)
    changed = _config_differs(released, rebuilt)
    if changed:
        return Comparison(result=DIFFERS, level="config", note=changed)
    note = "the configs say the same in other words"
    return Comparison(result=NORMALISED, level="config", note=note)


def _config_differs(released: Image, rebuilt: Image) -> str:
    """Returns which fields of the configs differ, layers and history aside."""
    if not released.config_bytes or released.config == rebuilt.config:
        return ""
    first, second = (_flat(json.loads(image.config_bytes)) for image in (released, rebuilt))
    fields = sorted(k for k in first.keys() | second.keys() if first.get(k) != second.get(k))
    return f"the config differs in {', '.join(fields[:10])}" if fields else ""


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, object] = {}
    for key, item in value.items():
        if key not in _NEVER:
            found.update(_flat(item, f"{name}.{key}" if name else str(key)))
    return found


class _Walk:
    """Goes through two trees path by path."""

    def __init__(
        self,
        before: FlatTree,
        after: FlatTree,
        same: set[tuple[int, int]],
        epoch: int,
        names: tuple[str, ...],
        owner: Owner,
    ) -> None:
        self.before, self.after = before, after
        self.same = same
        self.epoch = epoch
        self.names = names
        self.owner = owner

    def differences(self) -> Iterable[AuditedFile]:
        """Gives every path that differs under normalisation, in order."""
        for path in sorted(self.before.entries.keys() | self.after.entries.keys()):
            if not path or normal.is_dropped(path):
                continue
            first, second = self.before.entries.get(path), self.after.entries.get(path)
            if first is None or second is None:
                entry = first or second
                assert entry is not None
                if entry.type == "folder" and entry.layer < 0:
                    continue  # only implied by what is in it, which is told itself
                where = "only in the released image" if second is None else "only in the rebuild"
                yield self._file(entry, "content", where, found=second is not None)
                continue
            found = self._differ(first, second)
            if found is not None:
                yield self._file(second, *found, found=True)

    def _file(self, entry: Entry, cause_: str, what: str, *, found: bool) -> AuditedFile:
        return AuditedFile(path=entry.path, cause=cause_, what=what, owner=self.owner(entry, found))

    def _differ(self, first: Entry, second: Entry) -> tuple[str, str] | None:
        """Returns cause and what differs; None where both mean the same."""
        if (first.layer, second.layer) in self.same and first.content_id[1] == (
            second.content_id[1]
        ):
            return None
        for what in ("type", "mode", "uid", "gid"):
            if getattr(first, what) != getattr(second, what):
                before, after = (_shown(getattr(e, what), what) for e in (first, second))
                return "content", f"{what} {before} became {after}"
        if first.target != second.target:
            reason = cause(first.target.encode(), second.target.encode(), self.names)
            return reason, "link target"
        if first.type == "file" and first.path not in normal.EMPTIED:
            reason = self._contents(first, second)
            if reason:
                return reason, "content"
        if min(first.mtime, self.epoch) != min(second.mtime, self.epoch):
            return "timestamps", "file time"
        if _xattrs(first) != _xattrs(second):  # the last: what is explained differs in nothing else
            return "attributes", _attributes(_xattrs(first), _xattrs(second))
        return None

    def _contents(self, first: Entry, second: Entry) -> str:
        """Returns why two files' contents differ; the empty string where they do not."""
        if first.size_bytes == second.size_bytes and self._equal(first, second):
            return ""
        if max(first.size_bytes, second.size_bytes) > _READ_LIMIT:
            return "content"
        with (
            closing(self.before.open_entry(first)) as before,
            closing(self.after.open_entry(second)) as after,
        ):
            return cause(before.read(), after.read(), self.names)

    def _equal(self, first: Entry, second: Entry) -> bool:
        with (
            closing(self.before.open_entry(first)) as before,
            closing(self.after.open_entry(second)) as after,
        ):
            while True:
                data = before.read(_CHUNK)
                if data != after.read(_CHUNK):
                    return False
                if not data:
                    return True


def _xattrs(entry: Entry) -> dict[str, bytes]:
    return {name: value for name, value in entry.xattrs.items() if normal.kept_xattr(name)}


def _attributes(before: dict[str, bytes], after: dict[str, bytes]) -> str:
    """Returns what differs in the extended attributes."""
    weak = {name for name in before if name.startswith(("user.", "system.posix_acl_"))}
    if after == {name: value for name, value in before.items() if name not in weak}:
        return LOST
    return "extended attributes"


def _shown(value: object, what: str) -> str:
    return f"{value:o}" if what == "mode" and isinstance(value, int) else str(value)


def _owners(tree: FlatTree, layer_name: Callable[[int], str]) -> Owner:
    """Returns a function that says which package or step wrote a path."""
    packages: dict[str, str] = {}

    def owner(entry: Entry, found: bool) -> str:
        if not packages:
            packages.update(_packages(tree))
        package = packages.get(entry.path)
        if package:
            return f"package {package}"
        return layer_name(entry.layer) if found and entry.layer >= 0 else ""

    return owner


def _packages(tree: FlatTree) -> dict[str, str]:
    """Returns path → Debian package, as dpkg's own lists have it."""
    found: dict[str, str] = {"": ""}
    for name in tree.names(_INFO):
        entry = tree.get(f"{_INFO}/{name}")
        if entry is None or not name.endswith(".list") or entry.size_bytes > _LIST_LIMIT:
            continue
        with closing(tree.open_entry(entry)) as file:
            for line in file.read().decode("utf-8", "surrogateescape").splitlines():
                found.setdefault(line.lstrip("/"), name.removesuffix(".list"))
    return found
