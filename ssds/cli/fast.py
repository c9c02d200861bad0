"""``ssds plan`` where nothing changed: answered before anything else of ssds is imported."""

from __future__ import annotations

import os
import sys

_PIPE_EXIT = 141


def answer(arguments: list[str]) -> int | None:
    """Prints the plan and returns the exit code where the index alone tells it, else None.

    Only for ``[-C DIR] plan [--json] [--detailed-exitcode]``; everything else, and every problem,
    is left to the command line proper.
    """
    folder, rest = ".", list(arguments)
    if len(rest) > 1 and rest[0] == "-C":
        folder, rest = rest[1], rest[2:]
    if rest[:1] != ["plan"] or not set(rest[1:]) <= {"--json", "--detailed-exitcode"}:
        return None
    stream = sys.stdout
    if stream is None or os.environ.get("SSDS_INDEX"):
        return None
    root = _root(os.path.abspath(folder))
    state = os.path.join(root, ".ssds")
    if not root or os.path.islink(state) or os.path.islink(os.path.join(root, "lockfiles")):
        return None
    from ssds.graph.index.hot import printed

    text = printed(root, os.path.join(state, "plan.index"), as_json="--json" in rest)
    if text is None or not text.isascii():
        return None
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _PIPE_EXIT
    except OSError as error:
        from ssds.cli.app import report_os_error

        return report_os_error(error)
    return 0


def _root(folder: str) -> str:
    """Returns the workspace around a folder, or the empty string."""
    while not os.path.isfile(os.path.join(folder, "ssds.yaml")):
        above = os.path.dirname(folder)
        if above == folder:
            return ""
        folder = above
    return folder
