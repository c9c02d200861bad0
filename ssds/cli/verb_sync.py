"""``ssds sync``: make every channel agree with the locks; reads locks and blobs only."""

from __future__ import annotations

import sys
from typing import Any

import click

from ssds.cli import synced, syncing
from ssds.cli.app import Context
from ssds.cli.completing import complete_channels, complete_releases
from ssds.cli.output import counted, print_json, size_text, table
from ssds.cli.releases import select
from ssds.cli.syncing import Asked, Looks
from ssds.core.errors import Refused, SsdsError
from ssds.core.records import replace
from ssds.ship.changes import Change
from ssds.ship.pushing import Pushed
from ssds.workspace import Workspace

_SHOWN = 200


@click.command("sync")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=complete_releases)
@click.option(
    "--to",
    "to",
    multiple=True,
    metavar="CHANNEL",
    help="Only this channel (may be repeated; default: all that recipes name).",
    shell_complete=complete_channels,
)
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option(
    "--refresh", is_flag=True, help="Ask for every tag, manifest and blob; believe no state."
)
@click.option("--repair", is_flag=True, help="Put back what others moved, whatever on_drift says.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    selectors: tuple[str, ...],
    to: tuple[str, ...],
    dry_run: bool,
    refresh: bool,
    repair: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Make channels agree with the locks: images, SBOMs, evidence, SIF files, tags.

    Selectors (`samtools`, `samtools@1.16.1`) choose releases; without any, all that are locked.

    Nothing is built and no recipe is compiled. Only missing bytes move. A channel that does not
    answer blocks no other; what is left is shown by `ssds status` and done by the next sync.

    Exit code 1 where a channel or a release failed, 3 where something was refused.
    """
    workspace = Workspace.open(context.folder)
    asked = Asked(to=to, refresh=refresh, repair=repair)
    wanted = syncing.targets(workspace, asked)
    if selectors:
        known = {released.id: released for found in wanted.values() for released in found}
        asked = replace(asked, only=frozenset(select(known, selectors)))
    looks = syncing.look(workspace, wanted, asked)
    done: dict[str, Pushed] = {}
    failed = dict(looks.failed)
    if not as_json:
        _show(looks)
    if not dry_run:
        effective = any(c.effective for look in looks.looks.values() for c in look.changes)
        if effective and not yes and not _confirmed():
            return 1
        workspace.check_writable()
        with workspace.store.shared():
            done, failed = syncing.carry_out_all(workspace, looks)
    synced.show_failed(done, failed)
    for name, look in looks.looks.items():
        synced.show_waiting(name, look.changes)
    if as_json:
        print_json(_to_dict(looks, done, failed))
    elif not dry_run:
        _show_done(done)
    refused = sum(c.verb == "x" for look in looks.looks.values() for c in look.changes)
    return synced.exit_code(done, failed, refused)


def _show(looks: Looks) -> None:
    for name, look in looks.looks.items():
        shown = [c for c in look.changes if c.verb not in ("=", "unmanaged")]
        if shown:
            print(f"{name}:")
            rows = [[_sign(c), c.what, c.reason] for c in shown[:_SHOWN]]
            print(table(rows, indent="  "))
            if len(shown) > _SHOWN:
                print(f"  … and {len(shown) - _SHOWN} more")
        print(f"{name}: {_counts(look.changes)}")


def _sign(change: Change) -> str:
    return change.verb[:1] + ("!" if "irreversible" in change.marks else "")


def _counts(changes: tuple[Change, ...]) -> str:
    words = {
        "=": "as locked",
        "+": "to write",
        "x": "refused",
        "w": "not here",
        "unmanaged": "not of ssds",
    }
    found = [
        f"{n} {word}" for verb, word in words.items() if (n := sum(c.verb == verb for c in changes))
    ]
    return ", ".join(found) or "nothing to deliver"


def _show_done(done: dict[str, Pushed]) -> None:
    for name, pushed in done.items():
        count = synced.written(pushed)
        if not count and not pushed.failed:
            refused = sum(change.verb == "x" for change in pushed.changes)
            print(f"Nothing to do on {name}" + (f"; {refused} refused." if refused else "."))
            continue
        left = f"; {counted(len(pushed.failed), 'release')} left" if pushed.failed else ""
        mounted = f", {pushed.mounted} mounted" if pushed.mounted else ""
        print(
            f"Synced {name}: {counted(count, 'change')}, {counted(len(pushed.sent), 'blob')} "
            f"({size_text(pushed.size_bytes)}){mounted}{left}."
        )


def _to_dict(looks: Looks, done: dict[str, Pushed], failed: dict[str, SsdsError]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted({*looks.looks, *failed}):
        entry: dict[str, Any] = {"changes": [], "failed": {}, "error": ""}
        if name in looks.looks:
            changes = looks.looks[name].changes
            entry["changes"] = [c.to_dict() for c in changes if c.verb != "="]
            entry["kept"] = sum(c.verb == "=" for c in changes)
        if name in done:
            pushed = done[name]
            entry["failed"] = {str(r): e.message for r, e in pushed.failed.items()}
            entry["blobs_sent"] = len(pushed.sent)
            entry["blobs_mounted"] = pushed.mounted
            entry["size_bytes"] = pushed.size_bytes
        if name in failed:
            entry["error"] = failed[name].message
        found[name] = entry
    return {"channels": found}


def _confirmed() -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "sync asks before it writes, and there is no terminal to ask on",
            hint="Pass --yes, or --dry-run to look only.",
            code="E231",
        )
    return click.confirm("Write this?", err=True)
