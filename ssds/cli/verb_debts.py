"""``ssds debts``: what an old catalog owes, and taking on what a scan found."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.output import counted, print_json, say, table
from ssds.cli.wishes import parse_date
from ssds.core.errors import IntegrityError, UsageError
from ssds.core.records import replace
from ssds.core.text import shown
from ssds.recipe.codes import near
from ssds.recipe.debts import FILE, Debts, debts_text, owed, parse_debts
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.core.digest import Digest
    from ssds.kinds.gate.findings import Finding
    from ssds.kinds.gate.owing import Owing, Scanned

SHOWN = 10
TEXT_LIMIT = 500
ONLY_THE_FILE = "only the named file was read"
HEAD = ("recipe", "findings", "tests", "ended", "next_end", "last_end", "owner")


@click.command("debts")
@click.argument("names", nargs=-1, metavar="[RECIPE]...", shell_complete=complete_releases)
@click.option(
    "--record",
    is_flag=True,
    help="Write what the newest scans found; what is paid goes, nothing new is taken on.",
)
@click.option(
    "--until", default="", metavar="DATE", help="Take on what is new or worse, until this day."
)
@click.option("--owner", default="", metavar="TEXT", help="Who pays off what is new.")
@click.option("--reason", default="", metavar="TEXT", help="Why it is accepted for now.")
@click.option(
    "--from",
    "file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Add what this findings document has, of what others deployed; it pays nothing.",
)
@click.option("--as-of", default="", metavar="DATE", help="Say what is owed on this date.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    names: tuple[str, ...],
    record: bool,
    until: str,
    owner: str,
    reason: str,
    file: str | None,
    as_of: str,
    as_json: bool,
) -> int:
    """Show what RECIPEs owe (all by default): findings and failing tests that hold nothing yet.

    A policy with `no_worse_than_released: true` lets the findings pass that catalog/debts.yaml
    names, each until its last day; what is new, newly fixable or newly exploited holds. --record
    writes that file from the newest scans. Debts keep their day, so what is owed only shrinks; what
    nobody looked at pays nothing.
    Exit codes: 3 (--record) something is new or worse and was not taken on.
    """
    day = parse_date(as_of)
    workspace = Workspace.open(context.folder)
    recipes = {name.name for name in workspace.catalog.releases}
    known = recipes | set(workspace.catalog.debts)
    for name in names:
        if name not in known:
            raise UsageError(
                f"{name[:200]!r} is no recipe of this catalog",
                hint=near(name, sorted(known)) or "Name a recipe, without its version.",
                code="E340",
            )
    if record:
        about = _about(until, owner, reason, day)
        if file and len(names) != 1:
            raise UsageError("--from goes with one RECIPE", hint="Name whose it is.", code="E344")
        return _record(workspace, names or sorted(recipes), day, about, file, as_json=as_json)
    if until or owner or reason or file:
        raise UsageError(
            "--until, --owner, --reason and --from go with --record",
            hint="Add --record, or leave them out.",
            code="E341",
        )
    rows = [_row(name, workspace.catalog.debts[name], day) for name in _owing(workspace, names)]
    if as_json:
        print_json(rows)
    elif rows:
        print(table([list(HEAD), *([str(row[key]) for key in HEAD] for row in rows)]))
    else:
        print("Nothing is owed.")
    return 0


def _owing(workspace: Workspace, names: tuple[str, ...]) -> list[str]:
    return [name for name in sorted(workspace.catalog.debts) if not names or name in names]


def _row(name: str, debts: Debts, day: dt.date) -> dict[str, Any]:
    found = owed(debts, day)
    ends = sorted([*(d.until for d in found.findings), *(t.until for t in found.tests)])
    count = len(debts.findings) + len(debts.tests)
    return {
        "recipe": name,
        "findings": len(found.findings),
        "tests": len(found.tests),
        "ended": count - len(ends),
        "next_end": ends[0].isoformat() if ends else "-",
        "last_end": ends[-1].isoformat() if ends else "-",
        "owner": shown(debts.owner or ", ".join(dict.fromkeys(t.owner for t in debts.tests))),
    }


def _about(until: str, owner: str, reason: str, day: dt.date) -> tuple[dt.date | None, str, str]:
    """Returns the last day, owner and reason of what is new; None where nothing is taken on."""
    if until and not (owner.strip() and reason.strip()):
        raise UsageError(
            "a debt has an owner and a reason",
            hint="--owner TEXT --reason TEXT: who pays it off, and why it is accepted until then.",
            code="E342",
        )
    if max(len(owner), len(reason)) > TEXT_LIMIT or not (owner + reason).isprintable():
        raise UsageError(
            "--owner and --reason are one printable line each",
            hint=f"Write at most {TEXT_LIMIT} characters.",
            code="E343",
        )
    last = parse_date(until) if until else None
    if last is not None and last < day:
        raise UsageError(
            f"{last} has passed: a debt of that day covers nothing",
            hint="--until DATE: the last day on which it holds nothing.",
            code="E346",
        )
    return last, owner.strip(), reason.strip()


def _record(
    workspace: Workspace,
    names: tuple[str, ...] | list[str],
    day: dt.date,
    about: tuple[dt.date | None, str, str],
    file: str | None,
    *,
    as_json: bool,
) -> int:
    from ssds.host.files import atomic_write
    from ssds.kinds.gate.owing import owing

    _check_file(workspace)
    until, owner, reason = about
    debts = dict(workspace.catalog.debts)
    rows: list[dict[str, Any]] = []
    for name in names:
        old = debts.get(name, Debts())
        if file:
            scans, unseen = _from_file(workspace, name, file), [ONLY_THE_FILE]
        else:
            scans, unseen = _scans(workspace, name)
        if not scans:
            say(f"{name}: never scanned; `ssds apply` does it")
            continue
        found = owing(
            (one for _, one in scans), old.findings, as_of=day, until=until, unseen=unseen
        )
        new = replace(old, findings=found.debts)
        if found.added:
            told = _short(", ".join(sorted({label for label, _ in scans})))
            new = replace(new, released=told, owner=owner, reason=reason)
        if not new.findings:
            new = replace(new, released="", owner="", reason="")
        if new.findings or new.tests:
            debts[name] = new
        else:
            debts.pop(name, None)
        rows.append(_told(name, found, bool(old.findings) and not file))
    path = os.path.join(workspace.settings.catalog, FILE)
    written = debts != dict(workspace.catalog.debts)
    if written:
        target = os.path.join(workspace.root, path)
        atomic_write(target, _text(debts, path), point="debts.file")
    refused = sum(len(row["refused"]) for row in rows)
    if as_json:
        print_json({"recipes": rows, "written": path if written else ""})
    else:
        _tell(rows, path if written else "")
    return 3 if refused else 0


def _told(name: str, found: Owing, paying: bool) -> dict[str, Any]:
    return {
        "recipe": name,
        "owed": len(found.debts),
        "added": found.added,
        "paid": found.paid,
        "refused": list(found.refused),
        "unpaid": list(found.unpaid) if paying else [],
    }


def _check_file(workspace: Workspace) -> None:
    """Raises InputError where the file that is there has errors: what is wrong would be lost."""
    path = os.path.join(workspace.settings.catalog, FILE)
    if os.path.isfile(os.path.join(workspace.root, path)):
        with open(os.path.join(workspace.root, path), "rb") as file:
            parse_debts(file.read(), path)


def _text(debts: dict[str, Debts], path: str) -> bytes:
    """Returns the file, which says what it should when it is read again."""
    text = debts_text(debts).encode()
    if parse_debts(text, path) != debts:
        raise IntegrityError(
            f"{path} would not say what is owed; it is as it was",
            hint="Report this with the findings; it is a fault of ssds.",
            code="E347",
        )
    return text


def _short(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 1]}…"


def _tell(rows: list[dict[str, Any]], path: str) -> None:
    head = ["recipe", "owed", "added", "paid", "refused"]
    lines = [[str(r[k]) for k in head[:-1]] + [str(len(r["refused"]))] for r in rows]
    if rows:
        print(table([head, *lines]))
    print(f"Written: {path}" if path else "Nothing changed.")
    for row in rows:
        for text in row["refused"][:SHOWN]:
            say(f"{row['recipe']}: {shown(text)}")
        if len(row["refused"]) > SHOWN:
            say(f"{row['recipe']}: and {counted(len(row['refused']) - SHOWN, 'more finding')}")
        for text in row["unpaid"][:SHOWN]:
            say(f"{row['recipe']}: nothing counts as paid: {shown(text)}")
    if any(row["refused"] for row in rows):
        say(
            "New or worse: mend them, or take them on with --until DATE --owner TEXT --reason TEXT."
        )


def _scans(workspace: Workspace, name: str) -> tuple[list[tuple[str, Scanned]], list[str]]:
    """Returns (release, its newest scan) of every platform of a recipe, and what has none."""
    from ssds.kinds.gate.findings import read_inspection, read_scan
    from ssds.kinds.gate.owing import Scanned

    scans: list[tuple[str, Scanned]] = []
    unseen: list[str] = []
    for release, entry in sorted(workspace.catalog.releases.items()):
        if release.name != name:
            continue
        variant = workspace.locks.get(release).variant(release)
        label = f"{release} r{variant.revision}" if variant.index else f"{release}, not released"
        for platform, target in entry.targets.items():
            section = variant.platforms.get(platform)
            latest = section.latest if section is not None else {}
            if not latest and not target.required:
                continue  # nobody built it
            policy = workspace.catalog.policies[target.policy]
            needed = ("scan", "inspect") if policy.lint else ("scan",)
            missing = [kind for kind in needed if kind not in latest]
            unseen += [f"{release} [{platform}] has no {kind} yet" for kind in missing]
            if "scan" in missing:
                continue
            remarks: tuple[Finding, ...] = ()
            if "inspect" in latest and policy.lint:
                seen = _blob(workspace, latest["inspect"].outputs["inspection"], release, platform)
                remarks = read_inspection(seen)
            found = _blob(workspace, latest["scan"].outputs["findings"], release, platform)
            one = Scanned(
                scan=read_scan(found), policy=policy, waivers=target.waivers, inspection=remarks
            )
            scans.append((label, one))
    return scans, unseen


def _blob(workspace: Workspace, digest: Digest, release: object, platform: object) -> bytes:
    data = workspace.read_blob(digest)
    if data is None:
        raise UsageError(
            f"the findings of {release} [{platform}] are not here",
            hint="`ssds apply --fetch` brings them.",
            code="E345",
        )
    return data


def _from_file(workspace: Workspace, name: str, file: str) -> list[tuple[str, Scanned]]:
    from ssds.host.local import head
    from ssds.kinds.gate.findings import LIMIT_BYTES, read_scan
    from ssds.kinds.gate.owing import Scanned

    scan = read_scan(head(file, LIMIT_BYTES + 1))
    label = shown(os.path.basename(file))
    targets = [
        target
        for release, entry in workspace.catalog.releases.items()
        if release.name == name
        for target in entry.targets.values()
    ]
    policies = workspace.catalog.policies
    chosen = {target.policy: target for target in targets}
    return [
        (label, Scanned(scan=scan, policy=policies[policy], waivers=target.waivers))
        for policy, target in chosen.items()
    ]
