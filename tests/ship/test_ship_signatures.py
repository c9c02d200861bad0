"""Signatures of releases: made once, beside those of others, and verified by other programs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from channel_places import Place, as_lines, lock_of, look
from channel_places import sync as plain_sync
from ship_makers import AMD64
from trust_makers import TRIXIE, cosign, new_signer, no_history, trusted_root

from ssds.core.digest import Digest
from ssds.lock.model import Lock
from ssds.oci import types
from ssds.oci.registry import Registry
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.signatures import KIND, CosignLayer, Signing
from ssds.trust.bundle import parse_bundle
from ssds.trust.keys import LocalSigner
from ssds.trust.simple import SIGNATURE, parse_payload, signature_tag, with_signature
from ssds.trust.statement import parse_statement

LAB = new_signer()


def sync(
    place: Place, *locks: Lock, signer: LocalSigner | None = None, **more: Any
) -> tuple[list[str], object]:
    signing = (
        Signing(signer=signer, channel=place.channel, history=no_history()) if signer else None
    )
    return plain_sync(place, *locks, signing=signing, **more)


def index_of(lock: Lock) -> Digest:
    index = lock.variants[""].index
    assert index is not None
    return index.digest


def test_a_release_is_signed_once_and_again_by_another_key(place: Place) -> None:
    lock = lock_of(place.blobs, "tool")
    unsigned, _ = sync(place, lock)
    assert not [line for line in unsigned if KIND in line]
    lines, _ = sync(place, lock, at=1001, signer=LAB)
    assert lines == [f"+ tool:1.0-r1 {KIND}", f"+ tool:1.0-r1 {KIND} [{AMD64}]"]
    assert sync(place, lock, at=1002, signer=LAB)[0] == []
    assert sync(place, lock, at=1003, refresh=True, signer=LAB)[0] == []
    assert sync(place, lock, at=1004)[0] == []  # without a key nothing is taken away
    assert sync(place, lock, at=1005, signer=new_signer())[0] == lines


class Counting:
    """A key that counts what it is asked for, as a card that wants a touch each time."""

    public = LAB.public

    def __init__(self) -> None:
        self.count = 0

    def sign(self, data: bytes) -> bytes:
        self.count += 1
        return LAB.sign(data)


def test_a_look_signs_nothing_and_a_push_signs_once(place: Place) -> None:
    lock, key = lock_of(place.blobs, "tool"), Counting()
    signing = Signing(signer=key, channel=place.channel, history=no_history())
    sync(place, lock)
    found = look(place, lock, at=1001, signing=signing)
    assert [line for line in as_lines(found.changes) if KIND in line]
    assert key.count == 0
    plain_sync(place, lock, at=1002, signing=signing)
    assert key.count == 2 * 2  # of the index and of its one manifest: a payload and a bundle


def test_a_signature_whose_tag_is_gone_is_brought_again(place: Place) -> None:
    if not isinstance(place.backend, LayoutChannel):
        pytest.skip("a layout's tags are easily removed")
    lock = lock_of(place.blobs, "tool")
    sync(place, lock, signer=LAB)
    from ssds.oci.layout import Layout

    gone = f"tool:{signature_tag(index_of(lock))}"
    Layout(place.backend.path).set_tags({}, remove=[gone])
    assert sync(place, lock, at=1001, signer=LAB)[0] == [f"+ tool:1.0-r1 {KIND}"]


def test_the_bundle_and_the_payload_say_which_release_it_is(place: Place) -> None:
    if not isinstance(place.backend, LayoutChannel):
        pytest.skip("the bytes are the same everywhere")
    lock = lock_of(place.blobs, "tool")
    sync(place, lock, signer=LAB)
    from ssds.oci.layout import Layout

    layout = Layout(place.backend.path)
    tags = layout.tags()
    signed = types.parse_manifest(layout.read(tags[f"tool:{signature_tag(index_of(lock))}"].digest))
    (layer,) = signed.layers
    claimed = parse_payload(layout.read(layer.digest))
    assert (claimed.digest, claimed.reference) == (index_of(lock), "tool")
    said = {"org.ssds.release": "tool@1.0", "org.ssds.revision": 1, "org.ssds.tag": "1.0-r1"}
    assert claimed.optional == said
    listed = types.parse_index(layout.read(tags[f"tool:sha256-{index_of(lock).hex}"].digest))
    (entry,) = [e for e in listed.manifests if e.annotations["vnd.ssds.kind"] == KIND]
    blob = types.parse_manifest(layout.read(entry.digest)).layers[0]
    envelope = parse_bundle(layout.read(blob.digest)).envelope
    assert envelope is not None
    assert envelope.signer((LAB.public,)) == LAB.public
    assert parse_statement(envelope.payload).subjects == (("tool", index_of(lock)),)


def test_signatures_of_others_stay_and_the_same_one_is_added_once() -> None:
    first, _ = with_signature(None, b"{}", "AAAA")
    second, _ = with_signature(first, b"{}", "BBBB")
    third, _ = with_signature(second, b"{}", "AAAA")
    assert third == second
    found = [layer.annotations[SIGNATURE] for layer in types.parse_manifest(second).layers]
    assert found == ["AAAA", "BBBB"]


def test_attaching_a_signature_twice_leaves_one(place: Place) -> None:
    lock = lock_of(place.blobs, "tool")
    sync(place, lock)
    for _ in range(2):
        layer = CosignLayer(payload=b"{}", signature="AAAA")
        place.backend.attach_signature("tool", index_of(lock), layer)
    if isinstance(place.backend, RegistryChannel):
        repository = f"{place.backend.prefix}/tool"
        tag = signature_tag(index_of(lock))
        _, data, _ = place.backend.registry.fetch_manifest(repository, tag)
        assert len(types.parse_manifest(data).layers) == 1


# -- other programs --------------------------------------------------------------------------------


def signed_release(
    host: str, prefix: str, tmp_path: Path, signer: LocalSigner | None
) -> tuple[str, Place]:
    from channel_places import Source

    from ssds.oci.blobs import Blobs
    from ssds.recipe.model import Channel

    blobs = Blobs(str(tmp_path / "blobs"))
    channel = Channel(name="lab", kind="registry", location=f"{host}/{prefix}", insecure=True)
    backend = RegistryChannel(Registry(host, insecure=True, anonymous=True), prefix)
    place = Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)
    lock = lock_of(blobs, "tool")
    sync(place, lock, signer=signer)
    return f"{host}/{prefix}/tool@{index_of(lock)}", place


@pytest.mark.component("cosign")
@pytest.mark.component("registry")
@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_cosign_verifies_a_signed_release_and_refuses_another_key(
    kind: str, registry_host: str, tmp_path: Path
) -> None:
    signer = new_signer(kind)
    image, _ = signed_release(registry_host, f"cosign-{kind}", tmp_path, signer)
    (tmp_path / "lab.pub").write_bytes(signer.public.pem)
    (tmp_path / "other.pub").write_bytes(new_signer(kind).public.pem)
    arguments = ["verify", "--insecure-ignore-tlog=true", "--allow-insecure-registry"]
    arguments += ["--trusted-root", trusted_root(tmp_path), image]
    good = cosign(tmp_path, *arguments, "--key", "lab.pub")
    assert good.returncode == 0, good.stderr
    (found,) = json.loads(good.stdout)
    assert found["optional"]["org.ssds.release"] == "tool@1.0"
    assert cosign(tmp_path, *arguments, "--key", "other.pub").returncode != 0


@pytest.mark.component("cosign")
@pytest.mark.component("registry")
def test_skopeo_copies_only_what_the_key_signed(registry_host: str, tmp_path: Path) -> None:
    signer = new_signer()
    (tmp_path / "lab.pub").write_bytes(signer.public.pem)
    (tmp_path / "other.pub").write_bytes(new_signer().public.pem)
    (tmp_path / "registries.d").mkdir()
    (tmp_path / "registries.d/lab.yaml").write_text(
        f"docker:\n  {registry_host}:\n    use-sigstore-attachments: true\n"
    )
    signed, _ = signed_release(registry_host, "skopeo-signed", tmp_path, signer)
    unsigned, _ = signed_release(registry_host, "skopeo-unsigned", tmp_path, None)

    def copy(image: str, key: str) -> int:
        rule = {"type": "sigstoreSigned", "keyPath": str(tmp_path / key)}
        rule |= {"signedIdentity": {"type": "matchRepository"}}  # type: ignore[dict-item]
        policy = {"default": [{"type": "reject"}], "transports": {"docker": {"": [rule]}}}
        (tmp_path / "policy.json").write_text(json.dumps(policy))
        argv = [f"{TRIXIE}/skopeo", "--policy", "policy.json", "--registries.d", "registries.d"]
        argv += ["copy", "--src-tls-verify=false", f"docker://{image}", f"dir:{os.devnull}x"]
        argv[-1] = f"dir:{tmp_path}/copied"
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=60, check=False)
        return done.returncode

    assert copy(signed, "lab.pub") == 0
    assert copy(signed, "other.pub") != 0
    assert copy(unsigned, "lab.pub") != 0
