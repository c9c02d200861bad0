"""What every kind of cache must do: a folder, a web server's folder, a real registry."""

from __future__ import annotations

import concurrent.futures as cf
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cache_places import ROOT, Where, add_claim, key_of, pairs, place_of, web_server
from registry_server import running_registry

from ssds.cache.cache import Cache
from ssds.cache.caches import Caches
from ssds.cache.joining import join
from ssds.cache.push import push
from ssds.cache.registry import RegistryPlace
from ssds.cache.verify import stats, verify
from ssds.core.digest import sha256_of
from ssds.core.errors import Refused, SsdsError, UnavailableError
from ssds.oci.credentials import Credentials
from ssds.oci.registry import Registry
from ssds.store.store import Store


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("cache-registry")) as host:
        yield host


@pytest.fixture(
    params=["folder", "web", pytest.param("registry", marks=pytest.mark.component("registry"))]
)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    folder = tmp_path / "remote"
    if request.param == "folder":
        yield Where(writing=str(folder), reading=str(folder), folder=folder)
    elif request.param == "web":
        folder.mkdir()
        with web_server(folder) as served:
            yield served
    else:
        host = request.getfixturevalue("registry")
        location = f"oci://{host}/cache/{sha256_of(str(tmp_path).encode()).short}"
        yield Where(writing=location, reading=location)


def test_what_one_pushes_another_finds_and_brings(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = add_claim(store, "one", builder="embedded", made_at=5)

    done = push(where.writer(tmp_path / "a"), pairs(claim), store)

    other = Store.open(str(tmp_path / "other"))
    caches = Caches([where.reader(tmp_path / "b")])
    (found,) = caches.find(claim.key)
    assert (done.claims, done.blobs) == (1, 1)
    assert found.origin == "cache ci"
    assert found.same_outputs(claim)
    assert (found.builder, found.made_at) == ("embedded", 5)
    assert caches.find(key_of("another")) == ()
    assert not caches.bring(claim.outputs.values(), other)
    assert other.blobs.read(claim.outputs["metadata"]) == store.blobs.read(
        claim.outputs["metadata"]
    )
    (kept,) = other.claims.find(claim.key)
    assert kept.same_outputs(claim)
    assert kept.origin == "store, got from the cache ci"
    assert store.claims.find(claim.key)[0].origin == "store"
    assert caches.notes() == ("cache ci: 1 claim taken, asked just now",)


@pytest.mark.component("registry")
def test_a_registry_with_tls_and_passwords_serves_as_a_cache(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    with running_registry(folder, users={"ci": "hidden-word"}, tls=True) as host:

        def cache(word: str) -> Cache:
            user = Credentials(user="ci", password=word)
            registry = Registry(host, ca_bundle=str(folder / "ca.crt"), credentials=user)
            return Cache("ci", RegistryPlace(registry, "lab/cache"), str(tmp_path / word))

        claim = add_claim(store, "one")
        assert push(cache("hidden-word"), pairs(claim), store).claims == 1
        caches = Caches([cache("hidden-word")])
        other = Store.open(str(tmp_path / "other"))
        assert caches.find(claim.key)[0].same_outputs(claim)
        assert not caches.bring(claim.outputs.values(), other)
        refused = Caches([cache("wrong")])
        assert refused.find(claim.key) == ()
        (line,) = refused.new_warnings()
        assert "does not answer, so nothing is taken from it" in line
        assert "hidden-word" not in line


def test_a_second_push_sends_only_what_is_new(where: Where, store: Store, tmp_path: Path) -> None:
    one, two = add_claim(store, "one"), add_claim(store, "two")
    push(where.writer(tmp_path / "a"), pairs(one), store)

    again = push(where.writer(tmp_path / "b"), pairs(one, two), store)

    found = stats(where.reader(tmp_path / "c"))
    assert (again.claims, again.known, again.blobs) == (1, 1, 1)
    assert (found.segments, found.claims, found.blobs) == (2, 2, 2)
    assert verify(where.reader(tmp_path / "d"), read=True) == []


def test_claims_that_several_push_at_once_are_all_there(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = [add_claim(store, f"claim-{number}") for number in range(8)]

    def send(number: int) -> None:
        push(where.writer(tmp_path / f"writer-{number}"), pairs(claims[number]), store)

    with cf.ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))

    caches = Caches([where.reader(tmp_path / "reader")])
    assert all(caches.find(claim.key) for claim in claims)


def test_many_segments_are_joined_and_no_claim_is_lost(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = [add_claim(store, f"claim-{number}") for number in range(5)]
    for number, claim in enumerate(claims):
        push(where.writer(tmp_path / f"w{number}"), pairs(claim), store)
    reader = where.reader(tmp_path / "old")
    assert len(reader.segments) == 5

    assert join(where.writer(tmp_path / "joiner")) == 5
    join(where.writer(tmp_path / "joiner"))

    found = stats(where.reader(tmp_path / "new"))
    assert (found.segments, found.claims) == (1, 5)
    assert verify(where.reader(tmp_path / "other"), read=True) == []
    again = push(where.writer(tmp_path / "w"), pairs(*claims), store)
    assert (again.claims, again.known) == (0, 5)


def test_a_segment_that_goes_while_it_is_asked_for_is_found_in_the_joined_one(
    store: Store, tmp_path: Path
) -> None:
    where = Where(writing=str(tmp_path / "remote"), reading=str(tmp_path / "remote"))
    claims = [add_claim(store, f"claim-{number}") for number in range(2)]
    for claim in claims:
        push(where.writer(tmp_path / "w"), pairs(claim), store)
    reader = where.reader(tmp_path / "reader")
    before = reader.place.segments()
    listings = iter([before])
    listed = reader.place.segments
    reader.place.segments = lambda: next(listings, None) or listed()
    join(where.writer(tmp_path / "joiner"))

    assert all(Caches([reader]).find(claim.key) for claim in claims)
    assert reader.warnings == []


def test_a_blob_that_is_missing_there_is_a_miss_and_can_be_sent_again(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claim = add_claim(store, "one")
    (digest,) = claim.outputs.values()
    push(where.writer(tmp_path / "a"), pairs(claim), store)
    if where.folder is None:
        pytest.skip("a registry keeps what a manifest names")
    (where.folder / "blobs/sha256" / digest.hex).unlink()

    caches = Caches([where.reader(tmp_path / "b")])
    assert caches.find(claim.key)
    assert caches.bring([digest], Store.open(str(tmp_path / "other"))) == {digest}

    assert caches.find(claim.key) == ()
    (warning,) = caches.new_warnings()
    assert str(digest) in warning
    (problem,) = verify(where.reader(tmp_path / "c"))
    assert str(digest) in problem
    push(where.writer(tmp_path / "d"), pairs(claim), store, again=True)
    assert verify(where.reader(tmp_path / "e")) == []


_PUSH = """
import os, signal, sys
from cache_places import cache_at, pairs, add_claim
from ssds.cache.push import push
from ssds.store.store import Store
store = Store.open(sys.argv[1])
cache = cache_at(sys.argv[2], sys.argv[3])
left = int(sys.argv[4])
def counted(name):
    whole = getattr(cache.place, name)
    def step(*given):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*given)
    setattr(cache.place, name, step)
counted("put"), counted("publish")
push(cache, pairs(*store.claims.all()), store)
"""


def _pushing(store: Store, where: Where, folder: Path, left: int, **more: str) -> int:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests", **more}
    command = [sys.executable, "-c", _PUSH, store.path, where.writing, str(folder), str(left)]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("folder", 1),
        ("folder", 5),
        pytest.param("registry", 4, marks=pytest.mark.component("registry")),
    ],
    indirect=["where"],
)
def test_a_push_that_is_killed_claims_nothing_without_its_blobs(
    where: Where, store: Store, tmp_path: Path, left: int
) -> None:
    claims = [add_claim(store, f"claim-{number}") for number in range(4)]

    assert _pushing(store, where, tmp_path / "a", left) == -9
    reader = where.reader(tmp_path / "b")
    assert list(reader.all()) == []

    push(where.writer(tmp_path / "c"), pairs(*claims), store)
    caches = Caches([where.reader(tmp_path / "d")])
    assert all(caches.find(claim.key) for claim in claims)
    assert verify(where.reader(tmp_path / "e"), read=True) == []


@pytest.mark.parametrize("point", ["blob.synced:2", "cache.segment.synced:1", "cache.index.open:2"])
def test_a_push_to_a_folder_that_is_killed_while_writing_leaves_it_whole(
    store: Store, tmp_path: Path, point: str
) -> None:
    where = Where(writing=str(tmp_path / "remote"), reading=str(tmp_path / "remote"))
    claims = [add_claim(store, f"claim-{number}") for number in range(2)]

    assert _pushing(store, where, tmp_path / "a", 99, SSDS_FAULT_KILL=point) == -9
    assert verify(where.reader(tmp_path / "b"), read=True) in ([], [_none_yet(where)])

    push(where.writer(tmp_path / "c"), pairs(*claims), store)
    with web_server(tmp_path / "remote") as served:
        assert stats(served.reader(tmp_path / "d")).claims == 2
    assert verify(where.reader(tmp_path / "e"), read=True) == []


def _none_yet(where: Where) -> str:
    return f"cache ci: does not answer, so nothing is taken from it: there is no {where.reading}"


def test_nothing_is_written_through_a_web_server(store: Store, tmp_path: Path) -> None:
    with web_server(tmp_path) as served, pytest.raises(Refused) as refused:
        push(served.reader(tmp_path / "a"), pairs(add_claim(store, "one")), store)

    assert refused.value.code == "T034"


def test_many_keys_cost_no_more_requests_than_one(store: Store, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    claims = [add_claim(store, f"claim-{number}") for number in range(20)]
    writer = Where(writing=str(remote), reading="")
    push(writer.writer(tmp_path / "a"), pairs(*claims), store)
    with web_server(remote) as served:
        caches = Caches([served.reader(tmp_path / "b")])
        found = [caches.find(claim.key) for claim in claims]
        missed = [caches.find(key_of(f"missing-{number}")) for number in range(2000)]
        first = len(served.asked)
        later = Caches([served.reader(tmp_path / "b")])
        assert later.find(claims[3].key)

    assert all(found)
    assert not any(missed)
    assert (first, len(served.asked)) == (2, 3), "the list and a segment; then the list"


def test_a_push_to_a_registry_that_is_down_says_so(store: Store, tmp_path: Path) -> None:
    where = Where(writing="oci://127.0.0.1:9/cache", reading="")

    with pytest.raises(UnavailableError) as error:
        push(where.writer(tmp_path / "a"), pairs(add_claim(store, "one")), store)

    assert error.value.code == "T032"
    assert isinstance(error.value, SsdsError)
    assert place_of(where)
