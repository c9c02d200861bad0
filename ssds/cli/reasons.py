"""Why a node has a new key, in the recipe's own words: ``build[1].run (catalog/x/recipe.yaml:23)``.

The pre-image speaks of slices; people read addresses of their recipe or a pin of a lock, what stood
there before, and who changed it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import time
from collections.abc import Iterator, Mapping

from ssds.core.canonical import Json
from ssds.core.model import Claim, Node
from ssds.core.records import dataclass, replace
from ssds.graph.explain import (
    Difference,
    Nearest,
    Remembered,
    local_file,
    nearest,
    own_address,
    suite_place,
)
from ssds.graph.plan import Plan, PlanStep
from ssds.host.git import BLAME_S, LineOrigin, in_checkout, line_origin
from ssds.lock.make import locked_claims
from ssds.lock.marks import Marks, marks_of
from ssds.lock.model import lock_file_name
from ssds.lock.places import PinPlace, pin_place, variant_of
from ssds.lock.read import CATALOG_LOCK, SIZE_LIMIT_BYTES
from ssds.recipe.address import format_address, parse_address
from ssds.workspace import LOCK_FOLDER, Workspace

_EXPLAINED_AT_MOST = 200
_BLAMED_AT_MOST = 5
_BLAMES_S = 1.0
_SHOWN = 36
_PLATFORMS = ("linux/amd64", "linux/arm64")
_UNKNOWN_LOCK = "its key is not the lock's: recipe, pins or ssds changed since"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a difference comes from.

    Attributes:
        address: the recipe's own address, or plain words.
        pin: the pin's name where it comes from a lock.
        file, line: the place, relative to the workspace; an empty text and 0 where there is none.
        origin: the commit that last changed the line, where git knows it.
    """

    address: str
    pin: str = ""
    file: str = ""
    line: int = 0
    origin: LineOrigin | None = None

    def __str__(self) -> str:
        words = [f"pin {self.pin}"] if self.pin else []
        words += [f"{self.file}:{self.line}" if self.line else self.file] if self.file else []
        return f"{self.address} ({', '.join(words)})" if words else self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """The nearest remembered key of a node, and what is known of its making.

    Attributes:
        made_at: seconds since the Unix epoch; 0 where only a lock knows it.
        builder: who made it; the empty string where only a lock knows it.
    """

    nearest: Nearest
    made_at: int = 0
    builder: str = ""

    def told(self, node: Node) -> str:
        """Returns ``1a2b3c4d5e6f, made 2026-11-22 by embedded, of x@1:build``."""
        words = [self.nearest.key.short]
        if self.made_at:
            words.append(f"made {moment(self.made_at)[:10]}")
        words[-1] += f" by {self.builder}" if self.builder else ""
        if not self.made_at:
            words.append("known from its lock")
        other = self.nearest.of_another(node)
        return ", ".join([*words, f"of {other}"] if other else words)


def moment(seconds: int) -> str:
    """Returns a time for people: ``2026-11-22 14:03 UTC``; empty for what is no time."""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""


class Places:
    """Finds the places of differences in recipes and locks, and who wrote them.

    Args:
        blames: how many lines may be looked up in git, and for how long in all.
    """

    def __init__(self, workspace: Workspace, *, blames: int, limit_s: float) -> None:
        self._workspace = workspace
        self._blames = blames if in_checkout(workspace.root) else 0
        self._until = time.monotonic() + limit_s
        self._locks: dict[str, Marks | None] = {}
        self._known: dict[tuple[str, int], LineOrigin | None] = {}

    def spot(self, step: PlanStep, difference: Difference) -> Spot:
        """Returns where a difference of a step's key comes from."""
        address = own_address(step.node, difference)
        pin = pin_place(self._workspace.locks, step.node, difference.path)
        if pin is not None:
            file, line = self._pin_line(pin)
            return self._blamed(Spot(address=address, pin=pin.name, file=file, line=line))
        for item in step.node.inputs:
            if item.node is not None and difference.path == f"inputs.{item.role}":
                return Spot(address=f"{address}, {item.output} of {item.node}")
        copied = local_file(step.node, difference)
        if copied:
            return Spot(address=address, file=copied)
        suite, addresses = suite_place(step.node, difference.path)
        if suite:
            spans = self._workspace.reading.spans
            at = spans.first(suite, [parse_address(text) for text in addresses])
            spot = Spot(address=format_address(at), file=suite, line=spans(suite, at).line)
            return self._blamed(spot) if difference.after else spot
        if not difference.address or not step.node.recipe_path:
            return Spot(address=address)
        spans, path = self._workspace.reading.spans, step.node.recipe_path
        span = start = spans(path, address)
        if difference.lines:
            span = spans.inside(path, address, difference.lines, difference.offset)
        spot = Spot(address=address, file=span.path, line=span.line)
        # Of what is gone, and of a line that was not found, only the place above is known.
        known = span != start if difference.lines else bool(difference.after)
        return self._blamed(spot) if known else spot

    def _pin_line(self, pin: PinPlace) -> tuple[str, int]:
        name = lock_file_name(*pin.lock) if any(pin.lock) else CATALOG_LOCK
        if name not in self._locks:
            try:
                path = os.path.join(self._workspace.lock_folder, name)
                with open(path, encoding="utf-8") as file:
                    self._locks[name] = marks_of(file.read(SIZE_LIMIT_BYTES))
            except (OSError, ValueError):
                self._locks[name] = None
        marks = self._locks[name]
        return f"{LOCK_FOLDER}/{name}", marks.place(pin.path)[0] if marks else 0

    def _blamed(self, spot: Spot) -> Spot:
        where = (spot.file, spot.line)
        if where not in self._known:
            left_s = self._until - time.monotonic()
            if not spot.line or self._blames <= 0 or left_s <= 0:
                return spot
            self._blames -= 1
            path = os.path.join(self._workspace.root, spot.file)
            self._known[where] = line_origin(path, spot.line, timeout_s=min(BLAME_S, left_s))
        return replace(spot, origin=self._known[where])


def explained(workspace: Workspace, plan: Plan) -> Plan:
    """Says for each new key which fields differ from the nearest remembered one.

    Git is asked for the authors of a handful of lines, and not for longer than a second.
    """
    fresh = [s for s in plan.steps.values() if s.reason == "new" and s.action is not None]
    if not fresh:
        return plan
    steps = dict(plan.steps)
    places = Places(workspace, blames=_BLAMED_AT_MOST, limit_s=_BLAMES_S)
    for step in fresh[:_EXPLAINED_AT_MOST]:
        near = neighbour(workspace, step)
        if near is not None and near.nearest.platform != (step.node.id.platform or "any"):
            text = f"{step.text}; nearest {near.told(step.node)}"
            steps[step.node.id] = replace(step, text=text)
        elif near is not None:
            text = "changed: " + _row(places, step, near)
            steps[step.node.id] = replace(step, reason="changed", text=text)
        elif _locked(workspace, step.node) is not None:
            steps[step.node.id] = replace(step, reason="changed", text=_UNKNOWN_LOCK)
    return replace(plan, steps=steps)


def _row(places: Places, step: PlanStep, near: Neighbour) -> str:
    found = near.nearest.differences
    if not found:
        return f"the order of packages; nearest {near.told(step.node)}"
    spot = places.spot(step, found[0])
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    origin = f"; {spot.origin}" if spot.origin else ""
    return f"{told(spot, found[0])}{more}{origin}; nearest {near.told(step.node)}"


def neighbour(workspace: Workspace, step: PlanStep) -> Neighbour | None:
    """Returns the nearest remembered key of a step's node; None where nothing near is known.

    The locked key is among them: another node may have made its result, and have the same key.
    Only where nothing of its own platform is known, those of the release's others count.
    """
    store = workspace.store_if_there
    if store is None or step.action is None:
        return None
    try:
        found = nearest(_known(workspace, step.node), step.action)
    except RecursionError:  # what another's store remembers may be nested without end
        return None
    if found is None:
        return None
    claims = store.claims.find(found.key)
    made = next((c for c in claims if c.made_at), None)
    if made is None:
        return Neighbour(nearest=found)
    return Neighbour(nearest=found, made_at=made.made_at, builder=made.builder)


def _known(workspace: Workspace, node: Node) -> Iterator[Remembered]:
    store = workspace.store_if_there
    assert store is not None
    own = list(_on_platform(workspace, node, node.id.platform))
    locked = _locked(workspace, node)
    preimage = _read(store.claims.preimage(locked.key)) if locked else None
    if locked is not None and preimage is not None:
        own.append(Remembered(key=locked.key, node=str(node.id), preimage=preimage))
    yield from own
    if not own and node.id.platform:
        for platform in _PLATFORMS:
            if platform != node.id.platform:
                yield from _on_platform(workspace, node, platform)


def _on_platform(workspace: Workspace, node: Node, platform: str) -> Iterator[Remembered]:
    store = workspace.store_if_there
    assert store is not None
    for entry in store.claims.nearest(node.kind, node.id.owner, platform):
        preimage = _read(entry.preimage)
        if preimage is not None:
            yield Remembered(key=entry.key, node=entry.node, preimage=preimage)


def _read(preimage: bytes | None) -> Mapping[str, Json] | None:
    """Returns a pre-image as the store has it; None for what is none, it may come from others."""
    if preimage is None:
        return None
    try:
        value = json.loads(preimage)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _locked(workspace: Workspace, node: Node) -> Claim | None:
    """Returns the claim that a lock has of this node, under whatever key."""
    found = variant_of(workspace.locks, node.id.owner)
    if found is None:
        return None
    lock, variant = found
    return locked_claims(lock.release_name(variant), lock.variants[variant]).get(node.id)


def told(spot: Spot, difference: Difference) -> str:
    """Returns where a field is, and its value before and after, shortened."""
    before, after = (_short(text) for text in (difference.before, difference.after))
    if not before:
        return f"{spot} is new: {after}"
    if not after:
        return f"{spot} is gone, was {before}"
    return f"{spot}: {before} → {after}"


def _short(text: str) -> str:
    """Shortens digests and long texts."""
    text = re.sub(r"\b(?:sha256|blake3):([0-9a-f]{12})[0-9a-f]+", r"\1", text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
