"""``ssds show FILE``: a saved plan for people or programs; it needs no workspace."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import Any

from ssds.cli import planning
from ssds.cli.output import table
from ssds.core.digest import Digest
from ssds.saved.form import to_dict
from ssds.saved.model import Options, SavedPlan


def told(saved: SavedPlan, plan_id: Digest) -> str:
    """Returns the plan as ``ssds plan`` prints it, and where it comes from."""
    made = saved.made
    rows = [
        ["plan", str(plan_id)],
        ["made", f"{moment(made.at)} by ssds {made.ssds}"],
        ["workspace", f"{made.workspace} ({made.catalog}/)"],
    ]
    if made.commit:
        changed = ", and changes that were not committed" if made.dirty else ""
        rows.append(["commit", f"{made.commit}{changed}"])
    rows.append(["waivers", f"as of {saved.as_of}"])
    words = wishes(saved.options)
    if words:
        rows.append(["asked for", words])
    return f"{table(rows)}\n\n{planning.render(saved.delivery)}"


def moment(seconds: int) -> str:
    """Returns a time for people, UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def wishes(options: Options) -> str:
    """Returns the options as they stand on a command line."""
    words = [shlex.quote(text) for text in options.selectors]
    words += [f"--platform {shlex.quote(text)}" for text in options.platforms]
    words += [f"--as-of {options.as_of}"] if options.as_of else []
    words += ["--fetch"] if options.fetch else []
    words += [f"--rerun {shlex.quote(text)}" for text in options.rerun]
    words += ["--retry"] if options.retry else []
    return " ".join(words)


def to_json(saved: SavedPlan, plan_id: Digest) -> dict[str, Any]:
    """Returns what ``plan --json`` gives, with what only a saved plan has."""
    whole = to_dict(saved)
    kept = ("made", "as_of", "options", "reused", "channels")
    return {
        **saved.delivery.to_dict(),
        "plan_id": str(plan_id),
        **{name: whole[name] for name in kept},
    }
