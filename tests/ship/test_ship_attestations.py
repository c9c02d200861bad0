"""Signed statements: SBOM, tests, scan and provenance, made once, verified by cosign and by us."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import Place, Source, lock_of
from channel_places import sync as plain_sync
from ship_makers import AMD64, digest_of, key
from trust_makers import cosign, new_signer, trusted_root

from ssds.core.canonical import canonical_bytes
from ssds.core.model import Claim
from ssds.lock.model import Lock
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.layout import Layout
from ssds.oci.names import fallback_tag
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.attestations import provenance
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.signatures import History, Signing
from ssds.trust.keys import LocalSigner
from ssds.trust.report import Report
from ssds.verify.images import verify_image
from ssds.verify.places import target_of

LAB = new_signer()
BASE, SOURCE, LOG = digest_of("base"), digest_of("source"), digest_of("log")
PREIMAGE = canonical_bytes(
    {
        "salt": "",
        "kind": "build",
        "kind_version": 3,
        "platform": "linux/amd64",
        "slice": {"steps": [{"run": "make"}]},
        "inputs": {"base/layer/0": str(BASE), "source/tar": str(SOURCE)},
    }
)


def built(blobs: Blobs, **more: object) -> tuple[Lock, History]:
    """A release with evidence, and a store that remembers its build."""
    lock = lock_of(blobs, "tool", evidence=True)
    section = lock.variants[""].platforms[AMD64]
    assert section.release is not None
    claim = Claim(key=key("build"), kind="build", outputs={"config": digest_of("c")})
    half = replace(section.release, actions={"build": claim})
    sections = {AMD64: replace(section, release=half)}
    made = replace(claim, builder="embedded", mode="identity", tools={"tar": "1.34"},
                   logs={"log": LOG}, **more)  # type: ignore[arg-type]  # fmt: skip
    other = replace(made, outputs={"config": digest_of("another")}, builder="stranger")
    history = History(preimage={claim.key: PREIMAGE}.get, claims=lambda _: (other, made))
    return replace(lock, variants={"": replace(lock.variants[""], platforms=sections)}), history


def sync(
    place: Place, lock: Lock, history: History, signer: LocalSigner = LAB, at: int = 7
) -> list[str]:
    signing = Signing(signer=signer, channel=place.channel, history=history)
    return plain_sync(place, lock, signing=signing, at=at)[0]


def with_claim(lock: Lock, claim: Claim) -> Lock:
    """The same with other evidence of that kind."""
    section = lock.variants[""].platforms[AMD64]
    sections = {AMD64: replace(section, latest={**section.latest, claim.kind: claim})}
    return replace(lock, variants={"": replace(lock.variants[""], platforms=sections)})


def signed(folder: Path, blobs: Blobs, lock: Lock, history: History) -> Report:
    """What verification says of the release, after a sync to a layout."""
    channel = Channel(name="local", kind="layout", location="out")
    backend = LayoutChannel(str(folder))
    place = Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)
    sync(place, lock, history)
    report, _ = verify_image(target_of(f"oci:{folder}:tool:1.0"), (LAB.public,))
    assert report.good, report.wrong
    return report


def test_an_sbom_that_is_no_json_fails_its_release_and_nothing_else(place: Place) -> None:
    lock, history = built(place.blobs)
    section = lock.variants[""].platforms[AMD64]
    assert section.release is not None
    text = place.blobs.put(f'no JSON, about "{section.release.config.digest}"'.encode())
    bad = with_claim(lock, replace(section.latest["sbom"], outputs={"sbom": text}))
    good = lock_of(place.blobs, "other")
    signing = Signing(signer=LAB, channel=place.channel, history=history)
    _, done = plain_sync(place, bad, good, signing=signing)
    assert {str(name): error.code for name, error in done.failed.items()} == {"tool@1.0": "D034"}
    assert "other:1.0-r1" in done.after.tags


def test_evidence_and_provenance_are_signed_once(place: Place) -> None:
    lock, history = built(place.blobs)
    kinds = ("sbom", "test", "scan", "provenance")
    wanted = {f"+ tool:1.0-r1 {kind}-attestation [{AMD64}]" for kind in kinds}
    assert wanted < set(sync(place, lock, history))
    assert sync(place, lock, history, at=8) == []
    other = new_signer()
    again = sync(place, lock, history, signer=other, at=9)
    assert wanted < set(again)
    assert all("attestation" in line or "signature" in line for line in again)
    for at, signer in enumerate((LAB, other, LAB), start=10):
        assert sync(place, lock, history, signer=signer, at=at) == [], "each key's stay"


def test_a_build_that_the_store_forgot_gives_no_provenance(place: Place) -> None:
    if not isinstance(place.backend, LayoutChannel):
        pytest.skip("the plan is the same everywhere")
    lock, _ = built(place.blobs)
    forgot = History(preimage=lambda _: None, claims=lambda _: ())
    assert not [line for line in sync(place, lock, forgot) if "provenance" in line]


def test_what_two_keys_say_of_an_image_is_told_side_by_side(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    backend = LayoutChannel(str(tmp_path / "out"))
    channel = Channel(name="local", kind="layout", location="out")
    place = Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)
    lock, history = built(blobs)
    other = new_signer("ed25519", "people")
    sync(place, lock, history)
    sync(place, lock, history, signer=other, at=8)
    target = target_of(f"oci:{tmp_path}/out:tool:1.0")
    report, _ = verify_image(target, (LAB.public, other.public))
    assert report.good, report.wrong
    assert [key.name for key in report.signers] == ["lab", "people"]
    assert [text for text in report.proven if "tests passed" in text] == [
        "linux/amd64: lab says: 1 tests passed",
        "linux/amd64: people says: 1 tests passed",
    ]
    for one in (LAB, other):
        alone, _ = verify_image(target, (one.public,))
        assert sum(" says: " in text for text in alone.proven) == 4


@pytest.mark.parametrize("emulated", [False, True])
def test_verification_says_what_is_signed_of_each_platform(emulated: bool, tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    channel = Channel(name="local", kind="layout", location="out")
    backend = LayoutChannel(str(tmp_path / "out"))
    place = Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)
    lock, history = built(blobs, emulated=emulated)
    sync(place, lock, history)
    report, _ = verify_image(target_of(f"oci:{tmp_path}/out:tool:1.0"), (LAB.public,))
    assert report.good
    how, builder = " by emulation" if emulated else "", "urn:ssds:builder:embedded"
    assert [text for text in report.proven if "says" in text] == [
        f"linux/amd64: lab says: {builder} built it{how} from 3 inputs (sandbox: identity)",
        "linux/amd64: lab says: its SBOM names 0 components",
        "linux/amd64: lab says: 1 tests passed",
        "linux/amd64: lab says: a scan with the set osv of 2026-11-01 found 0 advisories",
    ]
    plain = History(preimage=lambda _: None, claims=lambda _: ())
    other = Place(
        backend=LayoutChannel(str(tmp_path / "other")),
        channel=channel,
        source=Source(blobs),
        blobs=blobs,
    )
    sync(other, lock_of(blobs, "tool"), plain)
    report, _ = verify_image(target_of(f"oci:{tmp_path}/other:tool:1.0"), (LAB.public,))
    assert report.good
    assert sum("no trusted key says so" in text for text in report.unproven) == 4


def test_what_a_cache_claims_of_a_build_is_not_signed_as_our_own_word(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    lock, history = built(blobs)
    own = history.claims(key("build"))[1]
    got = replace(own, builder="neurodesk-ci", emulated=True,
                  origin="store, got from the cache farm")  # fmt: skip
    report = signed(tmp_path / "both", blobs, lock, replace(history, claims=lambda _: (got, own)))
    assert any("builder:embedded built it from" in text for text in report.proven)
    report = signed(tmp_path / "cache", blobs, lock, replace(history, claims=lambda _: (got,)))
    assert not any("built it" in text for text in report.proven)
    assert (
        "linux/amd64: who built it, and from what; lab says: it came from the cache farm, "
        "as made from 3 inputs"
    ) in report.unproven
    half = lock.variants[""].platforms[AMD64].release
    assert half is not None
    said = provenance("tool@1.0", AMD64, half, got, PREIMAGE)
    assert "neurodesk-ci" not in str(said)
    assert str(LOG) not in str(said)


def test_failed_tests_and_tests_without_a_verdict_are_not_signed_as_passed(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    lock, history = built(blobs)
    tests = {"tests": [{"name": "a", "result": "pass"}, {"name": "b", "result": "late"}]}
    report = blobs.put(canonical_bytes(tests))
    outputs = {"verdict": report, "report": report}
    failed = with_claim(lock, Claim(key=key("t"), kind="test", outputs=outputs, verdict="pass"))
    told = signed(tmp_path / "failed", blobs, failed, history)
    assert any("that tests passed; lab says: its tests did not" in t for t in told.unproven)
    assert not any("tests passed" in text for text in told.proven)
    unjudged = with_claim(lock, Claim(key=key("t"), kind="test", outputs=outputs))
    told = signed(tmp_path / "unjudged", blobs, unjudged, history)
    assert f"{AMD64}: that tests passed; no trusted key says so" in told.unproven


def scan(date: str, found: int = 0, **more: object) -> dict[str, object]:
    used = {"name": "osv", "date": date}
    return {"scanned": True, "advisories": used, "findings": [{}] * found, **more}


def with_scan(blobs: Blobs, lock: Lock, document: dict[str, object]) -> Lock:
    findings = blobs.put(canonical_bytes(document))  # type: ignore[arg-type]
    return with_claim(lock, Claim(key=key("f"), kind="scan", outputs={"findings": findings}))


def test_an_image_that_was_not_scanned_is_not_said_to_have_no_advisories(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    lock, history = built(blobs)
    lock = with_scan(blobs, lock, {"scanned": False, "findings": []})
    told = signed(tmp_path / "out", blobs, lock, history)
    assert not any("advisories" in text for text in told.proven)
    assert any("it was scanned; lab says: no advisory set was there" in t for t in told.unproven)


def test_what_a_scan_could_not_look_up_is_said(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    lock, history = built(blobs)
    more = {"uncovered": {"Debian:13": 10, "rpm": 0}, "problems": ["PyPI a: version 'x'"]}
    told = signed(
        tmp_path / "out", blobs, with_scan(blobs, lock, scan("2026-11-02", **more)), history
    )
    assert any("osv of 2026-11-02 found 0 advisories" in text for text in told.proven)
    text = " | ".join(told.unproven)
    assert "the set does not cover: Debian:13 (10), rpm (not read)" in text
    assert "1 things that the scan could not judge, as PyPI a: version 'x'" in text


def test_of_several_signed_scans_the_newest_counts_in_whatever_order(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    lock, history = built(blobs)
    folder = tmp_path / "out"
    first = signed(folder, blobs, with_scan(blobs, lock, scan("2026-10-01")), history)
    assert any("of 2026-10-01 found 0 advisories" in text for text in first.proven)
    half = lock.variants[""].platforms[AMD64].release
    assert half is not None
    tag = f"tool:{fallback_tag(half.manifest.digest)}"
    layout = Layout(str(folder))
    old = types.parse_index(layout.read(layout.tags()[tag].digest)).manifests
    signed(folder, blobs, with_scan(blobs, lock, scan("2026-11-01", 2)), history)
    new = types.parse_index(layout.read(layout.tags()[tag].digest)).manifests
    for order in ([*old, *new], [*new, *old]):  # who writes there puts the old one back
        listed = types.index_bytes(list({e.digest: e for e in order}.values()))
        layout.put_blob(listed)
        layout.set_tags({tag: types.descriptor_of(listed, types.INDEX)})
        report, _ = verify_image(target_of(f"oci:{folder}:tool:1.0"), (LAB.public,))
        (said,) = [text for text in report.proven if "a scan" in text]
        assert "of 2026-11-01 found 2 advisories (the newest of 2 that are signed)" in said


@pytest.mark.component("cosign")
@pytest.mark.component("registry")
def test_cosign_verifies_the_attestations(registry_host: str, tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    channel = Channel(
        name="lab", kind="registry", location=f"{registry_host}/attested", insecure=True
    )
    backend = RegistryChannel(Registry(registry_host, insecure=True, anonymous=True), "attested")
    place = Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)
    lock, history = built(blobs)
    sync(place, lock, history)
    (tmp_path / "lab.pub").write_bytes(LAB.public.pem)
    half = lock.variants[""].platforms[AMD64].release
    assert half is not None
    arguments = ["verify-attestation", "--new-bundle-format", "--insecure-ignore-tlog=true"]
    arguments += ["--allow-insecure-registry", "--trusted-root", trusted_root(tmp_path)]
    arguments += ["--key", "lab.pub", f"{registry_host}/attested/tool@{half.manifest.digest}"]
    for kind in ("slsaprovenance1", "cyclonedx"):
        done = cosign(tmp_path, *arguments, "--type", kind)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[0])["payloadType"].startswith("application")
    (tmp_path / "lab.pub").write_bytes(new_signer().public.pem)
    assert cosign(tmp_path, *arguments, "--type", "cyclonedx").returncode != 0
