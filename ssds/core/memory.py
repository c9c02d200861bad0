"""The collector of cycles, held still while many values are made that all stay."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Holds the collector for the block (or the decorated function), if it was at work.

    A plan of a large catalog makes millions of values without cycles and drops none before its
    end; looking through them again and again costs a third of its time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
