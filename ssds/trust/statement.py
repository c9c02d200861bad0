"""in-toto statements: a predicate about things that are named by digest.

Source: in-toto Attestation Framework 1.0, "Statement"; cosign's predicate of a signature.
"""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.records import dataclass
from ssds.oci.document import Place, load_document

STATEMENT = "https://in-toto.io/Statement/v1"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
"""The predicate of cosign 3's signatures: "this is ours", and nothing more."""
SLSA = "https://slsa.dev/provenance/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
FINDINGS = "urn:ssds:findings:1"
SUBJECTS_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A parsed statement, not yet believed.

    Attributes:
        subjects: name → sha256.
        predicate: the place of the predicate in the document.
    """

    subjects: tuple[tuple[str, Digest], ...]
    predicate_type: str
    predicate: Place


def statement_bytes(
    subject: Digest, name: str, predicate_type: str, predicate: Mapping[str, Json]
) -> bytes:
    """Returns the canonical bytes of a statement about one thing."""
    return canonical_bytes(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {subject.algorithm: subject.hex}}],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def parse_statement(data: bytes, what: str = "the statement") -> Statement:
    """Reads a statement; raises IntegrityError (O001 to O004, X023 another version)."""
    root = load_document(data, what)
    if root.text("_type") != STATEMENT:
        root.child("_type").fail(f"expected {STATEMENT}", code="X023")
    subjects = []
    for item in root.items("subject", limit=SUBJECTS_LIMIT):
        digests = item.child("digest").map()
        place = Place(what, f"{item.path}.digest", f"sha256:{digests.get('sha256', '')}")
        subjects.append((item.text("name", ""), place.as_digest()))
    predicate = root.child("predicate") if root.has("predicate") else Place(what, "predicate", {})
    return Statement(
        subjects=tuple(subjects),
        predicate_type=root.text("predicateType"),
        predicate=predicate,
    )
