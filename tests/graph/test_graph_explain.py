"""Differences between pre-images, and which remembered key is nearest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.digest import ActionKey
from ssds.core.model import Action, Node, NodeId
from ssds.graph.explain import Remembered, differences, distance, nearest, own_address

JSON = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(-3, 3), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "version", "x", "y.z"]), inner, max_size=3),
    ),
    max_leaves=12,
)
PREIMAGE = st.dictionaries(st.sampled_from(["slice", "inputs", "kind"]), JSON, max_size=3)
A_NODE = Node(id=NodeId("x@1", "build", "linux/amd64"), kind_version=1, slice={})


def normal(value: Any) -> Any:
    """Returns a value in which equal means equal in JSON, and packages have no order."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        named = all(isinstance(i, dict) and "name" in i and "version" in i for i in value)
        texts = [str(i.get("name")) for i in value] if named else []
        items = [normal(item) for item in value]
        return sorted(items, key=str) if named and len({*texts}) == len(texts) else items
    return (type(value).__name__, value)


@given(a=PREIMAGE, b=PREIMAGE)
def test_there_is_a_difference_exactly_where_two_preimages_differ(a: Any, b: Any) -> None:
    assert len(differences(a, b, A_NODE)) == distance(a, b)
    assert (distance(a, b) == 0) == (normal(a) == normal(b))


@given(a=PREIMAGE)
def test_a_preimage_does_not_differ_from_itself(a: Any) -> None:
    assert distance(a, a) == 0


def package(name: str, version: str = "1", **more: str) -> dict[str, str]:
    return {"name": name, "version": version, **more}


def paths(a: Any, b: Any) -> list[str]:
    return [d.path for d in differences({"p": a}, {"p": b}, A_NODE)]


def test_one_package_more_is_one_difference() -> None:
    before = [package("a"), package("c")]
    assert paths(before, [package("a"), package("b"), package("c")]) == ["p.b"]
    assert paths(before, [package("a"), package("c", "2")]) == ["p.c"]


def test_a_step_more_or_less_is_one_difference() -> None:
    steps = [{"run": "a"}, {"run": "b"}, {"run": "c"}]
    assert paths(steps, [steps[0], {"env": "x"}, *steps[1:]]) == ["p[1]"]
    assert paths(steps, steps[1:]) == ["p[0]"]
    assert paths(steps, [steps[0], {"run": "B"}, steps[2]]) == ["p[1].run"]
    assert paths([1] * 999, [1] * 1000) == ["p[999]"]


def test_two_packages_of_one_name_are_both_looked_at() -> None:
    before = [package("a", architecture="amd64"), package("a", architecture="arm64")]
    after = [package("a", "2", architecture="amd64"), package("a", architecture="arm64")]
    assert paths(before, after) == ["p[0].version"]


def an_action(**slice_: Any) -> Action:
    node = Node(id=NodeId("x@1", "build", "linux/amd64"), kind_version=1, slice=slice_)
    return node.resolve({})


def remembered(action: Action, node: str = "x@1:build", **changed: Any) -> Remembered:
    key = "blake3:" + "ab" * 32 if changed else str(action.key)
    return Remembered(key=ActionKey(key), node=node, preimage={**action.preimage, **changed})


def test_the_nearest_key_has_the_fewest_differences() -> None:
    action = an_action(a=1, b=2)
    far = remembered(action, slice={"a": 2, "b": 3})
    near = remembered(action, slice={"a": 1, "b": 3})
    found = nearest([far, near], action)
    assert found is not None
    assert [d.path for d in found.differences] == ["slice.b"]
    assert found.of_another(action.node) == ""


def test_a_key_is_no_neighbour_of_itself() -> None:
    action = an_action(a=1)
    assert nearest([remembered(action)], action) is None
    assert nearest([], action) is None


@pytest.mark.parametrize(
    ("node", "platform", "told"),
    [
        ("x@1:build", "linux/amd64", ""),
        ("x@0:build", "linux/amd64", "x@0:build [linux/amd64]"),
        ("x@1:build", "linux/arm64", "x@1:build [linux/arm64]"),
        ("", "linux/amd64", ""),
    ],
)
def test_a_neighbours_key_says_whose_it_is(node: str, platform: str, told: str) -> None:
    action = an_action(a=1)
    found = nearest([remembered(action, node, platform=platform, kind_version=7)], action)
    assert found is not None
    assert found.of_another(action.node) == told


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("inputs.base", "its input base"),
        ("source_date_epoch", "the date of the inputs"),
        ("kind_version", "ssds itself"),
        ("salt", "the catalog's salt"),
        ("slice.matcher.version", "matcher.version"),
    ],
)
def test_what_is_in_no_recipe_has_plain_words(path: str, words: str) -> None:
    (found,) = differences(_at(path, "a"), _at(path, "b"), A_NODE)
    assert own_address(A_NODE, found) == words


def _at(path: str, value: str) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: _at(rest, value) if rest else value}
