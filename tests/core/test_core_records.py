"""The fast ``dataclass`` behaves as the standard library's does."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core import records
from ssds.core.pins import PlatformPins

MAKERS: dict[str, Any] = {"standard": dataclasses, "fast": records}


def classes(home: Any) -> tuple[Any, Any, Any]:
    """Returns a base, a class on top of it, and one whose fields are given by place."""

    maker, make_field = home.dataclass, home.field

    @maker(frozen=True, slots=True, kw_only=True)
    class Step:
        """A base."""

        address: str
        limit_s: int = 60

        @property
        def shown(self) -> str:
            return f"{self.address}!"

    @maker(frozen=True, slots=True, kw_only=True)
    class Run(Step):
        """More fields, some with makers of defaults."""

        script: str
        tools: tuple[str, ...] = ()
        values: dict[str, int] = make_field(default_factory=dict)
        secret: str = make_field(default="", repr=False, compare=False)

    @maker(frozen=True, slots=True)
    class Pair:
        """By place."""

        left: str
        right: str = ""

    return Step, Run, Pair


BOTH = {name: classes(maker) for name, maker in MAKERS.items()}
SCALARS = st.sampled_from(["", "a", "b"])
GIVEN = st.fixed_dictionaries(
    {"address": SCALARS, "script": SCALARS},
    optional={
        "limit_s": st.integers(0, 2),
        "tools": st.lists(SCALARS, max_size=2).map(tuple),
        "values": st.dictionaries(SCALARS, st.integers(0, 1), max_size=1),
        "secret": SCALARS,
    },
)


@given(GIVEN, GIVEN)
def test_records_compare_and_show_as_the_standard_ones(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    answers = []
    for _, run, _ in BOTH.values():
        one, two = run(**first), run(**second)
        text = repr(one)
        changed = dataclasses.replace(one, **second)
        answers.append(
            (one == two, one != two, one == first, text, changed == two, dataclasses.asdict(one))
        )

    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", MAKERS)
def test_a_record_cannot_be_changed_and_has_no_other_attributes(name: str) -> None:
    _, run, pair = BOTH[name]
    record = run(address="a", script="b")

    for change in (
        lambda: setattr(record, "script", "c"),
        lambda: delattr(record, "script"),
        lambda: setattr(record, "other", 1),
    ):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            change()
    assert not hasattr(record, "__dict__")
    assert record.shown == "a!"
    assert hash(pair("a")) == hash(pair("a", ""))
    assert {pair("a"), pair("a")} == {pair("a")}


@pytest.mark.parametrize("name", MAKERS)
def test_wrong_arguments_are_refused(name: str) -> None:
    _, run, pair = BOTH[name]

    for wrong in (
        lambda: run(address="a"),
        lambda: run("a", "b"),
        lambda: run(address="a", script="b", unknown=1),
        lambda: pair(),
        lambda: pair("a", "b", "c"),
    ):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("name", MAKERS)
def test_fields_places_and_copies_are_the_standard_ones(name: str) -> None:
    step, run, pair = BOTH[name]
    record = run(address="a", script="b", values={"x": 1})

    assert dataclasses.is_dataclass(run)
    assert [f.name for f in dataclasses.fields(run)] == [
        "address", "limit_s", "script", "tools", "values", "secret",
    ]  # fmt: skip
    assert [f.name for f in dataclasses.fields(step)] == ["address", "limit_s"]
    assert (pair.__match_args__, run.__match_args__) == (("left", "right"), ())
    assert copy.copy(record) == record
    assert copy.deepcopy(record) == record
    assert isinstance(record, step)
    assert step(address="a") != record
    assert inspect.getdoc(run) == "More fields, some with makers of defaults."
    match pair("x", "y"):
        case pair(left, right):
            assert (left, right) == ("x", "y")


def test_a_default_is_made_anew_for_each_record() -> None:
    _, run, _ = BOTH["fast"]

    first, second = run(address="a", script="b"), run(address="a", script="b")

    assert first.values == {}
    assert first.values is not second.values


def test_a_record_of_ours_survives_pickling() -> None:
    pins = PlatformPins(base="debian-12@20260711", epoch=1)

    assert pickle.loads(pickle.dumps(pins)) == pins


def test_what_is_no_plain_record_is_refused() -> None:
    with pytest.raises(TypeError):
        records.dataclass(frozen=False, slots=True)
    with pytest.raises(ValueError, match="default_factory"):

        @records.dataclass(frozen=True, slots=True, kw_only=True)
        class Shared:
            values: dict[str, int] = {}  # noqa: RUF012 - what is refused

    with pytest.raises(TypeError):

        @records.dataclass(frozen=True, slots=True)
        class Order:
            first: str = ""
            second: str

    with pytest.raises(TypeError):

        @records.dataclass(frozen=True, slots=True)
        class Later:
            first: str

            def __post_init__(self) -> None:
                raise AssertionError


def test_the_standard_fields_are_made_when_somebody_asks() -> None:
    _, run, _ = BOTH["fast"]
    standard = {f.name: f for f in dataclasses.fields(BOTH["standard"][1])}

    for found in dataclasses.fields(run):
        wanted = standard[found.name]
        for name in ("name", "type", "kw_only", "repr", "compare", "init", "default"):
            assert getattr(found, name) == getattr(wanted, name)
        assert found.default_factory == wanted.default_factory


@pytest.mark.parametrize("name", MAKERS)
def test_a_record_without_slots_can_hold_what_it_worked_out(name: str) -> None:
    home = MAKERS[name]

    @home.dataclass(frozen=True)
    class Folder:
        path: str
        names: dict[str, int] = home.field(default_factory=dict, repr=False, compare=False)

        @functools.cached_property
        def length(self) -> int:
            return len(self.path)

    folder = Folder("a", {"x": 1})

    assert folder.length == 1
    assert "length" in folder.__dict__
    assert "length" not in home.replace(folder, path="bc").__dict__
    assert home.replace(folder, path="bc").names == {"x": 1}
    assert (folder == Folder("a"), repr(folder).endswith("Folder(path='a')")) == (True, True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        folder.path = "b"


def test_replace_changes_records_and_standard_data_classes() -> None:
    for _, run, pair in BOTH.values():
        assert records.replace(run(address="a", script="b"), script="c").script == "c"
        assert records.replace(pair("a"), right="c") == pair("a", "c")
        with pytest.raises(TypeError):
            records.replace(pair("a"), other=1)


def test_a_field_of_the_standard_library_or_a_standard_base_is_refused() -> None:
    with pytest.raises(TypeError, match=r"ssds\.core\.records"):

        @records.dataclass(frozen=True, slots=True)
        class Foreign:
            values: dict[str, int] = dataclasses.field(default_factory=dict)

    @dataclasses.dataclass(frozen=True)
    class Standard:
        name: str

    with pytest.raises(TypeError, match="no record"):

        @records.dataclass(frozen=True, slots=True)
        class Above(Standard):
            more: str
