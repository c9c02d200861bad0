"""What a cache holds of a claim: the claim, its pre-image, the sizes of its blobs, signatures.

One entry is one line of a segment. It is believed only where its pre-image hashes to its key and
every output has a size; who may be believed at all is the setting ``trust``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ssds.core.canonical import canonical_bytes, key_of_text
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.model import FROM_CACHE, KINDS, Claim
from ssds.core.records import dataclass, replace
from ssds.oci.document import Place, load_document
from ssds.store.records import circumstances

ENTRY_LIMIT_BYTES = 4 << 20
BLOB_LIMIT_BYTES = 64 << 30
_OUTPUTS_LIMIT = 2000
_FAR_S = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A claim as a cache holds it.

    Attributes:
        preimage: the canonical text whose blake3 is the claim's key.
        node: the node's text (``samtools@1.16.1:build``), for people.
        sizes: the size in bytes of every output and log.
        signer: the id of the trusted key that vouches for it; known to the reader, not in the line.
    """

    claim: Claim
    preimage: str
    node: str
    sizes: Mapping[Digest, int]
    signer: str = ""

    def to_bytes(self) -> bytes:
        """Returns the canonical bytes of the line, without its key."""
        claim = self.claim
        return canonical_bytes(
            {
                "kind": claim.kind,
                "outputs": {name: str(d) for name, d in claim.outputs.items()},
                "verdict": claim.verdict,
                **circumstances(claim),
                "node": self.node,
                "preimage": self.preimage,
                "sizes": {str(digest): size for digest, size in self.sizes.items()},
            }
        )

    def found_in(self, cache: str) -> Claim:
        """Returns the claim as one that was found in the cache of that name."""
        return replace(self.claim, origin=f"{FROM_CACHE}{cache}", signer=self.signer)


def parse_entry(key: ActionKey, data: bytes, what: str) -> Entry:
    """Returns the entry of a line.

    Raises:
        IntegrityError: T030, it is of another key, names no size for an output, or is malformed.
    """
    place = load_document(data, what, limit_bytes=ENTRY_LIMIT_BYTES)
    kind, preimage = place.text("kind"), place.text("preimage")
    if kind not in KINDS:
        place.fail(f"{kind[:40]!r} is no kind of node", code="T030")
    if key_of_text(kind, preimage) != key:
        place.fail("its pre-image has another key", code="T030")
    if _kind_of(preimage) != kind:
        place.fail("its pre-image is of another kind", code="T030")
    outputs, logs = _digests(place, "outputs"), _digests(place, "logs")
    sizes = _sizes(place.child("sizes"))
    lacking = [d for d in (*outputs.values(), *logs.values()) if d not in sizes]
    if not outputs or lacking:
        place.fail("it says no size of an output" if lacking else "no outputs", code="T030")
    claim = Claim(
        key=key,
        kind=kind,
        outputs=outputs,
        verdict=place.text("verdict"),
        logs=logs,
        builder=place.text("builder"),
        mode=place.text("mode"),
        emulated=_flag(place, "emulated"),
        impure=_flag(place, "impure"),
        tools=place.text_map("tools", limit=200),
        made_at=place.integer("made_at", low=0, high=_FAR_S),
        duration_ms=place.integer("duration_ms", low=0, high=_FAR_S),
    )
    if claim.verdict not in ("", "pass", "fail") or not claim.is_whole(kind):
        place.fail("the claim is not whole", code="T030")
    return Entry(claim=claim, preimage=preimage, node=place.text("node"), sizes=sizes)


def sizes_of(data: bytes, what: str) -> dict[Digest, int]:
    """Returns the size of every blob that a line names, whether or not the line is believed.

    Raises:
        IntegrityError: T030, it does not say them.
    """
    return _sizes(load_document(data, what, limit_bytes=ENTRY_LIMIT_BYTES).child("sizes"))


def _kind_of(preimage: str) -> object:
    try:
        return json.loads(preimage).get("kind")
    except (ValueError, AttributeError, RecursionError):
        return None


def _digests(place: Place, key: str) -> dict[str, Digest]:
    texts = place.text_map(key, limit=_OUTPUTS_LIMIT)
    try:
        found = {name: Digest(text) for name, text in texts.items()}
    except InvalidValue as error:
        raise IntegrityError(f"{place.what}: {error.message}", code="T030") from error
    if any(digest.algorithm != "sha256" for digest in found.values()):
        place.fail("only sha256 names a blob", code="T030")
    return found


def _sizes(place: Place) -> dict[Digest, int]:
    sizes = place.map()
    if len(sizes) > 2 * _OUTPUTS_LIMIT:
        place.fail("too many sizes", code="T030")
    try:
        return {Digest(text): place.integer(text, low=0, high=BLOB_LIMIT_BYTES) for text in sizes}
    except InvalidValue as error:
        raise IntegrityError(f"{place.what}: {error.message}", code="T030") from error


def _flag(place: Place, key: str) -> bool:
    value = place.child(key).value
    if not isinstance(value, bool):
        place.child(key).fail("expected true or false", code="T030")
    return value
