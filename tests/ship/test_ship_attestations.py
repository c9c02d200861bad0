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
from ssds.oci.blobs import Blobs
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.attestations import History
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.signatures import Signing
from ssds.trust.keys import LocalSigner
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


def test_evidence_and_provenance_are_signed_once(place: Place) -> None:
    lock, history = built(place.blobs)
    kinds = ("sbom", "test", "scan", "provenance")
    wanted = {f"+ tool:1.0-r1 {kind}-attestation [{AMD64}]" for kind in kinds}
    assert wanted < set(sync(place, lock, history))
    assert sync(place, lock, history, at=8) == []
    again = sync(place, lock, history, signer=new_signer(), at=9)
    assert wanted < set(again)
    assert all("attestation" in line or "signature" in line for line in again)


def test_a_build_that_the_store_forgot_gives_no_provenance(place: Place) -> None:
    if not isinstance(place.backend, LayoutChannel):
        pytest.skip("the plan is the same everywhere")
    lock, _ = built(place.blobs)
    forgot = History(preimage=lambda _: None, claims=lambda _: ())
    assert not [line for line in sync(place, lock, forgot) if "provenance" in line]


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
        "linux/amd64: lab says: a scan found 0 advisories",
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
