"""Reads the file that ``suite`` of a recipe names: functional tests as NeuroDesk writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.diagnostics import Collector
from ssds.recipe.formats.scope import Report, Trees
from ssds.recipe.local import LocalProblem

if TYPE_CHECKING:
    from ssds.recipe.formats.neurocontainers.fulltest import FullTest

Texts = Callable[[str, Collector], bytes | None]
"""(path relative to the workspace, what takes problems) → the bytes of a small file."""


def read_suite(
    recipe: Mapping[str, Any], report: Report, folder: str, trees: Trees, texts: Texts
) -> FullTest | None:
    """Returns the suite that a recipe names; None after a problem, of the name or of the file."""
    from ssds.recipe.formats.neurocontainers.fulltest import read_fulltest

    try:
        tree = trees(folder, recipe["suite"])
    except LocalProblem as problem:
        report(problem.code, ("suite",), ("reason", problem.reason))
        return None
    if len(tree.entries) != 1 or tree.entries[0].digest is None:
        report("R028", ("suite",), ("reason", f"{recipe['suite']} is not one file"))
        return None
    data = texts(tree.path, report.collector)
    if data is None:
        return None
    return read_fulltest(data, tree.path, report.collector, name=recipe["name"])
