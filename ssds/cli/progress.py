"""Progress of an apply: a live list on a terminal, plain lines otherwise; always to stderr."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from ssds.cli.output import duration_text
from ssds.core.model import Claim, NodeId
from ssds.core.text import shown
from ssds.engine.report import Reporter

_WORDS = {
    "done": "✓",
    "reused": "=",
    "failed": "✗",
    "held": "x",
    "waiting": "w",
    "skipped": "-",
    "stale": "x",
    "stopped": "■",
}


def make_reporter() -> Reporter:
    """Returns the reporter that fits where stderr goes."""
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()


class PlainReporter(Reporter):
    """One line when a node starts to run and one when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0
        self._ended = 0

    def _print(self, line: str) -> None:
        with self._lock:
            print(shown(line, lines=True), file=sys.stderr, flush=True)

    def began(self, total: int) -> None:
        self._total = total

    def started(self, node: NodeId, reason: str) -> None:
        self._print(f"  + {node.label}: {reason}")

    def said(self, node: NodeId, line: str) -> None:
        self._print(f"    {node.label}: {line}")

    def finished(self, node: NodeId, state: str, duration_ms: int, claim: Claim | None) -> None:
        if state in ("waiting", "skipped"):
            return
        verdict = f" ({claim.verdict})" if claim and claim.verdict else ""
        self._ended += 1
        took = f" {duration_text(duration_ms)}" if duration_ms else ""
        self._print(f"  {_WORDS[state]} {node.label} {state}{verdict}{took}")

    def failed(self, node: NodeId, error: Exception) -> None:
        self._print(f"  ✗ {node.label}: {str(error).splitlines()[0]}")

    def note(self, line: str) -> None:
        self._print(f"  · {line}")


class LiveReporter(PlainReporter):
    """Finished nodes scroll by; running ones stay below with what they do and for how long."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._running: dict[NodeId, tuple[float, str]] = {}
        self._live: Live = Live(
            console=self._console, refresh_per_second=8, transient=True, get_renderable=self._view
        )

    def _print(self, line: str) -> None:
        self._console.print(shown(line, lines=True), markup=False, soft_wrap=True)

    def _view(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        view = Table.grid(padding=(0, 1), expand=True)
        view.add_column(width=1)
        for share in (3, 2):
            view.add_column(no_wrap=True, overflow="ellipsis", ratio=share)
        view.add_column(no_wrap=True, justify="right")
        now = time.monotonic()
        for node, (began, line) in list(self._running.items()):
            view.add_row(
                Text("⟳", style="cyan"),
                Text(node.label),
                Text(shown(line), style="dim"),
                Text(duration_text(int((now - began) * 1000)), style="dim"),
            )
        if self._total:
            view.add_row("", Text(f"{self._ended} of about {self._total} done", style="bold"))
        return view

    def began(self, total: int) -> None:
        super().began(total)
        self._live.start()

    def started(self, node: NodeId, reason: str) -> None:
        self._running[node] = (time.monotonic(), reason)

    def said(self, node: NodeId, line: str) -> None:
        began = self._running.get(node, (time.monotonic(), ""))[0]
        self._running[node] = (began, line)

    def finished(self, node: NodeId, state: str, duration_ms: int, claim: Claim | None) -> None:
        self._running.pop(node, None)
        super().finished(node, state, duration_ms, claim)

    def ended(self) -> None:
        self._live.stop()
