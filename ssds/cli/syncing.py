"""Several channels at once: looked at, pushed to, and what is left noted; for ``ssds sync``."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ssds.cli import channels, open_work, signing
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UsageError
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field, replace
from ssds.lock.model import Released, releasable
from ssds.recipe.model import Channel
from ssds.ship.bringing import bring_all
from ssds.ship.channels import BYTES
from ssds.ship.observation import read_observation, write_observation
from ssds.ship.plug import needed_bytes
from ssds.ship.pushing import Pushed
from ssds.ship.signatures import History, Signing
from ssds.ship.syncing import Look, carry_out, look_at
from ssds.workspace import Workspace

CHANNELS_AT_ONCE = 8
NOT_HERE = "without evidence that is not here:"

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for.

    Attributes:
        to: channels by name; none for all that the catalog uses.
        only: releases; None for all.
        refresh: look at everything; repair: put back what others moved.
    """

    to: tuple[str, ...] = ()
    only: frozenset[ReleaseName] | None = None
    refresh: bool = False
    repair: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Every channel beside the locks, or why it could not be looked at.

    Attributes:
        only: the releases that are asked for; None for all.
    """

    only: frozenset[ReleaseName] | None = None
    looks: Mapping[str, Look] = field(default_factory=dict)
    failed: Mapping[str, SsdsError] = field(default_factory=dict)


def targets(workspace: Workspace, asked: Asked) -> dict[Channel, list[Released]]:
    """Returns the channels with the locked releases that they should have.

    A workspace without recipes delivers every locked release to every channel.

    Raises:
        UsageError: E230, a channel that the catalog does not have or that no recipe names.
    """
    known = workspace.catalog.channels
    if workspace.catalog.releases:
        found = dict(channels.used(workspace))
    else:
        every = [r for lock in workspace.locks.releases.values() for r in releasable(lock)]
        found = {known[name]: every for name in sorted(known)}
    for channel, sets in channels.data_sets(workspace).items():
        found[channel] = [*found.get(channel, []), *sets]
    if asked.to:
        for name in asked.to:
            if name not in known:
                raise UsageError(
                    f'there is no channel "{name}"',
                    hint=f"Known: {', '.join(sorted(known)) or '(none)'}; a channel is an entry of "
                    "catalog/channels.yaml.",
                    code="E230",
                )
        found = {c: r for c, r in found.items() if c.name in asked.to}
        found |= {known[n]: [] for n in asked.to if n not in {c.name for c in found}}
    found = {place: r for c, r in found.items() for place in channels.places(c)}
    if asked.repair:
        found = {replace(c, on_drift="repair"): r for c, r in found.items()}
    return found


def place_names(workspace: Workspace) -> frozenset[str]:
    """Returns the names of all channels that a sync without choice goes to, replicas too."""
    return frozenset(channel.name for channel in targets(workspace, Asked()))


def look(workspace: Workspace, wanted: Mapping[Channel, Sequence[Released]], asked: Asked) -> Looks:
    """Looks at all channels at once; one that does not answer is told and blocks no other."""
    signer = signing.releases_signer(workspace)
    store = workspace.store_if_there
    history = History(
        preimage=lambda key: store.claims.preimage(key) if store else None,
        claims=lambda key: store.claims.find(key) if store else (),
    )

    def one(item: tuple[Channel, Sequence[Released]]) -> Look:
        channel, releases = item
        return look_at(
            channel,
            channels.backend(workspace, channel),
            releases,
            read=workspace.read_blob,
            now=int(time.time()),
            remembered=read_observation(channels.observation_path(workspace, channel)),
            only=asked.only,
            deep=asked.refresh,
            signing=Signing(signer=signer, channel=channel, history=history) if signer else None,
        )

    found = _at_once(one, wanted.items())
    looks = {c.name: f for (c, _), f in zip(wanted.items(), found, strict=True)}
    return Looks(
        only=asked.only,
        looks={name: f for name, f in looks.items() if isinstance(f, Look)},
        failed={name: f for name, f in looks.items() if isinstance(f, SsdsError)},
    )


def carry_out_all(
    workspace: Workspace, looks: Looks
) -> tuple[dict[str, Pushed], dict[str, SsdsError]]:
    """Pushes what differs to all channels at once; returns what was done and what failed."""
    stopping = threading.Event()

    def one(item: Look) -> Pushed:
        said = functools.partial(channels.said, item.channel.name)
        return carry_out(item, workspace.store, now=int(time.time()), say=said, stopping=stopping)

    todo = list(looks.looks.values())
    for item in todo:
        _bring_missing(workspace, item)
    try:
        found = _at_once(one, todo)
    except BaseException:
        stopping.set()
        raise
    done, failed = {}, dict(looks.failed)
    for item, result in zip(todo, found, strict=True):
        name = item.channel.name
        if isinstance(result, SsdsError):
            failed[name] = result
        else:
            done[name] = result
            write_observation(channels.observation_path(workspace, item.channel), result.after)
    open_work.forget_others(workspace, place_names(workspace) | {*done, *failed})
    for name in {*done, *failed}:
        look = looks.looks.get(name)
        _note(workspace, _left(name, done.get(name), failed.get(name)), look, looks.only)
    return done, failed


def _left(channel: str, done: Pushed | None, failed: SsdsError | None) -> open_work.OpenWork:
    left: dict[str, str] = {}
    if done is not None:
        left = {str(release): error.message for release, error in done.failed.items()}
        for change in done.changes:
            what, _, part = change.what.partition(" ")
            if change.verb == "x":
                left.setdefault(what, change.reason)
            elif change.verb == "w":
                left[what] = f"{left[what]}, {part}" if what in left else f"{NOT_HERE} {part}"
    return open_work.OpenWork(
        channel=channel,
        at=int(time.time()),
        reason=failed.message if failed else "",
        releases=left,
    )


def _note(
    workspace: Workspace,
    work: open_work.OpenWork,
    look: Look | None,
    only: frozenset[ReleaseName] | None,
) -> None:
    """Keeps what is left to do; what was not asked about stays as it was noted."""
    earlier = open_work.read(workspace, work.channel) if only is not None else None
    if earlier is not None:
        changes = look.changes if look else ()
        mine = {str(n) for n in only or ()} | {c.what.partition(" ")[0] for c in changes}
        others = {k: v for k, v in earlier.releases.items() if k not in mine}
        reason = work.reason or earlier.reason
        work = replace(work, releases={**others, **work.releases}, reason=reason)
    open_work.note(workspace, work)


def _bring_missing(workspace: Workspace, look: Look) -> None:
    """Brings what a push needs and the store lacks: from caches, then from other channels."""
    left = _missing(workspace, look)
    if left and workspace.caches is not None:
        offered = {digest for _, found in left for digest in found if digest in workspace.caches}
        workspace.caches.bring(offered, workspace.store, functools.partial(channels.said, "cache"))
        left = _missing(workspace, look)
    others = [c for c in workspace.catalog.channels.values() if c.name != look.channel.name]
    for channel in (*others, look.channel):
        if not left:
            break
        with contextlib.suppress(SsdsError):  # what comes from nowhere is told by the push itself
            said = functools.partial(channels.said, f"from {channel.name}")
            bring_all(channels.backend(workspace, channel), left, workspace.store, said)
        left = _missing(workspace, look)


def _missing(workspace: Workspace, look: Look) -> list[tuple[Released, set[Digest]]]:
    """Returns the releases of which something is to be brought, with what the store lacks of it.

    Where only evidence is attached, the image is in the channel and not needed here.
    """
    todo: dict[ReleaseName, set[str]] = {}
    for change in look.changes:
        if change.effective and change.release:
            todo.setdefault(change.release, set()).add(change.what.partition(" ")[2])
    has = workspace.store.blobs.has
    found = []
    for released in (r for r in look.releases if r.id in todo):
        needed = [released.metadata] if released.metadata else []
        items = look.evidence.get(released.index.digest, ())
        needed += [i.digest for i in items if i.make is None and i.label in todo[released.id]]
        if not todo[released.id].isdisjoint({"", BYTES}):
            needed = needed_bytes(released, sif=look.channel.sif)
        if lacking := {digest for digest in needed if not has(digest)}:
            found.append((released, lacking))
    return found


def _at_once(work: Callable[[In], Out], items: Iterable[In]) -> list[Out | SsdsError]:
    """Returns results or errors, in order; one thread for each item, within a limit."""

    def guarded(item: In) -> Out | SsdsError:
        try:
            return work(item)
        except SsdsError as error:
            return error

    todo = list(items)
    if len(todo) <= 1:
        return [guarded(item) for item in todo]
    with ThreadPoolExecutor(max_workers=CHANNELS_AT_ONCE, thread_name_prefix="channel") as pool:
        return list(pool.map(guarded, todo))
