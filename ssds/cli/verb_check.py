"""``ssds check``: recipes, shared files, settings and locks; all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import click

from ssds.cli.app import Context
from ssds.cli.fixing import fix_files
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, report_diagnostics, say
from ssds.cli.sarif import sarif
from ssds.core.diagnostics import Collector, Diagnostic, Severity
from ssds.core.errors import InputError
from ssds.core.records import dataclass
from ssds.kinds.build.contained import lost_versions
from ssds.lint.table import lint, with_fixes
from ssds.lock.model import DEFAULT_VARIANT, Locks
from ssds.lock.read import diagnostic, read_locks
from ssds.recipe.catalog import read_catalog
from ssds.recipe.model import Catalog
from ssds.recipe.settings import Settings, find_root, read_settings
from ssds.workspace import LOCK_FOLDER

_FEW = {Severity.NOTE: 3, Severity.WARNING: 10}
"""How many of one sort are shown; a catalog may have hundreds."""


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--sarif", "as_sarif", is_flag=True, help="Print the findings as SARIF 2.1.0.")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option(
    "--fix",
    is_flag=True,
    help="Make the safe changes: checksums, digests of bases, spelling of licences.",
)
@click.option("--all", "every", is_flag=True, help="Show each finding, also many of one sort.")
@click.pass_obj
def command(
    context: Context, /, as_json: bool, as_sarif: bool, strict: bool, fix: bool, every: bool
) -> int:
    """Check recipes, shared files, settings and locks. Changes nothing without --fix."""
    if as_json and as_sarif:
        raise click.UsageError("--json and --sarif exclude each other.")
    root = find_root(context.folder or ".")
    found = _look(root)
    mended = fix_files(root, found.checkouts, found.diagnostics) if fix else []
    for done in mended:
        say(f"fixed {done.span}: {done.summary} [{done.code}]")
    if mended:
        found = _look(root)
    bad = found.count(Severity.ERROR) or (strict and found.count(Severity.WARNING))
    if as_sarif:
        print_json(sarif(found.diagnostics))
    elif as_json:
        print_json(
            {
                "ok": not bad,
                "releases": found.releases,
                "locks": found.locks,
                "fixed": [d.to_dict() for d in mended],
                "diagnostics": [d.to_dict() for d in found.diagnostics],
            }
        )
    else:
        _tell(found, bad=bool(bad), fix=fix, few={} if every or strict else _FEW)
    return EXIT_ERROR if bad else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What a look at the workspace gave: how many releases and locks, and every finding.

    ``checkouts`` are the folders of recipes that lie elsewhere.
    """

    releases: int
    locks: int
    checkouts: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]

    def count(self, severity: Severity) -> int:
        return sum(1 for d in self.diagnostics if d.severity is severity)


def _look(root: str) -> _Findings:
    collector = Collector()
    settings = None
    try:
        settings = read_settings(root, os.environ)
    except InputError as error:
        collector.extend(d for d in error.diagnostics if isinstance(d, Diagnostic))
    settings = settings or Settings()
    reading = read_catalog(
        root, catalog=settings.catalog, checkouts=settings.checkouts, collector=collector
    )
    locks = read_locks(os.path.join(root, LOCK_FOLDER), shown=LOCK_FOLDER, collector=collector)
    if not collector.failed:
        collector.extend(_lost(reading.catalog, locks))
        collector.extend(lint(reading))
    return _Findings(
        releases=len(reading.catalog.releases),
        locks=len(locks.releases),
        checkouts=tuple(settings.checkouts.values()),
        diagnostics=tuple(with_fixes(collector, reading, locks)),
    )


def _tell(found: _Findings, *, bad: bool, fix: bool, few: Mapping[Severity, int]) -> None:
    if report_diagnostics(found.diagnostics, few):
        say("all of them: ssds check --all")
    fixable = sum(1 for d in found.diagnostics if d.fix)
    if fixable and not fix:
        say(f"{counted(fixable, 'finding')} can be mended by: ssds check --fix")
    if not bad:
        counts = ((severity, found.count(severity)) for severity in Severity)
        words = [f", {counted(n, s.value)}" for s, n in counts if n]
        print(
            f"Good: {counted(found.releases, 'release')}, "
            f"{counted(found.locks, 'lock')}{''.join(words)}."
        )


def _lost(catalog: Catalog, locks: Locks) -> Iterator[Diagnostic]:
    """Gives a finding for each pinned version that the catalog does not offer any more (C16)."""
    for lost in lost_versions(catalog, locks.pins):
        variant = lost.by.variant or DEFAULT_VARIANT
        yield diagnostic(
            "L029",
            locks.paths[lost.by.name, lost.by.version],
            at=f"variants.{variant}.platforms.{lost.platform}.pins.recipes",
            facts=(("pinned", lost.pinned), ("range", lost.asked)),
        )
