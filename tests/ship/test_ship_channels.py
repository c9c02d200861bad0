"""Channels: the pure plan, and one conformance suite for the layout folder and a real registry."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import CHANNEL, Place, Source, as_lines, sync
from ship_makers import AMD64, digest_of, image, key, release, script, small_tar

from ssds.core.errors import InvalidValue, SsdsError
from ssds.core.model import ReleaseName
from ssds.lock.model import IndexRecord, Lock, Released, releasable
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.layout import Layout
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backends import open_channel
from ssds.ship.bringing import bring, bring_all
from ssds.ship.channels import (
    Attachment,
    index_descriptor,
    metadata_of,
    offers,
    plan_channel,
    split_location,
    version_key,
    wanted_tags,
)
from ssds.ship.evidence import METADATA_TYPE, referrer
from ssds.ship.looking import observe
from ssds.ship.observation import Observation, read_observation, write_observation
from ssds.ship.plug import Attached
from ssds.ship.record import RECORD_TYPE


def released(text: str, name: str = "tool", version: str = "1.0", **more: object) -> Released:
    index = IndexRecord(
        digest=digest_of(text), size_bytes=9, key=key(text), platforms={AMD64: digest_of("m")}
    )
    made = Released(
        id=ReleaseName(name, version),
        revision=1,
        index=index,
        metadata=digest_of(f"metadata {text}"),
        identifiers={},
        platforms={},
    )
    return replace(made, **more)  # type: ignore[arg-type]


# -- the plan is pure ------------------------------------------------------------------------------


def test_a_channel_that_was_never_observed_is_unknown() -> None:
    verbs = {change.verb for change in plan_channel(CHANNEL, [released("a")], None)}
    assert verbs == {"?"}


def test_an_empty_channel_gets_all_tags_and_the_metadata() -> None:
    changes = plan_channel(CHANNEL, [released("a")], Observation(at=1))
    assert as_lines(changes) == [
        "+ tool:1.0-r1",
        "+ tool:1.0",
        "+ tool:latest",
        "+ tool:1.0-r1 metadata",
    ]
    assert not any(change.marks for change in changes)


def test_moving_tags_are_marked_and_immutable_ones_are_never_moved() -> None:
    one, two = released("a"), released("b", revision=2)
    tags = {f"tool:{t}": one.index.digest for t in ("1.0-r1", "1.0", "latest")}
    changes = plan_channel(CHANNEL, [two], Observation(at=1, tags=tags))
    marks = {change.what: change.marks for change in changes}
    assert marks["tool:1.0"] == marks["tool:latest"] == {"irreversible"}
    assert marks["tool:1.0-r2"] == frozenset()
    same_name = plan_channel(CHANNEL, [released("b")], Observation(at=1, tags=tags))
    assert as_lines(same_name)[0] == "x tool:1.0-r1"


def test_a_moving_tag_of_a_stranger_is_refused_and_other_tags_are_unmanaged() -> None:
    stranger = digest_of("stranger")
    tags = {"tool:latest": stranger, "tool:nightly": stranger, "other:x": stranger}
    lines = as_lines(plan_channel(CHANNEL, [released("a")], Observation(at=1, tags=tags)))
    assert "x tool:latest" in lines
    assert "unmanaged tool:nightly" in lines
    assert not any("other" in line for line in lines)


def test_what_belongs_to_a_refused_release_is_refused_with_it_and_the_next_version_is_not() -> None:
    one, two = released("a"), released("b", version="2.0")
    tags = {"tool:1.0-r1": digest_of("stranger"), "tool:1.0": digest_of("x")}
    seen = Observation(at=1, tags=tags, wrote={"tool:1.0": digest_of("x")})
    report = Attachment(
        kind="release", subject=one.index.digest, size_bytes=9, digest=digest_of("report")
    )
    changes = plan_channel(
        CHANNEL, [one, two], seen, before=seen, evidence={one.index.digest: [report]}
    )
    assert as_lines(changes) == [
        "x tool:1.0-r1",
        "+ tool:2.0-r1",
        "x tool:1.0",
        "+ tool:2.0",
        "+ tool:latest",
        "x tool:1.0-r1 metadata",
        "x tool:1.0-r1 release",
        "+ tool:2.0-r1 metadata",
    ]
    of_tag = {change.what: change for change in changes}
    assert of_tag["tool:1.0"].reason == "its immutable tag is refused"
    assert of_tag["tool:1.0"].marks == frozenset()


def test_latest_is_the_newest_version_without_variant() -> None:
    found = [
        released("a", version="1.9"),
        released("b", version="1.10"),
        released("c", id=ReleaseName("tool", "2.0", "mpi")),
        released("d", version="1.10~rc1"),
    ]
    tags = wanted_tags(CHANNEL, found)["tool"]
    assert tags["latest"].id.version == "1.10"
    assert tags["2.0-mpi-r1"].id.variant == "mpi"
    assert "latest" not in wanted_tags(replace(CHANNEL, move=("version",)), found)["tool"]


def test_versions_sort_as_people_expect() -> None:
    ordered = ["1.0~rc1", "1.0", "1.0a", "1.2", "1.10", "1.10.1", "2", "10"]
    shuffled = [*ordered[4:], *ordered[:4]]
    assert sorted(shuffled, key=version_key) == ordered


def test_characters_that_tags_cannot_have_become_underscores() -> None:
    found = released("a", version="1:2.0+dfsg~1")
    assert found.full_tag == "1_2.0_dfsg_1-r1"


def test_observations_are_kept_and_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    path = str(tmp_path / "observed/local.json")
    seen = Observation(
        at=5, tags={"a:1": digest_of("x")}, metadata={digest_of("y"): digest_of("z")}
    )
    assert read_observation(path) is None
    write_observation(path, seen)
    assert read_observation(path) == seen
    for text in ("", "{", "[]", "{}", '{"observation_version": 1, "at": "x"}'):
        Path(path).write_text(text)
        assert read_observation(path) is None


def test_a_registry_needs_a_prefix() -> None:
    assert split_location("127.0.0.1:5000/lab/tools") == ("127.0.0.1:5000", "lab/tools")
    for location in ("127.0.0.1:5000", "/x", ""):
        with pytest.raises(InvalidValue):
            split_location(location)


# -- both backends pass this -------------------------------------------------------------------


def lock_of(place: Place, text: str, before: Lock | None = None, **more: object) -> Lock:
    half = image(place.blobs, [small_tar({"bin/tool": script(text)})], ["tool"], {})
    return release(place.blobs, half, before=before, **more)  # type: ignore[arg-type]


def test_a_push_is_read_back_and_a_second_one_has_nothing_to_do(place: Place) -> None:
    lock = lock_of(place, "one")
    lines, after = place.push(lock)
    assert [line[0] for line in lines] == ["+"] * 5
    (found,) = releasable(lock)
    assert after.tags["tool:1.0-r1"] == after.tags["tool:latest"] == found.index.digest
    assert after.metadata == {found.index.digest: found.metadata}
    assert after.at == 7
    lines, again = place.push(lock)
    assert [line[0] for line in lines] == ["="] * 5
    assert again == after


def test_the_next_revision_moves_tags_and_keeps_the_earlier_one(place: Place) -> None:
    one = lock_of(place, "one")
    place.push(one)
    two = lock_of(place, "two", before=one)
    lines, after = place.push(two)
    assert "+ tool:1.0" in lines
    digests = [releasable(lock)[0].index.digest for lock in (one, two)]
    assert [after.tags[f"tool:1.0-r{n}"] for n in (1, 2)] == digests
    assert after.tags["tool:latest"] == digests[1]


def test_new_metadata_replaces_the_referrer_and_moves_no_tag(place: Place) -> None:
    one = lock_of(place, "one")
    place.push(one)
    changed = lock_of(place, "one", before=one, about={"fields": {"summary": "new"}})
    lines, after = place.push(changed)
    told = [line for line in lines if line[0] == "+"]
    assert told == ["+ tool:1.0-r1 metadata", "+ tool:1.0-r1 release"]
    (found,) = releasable(changed)
    assert after.metadata == {found.index.digest: found.metadata}


def test_tags_that_were_moved_to_another_known_revision_are_drift_too(place: Place) -> None:
    one = lock_of(place, "one")
    place.push(one)
    two = lock_of(place, "two", before=one)
    _, before = place.push(two)
    first, second = (releasable(lock)[0].index.digest for lock in (one, two))
    place.set_tag("tool", "1.0", first)
    place.set_tag("tool", "1.0-r1", second)
    more = {"kept": False, "remembered": before, "anew": True}
    lines, done = sync(place, two, **more)
    assert lines == ["x tool:1.0", "x tool:1.0-r1"]
    assert "drift" in done.changes[1].marks
    assert sync(place, two, remembered=done.after)[0] == lines
    repairing = replace(place, channel=replace(place.channel, on_drift="repair"))
    lines, done = sync(repairing, two, remembered=done.after)
    assert lines == ["+ tool:1.0", "+ tool:1.0-r1"]
    assert not done.failed
    assert (done.after.tags["tool:1.0"], done.after.tags["tool:1.0-r1"]) == (second, first)
    assert sync(place, two, remembered=done.after, anew=True)[0] == []


def test_a_tag_that_another_workspace_moved_on_is_no_drift(tmp_path: Path) -> None:
    revisions = [released(t, revision=n) for n, t in enumerate("abc", start=1)]
    names = {f"tool:1.0-r{n}": r.index.digest for n, r in enumerate(revisions, start=1)}
    first, second, _ = names.values()
    before = Observation(at=1, tags={"tool:1.0-r1": first, "tool:1.0": first})
    now = Observation(at=2, tags={**names, "tool:1.0": second})
    changes = plan_channel(CHANNEL, revisions[2:], now, before=before)
    (change,) = [c for c in changes if c.what == "tool:1.0"]
    assert (change.verb, "drift" in change.marks) == ("+", False)


def test_some_of_the_releases_are_delivered_as_all_of_them_say(place: Place) -> None:
    old, new = lock_of(place, "old"), lock_of(place, "new", version="2.0")
    chosen = frozenset({releasable(old)[0].id})
    lines, done = sync(place, old, new, only=chosen)
    assert lines == [
        "+ tool:1.0-r1",
        "+ tool:1.0",
        "+ tool:1.0-r1 metadata",
        "+ tool:1.0-r1 release",
    ]
    assert "tool:latest" not in done.after.tags
    lines, done = sync(place, old, new, remembered=done.after)
    assert "+ tool:latest" in lines
    assert not any("1.0" in line for line in lines)
    assert done.after.tags["tool:latest"] == releasable(new)[0].index.digest


def test_an_earlier_revision_whose_bytes_are_gone_is_told_and_its_tag_left(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    repairing = replace(CHANNEL, on_drift="repair")
    backend = open_channel(repairing, str(tmp_path))
    place = Place(backend=backend, channel=repairing, source=Source(blobs), blobs=blobs)
    one = lock_of(place, "one")
    place.push(one)
    two = lock_of(place, "two", before=one)
    _, before = place.push(two)
    first, second = (releasable(lock)[0] for lock in (one, two))
    place.set_tag("tool", "1.0-r1", second.index.digest)
    Layout(str(tmp_path / "out")).blobs.remove(first.platforms[AMD64].layers[0].digest)
    lines, done = sync(place, two, remembered=before)
    assert lines == ["+ tool:1.0-r1"]
    assert [error.code for error in done.failed.values()] == ["D037"]
    assert done.after.tags["tool:1.0-r1"] == second.index.digest


def test_a_removed_tag_comes_back_and_a_strangers_tag_stays(place: Place) -> None:
    one, other = lock_of(place, "one"), lock_of(place, "other", version="2.0")
    place.push(one, other)
    stranger = releasable(one)[0].index.digest
    place.set_tag("tool", "nightly", stranger)
    place.set_tag("tool", "2.0-r1", stranger)
    lines, after = place.push(one, other)
    assert "x tool:2.0-r1" in lines
    assert "unmanaged tool:nightly" in lines
    assert after.tags["tool:2.0-r1"] == stranger
    assert after.tags["tool:nightly"] == stranger


def test_a_refused_release_gets_no_other_tag_and_the_rest_is_pushed(place: Place) -> None:
    one, other = lock_of(place, "one"), lock_of(place, "other", version="2.0")
    place.push(one)
    place.set_tag("tool", "2.0-r1", releasable(one)[0].index.digest)
    third = lock_of(place, "third", version="3.0")
    lines, after = place.push(one, other, third)
    assert "x tool:2.0-r1" in lines
    assert "tool:2.0" not in after.tags
    assert after.tags["tool:latest"] == releasable(third)[0].index.digest


def test_missing_bytes_leave_no_tag(place: Place) -> None:
    lock = lock_of(place, "one")
    half = releasable(lock)[0].platforms[AMD64]
    place.blobs.remove(half.layers[0].digest)
    with pytest.raises(SsdsError):
        place.push(lock)
    found = observe(place.backend, releasable(lock), 1)
    assert not any("1.0" in tag for tag in found.tags)


def test_two_names_are_apart(place: Place) -> None:
    _, after = place.push(lock_of(place, "a", name="alpha"), lock_of(place, "b", name="beta"))
    assert {tag.partition(":")[0] for tag in after.tags} == {"alpha", "beta"}


def test_a_pushed_release_can_be_brought_back_without_building(
    place: Place, tmp_path: Path
) -> None:
    (found,) = releasable(lock_of(place, "one"))
    _, after = place.push(lock_of(place, "one"))
    offered = offers(found, after)
    half = found.platforms[AMD64]
    assert {found.index.digest, half.manifest.digest, half.layers[0].diff_id} <= offered
    assert found.metadata in offered
    elsewhere = Source(Blobs(str(tmp_path / "elsewhere")))
    bring(place.backend, found, offered, elsewhere, lambda _: None)  # type: ignore[arg-type]
    assert all(elsewhere.blobs.has(digest) for digest in offered)


def test_only_what_is_wanted_is_brought(place: Place, tmp_path: Path) -> None:
    (found,) = releasable(lock_of(place, "one"))
    place.push(lock_of(place, "one"))
    elsewhere = Source(Blobs(str(tmp_path / "elsewhere")))
    wanted = {found.index.digest}
    bring(place.backend, found, wanted, elsewhere, lambda _: None)  # type: ignore[arg-type]
    assert set(elsewhere.blobs.all()) == wanted


def test_releases_are_brought_together_and_one_that_is_not_there_costs_no_other(
    place: Place, tmp_path: Path
) -> None:
    base = small_tar({"base": bytes(9000)})
    locks = []
    for name in ("absent", "one", "two"):
        half = image(place.blobs, [base, small_tar({name: script(name)})], [name], {})
        locks.append(release(place.blobs, half, name=name))
    place.push(*locks[1:])
    found = [r for lock in locks for r in releasable(lock)]
    wanted = [(r, {r.platforms[AMD64].manifest.digest}) for r in found]
    elsewhere = Source(Blobs(str(tmp_path / "elsewhere")))
    said: list[str] = []
    failed = bring_all(place.backend, wanted, elsewhere, said.append)  # type: ignore[arg-type]
    assert {str(name): error.code for name, error in failed.items()} == {"absent@1.0": "D047"}
    layers = {layer.digest for r in found[1:] for layer in r.platforms[AMD64].layers}
    assert len(layers) == 3  # the first one is shared, and came once
    assert all(elsewhere.blobs.has(digest) for digest in layers)
    assert len(said) == len(layers) + len(found[1:])  # with the configs


def test_a_channel_with_another_index_under_the_tag_offers_nothing(place: Place) -> None:
    one, two = lock_of(place, "one"), lock_of(place, "two")
    _, after = place.push(one)
    assert offers(releasable(two)[0], after) == frozenset()
    assert offers(releasable(one)[0], None) == frozenset()


def test_bytes_that_left_the_channel_are_told(place: Place, tmp_path: Path) -> None:
    lock = lock_of(place, "never pushed")
    (found,) = releasable(lock)
    place.push(lock_of(place, "other", name="other"))
    elsewhere = Source(Blobs(str(tmp_path / "elsewhere")))
    with pytest.raises(SsdsError):
        bring(place.backend, found, {found.index.digest}, elsewhere, lambda _: None)  # type: ignore[arg-type]


# -- other tools -------------------------------------------------------------------------------


@pytest.mark.component("skopeo")
def test_skopeo_reads_a_release_from_the_layout(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    half = image(blobs, [small_tar({"bin/tool": script("x")})], ["tool"], {})
    lock = release(blobs, half)
    backend = open_channel(CHANNEL, str(tmp_path))
    Place(backend=backend, channel=CHANNEL, source=Source(blobs), blobs=blobs).push(lock)
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/out:tool:1.0-r1"],
        capture_output=True,
        check=True,
    )
    assert json.loads(shown.stdout)["manifests"][0]["digest"] == half.manifest.digest


def test_referrers_of_others_stay_in_the_layout(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    half = image(blobs, [small_tar({"bin/tool": script("x")})], ["tool"], {})
    lock = release(blobs, half)
    backend = LayoutChannel(str(tmp_path / "out"))
    (found,) = releasable(lock)
    Place(backend=backend, channel=CHANNEL, source=Source(blobs), blobs=blobs).push(lock)
    layout = Layout(backend.path)
    other = types.manifest_bytes(
        config=types.descriptor_of(b"{}", types.EMPTY),
        layers=[],
        subject=index_descriptor(found),
        artifact_type="application/example",
    )
    layout.put_blob(other)
    tag = f"tool:sha256-{found.index.digest.hex}"
    known = types.parse_index(layout.read(layout.tags()[tag].digest)).manifests
    entry = replace(types.descriptor_of(other, types.MANIFEST), artifact_type="application/example")
    listed = types.index_bytes([*known, entry])
    layout.put_blob(listed)
    layout.set_tags({tag: types.descriptor_of(listed, types.INDEX)})
    (item,) = metadata_of(found)
    manifest, content = referrer(item, b"{}")
    backend.attach("tool", [Attached(item=item, manifest=manifest, content=content)])
    kinds = types.parse_index(layout.read(layout.tags()[tag].digest)).manifests
    assert sorted(e.artifact_type for e in kinds) == [
        "application/example",
        METADATA_TYPE,
        RECORD_TYPE,
    ]


def test_looking_at_a_layout_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    assert observe(LayoutChannel(str(tmp_path / "no")), [released("a")], 3) == Observation(at=3)
    assert os.listdir(tmp_path) == []
