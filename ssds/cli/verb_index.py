"""``ssds index``: carry the plan index to other clones, or say what is in it."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

import click

from ssds.cli import indexed, planning
from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, say, show, size_text
from ssds.core.errors import Refused, UsageError
from ssds.graph.index import keeping, rows
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import FILE_NAME, FORM, BadIndex, IndexFile, open_index
from ssds.graph.index.portable import SUFFIX, About, Portable, portable_bytes
from ssds.graph.index.table import GONE, SETTLED, Table
from ssds.host import tracked
from ssds.host.files import remove_file, replacing
from ssds.recipe.homes import described
from ssds.version import VERSION
from ssds.workspace import LOCK_FOLDER, STATE_FOLDER, Workspace

_TICK_S = 0.06


@click.group("index")
def command() -> None:
    """Carry the plan index to another clone, or look at it.

    The index is a cache in .ssds/: losing it costs only time.
    """


def _path(workspace: Workspace) -> str:
    return os.path.join(workspace.state_folder, FILE_NAME)


@command.command("export")
@click.argument("target", metavar="[FILE|DIR]", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def export(context: Context, /, target: str, as_json: bool) -> int:
    """Plan, and write the index as one file that other clones can import.

    In a folder the file is named by git's ids of the trees of catalog and locks.
    """
    workspace = Workspace.open(context.folder)
    about = _about(workspace)
    portable, unsure = _made(workspace, about)
    path = target
    if os.path.isdir(target) or target.endswith("/"):
        path = os.path.join(target, _name(portable))
    with replacing(path, point="export") as file:
        file.writelines(portable_bytes(portable))
    facts: dict[str, Any] = {
        "path": path,
        "recipes": _recipes(portable),
        "files": len(portable.kinds),
        "unsure": unsure,
        "size_bytes": os.path.getsize(path),
    }
    if as_json:
        print_json(facts)
        return 0
    if portable.about.private:
        say(f"note: {portable.about.private}: every clone will plan its whole catalog once")
    recipes, size = counted(facts["recipes"], "recipe"), size_text(facts["size_bytes"])
    print(f"{path}: {recipes}, {counted(facts['files'], 'file')}, {size}")
    return 0


def _about(workspace: Workspace) -> About:
    if workspace.settings.checkouts:
        raise UsageError(
            "an index of a workspace with a checkout of another format cannot be exported",
            hint="Its files are not all below the workspace: let each clone plan once.",
            code="E188",
        )
    catalog = workspace.settings.catalog
    trees = [tracked.tree_id(workspace.root, name) for name in (catalog, LOCK_FOLDER)]
    return About(
        version=VERSION,
        code=keeping.code_digest(),
        catalog=catalog,
        locks=LOCK_FOLDER,
        objects=tracked.object_format(workspace.root),
        tree="-".join(trees) if all(trees) else "",
        made_s=int(time.time()),
    )


def _made(workspace: Workspace, about: About) -> tuple[Portable, int]:
    """Returns the portable form of the index that a plan has just brought up to date."""
    from ssds.graph.index.exporting import make_portable

    def made() -> tuple[Portable, int]:
        indexed.deliver(workspace, planning.Asked())
        observed = f"{STATE_FOLDER}/observed"
        return make_portable(_opened(workspace), workspace.root, about, observed=observed)

    portable, unsure = made()
    if unsure:
        time.sleep(_TICK_S)  # a file that was just written is known only by a later look
        portable, unsure = made()
    return portable, unsure


def _opened(workspace: Workspace) -> IndexFile:
    try:
        file = open_index(_path(workspace))
        why = "planning kept none here"
    except BadIndex as error:
        file, why = None, str(error)
    if file is None:
        raise Refused(
            f"there is no plan index to export: {why}",
            hint="Unset SSDS_INDEX, and check that .ssds can be written.",
            code="E159",
        )
    return file


def _name(portable: Portable) -> str:
    import hashlib

    about = portable.about
    content = hashlib.sha256(bytes(portable.table.digests)).hexdigest()
    return (about.tree or f"content-{content}") + SUFFIX


def _recipes(portable: Portable) -> int:
    return sum(1 for flags in portable.table.flags if not flags & GONE)


@command.command("import")
@click.argument("source", metavar="[FILE|DIR]", default=".")
@click.option("--read", is_flag=True, help="Read every file; take git's word for none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def import_(context: Context, /, source: str, read: bool, as_json: bool) -> int:
    """Take an exported index for this clone: recipes with the same content need no plan.

    Of a folder, the file of this very commit's trees is taken, else the newest one.
    """
    from ssds.cli.importing import import_index

    workspace = Workspace.open(context.folder)
    imported = import_index(workspace, source, read=read)
    if as_json:
        print_json(imported.to_dict())
        return 0
    if imported.silent and not read:
        say(f"note: git does not vouch for files, so they were read: {imported.silent}")
    if imported.shared:
        say(f"note: the next plan is of the whole catalog: {imported.shared}")
    same = imported.recipes - len(imported.different)
    show(
        f"{imported.path}: {counted(max(0, same), 'recipe')} as there, "
        f"{len(imported.different)} to be looked at; {counted(imported.by_git, 'file')} known by "
        f"git, {imported.read} read"
    )
    return 0


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show_(context: Context, /, as_json: bool) -> int:
    """Say what is in the index of this workspace, and whether the next plan can use it."""
    workspace = Workspace.open(context.folder)
    facts = _facts(workspace)
    if as_json:
        print_json(facts)
        return 0
    show(f"path      {facts['path']}")
    if "recipes" in facts:
        show(
            f"written   {facts['written']}, {size_text(facts['size_bytes'])}, form {facts['form']}"
        )
        show(f"recipes   {facts['recipes']}, {facts['settled']} of them settled")
        show(f"files     {facts['files']}, {facts['changed']} of them to be looked at")
    show(f"of use    {'no: ' + facts['miss'] if facts['miss'] else 'yes'}")
    return 0


def _facts(workspace: Workspace) -> dict[str, Any]:
    """Returns what ``show`` says; ``miss`` is why the next plan makes no use of the index."""
    path = _path(workspace)
    facts: dict[str, Any] = {"path": path, "miss": ""}
    try:
        file = open_index(path)
        if file is None:
            return facts | {"miss": "there is none"}
        groups, table = Groups.load(file), Table.load(file)
    except (BadIndex, ValueError, OverflowError) as error:
        return facts | {"miss": str(error)}
    changed = 0
    for base, paths, known in zip(groups.bases, groups.paths, groups.rows, strict=True):
        try:
            changed += len(rows.changed(os.path.join(workspace.root, base), paths, known))
        except OSError:
            changed += len(paths)
    if table.facts.get("code") != keeping.code_digest():
        facts["miss"] = "another version of ssds wrote it"
    elif table.facts.get("catalog") != described(workspace.homes):
        facts["miss"] = "it is of another catalog folder"
    status = os.stat(path)
    written = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC).isoformat(timespec="seconds")
    return facts | {
        "form": FORM,
        "written": written,
        "size_bytes": status.st_size,
        "recipes": sum(1 for flags in table.flags if not flags & GONE),
        "settled": len(table.all_with(SETTLED)),
        "files": len(groups),
        "changed": changed,
    }


@command.command("clear")
@click.pass_obj
def clear(context: Context, /) -> int:
    """Remove the index of this workspace; the next plan makes it anew."""
    workspace = Workspace.open(context.folder)
    there = remove_file(_path(workspace), point="index")
    print("Removed." if there else "There was none.")
    return 0
