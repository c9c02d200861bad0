"""What the index notices: after every kind of change the plan is what it is without the index."""

from __future__ import annotations

import index_edits_copied  # noqa: F401
import index_edits_shared  # noqa: F401
import pytest
from index_bench import Bench
from index_edits import EDITS, SAME, change


@pytest.mark.parametrize("name", EDITS)
def test_after_an_edit_the_plan_is_what_it_is_without_the_index(name: str, bench: Bench) -> None:
    before = bench.plan()
    EDITS[name](bench)
    after = bench.check_calm()
    assert (before.plan == after.plan and before.code == after.code) == (name in SAME)


@pytest.mark.parametrize("name", sorted(set(EDITS) - SAME))
def test_after_an_edit_beside_unsettled_recipes_too(name: str, bench: Bench) -> None:
    change(bench.path("catalog/ants/recipe.yaml"), "summary: words", "summary: unsettled")
    bench.warm()
    EDITS[name](bench)
    bench.check_calm()
