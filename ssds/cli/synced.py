"""What was brought to channels, told; for ``sync`` and for ``apply``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from ssds.cli.output import report_error, say
from ssds.core.errors import SsdsError
from ssds.ship.changes import Change
from ssds.ship.pushing import Pushed


def show_failed(done: Mapping[str, Pushed], failed: Mapping[str, SsdsError]) -> None:
    """Prints which channels did not answer, and which releases could not be brought where."""
    for name, error in failed.items():
        print(f"FAILED channel {name}", file=sys.stderr)
        report_error(error)
    for name, pushed in done.items():
        _show_releases(name, pushed)


def show_waiting(channel: str, changes: Iterable[Change]) -> None:
    """Prints which evidence was not brought because its bytes are not here."""
    left: dict[str, list[str]] = {}
    for change in changes:
        if change.verb == "w" and change.release:
            left.setdefault(str(change.release), []).append(change.what.partition(" ")[2])
    for release, parts in sorted(left.items()):
        say(f"NOT BROUGHT {release} on {channel}: its {', '.join(parts)}, which are not here")
    if left:
        say(f"`ssds apply --fetch {' '.join(sorted(left)[:8])}` makes them again and brings them.")


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
