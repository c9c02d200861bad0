"""A plan around recipes with errors: of those that can be read, and stand on none of the others.

What such a recipe is told to be, nobody knows: nothing of it, and nothing that stands on it, is
planned; its locks and what is delivered of it stay.
"""

from __future__ import annotations

from ssds.cli import planning
from ssds.cli.output import counted, report_error
from ssds.core.diagnostics import Diagnostic, Severity
from ssds.core.errors import InputError
from ssds.core.records import replace
from ssds.delivery import Delivery
from ssds.recipe.refers import References
from ssds.workspace import Workspace


def plan_around(
    workspace: Workspace, asked: planning.Asked, error: InputError
) -> tuple[Delivery, int]:
    """Returns the plan of what can be read, and the exit code.

    A plan of named recipes that rest on none with an error is whole, and its note is enough. Of a
    whole catalog the errors are told too.

    Args:
        error: what reading the whole catalog gave.

    Raises:
        InputError: ``error``, where all that is asked for rests on what is wrong.
    """
    found = _readable(workspace, asked, error)
    if found is None:
        raise error
    if asked.selectors:
        return found, 0
    report_error(error)
    return found, 1


def _readable(workspace: Workspace, asked: planning.Asked, error: InputError) -> Delivery | None:
    broken = _broken(workspace, error)
    if workspace.has_data or not broken:
        return None
    references = References(workspace.root, workspace.homes, without=broken)
    above = [references.above(name) for name in broken]
    lost = broken.union(*(names for names in above if names is not None))
    wanted = frozenset(text.partition(":")[0].partition("@")[0] for text in asked.selectors)
    part = references.below(wanted) if wanted else references.names - lost
    if None in above or not part or not part <= references.names - lost:
        return None
    every = asked.selectors or tuple(sorted(part))
    try:
        delivery = planning.make(workspace.part(part), replace(asked, selectors=every)).delivery
    except InputError:
        return None
    return replace(delivery, notes=(*delivery.notes, _note(broken, lost - broken)))


def _broken(workspace: Workspace, error: InputError) -> frozenset[str]:
    """Returns the recipes with errors; none where an error is elsewhere too.

    Errors in files of sites stop no plan.
    """
    found = set()
    for item in error.diagnostics:
        if not isinstance(item, Diagnostic) or item.severity is not Severity.ERROR:
            continue
        if item.span.path.startswith(f"{workspace.settings.catalog}/sites/"):
            continue
        for home in workspace.homes:
            name, slash, _ = item.span.path.removeprefix(f"{home.folder}/").partition("/")
            if slash and item.span.path.startswith(f"{home.folder}/") and name not in home.reserved:
                found.add(name)
                break
        else:
            return frozenset()
    return frozenset(found)


def _note(broken: frozenset[str], above: frozenset[str]) -> str:
    have, on = ("has errors and is", "it") if len(broken) == 1 else ("have errors and are", "them")
    more = f", and {counted(len(above), 'recipe')} on {on}" if above else ""
    names = ", ".join(sorted(broken)[:5]) + (" …" if len(broken) > 5 else "")
    return f"{counted(len(broken), 'recipe')} {have} not planned{more}: {names}; ssds check"
