"""``ssds cache``: claims and their blobs, shared with other machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_nodes
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, report_error, say, show, size_text, table
from ssds.core.errors import SsdsError, UsageError
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.cache.cache import Cache
    from ssds.cache.caches import Caches
    from ssds.cache.push import Pushed
    from ssds.cache.verify import Stats

F = TypeVar("F", bound=Callable[..., Any])


@click.group("cache")
def command() -> None:
    """Share what was built with other machines: claims and their blobs by key.

    The caches are under `cache` in ssds.yaml: a registry, a folder, or a web server's folder.
    """


def _options(function: F) -> F:
    for option in (
        click.option("--cache", "name", default="", metavar="NAME", help="Only this cache."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        function = option(function)
    return function


_selectors = click.argument(
    "selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=complete_nodes
)


@command.command("push")
@_selectors
@click.option("--again", is_flag=True, help="Send also what is claimed there, with its bytes.")
@_options
@click.pass_obj
def push_command(
    context: Context, /, selectors: tuple[str, ...], again: bool, name: str, as_json: bool
) -> int:
    """Send what the store knows of the catalog's nodes: blobs first, then their claims.

    Without --cache to every cache with `push: true`, or to the only one there is.
    """
    from ssds.cache.joining import join_if_many
    from ssds.cache.push import push
    from ssds.cli.caching import own_claims, signing_key

    workspace = Workspace.open(context.folder)
    key = signing_key(workspace)
    claims = [
        (step.node.id, step.claim)
        for step in _plan(workspace, selectors).steps.values()
        if step.claim is not None
    ]
    rows: list[dict[str, Any]] = []
    code = 0
    with workspace.store.shared():
        for cache in _chosen(workspace, name, pushing=True):
            say_of = _say_of(cache)
            try:
                own = own_claims(workspace, claims)
                done = push(cache, own, workspace.store, again=again, signer=key, say=say_of)
                join_if_many(cache, say_of)
            except SsdsError as error:
                report_error(error)
                code = EXIT_ERROR
                continue
            rows.append({"cache": cache.name, **dataclasses.asdict(done)})
            if not as_json:
                print(_pushed(cache.name, done))
    if as_json:
        print_json({"caches": rows})
    return code


@command.command("pull")
@_selectors
@_options
@click.pass_obj
def pull_command(context: Context, /, selectors: tuple[str, ...], name: str, as_json: bool) -> int:
    """Bring claims and bytes of the catalog's nodes into the store.

    `plan` and `apply` take what they need by themselves; this is for going offline afterwards.
    Exit code 1 where a claim names bytes that cannot be had.
    """
    workspace = Workspace.open(context.folder)
    names = {cache.name for cache in _chosen(workspace, name)}
    plan = _plan(workspace, selectors)
    caches = _asked(workspace, names)
    wanted = set()
    claims = 0
    for step in plan.steps.values():
        found = caches.find(step.action.key) if step.action is not None else ()
        claim = step.claim or (found[0] if found else None)
        if claim is not None and any(digest in caches for digest in claim.outputs.values()):
            wanted |= {d for d in (*claim.outputs.values(), *claim.logs.values()) if d in caches}
            claims += 1
    with workspace.store.shared():
        missing = {digest for digest in wanted if not workspace.store.blobs.has(digest)}
        failed = caches.bring(wanted, workspace.store, say)
    for line in caches.new_warnings():
        say(f"warning: {line}")
    if as_json:
        print_json({"claims": claims, "blobs": len(missing - failed), "failed": sorted(failed)})
    else:
        print(
            f"{counted(claims, 'claim')} of the caches, {counted(len(missing - failed), 'blob')} "
            f"brought, {len(wanted - missing)} were here, {len(failed)} cannot be had."
        )
    return EXIT_ERROR if failed else 0


@command.command("stats")
@_options
@click.pass_obj
def stats_command(context: Context, /, name: str, as_json: bool) -> int:
    """Say what is in the caches."""
    from ssds.cache.verify import stats

    workspace = Workspace.open(context.folder)
    rows: list[dict[str, Any]] = []
    for cache in _chosen(workspace, name):
        found = stats(cache)
        rows.append({"cache": cache.name, **dataclasses.asdict(found), "down": cache.down})
        for line in cache.warnings:
            say(f"warning: {line}")
        if not as_json and not cache.down:
            kinds = [[kind, str(count)] for kind, count in found.kinds.items()]
            show(
                f"{cache.name}: {counted(found.claims, 'claim')} in "
                f"{counted(found.segments, 'segment')}, {counted(found.blobs, 'blob')}, "
                f"{size_text(found.size_bytes)}; {found.impure} impure, {found.failed} failures"
            )
            if kinds:
                show(table(kinds, indent="  "))
            show(f"  {_signed(found)}")
    if as_json:
        print_json({"caches": rows})
    return EXIT_ERROR if any(row["down"] for row in rows) else 0


@command.command("verify")
@click.option("--read", is_flag=True, help="Read every blob and check its digest.")
@_options
@click.pass_obj
def verify_command(context: Context, /, read: bool, name: str, as_json: bool) -> int:
    """Check that every claim counts and that its blobs are there; exit code 1 where not."""
    from ssds.cache.verify import stats, verify

    workspace = Workspace.open(context.folder)
    rows: list[dict[str, Any]] = []
    for cache in _chosen(workspace, name):
        problems = verify(cache, read=read)
        found = stats(cache)
        by_whom = {"signed": found.signed, "others": found.others, "unsigned": found.unsigned}
        rows.append({"cache": cache.name, "problems": problems, **by_whom})
        if not as_json:
            for line in problems:
                say(f"  {line}")
            good = "is whole" if not problems else f"has {counted(len(problems), 'problem')}"
            print(f"{cache.name}: {good}.")
            if not cache.down:
                print(f"  {_signed(found)}")
    if as_json:
        print_json({"caches": rows})
    return EXIT_ERROR if any(row["problems"] for row in rows) else 0


def _pushed(name: str, done: Pushed) -> str:
    more = [f"{done.signed} of them signed"] if done.signed else []
    more.append(f"{done.known} were there")
    if done.foreign:
        more.append(f"{done.foreign} came from caches and are not ours to sign")
    if done.lacking:
        more.append(f"{done.lacking} are not whole here")
    return (
        f"{name}: {counted(done.claims, 'claim')} sent with {counted(done.blobs, 'blob')} "
        f"({size_text(done.size_bytes)}), {', '.join(more)}."
    )


def _signed(found: Stats) -> str:
    by_whom = [f"{count} signed by {name}" for name, count in found.signed.items()]
    if found.others:
        by_whom.append(f"{found.others} signed by keys that are not trusted here")
    return ", ".join([*by_whom, f"{found.unsigned} unsigned"])


def _plan(workspace: Workspace, selectors: tuple[str, ...]) -> Any:
    """Returns the plan of what selectors name, with all that stands below it."""
    from ssds.cli import planning

    return planning.make(workspace, planning.Asked(selectors=selectors)).plan


def _chosen(workspace: Workspace, name: str, *, pushing: bool = False) -> list[Cache]:
    """Returns the caches that a verb is about.

    Raises:
        UsageError: E220, no such cache, or none at all; E221, several and none to push to.
    """
    from ssds.parts import caches

    settings = {one.name: one for one in workspace.settings.caches}
    if not settings or (name and name not in settings):
        known = ", ".join(settings) or "none"
        raise UsageError(
            f"there is no cache {name!r}; known: {known}" if name else "no cache is named",
            hint="Name one under `cache` in ssds.yaml.",
            code="E220",
        )
    found = caches(workspace.settings, workspace.state_folder)
    chosen = [cache for cache in found if not name or cache.name == name]
    if pushing and not name and len(chosen) > 1:
        chosen = [cache for cache in chosen if settings[cache.name].push]
        if not chosen:
            raise UsageError(
                "there are several caches, and none has `push: true`",
                hint="Name one with --cache.",
                code="E221",
            )
    return chosen


def _asked(workspace: Workspace, names: Container[str]) -> Caches:
    """Returns these caches as the plan asked them: nothing is asked twice."""
    from ssds.cache.caches import Caches

    known = workspace.caches.caches if workspace.caches else ()
    return Caches([cache for cache in known if cache.name in names])


def _say_of(cache: Cache) -> Callable[[str], None]:
    return lambda line: say(f"  {cache.name}: {line}")
