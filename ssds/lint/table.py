"""The one list of lints, and of mends for findings of the readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ssds.core.diagnostics import Diagnostic, Edit
from ssds.core.records import replace
from ssds.lint import bases, mends
from ssds.lint.commands import offers_nothing, offers_what_others_offer
from ssds.lint.impure import impure_steps
from ssds.lock.model import Locks
from ssds.recipe.catalog import CatalogReading

Lint = Callable[[CatalogReading], Iterable[Diagnostic]]
Mend = Callable[[Diagnostic, CatalogReading, Locks], tuple[Edit, ...]]

LINTS: tuple[Lint, ...] = (
    bases.moving_bases,
    impure_steps,
    offers_nothing,
    offers_what_others_offer,
)

MENDS: dict[str, Mend] = {
    "R013": mends.licence,
    "R016": mends.checksum,
    "R087": bases.pinned,
    "N050": bases.pinned,
    "N052": mends.licence,
}
"""Code → what mends it safely; each gives no edits where it cannot tell."""


def lint(reading: CatalogReading) -> Iterator[Diagnostic]:
    """Gives what every lint finds; ask only where the catalog has no error."""
    for check in LINTS:
        yield from check(reading)


def with_fixes(
    found: Iterable[Diagnostic], reading: CatalogReading, locks: Locks
) -> Iterator[Diagnostic]:
    """Gives the findings, with their safe changes where there are any."""
    for diagnostic in found:
        mend = MENDS.get(diagnostic.code)
        edits = mend(diagnostic, reading, locks) if mend and not diagnostic.fix else ()
        yield replace(diagnostic, fix=edits) if edits else diagnostic
