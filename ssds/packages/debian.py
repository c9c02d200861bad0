"""Debian's own formats: control paragraphs, version order, .deb control files and changelogs.

Sources: deb822(5), deb-version(7), deb(5), deb-changelog(5), Debian Policy 5.6.12.
"""

from __future__ import annotations

import functools
import gzip
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.patterns import pattern
from ssds.host.streams import damage_explained, deb_member

_CONTROL_LIMIT = 4 * 1024 * 1024
_CHANGELOG_LIMIT = 64 * 1024 * 1024
_FIELD = pattern(r"[!-9;-~]+")
PACKAGE_NAME = pattern(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = pattern(r"[0-9]+:[A-Za-z0-9.+~:-]+|[A-Za-z0-9.+~-]+")


# --- paragraphs ----------------------------------------------------------------------------------


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Gives each paragraph as a map; field names as written, continuation lines joined by newline.

    Raises:
        IntegrityError: a line that is neither a field nor its continuation, or a field twice.
    """
    fields: dict[str, str] = {}
    last = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")  # noqa: PLW2901
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] == "#":
            continue
        elif line[0] in " \t":
            if not last:
                raise IntegrityError(f"line {number}: a continuation line without a field")
            fields[last] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            if not colon or not _FIELD.fullmatch(name):
                raise IntegrityError(f"line {number}: {line[:60]!r} is not a control field")
            if name in fields:
                raise IntegrityError(f"line {number}: the field {name} stands twice")
            fields[name] = value.strip()
            last = name
    if fields:
        yield fields


def paragraph(text: str) -> dict[str, str]:
    """Returns the only paragraph of ``text``; raises IntegrityError for none or several."""
    found = list(paragraphs(text))
    if len(found) != 1:
        raise IntegrityError(f"{len(found)} control paragraphs where one is expected")
    return found[0]


def render(fields: Mapping[str, str]) -> str:
    """Returns the paragraph as text, ending with one newline."""
    lines = []
    for name, value in fields.items():
        first, *more = value.split("\n")
        lines.append(f"{name}: {first}".rstrip())
        lines += [f" {line or '.'}" for line in more]
    return "\n".join(lines) + "\n"


# --- versions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """A Debian version that sorts as dpkg sorts it.

    Attributes:
        text: as written.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text or not _VERSION.fullmatch(self.text) or len(self.text) > 256:
            raise InvalidValue(f"{self.text[:60]!r} is not a Debian version")

    @property
    def epoch(self) -> int:
        """The number before the first colon, 0 where there is none."""
        head, colon, _ = self.text.partition(":")
        return int(head) if colon and head.isdigit() else 0

    @property
    def upstream(self) -> str:
        """The part between epoch and revision."""
        body = self.text.partition(":")[2] if ":" in self.text else self.text
        return body.rpartition("-")[0] if "-" in body else body

    @property
    def revision(self) -> str:
        """The part after the last hyphen, or the empty string."""
        body = self.text.partition(":")[2] if ":" in self.text else self.text
        return body.rpartition("-")[2] if "-" in body else ""

    def __lt__(self, other: Version) -> bool:
        return compare(self.text, other.text) < 0

    def __le__(self, other: Version) -> bool:
        return compare(self.text, other.text) <= 0

    def __gt__(self, other: Version) -> bool:
        return compare(self.text, other.text) > 0

    def __ge__(self, other: Version) -> bool:
        return compare(self.text, other.text) >= 0


def compare(left: str, right: str) -> int:
    """Returns -1, 0 or 1 as ``left`` is older than, the same as or newer than ``right``."""
    one, two = Version(left), Version(right)
    if one.epoch != two.epoch:
        return -1 if one.epoch < two.epoch else 1
    return _compare_part(one.upstream, two.upstream) or _compare_part(one.revision, two.revision)


version_key = functools.cmp_to_key(compare)
"""The sort key of a version text."""


def _rank(character: str) -> int:
    """The order of non-digits: tilde, end or digit, letters, all else."""
    if character == "~":
        return -1
    if not character or character.isdigit():
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256


def _compare_part(left: str, right: str) -> int:
    i = j = 0
    while i < len(left) or j < len(right):
        while (i < len(left) and not left[i].isdigit()) or (
            j < len(right) and not right[j].isdigit()
        ):
            a, b = _rank(left[i : i + 1]), _rank(right[j : j + 1])
            if a != b:
                return -1 if a < b else 1
            i, j = i + 1, j + 1
        start_i, start_j = i, j
        while i < len(left) and left[i].isdigit():
            i += 1
        while j < len(right) and right[j].isdigit():
            j += 1
        number, other = left[start_i:i].lstrip("0"), right[start_j:j].lstrip("0")
        if (len(number), number) != (len(other), other):
            return -1 if (len(number), number) < (len(other), other) else 1
    return 0


# --- .deb files ----------------------------------------------------------------------------------


def control_text(path: str) -> str:
    """Returns the control paragraph of the .deb at ``path``.

    Raises:
        IntegrityError: no .deb, or one whose control file is missing, too large or no text.
    """
    data = _member(path, "control.tar", lambda name: name == "control", _CONTROL_LIMIT)
    if data is None:
        raise IntegrityError(f"{path} holds no control file", code="F042")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path}: its control file is not UTF-8", code="F042") from error
    paragraph(text)
    return text


def changelog_text(path: str) -> str:
    """Returns the Debian changelog inside the .deb at ``path``, or the empty string."""

    def wanted(name: str) -> bool:
        return re.fullmatch(r"usr/share/doc/[^/]+/changelog(\.Debian)?\.gz", name) is not None

    data = _member(path, "data.tar", wanted, _CHANGELOG_LIMIT, prefer=r"changelog\.Debian\.gz$")
    if data is None:
        return ""
    with damage_explained(path), gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        return stream.read(_CHANGELOG_LIMIT).decode("utf-8", "replace")


def _member(
    path: str, part: str, wanted: Callable[[str], bool], limit: int, prefer: str = ""
) -> bytes | None:
    found: bytes | None = None
    with deb_member(path, part) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count > 500_000:
                raise IntegrityError(f"{path}: too many members", code="F041")
            name = member.name.removeprefix("./")
            if not member.isreg() or not wanted(name):
                continue
            if member.size > limit:
                raise IntegrityError(f"{path}: {name} is too large", code="F041")
            source = archive.extractfile(member)
            found = source.read() if source else b""
            if not prefer or re.search(prefer, name):
                return found
    return found


# --- changelogs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangelogEntry:
    """One entry of a Debian changelog.

    Attributes:
        package, version, suites: from the heading line.
        text: the lines between heading and trailer.
        date: the trailer's date as it is written (RFC 5322), or the empty string.
    """

    package: str
    version: str
    suites: tuple[str, ...]
    text: str
    date: str


_HEADING = pattern(r"([a-z0-9][a-z0-9+.-]*) \(([^)\s]+)\)((?: [A-Za-z0-9+.-]+)*);")
_TRAILER = pattern(r" -- .*?  (.+)$")


def changelog_entries(text: str) -> Iterator[ChangelogEntry]:
    """Gives the entries of a changelog, newest first; lines outside entries are passed over."""
    heading: re.Match[str] | None = None
    body: list[str] = []
    for line in text.splitlines():
        start = _HEADING.match(line)
        end = _TRAILER.match(line)
        if start or end:
            if heading:
                yield ChangelogEntry(
                    package=heading[1],
                    version=heading[2],
                    suites=tuple(heading[3].split()),
                    text="\n".join(body).strip("\n"),
                    date=end[1].strip() if end else "",
                )
            heading, body = start, []
        elif heading:
            body.append(line)
    if heading:
        yield ChangelogEntry(
            package=heading[1],
            version=heading[2],
            suites=tuple(heading[3].split()),
            text="\n".join(body).strip("\n"),
            date="",
        )
