"""The collector is held during a block and is as before after it."""

from __future__ import annotations

import gc

import pytest

from ssds.core.memory import uncollected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_before_after_the_block_even_after_an_error(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(KeyError), uncollected(), uncollected():
            raise KeyError(gc.isenabled())
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_decorated_function_runs_without_it_each_time() -> None:
    @uncollected()
    def work() -> bool:
        return gc.isenabled()

    assert (work(), work()) == (False, False)
