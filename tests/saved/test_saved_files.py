"""The file of a saved plan: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import a_catalog, a_release
from saved_makers import World, plan_of, saved_of, two_recipes

from ssds.core.canonical import canonical_bytes
from ssds.core.errors import SsdsError
from ssds.saved.form import from_dict, id_of, to_dict
from ssds.saved.model import SavedPlan
from ssds.saved.read import encoded, names_plan, parse_saved, read_saved, write_saved

ROOT = Path(__file__).resolve().parents[2]


def a_saved_plan(**fields: Any) -> SavedPlan:
    catalog = two_recipes()
    return saved_of(plan_of(catalog, World()), catalog, **fields)


def document(plan: SavedPlan | None = None) -> dict[str, Any]:
    found = to_dict(plan or a_saved_plan())
    return {**found, "plan_id": str(id_of(found))}


def sealed(value: Any) -> bytes:
    """Returns a document with an id that fits: what somebody would write who means harm."""
    if isinstance(value, dict):
        value = {**value, "plan_id": str(id_of(value))}
    return canonical_bytes(value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    plan = a_saved_plan()
    path = str(tmp_path / "x.plan.json")
    plan_id, data = encoded(plan)
    write_saved(path, data)
    assert read_saved(path) == (plan, plan_id)
    assert from_dict(to_dict(plan)) == plan


def test_the_same_plan_has_the_same_bytes_and_id(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_saved(str(tmp_path / name), encoded(a_saved_plan())[1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_written_plan_obeys_the_schema() -> None:
    schema = json.loads((ROOT / "schemas/saved-plan.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document())
    jsonschema.Draft202012Validator(schema).validate(document(a_saved_plan(full=True)))


def test_reused_nodes_are_a_count_and_one_digest() -> None:
    catalog = a_catalog(*(a_release(f"tool{n}") for n in range(40)))
    world = World()
    world.run(plan_of(catalog, world))
    plan = saved_of(plan_of(catalog, world), catalog)
    assert (len(plan.steps), plan.reused.count) == (0, 40 * 9 + 1)
    assert len(sealed(to_dict(plan))) < 2_000
    full = saved_of(plan_of(catalog, world), catalog, full=True)
    assert len(full.reused.nodes) == plan.reused.count
    assert full.reused.root == plan.reused.root


def test_another_result_of_a_reused_node_is_another_root() -> None:
    catalog = two_recipes()
    roots = set()
    for content in ("one", "two"):
        world = World(content={"alpha@1.16.1:index": content})
        world.run(plan_of(catalog, world))
        roots.add(saved_of(plan_of(catalog, world), catalog).reused.root)
    assert len(roots) == 2


def test_white_space_is_no_change() -> None:
    text = json.dumps(document(), indent=4)
    assert parse_saved(text.encode())[0] == a_saved_plan()


def test_no_recipe_text_is_in_a_plan() -> None:
    secret = "correct horse battery staple"
    catalog = a_catalog(a_release(metadata={"summary": secret}))
    assert secret.encode() not in sealed(to_dict(saved_of(plan_of(catalog, World()), catalog)))


def change(**fields: Any) -> Callable[[dict[str, Any]], None]:
    def edit(value: dict[str, Any]) -> None:
        value.update(fields)

    return edit


def at(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(value: dict[str, Any]) -> None:
        inner: Any = value
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to

    return edit


WRONG = {
    "another format": (change(format="a plan of others"), "E121"),
    "a newer minor": (change(format_version="1.1"), "E122"),
    "a newer major": (change(format_version="2.0"), "E122"),
    "an older one": (change(format_version="0.9"), "E122"),
    "a version that is none": (change(format_version="one"), "E121"),
    "a version of another type": (change(format_version=1), "E121"),
    "a key that nobody knows": (change(unless="it rains"), "E121"),
    "no steps": (lambda value: value.pop("steps"), "E121"),
    "steps of another type": (change(steps={}), "E121"),
    "a step of nothing": (change(steps=[{}]), "E121"),
    "a step's unknown key": (at("steps", 0, "when", to="always"), "E121"),
    "an unknown kind": (at("steps", 0, "kind", to="shell"), "E121"),
    "an unknown verb": (at("steps", 0, "verb", to="delete"), "E121"),
    "a reused step": (at("steps", 0, "verb", to="reuse"), "E121"),
    "an unknown mark": (at("steps", 0, "marks", to=["safe"]), "E121"),
    "a key that is no digest": (at("steps", 0, "key", to="blake3:zz"), "E121"),
    "a slice that is no digest": (at("steps", 0, "definition", "slice", to="x"), "E121"),
    "a platform of others": (at("steps", 0, "platform", to="windows/amd64"), "E121"),
    "a path as platform": (at("steps", 0, "platform", to="../../etc"), "E121"),
    "a huge count": (at("reused", "count", to=10**17), "E121"),
    "a negative count": (at("reused", "count", to=-1), "E121"),
    "a boolean count": (at("reused", "count", to=True), "E121"),
    "a date that is none": (change(as_of="tomorrow"), "E121"),
    "a time out of range": (at("made", "at", to=10**15), "E121"),
    "a commit that is none": (at("made", "commit", to="HEAD; rm"), "E121"),
    "a long word": (at("made", "workspace", to="x" * 1000), "E121"),
    "a long reason": (at("steps", 0, "reason", to="x" * 5000), "E121"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_with_a_fitting_id_is_refused(name: str) -> None:
    edit, code = WRONG[name]
    value = copy.deepcopy(document())
    edit(value)
    with pytest.raises(SsdsError) as caught:
        parse_saved(sealed(value), "x.plan.json")
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    assert "x.plan.json" in caught.value.message


FOREIGN = {
    "nothing": b"",
    "a blank": b" \n",
    "no text": b"\xff\xfe\x00",
    "a program": b"\x7fELF\x02",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "an empty object": b"{}",
    "a plan of plan --json": b'{"format_version":"1.0","steps":[],"summary":{},"notes":[]}',
    "a float": b'{"format":"ssds saved plan","format_version":"1.0","x":1.5}',
    "NaN": b'{"format":"ssds saved plan","format_version":"1.0","x":NaN}',
    "a huge number": b'{"format":"ssds saved plan","x":' + b"9" * 5000 + b"}",
    "a key twice": b'{"format":"ssds saved plan","format":"ssds saved plan"}',
    "deep lists": b'{"format":"ssds saved plan","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "escaped quotes without end": b'{"' + b'\\"' * 200_000,
    "a null inside": b'{"format":"ssds saved plan","format_version":"1.0","x":null}',
    "a lone surrogate": b'{"format":"ssds saved plan","format_version":"1.0","x":"\\ud800"}',
    "a yaml recipe": b"name: samtools\nversion: '1'\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_refused(name: str) -> None:
    with pytest.raises(SsdsError) as caught:
        parse_saved(FOREIGN[name])
    assert caught.value.code in ("E121", "E123")
    assert caught.value.hint


def test_an_edited_plan_is_refused() -> None:
    text = canonical_bytes(document()).decode()
    for old, new in (
        ("alpha@1.16.1", "gamma@1.16.1"),
        ('"verb":"waiting"', '"verb":"run"'),
        ('"retry":false', '"retry":true'),
        ("2026-01-01", "2020-01-01"),
    ):
        if old in text:
            with pytest.raises(SsdsError) as caught:
                parse_saved(text.replace(old, new).encode())
            assert caught.value.code == "E123"


def test_a_plan_that_is_cut_off_anywhere_is_refused() -> None:
    data = canonical_bytes(document()) + b"\n"
    for length in [*range(0, len(data) - 2, 97), len(data) - 2]:
        with pytest.raises(SsdsError) as caught:
            parse_saved(data[:length])
        assert caught.value.code in ("E121", "E123")
    assert parse_saved(data[:-1])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_changes_of_bytes_never_give_another_plan(data: st.DataObject) -> None:
    good = canonical_bytes(document())
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(["set", "drop", "double"])):
            case "set":
                changed[place] = data.draw(st.integers(0, 255))
            case "drop":
                del changed[place : place + data.draw(st.integers(1, 50))]
            case _:
                changed[place:place] = changed[place : place + 40]
    plan = read_or_refused(bytes(changed))
    assert plan in (None, a_saved_plan())


_JSON = st.recursive(
    st.booleans() | st.integers(-5, 10**20) | st.text(max_size=8) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_values_at_random_places_give_a_plan_or_an_error(data: st.DataObject) -> None:
    value = copy.deepcopy(document())
    inner: Any = value
    while True:
        keys = sorted(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        child = inner[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.booleans()):
            break
        inner = child
    inner[key] = data.draw(_JSON)
    plan = read_or_refused(sealed_or_not(value))
    if plan is not None:
        assert parse_saved(sealed(to_dict(plan)))[0] == plan


def read_or_refused(data: bytes) -> SavedPlan | None:
    """Returns the plan, or None where it was refused with an error that says what to do."""
    with contextlib.suppress(SsdsError):
        return parse_saved(data)[0]
    with pytest.raises(SsdsError) as caught:
        parse_saved(data)
    assert caught.value.hint
    return None


def sealed_or_not(value: Any) -> bytes:
    try:
        return sealed(value)
    except SsdsError:
        return json.dumps(value).encode("utf-8", "replace")


def test_a_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.plan.json")
    (tmp_path / "folder.plan.json").mkdir()
    for name in ("pipe.plan.json", "folder.plan.json", "none.plan.json", "a\0b.plan.json"):
        with pytest.raises(SsdsError) as caught:
            read_saved(str(tmp_path / name))
        assert caught.value.code == "E120"
    with pytest.raises(SsdsError):
        write_saved(str(tmp_path / "folder.plan.json"), encoded(a_saved_plan())[1])


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.plan.json"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SsdsError) as caught:
        read_saved(str(path))
    assert caught.value.code == "E121"
    assert "MiB" in caught.value.message


def test_a_word_means_a_plan_by_its_suffix_or_by_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samtools").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "mine").write_bytes(b'{"x":1}')
    (tmp_path / "fsl").mkdir()
    assert names_plan("gone.plan.json")
    assert names_plan("mine")
    assert names_plan(str(tmp_path / "mine"))
    for word in ("samtools", "fsl", "gone", "samtools@1:build", "", "a\0b"):
        assert not names_plan(word)
