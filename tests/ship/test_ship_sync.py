"""Sync: state, drift, evidence, mounts, and what it costs where nothing is to be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import (
    CHANNEL,
    Place,
    Source,
    all_of,
    as_lines,
    lock_of,
    look,
    sync,
    with_evidence,
)
from fault_registry import FaultRegistry, fault_registry
from ship_makers import AMD64, digest_of, image, release, script, small_tar

from ssds.core.canonical import canonical_bytes
from ssds.core.model import ReleaseName
from ssds.delivery import change_rows
from ssds.lock.model import Lock
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.names import fallback_tag
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.changes import Change
from ssds.ship.channels import plan_channel
from ssds.ship.observation import Observation
from ssds.ship.syncing import TRUST_S
from ssds.trust.envelope import IN_TOTO


@pytest.fixture(params=[True, False], ids=["referrers api", "tag schema"])
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultRegistry]:
    monkeypatch.setattr("ssds.oci.transport.BACKOFF_S", (0.01, 0.02))
    with fault_registry(referrers_api=request.param) as made:
        yield made


@pytest.fixture
def lab(server: FaultRegistry, tmp_path: Path) -> Place:
    """A channel on the registry that counts and fails."""
    blobs = Blobs(str(tmp_path / "blobs"))
    registry = Registry(server.host, insecure=True, anonymous=True)
    channel = Channel(name="lab", kind="registry", location=f"{server.host}/lab", insecure=True)
    backend = RegistryChannel(registry, "lab")
    return Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)


def with_scan(place: Place, lock: Lock, finding: str) -> Lock:
    """The lock after a later scan."""
    section = lock.variants[""].platforms[AMD64]
    newer = place.blobs.put(canonical_bytes({"findings": [{"id": finding}]}))
    scan = replace(section.latest["scan"], outputs={"findings": newer})
    sections = {AMD64: replace(section, latest={**section.latest, "scan": scan})}
    return replace(lock, variants={"": replace(lock.variants[""], platforms=sections)})


# -- the plan is pure ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "removed", "moved"),
    [("restore", "+", "x"), ("repair", "+", "+"), ("refuse", "x", "x")],
)
def test_drift_is_told_apart_from_news_and_the_channel_says_what_is_done(
    policy: str, removed: str, moved: str, tmp_path: Path
) -> None:
    lock = lock_of(Blobs(str(tmp_path)), "tool")
    (found,) = all_of(lock)
    ours = {f"tool:{t}": found.index.digest for t in ("1.0-r1", "1.0", "latest")}
    before = Observation(at=1, tags=ours, metadata={found.index.digest: found.metadata})  # type: ignore[dict-item]
    channel = replace(CHANNEL, on_drift=policy)
    others = {"tool:1.0-r1": digest_of("other"), "tool:1.0": digest_of("stranger")}
    now = replace(before, tags={**ours, **others})
    changes = [c for c in plan_channel(channel, [found], now, before=before) if c.verb != "="]
    assert [(c.verb, c.what) for c in changes] == [(moved, what) for what in others]
    there = {tag: digest for tag, digest in ours.items() if tag != "tool:latest"}
    lost = {"tool:1.0-r1": (digest_of("layer"),)}
    now = replace(before, tags=there, metadata={}, lost=lost)
    gone = [c for c in plan_channel(channel, [found], now, before=before) if c.verb != "="]
    assert [c.verb for c in gone] == [removed] * 3
    changes = [*changes, *gone]
    assert all(c.reason.startswith("drift: ") for c in changes)
    assert all("drift" in c.marks for c in changes)
    marked = {c.what for c in changes if "irreversible" in c.marks}
    assert marked == ({"tool:1.0-r1", "tool:1.0"} if policy == "repair" else set())


def test_a_tag_that_was_never_ours_is_not_repaired(tmp_path: Path) -> None:
    (found,) = all_of(lock_of(Blobs(str(tmp_path)), "tool"))
    stranger = {"tool:latest": digest_of("stranger")}
    seen = Observation(at=1, tags=stranger)
    channel = replace(CHANNEL, on_drift="repair")
    lines = as_lines(plan_channel(channel, [found], seen, before=seen))
    assert "x tool:latest" in lines


# -- all kinds of channels -------------------------------------------------------------------------


def test_evidence_is_attached_once_and_replaced_when_it_is_new(place: Place) -> None:
    lock = lock_of(place.blobs, "tool", evidence=True)
    lines, done = sync(place, lock)
    assert "+ tool:1.0-r1 sbom [linux/amd64]" in lines
    assert not done.failed
    assert sync(place, lock)[0] == []
    (found,) = all_of(lock)
    later = with_scan(place, lock, "CVE-1")
    assert sync(place, later)[0] == ["+ tool:1.0-r1 scan [linux/amd64]"]
    assert sync(place, later, refresh=True)[0] == []
    assert found.index.digest in done.after.metadata


def test_evidence_about_another_image_is_not_attached(place: Place) -> None:
    lock = with_evidence(place.blobs, lock_of(place.blobs, "tool"), about=digest_of("later"))
    assert not any("[linux/amd64]" in line for line in sync(place, lock)[0])


def test_evidence_whose_bytes_are_not_here_is_told_and_comes_later(place: Place) -> None:
    lock = lock_of(place.blobs, "tool", evidence=True)
    findings = lock.variants[""].platforms[AMD64].latest["scan"].outputs["findings"]
    kept = place.blobs.read(findings)
    place.blobs.remove(findings)
    lines, done = sync(place, lock)
    assert not done.failed
    assert "+ tool:1.0-r1 test [linux/amd64]" in lines
    assert [line for line in lines if "scan" in line] == ["w tool:1.0-r1 scan [linux/amd64]"]
    place.blobs.put(kept)
    assert sync(place, lock)[0] == ["+ tool:1.0-r1 scan [linux/amd64]"]


def test_one_release_that_cannot_be_brought_leaves_the_others_alone(place: Place) -> None:
    good, bad = lock_of(place.blobs, "good"), lock_of(place.blobs, "bad")
    place.blobs.remove(all_of(bad)[0].platforms[AMD64].layers[1].digest)
    _, done = sync(place, good, bad)
    assert [str(name) for name in done.failed] == ["bad@1.0"]
    assert "good:latest" in done.after.tags
    assert not any(tag.startswith("bad:") for tag in done.after.tags)
    lock_of(place.blobs, "bad")
    lines, done = sync(place, good, bad)
    assert not done.failed
    assert {line.split()[1].partition(":")[0] for line in lines} == {"bad"}


# -- registries ------------------------------------------------------------------------------------


def test_what_is_attached_names_its_subject_and_says_what_it_is(
    lab: Place, server: FaultRegistry
) -> None:
    lock = lock_of(lab.blobs, "tool", evidence=True)
    sync(lab, lock)
    half = all_of(lock)[0].platforms[AMD64]
    registry = Registry(server.host, insecure=True, anonymous=True)
    entries = registry.referrers("lab/tool", half.manifest.digest)
    kinds = {e.annotations["vnd.ssds.kind"]: e for e in entries}
    assert sorted(kinds) == ["sbom", "scan", "test"]
    assert kinds["sbom"].artifact_type == "application/vnd.cyclonedx+json"
    manifest = types.parse_manifest(registry.fetch_manifest("lab/tool", kinds["test"].digest)[1])
    assert manifest.subject is not None
    assert manifest.subject.digest == half.manifest.digest
    assert manifest.layers[0].media_type == IN_TOTO
    statement = server.blobs["lab/tool"][manifest.layers[0].digest]
    assert half.manifest.digest.hex.encode() in statement
    listed = [tag for tag in server.tags["lab/tool"] if tag.startswith("sha256-")]
    assert bool(listed) is not server.referrers_api


@pytest.mark.parametrize("status", ["403", "405"])
def test_where_nothing_may_be_removed_evidence_is_replaced_and_tags_move(
    lab: Place, server: FaultRegistry, status: str
) -> None:
    lock = lock_of(lab.blobs, "tool", evidence=True)
    sync(lab, lock)
    server.fault = lambda method, path: status if method == "DELETE" else ""
    del server.tags["lab/tool"]["latest"]
    newer = with_scan(lab, lock, "CVE-1")
    lines, done = sync(lab, newer, refresh=True)
    assert not done.failed
    assert "+ tool:1.0-r1 scan [linux/amd64]" in lines
    assert "latest" in server.tags["lab/tool"]


def test_a_forged_entry_in_a_list_of_referrers_removes_no_image(
    lab: Place, server: FaultRegistry
) -> None:
    lock = lock_of(lab.blobs, "tool", evidence=True)
    sync(lab, lock)
    half = all_of(lock)[0].platforms[AMD64]
    registry = Registry(server.host, insecure=True, anonymous=True)
    forged = types.Descriptor(
        media_type=types.MANIFEST,
        digest=half.manifest.digest,
        size_bytes=half.manifest.size_bytes,
        annotations={"vnd.ssds.kind": "scan"},
    )
    known = registry.referrers("lab/tool", half.manifest.digest)
    server.referrers_api = False
    entries = types.index_bytes([*known, forged])
    tag = fallback_tag(half.manifest.digest)
    registry.push_manifest("lab/tool", tag, types.INDEX, entries)
    lines, _ = sync(lab, with_scan(lab, lock, "CVE-1"), refresh=True)
    assert "+ tool:1.0-r1 scan [linux/amd64]" in lines
    assert str(half.manifest.digest) in server.manifests["lab/tool"]


def test_a_shared_layer_is_sent_once_and_mounted_elsewhere(
    lab: Place, server: FaultRegistry
) -> None:
    one, two, later = (lock_of(lab.blobs, name) for name in ("one", "two", "later"))
    shared = all_of(one)[0].platforms[AMD64].layers[0].digest
    sync(lab, one, two)
    _, done = sync(lab, one, two, later)
    assert shared not in done.sent
    assert done.mounted == 1
    assert all(str(shared) in server.blobs[f"lab/{n}"] for n in ("one", "two", "later"))
    puts = sum(line.startswith("PUT") and "/uploads/" in line for line in server.asked)
    assert server.count("POST") - puts >= 2 + 1  # the layer twice, and the empty config


def test_nothing_to_do_costs_two_round_trips_however_many_releases(
    lab: Place, server: FaultRegistry
) -> None:
    locks = [lock_of(lab.blobs, f"tool{n}", evidence=n == 0) for n in range(6)]
    sync(lab, *locks)
    server.asked.clear()
    lines, done = sync(lab, *locks, at=1000 + TRUST_S - 1)
    assert lines == []
    assert not done.sent
    assert len(server.asked) == 2


def test_what_is_new_is_looked_at_and_the_rest_is_not(lab: Place, server: FaultRegistry) -> None:
    one, two = lock_of(lab.blobs, "one"), lock_of(lab.blobs, "two")
    sync(lab, one)
    server.asked.clear()
    sync(lab, one, two)
    assert not any("/lab/one/tags" in line for line in server.asked)
    assert server.count("GET /v2/lab/two/tags") == 2


def test_drift_is_seen_on_request_and_after_a_week_and_stays_known(
    lab: Place, server: FaultRegistry
) -> None:
    lock, other = lock_of(lab.blobs, "tool"), lock_of(lab.blobs, "tool", version="2.0")
    sync(lab, lock, other)
    (found, _) = all_of(lock, other)
    tags = server.tags["lab/tool"]
    digest = str(found.platforms[AMD64].manifest.digest)
    tags["1.0"] = digest
    assert sync(lab, lock, other)[0] == []
    assert sync(lab, lock, other, at=1000 + TRUST_S)[0] == ["x tool:1.0"]
    assert tags["1.0"] == digest
    assert sync(lab, lock, other, at=1000 + TRUST_S)[0] == ["x tool:1.0"]
    repairing = replace(lab, channel=replace(lab.channel, on_drift="repair"))
    assert sync(repairing, lock, other, at=1000 + TRUST_S)[0] == ["+ tool:1.0"]
    assert tags["1.0"] == str(found.index.digest)
    assert sync(lab, lock, other, at=1000 + TRUST_S)[0] == []


def test_drift_of_a_refused_release_stays_known_and_is_repaired_when_it_agrees_again(
    lab: Place, server: FaultRegistry
) -> None:
    lab = replace(lab, channel=replace(lab.channel, on_drift="repair"))
    ours = lock_of(lab.blobs, "tool")
    sync(lab, ours)
    (found,) = all_of(ours)
    server.tags["lab/tool"]["1.0"] = str(found.platforms[AMD64].manifest.digest)
    half = image(lab.blobs, [small_tar({"bin/tool": script("another")})], ["tool"], {})
    conflicting = release(lab.blobs, half)
    lines, _ = sync(lab, conflicting, refresh=True)
    assert lines[:2] == ["x tool:1.0-r1", "x tool:1.0"]
    assert sync(lab, ours, refresh=True)[0] == ["+ tool:1.0"]
    assert server.tags["lab/tool"]["1.0"] == str(found.index.digest)


def test_the_plan_shows_no_mark_that_its_form_does_not_have() -> None:
    drift = Change(
        where="lab",
        what="tool:1.0",
        verb="+",
        reason="",
        marks=frozenset({"drift", "irreversible"}),
    )
    (row,) = change_rows([(drift, ReleaseName("tool", "1.0"))])
    assert row.marks == ("irreversible",)


def test_a_lost_blob_is_seen_by_refresh_and_brought_again(
    lab: Place, server: FaultRegistry
) -> None:
    lock = lock_of(lab.blobs, "tool")
    sync(lab, lock)
    layer = str(all_of(lock)[0].platforms[AMD64].layers[1].digest)
    del server.blobs["lab/tool"][layer]
    refusing = replace(lab, channel=replace(lab.channel, on_drift="refuse"))
    assert as_lines(look(refusing, lock, refresh=True).changes)[3] == "x tool:1.0-r1 bytes"
    assert sync(lab, lock, refresh=True)[0] == ["+ tool:1.0-r1 bytes"]
    assert layer in server.blobs["lab/tool"]
    assert sync(lab, lock, refresh=True)[0] == []


def test_a_state_that_cannot_be_read_is_no_state(lab: Place, server: FaultRegistry) -> None:
    lock = lock_of(lab.blobs, "tool")
    sync(lab, lock)
    start = '{"observation_version": 1, "metadata": {}, '
    zeros = "sha256:" + "0" * 64
    for data in (
        *(b"", b"[]", b'{"observation_version": 1}', b"{" * 2000, b"\xff"),
        f'{start} "tags": {{}}, "at": 1e400}}'.encode(),
        f'{start} "tags": {{}}, "at": 1, "evidence": {{"no digest": "{zeros}"}}}}'.encode(),
        f'{start} "tags": {{"other:\\ud800": "{zeros}"}}, "at": 1}}'.encode(),
    ):
        lab.backend.write_state(data)
        assert sync(lab, lock)[0] == []
        lab.backend.write_state(data)
        assert sync(lab, lock, refresh=True)[0] == []
    registry = Registry(server.host, insecure=True, anonymous=True)
    registry.push_manifest("lab/ssds-state", "state", types.INDEX, types.index_bytes([]))
    assert sync(lab, lock)[0] == []
    for refresh in (False, True):
        server.blobs["lab/ssds-state"].clear()
        lab.backend._with_empty.clear()  # type: ignore[attr-defined]
        assert sync(lab, lock, refresh=refresh)[0] == []


def test_a_push_without_sync_obeys_on_drift_too(lab: Place, server: FaultRegistry) -> None:
    lock = lock_of(lab.blobs, "tool")
    sync(lab, lock)
    del server.tags["lab/tool"]["latest"]
    refusing = replace(lab, channel=replace(lab.channel, on_drift="refuse"))
    assert "x tool:latest" in refusing.push(lock)[0]
    assert "latest" not in server.tags["lab/tool"]
    assert "+ tool:latest" in lab.push(lock)[0]
    assert "latest" in server.tags["lab/tool"]


def test_a_state_beyond_the_limit_or_refused_is_no_state(
    lab: Place, server: FaultRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lock_of(lab.blobs, "tool")
    sync(lab, lock)
    server.fault = lambda method, path: "403" if method == "GET" and "/ssds-state/" in path else ""
    assert sync(lab, lock)[0] == []


def test_evidence_of_a_refused_release_is_no_other_writers_work(lab: Place) -> None:
    one = lock_of(lab.blobs, "tool")
    sync(lab, one)
    lab.set_tag("tool", "2.0-r1", all_of(one)[0].index.digest)
    more = [lock_of(lab.blobs, "tool", evidence=True, version=v) for v in ("2.0", "3.0")]
    lines, done = sync(lab, one, *more, refresh=True)
    assert not done.failed
    assert {line[0] for line in lines if "2.0" in line} == {"x"}
    assert {line[0] for line in lines if "3.0" in line} == {"+"}
    assert "tool:2.0" not in done.after.tags
