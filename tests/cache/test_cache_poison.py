"""What is wrong in a cache is a miss and one warning, never an error."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cache_places import (
    Where,
    add_claim,
    blob_file,
    cache_at,
    key_of,
    pairs,
    preimage_of,
    web_server,
)

from ssds.cache.caches import Caches
from ssds.cache.push import push
from ssds.cache.segment import SEGMENT_LIMIT_BYTES, SegmentName
from ssds.cache.verify import verify
from ssds.core.canonical import canonical_bytes
from ssds.core.model import Claim
from ssds.core.records import replace
from ssds.store.store import Store


def pushed(where: Where, store: Store, text: str = "one", **more: object) -> Claim:
    claim = add_claim(store, text, **more)
    push(where.writer(Path(store.path).parent / "pusher"), pairs(claim), store)
    return claim


def segment_file(where: Where) -> Path:
    assert where.folder is not None
    (path,) = (where.folder / "claims").iterdir()
    return path


def replaced(where: Where, data: bytes) -> None:
    """Puts other bytes in the place of the only segment, under their own name."""
    path = segment_file(where)
    path.unlink()
    path.with_name(f"{SegmentName.of(data)}.gz").write_bytes(data)


def edited(where: Where, edit: Callable[[dict], object]) -> None:
    """Changes the only claim of the only segment."""
    head, line, _ = gzip.decompress(segment_file(where).read_bytes()).split(b"\n")
    key, _, text = line.partition(b" ")
    entry = json.loads(text)
    edit(entry)
    replaced(where, gzip.compress(b"\n".join([head, key + b" " + json.dumps(entry).encode(), b""])))


BAD_CLAIMS: dict[str, Callable[[dict], object]] = {
    "of another key": lambda e: e.update(preimage=canonical_bytes(preimage_of("other")).decode()),
    "of another kind": lambda e: e.update(kind="gate"),
    "of no kind": lambda e: e.update(kind="step"),
    "without outputs": lambda e: e.update(outputs={}),
    "without the output that others take": lambda e: e.update(
        outputs={"other": e["outputs"]["metadata"]}
    ),
    "with a digest that is none": lambda e: e.update(outputs={"metadata": "sha256:12"}),
    "with a digest of no blob": lambda e: e.update(outputs={"metadata": "blake3:" + "0" * 64}),
    "without sizes": lambda e: e.update(sizes={}),
    "with a size of petabytes": lambda e: e.update(sizes=dict.fromkeys(e["sizes"], 1 << 50)),
    "with another verdict": lambda e: e.update(verdict="maybe"),
    "with a number for a text": lambda e: e.update(builder=5),
    "with a text for a flag": lambda e: e.update(impure="yes"),
    "nested deeply": lambda e: e.update(more=json.loads("[" * 90 + "]" * 90)),
    "with a pre-image that is no map": lambda e: e.update(preimage="[]"),
}


@pytest.mark.parametrize("fault", sorted(BAD_CLAIMS))
def test_a_bad_claim_is_a_miss_with_one_warning(
    where: Where, store: Store, tmp_path: Path, fault: str
) -> None:
    claim = pushed(where, store)
    edited(where, BAD_CLAIMS[fault])

    caches = Caches([where.reader(tmp_path / "reader")])

    assert caches.find(claim.key) == ()
    assert caches.find(claim.key) == ()
    (warning,) = caches.new_warnings()
    assert "it is passed over" in warning
    assert caches.notes() == (f"{warning}",)


SEGMENTS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-20],
    "not packed": lambda _: b"hello",
    "empty": lambda _: gzip.compress(b""),
    "of a newer form": lambda _: gzip.compress(b'{"cache_version":99}\n'),
    "with a line without a key": lambda data: gzip.compress(gzip.decompress(data) + b"x {}\n"),
    "a bomb": lambda _: gzip.compress(b"\0" * (20 << 20)),
}


@pytest.mark.parametrize("fault", sorted(SEGMENTS))
def test_a_bad_segment_is_passed_over_and_the_others_count(
    where: Where, store: Store, tmp_path: Path, fault: str
) -> None:
    claim = pushed(where, store)
    replaced(where, SEGMENTS[fault](segment_file(where).read_bytes()))
    other = pushed(where, store, "other")

    caches = Caches([where.reader(tmp_path / "reader")])

    assert caches.find(other.key)
    assert caches.find(claim.key) == () or fault == "with a line without a key"
    assert len(caches.new_warnings()) == 1


def test_a_segment_with_other_bytes_than_its_name_says_is_passed_over(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = pushed(where, store)
    path = segment_file(where)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    caches = Caches([where.reader(tmp_path / "reader")])

    assert caches.find(claim.key) == ()
    (warning,) = caches.new_warnings()
    assert "other bytes" in warning


def test_a_cache_full_of_bad_claims_says_so_in_a_few_lines(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = [add_claim(store, f"claim-{number}") for number in range(30)]
    push(where.writer(tmp_path / "pusher"), pairs(*claims), store)
    text = gzip.decompress(segment_file(where).read_bytes())
    replaced(where, gzip.compress(text.replace(b'"verdict":""', b'"verdict":"x"')))

    caches = Caches([where.reader(tmp_path / "reader")])

    assert not any(caches.find(claim.key) for claim in claims)
    lines = caches.new_warnings()
    assert len(lines) == 6
    assert "ssds cache verify" in lines[-1]
    assert len(verify(where.reader(tmp_path / "other"))) == 30


def test_a_segment_that_says_to_be_huge_is_not_asked_for() -> None:
    assert SegmentName.parse("a" * 64 + f"-{SEGMENT_LIMIT_BYTES}") is not None
    assert SegmentName.parse("a" * 64 + f"-{SEGMENT_LIMIT_BYTES + 1}") is None


@pytest.mark.parametrize("damage", ["other bytes", "cut", "longer"])
def test_a_blob_with_wrong_bytes_is_not_kept_and_its_claim_counts_no_more(
    where: Where, store: Store, tmp_path: Path, damage: str
) -> None:
    claim = pushed(where, store)
    (digest,) = claim.outputs.values()
    path = blob_file(where, digest)
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(
        {"other bytes": b"x" * len(good), "cut": good[:-1], "longer": good + b"x"}[damage]
    )
    other = Store.open(str(tmp_path / "other"))
    caches = Caches([where.reader(tmp_path / "reader")])
    assert caches.find(claim.key)

    assert caches.bring([digest], other) == {digest}
    assert caches.read(digest) is None

    assert not other.blobs.has(digest)
    assert other.claims.find(claim.key) == ()
    assert caches.find(claim.key) == ()
    assert digest not in caches
    assert len(caches.new_warnings()) == 1


def test_a_second_cache_gives_what_the_first_one_lacks(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = pushed(where, store)
    (digest,) = claim.outputs.values()
    second = Where(writing=str(tmp_path / "second"), reading=str(tmp_path / "second"))
    push(second.writer(tmp_path / "w"), pairs(claim), store)
    blob_file(where, digest).unlink()
    other = Store.open(str(tmp_path / "other"))

    caches = Caches([where.reader(tmp_path / "a"), second.reader(tmp_path / "b")])

    assert caches.find(claim.key)
    assert not caches.bring([digest], other)
    assert other.blobs.has(digest)
    assert caches.find(claim.key)


def test_a_cache_that_is_down_is_a_warning(tmp_path: Path) -> None:
    caches = Caches([cache_at("http://127.0.0.1:9", tmp_path / "a")])

    assert caches.find(key_of("one")) == ()
    assert caches.find(key_of("two")) == ()

    (warning,) = caches.new_warnings()
    assert "does not answer" in warning
    assert not caches.retracted, "nothing was believed of it"


def test_a_slow_cache_is_given_up_after_its_time(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = pushed(where, store)
    with web_server(Path(where.writing), delay_s=3) as served:
        began = time.monotonic()
        caches = Caches([served.reader(tmp_path / "reader", limit_s=0.3)])
        found = caches.find(claim.key)
        took_s = time.monotonic() - began

    assert found == ()
    assert took_s < 2.5
    assert "no answer within 0.3 s" in caches.new_warnings()[0]


def test_each_answer_has_its_own_time(where: Where, store: Store, tmp_path: Path) -> None:
    claims = [pushed(where, store, f"claim-{number}") for number in range(11)]
    with web_server(Path(where.writing), delay_s=0.1) as served:
        caches = Caches([served.reader(tmp_path / "reader", limit_s=1.0)])
        found = [caches.find(claim.key) for claim in claims]

    assert all(found)
    assert caches.new_warnings() == []


@pytest.mark.parametrize(
    ("limit", "why"),
    [("PACKED_LIMIT_BYTES", "too large"), ("TEXT_LIMIT_BYTES", "too large"), ("_PATIENCE", "slow")],
)
def test_of_a_cache_without_end_a_part_counts_with_a_warning(
    where: Where,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    why: str,
) -> None:
    claims = [pushed(where, store, f"claim-{number}") for number in range(4)]
    monkeypatch.setattr(f"ssds.cache.cache.{limit}", 0 if limit == "_PATIENCE" else 1000)

    caches = Caches([where.reader(tmp_path / "reader")])
    found = sum(1 for claim in claims if caches.find(claim.key))

    assert found == 0 if limit == "_PATIENCE" else 0 < found < 4
    assert any(why in line and "passed over" in line for line in caches.new_warnings())


def test_a_cache_that_goes_away_while_bytes_come_gives_nothing_more(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = [pushed(where, store, f"claim-{number}") for number in range(12)]
    with web_server(Path(where.writing)) as served:
        caches = Caches([served.reader(tmp_path / "reader")])
        assert all(caches.find(claim.key) for claim in claims)
    wanted = [digest for claim in claims for digest in claim.outputs.values()]

    failed = caches.bring(wanted, Store.open(str(tmp_path / "other")))

    assert failed == set(wanted)
    assert len(caches.new_warnings()) == 1
    assert caches.retracted


def test_impure_claims_count_unless_the_settings_say_no(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = pushed(where, store, impure=True)

    assert Caches([where.reader(tmp_path / "a")]).find(claim.key)
    assert Caches([where.reader(tmp_path / "b", impure=False)]).find(claim.key) == ()
    kept_out = cache_at(str(tmp_path / "pure"), tmp_path / "c", impure=False)
    assert push(kept_out, pairs(claim), store).lacking == 1


def test_claims_of_refused_rebuilds_and_of_steps_are_never_sent(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = add_claim(store, "one")
    kept = claim.refused()

    done = push(where.writer(tmp_path / "a"), pairs(kept), store)

    assert done.claims == 0
    assert where.reader(tmp_path / "b").entries(claim.key) == []


def test_segments_are_kept_and_a_damaged_copy_is_fetched_again(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = pushed(where, store)
    with web_server(Path(where.writing)) as served:
        assert Caches([served.reader(tmp_path / "reader")]).find(claim.key)
        (kept,) = (tmp_path / "reader").glob("*.gz")
        kept.write_bytes(b"damaged")
        caches = Caches([served.reader(tmp_path / "reader")])
        assert caches.find(claim.key)

    assert caches.new_warnings() == []
    assert len([line for line in served.asked if "/claims/" in line]) == 2


@pytest.fixture
def two(where: Where, store: Store, tmp_path: Path) -> tuple[Caches, Claim, Claim]:
    """Two caches that claim two results of one key."""
    claim = pushed(where, store)
    blob = store.blobs.put(b"another result")
    other = replace(claim, outputs={"metadata": blob})
    elsewhere = Store.open(str(tmp_path / "elsewhere"))
    elsewhere.blobs.put(b"another result")
    elsewhere.claims.add(other, canonical_bytes(preimage_of("one")), "one@1.0:metadata")
    second = Where(writing=str(tmp_path / "second"), reading=str(tmp_path / "second"))
    push(second.writer(tmp_path / "w"), pairs(other), elsewhere)
    readers = [where.reader(tmp_path / "a"), second.reader(tmp_path / "b")]
    readers[1].name = "second"
    return Caches(readers), claim, other


def test_every_claim_that_was_found_is_kept_and_written_once(
    two: tuple[Caches, Claim, Claim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches, claim, other = two
    store = Store.open(str(tmp_path / "new"))
    assert len(caches.find(claim.key)) == 2
    assert not caches.bring([*claim.outputs.values(), *other.outputs.values()], store)
    kept = [dict(known.outputs) for known in store.claims.find(claim.key)]
    assert sorted(kept, key=str) == sorted(map(dict, (claim.outputs, other.outputs)), key=str)
    monkeypatch.setattr(store.claims, "add_many", pytest.fail)
    assert not caches.bring(claim.outputs.values(), store)


def test_the_cache_whose_claim_a_plan_took_is_named(two: tuple[Caches, Claim, Claim]) -> None:
    caches, claim, _ = two
    origins = [found.origin for found in caches.find(claim.key)]
    for origin in origins:
        caches.note_choices({claim.key: origin})
        assert caches.notes() == (f"{origin}: 1 claim taken, asked just now",)
    caches.note_choices({claim.key: ""})
    assert caches.notes() == ()


def test_a_claim_that_is_found_no_more_is_not_counted(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = pushed(where, store)
    (digest,) = claim.outputs.values()
    caches = Caches([where.reader(tmp_path / "reader")])
    assert caches.find(claim.key)
    blob_file(where, digest).unlink()
    assert caches.read(digest) is None
    assert caches.find(claim.key) == ()
    assert not any("taken" in note for note in caches.notes())
