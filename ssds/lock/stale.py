"""What a lock lacks: every pin that is missing or stale, with its places. Reads no mirror.

A finding stands where the recipe asks; it names the pin's own place where a stale one is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.records import dataclass
from ssds.kinds.build.requests import Asking, Missing
from ssds.lock.marks import Marks, Path
from ssds.lock.model import DEFAULT_VARIANT, Locks
from ssds.lock.read import CATALOG_LOCK, diagnostic
from ssds.recipe.address import format_address
from ssds.recipe.catalog import CatalogReading
from ssds.recipe.homes import THEIRS
from ssds.recipe.model import Catalog, Target
from ssds.recipe.shared import BASES_FILE

_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One pin that one target lacks.

    Attributes:
        target: who asks.
        missing: what is missing or stale.
        file: name of the lock that should hold it, below lockfiles/.
        path: where the stale pin stands there; empty for one that is missing.
    """

    target: Target
    missing: Missing
    file: str
    path: Path = ()


def lacks(targets: Iterable[Target], catalog: Catalog, locks: Locks) -> Iterator[Lack]:
    """Gives every pin that the targets lack, in their order."""
    pins = locks.pins
    asking = Asking(catalog, locks.catalog.pins, pins)
    for target in targets:
        for missing in asking.requests(target).missing:
            yield _lack(target, missing, locks)


def _lack(target: Target, missing: Missing, locks: Locks) -> Lack:
    release, platform = target.release, target.platform
    if missing.kind == "base" and target.base and missing.stale:
        held = locks.pins.get((release, platform))
        current = locks.catalog.pins.current.get(target.base, "")
        identity = held.base if held and held.base else current
        path: Path = ("bases", identity, "platforms", str(platform.baseline))
        return Lack(target=target, missing=missing, file=CATALOG_LOCK, path=path)
    file = locks.get(release).file_name
    if not missing.stale:
        return Lack(target=target, missing=missing, file=file)
    part = {"source": "sources", "recipe": "recipes", "base": "base"}.get(missing.kind, "packages")
    variant = release.variant or DEFAULT_VARIANT
    path = ("variants", variant, "platforms", str(platform), "pins", part)
    name = missing.place or missing.name
    return Lack(target=target, missing=missing, file=file, path=(*path, name))


def findings(
    found: Iterable[Lack], reading: CatalogReading, marks: Callable[[str], Marks], shown: str
) -> list[Diagnostic]:
    """Returns one finding for each place of the catalog that asks; targets are joined.

    Args:
        found: what is lacking.
        reading: the catalog, and places in its files.
        marks: gives the marks of a lock by its file's name.
        shown: the name of the locks' folder in messages.
    """
    groups: dict[tuple[str, Span, str, str], list[Lack]] = {}
    for lack in found:
        span, at = _asked_at(lack, reading)
        code = "L033" if lack.missing.stale else "L032"
        groups.setdefault((code, span, at, str(lack.missing)), []).append(lack)

    def place(lack: Lack) -> str:
        line, column = marks(lack.file).place(lack.path)
        return f"{shown}/{lack.file}:{line}:{column}"

    rows = []
    for (code, span, at, text), group in groups.items():
        facts = [("pin", text)]
        if group[0].missing.asked:
            facts.append(("asked", " ".join(group[0].missing.asked)))
        facts.append(("of", _several(f"{o.target.release} [{o.target.platform}]" for o in group)))
        if code == "L033":
            facts.append(("lock", _several(place(one) for one in group)))
        where = (span.line, span.column)
        rows.append(diagnostic(code, span.path, where, at=at, facts=tuple(facts)))
    return sorted(rows, key=lambda d: (d.span.path, d.span.line, d.span.column, d.code, d.facts))


def _several(texts: Iterable[str]) -> str:
    """Returns the first few texts, and how many more there are."""
    unique = list(dict.fromkeys(texts))
    more = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _asked_at(lack: Lack, reading: CatalogReading) -> tuple[Span, str]:
    """Returns the place of the catalog that asks for it, and its address there."""
    target, missing = lack.target, lack.missing
    path = reading.catalog.releases[target.release].recipe_path
    suite = target.suite
    if suite is not None and missing.name in {data.source for data in suite.data}:
        return reading.spans(suite.file, ("required_files",), key=True), "required_files"
    if path.endswith(THEIRS):
        asks: Path = ("files",) if missing.kind == "source" else ("build", "base-image")
        there = reading.spans.first(path, [asks, ("build", "directives")])
        return reading.spans(path, there, key=True), format_address(there)
    if missing.kind == "base" and missing.stale:
        path = f"{path.rsplit('/', 2)[0]}/{BASES_FILE}"
        return reading.spans(path, (missing.name,), key=True), missing.name
    if missing.place:
        return reading.spans(path, missing.name), missing.name
    if missing.kind == "recipe":
        found = (
            edge.address
            for edge in reading.edges
            if (edge.release, edge.platform) == (target.release, target.platform)
            and edge.to.name == missing.name
            and edge.to.range is not None
        )
        at = next(found, "build")
        return reading.spans(path, at), at
    key: Path = ("sources", missing.name) if missing.kind == "source" else ("base",)
    variant = target.release.variant or DEFAULT_VARIANT
    parts: tuple[Path, ...] = (("variants", variant), ("versions", target.release.version), ())
    where = reading.spans.first(path, [(*part, *key) for part in parts])
    return reading.spans(path, where, key=True), format_address(where)
