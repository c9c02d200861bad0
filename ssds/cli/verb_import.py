"""``ssds import``: recipes of another format, written as recipes of ours."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from ssds.cli.app import Context
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.import_files import apptainer, dockerfile
from ssds.cli.import_ready import ducc, galaxy, shpc
from ssds.cli.output import counted, report_diagnostics, report_error, say
from ssds.core.diagnostics import Collector, Severity
from ssds.core.errors import InvalidValue, Refused, SsdsError, UsageError
from ssds.core.records import replace
from ssds.host import local
from ssds.host.folders import staged_folder
from ssds.recipe.catalog import RECIPE_FILE, CatalogReading, read_catalog
from ssds.recipe.formats.neurocontainers.fulltest import FILE
from ssds.recipe.model import Release
from ssds.recipe.steps import LocalTree
from ssds.recipe.written.moved import Moved, moved
from ssds.recipe.yamlmarks import read_file
from ssds.workspace import Workspace


@click.group("import")
def command() -> None:
    """Write recipes of another format as recipes of this catalog, for those who move over.

    Nothing that is there is overwritten. A recipe with an error is told, and the others go on. What
    has no place in a recipe is refused at its line.
    """


command.add_command(dockerfile)
command.add_command(apptainer)
command.add_command(shpc)
command.add_command(ducc)
command.add_command(galaxy)


@command.command("neurocontainers")
@click.argument("checkout", type=click.Path())
@click.argument("names", nargs=-1)
@click.pass_obj
def neurocontainers_command(context: Context, /, checkout: str, names: tuple[str, ...]) -> int:
    """Write the recipes NAMES (default: all) of a checkout of NeuroDesk's neurocontainers.

    To use their recipes as they are, name the checkout in ssds.yaml instead.
    """
    workspace = Workspace.open(context.folder)
    collector = Collector()
    reading = read_catalog(
        workspace.root,
        catalog=workspace.settings.catalog,
        checkouts={"neurocontainers": os.path.abspath(checkout)},
        collector=collector,
        only=names or None,
    )
    own = f"{workspace.settings.catalog}/"
    found = _by_name(
        r for r in reading.catalog.releases.values() if not r.recipe_path.startswith(own)
    )
    problems = [
        d for d in collector if d.severity is Severity.ERROR and not d.span.path.startswith(own)
    ]
    there = sorted(dict(d.facts)["recipe"] for d in problems if d.code == "K012")
    problems = [d for d in problems if d.code != "K012"]
    report_diagnostics(problems)
    for name in there:
        _tell_there(f"{own}{name}/{RECIPE_FILE}", name, asked=not names or name in names)
    failed = len({d.span.path for d in problems}) + sum(not names or n in names for n in there)
    missing = [name for name in names if name not in found and name not in there]
    if missing and not problems:
        raise UsageError(
            f"there is no recipe {missing[0]!r} in {checkout}",
            hint="Recipes are the folders below recipes/ there.",
        )
    return _write_all(workspace, reading, found, failed)


def _tell_there(path: str, name: str, *, asked: bool) -> None:
    """Says that a recipe is in the catalog: as an error where it was to be written."""
    if asked:
        report_error(Refused(f"{path} is there already", hint="Remove it first, or edit it."))
    else:
        say(f"{path} is there already; what stands on {name} uses it")


def _by_name(releases: Iterable[Release]) -> dict[str, list[Release]]:
    found: dict[str, list[Release]] = {}
    for release in releases:
        found.setdefault(release.id.name, []).append(release)
    return found


def _write_all(
    workspace: Workspace,
    reading: CatalogReading,
    found: dict[str, list[Release]],
    failed: int,
) -> int:
    """Writes every recipe that can be; returns the exit code."""
    written = 0
    for name, releases in sorted(found.items()):
        try:
            suite = _suite(workspace.root, releases)
            recipe = moved(releases, reading.catalog.bases, *suite)
            _write(workspace, name, replace(recipe, files={**recipe.files, **suite}))
            written += 1
            if len(found) <= 20:
                say(f"wrote {workspace.settings.catalog}/{name}/{RECIPE_FILE}")
        except SsdsError as error:
            report_error(type(error)(f"{name}: {error.message}", hint=error.hint, code=error.code))
            failed += 1
    rest = f", {failed} not" if failed else ""
    print(f"{counted(written, 'recipe')} written{rest}. Next: ssds check")
    return EXIT_ERROR if failed else 0


def _suite(root: str, releases: list[Release]) -> dict[str, bytes]:
    """Returns the file of their tests, where they have one."""
    if not any(t.suite is not None for r in releases for t in r.targets.values()):
        return {}
    path = f"{os.path.dirname(releases[0].recipe_path)}/{FILE}"
    data = read_file(os.path.join(root, path), path, Collector())
    return {FILE: data} if data is not None else {}


def _write(workspace: Workspace, name: str, recipe: Moved) -> None:
    """Writes a recipe's folder, whole or not at all.

    Raises:
        Refused: it is there already.
        InvalidValue: a local file that the recipe names is not there, or has changed.
    """
    place = os.path.join(workspace.root, workspace.settings.catalog, name)
    if os.path.lexists(place):
        shown = f"{workspace.settings.catalog}/{name}"
        raise Refused(f"{shown} is there already", hint="Remove it first, or edit it.")
    with staged_folder(place, point="import") as folder:
        for path, tree in recipe.written.trees.items():
            _copy(workspace.root, tree, os.path.join(folder, path))
        for path, data in recipe.files.items():
            local.write(os.path.join(folder, path), data)
        local.write(os.path.join(folder, RECIPE_FILE), recipe.written.text.encode())


def _copy(root: str, tree: LocalTree, target: str) -> None:
    """Copies a local file or folder, as it was read."""
    source = os.path.join(root, tree.path)
    alone = not os.path.isdir(source) or os.path.islink(source)
    if not tree.entries:
        raise InvalidValue(f"{tree.path} is not there", hint="Its recipe names it; add the file.")
    for entry in tree.entries:
        here, there = (
            (source, target)
            if alone
            else (os.path.join(source, entry.path), os.path.join(target, entry.path))
        )
        if entry.link:
            local.symlink(entry.link, there)
        elif entry.digest is None:
            local.make_folder(there)
        else:
            local.make_folder(os.path.dirname(there))
            mode = 0o755 if entry.executable else 0o644
            if local.copy_hashed(here, there, mode=mode) != entry.digest:
                raise InvalidValue(f"{tree.path} changed while it was read", hint="Run it again.")
