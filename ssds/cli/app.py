"""The group of verbs; a verb's module is imported when it is used."""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass
from typing import Any

import click

from ssds.cli.guard import EXIT_ERROR, guarded
from ssds.version import VERSION

VERBS = {
    "init": "make a workspace here",
    "new": "write a recipe to start from",
    "import": "write recipes of another format as recipes of this catalog",
    "adopt": "write locks for what others deployed, where it is",
    "check": "check recipes, locks and settings",
    "lock": "pin what moves: bases, sources, packages",
    "outdated": "say what is newer than the locks",
    "plan": "show what apply would do, and why",
    "apply": "build, test, scan, publish; update the locks",
    "explain": "say why a node runs or is reused",
    "diff": "say what differs between two locks or two plans",
    "why": "show by which path one thing depends on another",
    "graph": "draw what is built on what",
    "show": "show a release, a recipe or a node",
    "status": "show what is released and what is held",
    "debts": "show or record what an old catalog owes, each with its last day",
    "withdraw": "note that a release is not to be used any more, and why",
    "log": "show the newest log of a node",
    "run": "run a command in a built image",
    "shell": "open a shell in a built image or a failed step",
    "scan": "report what scans found, and which sites serve it",
    "sbom": "print what is in a released image, as CycloneDX or SPDX",
    "sif": "write a released image as one file for Apptainer",
    "render": "write a recipe as a Dockerfile or an Apptainer definition",
    "sync": "make channels agree with the locks: images, SBOMs, SIF files, tags",
    "deploy": "write images, modules, wrappers and reference data for a site",
    "install": "install a tool for yourself, from a registry or a layout",
    "uninstall": "take a tool of yours away",
    "list": "list the tools that you installed",
    "key": "make a key that signs, or show its public half",
    "sign": "sign locks and other files",
    "verify": "say what signatures prove, offline",
    "tuf": "publish catalog and locks so that no mirror holds a site back unseen",
    "export": "write what is released as SHPC, DUCC and NeuroDesk read it",
    "advisories": "make, import, look at or give away sets of security advisories",
    "audit": "rebuild a release elsewhere and compare every byte",
    "test": "test what a site's tree offers, through module and wrapper",
    "rollback": "make an earlier deployment of a site the current one",
    "prune": "remove what a deployed tree keeps of earlier deployments",
    "gc": "remove blobs that nothing refers to",
    "index": "carry the plan index to another clone, or look at it",
    "selfcheck": "try that the plan index changes no plan",
    "cache": "share what was built with other machines",
    "mirror": "keep every pinned file in a mirror of your own, or check it",
    "store": "verify the store, or say what is in it",
    "schema": "print the JSON Schemas that editors complete and check with",
    "doctor": "say which components are here and what each is for",
    "completion": "print the shell completion script",
}
HELP_NAMES = ("-h", "--help")


@dataclass(slots=True)
class Context:
    """What every verb gets: where the workspace is and how to print."""

    folder: str
    json: bool = False


class _Verbs(click.Group):
    """Lists the verbs without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"ssds.cli.verb_{cmd_name}")
        command: click.Command = module.command
        command.context_settings.setdefault("help_option_names", list(HELP_NAMES))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], list(VERBS), 1)
            hint = f' Did you mean "{near[0]}"?' if near else " `ssds --help` lists the verbs."
            raise click.UsageError(f'There is no verb "{args[0]}".{hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": list(HELP_NAMES), "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 an error or a failed step, 3 something is held. "
    "`plan --detailed-exitcode`: 0 nothing to do, 2 something to do, 3 held or waiting. "
    "`lock --check`: 2 a pin is missing or stale. `outdated`: 2 something is newer. "
    "`audit`: 4 a rebuild differs. `verify`: 4 something is not proven.",
)
@click.version_option(VERSION, "-V", "--version", prog_name="ssds", message="%(prog)s %(version)s")
@click.option(
    "-C",
    "folder",
    metavar="DIR",
    default="",
    help="The workspace (default: this folder or the nearest one above with ssds.yaml).",
)
@click.pass_context
def ssds(ctx: click.Context, folder: str) -> None:
    """From a catalog of recipes to software that a scientist runs.

    A workspace is a folder with ssds.yaml, catalog/ and lockfiles/.
    """
    ctx.obj = Context(folder=folder)


def run(arguments: list[str]) -> int:
    """Runs the command line; every error becomes words and an exit code."""
    return guarded(functools.partial(_run, arguments))


def _run(arguments: list[str]) -> int:
    options: dict[str, Any] = {"prog_name": "ssds", "standalone_mode": False}
    try:
        code = ssds.main(arguments, **options)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return EXIT_ERROR
    except click.Abort as error:
        raise KeyboardInterrupt from error
