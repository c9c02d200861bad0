"""Keeps an export in a folder: what ssds wrote there is renewed and removed, nothing else (C14)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence

from ssds.core.canonical import pretty_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import Refused
from ssds.core.records import dataclass
from ssds.exports.offers import Export
from ssds.host.files import TEMPORARY_PREFIX, atomic_write, explained, locked, remove_file, sweep

RECORD = ".ssds-export.json"
LOCK = ".ssds-export.lock"
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was done: paths relative to the folder.

    Attributes:
        edited: no longer wanted, but changed by somebody else, and therefore left.
    """

    written: Sequence[str]
    removed: Sequence[str]
    edited: Sequence[str]
    same: int


def keep_export(folder: str, form: str, export: Export) -> Kept:
    """Makes ``folder`` hold exactly the export's files beside what others put there.

    Running it again changes nothing. Killed at any point, the next run completes.

    Raises:
        Refused: D070 the folder is not ours or holds another form, D071 a file that would be
            written is somebody else's.
    """
    folder = os.path.abspath(folder)
    known = _known(folder, form)
    with locked(os.path.join(folder, LOCK)):
        sweep(folder)
        known = _known(folder, form)
        wanted = {path: str(sha256_of(data)) for path, data in export.files.items()}
        found = {path: _digest(folder, path) for path in {*wanted, *known}}
        foreign = [
            path
            for path in wanted
            if found[path]
            and found[path] != wanted[path]
            and found[path] not in known.get(path, ())
        ]
        if foreign:
            raise Refused(
                f"{len(foreign)} files in {folder} were not written by this export or were changed "
                f"since: {', '.join(sorted(foreign)[:SHOWN])}",
                hint="Move them elsewhere, or choose another folder.",
                code="D071",
            )
        gone = [path for path in sorted(known) if path not in wanted and found[path]]
        edited = [path for path in gone if found[path] not in known[path]]
        removed = [path for path in gone if found[path] in known[path]]
        written = [path for path in sorted(wanted) if found[path] != wanted[path]]
        if written or removed:
            both = {p: sorted({*known.get(p, ()), wanted.get(p, "")} - {""}) for p in found}
            _record(folder, form, both)
        for path in written:
            place = os.path.join(folder, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            sweep(os.path.dirname(place))
            atomic_write(place, export.files[path], point="export.file")
        for path in removed:
            remove_file(os.path.join(folder, path), point="export.gone")
            _tidy(folder, os.path.dirname(path))
        final = {path: (digest,) for path, digest in wanted.items()}
        if known != final or not os.path.exists(os.path.join(folder, RECORD)):
            _record(folder, form, final)
    same = len(wanted) - len(written)
    return Kept(written=written, removed=removed, edited=edited, same=same)


def _known(folder: str, form: str) -> dict[str, tuple[str, ...]]:
    """Returns path → digests that this export may have written there."""
    with explained(folder):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return {}
        except NotADirectoryError:
            raise Refused(
                f"{folder} is not a folder", hint="Choose a folder.", code="D070"
            ) from None
    if not [n for n in names if n != LOCK and not n.startswith(TEMPORARY_PREFIX)]:
        return {}
    try:
        with open(os.path.join(folder, RECORD), "rb") as file:
            found = json.loads(file.read(64 << 20))
        written, files = str(found["form"]), found["files"]
        known = {str(path): tuple(str(d) for d in digests) for path, digests in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused(
            f"{folder} holds files and is no export of ssds",
            hint="Choose an empty folder or one that was exported to before.",
            code="D070",
        ) from None
    if written != form:
        raise Refused(
            f"{folder} is an export of the form {written[:40]!r}, not {form!r}",
            hint="Give each form a folder of its own.",
            code="D070",
        )
    return {path: digests for path, digests in known.items() if _fit(path)}


def _fit(path: str) -> bool:
    return not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))


def _digest(folder: str, path: str) -> str:
    """Returns the digest of what stands there, "" for nothing, "other" for what is no file."""
    place = os.path.join(folder, path)
    if os.path.realpath(os.path.dirname(place)) != os.path.join(
        os.path.realpath(folder), os.path.dirname(path)
    ).rstrip("/"):
        return "other"
    if not os.path.lexists(place):
        return ""
    if os.path.islink(place) or not os.path.isfile(place):
        return "other"
    with open(place, "rb") as file:
        return str(sha256_of(file.read()))


def _record(folder: str, form: str, files: Mapping[str, Iterable[str]]) -> None:
    data = {"export_version": 1, "form": form, "files": {p: list(d) for p, d in files.items()}}
    atomic_write(os.path.join(folder, RECORD), pretty_bytes(data), point="export.record")


def _tidy(folder: str, path: str) -> None:
    """Removes folders that became empty."""
    while path:
        try:
            os.rmdir(os.path.join(folder, path))
        except OSError:
            return
        path = os.path.dirname(path)
