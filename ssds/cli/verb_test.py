"""``ssds test``: functional tests of what a site's own tree offers, through module and wrapper."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from ssds.cli.app import Context
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, say, table
from ssds.cli.selecting import site_option
from ssds.cli.sites import site_of
from ssds.cli.wishes import parse_date
from ssds.core.errors import UnavailableError, UsageError
from ssds.core.model import ReleaseName
from ssds.core.text import shown
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.kinds.test.results import Result
    from ssds.recipe.model import Target
    from ssds.ship.generation import Entry

WORDS = ("pass", "fail", "skip", "known")


@click.command("test")
@site_option(required=True)
@click.option(
    "--on",
    "tree",
    required=True,
    metavar="TREE",
    type=click.Path(exists=True, file_okay=False),
    help="The deployed tree, as its users see it; it is read only.",
)
@click.option("--junit", default="", metavar="FILE", help="Write the results as JUnit XML, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...")
@click.pass_obj
def command(
    context: Context,
    /,
    site_name: str,
    tree: str,
    junit: str,
    as_json: bool,
    selectors: tuple[str, ...],
) -> int:
    """Test what a site offers, as its users run it: real module, wrapper, the site's runtime.

    Of each release (NAME, NAME@VERSION; all by default): the module loads, its commands are
    wrappers of this tree, and the tests of its recipe pass. Their scripts run as you, in a scratch
    folder with a home of its own. The newest results stay in .ssds/site-tests; `ssds status` shows
    them. Exit codes: 1 an error, or a test failed.
    """
    from ssds.cli.site_results import keep
    from ssds.host.module_shell import scratch
    from ssds.oci.types import rfc3339
    from ssds.ship.sitetests import Place, run_entry
    from ssds.ship.tree import read_deployed

    workspace = Workspace.open(context.folder)
    site = site_of(workspace, site_name)
    tree = os.path.abspath(tree)
    deployed = read_deployed(tree, site.name)
    entries = [e for e in deployed.entries if e.current and not e.withdrawn]
    chosen = _chosen(entries, selectors)
    lost = [selector for selector in selectors if not _chosen(entries, (selector,))]
    if lost or not chosen:
        asked = f" that fits {', '.join(map(shown, lost))}" if lost else ""
        raise UsageError(
            f"the tree {tree} has nothing for site {site.name}{asked}",
            hint="`ssds deploy` brings it; selectors are NAME or NAME@VERSION, with *.",
            code="E360",
        )
    system, program = _system(site.modules)
    results: list[tuple[str, list[Result]]] = []
    with scratch() as folder:
        place = Place(tree=tree, site=site.name, program=program, scratch=folder)
        for entry in chosen:
            target = _target(workspace, entry)
            known = _known(workspace, entry, target)
            label = f"{entry.name}/{entry.module}"
            results.append((label, run_entry(place, entry, target, known, say)))
    about = {
        "site": site.name,
        "tree": tree,
        "generation": deployed.number,
        "content": deployed.content,
        "modules": system,
        "at": rfc3339(int(time.time())),
    }
    document = keep(workspace, about, results)
    if junit:
        _junit(junit, site.name, results)
    if as_json:
        print_json(document)
    else:
        _print(results, f"{site.name}, generation {deployed.number}, {system}")
    failed = any(r.result == "fail" for _, found in results for r in found)
    return EXIT_ERROR if failed else 0


def _chosen(entries: list[Entry], selectors: tuple[str, ...]) -> list[Entry]:
    from ssds.recipe.selectors import About, hits

    def name(entry: Entry) -> ReleaseName:
        return ReleaseName(entry.name, entry.version, entry.variant)

    return [e for e in entries if not selectors or hits(selectors, name(e), About())]


def _system(modules: str) -> tuple[str, str]:
    """Returns the module system that this machine has of those that the site is for."""
    from ssds.host.module_shell import module_program

    wanted = {"lmod": ("lmod",), "tcl": ("tcl",), "both": ("lmod", "tcl")}[modules]
    for name in wanted:
        program = module_program(name)
        if program:
            return name, program
    raise UnavailableError(
        f"no module system of the site is here: {', '.join(wanted)}",
        hint="Run it on a machine of the site; LMOD_CMD or MODULES_CMD name the program.",
        code="E361",
    )


def _target(workspace: Workspace, entry: Entry) -> Target | None:
    """Returns what the catalog says of a release on the platform that the tree has."""
    from ssds.host.machine import native_platform

    name = ReleaseName(entry.name, entry.version, entry.variant)
    release = workspace.catalog.releases.get(name)
    if release is None or entry.adopted:
        return None
    return release.targets.get(native_platform())


def _known(workspace: Workspace, entry: Entry, target: Target | None) -> list[str]:
    if target is None or entry.name not in workspace.catalog.debts:
        return []
    from ssds.recipe.debts import owed

    return [o.test for o in owed(workspace.catalog.debts[entry.name], parse_date("")).tests]


def _junit(path: str, site: str, results: list[tuple[str, list[Result]]]) -> None:
    from ssds.core.records import replace
    from ssds.host.files import atomic_write
    from ssds.kinds.test.results import junit

    named = [replace(r, name=f"{label}: {r.name}") for label, found in results for r in found]
    atomic_write(os.path.abspath(path), junit(site, named), point="test.junit")


def _print(results: list[tuple[str, list[Result]]], where: str) -> None:
    lines = []
    for label, found in results:
        count = Counter(result.result for result in found)
        lines.append([label, *(str(count[word]) for word in WORDS)])
    print(table([["module", *WORDS], *lines]))
    bad = [(label, r) for label, found in results for r in found if r.result == "fail"]
    for label, result in bad:
        print(f"FAILED {label}: {shown(result.name)}: {shown('; '.join(result.problems))}")
    print(f"{where}: {counted(len(results), 'module')}, {counted(len(bad), 'failed test')}.")
