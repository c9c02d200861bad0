"""Signed statements about a platform's image: SBOM, tests, scan, provenance; in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.core.records import dataclass
from ssds.oci import types
from ssds.oci.document import Place as Document
from ssds.oci.types import Descriptor
from ssds.trust.bundle import BUNDLE_TYPE, parse_bundle
from ssds.trust.envelope import IN_TOTO, Envelope
from ssds.trust.keys import PublicKey
from ssds.trust.statement import (
    CYCLONEDX,
    FINDINGS,
    SLSA,
    TEST_RESULT,
    Statement,
    parse_statement,
)
from ssds.verify.places import Place

BUNDLES_LIMIT = 50
_ITEMS_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What trusted keys say of the images, and of what they say nothing."""

    proven: list[str]
    missing: list[str]


def bundles(place: Place, subject: Digest) -> list[Descriptor]:
    """Returns the bundles that refer to an image."""
    entries = [e for e in place.referrers(subject) if e.artifact_type == BUNDLE_TYPE]
    return entries[:BUNDLES_LIMIT]


def envelope_of(place: Place, entry: Descriptor) -> Envelope | None:
    """Returns the envelope of a bundle; raises IntegrityError where it is damaged."""
    manifest = types.parse_manifest(place.document(entry.digest))
    return parse_bundle(place.blob(manifest.layers[0])).envelope if manifest.layers else None


def attested(place: Place, images: Sequence[Descriptor], keys: tuple[PublicKey, ...]) -> Attested:
    """Returns what is said of each platform's image, in words."""
    proven, missing = [], []
    for image in images:
        where = image.platform or image.foreign_platform
        said: dict[str, str] = {}
        for entry in bundles(place, image.digest):
            try:
                found = _trusted(place, entry, image.digest, keys)
                if found is not None and found[1].predicate_type in _WORDS:
                    key, statement = found
                    words = _WORDS[statement.predicate_type][1](statement.predicate)
                    said[statement.predicate_type] = f"{where}: {key.label} says: {words}"
            except SsdsError as error:
                missing.append(f"{where}: a damaged statement beside it: {error.message}")
        proven += [said[kind] for kind in _WORDS if kind in said]
        missing += [
            f"{where}: {what}; no trusted key says so"
            for kind, (what, _) in _WORDS.items()
            if kind not in said
        ]
    return Attested(proven=proven, missing=missing)


def _trusted(
    place: Place, entry: Descriptor, subject: Digest, keys: tuple[PublicKey, ...]
) -> tuple[PublicKey, Statement] | None:
    envelope = envelope_of(place, entry)
    key = envelope.signer(keys) if envelope else None
    if envelope is None or key is None or envelope.payload_type != IN_TOTO:
        return None
    statement = parse_statement(envelope.payload)
    return (key, statement) if subject in (d for _, d in statement.subjects) else None


def _sbom(predicate: Document) -> str:
    return f"its SBOM names {len(predicate.items('components', limit=_ITEMS_LIMIT))} components"


def _tests(predicate: Document) -> str:
    passed = len(predicate.texts("passedTests"))
    skipped = len(predicate.texts("warnedTests"))
    failed = len(predicate.texts("failedTests"))
    if failed or predicate.text("result") != "PASSED":
        return f"its tests did not pass ({failed} failed)"
    return f"{passed} tests passed" + (f", {skipped} were skipped" if skipped else "")


def _scan(predicate: Document) -> str:
    return f"a scan found {len(predicate.items('findings', limit=_ITEMS_LIMIT))} advisories"


def _build(predicate: Document) -> str:
    definition = predicate.child("buildDefinition")
    inputs = len(definition.items("resolvedDependencies", limit=_ITEMS_LIMIT))
    internal = definition.child("internalParameters")
    builder = predicate.child("runDetails").child("builder").text("id")
    how = " by emulation" if internal.map().get("emulated") is True else ""
    network = ", with network" if internal.map().get("network") is True else ""
    sandbox = internal.text("sandbox", "") or "unknown"
    return f"{builder} built it{how} from {inputs} inputs (sandbox: {sandbox}{network})"


_WORDS: dict[str, tuple[str, Callable[[Document], str]]] = {
    SLSA: ("who built it, and from what", _build),
    CYCLONEDX: ("what is in it", _sbom),
    TEST_RESULT: ("that tests passed", _tests),
    FINDINGS: ("that it was scanned", _scan),
}
"""Predicate type → what is unproven without it, and the words for it."""
