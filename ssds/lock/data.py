"""Locks of reference data sets: ``lockfiles/data/<set>@<version>.lock.json``.

Such a lock holds the pins of the sources, the claims of the nodes, what the set is (digest, size,
layers) and what of the catalog its users need: licence, citation, environment, tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ssds.core.canonical import Json
from ssds.core.diagnostics import Collector
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.model import Claim, NodeId, ReleaseName
from ssds.core.pins import SourcePin
from ssds.core.records import dataclass, field, replace
from ssds.host.files import locked, remove_file, sweep
from ssds.lock.check import MISSING, Checker
from ssds.lock.marks import Path
from ssds.lock.model import LOCK_VERSION, SizedBlob, lock_file_name
from ssds.lock.parse import parse_claim
from ssds.lock.parse_pins import RECIPE, SOURCE, parse_source
from ssds.lock.read import DATA_FOLDER, SUFFIX, diagnostic, parse_bytes, read_bytes
from ssds.lock.write import replace_file, source_to_dict, text_of
from ssds.recipe.data_model import DataSet

_VERSION = r"(?!current$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ACTION = r"files|index/[a-z0-9][a-z0-9_-]{0,63}|dataset"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_TABLE = r"[a-z][a-z0-9_]{0,63}"
_VALUE = r"[^\x00-\x1f\x7f]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSet:
    """What a data set is.

    Attributes:
        content: the blob that lists its files; its digest is the set's.
        layers: the blobs that hold them, lowest first.
        files: how many; size_bytes: of their content.
    """

    content: SizedBlob
    layers: tuple[SizedBlob, ...]
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLock:
    """The lock of one data set.

    Attributes:
        about, environment, loc: as ``recipe.data_model.DataSet`` has them.
        sources: source name → pin.
        actions: ``files``, ``index/<name>``, ``dataset`` → claim.
    """

    id: ReleaseName
    about: Mapping[str, Json] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    loc: Mapping[str, Json] = field(default_factory=dict)
    sources: Mapping[str, SourcePin] = field(default_factory=dict)
    actions: Mapping[str, Claim] = field(default_factory=dict)
    made: MadeSet | None = None

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form; empty parts are left out."""
        found: dict[str, Json] = {
            "about": dict(self.about),
            "environment": dict(self.environment),
            "loc": dict(self.loc),
            "sources": {name: source_to_dict(pin) for name, pin in self.sources.items()},
            "actions": {name: claim.to_lock() for name, claim in self.actions.items()},
            "made": _made_to_dict(self.made) if self.made else {},
        }
        return {
            "lock_version": LOCK_VERSION,
            "set": self.id.name,
            "version": self.id.version,
            **{key: value for key, value in found.items() if value},
        }


def _made_to_dict(made: MadeSet) -> dict[str, Json]:
    return {
        "digest": str(made.content.digest),
        "list_size": made.content.size_bytes,
        "layers": [{"digest": str(b.digest), "size": b.size_bytes} for b in made.layers],
        "files": made.files,
        "size": made.size_bytes,
    }


# --- reading -------------------------------------------------------------------------------------


def read_data_locks(
    folder: str, *, shown: str, collector: Collector
) -> dict[ReleaseName, DataLock]:
    """Returns the locks of data sets below the folder of all locks; problems are collected."""
    found: dict[ReleaseName, DataLock] = {}
    place, seen = os.path.join(folder, DATA_FOLDER), f"{shown}/{DATA_FOLDER}"
    try:
        names = sorted(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        if not name.endswith(SUFFIX):
            if not name.startswith("."):
                collector.add(diagnostic("L027", f"{seen}/{name}"))
            continue
        lock = _read(os.path.join(place, name), f"{seen}/{name}", collector)
        if lock is not None:
            found[lock.id] = lock
    return found


def _read(path: str, shown: str, collector: Collector) -> DataLock | None:
    data = read_bytes(path, shown, collector)
    return None if data is None else parse_data_lock_bytes(data, shown, collector)


def read_data_lock(path: str, *, shown: str = "") -> DataLock | None:
    """Returns the lock at ``path``, or None where there is no file; raises InputError."""
    collector = Collector()
    lock = _read(path, shown or path, collector)
    collector.raise_if_failed()
    return lock


def parse_data_lock_bytes(data: bytes, shown: str, collector: Collector) -> DataLock | None:
    """Returns the lock in ``data``; None with diagnostics where it is wrong."""

    def parse(c: Checker, value: object) -> DataLock:
        lock = _parse(c, value)
        expected = lock_file_name(lock.id.name, lock.id.version)
        if not c.faults and os.path.basename(shown) != expected:
            c.fault("L016", ("set",), file=os.path.basename(shown), expected=expected)
        return lock

    return parse_bytes(data, shown, parse, collector)


def _parse(c: Checker, value: object) -> DataLock:
    top = c.map(
        value,
        (),
        required="lock_version set version",
        optional="about environment loc sources actions made",
    )
    if c.number(top.get("lock_version", MISSING), ("lock_version",), least=1) > LOCK_VERSION:
        c.fault("L009", ("lock_version",), known=str(LOCK_VERSION))
    actions = {}
    for name, item in c.any_map(top.get("actions", {}), ("actions",)).items():
        path = ("actions", name)
        c.text(name, path, pattern=_ACTION)
        kind = "dataset" if name == "dataset" else "data"
        actions[name] = parse_claim(c, kind, item, path)
    lock = DataLock(
        id=ReleaseName(
            c.text(top.get("set", MISSING), ("set",), pattern=RECIPE),
            c.text(top.get("version", MISSING), ("version",), pattern=_VERSION),
        ),
        about=_plain(c, top.get("about", {}), ("about",)),
        environment={
            c.text(name, ("environment", name), pattern=_NAME): c.text(
                text, ("environment", name), pattern=_VALUE
            )
            for name, text in c.any_map(top.get("environment", {}), ("environment",)).items()
        },
        loc=_loc(c, top.get("loc", {})),
        sources={
            c.text(name, ("sources", name), pattern=SOURCE): parse_source(
                c, item, ("sources", name)
            )
            for name, item in c.any_map(top.get("sources", {}), ("sources",)).items()
        },
        actions=actions,
        made=_made(c, top["made"]) if "made" in top else None,
    )
    claim = actions.get("dataset")
    told = claim.outputs.get("set") if claim else None
    if not c.faults and told != (lock.made.content.digest if lock.made else None):
        c.fault("L018", ("made",), found="not what the dataset action gave")
    return lock


def _plain(c: Checker, value: object, path: Path) -> Mapping[str, Json]:
    """Returns a map of any texts: only shown to people, escaped where it is written."""
    return c.any_map(value, path)


def _loc(c: Checker, value: object) -> dict[str, Json]:
    tables: dict[str, Json] = {}
    for table, rows in c.any_map(value, ("loc",)).items():
        path = ("loc", table)
        c.text(table, path, pattern=_TABLE)
        tables[table] = [
            {
                c.text(column, (*at, column), pattern=_TABLE): c.text(
                    text, (*at, column), pattern=_VALUE
                )
                for column, text in c.any_map(row, at).items()
            }
            for at, row in c.items(rows, path)
        ]
    return tables


def _made(c: Checker, value: object) -> MadeSet:
    top = c.map(value, ("made",), required="digest list_size layers files size")
    layers = []
    for at, item in c.items(top.get("layers", MISSING), ("made", "layers")):
        entry = c.map(item, at, required="digest size")
        layers.append(_sized(c, entry, at, "size"))
    return MadeSet(
        content=_sized(c, top, ("made",), "list_size"),
        layers=tuple(layers),
        files=c.number(top.get("files", MISSING), ("made", "files")),
        size_bytes=c.number(top.get("size", MISSING), ("made", "size")),
    )


def _sized(c: Checker, top: Mapping[str, object], path: Path, key: str) -> SizedBlob:
    return SizedBlob(
        digest=c.digest(top.get("digest", MISSING), (*path, "digest")),
        size_bytes=c.number(top.get(key, MISSING), (*path, key), least=1),
    )


# --- making and writing --------------------------------------------------------------------------


def action_of(node: NodeId) -> str:
    """Returns the name that a node of a data set has in its lock."""
    return node.part if node.kind == "data" else "dataset"


def described(lock: DataLock, data: DataSet) -> DataLock:
    """Returns the lock with what the catalog says of its set now."""
    return replace(lock, about=data.about, environment=data.environment, loc=data.loc)


def make_data_lock(
    data: DataSet,
    nodes: tuple[NodeId, ...],
    before: DataLock,
    claims: Mapping[NodeId, Claim],
    read: Callable[[Digest], bytes | None],
) -> DataLock:
    """Returns the lock that these claims make; without all of them only the catalog's words differ.

    Args:
        nodes: all nodes of the set, that of the whole set last.
        read: digest → bytes of a blob, or None where it is not here.
    """
    told = described(before, data)
    known = {name: claims[name] for name in nodes if name in claims}
    if len(known) < len(nodes):
        return told if before.made is not None else before
    actions = {action_of(name): claim for name, claim in known.items()}
    content = known[nodes[-1]].outputs["set"]
    made = before.made
    if made is None or made.content.digest != content:
        text = read(content)
        if text is None:
            return told if before.made is not None else before
        made = made_of(text, content)
    kept = {
        name: old
        if (old := before.actions.get(name)) and old.key == c.key and old.same_outputs(c)
        else c
        for name, c in actions.items()
    }
    return replace(told, actions=kept, made=made)


def made_of(text: bytes, content: Digest) -> MadeSet:
    """Returns what the list of a data set says of it; raises InvalidValue where it is damaged."""
    import json

    try:
        listed: dict[str, Any] = json.loads(text)
        sizes = [int(item["size"]) for item in listed["files"] if "size" in item]
        layers = tuple(
            SizedBlob(digest=Digest(item["digest"]), size_bytes=int(item["size"]))
            for item in listed["layers"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidValue(f"the list of the data set {content.short} is damaged") from error
    return MadeSet(
        content=SizedBlob(digest=content, size_bytes=len(text)),
        layers=layers,
        files=len(listed["files"]),
        size_bytes=sum(sizes),
    )


def data_lock_bytes(lock: DataLock) -> bytes:
    """Returns the bytes of a lock's file."""
    return text_of(lock.to_dict()).encode()


def update_data_lock(
    folder: str, name: ReleaseName, *, guard: str, change: Callable[[DataLock], DataLock | None]
) -> bool:
    """Re-reads a lock, applies ``change`` and writes it; returns whether the file changed (C20).

    None removes the file.

    Raises:
        InputError: the file on disk is not a sound lock; nothing is written.
    """
    place = os.path.join(folder, DATA_FOLDER)
    file = lock_file_name(name.name, name.version)
    path = os.path.join(place, file)
    with locked(guard):
        if os.path.isdir(place):
            sweep(place)
        collector = Collector()
        old = _read(path, path, collector)
        collector.raise_if_failed()
        new = change(old or DataLock(id=name))
        if new is None:
            return remove_file(path, point="data-lock")
        os.makedirs(place, exist_ok=True)
        return replace_file(path, data_lock_bytes(new), point="data-lock")
