"""The table of kinds: name → runner, imported only when it runs. A new kind is one line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from ssds.core.errors import UsageError
from ssds.core.model import KINDS
from ssds.kinds.api import Bench, Outcome

Runner = Callable[[Bench], Outcome]


def runner(kind: str) -> Runner:
    """Returns the ``run`` function of a kind."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}", hint=f"Kinds: {', '.join(KINDS)}.")
    module = importlib.import_module(f"ssds.kinds.{kind}.run")
    found: Runner = module.run
    return found
