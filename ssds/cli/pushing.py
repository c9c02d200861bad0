"""The last part of ``apply``: what was made goes to the channels, as ``sync`` brings it (C14)."""

from __future__ import annotations

from ssds.cli import channels, synced, syncing
from ssds.cli.channels import States
from ssds.cli.output import counted, say
from ssds.core.model import ReleaseName
from ssds.core.records import replace
from ssds.lock.model import Released
from ssds.recipe.model import Channel
from ssds.ship.observation import read_observation, state_of
from ssds.ship.syncing import Look
from ssds.workspace import Workspace


def push(
    workspace: Workspace,
    names: frozenset[ReleaseName],
    *,
    refresh: bool,
    expected: States | None = None,
) -> int:
    """Carries out the changes of these releases on observed channels; returns an exit code.

    With ``expected`` (of a saved plan) only its pairs are pushed, and only where the channel still
    holds what it held.
    """
    wanted = _channels(workspace, refresh=refresh)
    locked = frozenset(n for n in names if any(n == r.id for rs in wanted.values() for r in rs))
    if not locked:
        return 0
    looks = syncing.look(workspace, wanted, syncing.Asked(only=locked))
    ready = {name: look.narrowed(_ready(workspace, look)) for name, look in looks.looks.items()}
    looks = replace(looks, looks=ready)
    stale = False
    if expected is not None:
        kept: dict[str, Look] = {}
        for name, look in looks.looks.items():
            good, one_is_stale = _as_expected(look, expected)
            stale = stale or one_is_stale
            if good:
                kept[name] = look.narrowed(good)
        pairs = {channel for channel, _ in expected}
        failed = {name: error for name, error in looks.failed.items() if name in pairs}
        looks = replace(looks, looks=kept, failed=failed)
    done, failed = syncing.carry_out_all(workspace, looks)
    synced.show_failed(done, failed)
    refused = 0
    for name, pushed in done.items():
        for change in pushed.changes:
            if change.verb == "x":
                refused += 1
                say(f"REFUSED {change.what} on {name}: {change.reason}")
        synced.show_waiting(name, pushed.changes)
        if count := synced.written(pushed):
            print(f"Pushed to {name}: {counted(count, 'change')}.")
    return 1 if stale else synced.exit_code(done, failed, refused)


def _channels(workspace: Workspace, *, refresh: bool) -> dict[Channel, list[Released]]:
    """Returns the places to push to: those that somebody looked at; with ``refresh`` all."""
    return {
        place: releases
        for channel, releases in channels.used(workspace).items()
        for place in channels.places(channel)
        if refresh or read_observation(channels.observation_path(workspace, place)) is not None
    }


def _ready(workspace: Workspace, look: Look) -> frozenset[ReleaseName]:
    """Returns the releases of which the store has what is to be brought."""
    images = {c.release for c in look.changes if c.release and channels.needs_image(c)}
    lacking = {name for name in images if channels.lacks_bytes(workspace, name)}
    return frozenset(look.only or ()) - lacking


def _as_expected(look: Look, expected: States) -> tuple[frozenset[ReleaseName], bool]:
    """Returns the releases to push, and whether one was refused."""
    channel = look.channel.name
    good = set()
    stale = False
    for name in sorted({c.release for c in look.changes if c.effective and c.release}):
        if (channel, name) not in expected:
            continue
        if state_of(name, look.observed) == expected[channel, name]:
            good.add(name)
        else:
            stale = True
            say(
                f"STALE {name}:push/{channel}: the channel holds something else than when the plan "
                "was made"
            )
    return frozenset(good), stale
