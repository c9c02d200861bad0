"""Keys: what is joined from texts is the key of the pre-image that is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ssds.core.canonical import Texts, action_key, canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.model import KINDS, Later, Node, NodeId

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
DIGESTS = st.integers(0, 9).map(lambda number: sha256_of(bytes([number])))
LEAVES = TEXTS | st.integers() | st.booleans()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NODES = st.builds(
    Node,
    id=st.builds(NodeId, TEXTS, st.sampled_from(KINDS), TEXTS),
    kind_version=st.integers(1, 9),
    slice=st.dictionaries(TEXTS, VALUES, max_size=3),
    epoch=st.none() | st.integers(),
)


@given(NODES, st.dictionaries(TEXTS, DIGESTS, max_size=3), TEXTS)
def test_a_key_is_that_of_the_preimage_however_it_was_made(
    node: Node, inputs: dict[str, Digest], salt: str
) -> None:
    texts = Texts()

    actions = [node.resolve(inputs, salt), *(node.resolve(inputs, salt, texts) for _ in range(2))]

    expected = action_key(actions[0].preimage)
    assert [action.key for action in actions] == [expected] * 3
    assert actions[0].preimage_bytes == canonical_bytes(actions[0].preimage)


@given(st.lists(VALUES, max_size=9), st.integers(1, 4))
def test_texts_that_are_remembered_are_those_of_their_values(values: list[Any], most: int) -> None:
    texts = Texts(most)

    for value in values * 2:
        assert texts.of(value).encode() == canonical_bytes(value)


def test_a_map_that_is_made_later_is_the_map() -> None:
    later = Later(lambda: {"a": 1, "b": 2})

    assert later == {"a": 1, "b": 2} == dict(later)
    assert (later["a"], len(later), list(later), repr(later)) == (
        1,
        2,
        ["a", "b"],
        "{'a': 1, 'b': 2}",
    )
