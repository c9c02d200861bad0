"""Signed statements about a platform's image: SBOM, tests, scan, provenance; in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.core.records import dataclass
from ssds.oci import types
from ssds.oci.document import Place as Document
from ssds.oci.types import Descriptor
from ssds.ship.evidence import our_kind
from ssds.trust.bundle import BUNDLE_TYPE, parse_bundle
from ssds.trust.envelope import IN_TOTO
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one statement says.

    Attributes:
        holds: whether it is what people want to know; else it is told as unproven.
        made: orders statements of one kind: of several only the newest are told.
        lacks: what it leaves open, as sentences.
    """

    text: str
    holds: bool = True
    made: str = ""
    lacks: tuple[str, ...] = ()


def bundles(place: Place, subject: Digest) -> tuple[list[Descriptor], int]:
    """Returns the bundles that refer to an image, ours first, and how many are too many."""
    entries = {e.digest: e for e in place.referrers(subject) if e.artifact_type == BUNDLE_TYPE}
    ordered = sorted(entries.values(), key=lambda e: not our_kind(e))
    return ordered[:BUNDLES_LIMIT], max(0, len(ordered) - BUNDLES_LIMIT)


def said_by(
    place: Place, entry: Descriptor, keys: tuple[PublicKey, ...]
) -> tuple[PublicKey, Statement] | None:
    """Returns the statement of a bundle and who of ``keys`` signed it; None where nobody did.

    Raises:
        IntegrityError: it is damaged.
    """
    manifest = types.parse_manifest(place.document(entry.digest))
    if not manifest.layers:
        return None
    envelope = parse_bundle(place.blob(manifest.layers[0])).envelope
    key = envelope.signer(keys) if envelope else None
    if envelope is None or key is None or envelope.payload_type != IN_TOTO:
        return None
    return key, parse_statement(envelope.payload)


def attested(place: Place, images: Sequence[Descriptor], keys: tuple[PublicKey, ...]) -> Attested:
    """Returns what is said of each platform's image, in words."""
    proven, missing = [], []
    for image in images:
        where = image.platform or image.foreign_platform
        said: dict[str, list[tuple[str, _Said]]] = {}
        entries, left_out = bundles(place, image.digest)
        if left_out:
            missing.append(f"{where}: what {left_out} more statements say: there are too many")
        for entry in entries:
            try:
                found = said_by(place, entry, keys)
                if found is None:
                    continue
                key, statement = found
                about = image.digest in (digest for _, digest in statement.subjects)
                if about and statement.predicate_type in _WORDS:
                    words = _WORDS[statement.predicate_type][1](statement.predicate)
                    said.setdefault(statement.predicate_type, []).append((key.label, words))
            except SsdsError as error:
                missing.append(f"{where}: a damaged statement beside it: {error.message}")
        for kind, (what, _) in _WORDS.items():
            good, bad = _told(what, said.get(kind, []))
            proven += [f"{where}: {text}" for text in good]
            missing += [f"{where}: {text}" for text in bad]
    return Attested(proven=proven, missing=missing)


def _told(what: str, said: list[tuple[str, _Said]]) -> tuple[list[str], list[str]]:
    """Returns what is proven by statements of one kind, and what is not."""
    if not said:
        return [], [f"{what}; no trusted key says so"]
    newest = max(words.made for _, words in said)
    older = sum(words.made < newest for _, words in said)
    rest = f" (the newest of {len(said)} that are signed)" if older else ""
    good: list[str] = []
    bad: list[str] = []
    for label, words in said:
        if words.made == newest:
            text = f"{label} says: {words.text}{rest}"
            (good if words.holds else bad).append(text if words.holds else f"{what}; {text}")
            bad += words.lacks
    return list(dict.fromkeys(good)), list(dict.fromkeys(bad))


def _sbom(predicate: Document) -> _Said:
    count = len(predicate.items("components", limit=_ITEMS_LIMIT))
    return _Said(text=f"its SBOM names {count} components")


def _tests(predicate: Document) -> _Said:
    passed = len(predicate.texts("passedTests"))
    skipped = len(predicate.texts("warnedTests"))
    failed = len(predicate.texts("failedTests"))
    if failed or predicate.text("result") != "PASSED":
        return _Said(text=f"its tests did not pass ({failed} failed)", holds=False)
    text = f"{passed} tests passed" + (f", {skipped} were skipped" if skipped else "")
    return _Said(text=text, holds=passed > 0)


def _scan(predicate: Document) -> _Said:
    if predicate.map().get("scanned") is not True:
        return _Said(text="no advisory set was there", holds=False)
    used = predicate.child("advisories")
    count = len(predicate.items("findings", limit=_ITEMS_LIMIT))
    date = used.text("date")
    lacks = []
    if unknown := _counts(predicate, "uncovered"):
        lacks.append(f"what is known of packages that the set does not cover: {unknown}")
    if unknown := _counts(predicate, "without_source"):
        lacks.append(f"what is known of packages that no set covers: {unknown}")
    if problems := predicate.texts("problems", limit=_ITEMS_LIMIT):
        lacks.append(f"{len(problems)} things that the scan could not judge, as {problems[0]}")
    text = f"a scan with the set {used.text('name')} of {date} found {count} advisories"
    return _Said(text=text, made=date, lacks=tuple(lacks))


def _counts(predicate: Document, key: str) -> str:
    """Returns ``Debian:13 (10), npm (2)`` of a map of counts; 0: a database was not read."""
    counts = predicate.child(key).map() if predicate.has(key) else {}
    return ", ".join(f"{name} ({n or 'not read'})" for name, n in sorted(counts.items()))


def _build(predicate: Document) -> _Said:
    definition = predicate.child("buildDefinition")
    inputs = len(definition.items("resolvedDependencies", limit=_ITEMS_LIMIT))
    internal = definition.child("internalParameters")
    if cache := internal.text("gotFromCache", ""):
        text = f"it came from the cache {cache}, as made from {inputs} inputs"
        return _Said(text=text, holds=False)
    builder = predicate.child("runDetails").child("builder").text("id")
    how = " by emulation" if internal.map().get("emulated") is True else ""
    network = ", with network" if internal.map().get("network") is True else ""
    sandbox = internal.text("sandbox", "") or "unknown"
    return _Said(text=f"{builder} built it{how} from {inputs} inputs (sandbox: {sandbox}{network})")


_WORDS: dict[str, tuple[str, Callable[[Document], _Said]]] = {
    SLSA: ("who built it, and from what", _build),
    CYCLONEDX: ("what is in it", _sbom),
    TEST_RESULT: ("that tests passed", _tests),
    FINDINGS: ("that it was scanned", _scan),
}
"""Predicate type → what is unproven without it, and the words for it."""
