"""Sync against registries that fail: what is there is whole, what is left is done by the next."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import Place, Source, all_of, lock_of, sync
from fault_registry import Fault, FaultRegistry, fault_registry, times
from registry_server import running_registry
from ship_makers import AMD64
from thorough import cases

from ssds.core.errors import SsdsError
from ssds.oci.answers import RegistryError
from ssds.oci.blobs import Blobs
from ssds.oci.credentials import Credentials
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.backend_registry import RegistryChannel


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultRegistry]:
    monkeypatch.setattr("ssds.oci.transport.BACKOFF_S", (0.0, 0.01))
    with fault_registry() as made:
        yield made


@pytest.fixture
def lab(server: FaultRegistry, tmp_path: Path) -> Place:
    blobs = Blobs(str(tmp_path / "blobs"))
    user = Credentials(user="u", password="hidden-word")
    backend = RegistryChannel(Registry(server.host, insecure=True, credentials=user), "lab")
    channel = Channel(name="lab", kind="registry", location=f"{server.host}/lab", insecure=True)
    return Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)


def assert_whole(server: FaultRegistry) -> None:
    """Everything that a tag leads to is there: nobody ever sees half of a release."""
    for name, tags in server.tags.items():
        waiting = list(tags.values())
        while waiting:
            document = json.loads(server.manifests[name][waiting.pop()][1])
            parts = [*document.get("layers", []), *filter(None, [document.get("config")])]
            assert {p["digest"] for p in parts} <= set(server.blobs[name])
            waiting += [entry["digest"] for entry in document.get("manifests", [])]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(times(2, "503"), id="busy twice"),
        pytest.param(times(2, "429:0", method="POST"), id="too many requests"),
        pytest.param(times(2, "reset", method="PUT", part="/uploads/"), id="reset while sending"),
        pytest.param(times(1, "500", method="PUT", part="/manifests/"), id="a manifest refused"),
        pytest.param(times(3, "slow", method="GET"), id="slow answers"),
        pytest.param(times(1, "502", method="GET", part="/tags/"), id="a list refused"),
    ],
)
def test_a_registry_that_fails_for_a_moment_is_tried_again(
    lab: Place, server: FaultRegistry, fault: Fault
) -> None:
    server.fault = fault
    _, done = sync(lab, lock_of(lab.blobs, "tool", evidence=True))
    assert not done.failed
    server.fault = lambda method, path: ""
    assert_whole(server)
    assert sync(lab, lock_of(lab.blobs, "tool", evidence=True), refresh=True)[0] == []


@pytest.mark.parametrize("what", ["cut", "wrong"])
def test_a_registry_that_gives_other_bytes_than_it_took_gets_no_tag(
    lab: Place, server: FaultRegistry, what: str
) -> None:
    lock = lock_of(lab.blobs, "tool")
    server.fault = lambda method, path: what if "/tool/manifests/sha" in path else ""
    _, done = sync(lab, lock)
    assert [str(name) for name in done.failed] == ["tool@1.0"]
    assert server.tags["lab/tool"] == {}
    server.fault = lambda method, path: ""
    assert not sync(lab, lock)[1].failed
    assert_whole(server)


def test_one_blob_that_is_refused_for_good_leaves_the_other_releases(
    lab: Place, server: FaultRegistry
) -> None:
    good, bad = lock_of(lab.blobs, "good"), lock_of(lab.blobs, "bad")
    server.fault = lambda method, path: "403" if "/lab/bad/blobs/uploads" in path else ""
    _, done = sync(lab, good, bad)
    (error,) = done.failed.values()
    assert isinstance(error, RegistryError)
    assert error.status == 403
    assert "1.0" in server.tags["lab/good"]
    assert "lab/bad" not in server.tags


def test_a_token_that_ends_on_the_way_is_renewed(lab: Place, server: FaultRegistry) -> None:
    server.token = "first"
    count = [0]

    def renew(method: str, path: str) -> str:
        count[0] += path != "/token"
        server.token = f"token-{count[0] // 12}"
        return ""

    server.fault = renew
    _, done = sync(lab, lock_of(lab.blobs, "tool", evidence=True))
    assert not done.failed
    assert server.count("GET /token") > 2
    assert_whole(server)


@pytest.mark.parametrize("seed", range(cases(6, 100)))
def test_faults_at_random_leave_nothing_half_done_and_the_next_sync_completes(
    lab: Place, server: FaultRegistry, seed: int
) -> None:
    dice = random.Random(seed)
    locks = [lock_of(lab.blobs, name, evidence=True) for name in ("one", "two")]

    def fault(method: str, path: str) -> str:
        if dice.random() > 0.25:
            return ""
        return dice.choice(["500", "503", "429:0", "403", "reset", "cut", "wrong"])

    server.fault = fault
    for _ in range(2):
        with contextlib.suppress(SsdsError):
            sync(lab, *locks)
        assert_whole(server)
    server.fault = lambda method, path: ""
    _, done = sync(lab, *locks, refresh=True)
    assert not done.failed
    assert {t: len(v) for t, v in server.tags.items() if "state" not in t} == {
        "lab/one": 3,
        "lab/two": 3,
    }
    assert sync(lab, *locks, refresh=True)[0] == []


@pytest.mark.component("registry")
def test_a_real_registry_with_tls_and_passwords_is_synced(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    users = {"ci": "hidden-word"}
    with running_registry(tmp_path / "registry", users=users, tls=True) as host:
        user = Credentials(user="ci", password="hidden-word")
        registry = Registry(host, ca_bundle=str(tmp_path / "registry/ca.crt"), credentials=user)
        place = Place(
            backend=RegistryChannel(registry, "lab"),
            channel=Channel(name="lab", kind="registry", location=f"{host}/lab"),
            source=Source(blobs),
            blobs=blobs,
        )
        lock = lock_of(blobs, "tool", evidence=True)
        other = lock_of(blobs, "other")
        _, done = sync(place, lock, other)
        assert not done.failed
        assert done.mounted == 1
        assert sync(place, lock, other, refresh=True)[0] == []
        half = all_of(lock)[0].platforms[AMD64]
        assert len(registry.referrers("lab/tool", half.manifest.digest)) == 3
        wrong = Credentials(user="ci", password="other")
        stranger = Registry(host, ca_bundle=str(tmp_path / "registry/ca.crt"), credentials=wrong)
        outside = replace(place, backend=RegistryChannel(stranger, "lab"))
        with pytest.raises(RegistryError) as caught:
            sync(outside, lock)
        assert caught.value.code == "O085"
