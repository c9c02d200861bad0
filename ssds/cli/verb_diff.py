"""``ssds diff``: what differs between two locks, or between two plans."""

from __future__ import annotations

import contextlib
import difflib
import os

import click

from ssds.cli.app import Context
from ssds.cli.comparing import Compared, Side, at_revision, compared, side
from ssds.cli.output import print_json, show
from ssds.core.errors import UsageError
from ssds.core.text import shown
from ssds.host.git import is_content, list_at, resolve_revision
from ssds.lock.read import DATA_FOLDER, SUFFIX
from ssds.recipe.settings import find_root
from ssds.workspace import LOCK_FOLDER, Workspace

DIFFERENT = 1


@click.command("diff")
@click.argument("things", nargs=-1, metavar="[OLD NEW | RELEASE...]", type=click.Path())
@click.option("--since", default="", metavar="REV", help="Compare locks with those of a revision.")
@click.option(
    "--until",
    default="",
    metavar="REV",
    help="With --since: compare with this revision, not with the files here.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there are differences.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    context: Context, /, things: tuple[str, ...], since: str, until: str, exit_code: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Say what differs between two locks or two plans: OLD and NEW are files, or REV:PATH.

    \b
    ssds diff main:lockfiles/samtools@1.16.1.lock.json lockfiles/samtools@1.16.1.lock.json
    ssds diff --since main samtools      the locks of one release
    ssds diff --since v1 --until v2      all locks
    ssds diff before.json after.json     two plans (`plan --json`, or `plan --out`)
    """  # noqa: D301 - click leaves the block after \\b as it is
    if since:
        workspace = Workspace.open(context.folder)
        found = _since(workspace, things, since, until)
        if as_json:
            print_json(
                {
                    "kind": "locks",
                    "files": [
                        {"file": file, "kind": one.kind, "differences": one.to_dicts()}
                        for file, one in found.items()
                    ],
                }
            )
        else:
            show(_text(found))
        return DIFFERENT if exit_code and found else 0
    _check_two(things, until)
    folder = _folder(context)
    old, new = (side(text, folder) for text in things)
    one = compared(old, new)
    if as_json:
        differences = one.to_dicts()
        print_json({"kind": one.kind, "old": old.name, "new": new.name, "differences": differences})
    else:
        show(one.render())
    return DIFFERENT if exit_code and one.changes else 0


def _check_two(things: tuple[str, ...], until: str) -> None:
    hint = "`ssds diff OLD NEW`, or `ssds diff --since REV [RELEASE]...`."
    if until:
        raise UsageError("--until goes with --since", hint=hint, code="E147")
    if len(things) != 2:
        raise UsageError(f"diff compares two files, not {len(things)}", hint=hint, code="E147")


def _folder(context: Context) -> str:
    """Returns where a revision's paths start: the workspace, else the current folder."""
    try:
        return find_root(context.folder or ".")
    except UsageError:
        return os.path.abspath(context.folder or ".")


def _since(
    workspace: Workspace, names: tuple[str, ...], since: str, until: str
) -> dict[str, Compared]:
    """Returns lock file → what differs, of those that differ."""
    old_tree = resolve_revision(workspace.root, since)
    new_tree = resolve_revision(workspace.root, until) if until else ""
    before = _listed(workspace, old_tree)
    after = _listed(workspace, new_tree) if until else {}
    here = [] if until else _here(workspace)
    found: dict[str, Compared] = {}
    for name in _chosen(sorted({*before, *after, *here}), names):
        if until and before.get(name) == after.get(name):
            continue
        file = f"{LOCK_FOLDER}/{name}"
        if until:
            new = at_revision(f"{until}:{file}", workspace.root, new_tree, f"./{file}")
        else:
            there = name in here
            data = side(os.path.join(workspace.root, file), workspace.root).data if there else None
            new = Side(name=file, file=file, data=data)
        if new.data is not None and is_content(new.data, before.get(name, "")):
            continue
        old = at_revision(f"{since}:{file}", workspace.root, old_tree, f"./{file}")
        one = compared(old, new)
        if one.changes:
            found[file] = one
    return found


def _listed(workspace: Workspace, tree: str) -> dict[str, str]:
    """Returns the paths of lock files of a tree, those of data sets too, each with its content."""
    found = list_at(workspace.root, tree, LOCK_FOLDER)
    inner = list_at(workspace.root, tree, f"{LOCK_FOLDER}/{DATA_FOLDER}")
    return {**found, **{f"{DATA_FOLDER}/{name}": content for name, content in inner.items()}}


def _here(workspace: Workspace) -> list[str]:
    found = []
    for inner in ("", f"{DATA_FOLDER}/"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found += [inner + n for n in os.listdir(os.path.join(workspace.lock_folder, inner))]
    return found


def _chosen(files: list[str], names: tuple[str, ...]) -> list[str]:
    """Returns the lock files that names mean (``samtools``, ``samtools@1.16.1``), or all.

    Raises:
        UsageError: E148, a name means none.
    """
    known = {f: os.path.basename(f).removesuffix(SUFFIX) for f in files if f.endswith(SUFFIX)}
    if not names:
        return list(known)
    chosen: dict[str, None] = {}
    for text in names:
        wanted = os.path.basename(text).removesuffix(SUFFIX)
        found = [f for f, n in known.items() if wanted in (n, n.partition("@")[0])]
        if not found:
            words = {n.partition("@")[0] for n in known.values()} | set(known.values())
            near = difflib.get_close_matches(wanted, sorted(words), 1)
            raise UsageError(
                f"neither revision has a lock of {shown(text)}",
                hint=f'Did you mean "{near[0]}"?' if near else f"{LOCK_FOLDER}/ lists the locks.",
                code="E148",
            )
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def _text(found: dict[str, Compared]) -> str:
    if not found:
        return "0 differences"
    return "\n\n".join(f"{file}\n{one.render()}" for file, one in found.items())
