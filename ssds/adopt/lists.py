"""NeuroDesk's lists: ``log.txt``, ``apps.json``, ``releases/…`` and ``webapps.json``.

They name what ought to be deployed and hold no digest. Every problem is told with file and line.
"""

from __future__ import annotations

import json
import os
import stat
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import Any

from ssds.adopt.codes import diagnostic
from ssds.adopt.model import TEXT_LIMIT, BuildName, Listed, Reading, build_name, checked, fit_text
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.errors import UsageError
from ssds.core.records import replace
from ssds.host.reading import read_open
from ssds.lock.check import is_page
from ssds.lock.marks import Marks, Path, marks_of
from ssds.lock.model import AdoptedAbout

LIST_LIMIT_BYTES = 32 << 20
_LOGS = ("log.txt", "cvmfs/log.txt")
_APPS = ("apps.json", "neurodesk/apps.json")
_WEBAPPS = ("webapps.json", "neurodesk/webapps.json")
_RELEASES = "releases"
_PAGE = (
    "title", "startup_command", "start_page", "startup_timeout", "description", "port",
    "category", "icon", "additional_proxies",
)  # fmt: skip
_PAGE_LIMIT = 4096


def read_lists(place: str) -> Reading:
    """Returns what the lists at ``place`` say: one file, a ``releases`` folder, or a checkout."""
    listed: list[Listed] = []
    problems: list[Diagnostic] = []
    files = list(_files(place, problems))
    if not files:
        raise UsageError(
            f"{place} has no list of NeuroDesk's",
            hint="Name log.txt, apps.json, a folder releases/, or a checkout that holds them.",
            code="E265",
        )
    for path in files:
        data = read_text(path, problems)
        if data is None:
            continue
        if path.endswith(".json"):
            _json(path, data, listed, problems)
        else:
            _log(path, data, listed, problems)
    return Reading(listed=tuple(listed), lists=True, problems=tuple(problems))


def _files(place: str, problems: list[Diagnostic]) -> Iterator[str]:
    if not os.path.isdir(place):
        if os.path.lexists(place):
            yield place
        return
    own = os.path.basename(os.path.abspath(place)) == _RELEASES
    for name in () if own else (*_LOGS, *_APPS, *_WEBAPPS):
        if os.path.isfile(os.path.join(place, name)):
            yield os.path.join(place, name)
    folder = place if own else os.path.join(place, _RELEASES)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        inner = os.path.join(folder, name)
        if not os.path.isdir(inner) or os.path.islink(inner):
            continue
        try:
            names = sorted(os.listdir(inner))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            problems.append(diagnostic("A001", Span(path=inner), reason=reason))
            continue
        yield from (os.path.join(inner, file) for file in names if file.endswith(".json"))


def read_text(path: str, problems: list[Diagnostic]) -> str | None:
    """Returns a list's text; None where it is no regular file, too large or no UTF-8."""
    reason = ""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                reason = "not a regular file"
            else:
                data = read_open(handle, LIST_LIMIT_BYTES)
                if len(data) <= LIST_LIMIT_BYTES:
                    return data.removeprefix(BOM_UTF8).decode()
                reason = f"larger than {LIST_LIMIT_BYTES} bytes"
        finally:
            os.close(handle)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problems.append(diagnostic("A001", Span(path=path, line=line), reason="no UTF-8"))
        return None
    problems.append(diagnostic("A001", Span(path=path), reason=reason))
    return None


# -- log.txt -------------------------------------------------------------------------------------


def _log(path: str, text: str, listed: list[Listed], problems: list[Diagnostic]) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        first, _, rest = line.strip().partition(" ")
        found = build_name(first)
        span = Span(path=path, line=number, column=1)
        if found is None:
            problems.append(diagnostic("A002", span, found=first[:TEXT_LIMIT]))
            continue
        _, _, words = rest.partition("categories:")
        categories = [fit_text(word) for word in words.split(",")]
        about = AdoptedAbout(built=found.built, categories=tuple(c for c in categories if c))
        listed.append(Listed(id=found, about=about, span=span))


# -- JSON ----------------------------------------------------------------------------------------


class _Document:
    """A JSON file, and where its parts are once something is wrong."""

    def __init__(self, path: str, text: str, problems: list[Diagnostic]) -> None:
        self.path, self.text, self.problems = path, text, problems
        self._marks: Marks | None = None

    def span(self, at: Path) -> Span:
        """Returns the place of a value."""
        if self._marks is None:
            self._marks = marks_of(self.text)
        line, column = self._marks.place(at)
        return Span(path=self.path, line=line, column=column)

    def wrong(self, at: Path, found: str, expected: str) -> None:
        """Tells one problem."""
        facts = {"found": found[:TEXT_LIMIT], "expected": expected}
        self.problems.append(diagnostic("A002", self.span(at), **facts))

    def map(self, value: object, at: Path) -> Mapping[str, Any]:
        """Returns a map; of anything else an empty one, and tells it."""
        if isinstance(value, dict):
            return value
        self.wrong(at, type(value).__name__, "a map")
        return {}


def _json(path: str, text: str, listed: list[Listed], problems: list[Diagnostic]) -> None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, column = getattr(error, "lineno", 0), getattr(error, "colno", 0)
        reason = "nested too deeply" if isinstance(error, RecursionError) else ""
        reason = reason or getattr(error, "msg", str(error))
        span = Span(path=path, line=line, column=column)
        problems.append(diagnostic("A001", span, reason=f"no JSON: {reason}"))
        return
    document = _Document(path, text, problems)
    top = document.map(data, ())
    if "apps" in top:
        _entry(document, top, (), listed)
        return
    if "webapps" in top:
        _webapps(document, top["webapps"], listed)
        return
    for name, value in top.items():
        _entry(document, document.map(value, (name,)), (name,), listed)


def _entry(d: _Document, entry: Mapping[str, Any], at: Path, listed: list[Listed]) -> None:
    """Adds the releases of one menu entry; applications with a command belong to one of them."""
    words = entry.get("categories", [])
    if not isinstance(words, list):
        d.wrong((*at, "categories"), type(words).__name__, "a list")
        words = []
    categories = tuple(c for c in map(fit_text, words) if c)
    hidden = tuple(
        ours
        for ours, theirs in (("list", "show_in_applist"), ("menu", "show_in_menu"))
        if entry.get(theirs) is False
    )
    apps = d.map(entry.get("apps", {}), (*at, "apps"))
    plain: dict[str, tuple[BuildName, AdoptedAbout, Path]] = {}
    windows: dict[str, list[tuple[str, str]]] = {}
    for label, value in apps.items():
        path = (*at, "apps", label)
        app = d.map(value, path)
        command = app.get("exec", "")
        shown, dash, rest = label.partition("-")
        if isinstance(command, str) and command and dash:
            if fit_text(command) and fit_text(shown):
                windows.setdefault(rest, []).append((fit_text(shown), fit_text(command)))
            else:
                d.wrong(path, repr(command), "one printable line")
            continue
        found = _named(label, app.get("version"))
        if found is None:
            d.wrong(path, f"{label!r}, {app.get('version')!r}", '"NAME VERSION", "YYYYMMDD"')
            continue
        given = app.get("apptainer_args") or []
        arguments = tuple(a for a in map(fit_text, given) if a) if isinstance(given, list) else ()
        about = AdoptedAbout(
            built=found.built, categories=categories, arguments=arguments, hidden=hidden
        )
        plain[label] = (found, about, path)
    for label, (found, about, path) in plain.items():
        with_windows = replace(about, applications=tuple(windows.pop(label, ())))
        listed.append(Listed(id=found, about=with_windows, span=d.span(path)))
    for label in windows:
        d.wrong((*at, "apps"), f"windows of {label!r}", "an application of that name beside them")


def _webapps(d: _Document, value: object, listed: list[Listed]) -> None:
    """Adds what serves pages to a browser; it says no day, and of one version only."""
    for key, item in d.map(value, ("webapps",)).items():
        at = ("webapps", key)
        page = d.map(item, at)
        found = checked(str(page.get("module", key)), str(page.get("version", "")))
        kept = {word: page[word] for word in _PAGE if word in page}
        text = json.dumps(kept, sort_keys=True)
        if found is None or not {"title", "startup_command", "port"} <= kept.keys():
            d.wrong(at, key, "an application with module, version, title, startup_command and port")
        elif len(text) > _PAGE_LIMIT:
            d.wrong(at, f"{len(text)} bytes", f"at most {_PAGE_LIMIT}")
        elif not is_page(text):
            d.wrong(at, text[:80], "numbers, and texts in valid Unicode")
        else:
            listed.append(Listed(id=found, about=AdoptedAbout(webapp=text), span=d.span(at)))


def _named(label: str, built: object) -> BuildName | None:
    name, space, version = label.rpartition(" ")
    if not space or not isinstance(built, str) or not built:
        return None
    return checked(name, version, built)
