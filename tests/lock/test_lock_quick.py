"""The fast reader of locks: what it takes, the strict one takes too, with the same values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from makers import AMD64, ARM64, an_image_pin

from ssds.core.diagnostics import Collector
from ssds.core.pins import SharedPins
from ssds.core.records import replace
from ssds.lock.check import Checker
from ssds.lock.model import CatalogLock, Lock
from ssds.lock.parse import parse_catalog_lock, parse_lock
from ssds.lock.quick import quick_catalog_lock, quick_lock
from ssds.lock.quick_pins import Known
from ssds.lock.read import parse_bytes
from ssds.lock.write import catalog_lock_bytes
from ssds.recipe.model import Base

FOLDER = Path(__file__).resolve().parents[2] / "lockfiles"
LOCKS = sorted(FOLDER.glob("*@*.lock.json"))
TEXTS = {path.name: path.read_bytes() for path in LOCKS}
SHARED = "catalog.lock.json"
IMAGES = "images.json"


def with_images() -> bytes:
    """Returns a catalog's lock of an image on two platforms, one of them looked into."""
    name = "docker.io/library/debian:12"
    base = Base(name=name, image=name)
    pins = [an_image_pin(base, platform) for platform in (AMD64, ARM64)]
    assert pins[0].image is not None
    unread = replace(pins[0].image, read=False, system="")
    pins[0] = replace(pins[0], image=unread, packages=replace(pins[0].packages, packages=()))
    pinned = {(p.identity, str(on)): p for p, on in zip(pins, (AMD64, ARM64), strict=True)}
    shared = SharedPins(bases=pinned, current={name: pins[0].identity})
    return catalog_lock_bytes(CatalogLock(pins=shared))


ALL = {**TEXTS, SHARED: (FOLDER / SHARED).read_bytes(), IMAGES: with_images()}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.sampled_from([2**63, 2**62, 1.5, "", ".", "..", "a/../b", "/a", "a/", "a//b", "é", "\x7f"]),
    st.sampled_from(["pass", "fail", "built", "adopted", "x" * 4097, "a\n", "sha256:" + "0" * 64]),
    st.sampled_from(["0" * 64, "blake3:" + "f" * 64, "sha256:" + "A" * 64, "linux/amd64/v3"]),
    st.sampled_from(["apt", "conda", "debian-12@20260711", "https://example.org/a", "ftp://u@h/a"]),
    st.sampled_from([[], {}, [1], {"a": 1}, ["a", "b"], ["a", "/x/a"], ["/../a"], {"base": "x"}]),
)


def strict(name: str, data: bytes) -> Lock | CatalogLock | None:
    """Returns what the slow reader makes of the bytes; None where it finds any fault."""

    def parse(checker: Checker, value: object) -> Lock | CatalogLock:
        parser = parse_catalog_lock if name in (SHARED, IMAGES) else parse_lock
        return parser(checker, value)

    return parse_bytes(data, name, parse, Collector())


KNOWN = Known()
"""What the fast reader remembers of all locks of these tests, the damaged ones too."""


def fast(name: str, data: bytes) -> Lock | CatalogLock | None:
    if name in (SHARED, IMAGES):
        return quick_catalog_lock(data)
    alone = quick_lock(data)
    assert quick_lock(data, KNOWN) == alone
    return alone


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns every path in a JSON value."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [path, *(p for key, item in items for p in places(item, (*path, key)))]


def changed(data: bytes, place: tuple[Any, ...], how: str, new: Any) -> bytes:
    """Returns a lock with one place changed, taken out, doubled or renamed."""
    value = json.loads(data)
    if not place:
        return json.dumps(new).encode()
    inside: Any = value
    for part in place[:-1]:
        inside = inside[part]
    last = place[-1]
    if how == "set":
        inside[last] = new
    elif how == "remove":
        del inside[last]
    elif isinstance(inside, list):
        inside.append(inside[last])
    else:
        inside[f"{new}"] = inside.pop(last) if how == "rename" else inside[last]
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_sound_lock_is_read_fast_with_the_same_values(name: str) -> None:
    quick = fast(name, ALL[name])

    assert quick is not None
    assert quick == strict(name, ALL[name])
    assert repr(quick) == repr(strict(name, ALL[name]))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.randoms(), VALUES, st.data())
def test_what_the_fast_reader_takes_the_strict_one_takes_too(
    name: str, random: Any, new: Any, data: st.DataObject
) -> None:
    all_places = places(json.loads(ALL[name]))
    place = all_places[random.randrange(len(all_places))]
    how = data.draw(st.sampled_from(["set", "remove", "double", "rename"]))
    text = changed(ALL[name], place, how, new)

    quick = fast(name, text)

    if quick is not None:
        assert quick == strict(name, text), (place, how, new)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(ALL)),
    st.integers(0, 6000),
    st.sampled_from([b"", b'"', b"0", b",", b" ", b"\\", b"a", b"/", b"}", b'"a":1,', b"\xff"]),
    st.integers(0, 2),
)
@example(LOCKS[0].name, 3, b'"name": "other", ', 0)
def test_damaged_bytes_are_never_read_in_another_way(
    name: str, at: int, new: bytes, cut: int
) -> None:
    text = ALL[name][:at] + new + ALL[name][at + cut :]

    quick = fast(name, text)

    if quick is not None:
        assert quick == strict(name, text)


def test_a_key_that_stands_twice_is_left_to_the_strict_reader() -> None:
    text = TEXTS["seqtk@1.3.lock.json"]
    double = text.replace(b'"lock_version": 1,', b'"lock_version": 1, "lock_version": 1,', 1)

    assert quick_lock(text) is not None
    assert quick_lock(double) is None


def test_locks_that_are_read_together_share_their_package_sets() -> None:
    known = Known()
    one, two = (quick_lock(TEXTS["samtools@1.16.1.lock.json"], known) for _ in range(2))

    assert one is not None
    assert two is not None
    pins = [
        [section.pins.packages for section in lock.variants[""].platforms.values()]
        for lock in (one, two)
    ]
    assert pins[0] == pins[1]
    assert any(pins[0])
    for first, second in zip(*pins, strict=True):
        assert all(first[place] is second[place] for place in first)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"size": ', b'"size": true, "x": '),
        (b'"packages": [', b'"packages": "\\u00000", "x": ['),
        (b'"packages": [', b'"packages": "0", "x": ['),
        (b'"packages": [', b'"packages": [{"a": 1}], "x": ['),
        (b'"digest": "', b'"digest": "sha256:' + b"0" * 64),
        (b'"digest": "', b'"digest": 1, "x": "'),
    ],
)
def test_what_looks_like_something_known_is_left_to_the_strict_reader(
    old: bytes, new: bytes
) -> None:
    text = TEXTS["samtools@1.16.1.lock.json"]
    known = Known()

    assert quick_lock(text, known) is not None
    assert old in text
    assert quick_lock(text.replace(old, new, 1), known) is None
