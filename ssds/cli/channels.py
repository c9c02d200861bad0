"""Channels as ``plan`` and ``apply`` see them: observe, compare with the locks, push (C14).

A channel is looked at when ``--refresh`` asks for it; afterwards the last observation counts. A
channel that nobody has looked at from this workspace gives no rows, only a note: so a fresh clone
plans all reuse.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ssds.cli.output import say
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UnavailableError
from ssds.core.model import NodeId, ReleaseName
from ssds.core.records import dataclass, field, replace
from ssds.graph.compile import Graph
from ssds.graph.plan import Plan, Verb
from ssds.lock.model import Released, releasable
from ssds.recipe.model import Channel
from ssds.ship.changes import Change
from ssds.ship.observation import Observation, read_observation, state_of, write_observation
from ssds.workspace import Workspace

if TYPE_CHECKING:  # a plan needs no backend
    from ssds.ship.plug import Backend

_OLD_S = 24 * 3600
_PUSHED = frozenset({"publish", "index", "metadata", "sif"})
States = Mapping[tuple[str, ReleaseName], Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushes:
    """What the channels need.

    Attributes:
        changes: (change, the release behind it) of every observed channel.
        notes: on channels that were never observed, or long ago.
        offers: digest → the (channel, release) pairs that give its bytes (C2).
    """

    changes: tuple[tuple[Change, ReleaseName], ...] = ()
    notes: tuple[str, ...] = ()
    offers: Mapping[Digest, list[tuple[Channel, Released]]] = field(default_factory=dict)

    def wanted(self, workspace: Workspace, graph: Graph) -> frozenset[NodeId]:
        """Returns the nodes whose bytes a push needs and the store lacks (C2).

        Those of evidence where its image is brought, too: elsewhere its lack is told only.
        """
        found: set[NodeId] = set()
        images = {name for change, name in self.changes if needs_image(change)}
        for name in images:
            if lacks_bytes(workspace, name):
                found |= _image_nodes(graph, name)
        for change, name in self.changes:
            if change.verb == "w" and name in images:
                label = change.what.partition(" ")[2]
                found |= {n for n in graph.releases.get(name, ()) if _label(n) == label}
        return frozenset(found)

    def offer(self, digest: Digest, owner: str) -> tuple[Channel, Released]:
        """Returns who gives the bytes: the release itself, or another that holds them too."""
        found = self.offers[digest]
        return next((pair for pair in found if str(pair[1].id) == owner), found[0])

    def judged(self, plan: Plan, graph: Graph) -> tuple[tuple[Change, ReleaseName], ...]:
        """Returns the changes with what the graph's plan means for them.

        Only those of releases that it holds whole, for no other one is pushed.
        """
        return tuple(
            (_judged(change, name, plan, graph), name)
            for change, name in self.changes
            if change.verb != "=" and _is_whole(name, plan, graph)
        )


def whole_releases(plan: Plan, graph: Graph) -> frozenset[ReleaseName]:
    """Returns the releases that the plan holds whole; selectors may name parts."""
    return frozenset(name for name in graph.releases if _is_whole(name, plan, graph))


def _is_whole(name: ReleaseName, plan: Plan, graph: Graph) -> bool:
    return name in graph.releases and all(n in plan.steps for n in graph.releases[name])


def look(workspace: Workspace, *, refresh: bool) -> Pushes:
    """Compares every channel that the catalog uses, and its replicas, with its observation."""
    changes: list[tuple[Change, ReleaseName]] = []
    notes = []
    offered: dict[Digest, list[tuple[Channel, Released]]] = {}
    recipes = used(workspace)
    sets = data_sets(workspace)
    for channel in dict.fromkeys([*recipes, *sets]):
        releases = [*recipes.get(channel, ()), *sets.get(channel, ())]
        for place in places(channel):
            known, note = _known(workspace, place, releases, refresh=refresh)
            main = place.name == channel.name and channel in recipes
            notes += [note] if note and (refresh or main) else []
            if known is None:
                continue
            from ssds.ship.channels import offers, plan_channel
            from ssds.ship.syncing import evidence_for

            for released in releases:
                for digest in offers(released, known):
                    offered.setdefault(digest, []).append((place, released))
            own = recipes.get(channel, [])
            evidence = evidence_for(own, known, workspace.read_blob)
            found = plan_channel(place, own, known, before=known, evidence=evidence)
            if place.public:
                from ssds.ship.licences import withhold

                found = withhold(place, found, releases, workspace.read_blob)
            changes += [(change, change.release) for change in found if change.release]
    return Pushes(changes=tuple(changes), notes=tuple(notes), offers=offered)


def _known(
    workspace: Workspace, place: Channel, releases: list[Released], *, refresh: bool
) -> tuple[Observation | None, str]:
    """Returns what is known of a place, with what ssds wrote there, and a note on it."""
    known = read_observation(observation_path(workspace, place))
    if refresh:
        from ssds.ship.syncing import look_at

        look = functools.partial(look_at, read=lambda _: None, now=int(time.time()), anew=True)
        try:
            known = look(place, backend(workspace, place), releases, remembered=known).noted()
        except UnavailableError as error:
            why = error.message.replace("\n", "; ")
            return known, f"channel {place.name} does not answer: {why}"
        write_observation(observation_path(workspace, place), known)
    return known, _note(place.name, known, int(time.time()))[0]


def _note(name: str, observed: Observation | None, now_s: int) -> tuple[str, int]:
    """Returns what is worth a line on a channel, and the second from which it says another thing.

    0 stands for "not before somebody looks".
    """
    if observed is None:
        return f"channel {name} was never observed; --refresh looks", 0
    age_s = now_s - observed.at
    if age_s <= _OLD_S:
        return "", observed.at + _OLD_S + 1
    hours = age_s // 3600
    return f"channel {name} was observed {hours} hours ago", observed.at + (hours + 1) * 3600


def notes(workspace: Workspace, names: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Returns the notes on these channels as last observed, and until when (s) they say the same.

    0 stands for "not before somebody looks".
    """
    now_s = int(time.time())
    found = [
        _note(name, read_observation(_file(workspace, name)), now_s) for name in sorted(set(names))
    ]
    return (
        tuple(text for text, _ in found if text),
        min((until for _, until in found if until), default=0),
    )


def any_observed(workspace: Workspace, names: Iterable[str]) -> bool:
    """Whether somebody looked at one of these channels from this workspace."""
    return any(read_observation(_file(workspace, name)) is not None for name in names)


def bring_bytes(workspace: Workspace, pushes: Pushes, plan: Plan) -> None:
    """Brings into the store what the plan takes from channels.

    Raises:
        SsdsError: a channel does not give what was observed there; nothing has run yet.
    """
    from ssds.ship.bringing import bring_all

    groups: dict[str, tuple[Channel, dict[ReleaseName, tuple[Released, set[Digest]]]]] = {}
    for node, digests in plan.brought.items():
        for digest in digests:
            if digest not in pushes.offers:
                continue  # a remote cache gives it
            channel, released = pushes.offer(digest, node.owner)
            wanted = groups.setdefault(channel.name, (channel, {}))[1]
            wanted.setdefault(released.id, (released, set()))[1].add(digest)
    for channel, wanted in groups.values():
        line = functools.partial(said, f"from {channel.name}")
        place = backend(workspace, channel)
        for error in bring_all(place, wanted.values(), workspace.store, line).values():
            error.hint = f"{error.hint} Look at the channel anew with --refresh.".strip()
            raise error


def bring_release(workspace: Workspace, name: ReleaseName, wanted: frozenset[Digest]) -> None:
    """Brings bytes of a release into the store from the first of its channels that has them.

    A channel that fails is told; the caller looks at the store for what came.
    """
    from ssds.ship.bringing import bring

    for channel, releases in used(workspace).items():
        for released in (r for r in releases if r.id == name):
            try:
                line = functools.partial(said, f"{channel.name} → {name}")
                bring(backend(workspace, channel), released, wanted, workspace.store, line)
                return
            except SsdsError as error:
                say(f"  · {channel.name}: {error.message}")


def states(workspace: Workspace, names: Iterable[ReleaseName]) -> States:
    """Returns what observed channels held of these releases when somebody last looked."""
    found: dict[tuple[str, ReleaseName], Digest] = {}
    seen: dict[str, Observation | None] = {}
    for name in names:
        for channel in workspace.catalog.releases[name].channels:
            for place in places(workspace.catalog.channels[channel]):
                if place.name not in seen:
                    seen[place.name] = read_observation(observation_path(workspace, place))
                observed = seen[place.name]
                if observed is not None:
                    found[place.name, name] = state_of(name, observed)
    return found


def said(channel: str, line: str) -> None:
    """Prints a line of progress on a channel."""
    say(f"  {channel}: {line}")


def backend(workspace: Workspace, channel: Channel) -> Backend:
    """Opens a channel, with the workspace's proxy and certificates."""
    from ssds.ship.backends import open_channel

    settings = workspace.settings
    bundle = settings.ca_bundle
    if not bundle and channel.kind != "layout" and not channel.insecure:
        bundle = workspace.mirrors.ca_bundle  # what pip trusts: asking it takes a second
    return open_channel(channel, workspace.root, ca_bundle=bundle, proxy=settings.proxy)


def used(workspace: Workspace) -> Mapping[Channel, list[Released]]:
    """Returns the channels that recipes name, each with its locked releases."""
    found: dict[str, list[Released]] = {}
    for name, release in workspace.catalog.releases.items():
        for released in releasable(workspace.locks.get(name)):
            if released.id == name:
                for channel in release.channels:
                    found.setdefault(channel, []).append(released)
    return {workspace.catalog.channels[c]: releases for c, releases in sorted(found.items())}


def data_sets(workspace: Workspace) -> Mapping[Channel, list[Released]]:
    """Returns the channels that get reference data, each with its made sets."""
    wanting = [c for _, c in sorted(workspace.catalog.channels.items()) if c.data]
    if not wanting or not workspace.data_locks:
        return {}
    from ssds.recipe.selectors import about, hits
    from ssds.ship.refdata.artefact import released_set

    made = [
        (lock.id, about(lock.about, {}), released)
        for lock in workspace.data_locks.values()
        if (released := released_set(lock)) is not None
    ]
    found = {c: [r for name, facts, r in made if hits(c.data, name, facts)] for c in wanting}
    return {channel: released for channel, released in found.items() if released}


def used_by(workspace: Workspace) -> dict[str, set[str]]:
    """Returns recipe → the channels to which something of it can be pushed."""
    found: dict[str, set[str]] = {}
    for channel, releases in used(workspace).items():
        for released in releases:
            found.setdefault(released.id.name, set()).add(channel.name)
    return found


def places(channel: Channel) -> list[Channel]:
    """Returns a channel and its replicas, each a place of its own: ``depot``, ``depot.2``."""
    others = [
        replace(channel, name=f"{channel.name}.{number}", location=address, replicas=())
        for number, address in enumerate(channel.replicas, start=2)
    ]
    return [replace(channel, replicas=()), *others]


def observation_path(workspace: Workspace, channel: Channel) -> str:
    """Returns the file that keeps what was seen there the last time."""
    return _file(workspace, channel.name)


def _file(workspace: Workspace, name: str) -> str:
    return os.path.join(workspace.state_folder, "observed", f"{name}.json")


def lacks_bytes(workspace: Workspace, name: ReleaseName) -> bool:
    """Whether the store lacks bytes of the locked release."""
    store = workspace.store_if_there
    if store is None:
        return True
    variant = workspace.locks.get(name).variant(name)
    recipe = workspace.catalog.releases.get(name)
    as_file = recipe is not None and workspace.catalog.wants_sif(recipe)
    from ssds.ship.plug import needed_bytes

    needed: list[Digest] = []
    for released in releasable(workspace.locks.get(name)):
        if released.id == name:
            if set(released.platforms) != set(released.index.platforms):
                return True
            needed += needed_bytes(released, sif=as_file)
    return variant.index is None or any(not store.blobs.has(digest) for digest in needed)


def needs_image(change: Change) -> bool:
    """Whether it brings an image or what describes it, not only evidence beside one."""
    from ssds.ship.channels import BYTES

    part = change.what.partition(" ")[2]
    return change.effective and part in ("", BYTES, "metadata")


def _image_nodes(graph: Graph, name: ReleaseName) -> set[NodeId]:
    return {n for n in graph.releases.get(name, ()) if n.kind in _PUSHED}


def _label(node: NodeId) -> str:
    """Returns how a change calls the evidence that a node gives."""
    return f"{node.kind} [{node.platform}]"


def _judged(change: Change, name: ReleaseName, plan: Plan, graph: Graph) -> Change:
    steps = [plan.steps[n] for n in graph.releases.get(name, ()) if n in plan.steps]
    if change.verb == "w":
        label = change.what.partition(" ")[2]
        again = any(s.runs and _label(s.node.id) == label for s in steps)
        return replace(change, verb="+", reason="made again") if again else change
    if not change.effective:
        return change
    waiting = [s for s in steps if s.verb is Verb.WAIT and s.node.kind == "publish"]
    if waiting and waiting[0].reason == "bytes":
        reason = f"bytes of {waiting[0].node.id.platform} are not here"
        return replace(change, verb="w", reason=reason)
    running = [s for s in steps if s.runs and s.reason != "bytes"]
    if running:
        return replace(change, verb="?", reason=f"known after {running[0].node.id.label}")
    return change
