"""Signed images: every tampering is refused, with a reason; what is proven is said."""

from __future__ import annotations

import base64
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import Place, Source, lock_of
from channel_places import sync as plain_sync
from ship_makers import AMD64, image, release, small_tar
from trust_makers import new_signer, no_history

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import SsdsError
from ssds.core.platform import Platform
from ssds.lock.model import Lock
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.layout import Layout
from ssds.oci.names import fallback_tag
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.signatures import Signing
from ssds.trust.bundle import BUNDLE_TYPE
from ssds.trust.keys import LocalSigner
from ssds.trust.report import Report
from ssds.trust.simple import PAYLOAD_TYPE, SIGNATURE, signature_tag
from ssds.verify.images import verify_image
from ssds.verify.memory import Memory, Seen, slot
from ssds.verify.places import target_of

LAB, OTHER = new_signer(), new_signer(name="other")
KEYS = (LAB.public,)
TOOL = slot(LAB.public, "tool@1.0")
ARM64 = Platform("linux/arm64")


def index_of(lock: Lock) -> Digest:
    index = lock.variants[""].index
    assert index is not None
    return index.digest


class Shelf:
    """A layout with signed releases, and ways to tamper with it."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "out")
        self.blobs = Blobs(str(folder / "blobs"))
        channel = Channel(name="local", kind="layout", location="out")
        backend = LayoutChannel(self.path)
        self.place = Place(
            backend=backend, channel=channel, source=Source(self.blobs), blobs=self.blobs
        )

    def sign(self, *locks: Lock, signer: LocalSigner = LAB) -> None:
        signing = Signing(signer=signer, channel=self.place.channel, history=no_history())
        plain_sync(self.place, *locks, signing=signing)

    @property
    def layout(self) -> Layout:
        return Layout(self.path)

    def tag(self, name: str, entry: types.Descriptor) -> None:
        self.layout.set_tags({name: entry})

    def verify(self, text: str = "tool:1.0", memory: Memory | None = None) -> Report:
        return verify_image(target_of(f"oci:{self.path}:{text}"), KEYS, memory)[0]

    def spoil(self, digest: Digest, at: int = -1, bit: int = 0) -> None:
        """Changes one bit of a blob on disk."""
        path = Path(self.path, "blobs", "sha256", digest.hex)
        data = bytearray(path.read_bytes())
        data[at if at >= 0 else len(data) // 2] ^= 1 << bit
        path.chmod(0o644)
        path.write_bytes(bytes(data))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def two_platforms(blobs: Blobs) -> Lock:
    halves = {
        platform: image(blobs, [small_tar({"bin/tool": str(platform).encode()})], [], {}, platform)
        for platform in (AMD64, ARM64)
    }
    return release(blobs, halves[AMD64], others={ARM64: halves[ARM64]})


def test_a_signed_release_is_proven_and_what_is_not_is_said(shelf: Shelf) -> None:
    lock = two_platforms(shelf.blobs)
    shelf.sign(lock)
    report = shelf.verify()
    assert report.good
    assert report.proven == (
        f"lab signed {index_of(lock)}",
        "it is tool@1.0 r1",
        "manifests, configs, layers of linux/amd64 linux/arm64 are what was signed",
    )
    assert any("that it is the newest" in text for text in report.unproven)
    assert shelf.verify("tool:latest").good
    assert shelf.verify("tool:1.0-r1").good


# -- tampering -------------------------------------------------------------------------------------


def unsigned(shelf: Shelf) -> str:
    plain_sync(shelf.place, lock_of(shelf.blobs, "tool"))
    return "tool:1.0"


def by_another_key(shelf: Shelf) -> str:
    shelf.sign(lock_of(shelf.blobs, "tool"), signer=OTHER)
    return "tool:1.0"


def another_version_under_the_tag(shelf: Shelf) -> str:
    locks = [lock_of(shelf.blobs, "tool", version=v) for v in ("1.0", "2.0")]
    shelf.sign(*locks)
    shelf.tag("tool:2.0", shelf.layout.tags()["tool:1.0-r1"])
    return "tool:2.0"


def another_tool_under_the_name(shelf: Shelf) -> str:
    lock = lock_of(shelf.blobs, "other")
    shelf.sign(lock, lock_of(shelf.blobs, "tool"))
    tags = shelf.layout.tags()
    for tag in ("1.0", signature_tag(index_of(lock)), fallback_tag(index_of(lock))):
        shelf.tag(f"tool:{tag}", tags[f"other:{tag}"])
    return "tool:1.0"


def one_platforms_image_under_the_tag(shelf: Shelf) -> str:
    lock = two_platforms(shelf.blobs)
    shelf.sign(lock)
    half = lock.variants[""].platforms[ARM64].release
    assert half is not None
    entry = types.Descriptor(
        media_type=types.MANIFEST,
        digest=half.manifest.digest,
        size_bytes=half.manifest.size_bytes,
    )
    shelf.tag("tool:1.0", entry)
    return "tool:1.0"


def swapped_platforms(shelf: Shelf) -> str:
    lock = two_platforms(shelf.blobs)
    shelf.sign(lock)
    index = types.parse_index(shelf.layout.read(index_of(lock)))
    first, second = index.manifests
    swapped = types.index_bytes(
        [replace(first, platform=second.platform), replace(second, platform=first.platform)]
    )
    shelf.layout.put_blob(swapped)
    shelf.tag("tool:1.0", types.descriptor_of(swapped, types.INDEX))
    return "tool:1.0"


def swapped_platforms_that_the_key_signed(shelf: Shelf) -> str:
    halves = {p: image(shelf.blobs, [], [], {}, p) for p in (AMD64, ARM64)}
    shelf.sign(release(shelf.blobs, halves[ARM64], others={ARM64: halves[AMD64]}))
    return "tool:1.0"


def the_signature_of_another_image(shelf: Shelf) -> str:
    locks = [lock_of(shelf.blobs, "tool", version=v) for v in ("1.0", "2.0")]
    shelf.sign(locks[0])
    plain_sync(shelf.place, *locks, at=1001)
    tags = shelf.layout.tags()
    shelf.tag(f"tool:{signature_tag(index_of(locks[1]))}",
              tags[f"tool:{signature_tag(index_of(locks[0]))}"])  # fmt: skip
    return "tool:2.0"


def a_signature_that_is_cut(shelf: Shelf) -> str:
    return with_signature(shelf, lambda text: text[:40])


def a_signature_without_base64(shelf: Shelf) -> str:
    return with_signature(shelf, lambda _: "§")


def a_signature_that_is_too_long(shelf: Shelf) -> str:
    return with_signature(shelf, lambda text: base64.b64encode(base64.b64decode(text) * 9).decode())


def with_signature(shelf: Shelf, change: Callable[[str], str]) -> str:
    lock = lock_of(shelf.blobs, "tool")
    shelf.sign(lock)
    tag = f"tool:{signature_tag(index_of(lock))}"
    document = json.loads(shelf.layout.read(shelf.layout.tags()[tag].digest))
    for layer in document["layers"]:
        layer["annotations"][SIGNATURE] = change(layer["annotations"][SIGNATURE])
    data = json.dumps(document).encode()
    shelf.layout.put_blob(data)
    shelf.tag(tag, types.descriptor_of(data, types.MANIFEST))
    shelf.layout.set_tags({}, remove=[f"tool:{fallback_tag(index_of(lock))}"])
    return "tool:1.0"


def a_payload_for_another_digest(shelf: Shelf) -> str:
    lock = lock_of(shelf.blobs, "tool")
    shelf.sign(lock)
    payload = b'{"critical":{"identity":{"docker-reference":"tool"},"image":{"docker-manifest-'
    payload += (
        f'digest":"{sha256_of(b"x")}"}},"type":"cosign container image signature"}}}}'.encode()
    )
    signature = base64.b64encode(LAB.sign(payload)).decode()
    layer = types.descriptor_of(payload, PAYLOAD_TYPE, annotations={SIGNATURE: signature})
    data = types.manifest_bytes(
        config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY), layers=[layer]
    )
    for blob in (payload, data):
        shelf.layout.put_blob(blob)
    shelf.tag(f"tool:{signature_tag(index_of(lock))}", types.descriptor_of(data, types.MANIFEST))
    return "tool:1.0"


TAMPERED = {
    unsigned: "no trusted key signed",
    by_another_key: "by other keys",
    another_version_under_the_tag: "somebody moved the tag",
    another_tool_under_the_name: "it was signed as other@1.0",
    one_platforms_image_under_the_tag: "as a part of tool@1.0",
    swapped_platforms: "no trusted key signed",
    swapped_platforms_that_the_key_signed: "the index says linux/amd64, the config linux/arm64",
    the_signature_of_another_image: "a signature of another image",
    a_signature_that_is_cut: "no trusted key signed",
    a_signature_without_base64: "not base64",
    a_signature_that_is_too_long: "no trusted key signed",
    a_payload_for_another_digest: "a signature of another image",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda f: f.__name__)
def test_a_tampered_image_is_refused_in_words(tamper: Callable[[Shelf], str], shelf: Shelf) -> None:
    report = shelf.verify(tamper(shelf))
    assert not report.good
    assert TAMPERED[tamper] in " | ".join(report.wrong)


def test_one_bit_in_any_blob_of_a_release_is_refused(shelf: Shelf) -> None:
    lock = two_platforms(shelf.blobs)
    shelf.sign(lock)
    half = lock.variants[""].platforms[AMD64].release
    assert half is not None
    parts = [index_of(lock), half.manifest.digest, half.config.digest, half.layers[0].digest]
    chance = random.Random(7)
    for digest in parts:
        size = Path(shelf.path, "blobs", "sha256", digest.hex).stat().st_size
        for _ in range(6):
            at, bit = chance.randrange(size), chance.randrange(8)
            shelf.spoil(digest, at, bit)
            with contextlib.suppress(SsdsError):  # the layout itself may refuse it
                assert not shelf.verify().good, (digest, at, bit)
            shelf.spoil(digest, at, bit)
    assert shelf.verify().good


def test_an_older_revision_is_refused_after_a_newer_one_was_verified(shelf: Shelf) -> None:
    lock = lock_of(shelf.blobs, "tool")
    shelf.sign(lock)
    known = Memory(seen={TOOL: Seen(revision=2, index=sha256_of(b"newer"))})
    assert "r2 was verified before" in shelf.verify(memory=known).wrong[0]
    _, seen = verify_image(target_of(f"oci:{shelf.path}:tool:1.0"), KEYS)
    assert seen == {TOOL: Seen(revision=1, index=index_of(lock))}

    assert shelf.verify("tool:1.0-r1", memory=known).good  # just this one was asked for
    assert shelf.verify("tool:1.0-r1", memory=Memory(
        seen={TOOL: Seen(revision=1, index=sha256_of(b"other"))})).wrong  # fmt: skip


def test_bytes_that_came_back_as_a_later_revision_are_no_tampering(shelf: Shelf) -> None:
    one = lock_of(shelf.blobs, "tool")
    half = image(shelf.blobs, [small_tar({"bin/tool": b"b"})], [], {})
    two = release(shelf.blobs, half, before=one)
    three = replace(one, variants={"": replace(one.variants[""], revision=3)})
    for lock in (one, two, three):
        shelf.sign(lock)
    for tag in ("1.0-r1", "1.0-r2", "1.0-r3", "1.0"):
        report = shelf.verify(f"tool:{tag}")
        assert report.good, (tag, report.wrong)
        assert f"it is tool@1.0 r{tag[-1] if 'r' in tag else 3}" in report.proven
    shelf.tag("tool:1.0-r2", shelf.layout.tags()["tool:1.0-r1"])
    assert "somebody moved the tag" in shelf.verify("tool:1.0-r2").wrong[0]


def referring(shelf: Shelf, subject: types.Descriptor, payload_type: str) -> types.Descriptor:
    """A bundle of nobody, as whoever may push there can attach it."""
    envelope = {"payload": "", "payloadType": payload_type, "signatures": [{"sig": "AAAA"}]}
    material = {"publicKey": {"hint": ""}}
    bundle = json.dumps({"mediaType": BUNDLE_TYPE, "verificationMaterial": material,
                         "dsseEnvelope": envelope}).encode()  # fmt: skip
    shelf.layout.put_blob(bundle)
    data = types.manifest_bytes(
        config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY),
        layers=[types.descriptor_of(bundle, BUNDLE_TYPE)],
        subject=subject,
        artifact_type=BUNDLE_TYPE,
    )
    shelf.layout.put_blob(data)
    return replace(types.descriptor_of(data, types.MANIFEST), artifact_type=BUNDLE_TYPE)


def test_what_strangers_attach_neither_stops_verification_nor_hides_ours(shelf: Shelf) -> None:
    lock = lock_of(shelf.blobs, "tool")
    shelf.sign(lock)
    index = index_of(lock)
    tag = f"tool:{fallback_tag(index)}"
    ours = types.parse_index(shelf.layout.read(shelf.layout.tags()[tag].digest)).manifests
    subject = shelf.layout.tags()["tool:1.0"]
    junk = [referring(shelf, subject, kind) for kind in ("\ud800", *map(str, range(51)))]
    listed = types.index_bytes([*junk, *ours])
    shelf.layout.put_blob(listed)
    shelf.layout.set_tags(
        {tag: types.descriptor_of(listed, types.INDEX)}, remove=[f"tool:{signature_tag(index)}"]
    )
    report = shelf.verify()
    assert report.good, report.wrong
    listed = types.index_bytes(junk)
    shelf.layout.put_blob(listed)
    shelf.tag(tag, types.descriptor_of(listed, types.INDEX))
    text = " | ".join(shelf.verify().wrong)
    assert "only 50 signatures were looked at, 2 were not" in text
    assert "half a character" in text


def test_a_damaged_signature_beside_a_good_one_is_only_told(shelf: Shelf) -> None:
    lock = lock_of(shelf.blobs, "tool")
    shelf.sign(lock)
    tag = f"tool:{signature_tag(index_of(lock))}"
    found = types.parse_manifest(shelf.layout.read(shelf.layout.tags()[tag].digest))
    shelf.spoil(found.layers[0].digest)
    report = shelf.verify()
    assert report.good  # the bundle is whole
    assert report.proven[0] == f"lab signed {index_of(lock)}"


@pytest.mark.component("registry")
def test_an_image_of_a_registry_is_verified_by_tag_and_by_digest(
    registry_host: str, shelf: Shelf
) -> None:
    channel = Channel(name="lab", kind="registry", location=f"{registry_host}/lab", insecure=True)
    backend = RegistryChannel(Registry(registry_host, insecure=True, anonymous=True), "lab")
    place = Place(backend=backend, channel=channel, source=Source(shelf.blobs), blobs=shelf.blobs)
    lock = lock_of(shelf.blobs, "tool")
    plain_sync(place, lock, signing=Signing(signer=LAB, channel=channel, history=no_history()))
    for rest in (":1.0", f"@{index_of(lock)}"):
        report, _ = verify_image(target_of(f"http://{registry_host}/lab/tool{rest}"), KEYS)
        assert report.good, report.wrong
        assert any("the layers' bytes" in text for text in report.unproven)
    with pytest.raises(SsdsError) as missing:
        verify_image(target_of(f"http://{registry_host}/lab/tool:9"), KEYS)
    assert missing.value.code == "X042"


@pytest.mark.parametrize(
    ("text", "code"),
    [("oci:x", "E245"), ("oci:x:tool", "E245"), ("http://example.org/lab/tool:1", "E246"),
     ("a b", "O098"), ("", "O130")],
)  # fmt: skip
def test_a_target_that_is_none_is_refused(text: str, code: str) -> None:
    with pytest.raises(SsdsError) as refused:
        target_of(text)
    assert refused.value.code == code
