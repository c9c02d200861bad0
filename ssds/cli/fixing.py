"""Makes the safe changes of ``ssds check --fix`` in the workspace's files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ssds.core.diagnostics import Collector, Diagnostic, Edit, edited
from ssds.host.files import atomic_write
from ssds.recipe.yamlmarks import lies_in, read_file


def fix_files(
    root: str, checkouts: Iterable[str], diagnostics: Iterable[Diagnostic]
) -> list[Diagnostic]:
    """Makes what fits of the diagnostics' changes; returns those whose changes were all made.

    A file is replaced in one step, with its mode; what is not text, or no file of the workspace or
    of one of its ``checkouts``, stays as it is.
    """
    homes = [os.path.join(root, home) for home in (".", *checkouts)]
    mended: list[Diagnostic] = []
    by_path: dict[str, list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        if diagnostic.fix:
            by_path.setdefault(diagnostic.span.path, []).append(diagnostic)
    for path, found in by_path.items():
        made = _fix_file(root, homes, path, [edit for d in found for edit in d.fix])
        mended += [d for d in found if all(edit in made for edit in d.fix)]
    return mended


def _fix_file(root: str, homes: Sequence[str], path: str, edits: Sequence[Edit]) -> list[Edit]:
    place = os.path.join(root, path)
    if os.path.islink(place) or not any(lies_in(home, place) for home in homes):
        return []
    data = read_file(place, path, Collector())
    if data is None:
        return []
    try:
        text, made = edited(data.decode("utf-8"), edits)
    except UnicodeDecodeError:
        return []
    if made:
        mode = os.stat(place).st_mode & 0o7777
        atomic_write(place, text.encode("utf-8"), point="recipe", mode=mode)
    return made
