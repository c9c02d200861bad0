"""Whatever stands in the place of the index: one line of warning at most, and the right plan."""

from __future__ import annotations

import mmap
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import index_bench
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_bench import Bench, Said, assert_no_traceback
from thorough import cases, some

from ssds.graph.index import layout
from ssds.graph.index.layout import MAGIC, SLOT_BYTES, BadIndex, IndexFile, open_index, pack
from ssds.workspace import Workspace


@pytest.fixture(scope="module")
def shared(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """One bench for tests that only replace its index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "builder", lambda *_: "")
        return index_bench.copy(released, tmp_path_factory.mktemp("damage") / "bench").warm()


@pytest.fixture(scope="module")
def wanted(shared: Bench) -> Said:
    return shared.whole()


@pytest.fixture(scope="module")
def good(shared: Bench, wanted: Said) -> bytes:
    """The bytes of a sound index."""
    assert shared.is_hot(), index_bench.untrue_rows(shared)
    return shared.index.read_bytes()


def put(bench: Bench, data: bytes) -> None:
    remove(bench.index)
    bench.index.write_bytes(data)
    bench.index.chmod(0o600)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def survives(bench: Bench, wanted: Said, *, warns: bool | None = None) -> None:
    """The right plan, at most one warning (``warns``: exactly one), and none the next time."""
    found = bench.plan()
    assert_no_traceback(found)
    assert found.without_warnings == wanted
    assert len(found.warnings) <= 1, found.err
    if warns is not None:
        assert bool(found.warnings) == warns, found.err
    again = bench.plan()
    assert again == wanted, again.err


def borders(data: bytes) -> list[int]:
    """Returns where slots, sections and the table begin and end."""
    file = IndexFile(memoryview(data))
    found = {0, 1, 16, SLOT_BYTES - 1, SLOT_BYTES, 2 * SLOT_BYTES, len(data) - 1}
    for _, offset, length, _ in file.entries:
        found |= {offset, offset + length}
    return sorted(at for at in found if at < len(data))


def test_truncated_at_every_border_and_at_random_places_it_is_a_miss(
    shared: Bench, wanted: Said, good: bytes
) -> None:
    places = some(borders(good), 24) + random.Random(1).sample(range(len(good)), cases(12, 50))
    for place in places:
        put(shared, good[:place])
        survives(shared, wanted, warns=True)


def test_truncated_inside_of_what_was_added_it_is_what_it_was_before(
    shared: Bench, wanted: Said, good: bytes
) -> None:
    put(shared, good)
    path = shared.path("catalog/bwa/recipe.yaml")
    path.write_bytes(path.read_bytes() + b"# grown\n")
    shared.plan()
    grown = shared.index.read_bytes()
    assert grown[SLOT_BYTES:][: len(MAGIC)] == MAGIC, "it was not grown but replaced"
    for place in random.Random(2).sample(range(len(good), len(grown)), cases(10, 30)):
        put(shared, grown[:place])
        survives(shared, wanted)


@settings(
    max_examples=cases(40, 150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_flipped_bits_are_noticed(
    shared: Bench, wanted: Said, good: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(good)
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    put(shared, bytes(damaged))
    survives(shared, wanted)


def test_zeros_over_every_section_are_noticed(shared: Bench, wanted: Said, good: bytes) -> None:
    for _, offset, length, _ in IndexFile(memoryview(good)).entries:
        put(shared, good[:offset] + bytes(length) + good[offset + length :])
        survives(shared, wanted)  # the shortest way does not look at all of them


# What has right checksums and wrong contents: no corruption makes that, but a stranger might.


def sections_of(data: bytes) -> dict[str, bytes]:
    file = IndexFile(memoryview(data))
    return {name: bytes(data[at : at + size]) for name, at, size, _ in file.entries}


def forged(good: bytes, **changed: bytes | None) -> bytes:
    """Returns the index with some sections replaced or left out, and right checksums."""
    file = IndexFile(memoryview(good))
    parts = {**sections_of(good), **changed}
    pieces, slot = pack([(n, d) for n, d in parts.items() if d is not None], file.head)
    return slot + bytes(SLOT_BYTES) + b"".join(pieces)


NAMES = [
    *("printed", "groups", "paths", "rows", "names", "releases", "channel_names"),
    *("shared_names", "flags", "until", "own", "edges_at", "edges", "shared_at", "shared"),
    *("keys_at", "facts", "owners", "channels", "prints", "keys", "shared_keys", "digests"),
    *("recipe_digests", "recipes_at", "recipes"),
]


def test_the_names_are_those_of_all_sections(good: bytes) -> None:
    assert set(sections_of(good)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_section_that_is_missing_or_empty_gives_no_traceback(
    name: str, shared: Bench, wanted: Said, good: bytes
) -> None:
    for value in (None, b""):
        put(shared, forged(good, **{name: value}))
        found = shared.plan()
        assert_no_traceback(found)
        assert found.without_warnings == wanted or not sections_of(good)[name]


@settings(
    max_examples=cases(50, 250),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_forged_sections_never_give_a_traceback(
    shared: Bench, good: bytes, data: st.DataObject
) -> None:
    sections = sections_of(good)
    name = data.draw(st.sampled_from(NAMES))
    value = bytearray(sections[name])
    kind = data.draw(st.sampled_from(["flip", "cut", "double", "nul", "text", "numbers"]))
    if kind == "flip" and value:
        for _ in range(data.draw(st.integers(1, 3))):
            value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del value[data.draw(st.integers(0, len(value))) :]
    elif kind == "double":
        value = value * 2
    elif kind == "nul":
        value = bytearray(value.replace(b"\0", b"", 1) + b"\0" * data.draw(st.integers(0, 3)))
    elif kind == "text":
        value = bytearray(data.draw(st.binary(max_size=64)) + value)
    elif len(value) >= 4:
        at = data.draw(st.integers(0, len(value) // 4 - 1)) * 4
        number = data.draw(st.sampled_from([-1, -6, -7, 1 << 30, -(1 << 31), 5]))
        value[at : at + 4] = struct.pack("<i", number)
    put(shared, forged(good, **{name: bytes(value)}))
    path = shared.path("catalog/ants/recipe.yaml")
    os.utime(path)
    for found in (shared.plan(), shared.plan()):
        assert_no_traceback(found)
        assert found.code in (0, 2, 3)


HEADS = [
    (2**31 - 1, 2**31 - 1, 2**62, 0xFFFFFFFF),
    (-(2**31), -(2**31), -(2**62), 0),
    (-(2**31), 2**31 - 1, 2**62, 1),
]


@pytest.mark.parametrize("head", HEADS)
def test_days_beyond_all_sense_give_the_right_plan(
    head: layout.Head, shared: Bench, wanted: Said, good: bytes
) -> None:
    pieces, slot = pack(list(sections_of(good).items()), head)
    put(shared, slot + bytes(SLOT_BYTES) + b"".join(pieces))
    survives(shared, wanted)


def slot_with(good: bytes, **fields: int) -> bytes:
    """Returns the index with fields of its slot replaced, and the slot's checksum right."""
    import zlib

    names = ("magic", "form", "flags", "turn", "table", "sections", "crc", "end", "zero", "own")
    values = dict(zip(names, struct.unpack("<16sIIQQIIQII", good[:SLOT_BYTES]), strict=True))
    values.update(fields)
    slot = struct.pack("<16sIIQQIIQII", *values.values())[:-4]
    return slot + struct.pack("<I", zlib.crc32(slot)) + good[SLOT_BYTES:]


SLOTS: list[dict[str, int]] = [
    {"form": 0},
    {"form": layout.FORM + 1},
    {"form": 2**32 - 1},
    {"sections": 2**32 - 1},
    {"sections": 0},
    {"table": 2**64 - 1},
    {"table": 0},
    {"table": 2**63},
    {"end": 2**64 - 1},
    {"end": 0},
    {"crc": 0},
]


@pytest.mark.parametrize("fields", SLOTS, ids=str)
def test_a_header_of_another_form_or_with_huge_sizes_is_a_miss(
    fields: dict[str, int], shared: Bench, wanted: Said, good: bytes
) -> None:
    put(shared, slot_with(good, **fields))
    survives(shared, wanted, warns=True)


def test_sections_that_lie_outside_are_refused(good: bytes) -> None:
    file = IndexFile(memoryview(good))
    for offset, length in ((2**63, 2**63), (0, 1 << 40), (1 << 40, 0), (2**64 - 1, 2**64 - 1)):
        pieces, slot = pack([], file.head, start=len(good), kept=[("rows", offset, length, 0)])
        with pytest.raises(BadIndex, match="outside"):
            IndexFile(memoryview(slot + good[SLOT_BYTES:] + b"".join(pieces)))


# What is no index at all.


def a_link(path: Path, good: bytes) -> None:
    path.with_name("real.index").write_bytes(good)
    path.symlink_to("real.index")


def a_dangling_link(path: Path, good: bytes) -> None:
    path.symlink_to("nowhere")


def a_pipe(path: Path, good: bytes) -> None:
    os.mkfifo(path)


def a_folder(path: Path, good: bytes) -> None:
    path.mkdir()


def a_full_folder(path: Path, good: bytes) -> None:
    path.mkdir()
    (path / "file").write_text("x")


def an_empty_file(path: Path, good: bytes) -> None:
    path.write_bytes(b"")


def a_text(path: Path, good: bytes) -> None:
    path.write_text("hello\n" * 1000)


def a_database(path: Path, good: bytes) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(8000))


def writable_by_others(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    path.chmod(0o666)


def writable_by_a_group(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    path.chmod(0o660)


def a_huge_hole(path: Path, good: bytes) -> None:
    with open(path, "wb") as file:
        file.truncate(layout.MAX_BYTES + 1)


def a_large_hole_behind_a_good_one(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.truncate(1 << 30)


STRANGERS = [
    (a_link, True),
    (a_dangling_link, True),
    (a_pipe, True),
    (a_folder, True),
    (a_full_folder, True),
    (an_empty_file, True),
    (a_text, True),
    (a_database, True),
    (writable_by_others, True),
    (writable_by_a_group, True),
    (a_huge_hole, True),
    (a_large_hole_behind_a_good_one, False),
]


@pytest.mark.parametrize(("make", "warns"), STRANGERS)
def test_what_is_no_index_of_ours_is_a_miss(
    make: Callable[[Path, bytes], None], warns: bool, shared: Bench, wanted: Said, good: bytes
) -> None:
    remove(shared.index)
    make(shared.index, good)
    found = shared.plan()
    assert_no_traceback(found)
    assert found.without_warnings == wanted
    assert len(found.warnings) == warns, found.err
    again = shared.plan()
    assert again.without_warnings == wanted
    stays = make in (a_folder, a_full_folder)
    assert len(again.warnings) == stays, "a file is replaced, a folder is left alone"
    remove(shared.index)


@pytest.mark.component("root")
def test_an_index_of_another_user_is_a_miss(shared: Bench, wanted: Said, good: bytes) -> None:
    put(shared, good)
    os.chown(shared.index, 65534, 65534)
    survives(shared, wanted, warns=True)
    assert shared.index.stat().st_uid == os.geteuid()


def test_without_mmap_it_is_read(
    shared: Bench, wanted: Said, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError(19, "No such device")

    shared.warm()
    monkeypatch.setattr(mmap, "mmap", refuse)
    assert shared.is_hot()
    survives(shared, wanted, warns=False)
    for place in (100, len(good) // 2):
        put(shared, good[:place])
        survives(shared, wanted, warns=True)


def test_a_good_index_is_mapped_and_not_read(shared: Bench) -> None:
    shared.warm()
    file = open_index(str(shared.index))
    assert file is not None
    assert isinstance(file._data.obj, mmap.mmap)
