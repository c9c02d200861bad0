"""Selectors of releases: what the command line names, or an error that offers what is near."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.errors import SsdsError, UsageError
from ssds.core.model import ReleaseName


def select(names: Mapping[ReleaseName, object], texts: tuple[str, ...]) -> set[ReleaseName]:
    """Returns the releases that selectors name (``samtools``, ``samtools@1.16.1[+variant]``).

    Raises:
        UsageError: a selector names nothing; near names are offered.
    """
    chosen: set[ReleaseName] = set()
    for text in texts:
        found = {n for n in names if text in (n.name, str(n), f"{n.name}@{n.version}")}
        if not found:
            raise _nothing(text, sorted({n.name for n in names} | {str(n) for n in names}))
        chosen |= found
    return chosen


def _nothing(text: str, known: list[str]) -> SsdsError:
    import difflib

    near = difflib.get_close_matches(text, known, 1)
    hint = f'Did you mean "{near[0]}"?' if near else "`ssds status` lists what there is."
    return UsageError(f'"{text}" names no release of this catalog', hint=hint, code="E032")
