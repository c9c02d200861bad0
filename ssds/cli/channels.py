"""Channels as ``plan`` and ``apply`` see them: observe, compare with the locks, push."""

from __future__ import annotations

from ssds.graph.compile import Graph
from ssds.ship.changes import Change
from ssds.workspace import Workspace


def changes(
    workspace: Workspace, graph: Graph, *, refresh: bool
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Returns the changes that the channels need, and notes on those never observed."""
    return (), ()


def push(workspace: Workspace, graph: Graph, *, refresh: bool) -> int:
    """Carries out the changes; returns an exit code."""
    return 0
