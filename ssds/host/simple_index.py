"""Python's simple package index: which files a project has, and where.

Sources: PEP 503 (HTML), PEP 691 and PEP 700 (JSON), PEP 592 (yanked). Pages come from outside:
size, names and digests are checked, addresses are joined to the page's own.
"""

from __future__ import annotations

import html.parser
import json
import os
import re
import threading
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, UnavailableError
from ssds.host.fetch import Fetcher
from ssds.host.mirrors import Mirrors, is_local, local_path, redacted

_PAGE_LIMIT = 64 * 1024 * 1024
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """One file of a project.

    Attributes:
        name: the file's name.
        url: where it is.
        digest: its sha256 as the index says, or None where it does not say.
        size_bytes: its size, or 0 where the index does not say.
        yanked: taken back by its makers; still there for those who locked it.
        requires_python: which Pythons it is for, as the index says it (PEP 440), or nothing.
    """

    name: str
    url: str
    digest: Digest | None = None
    size_bytes: int = 0
    yanked: bool = False
    requires_python: str = ""


def normalized(project: str) -> str:
    """Returns the project's name as indexes write it; raises InvalidValue for no name (PEP 503)."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", project):
        raise InvalidValue(f"{project[:80]!r} is not a Python project's name")
    return re.sub(r"[-_.]+", "-", project).lower()


class SimpleIndexes:
    """All configured indexes together; pages are read once. May be used from several threads."""

    def __init__(self, mirrors: Mirrors, fetcher: Fetcher) -> None:
        self.mirrors, self.fetcher = mirrors, fetcher
        self._pages: dict[str, tuple[IndexFile, ...]] = {}
        self._guard = threading.Lock()

    def files(self, project: str) -> tuple[IndexFile, ...]:
        """Returns every file of ``project``, of the first index first.

        Raises:
            UnavailableError: no index knows it, or none answers.
        """
        name = normalized(project)
        with self._guard:
            if name in self._pages:
                return self._pages[name]
        found: list[IndexFile] = list(self._links())
        problems: list[UnavailableError] = []
        for root in self.mirrors.indexes():
            try:
                found += self._page(root, name)
            except UnavailableError as error:
                problems.append(error)
        known = any(_project_of(file.name) == name for file in found)
        if not known and problems:
            missing = all(error.code == "F053" for error in problems)
            raise UnavailableError(
                f"the project {name!r} is in none of the configured Python indexes"
                if missing
                else "; ".join(error.message for error in problems),
                code="F053" if missing else "F052",
                hint="Check the name, the network and mirrors.pypi in ssds.yaml.",
            )
        with self._guard:
            self._pages[name] = tuple(found)
        return tuple(found)

    def _page(self, root: str, project: str) -> list[IndexFile]:
        local = is_local(root)
        url = f"{root}/{quote(project)}/" + ("index.html" if local else "")
        data, media_type = self.fetcher.read(
            url, limit_bytes=_PAGE_LIMIT, accept=_ACCEPT, local=local
        )
        if "json" in media_type:
            return _from_json(data, url)
        return _from_html(data.decode("utf-8", "replace"), url)

    def _links(self) -> list[IndexFile]:
        """Returns the files in local ``find-links`` folders; pages among them are not read."""
        found = []
        for link in self.mirrors.find_links:
            if not is_local(link):
                continue
            folder = local_path(link)
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue
            found += [
                IndexFile(name=name, url=os.path.join(folder, name))
                for name in names
                if _FILE_NAME.fullmatch(name)
            ]
        return found


def _project_of(file_name: str) -> str:
    wheel = file_name.endswith(".whl")
    stem = file_name.partition("-")[0] if wheel else file_name.rpartition("-")[0]
    try:
        return normalized(stem)
    except InvalidValue:
        return ""


def _from_json(data: bytes, url: str) -> list[IndexFile]:
    try:
        page = json.loads(data)
        entries = page["files"]
        found = []
        for entry in entries:
            size = entry.get("size", 0)
            found.append(
                _file(
                    str(entry["filename"]),
                    urljoin(url, str(entry["url"])),
                    str(entry.get("hashes", {}).get("sha256", "")),
                    size if isinstance(size, int) and size > 0 else 0,
                    yanked=entry.get("yanked", False) is not False,
                    python=str(entry.get("requires-python") or ""),
                )
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnavailableError(
            f"{redacted(url)} is no index page: {type(error).__name__}",
            code="F054",
            hint="Check mirrors.pypi in ssds.yaml.",
        ) from error
    return [file for file in found if file]


class _Links(html.parser.HTMLParser):
    """Collects the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, bool, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a" and values.get("href"):
            python = values.get("data-requires-python") or ""
            self.links.append((values["href"] or "", "data-yanked" in values, python))


def _from_html(text: str, url: str) -> list[IndexFile]:
    parser = _Links()
    parser.feed(text)
    found = []
    for link, yanked, python in parser.links:
        try:
            address, _, fragment = urljoin(url, link).partition("#")
            name = unquote(urlsplit(address).path.rpartition("/")[2])
        except ValueError:
            continue
        claimed = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
        found.append(_file(name, address, claimed, 0, yanked=yanked, python=python))
    return [file for file in found if file]


def _file(
    name: str, url: str, sha256: str, size: int, *, yanked: bool, python: str
) -> IndexFile | None:
    if not _FILE_NAME.fullmatch(name):
        return None
    try:
        digest = Digest(f"sha256:{sha256}") if sha256 else None
    except InvalidValue:
        return None
    return IndexFile(
        name=name,
        url=url,
        digest=digest,
        size_bytes=size,
        yanked=yanked,
        requires_python=python[:200],
    )
