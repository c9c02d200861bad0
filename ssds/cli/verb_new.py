"""``ssds new``: a recipe to start from."""

from __future__ import annotations

import os
import re

import click

from ssds.cli.app import Context
from ssds.cli.output import say
from ssds.core.diagnostics import Collector, Severity
from ssds.core.errors import InputError, Refused, SsdsError, UnavailableError, UsageError
from ssds.core.model import check_name
from ssds.core.platform import Platform
from ssds.host.files import atomic_write
from ssds.recipe.catalog import RECIPE_FILE, read_catalog
from ssds.recipe.model import Base
from ssds.recipe.starter import Start, starter_recipe, upstream_version, version_of_archive
from ssds.workspace import Workspace

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]*")
_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+~:-]+)?")
_UNKNOWN_LICENSE = "LicenseRef-not-stated-yet"


@click.command("new")
@click.argument("name")
@click.option("--apt", multiple=True, metavar="PACKAGE", help="Install a Debian package.")
@click.option("--pip", multiple=True, metavar="NAME==V", help="Install a Python package.")
@click.option("--from-archive", "url", default="", metavar="URL", help="Build a source archive.")
@click.option("--sha256", default="", metavar="HEX", help="The archive's sha256.")
@click.option("--version", default="", metavar="V", help="Default: what the index or URL says.")
@click.option("--base", default="", help="A base of catalog/bases.yaml.")
@click.option("--summary", default="", help="One line: what it does.")
@click.option("--license", "license_", default="", metavar="SPDX", help="Its licence.")
@click.option("--command", "commands", multiple=True, help="A command that it offers.")
@click.pass_obj
def command(
    context: Context,
    /,
    name: str,
    apt: tuple[str, ...],
    pip: tuple[str, ...],
    url: str,
    sha256: str,
    version: str,
    base: str,
    summary: str,
    license_: str,
    commands: tuple[str, ...],
) -> int:
    """Write catalog/NAME/recipe.yaml: complete and valid, to build at once and then to improve.

    \b
    ssds new seqtk --apt seqtk
    ssds new nibabel --pip nibabel==5.3.2
    ssds new tool --from-archive https://example.org/tool-1.0.tar.gz --sha256 …

    It asks nothing and overwrites nothing.
    """  # noqa: D301 - click leaves the block after \\b as it is
    workspace = Workspace.open(context.folder)
    _check_words(check_name(name), apt, pip, url, sha256, commands)
    path = f"{workspace.settings.catalog}/{name}/{RECIPE_FILE}"
    if os.path.lexists(os.path.join(workspace.root, path)):
        raise Refused(f"{path} is there already", hint="Edit it, or choose another name.")
    chosen = _base(workspace, base)
    version = version or _find_version(workspace, chosen, apt, pip, url)
    if not _VERSION.fullmatch(version):
        raise UsageError(f"{version!r} is not a version", hint="Letters, digits and . _ + ~ : -")
    start = Start(
        name=name,
        version=version,
        base=chosen.name,
        summary=summary or f"{name}, in one line: what does it do?",
        license_=license_ or _UNKNOWN_LICENSE,
        apt=apt,
        pip=tuple(_exact(text, version) for text in pip),
        url=url,
        sha256=sha256.lower(),
        commands=commands or (() if pip else (name,)),
        publish=tuple(sorted(workspace.catalog.channels))[:1],
    )
    _write(workspace, path, starter_recipe(start))
    print(f"wrote {path}")
    what = [] if summary else ["summary"]
    what += [] if license_ else ["licenses"]
    if what:
        say(f"To fill in: {', '.join(what)}; and a test that uses the tool on a real file.")
    say(f"Next: `ssds lock {name}` pins what it needs, `ssds apply {name}` builds and tests it.")
    return 0


def _check_words(
    name: str,
    apt: tuple[str, ...],
    pip: tuple[str, ...],
    url: str,
    sha256: str,
    commands: tuple[str, ...],
) -> None:
    if sum(map(bool, (apt, pip, url))) != 1:
        raise UsageError(
            f"what does {name} start from?",
            hint="Give one of --apt PACKAGE, --pip NAME==V, --from-archive URL --sha256 HEX.",
        )
    if bool(url) != bool(sha256) or (sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256)):
        raise UsageError(
            "--from-archive and --sha256 (64 hexadecimal digits) belong together",
            hint="`sha256sum FILE` tells it; compare it with what the makers publish.",
        )
    for pattern, words, what, hint in (
        (_PACKAGE, apt, "a Debian package", "Write NAME or NAME=VERSION."),
        (_COMMAND, commands, "the name of a command", "Letters, digits and . _ + - only."),
    ):
        for word in words:
            if not pattern.fullmatch(word):
                raise UsageError(f"{word[:80]!r} is not {what}", hint=hint)
    if pip:
        from ssds.packages.pip import check_requirement

        for text in pip:
            check_requirement(text)


def _base(workspace: Workspace, name: str) -> Base:
    bases = workspace.catalog.bases
    if not bases:
        raise UsageError(
            "this catalog has no base", hint="Declare one in catalog/bases.yaml; see `ssds init`."
        )
    if name and name not in bases:
        raise UsageError(f'there is no base "{name}"', hint=f"Known: {', '.join(sorted(bases))}.")
    return bases[name or min(bases)]


def _exact(text: str, version: str) -> str:
    return text if re.search(r"[=<>~!]", text) else f"{text}=={version}"


def _find_version(
    workspace: Workspace, base: Base, apt: tuple[str, ...], pip: tuple[str, ...], url: str
) -> str:
    """Returns the version that the words or the configured index say."""
    hint = "Give --version."
    if url:
        found = version_of_archive(url)
    elif pip:
        exact = re.search(r"==\s*([^\s;,]+)", pip[0])
        found = exact[1] if exact else _newest_on_index(workspace, pip[0])
    else:
        found = _version_in_suite(workspace, base, apt[0])
    if not found:
        raise UsageError("the version cannot be told from these words", hint=hint)
    return found


def _version_in_suite(workspace: Workspace, base: Base, package: str) -> str:
    from ssds.packages.apt_index import open_index

    name, _, exact = package.partition("=")
    if exact:
        return upstream_version(exact)
    folder = workspace.store.new_folder()
    say(f"asking the index of {base.suite} for {name}")
    try:
        index = open_index(
            folder,
            workspace.mirrors,
            suite=base.suite,
            components=base.components,
            architecture=Platform("linux/amd64").debian,
        )
        shown = index.query(["apt-cache", "show", "--no-all-versions", "--", name])
    except SsdsError as error:
        error.hint = f"{error.hint} With --version no index is asked."
        raise
    finally:
        from ssds.host.local import remove_folder

        remove_folder(folder)
    found = re.search(r"^Version: (\S+)$", shown.text, re.MULTILINE)
    if found is None:
        raise UnavailableError(
            f"{base.suite} has no package {name!r}", hint="`apt-cache search WORD` finds names."
        )
    return upstream_version(found[1])


def _newest_on_index(workspace: Workspace, requirement: str) -> str:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    from ssds.packages.pip import check_requirement
    from ssds.store.fetch import fetching

    project = check_requirement(requirement)
    with fetching(workspace.mirrors) as (_, indexes):
        files = indexes.files(project)
    versions = set()
    for file in files:
        try:
            name, version, _, _ = parse_wheel_filename(file.name)
        except (InvalidWheelFilename, ValueError):
            continue
        plain = not version.is_prerelease and not version.local
        if name == project and plain and not file.yanked:
            versions.add(version)
    return str(max(versions)) if versions else ""


def _write(workspace: Workspace, path: str, text: str) -> None:
    """Writes the recipe and checks it; a recipe that is not valid does not stay."""
    full = os.path.join(workspace.root, path)
    atomic_write(full, text.encode(), point="new")
    collector = Collector()
    read_catalog(workspace.root, catalog=workspace.settings.catalog, collector=collector)
    own = [d for d in collector if d.span.path == path and d.severity is Severity.ERROR]
    if own:
        os.unlink(full)
        os.rmdir(os.path.dirname(full))
        raise InputError(own)
