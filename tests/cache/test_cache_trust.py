"""A cache of which only signed claims count: what no trusted key vouches for is a miss."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cache_places import Where, add_claim, key_of, pairs, web_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trust_makers import new_signer

from ssds.cache.cache import Cache
from ssds.cache.caches import Caches
from ssds.cache.distrust import counting, doubting
from ssds.cache.joining import join
from ssds.cache.push import push
from ssds.cache.seals import line_bytes, seal
from ssds.cache.segment import SegmentName, packed, read_segment
from ssds.cache.verify import stats, verify
from ssds.cli import indexed, main, planning
from ssds.core.canonical import canonical_bytes
from ssds.core.errors import Refused
from ssds.core.model import FROM_CACHE, Claim
from ssds.core.records import replace
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import open_index
from ssds.lock.make import locked_claims
from ssds.store.claims import Claims
from ssds.store.store import Store
from ssds.trust.envelope import sign_envelope
from ssds.trust.keys import PublicKey, Signer
from ssds.workspace import Workspace

LAB, OTHER = new_signer(name="lab"), new_signer("ed25519", "other")


def reader(where: Where, folder: Path, *signers: Signer) -> Cache:
    """One for whom only claims count that these sign."""
    keys = tuple(signer.public for signer in signers)
    return where.reader(folder, signed=True, keys=lambda: keys)


def pushed(where: Where, store: Store, signer: Signer | None, *texts: str) -> list[Claim]:
    claims = [add_claim(store, text) for text in texts]
    folder = Path(store.path).parent / "pusher"
    push(where.writer(folder), pairs(*claims), store, signer=lambda: signer)
    return claims


def segment_file(where: Where) -> Path:
    (path,) = (where.folder / "claims").iterdir()
    return path


def put_in_place(where: Where, data: bytes) -> None:
    path = segment_file(where)
    path.unlink()
    path.with_name(f"{SegmentName.of(data)}.gz").write_bytes(data)


@pytest.mark.parametrize("signer", [LAB, OTHER], ids=["ecdsa-p256", "ed25519"])
def test_what_a_trusted_key_signed_counts_and_keeps_its_signer(
    where: Where, store: Store, tmp_path: Path, signer: Signer
) -> None:
    one, two = pushed(where, store, signer, "one", "two")
    new = Store.open(str(tmp_path / "new"))

    caches = Caches([reader(where, tmp_path / "r", LAB, OTHER)])
    found = [caches.find(claim.key) for claim in (one, two)]

    assert [claims[0].same_outputs(own) for claims, own in zip(found, (one, two), strict=True)]
    assert not caches.bring([*one.outputs.values(), *two.outputs.values()], new)
    assert new.claims.find(one.key)[0].signer == str(signer.public.id)
    assert caches.new_warnings() == []


def test_unsigned_and_foreign_claims_are_misses_and_told_once(
    where: Where, store: Store, tmp_path: Path
) -> None:
    unsigned = pushed(where, store, None, "one", "two")
    foreign = pushed(where, store, OTHER, "three")
    good = pushed(where, store, LAB, "four")

    caches = Caches([reader(where, tmp_path / "r", LAB)])

    assert [len(caches.find(c.key)) for c in (*unsigned, *foreign, *good)] == [0, 0, 0, 1]
    (warning,) = caches.new_warnings()
    assert "3 of 4 claims count for nothing: 2 unsigned, 1 signed by keys" in warning
    assert Caches([where.reader(tmp_path / "u")]).find(unsigned[0].key), "where all are believed"


def test_where_no_key_is_trusted_nothing_counts_and_it_is_said(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")

    caches = Caches([reader(where, tmp_path / "r")])

    assert caches.find(claim.key) == ()
    assert "no key is: trust.keys" in caches.new_warnings()[0]


def _lines(data: bytes) -> tuple[bytes, bytes, bytes]:
    head, line, signed, _ = gzip.decompress(data).split(b"\n")
    return head, line, signed


def _with(data: bytes, *, line: bytes | None = None, sealed: bytes | None = None) -> bytes:
    head, old, old_seal = _lines(data)
    parts = [head, old if line is None else line, old_seal if sealed is None else sealed, b""]
    return gzip.compress(b"\n".join(parts))


def _edit(data: bytes, **more: object) -> bytes:
    key, _, text = _lines(data)[1].partition(b" ")
    return _with(data, line=key + b" " + canonical_bytes({**json.loads(text), **more}))


def _resealed(data: bytes, edit: Callable[[dict], object]) -> bytes:
    envelope = json.loads(_lines(data)[2])
    edit(envelope)
    return _with(data, sealed=canonical_bytes(envelope))


def _of_payload(data: bytes, payload: object, kind: str, signer: Signer = LAB) -> bytes:
    envelope = sign_envelope(canonical_bytes(payload), signer, kind)
    return _with(data, sealed=canonical_bytes(envelope.to_dict()))


def _names(data: bytes) -> list[str]:
    return json.loads(base64.b64decode(json.loads(_lines(data)[2])["payload"]))["lines"]


OURS = "application/vnd.ssds.cache.claims.v1+json"
POISON = "sha256:" + "ab" * 32
TAMPERING: dict[str, Callable[[bytes], bytes]] = {
    "the outputs are others": lambda d: _edit(d, outputs={"metadata": POISON}, sizes={POISON: 1}),
    "the verdict is another": lambda d: _edit(d, verdict="pass"),
    "the size of a blob is another": lambda d: _edit(
        d, sizes={k: v + 1 for k, v in json.loads(_lines(d)[1].split(b" ", 1)[1])["sizes"].items()}
    ),
    "it says to be impure": lambda d: _edit(d, impure=True),
    "it says to be emulated": lambda d: _edit(d, emulated=True),
    "the time is another": lambda d: _edit(d, made_at=99),
    "the builder is another": lambda d: _edit(d, builder="other"),
    "the node is another": lambda d: _edit(d, node="other@1.0:metadata"),
    "a field more": lambda d: _edit(d, more=1),
    "the line is spaced otherwise": lambda d: _with(d, line=_lines(d)[1].replace(b" ", b"  ", 1)),
    "the line is of another key": lambda d: _with(
        d, line=key_of("other").encode() + b" " + _lines(d)[1].partition(b" ")[2]
    ),
    "no signature": lambda d: _with(d, sealed=b""),
    "no seal but words": lambda d: _with(d, sealed=b"{words}"),
    "a cut signature": lambda d: _with(d, sealed=_lines(d)[2][:-9]),
    "a deep seal": lambda d: _with(d, sealed=b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "no signatures inside": lambda d: _resealed(d, lambda e: e.update(signatures=[])),
    "many signatures": lambda d: _resealed(d, lambda e: e.update(signatures=e["signatures"] * 2)),
    "an empty signature": lambda d: _resealed(d, lambda e: e["signatures"][0].update(sig="")),
    "another type": lambda d: _resealed(d, lambda e: e.update(payloadType="text/plain")),
    "a field more in the seal": lambda d: _resealed(d, lambda e: e.update(more=1)),
    "another payload under the signature": lambda d: _resealed(
        d, lambda e: e.update(payload=base64.b64encode(b'{"lines":[]}').decode())
    ),
    "signed as something else": lambda d: _of_payload(
        d, {"lines": _names(d)}, "application/vnd.in-toto+json"
    ),
    "signed by a key of others": lambda d: _of_payload(d, {"lines": _names(d)}, OURS, OTHER),
    "signed of no line": lambda d: _of_payload(d, {"lines": []}, OURS),
    "signed of other lines": lambda d: _of_payload(d, {"lines": ["0" * 64]}, OURS),
    "signed of what is no list": lambda d: _of_payload(d, {"lines": {"a": 1}}, OURS),
    "signed of nothing": lambda d: _of_payload(d, [], OURS),
}


@pytest.mark.parametrize("how", sorted(TAMPERING))
def test_what_was_changed_is_a_miss_and_told(
    where: Where, store: Store, tmp_path: Path, how: str
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    assert reader(where, tmp_path / "before", LAB).entries(claim.key)
    put_in_place(where, TAMPERING[how](segment_file(where).read_bytes()))

    caches = Caches([reader(where, tmp_path / "r", LAB)])

    assert caches.find(claim.key) == ()
    assert caches.find(key_of("other")) == ()
    assert len(caches.new_warnings()) == 1
    assert verify(reader(where, tmp_path / "v", LAB))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Where, bytes]:
    """A cache of one signed claim, and the text of its segment."""
    folder = tmp_path_factory.mktemp("flips")
    where = Where(writing=str(folder / "c"), reading=str(folder / "c"), folder=folder / "c")
    pushed(where, Store.open(str(folder / "store")), LAB, "one")
    return where, gzip.decompress(segment_file(where).read_bytes())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_changed_byte_of_a_signed_segment_makes_a_miss(
    whole: tuple[Where, bytes], at: int, flip: int
) -> None:
    where, text = whole
    changed = bytearray(text)
    changed[at % len(text)] ^= flip
    put_in_place(where, gzip.compress(bytes(changed), 1))

    cache = reader(where, where.folder.parent / "r", LAB)

    assert list(cache.all()) == []
    put_in_place(where, gzip.compress(text, 1))
    assert len(list(reader(where, where.folder.parent / "r", LAB).all())) == 1


def test_joined_segments_keep_the_signatures_of_all(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = [
        *pushed(where, store, LAB, "one", "two"),
        *pushed(where, store, OTHER, "three"),
        *pushed(where, store, None, "four"),
    ]

    assert join(where.writer(tmp_path / "joiner")) == 3

    assert len(list((where.folder / "claims").iterdir())) == 1
    for signer, count in ((LAB, 2), (OTHER, 1)):
        caches = Caches([reader(where, tmp_path / signer.public.name, signer)])
        assert sum(len(caches.find(claim.key)) for claim in claims) == count


def test_an_unsigned_line_beside_signed_ones_of_one_key_does_not_count(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    segment = read_segment(segment_file(where).read_bytes(), "it")
    ((key, line),) = segment.lines
    poison = {**json.loads(line), "outputs": {"metadata": POISON}, "sizes": {POISON: 1}}
    both = segment._replace(lines=segment.lines | {(key, canonical_bytes(poison))})
    put_in_place(where, packed(both))

    (found,) = Caches([reader(where, tmp_path / "r", LAB)]).find(claim.key)

    assert found.same_outputs(claim)


def test_a_seal_holds_for_its_lines_in_another_segment_too(store: Store) -> None:
    lines = [line_bytes(key_of(text), b"{}") for text in ("one", "two")]

    assert seal(lines, LAB) == seal(reversed(lines), LAB)
    assert b" " not in seal(lines, LAB)


def test_a_signed_push_says_what_nobody_signed_yet_anew_where_signatures_count(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, None, "one")

    first = push(reader(where, tmp_path / "a", LAB), pairs(claim), store, signer=lambda: LAB)
    again = push(reader(where, tmp_path / "b", LAB), pairs(claim), store, signer=pytest.fail)

    assert (first.claims, first.signed, first.blobs) == (1, 1, 0)
    assert (again.claims, again.known) == (0, 1)
    assert reader(where, tmp_path / "c", LAB).entries(claim.key)


@pytest.mark.parametrize(("signer", "code"), [(None, "T035"), (OTHER, "T036")])
def test_nothing_is_sent_that_would_not_count(
    where: Where, store: Store, tmp_path: Path, signer: Signer | None, code: str
) -> None:
    claim = add_claim(store, "one")

    with pytest.raises(Refused) as refused:
        push(reader(where, tmp_path / "a", LAB), pairs(claim), store, signer=lambda: signer)

    assert refused.value.code == code
    assert list((where.folder / "claims").iterdir()) == []


def test_what_came_from_a_cache_is_never_signed(where: Where, store: Store, tmp_path: Path) -> None:
    (claim,) = pushed(where, store, None, "one")
    new = Store.open(str(tmp_path / "new"))
    caches = Caches([where.reader(tmp_path / "r")])
    caches.find(claim.key)
    caches.bring(claim.outputs.values(), new)
    (got,) = new.claims.find(claim.key)
    open_, closed = (
        Where(writing=str(tmp_path / name), reading=str(tmp_path / name)) for name in "ab"
    )

    sent = push(open_.writer(tmp_path / "x"), pairs(got), new, signer=pytest.fail)
    kept = push(reader(closed, tmp_path / "y", LAB), pairs(got), new, signer=pytest.fail)

    assert (sent.claims, sent.signed) == (1, 0)
    assert (kept.claims, kept.foreign) == (0, 1)


def test_stats_say_who_signed_how_many(where: Where, store: Store, tmp_path: Path) -> None:
    pushed(where, store, LAB, "one", "two")
    pushed(where, store, OTHER, "three")
    pushed(where, store, None, "four")
    pushed(where, store, new_signer(name="gone"), "five")

    both = (LAB.public, OTHER.public)
    for cache in (
        where.reader(tmp_path / "a", keys=lambda: both),
        reader(where, tmp_path / "b", LAB, OTHER),
    ):
        found = stats(cache)
        assert (found.signed, found.others, found.unsigned) == ({"lab": 2, "other": 1}, 1, 1)
    assert stats(reader(where, tmp_path / "c", LAB, OTHER)).claims == 3


def test_a_claim_that_several_signed_counts_as_long_as_one_of_them_is_trusted(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    push(where.writer(tmp_path / "w"), pairs(claim), store, again=True, signer=lambda: OTHER)

    for signer in (LAB, OTHER):
        (entry,) = reader(where, tmp_path / signer.public.name, signer).entries(claim.key)
        assert entry.signer == str(signer.public.id)


def brought(where: Where, tmp_path: Path, claim: Claim, *signers: Signer) -> Store:
    new = Store.open(str(tmp_path / "new"))
    caches = Caches([reader(where, tmp_path / "r", *signers)])
    assert caches.find(claim.key)
    caches.bring(claim.outputs.values(), new)
    return new


def trusting(store: Store, *keys: PublicKey, caches: tuple[str, ...] = ("ci",)) -> None:
    store.claims.counts = counting(caches, lambda: keys)


def test_who_distrusts_a_key_distrusts_what_came_from_it_and_no_more(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (one,) = pushed(where, store, LAB, "one")
    (two,) = pushed(where, store, OTHER, "two")
    new = brought(where, tmp_path, one, LAB, OTHER)
    brought(where, tmp_path, two, LAB, OTHER)
    own = add_claim(new, "own")

    def count() -> list[int]:
        return [len(new.claims.find(claim.key)) for claim in (one, two, own)]

    assert count() == [1, 1, 1]
    trusting(new, OTHER.public)
    assert count() == [0, 1, 1]
    trusting(new)
    assert count() == [0, 0, 1]
    trusting(new, caches=("another",))
    assert count() == [1, 1, 1]
    trusting(new, LAB.public, OTHER.public)
    assert count() == [1, 1, 1], "nothing was lost"


def test_what_came_before_signatures_were_asked_for_does_not_count(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    new = Store.open(str(tmp_path / "new"))
    caches = Caches([where.reader(tmp_path / "r")])
    caches.find(claim.key)
    caches.bring(claim.outputs.values(), new)

    trusting(new, LAB.public)

    assert new.claims.find(claim.key) == ()


def test_the_same_made_here_counts_though_its_signer_does_not(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    new = brought(where, tmp_path, claim, LAB)
    trusting(new, OTHER.public)

    add_claim(new, "one")

    (own,) = new.claims.find(claim.key)
    assert (own.origin, own.signer) == ("store", "")
    trusting(new)
    assert new.claims.find(claim.key) == (own,)


def test_a_lock_that_was_written_from_a_distrusted_claim_is_doubted_until_it_is_made_here(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    (other,) = pushed(where, store, OTHER, "two")
    new = brought(where, tmp_path, claim, LAB, OTHER)
    brought(where, tmp_path, other, LAB, OTHER)
    locked = replace(claim, origin="lock", builder="", made_at=0)

    trusting(new, OTHER.public)
    doubts = doubting(new.claims)
    assert doubts(locked)
    assert not doubts(replace(other, origin="lock"))
    assert not doubts(replace(locked, outputs={"metadata": other.outputs["metadata"]}))

    add_claim(new, "one")
    assert not doubting(new.claims)(locked)
    trusting(new, LAB.public, OTHER.public)
    assert not doubting(new.claims)(locked)


def test_a_lock_does_not_save_what_came_from_a_key_that_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The starter catalog, whose locks have every result; of one the store has it from a cache."""
    starter = Path(__file__).parents[2]
    for name in ("catalog", "lockfiles"):
        shutil.copytree(starter / name, tmp_path / name)
    (tmp_path / "remote").mkdir()
    for signer in (LAB, OTHER):
        (tmp_path / f"{signer.public.name}.pub").write_bytes(signer.public.pem)
    monkeypatch.chdir(tmp_path)

    def planned(*keys: str) -> dict[str, str]:
        trust = {"keys": {key: f"{key}.pub" for key in keys}}
        cache = [{"name": "ci", "location": "remote", "trust": "signed"}]
        settings = {"store": {"path": "store"}, "cache": cache, "trust": trust}
        Path("ssds.yaml").write_text(json.dumps(settings))
        assert main(["plan", "--json"]) == 0
        steps = json.loads(capsys.readouterr().out)["steps"]
        return {step["node"]: step["reason_code"] for step in steps}

    assert planned("lab") == {}
    lock = next(lock for lock in Workspace.open().locks.releases.values() if lock.name == "seqtk")
    (build,) = (
        claim
        for node, claim in locked_claims(lock.release_name(""), lock.variants[""]).items()
        if node.kind == "build" and node.platform == "linux/amd64"
    )
    got = replace(build, origin=f"{FROM_CACHE}ci", signer=str(LAB.public.id))
    Claims(Workspace.open().store.claims.path, lambda _: True).add(got, b"{}")

    assert planned("lab", "other") == {}
    without = planned("other")
    assert without["seqtk@1.3:build"] == "distrust"
    assert not any(reason == "distrust" for n, reason in without.items() if "seqtk" not in n)
    assert planned("other") == without
    assert planned("lab", "other") == {}


def test_readers_without_this_version_read_signed_segments_as_before(
    where: Where, store: Store
) -> None:
    """They pass over lines without a space, and every other one is a claim."""
    pushed(where, store, LAB, "one", "two")
    head, *rest = gzip.decompress(segment_file(where).read_bytes()).split(b"\n")

    assert json.loads(head) == {"cache_version": 1}
    assert [line.count(b" ") > 0 for line in rest] == [True, True, False, False]


def test_signed_claims_behind_a_web_server_cost_no_more_requests(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = pushed(where, store, LAB, *(f"claim-{number}" for number in range(20)))
    with web_server(where.folder) as served:
        caches = Caches([reader(served, tmp_path / "r", LAB)])
        assert all(caches.find(claim.key) for claim in claims)

    assert len(served.asked) == 2


def test_signatures_that_stand_in_a_line_itself_vouch_for_nothing(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, None, "one")
    put_in_place(
        where,
        gzip.compress(
            gzip.decompress(segment_file(where).read_bytes()).replace(
                b'"sizes":', b'"signatures":["lab"],"sizes":'
            )
        ),
    )

    assert reader(where, tmp_path / "r", LAB).entries(claim.key) == []


def opened(folder: Path, where: Where, *names: str) -> Workspace:
    """A workspace whose settings trust the keys of these names; its store stays."""
    folder.mkdir(exist_ok=True)
    for signer in (LAB, OTHER):
        (folder / f"{signer.public.name}.pub").write_bytes(signer.public.pem)
    cache = {"name": "ci", "location": where.reading, "trust": "signed"}
    said = {
        "store": {"path": "../store-of-it"},
        "cache": [cache],
        "trust": {"keys": {name: f"{name}.pub" for name in names}},
    }
    (folder / "ssds.yaml").write_text(json.dumps(said))
    return Workspace.open(str(folder))


def test_a_workspace_takes_back_its_trust_in_a_key_by_its_settings(
    where: Where, store: Store, tmp_path: Path
) -> None:
    (claim,) = pushed(where, store, LAB, "one")
    folder = tmp_path / "workspace"
    trusting = opened(folder, where, "lab", "other")
    (found,) = trusting.facts().cached(claim.key)
    assert trusting.caches is not None
    assert not trusting.caches.bring(claim.outputs.values(), trusting.store)

    def known(workspace: Workspace) -> tuple[int, int]:
        facts = workspace.facts()
        return len(facts.claims(claim.key)), len(facts.cached(claim.key))

    def without_asking(workspace: Workspace) -> Workspace:
        return workspace.built_by(None, no_cache=True)

    assert found.origin == "cache ci"
    assert known(opened(folder, where, "lab")) == (1, 1)
    assert known(without_asking(opened(folder, where, "lab"))) == (1, 0)
    assert known(opened(folder, where, "other")) == (0, 0)
    assert known(without_asking(opened(folder, where, "other"))) == (0, 0)
    assert known(opened(folder, where, "lab")) == (1, 1)


def test_a_plan_index_rests_on_the_files_of_trusted_keys(where: Where, tmp_path: Path) -> None:
    """A key's file that changes changes what counts, so the last plan does not hold then."""
    folder = tmp_path / "workspace"
    opened(folder, where, "lab")
    (folder / "catalog").mkdir()

    indexed.deliver(Workspace.open(str(folder)), planning.Asked())

    index = open_index(str(folder / ".ssds/plan.index"))
    assert index is not None
    noted = {path for paths in Groups.load(index).paths for path in paths}
    assert any(path.endswith(b"lab.pub") for path in noted), noted
    assert not any(path.endswith(b"other.pub") for path in noted)
