"""``ssds import dockerfile`` and ``apptainer``: one file of another tool as a recipe."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from ssds.cli.app import Context
from ssds.cli.output import say
from ssds.core.diagnostics import Collector, Severity
from ssds.core.errors import InputError, Refused, UsageError
from ssds.core.model import check_name
from ssds.host.folders import staged_folder
from ssds.importers.model import Imported
from ssds.recipe.catalog import RECIPE_FILE, read_catalog
from ssds.recipe.yamlmarks import read_file
from ssds.workspace import Workspace

_MOST_FILES = 5_000


def _options(own: Any) -> Any:
    options: list[Any] = [
        click.argument("path"),
        click.option("--name", required=True, help="The recipe's name."),
        click.option("--version", default="", help="Its version, where the file says none."),
        click.option("--base", default="", help="A base of the catalog in place of its image."),
        click.pass_obj,
    ]
    for option in reversed(options):
        own = option(own)
    return own


_arguments = click.option(
    "--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument's value."
)


def _given(arguments: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for text in arguments:
        key, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"{text[:80]!r} is no argument", hint="Write NAME=VALUE.")
        given[key] = value
    return given


@click.command("dockerfile")
@_options
@click.option("--context", "folder", default="", help="What COPY looks into; default: beside it.")
@click.option("--stage", default="", help="The stage that is wanted; default: the last one.")
@_arguments
def dockerfile(
    context: Context,
    /,
    path: str,
    name: str,
    version: str,
    base: str,
    folder: str,
    stage: str,
    arguments: tuple[str, ...],
) -> int:
    """Write catalog/NAME/recipe.yaml from a Dockerfile."""
    from ssds.importers.dockerfile import read_dockerfile

    collector = Collector()
    place = folder or os.path.dirname(os.path.abspath(path))
    imported = read_dockerfile(
        _text(path, collector),
        path,
        context=_files(place),
        arguments=_given(arguments),
        collector=collector,
        stage=stage,
    )
    return _finish(context, imported, collector, (path, place), name, version, base)


@click.command("apptainer")
@_options
@_arguments
def apptainer(
    context: Context,
    /,
    path: str,
    name: str,
    version: str,
    base: str,
    arguments: tuple[str, ...],
) -> int:
    """Write catalog/NAME/recipe.yaml from an Apptainer definition."""
    from ssds.importers.apptainer import read_definition

    collector = Collector()
    place = os.path.dirname(os.path.abspath(path))
    imported = read_definition(
        _text(path, collector),
        path,
        context=_definition_files(place),
        collector=collector,
        arguments=_given(arguments),
    )
    return _finish(context, imported, collector, (path, place), name, version, base)


def _text(path: str, collector: Collector) -> str:
    data = read_file(path, path, collector)
    collector.raise_if_failed()
    assert data is not None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", hint="Save it as UTF-8.") from error


def _files(place: str) -> Callable[[str], list[str] | None]:
    """Returns what finds files below a folder by path or glob."""
    home = os.path.realpath(place)

    def find(text: str) -> list[str] | None:
        plain = os.path.normpath(text.lstrip("/")) if text.strip("/") else "."
        if plain.startswith(".."):
            return None
        if not glob.has_magic(plain):
            found = [plain] if os.path.lexists(os.path.join(home, plain)) else []
        else:
            found = sorted(glob.glob(plain, root_dir=home))
        inside = (os.path.realpath(os.path.join(home, f)) for f in found)
        return found if all(p == home or p.startswith(f"{home}/") for p in inside) else None

    return find


def _definition_files(place: str) -> Callable[[str], list[str] | None]:
    """Returns what finds the files of ``%files``: absolute paths are the machine's, if inside."""
    home, below = os.path.realpath(place), _files(place)

    def find(text: str) -> list[str] | None:
        plain = os.path.normpath(text)
        if plain.startswith("/"):
            plain = os.path.relpath(plain, home)
        found = None if plain.startswith("..") else below(plain)
        if found is None or any(_has_links(os.path.join(home, name)) for name in found):
            return None
        return [f"{n}/" if os.path.isdir(os.path.join(home, n)) else n for n in found]

    return find


def _has_links(place: str) -> bool:
    """Whether a path is a symbolic link, or a folder with one in it."""
    return os.path.islink(place) or any(
        os.path.islink(os.path.join(folder, name))
        for folder, folders, files in os.walk(place)
        for name in (*folders, *files)
    )


def _finish(
    context: Context,
    imported: Imported,
    collector: Collector,
    places: tuple[str, str],
    name: str,
    version: str,
    base: str,
) -> int:
    """Writes the recipe and its files, or nothing."""
    from ssds.importers.write import UNKNOWN_LICENSE, recipe_text

    collector.raise_if_failed()
    workspace = Workspace.open(context.folder)
    path = f"{workspace.settings.catalog}/{check_name(name)}"
    full = os.path.join(workspace.root, path)
    if os.path.lexists(full):
        raise Refused(f"{path} is there already", hint="Choose another name.")
    if base and base not in workspace.catalog.bases:
        known = ", ".join(sorted(workspace.catalog.bases))
        raise UsageError(f'there is no base "{base}"', hint=f"Known: {known}.")
    if not version and "version" not in imported.metadata:
        raise UsageError("the file says no version", hint="Give --version.")
    header = f"# From {os.path.basename(places[0])}, by `ssds import`.\n"
    text = recipe_text(imported, name=name, version=version, base=base, header=header)
    with staged_folder(full, point="import") as folder:
        _copy(imported.files, places[1], folder)
        with open(os.path.join(folder, RECIPE_FILE), "w", encoding="utf-8") as file:
            file.write(text)
    problems = Collector()
    read_catalog(workspace.root, catalog=workspace.settings.catalog, collector=problems)
    own = [d for d in problems if d.span.path.startswith(f"{path}/")]
    if errors := [d for d in own if d.severity is Severity.ERROR]:
        from ssds.host.local import remove_folder

        remove_folder(full)
        raise InputError(errors)
    print(f"wrote {path}/{RECIPE_FILE}")
    for note in imported.notes:
        say(f"note: {note}")
    left = [] if "summary" in imported.metadata else ["summary"]
    left += [] if "licenses" in imported.metadata else [f"licenses ({UNKNOWN_LICENSE})"]
    say(f"To fill in: {', '.join([*left, 'a test that uses the tool on a real file'])}.")
    say(f"Next: `ssds check`, then `ssds lock {name}` and `ssds apply {name}`.")
    return 0


def _copy(files: Mapping[str, str], place: str, folder: str) -> None:
    from ssds.host import local

    whole: list[str] = []
    for target, origin in sorted(files.items()):
        if target.startswith(tuple(whole)):
            continue  # it came with its folder
        source = os.path.join(place, origin)
        _check_copied(origin, source, place, os.path.join(folder, target))
        count = sum(len(names) for _, _, names in os.walk(source)) if os.path.isdir(source) else 1
        if count > _MOST_FILES:
            raise UsageError(
                f"{origin} holds {count} files", hint="Copy only what the image needs."
            )
        goal = os.path.join(folder, target)
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        if os.path.isdir(source):
            local.copy_tree(source, goal)
            whole.append(f"{target}/")
        else:
            local.copy_hashed(source, goal, mode=0o755 if os.access(source, os.X_OK) else 0o644)


def _check_copied(origin: str, source: str, place: str, goal: str) -> None:
    """Refuses folders that hold the catalog itself, or from which something is to be left out."""
    if not os.path.isdir(source):
        return
    if os.path.realpath(goal).startswith(os.path.realpath(source) + os.sep):
        raise UsageError(
            f"{origin} holds the catalog itself", hint="Give --context a smaller folder."
        )
    if os.path.lexists(os.path.join(place, ".dockerignore")):
        raise UsageError(
            f"{origin} is copied whole, but a .dockerignore leaves parts of it out",
            hint="Give --context a folder with what is wanted only.",
        )
