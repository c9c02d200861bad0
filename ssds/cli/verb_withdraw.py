"""``ssds withdraw``: note in a release's lock that it is not to be used any more."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from ssds.cli.app import Context
from ssds.cli.output import print_json, say
from ssds.cli.wishes import parse_date
from ssds.core.errors import UsageError
from ssds.core.model import ReleaseName
from ssds.core.records import replace
from ssds.core.text import shown
from ssds.lock.check import storable
from ssds.lock.model import Lock, Locks, VariantLock, Withdrawal
from ssds.recipe.codes import near
from ssds.workspace import LOCK_FOLDER, Workspace

WHY_LIMIT = 500


@click.command("withdraw")
@click.argument("release", metavar="NAME@VERSION[+VARIANT]")
@click.option("--why", default="", metavar="TEXT", help="One line for its users.")
@click.option(
    "--instead", default="", metavar="NAME/VERSION", help="The module that replaces it, if any."
)
@click.option("--as-of", default="", metavar="DATE", help="Since when (default: today, UTC).")
@click.option("--undo", is_flag=True, help="Take it back: it loads again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context, /, release: str, why: str, instead: str, as_of: str, undo: bool, as_json: bool
) -> int:
    """Note in a release's lock that no revision of it is to be used any more, and why.

    Its digests and its revision stay. With the next deploy its modules refuse to load and say why;
    with the next sync no moving tag moves to it; exports leave it out. Commit the lock.
    """
    workspace = Workspace.open(context.folder)
    known = _released(workspace.locks)
    name = _named(release, known)
    old = known[name].withdrawn
    said = None
    if undo:
        if why or instead or as_of:
            raise UsageError("--undo goes with no other wish", hint="Leave them out.", code="E250")
    else:
        said = _said(name, known, why, instead, as_of, old)
    written = said != old and _note(workspace, name, said)
    path = f"{LOCK_FOLDER}/{workspace.locks.get(name).file_name}"
    if as_json:
        print_json(
            {
                "release": str(name),
                "withdrawn": said.to_dict() if said else None,
                "written": path if written else "",
            }
        )
        return 0
    if said:
        print(f"{name} is {shown(said.text)}")
    else:
        print(f"{name} is not withdrawn.")
    print(f"Written: {path}" if written else "Nothing to do: its lock says so already.")
    if said:
        _tell_referrers(name, known)
    return 0


def _released(locks: Locks) -> dict[ReleaseName, VariantLock]:
    """Returns what is released here or was adopted."""
    return {
        lock.release_name(variant): entry
        for lock in locks.releases.values()
        for variant, entry in lock.variants.items()
        if entry.index is not None or any(s.adopted for s in entry.platforms.values())
    }


def _named(text: str, known: Mapping[ReleaseName, VariantLock]) -> ReleaseName:
    found = [name for name in known if str(name) == text]
    if not found:
        hint = near(text, [str(name) for name in known]) or "`ssds status` lists what there is."
        raise UsageError(f"{text[:200]!r} names nothing that is released", hint=hint, code="E251")
    return found[0]


def _said(
    name: ReleaseName,
    known: Mapping[ReleaseName, VariantLock],
    why: str,
    instead: str,
    as_of: str,
    old: Withdrawal | None,
) -> Withdrawal:
    """Returns what the lock is to say; the day of an earlier withdrawal stays, unless told."""
    why = why.strip()
    if not storable(why) or len(why) > WHY_LIMIT:
        raise UsageError(
            "its users are to be told why it is withdrawn",
            hint=f"--why TEXT: one line of at most {WHY_LIMIT} printable characters.",
            code="E252",
        )
    modules = {f"{n.name}/{n.tag}" for n, v in known.items() if not v.withdrawn and n != name}
    if instead and instead not in modules:
        import difflib

        fit = difflib.get_close_matches(instead, modules, 1) or sorted(
            m for m in modules if m.startswith(f"{name.name}/")
        )
        raise UsageError(
            f"{instead[:200]!r} is no module of another release that is to be used",
            hint=f"Write NAME/VERSION{f', as {fit[-1]}' if fit else ''}; or leave --instead out.",
            code="E253",
        )
    day = parse_date(as_of)
    since = old.since if old and not as_of else day.isoformat()
    return Withdrawal(why=why, since=since, instead=instead)


def _note(workspace: Workspace, name: ReleaseName, said: Withdrawal | None) -> bool:
    from ssds.lock.write import update_lock, with_variant

    def change(lock: Lock) -> Lock:
        if name.variant not in lock.variants:
            return lock  # another process removed it meanwhile
        return with_variant(lock, name, replace(lock.variant(name), withdrawn=said))

    file = workspace.locks.get(name).file_name
    return update_lock(
        os.path.join(workspace.lock_folder, file),
        guard=workspace.guard(file),
        name=name.name,
        version=name.version,
        change=change,
    )


def _tell_referrers(name: ReleaseName, known: Mapping[ReleaseName, VariantLock]) -> None:
    for other, entry in sorted(known.items()):
        if entry.withdrawn and entry.withdrawn.instead == f"{name.name}/{name.tag}":
            say(f"{other} names it as its replacement: withdraw that again with another --instead")
