"""Claims: sets per key, earliest first, durable, honest about damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ssds.core.canonical import action_key, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, SsdsError, UnavailableError
from ssds.core.model import Claim
from ssds.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def preimage(kind: str = "build", **slice_: object) -> dict[str, object]:
    return {"kind": kind, "platform": "linux/amd64", "slice": slice_}


def claim_of(store: Store, value: dict[str, object], text: bytes = b"out", **more: object) -> Claim:
    return Claim(
        key=action_key(value),
        kind=str(value["kind"]),
        outputs={"config": store.blobs.put(text)},
        **more,  # type: ignore[arg-type]
    )


def add(
    store: Store, value: dict[str, object], text: bytes = b"out", node: str = "", **more: object
) -> Claim:
    claim = claim_of(store, value, text, **more)
    store.claims.add(claim, canonical_bytes(value), node)
    return claim


def test_a_claim_comes_back_as_it_was(store: Store) -> None:
    value = preimage(x=1)
    log = store.blobs.put(b"log")
    claim = add(
        store,
        value,
        verdict="pass",
        logs={"log": log},
        builder="embedded",
        mode="identity",
        emulated=True,
        impure=True,
        tools={"apt": "2.6.1"},
        made_at=1_700_000_000,
        duration_ms=12,
    )
    assert store.claims.find(claim.key) == (claim,)
    assert store.claims.preimage(claim.key) == canonical_bytes(value)
    other = Store(store.path)
    assert other.claims.find(claim.key) == (claim,)
    unknown = action_key(preimage(x=2))
    assert store.claims.find(unknown) == ()
    assert store.claims.preimage(unknown) is None


def test_a_later_claim_with_other_outputs_never_replaces_an_earlier_one(store: Store) -> None:
    value = preimage()
    first = add(store, value, b"first", made_at=200)
    second = add(store, value, b"second", made_at=100)
    assert store.claims.find(first.key) == (first, second)
    assert store.claims.disagreements() == {first.key: (first, second)}


def test_the_same_claim_again_changes_nothing(store: Store) -> None:
    value = preimage()
    first = add(store, value, made_at=1)
    again = claim_of(store, value, made_at=2)
    assert store.claims.add(again, canonical_bytes(value)) is False
    assert store.claims.find(first.key) == (first,)
    assert store.claims.disagreements() == {}


def test_a_claim_follows_its_blobs(store: Store) -> None:
    value = preimage()
    ghost = Digest("sha256:" + "0" * 64)
    claim = Claim(key=action_key(value), kind="build", outputs={"config": ghost})
    with pytest.raises(UnavailableError, match="'config'"):
        store.claims.add(claim, canonical_bytes(value))
    assert store.claims.find(claim.key) == ()


def test_the_generation_changes_with_every_write(store: Store) -> None:
    seen = [store.claims.generation()]
    for number in range(3):
        add(store, preimage(x=number))
        seen.append(store.claims.generation())
    assert seen == sorted(set(seen))
    assert Store(store.path).claims.generation() == seen[-1]


def test_many_keys_are_found_at_once(store: Store) -> None:
    claims = [add(store, preimage(x=number)) for number in range(30)]
    wanted = [c.key for c in claims[::2]] + [action_key(preimage(y=n)) for n in range(2000)]
    assert store.claims.find_many(wanted) == {c.key: (c,) for c in claims[::2]}


def test_the_nearest_preimages_are_of_the_same_owner_then_of_the_same_name(store: Store) -> None:
    nodes = ["samtools@1.15:build", "samtools@1.16:build", "samtoolsx@1.16:build", "bwa@1:build"]
    for number, node in enumerate(nodes):
        add(store, preimage(x=number), node=node)
    add(store, preimage(x=9), node="samtools@1.16:build")
    add(store, preimage("test", x=9), node="samtools@1.16:test")
    found = [r.node for r in store.claims.nearest("build", "samtools@1.16", "linux/amd64")]
    assert found == ["samtools@1.16:build", "samtools@1.16:build", "samtools@1.15:build"]
    newest = store.claims.nearest("build", "samtools@1.16", "linux/amd64", limit=1)[0]
    assert newest.preimage == canonical_bytes(preimage(x=9))
    assert store.claims.nearest("build", "samtools@1.16", "linux/arm64") == ()
    assert store.claims.nearest("build", "%", "linux/amd64") == ()


def test_threads_and_processes_write_at_once(store: Store) -> None:
    script = (
        "import sys; sys.path[:0] = [sys.argv[2]]\n"
        "from ssds.store.store import Store\n"
        "from ssds.core.canonical import action_key, canonical_bytes\n"
        "from ssds.core.model import Claim\n"
        "s = Store(sys.argv[1])\n"
        "for n in range(25):\n"
        "    v = {'kind': 'build', 'platform': 'any', 'slice': {'p': n}}\n"
        "    d = s.blobs.put(b'%d' % n)\n"
        "    c = Claim(key=action_key(v), kind='build', outputs={'o': d})\n"
        "    s.claims.add(c, canonical_bytes(v))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, store.path, os.getcwd()]) for _ in range(2)
    ]
    threads = [
        threading.Thread(target=lambda k=k: [add(store, preimage(t=k, n=n)) for n in range(25)])
        for k in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.wait(60) for p in processes] == [0, 0]
    assert len(list(store.claims.all())) == 3 * 25 + 25


def test_a_database_that_is_none_is_named_with_a_remedy(store: Store, tmp_path: Path) -> None:
    path = store.claims.path
    store.close()
    for suffix in ("-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    Path(path).write_bytes(b"this is not a database" * 1000)
    with pytest.raises(IntegrityError, match="damaged") as caught:
        Store(store.path)
    assert "Move claims.sqlite" in caught.value.hint


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE claims SET outputs = '{'",
        'UPDATE claims SET outputs = \'{"a":"sha256:x"}\'',
        "UPDATE claims SET record = '{}'",
        "UPDATE claims SET record = '[]'",
        "DROP TABLE claims",
    ],
)
def test_a_record_that_cannot_be_read_is_named_not_raised_through(
    store: Store, statement: str
) -> None:
    claim = add(store, preimage())
    store.close()
    with sqlite3.connect(store.claims.path) as database:
        database.execute(statement)
    again = Store(store.path)
    with pytest.raises(SsdsError) as caught:
        again.claims.find(claim.key)
    assert caught.value.hint
    assert [p.kind for p in again.verify()] == ["damaged-claims"]


def test_a_newer_form_is_refused(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.claims.path) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(EnvironmentProblem, match="newer ssds"):
        Store(store.path)


def test_flipped_bytes_in_the_database_never_give_a_traceback(store: Store) -> None:
    import random

    for number in range(40):
        add(store, preimage(x=number), b"%d" % number, node="a@1:build")
    store.close()
    good = Path(store.claims.path).read_bytes()
    dice = random.Random(7)
    hints: list[str] = []
    for _ in range(60):
        data = bytearray(good)
        for _ in range(30):
            data[dice.randrange(len(data))] = dice.randrange(256)
        Path(store.claims.path).write_bytes(data)
        try:
            broken = Store(store.path)
            broken.verify()
            broken.claims.find_many(action_key(preimage(x=n)) for n in range(40))
            broken.claims.nearest("build", "a@1", "linux/amd64")
            add(broken, preimage(x=99))
            broken.close()
        except SsdsError as error:
            hints.append(error.hint)
    assert hints
    assert all(hints)


def test_many_claims_are_added_as_one_by_one(store: Store, tmp_path: Path) -> None:
    values = [preimage(x=n % 3) for n in range(5)]
    entries = [
        (claim_of(store, value, b"%d" % n), canonical_bytes(value), f"a@{n}:build")
        for n, value in enumerate(values)
    ]
    other = Store(str(tmp_path / "other"))
    for claim, data, node in entries:
        other.blobs.put(store.blobs.read(claim.outputs["config"]))
        assert other.claims.add(claim, data, node)
    assert store.claims.add_many(entries) == 5
    assert list(store.claims.all()) == list(other.claims.all())
    near = [s.claims.nearest("build", "a@4", "linux/amd64") for s in (store, other)]
    assert [r.node for r in near[0]] == [r.node for r in near[1]] != []
    assert store.claims.add_many(entries) == store.claims.add_many([]) == 0


def test_of_many_claims_none_is_added_when_one_lacks_its_blob(store: Store) -> None:
    good, bad = preimage(x=1), preimage(x=2)
    absent = Digest("sha256:" + "0" * 64)
    wrong = Claim(key=action_key(bad), kind="build", outputs={"config": absent})
    entries = [
        (claim_of(store, good), canonical_bytes(good), ""),
        (wrong, canonical_bytes(bad), ""),
    ]
    before = store.claims.generation()
    with pytest.raises(UnavailableError, match="which the store does not have"):
        store.claims.add_many(entries)
    assert list(store.claims.all()) == []
    assert store.claims.generation() == before


def test_a_database_of_the_form_before_is_renewed_and_keeps_its_claims(store: Store) -> None:
    claim = add(store, preimage())
    store.close()
    with sqlite3.connect(store.claims.path) as database:
        database.execute("DROP INDEX preimages_owner")
        database.execute("CREATE INDEX preimages_near ON preimages (kind, platform, number)")
        database.execute("PRAGMA user_version = 1")
    assert [c.key for c in Store.open(store.path).claims.all()] == [claim.key]
    with sqlite3.connect(store.claims.path) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    assert "preimages_owner" in names
    assert "preimages_near" not in names


def test_the_newest_claims_are_told_from_those_of_before(store: Store) -> None:
    add(store, preimage())
    number, _ = store.claims.since(0, ("build",))
    later = add(store, preimage(name="later"))
    test = add(store, preimage("test"))
    assert store.claims.since(number, ("build",)) == (number + 2, {later.key})
    assert store.claims.since(number, ("build", "test"))[1] == {later.key, test.key}
    assert store.claims.since(number + 2, ("build",)) == (number + 2, frozenset())
