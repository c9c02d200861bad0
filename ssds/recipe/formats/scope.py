"""What the readers of one format share: reporting with places, rendering, and small checks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ssds.core.diagnostics import Collector
from ssds.core.digest import Digest
from ssds.core.levels import compiler_flags
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.recipe.address import Path, format_address
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.local import LocalProblem
from ssds.recipe.steps import LocalTree
from ssds.recipe.templates import MAX_OUTPUT, RESERVED, TemplateProblem, Value, render
from ssds.recipe.work import MOST_WORK, TooMuch, Work
from ssds.recipe.yamlmarks import Document

ENVIRONMENT_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*")
USER_NAME = pattern(r"[a-z_][a-z0-9_-]{0,31}|[0-9]{1,5}(?::[0-9]{1,5})?")
PACKAGE = pattern(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](?:=[0-9][A-Za-z0-9.+~:-]*)?")
COMMAND = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+@%=,~:-]{0,127}")
_PLAIN_PATH = pattern(r"(?:/(?!\.{1,2}(?:/|$))[^/\n]+)*/?")
_PLATFORM_NAME = pattern(r"\b(?:platform|arch|machine|cpu_flags)\b")
_NAME = 100
"""Units of work for a name that is compared with an unknown one."""
_RESERVED_ENVIRONMENT = pattern(r"SOURCE_DATE_EPOCH|SSDS_.*")
_DATE = pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Trees = Callable[[str, str], LocalTree]
"""(recipe's folder, name) → the local tree; raises LocalProblem."""


def day(text: str) -> dt.date:
    """Returns a day; raises ValueError where the text is none of the form YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        raise ValueError("not of the form YYYY-MM-DD")
    return dt.date.fromisoformat(text)


class Report:
    """Turns a code and a path inside one document into a diagnostic.

    Attributes:
        whole: False when parts with problems were left out; what is missing is then not named.
        work: what reading the document may still cost.
    """

    def __init__(self, document: Document, collector: Collector, *, whole: bool = True) -> None:
        self.document = document
        self.collector = collector
        self.whole = whole
        self.work = Work()
        self._bad = {d.span for d in collector if d.code[0] == "Y"}

    def __call__(
        self, code: str, path: Path, *facts: tuple[str, str], first: str = "", key: bool = False
    ) -> None:
        """Adds one diagnostic."""
        span = self.document.span(path, key=key)
        if span in self._bad:
            return  # it was no value to begin with
        self.collector.add(diagnostic(code, span, format_address(path), facts, first=first))

    def template(self, problem: TemplateProblem, path: Path, text: str, known: Any) -> None:
        """Adds the diagnostic of a template, at the place in the text where it is."""
        if problem.code == "R036" and not self.whole:
            return
        span = (
            self.document.inside(path, text, problem.offset)
            if problem.offset >= 0
            else self.document.span(path)
        )
        first = ""
        if problem.code == "R036":
            first = near(problem.name, list(known))
            if (
                problem.name in ("platform", "arch", "machine", "cpu_flags")
                and problem.name not in known
            ):
                first = "Descriptive fields are the same on every platform."
        address = format_address(path)
        self.collector.add(diagnostic(problem.code, span, address, problem.facts, first=first))


class Scope:
    """One target (or one release) while it is read: its names, and checked text.

    Attributes:
        names: what templates know.
        platform: the platform, or the empty string for what is the same on all.
        dependent: whether anything that was rendered may differ between platforms.
    """

    __slots__ = (
        "dependent",
        "failed",
        "folder",
        "names",
        "platform",
        "report",
        "trees",
        "variant",
        "version",
    )

    def __init__(
        self,
        report: Report,
        names: dict[str, Value],
        *,
        platform: str,
        variant: str,
        version: str,
        trees: Trees,
        folder: str,
    ) -> None:
        self.dependent = False
        self.failed = False
        self.report = report
        self.names = names
        self.platform = platform
        self.variant = variant
        self.version = version
        self.trees = trees
        self.folder = folder

    def variables(self, values: Mapping[str, tuple[Value, Path]]) -> None:
        """Evaluates the variables in order into ``names``; a wrong one becomes the empty text.

        Without a platform, variables that need one are left out silently.
        """
        for name, (value, path) in values.items():
            if name in RESERVED or name in self.names:
                self.report("R040", path, ("name", name), key=True)
                continue
            if isinstance(value, int):
                self.names[name] = value
                continue
            if "{" in value and _PLATFORM_NAME.search(value):
                self.dependent = True
            try:
                self.names[name] = self._render(value, path, limit=8192)
            except TemplateProblem as problem:
                if self.platform:
                    self.report.template(problem, path, value, self.names)
                    self.names[name] = ""

    def text(self, value: Value, path: Path) -> str:
        """Returns ``value`` rendered; the empty text after a problem."""
        if isinstance(value, int):
            return str(value)
        if "{" not in value:
            return value
        if not self.dependent and _PLATFORM_NAME.search(value):
            self.dependent = True
        try:
            return self._render(value, path)
        except TemplateProblem as problem:
            self.report.template(problem, path, value, self.names)
            self.failed = True
            return ""

    def _render(self, text: str, path: Path, *, limit: int = MAX_OUTPUT) -> str:
        work = self.report.work
        try:
            return render(text, self.names, limit=limit, work=work)
        except TemplateProblem as problem:
            if problem.code == "R036":
                self.spend(_NAME * len(self.names), path)  # looks for what was meant
            raise
        except TooMuch:
            raise self._told(path) from None

    def spend(self, units: int, path: Path) -> None:
        """Pays for what reading a part costs.

        Raises:
            TooMuch: the recipe's budget is spent, which was reported.
        """
        try:
            self.report.work.spend(units)
        except TooMuch:
            raise self._told(path) from None

    def _told(self, path: Path) -> TooMuch:
        self.report("R123", path, ("limit", f"{MOST_WORK} units for one recipe"))
        return TooMuch()

    def texts(self, values: Sequence[Value], path: Path) -> tuple[str, ...]:
        """Returns each of ``values`` rendered."""
        return tuple([self.text(value, (*path, i)) for i, value in enumerate(values)])

    def filled(self, value: Value, path: Path) -> str:
        """Returns ``value`` rendered; reports it when nothing is left (R069)."""
        self.failed = False
        text = self.text(value, path)
        if not text and not self.failed and "{" in str(value):
            self.report("R069", path, ("template", str(value)))
        return text

    def environment(self, values: Mapping[str, Value], path: Path) -> dict[str, str]:
        """Returns environment variables, names checked."""
        for name in values:
            if not ENVIRONMENT_NAME.fullmatch(name):
                self.report("R033", (*path, name), ("name", name), key=True)
            elif _RESERVED_ENVIRONMENT.fullmatch(name):
                self.report("R034", (*path, name), ("name", name), key=True)
        return {name: self.text(value, (*path, name)) for name, value in values.items()}

    def absolute(self, value: str, path: Path) -> str:
        """Returns a rendered absolute path in plain form."""
        text = self.filled(value, path)
        if text and not text.startswith("/"):
            self.report("R024", path, ("path", text))
        elif text and not _PLAIN_PATH.fullmatch(text):
            self.report("R025", path, ("path", text))
        return text

    def relative(self, value: str, path: Path) -> str:
        """Returns a rendered path, relative or absolute, in plain form."""
        text = self.filled(value, path)
        if text and not _PLAIN_PATH.fullmatch(text if text.startswith("/") else f"/{text}"):
            self.report("R025", path, ("path", text))
        return text

    def packages(self, values: Sequence[str], path: Path) -> tuple[str, ...]:
        """Returns Debian package names, checked."""
        names = self.texts(values, path)
        seen: set[str] = set()
        for index, name in enumerate(names):
            if not PACKAGE.fullmatch(name):
                self.report("R030", (*path, index), ("found", name))
            plain = name.partition("=")[0]
            if plain in seen:
                self.report("R073", (*path, index), ("package", plain))
            seen.add(plain)
        return names

    def sha256(self, value: str | None) -> Digest | None:
        """Returns the digest of a text that the schema has checked."""
        return Digest(f"sha256:{value}") if value is not None else None

    def tree(self, name: str, path: Path) -> LocalTree | None:
        """Returns a local file or folder, or None after a problem."""
        text = self.filled(name, path)
        if not text:
            return None
        try:
            return self.trees(self.folder, text)
        except LocalProblem as problem:
            self.report(problem.code, path, ("reason", problem.reason))
            return None

    def holds(self, item: Mapping[str, Any]) -> bool:
        """Whether the item's ``platforms`` and ``when`` hold here."""
        if "platforms" in item and self.platform not in item["platforms"]:
            return False
        when = item.get("when")
        if when is None:
            return True
        here = {"platform": self.platform, "variant": self.variant, "version": self.version}
        return all(here[key] in _several(wanted) for key, wanted in when.items())


def _several(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def check_conditions(
    report: Report, item: Mapping[str, Any], path: Path, known: Mapping[str, Sequence[str]]
) -> None:
    """Reports conditions that name a platform, version or variant that the recipe lacks (R058)."""
    places: list[tuple[str, Path, str]] = [
        (name, (*path, "platforms", i), "platform")
        for i, name in enumerate(item.get("platforms", ()))
    ]
    for key, wanted in item.get("when", {}).items():
        if isinstance(wanted, str):
            places.append((wanted, (*path, "when", key), key))
        else:
            places += [(name, (*path, "when", key, i), key) for i, name in enumerate(wanted)]
    for name, place, key in places:
        if name not in known[key]:
            facts = ((key, name), ("known", ", ".join(known[key])))
            report("R058", place, *facts, first=near(name, list(known[key])))


def names_of(name: str, version: str, variant: str, platform: Platform | None) -> dict[str, Value]:
    """Returns the names that templates know before any variable."""
    names: dict[str, Value] = {"name": name, "version": version, "variant": variant}
    if platform is not None:
        names["platform"] = str(platform)
        names["arch"] = platform.architecture
        names["machine"] = platform.machine
        names["cpu_flags"] = compiler_flags(platform.architecture, platform.variant)
    return names
