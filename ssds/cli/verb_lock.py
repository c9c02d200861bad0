"""``ssds lock``: pin what moves."""

from __future__ import annotations

import functools
import os
from typing import Any

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_locking, complete_renewal
from ssds.cli.datasets import lacking_pins
from ssds.cli.output import counted, print_json, report_diagnostics, show
from ssds.cli.resolving import chosen_targets, lock_all
from ssds.cli.selecting import platforms_option
from ssds.core.diagnostics import Diagnostic
from ssds.core.errors import Refused, UsageError
from ssds.kinds.build.contained import lost_versions, refuse_removal
from ssds.lock.marks import Marks
from ssds.lock.read import read_marks
from ssds.lock.stale import Lack, findings, lacks
from ssds.workspace import LOCK_FOLDER, Workspace

EXIT_STALE = 2


class _PinOrVerb(click.Group):
    """``lock [SELECTOR]...`` pins; ``lock merge`` and ``lock diff`` are verbs of their own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in self.commands:
            ctx.args = list(args)
            return ctx.args
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.args:
            return click.Command.invoke(self, ctx)
        name, found, rest = self.resolve_command(ctx, ctx.args)
        assert found is not None
        with found.make_context(name, rest, parent=ctx) as inner:
            return found.invoke(inner)


class _Quiet(click.Argument):
    """An argument that the usage line of the verbs below does not repeat."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        return []


@click.group("lock", cls=_PinOrVerb, subcommand_metavar="[SELECTOR]...", no_args_is_help=False)
@click.argument("selectors", nargs=-1, cls=_Quiet, shell_complete=complete_locking)
@platforms_option
@click.option(
    "--upgrade",
    "renew",
    multiple=True,
    metavar="WHAT",
    help="Renew pins that are not stale: base, sources, packages, apt, pip, conda, recipes or "
    "all; or one by its name (a base, source, package or recipe), as NAME or SORT:NAME.",
    shell_complete=complete_renewal,
)
@click.option(
    "--check",
    is_flag=True,
    help="Only say which pins are missing or stale, with their places; exit code 2 if any is.",
)
@click.option("--json", "as_json", is_flag=True, help="With --check: print the findings as JSON.")
@click.option(
    "--locked",
    is_flag=True,
    help="Resolve nothing: an error where a pin is missing or stale.",
)
@click.pass_obj
def command(
    context: Context,
    /,
    selectors: tuple[str, ...],
    platforms: tuple[str, ...],
    renew: tuple[str, ...],
    check: bool,
    as_json: bool,
    locked: bool,
) -> int:
    """Pin what moves: bases, sources, package sets, ranges of recipes; write them to lockfiles/.

    What a recipe contains comes along. `ssds lock merge` and `ssds lock diff` join and compare
    lock files.
    """
    _together(renew, check=check, as_json=as_json, locked=locked)
    workspace = Workspace.open(context.folder)
    if check or locked:
        refuse_removal(lost_versions(workspace.catalog, workspace.locks.pins))
        targets = chosen_targets(workspace, selectors, platforms)
        found = list(lacks(targets, workspace.catalog, workspace.locks))
        more = lacking_pins(workspace, selectors) if workspace.catalog.data else []
        if check:
            return _report(workspace, found, more, as_json=as_json)
        _refuse(found, more)
        changed = []
    else:
        changed = lock_all(workspace, selectors, platforms, renew)
    for name in changed:
        print(f"wrote {name}")
    if not changed:
        print("Nothing to lock: every pin answers its request.")
    return 0


def _together(renew: tuple[str, ...], *, check: bool, as_json: bool, locked: bool) -> None:
    if renew and (check or locked):
        raise UsageError(
            f"--upgrade resolves, and --{'check' if check else 'locked'} never does",
            hint="Leave one of them out.",
            code="E201",
        )
    if as_json and not check:
        raise UsageError("--json goes with --check", hint="Add --check.", code="E201")


def _report(
    workspace: Workspace, found: list[Lack], more: list[Diagnostic], *, as_json: bool
) -> int:
    """Prints every finding, ``more`` are those of data sets; returns the exit code."""

    def marks(file: str) -> Marks:
        return read_marks(os.path.join(workspace.lock_folder, file))

    rows = [*findings(found, workspace.reading, functools.cache(marks), LOCK_FOLDER), *more]
    if as_json:
        print_json({"ok": not rows, "diagnostics": [row.to_dict() for row in rows]})
    elif rows:
        report_diagnostics(rows)
    else:
        print("Every pin answers its request.")
    return EXIT_STALE if rows else 0


def _refuse(found: list[Lack], more: list[Diagnostic]) -> None:
    """Raises Refused (E082) that names each missing and each stale pin."""
    if not found and not more:
        return
    lines = [
        f"{one.target.release} [{one.target.platform}]: {one.missing} "
        + ("(stale)" if one.missing.stale else "(missing)")
        for one in found
    ]
    lines += [f"{dict(row.facts)['set']}: {dict(row.facts)['pin']}" for row in more]
    raise Refused(
        f"{counted(len(lines), 'pin')} missing or stale:\n      " + "\n      ".join(lines),
        hint="Run `ssds lock` and commit lockfiles/; `ssds lock --check` says where each is.",
        code="E082",
    )


@command.command("merge")
@click.argument("base", type=click.Path())
@click.argument("ours", type=click.Path())
@click.argument("theirs", type=click.Path())
@click.option("--name", default="", metavar="PATH", help="The file's name in the tree (git's %P).")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the result; change no file.")
def merge_command(base: str, ours: str, theirs: str, name: str, to_stdout: bool) -> int:
    """Join two states of one lock file, OURS and THEIRS, which grew from BASE; write it to OURS.

    It is a git merge driver: platform sections made on different machines join. Where both sides
    changed one thing in two ways, OURS stays as it was, and the exit code is 1.

    \b
    ssds lock driver
    """  # noqa: D301 - click leaves the block after \\b as it is
    from ssds.lock.merge import merge_driver, merge_files

    if to_stdout:
        print(merge_files(base, ours, theirs, name=name or ours).decode(), end="")
    else:
        merge_driver(base, ours, theirs, name=name or ours)
    return 0


@command.command("join")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@click.pass_obj
def join_command(context: Context, /, folders: tuple[str, ...]) -> int:
    """Join the lock files that other machines made of this checkout's, one folder for each.

    For CI: runners build platforms apart, and one of them joins what they locked.
    """
    from ssds.cli.merging import join

    changed = join(Workspace.open(context.folder), folders)
    for name in changed:
        print(f"wrote {name}")
    if not changed:
        print("Nothing to do: the locks hold all of it.")
    return 0


@command.command("driver")
@click.pass_obj
def driver_command(context: Context, /) -> int:
    """Let git join lock files with `ssds lock merge`: in .gitattributes, and in this clone.

    Commit .gitattributes; run this once in every clone, also in CI.
    """
    from ssds.cli.merging import install

    done = install(Workspace.open(context.folder))
    for line in done:
        print(f"wrote {line}")
    if not done:
        print("Nothing to do: git joins lock files here already.")
    return 0


@command.command("diff")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff_command(old: str, new: str, as_json: bool) -> int:
    """Say what differs between two lock files, in a reviewer's words; a missing file is no lock.

    `ssds diff` does the same, also for revisions of git and for plans.
    """
    from ssds.cli.comparing import compared, lock_side

    one = compared(lock_side(old, new), lock_side(new, old))
    if as_json:
        print_json(one.to_dicts())
    else:
        show(one.render())
    return 0
