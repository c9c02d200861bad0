"""``ssds check``: recipes, shared files, settings and locks; all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from ssds.cli.app import Context
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, report_diagnostics
from ssds.core.diagnostics import Collector, Diagnostic, Severity
from ssds.core.errors import InputError
from ssds.kinds.build.contained import lost_versions
from ssds.lock.model import DEFAULT_VARIANT, Locks
from ssds.lock.read import diagnostic, read_locks
from ssds.recipe.catalog import read_catalog
from ssds.recipe.impure import impure_steps
from ssds.recipe.model import Catalog
from ssds.recipe.settings import read_settings
from ssds.workspace import LOCK_FOLDER, find_root


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.pass_obj
def command(context: Context, /, as_json: bool, strict: bool) -> int:
    """Check recipes, shared files, settings and locks. Changes nothing."""
    root = find_root(context.folder or ".")
    collector = Collector()
    settings = None
    try:
        settings = read_settings(root, os.environ)
    except InputError as error:
        collector.extend(d for d in error.diagnostics if isinstance(d, Diagnostic))
    catalog = settings.catalog if settings else "catalog"
    reading = read_catalog(root, catalog=catalog, collector=collector)
    locks = read_locks(os.path.join(root, LOCK_FOLDER), shown=LOCK_FOLDER, collector=collector)
    if not collector.failed:
        collector.extend(_lost(reading.catalog, locks))
        collector.extend(impure_steps(reading))
    counts = {s: sum(1 for d in collector if d.severity is s) for s in Severity}
    bad = collector.failed or (strict and counts[Severity.WARNING] > 0)
    if as_json:
        print_json(
            {
                "ok": not bad,
                "releases": len(reading.catalog.releases),
                "locks": len(locks.releases),
                "diagnostics": [d.to_dict() for d in collector],
            }
        )
    else:
        report_diagnostics(collector)
        if not bad:
            words = [f", {counted(n, s.value)}" for s, n in counts.items() if n]
            print(
                f"Good: {counted(len(reading.catalog.releases), 'release')}, "
                f"{counted(len(locks.releases), 'lock')}{''.join(words)}."
            )
    return EXIT_ERROR if bad else 0


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
