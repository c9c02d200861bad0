"""What was brought to channels, told; for ``sync`` and for ``apply``."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from ssds.cli.output import report_error
from ssds.core.errors import SsdsError
from ssds.ship.pushing import Pushed


def show_failed(done: Mapping[str, Pushed], failed: Mapping[str, SsdsError]) -> None:
    """Prints which channels did not answer, and which releases could not be brought where."""
    for name, error in failed.items():
        print(f"FAILED channel {name}", file=sys.stderr)
        report_error(error)
    for name, pushed in done.items():
        _show_releases(name, pushed)


def _show_releases(name: str, pushed: Pushed) -> None:
    """Prints one error of each cause whole, the other releases by name."""
    causes: dict[str, list[tuple[str, SsdsError]]] = {}
    for release, error in sorted(pushed.failed.items()):
        causes.setdefault(error.code, []).append((str(release), error))
    for failures in causes.values():
        first, error = failures[0]
        print(f"FAILED {first} to {name}", file=sys.stderr)
        report_error(error)
        if len(failures) > 1:
            others = ", ".join(release for release, _ in failures[1:])
            print(f"  and for the same cause: {others}", file=sys.stderr)


def written(pushed: Pushed) -> int:
    """Returns how many changes were carried out: those of failed releases were not."""
    return sum(c.effective and c.release not in pushed.failed for c in pushed.changes)


def exit_code(done: Mapping[str, Pushed], failed: Mapping[str, SsdsError], refused: int) -> int:
    """Returns 1 where a channel or a release failed, 3 where something was refused, else 0."""
    if failed or any(pushed.failed for pushed in done.values()):
        return 1
    return 3 if refused else 0
