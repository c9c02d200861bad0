"""``ssds audit``: rebuild releases elsewhere, compare every byte, keep what was found."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ssds.audit.agreements import Standing, badge, markdown
from ssds.audit.model import CLASSES, IDENTICAL, UNBUILT
from ssds.audit.rebuild import part_to_rebuild
from ssds.cli import auditing
from ssds.cli.app import Context
from ssds.cli.auditing import Audited, Chosen
from ssds.cli.completing import complete_nodes, complete_platforms
from ssds.cli.output import counted, duration_text, print_json, say, show, table
from ssds.cli.standings import standings
from ssds.core.errors import UsageError
from ssds.core.platform import Platform
from ssds.graph.compile import Graph
from ssds.host import surroundings
from ssds.host.files import atomic_write
from ssds.host.machine import can_run, native_platform
from ssds.host.surroundings import DAY_S, Surroundings
from ssds.workspace import Workspace, parse_date, select

EXIT_DIFFERS = 4
EXIT_HELD = 3
KNOBS = ("clock", "cpus", "host-name", "locale", "umask")
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
@click.option("--jobs", "-j", type=click.IntRange(0, 256), default=0, help="Nodes at once.")
@click.option("--html", "view_folder", default="", metavar="DIR", help="Write diffoscope's views.")
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
    as_json: bool,
    request: str,
    **how: Any,
) -> int:
    """Rebuild releases in an empty store and changed surroundings, and compare with their locks.

    Bases are bootstrapped and all steps executed anew; pinned files come from your store by digest.
    Trees are compared, then layers, config and compressed bytes. Every audit is kept in the ledger.

    Exit codes: 0 all is identical, 1 an error or nothing was audited, 3 (--ledger) a policy
    demands more agreements than there are, 4 a rebuild differs.
    """
    workspace = Workspace.open(context.folder)
    if request:
        return auditing.rebuild_here(workspace, request)
    names = select(workspace.catalog.releases, selectors) or set(workspace.catalog.releases)
    chosen = [Platform(text) for text in platforms]
    audited: list[Audited] = []
    if not ledger and not table_file and not badge_file:
        audited = _audit(workspace, names, chosen or [native_platform()], as_json=as_json, **how)
    found = standings(workspace, names, [str(p) for p in chosen])
    for path, text in ((table_file, markdown(found, _Dates())), (badge_file, badge(found))):
        if path:
            atomic_write(os.path.abspath(path), text.encode(), point="audit-view")
    code = _code(audited) if audited else _standing_code(found)
    if as_json:
        print_json(_to_dict(audited, found, code))
    elif not audited:
        _show_ledger(found)
    return code


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
    view_folder: str,
    **how: Any,
) -> list[Audited]:
    if view_folder:
        from ssds.host.diffoscope import check_diffoscope

        check_diffoscope()
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
        chosen = _choose(workspace, part, platform, **how)
        _tell_choice(chosen)
        done.append(
            auditing.run(
                workspace,
                graph,
                found,
                platform,
                chosen,
                as_of="",
                jobs=jobs,
                view_folder=os.path.abspath(view_folder) if view_folder else "",
            )
        )
        if not as_json:
            _show(done[-1])
    return done


def _choose(
    workspace: Workspace,
    graph: Graph,
    platform: Platform,
    *,
    scratch: str,
    user: str,
    cpus: int,
    days: int,
    keep: tuple[str, ...],
) -> Chosen:
    """Returns what is changed for a rebuild here, and what stays and why."""
    scratch = os.path.abspath(scratch)
    if not os.path.isdir(scratch):
        raise UsageError(f"{scratch} is no folder", hint="Name one with --scratch.", code="E196")
    varied, kept = {"store": f"an empty one below {scratch}"}, dict.fromkeys(keep, "--keep")
    kept["builder"] = "embedded, the only one that audits use"
    if os.geteuid() != 0:
        kept.setdefault("host-name", "needs root")
        kept.setdefault("user", "needs root")
    elif user:
        surroundings.check_user(user)
        varied["user"] = user
    else:
        kept["user"] = "--user names another one"
    own = len(os.sched_getaffinity(0))
    if "cpus" not in kept and cpus != own:
        if cpus > own:
            kept["cpus"] = f"only {own} may be used here"
        else:
            varied["cpus"] = f"{cpus} of {own}"
    else:
        kept.setdefault("cpus", f"{own}, as before")
    _choose_clock(graph, platform, days, varied, kept)
    if auditing.other_order(workspace, scratch):
        varied["readdir"] = "the file system lists names in another order"
    else:
        kept["readdir"] = "the file system lists names alike; --scratch on a tmpfs does not"
    rest = {"host-name": "a random one", "locale": "tr_TR", "umask": "077"}
    varied |= {knob: words for knob, words in rest.items() if knob not in kept}
    changed = Surroundings(
        host_name=surroundings.other_host_name() if "host-name" in varied else "",
        user=user,
        cpus=cpus if "cpus" in varied else 0,
        umask=0o077 if "umask" in varied else -1,
        clock_offset_s=days * DAY_S if "clock" in varied else 0,
        locale="tr_TR.UTF-8" if "locale" in varied else "",
        time_zone="Pacific/Chatham" if "locale" in varied else "",
    )
    return Chosen(surroundings=changed, scratch=scratch, varied=varied, kept=kept)


def _choose_clock(
    graph: Graph, platform: Platform, days: int, varied: dict[str, str], kept: dict[str, str]
) -> None:
    if "clock" in kept:
        return
    if not days:
        kept["clock"] = "--days 0"
    elif can_run(platform).kind != "native":
        kept["clock"] = "emulated programs cannot load libfaketime"
    elif auditing.uses_network(graph):
        kept["clock"] = "a step uses the network, whose certificates have dates"
    elif not surroundings.clock_library():
        kept["clock"] = "libfaketime is not installed: apt-get install libfaketime"
    else:
        varied["clock"] = f"+{days} days for the programs of steps"


def _tell_choice(chosen: Chosen) -> None:
    say("Changed: " + "; ".join(f"{k}: {v}" for k, v in sorted(chosen.varied.items())) + ".")
    say("As before: " + "; ".join(f"{k}: {v}" for k, v in sorted(chosen.kept.items())) + ".")


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
        words = comparison.note or CLASSES[audit.result]
        show(f"\n{audit.release} [{audit.platform}]: {words}")
        files = [[f.cause, f"/{f.path}", f.what, f.owner] for f in comparison.files[:_SHOWN]]
        if files:
            show(table(files, indent="  "))
        if len(comparison.files) > _SHOWN:
            show(f"  and {len(comparison.files) - _SHOWN} more; --json lists {len(audit.files)}")
    for path in audited.views:
        show(f"Written: {path}")
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


def _to_dict(audited: Sequence[Audited], found: Sequence[Standing], code: int) -> Mapping[str, Any]:
    return {
        "format_version": "1.0",
        "exit_code": code,
        "audits": [
            {**audit.to_dict(), "note": comparison.note}
            for one in audited
            for audit, comparison in zip(one.audits, one.comparisons, strict=True)
        ],
        "bases": [base.to_dict() for one in audited for base in one.bases],
        "views": [path for one in audited for path in one.views],
        "ledger": [one.to_dict() for one in found],
    }
