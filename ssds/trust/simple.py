"""cosign's first scheme: a signed JSON payload names an image, under a tag made of its digest.

Sources: containers/image, docs/containers-signature.5.md ("simple signing"); cosign,
specs/SIGNATURE_SPEC.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.records import dataclass
from ssds.oci.document import load_document
from ssds.oci.types import Descriptor, descriptor_of, manifest_bytes, parse_manifest

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
SIGNATURES_LIMIT = 50
PAYLOAD_LIMIT_BYTES = 64 * 1024
_KIND = "cosign container image signature"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a payload says, not yet believed.

    Attributes:
        reference: the repository in full; digest: of the manifest or index.
        optional: what the signer added.
    """

    reference: str
    digest: Digest
    optional: Mapping[str, object]


def signature_tag(digest: Digest) -> str:
    """Returns the tag under which the signatures of an image stand."""
    return f"{digest.algorithm}-{digest.hex}.sig"


def payload_bytes(reference: str, digest: Digest, optional: Mapping[str, Json]) -> bytes:
    """Returns the payload that is signed."""
    critical: dict[str, Json] = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": str(digest)},
        "type": _KIND,
    }
    return canonical_bytes({"critical": critical, "optional": dict(optional)})


def parse_payload(data: bytes, what: str = "the signature's payload") -> Claimed:
    """Reads a payload; raises IntegrityError (O001 to O004, X022 another kind)."""
    root = load_document(data, what, limit_bytes=PAYLOAD_LIMIT_BYTES)
    critical = root.child("critical")
    if critical.text("type") != _KIND:
        critical.child("type").fail(f"expected {_KIND!r}", code="X022")
    optional = root.child("optional").map() if root.has("optional") else {}
    return Claimed(
        reference=critical.child("identity").text("docker-reference"),
        digest=critical.child("image").digest("docker-manifest-digest"),
        optional=optional,
    )


def with_signature(
    old: bytes | None, payload: bytes, signature: str
) -> tuple[bytes, tuple[bytes, ...]]:
    """Returns the manifest of an image's signatures with one more, and the blobs to bring.

    Args:
        old: the manifest that is there; signatures of others stay.
        signature: in base64.
    """
    layers = list(parse_manifest(old, "the list of signatures").layers) if old else []
    new = descriptor_of(payload, PAYLOAD_TYPE, annotations={SIGNATURE: signature})
    known = [e for e in layers if e.digest == new.digest and e.annotations.get(SIGNATURE)]
    if not any(e.annotations[SIGNATURE] == signature for e in known):
        layers.append(new)
    config = _config(layers)
    manifest = manifest_bytes(config=descriptor_of(config, _CONFIG_TYPE), layers=layers)
    return manifest, (payload, config)


def _config(layers: list[Descriptor]) -> bytes:
    diff_ids = [str(layer.digest) for layer in layers]
    document = {"architecture": "", "os": "", "config": {}}
    return json.dumps(
        {**document, "rootfs": {"type": "layers", "diff_ids": diff_ids}}, separators=(",", ":")
    ).encode()
