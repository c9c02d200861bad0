"""``ssds plan SELECTOR`` with the index: what it reads less, it says all the same."""

from __future__ import annotations

import pytest
from index_bench import Bench, expect
from index_edits import EDITS

SELECTED = (["ants"], ["bwa@1.0"], ["cat12:gate"], ["dcm", "--full"], ["cat12", "bwa:test"])
ASKED_OF_ALL = ([":publish"], ["nothing"], ["ants@9"], ["ants:nonsense"], ["ants", "--fetch"])


def check(bench: Bench, *arguments: str) -> None:
    found = bench.plan(*arguments)
    expect(found.without_warnings, bench.whole(*arguments).without_warnings, str(arguments))


@pytest.mark.parametrize("arguments", [*SELECTED, *ASKED_OF_ALL], ids=" ".join)
def test_a_selection_is_planned_as_without_the_index(bench: Bench, arguments: list[str]) -> None:
    check(bench, *arguments)
    assert bench.is_hot()


@pytest.mark.parametrize("name", sorted(EDITS)[::5])
def test_after_an_edit_too(bench: Bench, name: str) -> None:
    EDITS[name](bench)
    for arguments in SELECTED[:3]:
        check(bench, *arguments)
    bench.check()


def test_a_selection_reads_no_other_recipe(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssds.recipe.catalog as catalog

    read: list[str] = []
    reader = catalog.RecipeReader.read

    def noted(self: catalog.RecipeReader, folder: str, name: str) -> object:
        read.append(name)
        return reader(self, folder, name)

    monkeypatch.setattr(catalog.RecipeReader, "read", noted)
    assert bench.plan("dcm").code == 0
    assert sorted(read) == ["cat12", "dcm"]
