"""What is attached to images as referrers: metadata, SBOMs, evidence of tests and scans (C13).

An SBOM is attached as it is; what tests and scans found are in-toto statements about the image's
manifest. Each is one manifest with a ``subject``; an annotation says which of ours it is, and of
what: a list of referrers then tells all, and what others attached is never touched.

Sources: OCI image specification 1.1, "Guidelines for Artifact Usage"; in-toto Attestation Framework
1.0, Statement and the predicate "Test Result".
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, SsdsError
from ssds.core.model import Claim
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.lock.model import Released, ReleaseHalf
from ssds.ship.channels import Attachment, Made
from ssds.ship.observation import Observation
from ssds.ship.record import DATA_RECORD_TYPE, RECORD_TYPE, release_record
from ssds.trust.bundle import BUNDLE_TYPE
from ssds.trust.envelope import IN_TOTO
from ssds.trust.statement import (
    CYCLONEDX,
    FINDINGS,
    SIGNED,
    SLSA,
    TEST_RESULT,
    statement_bytes,
)

if TYPE_CHECKING:
    from ssds.oci.types import Descriptor, Manifest

METADATA_TYPE = "application/vnd.ssds.metadata.v1+json"
SBOM_TYPE = "application/vnd.cyclonedx+json"
KIND_ANNOTATION = "vnd.ssds.kind"
SIGNER_ANNOTATION = "vnd.ssds.signer"
"""The beginning of the id of the key, of what is signed."""
DIGEST_ANNOTATION = "vnd.ssds.evidence"
ATTESTATION = "-attestation"
"""The end of the kind of what is signed evidence."""
_OUTPUTS = {"sbom": "sbom", "test": "report", "deploytest": "report", "scan": "findings"}
"""Kind of evidence → the output of its claim that is attached."""
_VERDICTS = {"test": "pass", "deploytest": "pass"}
"""Kind of evidence → the verdict without which it is not attached."""
_PREDICATES = {
    "signature": SIGNED,
    "provenance": SLSA,
    "sbom": CYCLONEDX,
    "test": TEST_RESULT,
    "deploytest": TEST_RESULT,
    "scan": FINDINGS,
}

Read = Callable[[Digest], bytes | None]


def evidence_of(released: Released, observed: Observation | None, read: Read) -> list[Attachment]:
    """Returns the release's record, and the evidence that is proven to be about its images.

    A lock holds the newest evidence, which may be about a later build than the released one. An
    SBOM names the image's config; what the same section holds beside it was made from it. What
    the channel has already needs no proof. What cannot be read here is said to be not here where
    the channel has nothing in its place, else left out.
    """
    found = [_record(released)]
    for platform, half in released.platforms.items():
        claims = released.evidence.get(platform, {})
        mine = [a for kind in _OUTPUTS if (a := _attachment(kind, platform, half, claims))]
        if not mine:
            continue
        there = observed is not None and all(a.held(observed) == a.digest for a in mine)
        if there:
            found += mine
            continue
        speaks = _speaks_of(half, claims.get("sbom"), read)
        for item in mine if speaks is not False else ():
            if speaks and (item.kind == "sbom" or read(item.digest) is not None):
                found.append(item)
            elif observed is None or item.held(observed) is None:
                found.append(replace(item, here=False))
    return found


def _record(released: Released) -> Attachment:
    """Returns what the lock says of the release, for who has no lock."""
    data = released.dataset.record if released.dataset else release_record(released)
    return Attachment(
        kind="dataset" if released.dataset else "release",
        subject=released.index.digest,
        size_bytes=released.index.size_bytes,
        digest=sha256_of(data),
        make=functools.partial(Made, content=data),
    )


def _attachment(
    kind: str, platform: Platform, half: ReleaseHalf, claims: Mapping[str, Claim]
) -> Attachment | None:
    claim = claims.get(kind)
    digest = claim.outputs.get(_OUTPUTS[kind]) if claim else None
    if claim is None or digest is None or claim.verdict != _VERDICTS.get(kind, ""):
        return None
    manifest = half.manifest
    return Attachment(
        kind=kind,
        subject=manifest.digest,
        size_bytes=manifest.size_bytes,
        digest=digest,
        platform=platform,
    )


def _speaks_of(half: ReleaseHalf, sbom: Claim | None, read: Read) -> bool | None:
    """Whether the SBOM names the image's config; None where it is not here."""
    if sbom is None:
        return False
    data = read(sbom.outputs["sbom"])
    return None if data is None else f'"{half.config.digest}"'.encode() in data


def document_of(attachment: Attachment, data: bytes) -> tuple[str, bytes]:
    """Returns the artefact's type and its one blob, made of the evidence's bytes."""
    if attachment.kind == "metadata":
        return METADATA_TYPE, data
    if attachment.kind == "release":
        return RECORD_TYPE, data
    if attachment.kind == "dataset":
        return DATA_RECORD_TYPE, data
    if attachment.plain_kind == "signature" or attachment.plain_kind.endswith(ATTESTATION):
        return BUNDLE_TYPE, data
    if attachment.kind == "sbom":
        return SBOM_TYPE, data
    if attachment.kind == "scan":
        return IN_TOTO, _statement(attachment, FINDINGS, loaded(attachment, data))
    tests = [t for t in loaded(attachment, data).get("tests", []) if isinstance(t, dict)]
    names: dict[str, list[str]] = {"pass": [], "skip": [], "fail": []}
    names["known"] = names["skip"]  # both are warnings
    for test in tests:  # what is none of these has failed
        names.get(str(test.get("result")), names["fail"]).append(str(test.get("name")))
    predicate = {
        "result": "FAILED" if names["fail"] else "PASSED",
        "configuration": [{"name": "report", "digest": {"sha256": attachment.digest.hex}}],
        "passedTests": names["pass"],
        "warnedTests": names["skip"],
        "failedTests": names["fail"],
    }
    return IN_TOTO, _statement(attachment, TEST_RESULT, predicate)


def loaded(attachment: Attachment, data: bytes) -> dict[str, Any]:
    """Returns the evidence; raises IntegrityError (D034) where it is no JSON object."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise IntegrityError(
            f"{attachment.digest}, the evidence of {attachment.label}, is no JSON object",
            hint="The lock names something else; run `ssds apply` for the release again.",
            code="D034",
        )
    return found


def _statement(attachment: Attachment, predicate_type: str, predicate: Any) -> bytes:
    name = str(attachment.platform)
    return statement_bytes(attachment.subject, name, predicate_type, predicate)


def referrer(attachment: Attachment, data: bytes) -> tuple[bytes, bytes]:
    """Returns the canonical manifest that attaches the evidence ``data``, and its blob."""
    from ssds.oci import types

    artifact_type, content = document_of(attachment, data)
    blob = types.Descriptor(
        media_type=artifact_type, digest=sha256_of(content), size_bytes=len(content)
    )
    index = attachment.platform is None
    subject = types.Descriptor(
        media_type=types.INDEX if index else types.MANIFEST,
        digest=attachment.subject,
        size_bytes=attachment.size_bytes,
    )
    manifest = types.manifest_bytes(
        config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY),
        layers=[blob],
        subject=subject,
        artifact_type=artifact_type,
        annotations={
            **(_bundle_annotations(attachment.plain_kind) if artifact_type == BUNDLE_TYPE else {}),
            KIND_ANNOTATION: attachment.plain_kind,
            **({SIGNER_ANNOTATION: attachment.signer} if attachment.signer else {}),
            DIGEST_ANNOTATION: str(attachment.digest),
        },
    )
    return manifest, content


def listed_with(
    known: Iterable[Descriptor], manifests: Mapping[str, bytes]
) -> tuple[Descriptor, ...]:
    """Returns a list of referrers in which each kind's manifest stands in the place of the old."""
    from ssds.oci import types

    entries = [entry for entry in known if our_kind(entry) not in manifests]
    for data in manifests.values():
        parsed = types.parse_manifest(data)
        entries.append(
            replace(
                types.descriptor_of(data, types.MANIFEST),
                artifact_type=parsed.artifact_type,
                annotations=parsed.annotations,
            )
        )
    return tuple(entries)


def _bundle_annotations(kind: str) -> dict[str, str]:
    """Returns what cosign looks for in a list of referrers."""
    about = _PREDICATES.get(kind.removesuffix(ATTESTATION), "")
    return {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": about,
    }


def our_kind(entry: Descriptor | Manifest) -> str:
    """Returns which of our attachments an entry of a list, or a manifest, is; or nothing."""
    if entry.artifact_type == METADATA_TYPE:
        return "metadata"
    kind, signer = (entry.annotations.get(k, "") for k in (KIND_ANNOTATION, SIGNER_ANNOTATION))
    return f"{kind}@{signer}" if kind and signer else kind


def attached(
    entries: Iterable[Descriptor], read: Callable[[Descriptor], bytes]
) -> dict[str, Digest]:
    """Returns kind → what is attached, of a list of referrers.

    Args:
        read: gives a manifest; only those that older versions of ssds wrote are read.
    """
    found: dict[str, Digest] = {}
    for entry in entries:
        kind = our_kind(entry)
        if not kind:
            continue
        try:
            if DIGEST_ANNOTATION in entry.annotations:
                found[kind] = Digest(entry.annotations[DIGEST_ANNOTATION])
            elif (blob := attached_blob(read(entry))) is not None:
                found[kind] = blob
        except SsdsError:
            continue  # a damaged entry counts as none: ours is attached anew
    return found


def attached_blob(manifest: bytes) -> Digest | None:
    """Returns the one blob that a referrer's manifest names, or None where it is no such."""
    from ssds.oci import types

    try:
        found = types.parse_manifest(manifest)
    except SsdsError:
        return None
    return found.layers[0].digest if len(found.layers) == 1 and found.artifact_type else None
