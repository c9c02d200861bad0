"""``ssds new``: a recipe to start from."""

from __future__ import annotations

import json
import os
import re
import sys

import click

from ssds.cli.app import Context
from ssds.cli.origins import KINDS, Asking
from ssds.cli.output import say
from ssds.cli.verb_schema import schema_for, write_schemas
from ssds.core.diagnostics import Collector, Severity, Span
from ssds.core.errors import InputError, Refused, UsageError
from ssds.core.model import check_name
from ssds.host.files import atomic_write
from ssds.oci.image_name import parse_image_name
from ssds.recipe.catalog import RECIPE_FILE, read_catalog
from ssds.recipe.codes import diagnostic
from ssds.recipe.homes import home_with
from ssds.recipe.model import Base
from ssds.recipe.starter import Facts, Start, starter_recipe
from ssds.workspace import Workspace

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]*")
_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+~:-]+)?")
_UNKNOWN_LICENSE = "LicenseRef-not-stated-yet"


@click.command("new")
@click.argument("name")
@click.option(
    "--from",
    "origins",
    multiple=True,
    metavar="KIND:WHAT",
    help="What it starts from: apt:PKG, pip:NAME[==V], conda:[CHANNEL/]NAME=V, "
    "github:OWNER/REPO[@TAG], url:ADDRESS, neurodocker:TEMPLATE[@V], hpccm:BLOCK[@V], "
    "spack:SPEC, easybuild:NAME.eb.",
)
@click.option("--apt", multiple=True, metavar="PACKAGE", help="The same as --from apt:PACKAGE.")
@click.option("--pip", multiple=True, metavar="NAME==V", help="The same as --from pip:NAME==V.")
@click.option("--from-archive", "url", default="", metavar="URL", help="With --sha256: from URL.")
@click.option("--sha256", default="", metavar="HEX", help="The archive's sha256.")
@click.option("--version", default="", metavar="V", help="Default: what the index or URL says.")
@click.option("--base", default="", help="A base of catalog/bases.yaml, or an image: debian:12.")
@click.option("--summary", default="", help="One line: what it does.")
@click.option("--license", "license_", default="", metavar="SPDX", help="Its licence.")
@click.option("--command", "commands", multiple=True, help="A command that it offers.")
@click.pass_obj
def command(
    context: Context,
    /,
    name: str,
    origins: tuple[str, ...],
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
    ssds new seqtk --from apt:seqtk
    ssds new nibabel --from pip:nibabel==5.3.2
    ssds new bwa --from github:lh3/bwa@v0.7.17
    ssds new jq --from neurodocker:jq
    ssds new zlib --from spack:zlib@1.3.1

    Version, summary, licence, homepage and commands are filled in where the index or the archive
    says them; with --version no index is asked. It asks for what is missing on a terminal only,
    and overwrites nothing.
    """  # noqa: D301 - click leaves the block after \\b as it is
    workspace = Workspace.open(context.folder)
    check_name(name)
    words = [*origins, *(f"apt:{word}" for word in apt), *(f"pip:{word}" for word in pip)]
    words += [f"url:{url}"] if url else []
    if bool(url) != bool(sha256) or (sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256)):
        raise UsageError(
            "--from-archive and --sha256 (64 hexadecimal digits) belong together",
            hint="`sha256sum FILE` tells it; compare it with what the makers publish.",
        )
    kind, what = _origin(name, words or _asked_origin(name))
    _check_words(kind, what, commands)
    path = f"{workspace.settings.catalog}/{name}/{RECIPE_FILE}"
    if os.path.lexists(os.path.join(workspace.root, path)):
        raise Refused(f"{path} is there already", hint="Edit it, or choose another name.")
    _check_other_homes(workspace, name, path)
    chosen = _base(workspace, base)
    begun = Start(
        name=name,
        version=version,
        base=chosen.name
        if chosen.name != chosen.image
        else f"{{image: {json.dumps(chosen.image)}}}",
        summary=summary,
        license_=license_,
        sha256=sha256.lower(),
        commands=commands,
        publish=tuple(sorted(workspace.catalog.channels))[:1],
        schema=schema_for(workspace, path),
    )
    start, facts = Asking(workspace, chosen, version).start(kind, what, begun)
    start = _filled_in(start, facts, kind)
    _write(workspace, path, starter_recipe(start))
    write_schemas(workspace)
    print(f"wrote {path}")
    left = [] if summary or facts.summary else ["summary"]
    left += ["licenses"] if start.license_ == _UNKNOWN_LICENSE else []
    if left:
        say(f"To fill in: {', '.join(left)}; and a test that uses the tool on a real file.")
    elif facts.summary or facts.license_:
        say("Look over what was filled in, and add a test that uses the tool on a real file.")
    say(f"Next: `ssds lock {name}` pins what it needs, `ssds apply {name}` builds and tests it.")
    return 0


def _check_other_homes(workspace: Workspace, name: str, path: str) -> None:
    """Raises InputError where a checkout of another format has a recipe of this name (K012)."""
    other = home_with(workspace.root, workspace.homes, name)
    if other is not None:
        facts = (("recipe", name), ("also", other.path(name)))
        raise InputError([diagnostic("K012", Span(path=path), facts=facts)])


def _filled_in(start: Start, facts: Facts, kind: str) -> Start:
    """Returns the start with what the words left open."""
    from dataclasses import replace

    version = start.version or facts.version
    if not version:
        raise UsageError("the version cannot be told from these words", hint="Give --version.")
    if not _VERSION.fullmatch(version):
        raise UsageError(f"{version!r} is not a version", hint="Letters, digits and . _ + ~ : -")
    return replace(
        start,
        version=version,
        summary=start.summary or facts.summary or f"{start.name}, in one line: what does it do?",
        license_=start.license_ or facts.license_ or _UNKNOWN_LICENSE,
        homepage=facts.homepage,
        commands=start.commands or facts.commands or (() if kind == "pip" else (start.name,)),
    )


def _asked_origin(name: str) -> list[str]:
    """Asks on a terminal; elsewhere nothing is asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return []
    text: str = click.prompt(
        f"What does {name} start from? ({', '.join(f'{k}:…' for k in KINDS)})",
        default=f"apt:{name}",
        err=True,
    )
    return [text]


def _origin(name: str, words: list[str]) -> tuple[str, tuple[str, ...]]:
    """Returns the kind of origin and its words; several words of apt, pip or conda go together."""
    kinds = {word.partition(":")[0] for word in words}
    if unknown := sorted(kinds - set(KINDS)):
        raise UsageError(
            f"{unknown[0][:40]!r} is nothing that a recipe starts from",
            hint=f"Write KIND:WHAT; kinds are {', '.join(KINDS)}.",
        )
    kind = next(iter(kinds)) if len(kinds) == 1 else ""
    what = tuple(word.partition(":")[2] for word in words)
    if not kind or not all(what) or (len(what) > 1 and kind not in ("apt", "pip", "conda")):
        raise UsageError(
            f"what does {name} start from?",
            hint="Give one of --from apt:PACKAGE, pip:NAME==V, conda:NAME=V, "
            "github:OWNER/REPO@TAG, url:ADDRESS, neurodocker:TEMPLATE, hpccm:BLOCK, "
            "spack:SPEC, easybuild:NAME.eb.",
        )
    return kind, what


def _check_words(kind: str, what: tuple[str, ...], commands: tuple[str, ...]) -> None:
    for pattern, words, name, hint in (
        (
            _PACKAGE,
            what if kind == "apt" else (),
            "a Debian package",
            "Write NAME or NAME=VERSION.",
        ),
        (_COMMAND, commands, "the name of a command", "Letters, digits and . _ + - only."),
    ):
        for word in words:
            if not pattern.fullmatch(word):
                raise UsageError(f"{word[:80]!r} is not {name}", hint=hint)
    if kind == "pip":
        from ssds.packages.pip import check_requirement

        for text in what:
            check_requirement(text)


def _base(workspace: Workspace, name: str) -> Base:
    """Returns a base of ``bases.yaml``, the first without a name, or an image of a registry."""
    bases = {b.name: b for b in workspace.catalog.bases.values() if b.name != b.image}
    if name in bases:
        return bases[name]
    if re.search("[:/]", name):
        image = str(parse_image_name(name))
        return Base(name=image, image=image)
    if name:
        known = ", ".join(sorted(bases)) or "none"
        raise UsageError(
            f'there is no base "{name}"', hint=f"Known: {known}. Or write an image: debian:12."
        )
    if not bases:
        raise UsageError(
            "this catalog has no base",
            hint="Declare one in catalog/bases.yaml (see `ssds init`), or give --base debian:12.",
        )
    return bases[min(bases)]


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
