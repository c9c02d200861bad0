"""``ssds import shpc``, ``ducc``, ``galaxy``: images that others made, as recipes."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from ssds.cli.app import Context
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, say
from ssds.core.diagnostics import Collector
from ssds.core.errors import SsdsError, UsageError
from ssds.host import local
from ssds.host.folders import staged_folder
from ssds.importers.ready import ReadyMade
from ssds.recipe.catalog import RECIPE_FILE
from ssds.recipe.yamlmarks import read_file
from ssds.workspace import Workspace

SHOWN = 10
_CONTAINER = "container.yaml"
_MOST = 100_000


@click.command("shpc")
@click.argument("registry", type=click.Path())
@click.argument("names", nargs=-1)
@click.option("--all-versions", is_flag=True, help="Every tag, not only the newest.")
@click.pass_obj
def shpc(context: Context, /, registry: str, names: tuple[str, ...], all_versions: bool) -> int:
    """Write a recipe for each image of an SHPC registry, a folder of container.yaml files.

    NAMES are paths below it (quay.example.org/biocontainers/samtools) or last parts of them.
    """
    from ssds.importers.ready import read_shpc

    found: list[ReadyMade] = []
    problems: list[str] = []
    for path in _containers(registry, names):
        try:
            data = _read(os.path.join(registry, path))
            found.append(read_shpc(data, path, every_version=all_versions))
        except SsdsError as error:
            problems.append(error.message)
    return _write(context, found, problems, f"the SHPC registry {_shown(registry)}")


@click.command("ducc")
@click.argument("path", type=click.Path())
@click.pass_obj
def ducc(context: Context, /, path: str) -> int:
    """Write a recipe for each image of a wish list of DUCC (recipe.yaml)."""
    from ssds.importers.ready import read_ducc

    found, problems = read_ducc(_read(path), path)
    return _write(context, found, problems, f"the list {_shown(path)}")


@click.command("galaxy")
@click.argument("place", type=click.Path())
@click.argument("names", nargs=-1)
@click.option(
    "--registry",
    required=True,
    metavar="HOST/PREFIX",
    help="The registry that has the images under the same names.",
)
@click.pass_obj
def galaxy(context: Context, /, place: str, names: tuple[str, ...], registry: str) -> int:
    """Write a recipe for each image of a depot of Galaxy: a folder, or a file of its names.

    The depot's names are flat (`fastqc:0.11.9--hdfd78af_1`) or below two letters (`f/a/…`).
    """
    from ssds.importers.ready import read_depot

    listed = [t for t in _depot(place) if not names or _named(t, names)]
    found, problems = read_depot(listed, registry.strip("/"))
    return _write(context, found, problems, f"the depot {_shown(place)}")


def _named(text: str, names: tuple[str, ...]) -> bool:
    last = text.rpartition("/")[2]
    return last in names or last.partition(":")[0] in names


def _shown(path: str) -> str:
    return os.path.basename(os.path.abspath(path))


def _read(path: str) -> bytes:
    collector = Collector()
    data = read_file(path, path, collector)
    collector.raise_if_failed()
    assert data is not None
    return data


def _containers(registry: str, names: tuple[str, ...]) -> list[str]:
    """Returns the paths of the registry's files, relative to it."""
    if not os.path.isdir(registry):
        raise UsageError(f"there is no folder {registry}", hint="Name the registry's folder.")
    found = []
    for folder, folders, files in os.walk(registry):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if _CONTAINER in files:
            path = os.path.relpath(os.path.join(folder, _CONTAINER), registry)
            place = os.path.dirname(path)
            if not names or any(place == n or place.rpartition("/")[2] == n for n in names):
                found.append(path)
    if not found:
        what = f"no {', '.join(names)}" if names else f"no {_CONTAINER}"
        raise UsageError(
            f"{registry} has {what}", hint="Name the folder with the registry's files."
        )
    return found


def _depot(place: str) -> list[str]:
    if not os.path.isdir(place):
        return [line.strip() for line in _read(place).decode("utf-8", "replace").splitlines()
                if line.strip()]  # fmt: skip
    found: list[str] = []
    for folder, folders, files in os.walk(place):
        depth = os.path.relpath(folder, place).count("/")
        images = [n for n in (*folders, *files) if ":" in n]
        folders[:] = [n for n in sorted(folders) if ":" not in n and depth < 2]
        found += [os.path.join(folder, n) for n in images]
        if len(found) > _MOST:
            raise UsageError(f"{place} has more than {_MOST} images", hint="Name a part of it.")
    return sorted(found)


def _write(context: Context, found: Iterable[ReadyMade], problems: list[str], origin: str) -> int:
    """Writes the recipes that are not there yet; returns the exit code."""
    from ssds.importers.ready import ready_text, with_own_names

    workspace = Workspace.open(context.folder)
    written, there = [], 0
    notes: list[str] = []
    for made in with_own_names(found):
        path = f"{workspace.settings.catalog}/{made.name}"
        place = os.path.join(workspace.root, path)
        if os.path.lexists(place):
            there += 1
            continue
        text = ready_text(made, f"# {made.place} of {origin}, by `ssds import`.\n")
        with staged_folder(place, point="import") as folder:
            local.write(os.path.join(folder, RECIPE_FILE), text.encode())
        written.append(path)
        notes += made.notes
        if len(written) % 500 == 0:
            say(f"{len(written)} recipes written")
    for kind, lines in (("not taken", problems), ("note", notes)):
        for line in lines[:SHOWN]:
            say(f"{kind}: {line}")
        if len(lines) > SHOWN:
            say(f"{kind}: {len(lines) - SHOWN} more")
    for path in written if len(written) <= SHOWN else ():
        say(f"wrote {path}/{RECIPE_FILE}")
    more = f", {there} were there already" if there else ""
    more += f", {len(problems)} not taken" if problems else ""
    print(f"{counted(len(written), 'recipe')} written{more}. Next: ssds check, ssds lock")
    return EXIT_ERROR if problems and not written and not there else 0
