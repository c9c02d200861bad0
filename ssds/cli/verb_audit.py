"""``ssds audit``: rebuild releases elsewhere, compare every byte, keep what was found."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ssds.audit import report
from ssds.audit.agreements import Standing, badge, markdown
from ssds.audit.model import CLASSES, EXPLANATIONS, IDENTICAL, UNBUILT
from ssds.audit.rebuild import part_to_rebuild
from ssds.cli import auditing
from ssds.cli.app import Context
from ssds.cli.audit_choices import KNOBS, choose, tell_choice
from ssds.cli.auditing import Audited
from ssds.cli.completing import complete_nodes, complete_platforms
from ssds.cli.output import counted, duration_text, print_json, say, show, table
from ssds.cli.rebuilding import rebuild_here
from ssds.cli.releases import select
from ssds.cli.selecting import builder_option
from ssds.cli.standings import standings
from ssds.cli.wishes import parse_date
from ssds.core.errors import UsageError
from ssds.core.platform import Platform
from ssds.host.files import atomic_write
from ssds.host.machine import native_platform
from ssds.workspace import Workspace

EXIT_DIFFERS = 4
EXIT_HELD = 3
_SHOWN = 12
_SCRATCH = "/var/tmp"  # noqa: S108 - a folder that nobody knows is made below it


@click.command("audit")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=complete_nodes)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    help="This platform (default: the one that this machine runs).",
    shell_complete=complete_platforms,
)
@click.option(
    "--scratch",
    default=_SCRATCH,
    show_default=True,
    metavar="DIR",
    help="Make the empty store below this folder; another file system lists folders otherwise.",
)
@click.option("--user", default="", metavar="NAME", help="As root: rebuild as this ordinary user.")
@click.option(
    "--cpus", type=click.IntRange(1, 4096), default=1, metavar="N", help="Processors (default: 1)."
)
@click.option(
    "--days",
    type=click.IntRange(0, 3650),
    default=400,
    metavar="N",
    help="Shift the clock of steps by so many days (default: 400).",
)
@click.option(
    "--keep", multiple=True, type=click.Choice(KNOBS), help="Leave this as it is (repeatable)."
)
@builder_option
@click.option("--jobs", "-j", type=click.IntRange(0, 256), default=0, help="Nodes at once.")
@click.option(
    "--html", "page_file", default="", metavar="FILE", help="Write the audit as one HTML page."
)
@click.option("--text", "text_file", default="", metavar="FILE", help="Write the audit as text.")
@click.option("--ledger", is_flag=True, help="Rebuild nothing: show what the ledger holds.")
@click.option("--markdown", "table_file", default="", metavar="FILE", help="Write that as a table.")
@click.option("--badge", "badge_file", default="", metavar="FILE", help="Write that as an SVG.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--rebuild", "request", default="", hidden=True)
@click.pass_obj
def command(
    context: Context,
    /,
    selectors: tuple[str, ...],
    platforms: tuple[str, ...],
    ledger: bool,
    table_file: str,
    badge_file: str,
    page_file: str,
    text_file: str,
    as_json: bool,
    request: str,
    builder: str | None,
    **how: Any,
) -> int:
    """Rebuild releases in an empty store and changed surroundings, and compare with their locks.

    Bases are bootstrapped and all steps executed anew; pinned files come from your store by digest.
    `--keep base` takes the bases from your store too, which is quicker and says less.
    Trees are compared, then layers, config and compressed bytes. Every audit is kept in the ledger.

    Exit codes: 0 all is identical, 1 an error or nothing was audited, 3 (--ledger) a policy
    demands more agreements than there are, 4 a rebuild differs.
    """
    workspace = Workspace.open(context.folder).built_by(builder, no_cache=True)
    if request:
        return rebuild_here(workspace, request)
    names = select(workspace.catalog.releases, selectors) or set(workspace.catalog.releases)
    chosen = [Platform(text) for text in platforms]
    audited: list[Audited] = []
    pages = [path for path in (page_file, text_file) if path]
    if not ledger and not table_file and not badge_file:
        how["viewed"] = _viewed(pages)
        audited = _audit(workspace, names, chosen or [native_platform()], as_json=as_json, **how)
    elif pages:
        raise UsageError(
            "--html and --text show an audit, and the ledger's views make none",
            hint="Leave out --ledger, --markdown and --badge, or --html and --text.",
            code="E204",
        )
    _write_reports(audited, page_file, text_file)
    found = standings(workspace, names, [str(p) for p in chosen])
    for path, text in ((table_file, markdown(found, _Dates())), (badge_file, badge(found))):
        if path:
            atomic_write(os.path.abspath(path), text.encode(), point="audit-view")
    code = _code(audited) if audited else _standing_code(found)
    if as_json:
        written = [os.path.abspath(path) for path in (page_file, text_file) if path and audited]
        print_json(_to_dict(audited, found, code, written))
    elif not audited:
        _show_ledger(found)
    return code


def _viewed(paths: Sequence[str]) -> bool:
    """Whether a report is wanted and diffoscope can add to it; says where it cannot."""
    if not paths:
        return False
    for folder in (os.path.dirname(os.path.abspath(path)) for path in paths):
        if not os.path.isdir(folder):
            raise UsageError(f"{folder} is no folder", hint="Make it first.", code="E196")
    from ssds.host.diffoscope import has_diffoscope

    if not has_diffoscope():
        say("diffoscope is not installed: the report has the files' names and causes only.")
    return has_diffoscope()


def _write_reports(audited: Sequence[Audited], page_file: str, text_file: str) -> None:
    audits = [audit for one in audited for audit in one.audits]
    views = {place: view for one in audited for place, view in one.views.items()}
    notes = {
        (audit.release, audit.platform): comparison.note
        for one in audited
        for audit, comparison in zip(one.audits, one.comparisons, strict=True)
    }
    made = (
        (page_file, report.page(audits, notes, views, _Dates())),
        (text_file, report.text(audits, notes, views)),
    )
    for path, content in made:
        if path and audits:
            atomic_write(os.path.abspath(path), content.encode(), point="audit-view")
            say(f"Written: {path}")


class _Dates(dict[int, str]):
    """Times in seconds as dates."""

    def __missing__(self, at: int) -> str:
        return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")


def _audit(
    workspace: Workspace,
    names: Any,
    platforms: Sequence[Platform],
    *,
    as_json: bool,
    jobs: int,
    viewed: bool,
    **how: Any,
) -> list[Audited]:
    graph = workspace.graph(parse_date(""))
    work = [(p, auditing.halves(workspace, graph, names, p)) for p in platforms]
    if not any(found for _, found in work):
        raise UsageError(
            "none of these has a release on " + ", ".join(map(str, platforms)),
            hint="`ssds status` lists releases and platforms; --platform names another one.",
            code="E195",
        )
    done = []
    for platform, found in work:
        if not found:
            continue
        part = part_to_rebuild(graph, found, platform)
        chosen = choose(workspace, part, platform, **how)
        tell_choice(chosen)
        done.append(
            auditing.run(
                workspace,
                graph,
                found,
                platform,
                chosen,
                as_of="",
                jobs=jobs,
                viewed=viewed,
            )
        )
        if not as_json:
            _show(done[-1])
    return done


def _show(audited: Audited) -> None:
    rows = [["image", "platform", "class", "level", "causes"]]
    rows += [[base.name, base.platform, base.result, "-", "-"] for base in audited.bases]
    rows += [
        [a.release, a.platform, a.result, a.level or "-", ", ".join(a.causes) or "-"]
        for a in audited.audits
    ]
    show(table(rows))
    for audit, comparison in zip(audited.audits, audited.comparisons, strict=True):
        if audit.result == IDENTICAL:
            continue
        words = EXPLANATIONS.get(audit.explained) or comparison.note or CLASSES[audit.result]
        show(f"\n{audit.release} [{audit.platform}]: {words}")
        files = [[f.cause, f"/{f.path}", f.what, f.owner] for f in comparison.files[:_SHOWN]]
        if files:
            show(table(files, indent="  "))
        if len(comparison.files) > _SHOWN:
            show(f"  and {len(comparison.files) - _SHOWN} more; --json lists {len(audit.files)}")
    good = sum(1 for audit in audited.audits if audit.result == IDENTICAL)
    took = duration_text(max((a.duration_ms for a in audited.audits), default=0))
    show(
        f"\nAudit: {good} of {counted(len(audited.audits), 'image')} identical; rebuilt in {took}."
    )


def _show_ledger(found: Sequence[Standing]) -> None:
    rows = [["release", "platform", "standing", "agree", "newest", "class", "builder"]]
    dates = _Dates()
    for one in found:
        newest = one.newest
        cells = (
            [dates[newest.at], newest.result, f"{newest.builder} ({newest.mode or '-'})"]
            if newest
            else ["-", "-", "-"]
        )
        rows.append([one.released.release, one.released.platform, one.standing, one.count, *cells])
    show(table(rows))


def _code(audited: Sequence[Audited]) -> int:
    results = {a.result for one in audited for a in one.audits}
    results |= {base.result for one in audited for base in one.bases}
    if results <= {IDENTICAL}:
        return 0
    return 1 if results <= {IDENTICAL, UNBUILT} else EXIT_DIFFERS


def _standing_code(found: Sequence[Standing]) -> int:
    unmet = any(one.released.demand and one.standing != "reproducible" for one in found)
    return EXIT_HELD if unmet else 0


def _to_dict(
    audited: Sequence[Audited], found: Sequence[Standing], code: int, written: Sequence[str]
) -> Mapping[str, Any]:
    return {
        "format_version": "1.0",
        "exit_code": code,
        "audits": [
            {**audit.to_dict(), "note": comparison.note}
            for one in audited
            for audit, comparison in zip(one.audits, one.comparisons, strict=True)
        ],
        "bases": [base.to_dict() for one in audited for base in one.bases],
        "views": list(written),
        "ledger": [one.to_dict() for one in found],
    }
