"""Reads public advisory data as it is published.

All of it is hostile until it was checked: sizes, counts, names and types. Nothing is unpacked.
Sources: OSV schema 1.7; the JSON of Debian's security tracker; CISA's "Known Exploited
Vulnerabilities"; FIRST's EPSS as CSV; the CSV files of Debian's package distro-info-data.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import os
import re
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ssds.core.canonical import Json
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.patterns import pattern
from ssds.oci.document import Place, load_document

RECORD_LIMIT_BYTES = 8 * 1024 * 1024
TRACKER_LIMIT_BYTES = 1 << 30
TABLE_LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_RECORDS = 1_000_000
LIMIT_TOTAL_BYTES = 16 << 30
LIMIT_RATIO = 1000
"""An entry of a zip that grows by more than this is a bomb; OSV's grow by less than ten."""
CVE = pattern(r"CVE-[0-9]{4}-[0-9]{4,7}")
_DATE = pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FRONT = pattern(r"\s*```toml\n(.*?)\n```", re.DOTALL)
_BOUND = pattern(r"(<=|>=|<|>|=)?\s*([0-9A-Za-z.+-]+)")
_RELEASES = {
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
    "duke": "15",
}
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
_SHORT = "Give the file as it was published; download it again."


def _bad(where: str, why: str) -> IntegrityError:
    return IntegrityError(f"{where}: {why}", hint=_SHORT, code="V021")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read: {error.strerror}", hint="Check its name.", code="V022"
        ) from error


def _read(path: str, limit_bytes: int) -> bytes:
    with _opened(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise _bad(path, f"is larger than {limit_bytes} bytes")
    return data


# --- OSV -----------------------------------------------------------------------------------------


def osv_zip(path: str) -> Iterator[Place]:
    """Gives the records of an OSV export: one JSON file each, read without unpacking.

    Raises:
        UnavailableError: V022, it cannot be read.
        IntegrityError: V021, no zip; or an entry that is encrypted, a link, too large, grows too
            much, leaves its folder, or stands twice.
    """
    with _opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield from _entries(path, archive)
        except (*_BAD_ZIP, OSError) as error:
            raise _bad(path, f"is a damaged or unknown zip ({str(error)[:100]})") from error


def _entries(path: str, archive: zipfile.ZipFile) -> Iterator[Place]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > LIMIT_RECORDS or sum(i.file_size for i in infos) > LIMIT_TOTAL_BYTES:
        raise _bad(path, "has too many entries or too many bytes")
    seen: set[str] = set()
    for info in infos:
        where = f"{path}: {info.filename[:100]!r}"
        name = info.filename
        if name in seen or name.startswith("/") or ".." in name.split("/") or "\\" in name:
            raise _bad(where, "the name stands twice or leaves its folder")
        seen.add(name)
        if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16):
            raise _bad(where, "is encrypted or a link")
        grows = info.file_size > LIMIT_RATIO * max(info.compress_size, 1)
        if info.file_size > RECORD_LIMIT_BYTES or grows:
            raise _bad(where, "is too large for one record")
        if name.endswith(".json"):
            with archive.open(info) as file:
                yield _record(where, file.read(RECORD_LIMIT_BYTES + 1))
    if not any(name.endswith(".json") for name in seen):
        raise _bad(path, "holds no OSV record (*.json)")


def _record(where: str, data: bytes) -> Place:
    record = load_document(data, where, limit_bytes=RECORD_LIMIT_BYTES)
    record.text("id")
    return record


def folder(path: str) -> Iterator[Place]:
    """Gives the records in a Git checkout: OSV as JSON or YAML, and Julia's (TOML in Markdown).

    Other files (a repository has more) are passed over; links are not followed.
    """
    found = 0
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if f != ".git")
        for name in sorted(names):
            place = os.path.join(parent, name)
            if not os.path.islink(place) and name.endswith((".json", ".yaml", ".yml", ".md")):
                record = _of_file(place)
                if record is not None:
                    found += 1
                    if found > LIMIT_RECORDS:
                        raise _bad(path, f"has more than {LIMIT_RECORDS} records")
                    yield record
    if not found:
        raise UnavailableError(
            f"{path} holds no advisory (OSV as *.json or *.yaml, Julia's *.md)",
            hint="Name the folder of a checkout.",
            code="V027",
        )


def _of_file(path: str) -> Place | None:
    data = _read(path, RECORD_LIMIT_BYTES)
    if path.endswith(".md"):
        return _julia(path, data)
    if path.endswith(".json"):
        value = load_document(data, path, limit_bytes=RECORD_LIMIT_BYTES) if _map(data) else None
    else:
        value = _yaml(path, data)
    is_record = (
        value is not None and value.has("id") and (value.has("modified") or value.has("affected"))
    )
    return value if is_record else None


def _map(data: bytes) -> bool:
    return data.lstrip()[:1] == b"{"


def _yaml(path: str, data: bytes) -> Place | None:
    """Returns the YAML value with every scalar as text: dates and versions stay as written.

    An alias is refused, for few of them make much: no advisory needs one.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        if b"*" in data and b"&" in data:  # no alias without both
            for event in yaml.parse(data, Loader=loader):
                if isinstance(event, yaml.AliasEvent):
                    raise _bad(path, "has a YAML alias")
        value = yaml.load(data, Loader=loader)  # noqa: S506
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise _bad(path, f"is no YAML ({str(error)[:150]})") from error
    return Place(path, "", value) if isinstance(value, dict) else None


def _julia(path: str, data: bytes) -> Place | None:
    """Returns a record of Julia's advisory repository as OSV, or None for other Markdown."""
    front = _FRONT.match(data.decode("utf-8", "replace"))
    if front is None:
        return None
    try:
        value = tomllib.loads(front[1])
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"its TOML cannot be read ({str(error)[:100]})") from error
    place = Place(path, "", value)
    record: dict[str, object] = {
        "id": place.text("id"),
        "modified": str(value.get("modified", "")),
        "aliases": list(place.texts("aliases", limit=1000)),
        "affected": [_julia_affected(item) for item in place.items("affected", limit=10_000)],
    }
    if "withdrawn" in value:
        record["withdrawn"] = str(value["withdrawn"])
    return Place(path, "", record)


def _julia_affected(item: Place) -> dict[str, object]:
    events = [e for text in item.texts("ranges", limit=10_000) for e in _julia_events(item, text)]
    return {
        "package": {"ecosystem": "Julia", "name": item.text("pkg")},
        "ranges": [{"type": "SEMVER", "events": events}],
    }


def _julia_events(item: Place, text: str) -> list[dict[str, str]]:
    """Returns the events of ``>= 1.2, < 1.4``; ``*`` is every version."""
    bounds = {"introduced": "0"}
    for part in text.split(",") if text.strip() != "*" else ():
        found = _BOUND.fullmatch(part.strip())
        if found is None or found[1] == ">":
            item.fail(f"the range {text[:80]!r} cannot be read")
        sign, version = found[1] or "=", found[2]
        if sign in (">=", "="):
            bounds["introduced"] = version
        if sign == "<":
            bounds["fixed"] = version
        if sign in ("<=", "="):
            bounds["last_affected"] = version
    return [{kind: version} for kind, version in bounds.items()]


# --- Debian's tracker ----------------------------------------------------------------------------


def debian_tracker(path: str) -> Iterator[dict[str, Json]]:
    """Gives a record per source package and vulnerability of Debian's security tracker (JSON).

    A release's ``fixed_version`` ends its range, ``0`` means that it was never affected; what is
    open says why (``state``): ignored, postponed, no-dsa, end-of-life, undetermined.
    """
    top = load_document(_read(path, TRACKER_LIMIT_BYTES), path, limit_bytes=TRACKER_LIMIT_BYTES)
    for source in sorted(top.map()):
        issues = top.child(source)
        for name in sorted(issues.map()):
            issue = issues.child(name)
            affected: list[Json] = []
            for codename in sorted(issue.child("releases").map() if issue.has("releases") else ()):
                if codename in _RELEASES:
                    place = issue.child("releases").child(codename)
                    entry = _tracked(place, source, f"Debian:{_RELEASES[codename]}")
                    affected += [entry] if entry else []
            if affected:
                yield {"id": name, "affected": affected}


def _tracked(place: Place, source: str, ecosystem: str) -> dict[str, Json] | None:
    status, fixed = place.text("status", ""), place.text("fixed_version", "")
    if fixed == "0":
        return None
    urgency = place.text("urgency", "").rstrip("*")
    events: list[Json] = [{"introduced": "0"}]
    specific: dict[str, Json] = {}
    if fixed:
        events.append({"fixed": fixed})
    else:
        specific["state"] = _state(place, status, urgency)
    if urgency and urgency not in ("not yet assigned", "end-of-life"):
        specific["urgency"] = urgency
    return {
        "package": {"ecosystem": ecosystem, "name": source},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        **({"ecosystem_specific": specific} if any(specific.values()) else {}),
    }


def _state(place: Place, status: str, urgency: str) -> str:
    if "end-of-life" in (urgency, status):
        return "end-of-life"
    if status == "undetermined":
        return status
    if not place.has("nodsa"):
        return ""
    reason = place.text("nodsa_reason", "")
    return reason if reason in ("ignored", "postponed") else "no-dsa"


# --- facts about ids -----------------------------------------------------------------------------


def kev(path: str) -> dict[str, dict[str, str]]:
    """Returns CVE → ``{kev: date}`` from CISA's catalogue of exploited vulnerabilities (JSON)."""
    top = load_document(_read(path, TABLE_LIMIT_BYTES), path, limit_bytes=TABLE_LIMIT_BYTES)
    found: dict[str, dict[str, str]] = {}
    for item in top.items("vulnerabilities", limit=LIMIT_RECORDS):
        name, date = item.text("cveID"), item.text("dateAdded")
        if not CVE.fullmatch(name) or not _DATE.fullmatch(date):
            item.fail("has no CVE id or no date")
        found[name] = {"kev": date}
    if not found:
        top.fail("names no vulnerability")
    return found


def epss(path: str) -> dict[str, dict[str, str]]:
    """Returns CVE → ``{epss: probability}`` from EPSS's table (CSV, also as .gz)."""
    data = _read(path, TABLE_LIMIT_BYTES)
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(TABLE_LIMIT_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise _bad(path, f"is a damaged gzip ({str(error)[:100]})") from error
        if len(data) > TABLE_LIMIT_BYTES:
            raise _bad(path, f"is larger than {TABLE_LIMIT_BYTES} bytes")
    lines = (line for line in data.decode("utf-8", "replace").splitlines() if line[:1] != "#")
    found: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(lines):
        name, score = row.get("cve") or "", row.get("epss") or ""
        if not CVE.fullmatch(name) or not _is_share(score):
            raise _bad(path, f"the row of {name[:40]!r} has no CVE id or no probability")
        found[name] = {"epss": score}
    if not found:
        raise _bad(path, "has no row with the columns cve and epss")
    return found


def _is_share(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0 and len(text) < 30
    except ValueError:
        return False


def ends_of_life(path: str, family: str) -> dict[str, dict[str, str]]:
    """Returns OSV's release → ``{eol: date}`` from distro-info's CSV (``debian.csv``).

    Args:
        path: the table.
        family: ``Debian`` or ``Ubuntu``.
    """
    text = _read(path, RECORD_LIMIT_BYTES).decode("utf-8", "replace")
    found: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        version, date = (row.get("version") or "").partition(" ")[0], row.get("eol") or ""
        if version and _DATE.fullmatch(date):
            found[f"{family}:{version}"] = {"eol": date}
    if not found:
        raise _bad(path, "has no row with the columns version and eol")
    return found
