"""Signatures of releases: of the index and of each platform's manifest, in both of cosign's ways.

One is a payload under the tag ``sha256-<hex>.sig``, which registries of today replicate and skopeo
verifies; the other is a sigstore bundle as a referrer. The index's names the release, so that a
signed index under another version's tag is told. What is signed decides whether it is there
already, not the signature: nobody signs twice.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.model import Claim
from ssds.core.platform import Platform
from ssds.core.records import dataclass, replace
from ssds.lock.model import Released
from ssds.recipe.model import Channel
from ssds.ship.channels import Attachment, Made, signed_kind
from ssds.ship.observation import Observation
from ssds.trust.simple import payload_bytes
from ssds.trust.statement import SIGNED, statement_bytes

if TYPE_CHECKING:
    from ssds.trust.keys import Signer

KIND = "signature"
RELEASE = "org.ssds.release"
REVISION = "org.ssds.revision"
TAG = "org.ssds.tag"


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignLayer:
    """What stands under the tag of an image's signatures: the payload, and its base64 signature."""

    payload: bytes
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a store remembers of builds.

    Attributes:
        preimage: action key → the canonical pre-image, or None.
        claims: action key → its claims, the earliest first.
    """

    preimage: Callable[[ActionKey], bytes | None]
    claims: Callable[[ActionKey], tuple[Claim, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Signs what a channel gets.

    Attributes:
        history: what the store remembers of the builds, for their provenance.
    """

    signer: Signer
    channel: Channel
    history: History

    def attachments(self, released: Released, observed: Observation | None) -> list[Attachment]:
        """Returns the signatures that a release should have; nothing is signed yet."""
        index = released.index
        says: dict[str, Json] = {
            RELEASE: str(released.id),
            REVISION: released.revision,
            TAG: released.full_tag,
        }
        found = [self._attachment(released, index.digest, index.size_bytes, None, says, observed)]
        for platform, half in released.platforms.items():
            manifest = half.manifest
            mine: dict[str, Json] = {RELEASE: str(released.id)}  # later revisions may share it
            found.append(
                self._attachment(
                    released, manifest.digest, manifest.size_bytes, platform, mine, observed
                )
            )
        return found

    def _attachment(
        self,
        released: Released,
        subject: Digest,
        size_bytes: int,
        platform: Platform | None,
        says: dict[str, Json],
        observed: Observation | None,
    ) -> Attachment:
        reference = repository(self.channel, released.id.name)
        key = self.signer.public
        statement = statement_bytes(subject, reference, SIGNED, says)
        identity = canonical_bytes({"key": str(key.id), "statement": str(sha256_of(statement))})
        wanted = Attachment(
            kind=signed_kind(KIND, key.id),
            subject=subject,
            size_bytes=size_bytes,
            digest=sha256_of(identity),
            platform=platform,
        )
        if observed is not None and wanted.held(observed) == wanted.digest:
            return wanted
        payload = payload_bytes(reference, subject, says)
        return replace(wanted, make=functools.partial(self._signed, payload, statement))

    def _signed(self, payload: bytes, statement: bytes) -> Made:
        signature = base64.b64encode(self.signer.sign(payload)).decode()
        return Made(
            content=self.bundle(statement),
            cosign=CosignLayer(payload=payload, signature=signature),
        )

    def bundle(self, statement: bytes) -> bytes:
        """Returns a statement, signed."""
        from ssds.trust.bundle import envelope_bundle
        from ssds.trust.envelope import sign_envelope

        return envelope_bundle(sign_envelope(statement, self.signer), self.signer.public)


def repository(channel: Channel, name: str) -> str:
    """Returns the name by which a signature calls a repository: in full for a registry."""
    if channel.kind == "registry":
        return f"{channel.location.strip('/')}/{name}"
    return name
