"""Bundles and envelopes: what is forged, cut or too large is refused; what is proven is said."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from trust_makers import cosign, new_signer, trusted_root

from ssds.core.errors import SsdsError
from ssds.trust.bundle import SUFFIX, envelope_bundle, parse_bundle, sign_bytes
from ssds.trust.envelope import sign_envelope
from ssds.trust.files import sign_file, verify_file
from ssds.trust.keys import KINDS

LAB, OTHER = new_signer(), new_signer(name="other")
WORDS = b'{"some": "words"}\n'
FILE_BUNDLE = sign_bytes(WORDS, LAB)
ENVELOPE_BUNDLE = envelope_bundle(sign_envelope(WORDS, LAB), LAB.public)


def changed(change: Callable[[Any], object]) -> bytes:
    document = json.loads(FILE_BUNDLE)
    change(document)
    return json.dumps(document).encode()


def with_signature(text: str) -> bytes:
    return changed(lambda d: d["messageSignature"].update(signature=text))


REFUSED = {
    "empty": (b"", "O002"),
    "no json": (b"{", "O002"),
    "a list": (b"[]", "O004"),
    "a key twice": (b'{"mediaType": "a", "mediaType": "b"}', "O003"),
    "too large": (b" " * (5 << 20), "O001"),
    "deep": (b'{"a":' * 500 + b"1" + b"}" * 500, "O004"),
    "cut": (FILE_BUNDLE[:-20], "O002"),
    "older version": (
        changed(lambda d: d.update(mediaType=d["mediaType"].replace("0.3", "0.1"))),
        "X021",
    ),
    "no material": (changed(lambda d: d.pop("verificationMaterial")), "O004"),
    "a certificate": (
        changed(lambda d: d["verificationMaterial"].update(certificate={"rawBytes": "AA=="})),
        "X021",
    ),
    "nothing signed": (changed(lambda d: d.pop("messageSignature")), "X021"),
    "both kinds": (
        changed(lambda d: d.update(dsseEnvelope=json.loads(ENVELOPE_BUNDLE)["dsseEnvelope"])),
        "X021",
    ),
    "another digest": (
        changed(lambda d: d["messageSignature"]["messageDigest"].update(algorithm="SHA2_512")),
        "X021",
    ),
    "long digest": (
        changed(
            lambda d: d["messageSignature"]["messageDigest"].update(
                digest=base64.b64encode(bytes(33)).decode()
            )
        ),
        "X020",
    ),
    "signature no text": (changed(lambda d: d["messageSignature"].update(signature=7)), "X020"),
    "signature no base64": (with_signature("?"), "X020"),
    "signature in url form": (with_signature("-_8="), "X020"),
    "signature too long": (with_signature(base64.b64encode(bytes(500)).decode()), "X020"),
    "bits after the end": (with_signature("AB=="), "X020"),
    "no signatures": (
        json.dumps(
            {
                **json.loads(ENVELOPE_BUNDLE),
                "dsseEnvelope": {"payload": "", "payloadType": "x", "signatures": []},
            }
        ).encode(),
        "X020",
    ),
    "two signatures": (
        json.dumps(
            {
                **json.loads(ENVELOPE_BUNDLE),
                "dsseEnvelope": {
                    "payload": "",
                    "payloadType": "x",
                    "signatures": [{"sig": ""}] * 2,
                },
            }
        ).encode(),
        "X021",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bundle_that_is_none_is_refused_with_a_reason(case: str) -> None:
    data, code = REFUSED[case]
    with pytest.raises(SsdsError) as refused:
        parse_bundle(data)
    assert refused.value.code == code
    assert refused.value.message.startswith("the bundle")


@given(some.integers(0, len(FILE_BUNDLE) - 1), some.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_whatever_byte_of_a_file_bundle_is_changed_it_vouches_for_nothing_else(
    at: int, bits: int
) -> None:
    damaged = bytearray(FILE_BUNDLE)
    damaged[at] ^= bits
    try:
        found = parse_bundle(bytes(damaged))
    except SsdsError:
        return
    assert found.signer(b"other bytes", (LAB.public,)) is None
    signer = found.signer(WORDS, (LAB.public,))
    assert (signer is None) == (found != parse_bundle(FILE_BUNDLE))


@given(some.integers(0, len(ENVELOPE_BUNDLE) - 1), some.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_whatever_byte_of_an_envelope_is_changed_only_its_own_payload_is_believed(
    at: int, bits: int
) -> None:
    damaged = bytearray(ENVELOPE_BUNDLE)
    damaged[at] ^= bits
    try:
        found = parse_bundle(bytes(damaged)).envelope
    except SsdsError:
        return
    assert found is not None
    if found.signer((LAB.public,)) is not None:
        assert found.payload == WORDS


@given(some.integers(0, len(WORDS) - 1), some.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_one_bit_of_the_file_is_enough(at: int, bit: int) -> None:
    damaged = bytearray(WORDS)
    damaged[at] ^= 1 << bit
    assert parse_bundle(FILE_BUNDLE).signer(bytes(damaged), (LAB.public,)) is None


def test_an_envelope_of_another_type_is_not_the_same_statement() -> None:
    made = sign_envelope(WORDS, LAB)
    text = json.loads(envelope_bundle(made, LAB.public))
    text["dsseEnvelope"]["payloadType"] = "text/plain"
    found = parse_bundle(json.dumps(text).encode()).envelope
    assert found is not None
    assert found.signer((LAB.public,)) is None
    assert made.signer((OTHER.public, LAB.public)) == LAB.public


def test_a_file_is_signed_once_and_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_bytes(WORDS)
    assert sign_file(str(file), LAB)
    before = Path(f"{file}{SUFFIX}").read_bytes()
    assert before == FILE_BUNDLE
    assert not sign_file(str(file), LAB)
    assert sign_file(str(file), OTHER)
    assert sign_file(str(file), LAB)
    assert Path(f"{file}{SUFFIX}").read_bytes() == before
    with pytest.raises(SsdsError, match="is a signature"):
        sign_file(f"{file}{SUFFIX}", LAB)


def test_verification_says_in_words_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_bytes(WORDS)
    keys = [LAB.public]

    def why() -> str:
        return " ".join(verify_file(str(file), keys)[0].wrong)

    assert "is not signed" in why()
    sign_file(str(file), OTHER)
    assert "by none of the trusted keys" in why()
    sign_file(str(file), LAB)
    assert not why()
    file.write_bytes(WORDS + b"\n")
    assert "was changed after it was signed" in why()
    Path(f"{file}{SUFFIX}").write_bytes(ENVELOPE_BUNDLE)
    assert "about something else" in why()
    Path(f"{file}{SUFFIX}").write_bytes(b"{")
    assert "is not JSON" in why()
    with pytest.raises(SsdsError) as refused:
        verify_file(str(tmp_path), keys)
    assert refused.value.code == "X030"


@pytest.mark.component("cosign")
@pytest.mark.parametrize("kind", KINDS)
def test_cosign_verifies_files_that_we_sign_and_refuses_changed_ones(
    kind: str, tmp_path: Path
) -> None:
    signer = new_signer(kind)
    file = tmp_path / "words.json"
    file.write_bytes(WORDS)
    (tmp_path / "lab.pub").write_bytes(signer.public.pem)
    sign_file(str(file), signer)
    arguments = ["verify-blob", "--new-bundle-format", "--bundle", f"words.json{SUFFIX}"]
    arguments += ["--key", "lab.pub", "--trusted-root", trusted_root(tmp_path)]
    arguments += ["--insecure-ignore-tlog=true", "words.json"]
    good = cosign(tmp_path, *arguments)
    assert good.returncode == 0, good.stderr
    file.write_bytes(WORDS + b"\n")
    assert cosign(tmp_path, *arguments).returncode != 0
