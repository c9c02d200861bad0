"""Signed statements beside an image: its SBOM, its tests, its scan, and how it was built.

Each is an in-toto statement about a platform's manifest in a DSSE envelope, as a sigstore bundle
that refers to it. The unsigned evidence stays beside it, for tools that read it as it is.

Sources: SLSA 1.0, "Provenance"; in-toto Attestation Framework, predicates "CycloneDX" and "Test
Result".
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.model import Claim
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.lock.model import Released, ReleaseHalf
from ssds.ship.channels import Attachment, Made, signed_kind
from ssds.ship.evidence import ATTESTATION, Read, document_of, loaded
from ssds.ship.observation import Observation
from ssds.ship.signatures import Signing
from ssds.trust.statement import CYCLONEDX, SLSA, statement_bytes

PROVENANCE = "provenance"
BUILD_TYPE = "urn:ssds:build:1"
BUILDER = "urn:ssds:builder:"
_PROVENANCE_VERSION = 2
"""Of what is said: a change signs anew."""
_SIGNED_KINDS = ("sbom", "test", "deploytest", "scan")


def attestations(
    signing: Signing,
    released: Released,
    evidence: Iterable[Attachment],
    observed: Observation | None,
    read: Read,
) -> list[Attachment]:
    """Returns the signed statements that a release's images should have.

    Args:
        evidence: what is attached unsigned; each gets a signed form.

    What cannot be read here and is not there already is left out.
    """
    found = []
    for item in evidence:
        if item.here and item.kind in _SIGNED_KINDS and item.platform is not None:
            made = _of_evidence(signing, item, observed, read)
            found += [made] if made else []
    for platform, half in released.platforms.items():
        made = _of_build(signing, released, platform, half, observed)
        found += [made] if made else []
    return found


def _wanted(signing: Signing, item: Attachment, what: Json) -> Attachment:
    """Returns the attachment, known by who signs what; its content is to be made."""
    identity = canonical_bytes({"key": str(signing.signer.public.id), "statement": what})
    kind = signed_kind(item.kind + ATTESTATION, signing.signer.public.id)
    return replace(item, kind=kind, digest=sha256_of(identity), make=None)


def _to_sign(signing: Signing, wanted: Attachment, statement: Callable[[], bytes]) -> Attachment:
    """Returns the attachment; its statement is made and signed when it is brought."""
    return replace(wanted, make=lambda: Made(content=signing.bundle(statement())))


def _of_evidence(
    signing: Signing, item: Attachment, observed: Observation | None, read: Read
) -> Attachment | None:
    wanted = _wanted(signing, item, [item.kind, str(item.subject), str(item.digest)])
    if observed is not None and wanted.held(observed) == wanted.digest:
        return wanted
    data = read(item.digest)
    if data is None:
        return None
    return _to_sign(signing, wanted, functools.partial(_statement_of, item, data))


def _statement_of(item: Attachment, data: bytes) -> bytes:
    if item.kind == "sbom":
        return statement_bytes(item.subject, str(item.platform), CYCLONEDX, loaded(item, data))
    return document_of(item, data)[1]


# -- provenance ------------------------------------------------------------------------------------


def _of_build(
    signing: Signing,
    released: Released,
    platform: Platform,
    half: ReleaseHalf,
    observed: Observation | None,
) -> Attachment | None:
    build = half.actions.get("build")
    if build is None:
        return None
    manifest = half.manifest
    item = Attachment(
        kind=PROVENANCE,
        subject=manifest.digest,
        size_bytes=manifest.size_bytes,
        digest=manifest.digest,
        platform=platform,
    )
    wanted = _wanted(signing, item, [str(manifest.digest), str(build.key), _PROVENANCE_VERSION])
    if observed is not None and wanted.held(observed) == wanted.digest:
        return wanted
    preimage = signing.history.preimage(build.key)
    if preimage is None:
        return None
    known = [claim for claim in signing.history.claims(build.key) if claim.same_outputs(build)]
    made = min(known, key=lambda claim: bool(claim.from_cache), default=build)
    predicate = provenance(str(released.id), platform, half, made, preimage)
    statement = statement_bytes(manifest.digest, str(platform), SLSA, predicate)
    return _to_sign(signing, wanted, lambda: statement)


def provenance(
    release: str, platform: Platform, half: ReleaseHalf, claim: Claim, preimage: bytes
) -> dict[str, Json]:
    """Returns the SLSA predicate of one build: every input by digest, who built it and how.

    Args:
        claim: of the build; the store's, where it has one, for a lock knows no builder. Of one that
            came from a cache only the inputs and outputs are said: the rest is the cache's word.
    """
    asked: Mapping[str, Any] = json.loads(preimage)
    inputs: list[Json] = [
        {"name": role, "digest": _digest(Digest(text))}
        for role, text in sorted(asked["inputs"].items())
    ]
    recipe = {"name": "recipe", "digest": _digest(sha256_of(canonical_bytes(asked["slice"])))}
    publish = half.actions.get("publish")
    internal: dict[str, Json] = {
        "action": str(claim.key),
        "kind": f"{asked['kind']} {asked['kind_version']}",
    }
    if claim.from_cache:
        internal["gotFromCache"] = claim.from_cache
        claim = replace(claim, builder="", logs={})
    else:
        internal |= {
            "sandbox": claim.mode,
            "emulated": claim.emulated,
            "network": claim.impure,
            "tools": dict(claim.tools),
        }
    if publish is not None:
        internal["publish"] = str(publish.key)
    byproducts: list[Json] = [
        {"name": name, "digest": _digest(digest)}
        for name, digest in sorted({**claim.outputs, **claim.logs}.items())
    ]
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"release": release, "platform": str(platform)},
            "internalParameters": internal,
            "resolvedDependencies": [recipe, *inputs],
        },
        "runDetails": {
            "builder": {"id": BUILDER + (claim.builder or "unknown")},
            "metadata": {"invocationId": str(claim.key)},
            "byproducts": byproducts,
        },
    }


def _digest(digest: Digest) -> dict[str, Json]:
    return {digest.algorithm: digest.hex}
