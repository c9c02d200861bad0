"""``ssds plan`` without the command line's machinery, which costs more than a plan of one recipe.

Where nothing changed the index alone answers, before anything else of ssds is imported; else the
plan is made as ever.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ssds.graph.index.hot import Glance

_OPTIONS = {"--json", "--detailed-exitcode"}


def answer(arguments: list[str], *, last: bool = False) -> int | None:
    """Prints the plan and returns the exit code; None for whatever is not the plainest of calls.

    That is ``[-C DIR] plan [--json] [--detailed-exitcode]``. With ``last`` the process ends here.
    """
    folder, rest = "", list(arguments)
    if len(rest) > 1 and rest[0] == "-C":
        folder, rest = rest[1], rest[2:]
    if rest[:1] != ["plan"] or not set(rest[1:]) <= _OPTIONS or len(rest) > len(set(rest)):
        return None
    as_json = "--json" in rest
    failed: BaseException | None = None
    glance: Glance | None = None
    try:
        text, glance = _unchanged(folder, as_json=as_json)
        if text is not None:
            print(text)
            sys.stdout.flush()
            return 0
    except (OSError, KeyboardInterrupt) as error:
        failed = error
    from ssds.cli.guard import guarded
    from ssds.core.memory import uncollected

    def work() -> int:
        if failed is not None:
            raise failed
        with uncollected():  # importing makes many values too
            return _plan(folder, as_json, glance, "--detailed-exitcode" in rest, last=last)

    return guarded(work)


def _unchanged(folder: str, *, as_json: bool) -> tuple[str | None, Glance | None]:
    """Returns what the last plan printed, where it still holds and any stream can take it.

    What was seen on the way comes with it.
    """
    root = os.path.abspath(folder)
    while not os.path.isfile(os.path.join(root, "ssds.yaml")):
        above = os.path.dirname(root)
        if above == root:
            return None, None
        root = above
    state = os.path.join(root, ".ssds")
    if os.path.islink(state) or os.path.islink(os.path.join(root, "lockfiles")):
        return None, None
    from ssds.graph.index.hot import Glance, printed

    glance = Glance(os.path.join(state, "plan.index"))
    text = printed(root, glance.path, as_json=as_json, glance=glance)
    return text if text is not None and text.isascii() else None, glance


def _plan(folder: str, as_json: bool, glance: Glance | None, exit_code: bool, *, last: bool) -> int:
    from ssds.cli import indexed, planning
    from ssds.core.errors import InputError
    from ssds.workspace import Workspace

    workspace = Workspace.open(folder)
    asked, told = planning.Asked(), 0
    try:
        delivery = indexed.deliver(workspace, asked, glance=glance)
    except InputError as error:
        from ssds.cli.around import plan_around

        delivery, told = plan_around(workspace, asked, error)
    planning.present(delivery, as_json=as_json)
    sys.stdout.flush()
    code = told or (delivery.exit_code if exit_code else 0)
    if last:
        workspace.close()
        sys.stderr.flush()
        os._exit(code)
    return code
