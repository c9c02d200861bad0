"""What the engine tells while it works; by default nothing: a library is silent."""

from __future__ import annotations

from ssds.core.model import Claim, NodeId


class Reporter:
    """Receives events, from several threads; each call is short."""

    def began(self, total: int) -> None:
        """The apply starts; ``total`` nodes may run."""

    def started(self, node: NodeId, reason: str) -> None:
        """A node starts to run."""

    def said(self, node: NodeId, line: str) -> None:
        """A running node tells what it does."""

    def finished(self, node: NodeId, state: str, duration_ms: int, claim: Claim | None) -> None:
        """A node reached an end state (``done``, ``reused``, ``failed``, ``held`` …)."""

    def failed(self, node: NodeId, error: Exception) -> None:
        """A node failed; ``finished`` follows."""

    def note(self, line: str) -> None:
        """Something worth a line that belongs to no node."""

    def ended(self) -> None:
        """The apply is over."""
