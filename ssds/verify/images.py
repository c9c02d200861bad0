"""Signed images: who vouches for them, as which release, and whether the bytes are those."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, SsdsError
from ssds.core.records import dataclass
from ssds.oci import types
from ssds.oci.types import Descriptor, descriptor_of
from ssds.oci.validate import validate_index
from ssds.ship.signatures import RELEASE, REVISION, TAG
from ssds.trust import simple
from ssds.trust.keys import PublicKey
from ssds.trust.report import Report
from ssds.trust.statement import SIGNED
from ssds.verify.memory import Memory, Seen, slot
from ssds.verify.places import Place, Target
from ssds.verify.statements import attested, bundles, said_by

NEWEST = "that it is the newest: who may write there can put back an older one, signed as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A signature by a trusted key.

    Attributes:
        about: the digest that was signed.
        says: what the signer added: which release it is.
    """

    key: PublicKey
    about: Digest
    says: Mapping[str, object]

    @property
    def release(self) -> str:
        """``name@version[+variant]``, or the empty string."""
        found = self.says.get(RELEASE)
        return found if isinstance(found, str) else ""

    @property
    def tag(self) -> str:
        """``VERSION[-VARIANT]-rN``, or the empty string."""
        found = self.says.get(TAG)
        return found if isinstance(found, str) else ""

    @property
    def revision(self) -> int:
        """The revision, or 0."""
        found = self.says.get(REVISION)
        return found if isinstance(found, int) and not isinstance(found, bool) else 0


class _Heard:
    def __init__(self) -> None:
        self.voices: list[Voice] = []
        self.others = 0
        self.damaged: list[str] = []
        self.cut: list[str] = []


def verify_image(
    target: Target, keys: Sequence[PublicKey], memory: Memory | None = None
) -> tuple[Report, dict[str, Seen]]:
    """Returns what signatures prove of an image, and the revisions that are proven by them.

    Args:
        memory: what was verified before; None refuses no older revision.

    Raises:
        SsdsError: the place cannot be reached, or does not have it.
    """
    place = target.place
    top, data = _top(target)
    heard = _hear(place, top.digest, tuple(keys))
    mine = [voice for voice in heard.voices if voice.about == top.digest]
    proven, wrong, unproven = _who(mine, heard, top)
    named = [voice for voice in mine if voice.release]
    seen: dict[str, Seen] = {}
    if mine:
        named, why_not = _identity(named, target)
        wrong += why_not
        voice = max(named, key=lambda v: v.revision, default=None)
        if voice is not None and not voice.tag:
            proven.append(f"it is a part of {voice.release}")
        elif voice is not None and not wrong:
            proven.append(f"it is {voice.release} r{voice.revision}")
            found = Seen(revision=voice.revision, index=top.digest)
            seen[slot(voice.key, voice.release)] = found
            asked = target.digest is not None or target.tag == voice.tag
            why = memory.why_not(voice.key, voice.release, found, asked=asked) if memory else ""
            wrong += [why] if why else []
        elif voice is None:
            unproven.append("which release it is: the signature names none")
        if target.tag:
            unproven.append(NEWEST)
    index = top.media_type in types.INDEX_TYPES
    findings = [str(f) for f in validate_index(_Read(place, top, data), top, place.layers)]
    wrong += [f"not what was signed: {text}" for text in findings]
    if mine and not findings:
        proven.append(_parts(place, top, data))
        told = attested(place, types.parse_index(data).manifests, tuple(keys)) if index else None
        proven += told.proven if told else []
        unproven += told.missing if told else []
        if place.layers is None:
            unproven.append("the layers' bytes: they were not read; who pulls them compares them")
    signers = {voice.key.id: voice.key for voice in mine}
    report = Report(
        target=target.text,
        proven=tuple(proven),
        wrong=tuple(wrong),
        unproven=tuple(unproven),
        signers=tuple(signers.values()),
    )
    return report, {} if wrong else seen


def _top(target: Target) -> tuple[Descriptor, bytes]:
    """Returns what the target names, as a descriptor of the bytes that are there."""
    place = target.place
    if target.digest is not None:
        data = place.document(target.digest)
        if sha256_of(data) != target.digest:
            raise IntegrityError(
                f"{target.text} has other bytes than its digest says",
                hint="It is damaged or forged; take it from elsewhere.",
                code="X041",
            )
        kind = types.INDEX if b'"manifests"' in data else types.MANIFEST
        return descriptor_of(data, kind), data
    found = place.tagged(target.tag)
    if found is None:
        raise IntegrityError(
            f"{target.text} is not there", hint="Check its name and tag.", code="X042"
        )
    return descriptor_of(found[1], found[0]), found[1]


class _Read:
    """Reads documents for the check of the whole: the top one is known."""

    def __init__(self, place: Place, top: Descriptor, data: bytes) -> None:
        self._place, self._top, self._data = place, top, data
        self._configs: dict[Digest, Descriptor] = {}

    def __call__(self, digest: Digest) -> bytes:
        if digest in self._configs:
            return self._place.blob(self._configs[digest])
        data = self._data if digest == self._top.digest else self._place.document(digest)
        with contextlib.suppress(SsdsError):  # an index, or damaged: its reader says so
            config = types.parse_manifest(data).config
            self._configs[config.digest] = config
        return data


# -- signatures ------------------------------------------------------------------------------------


def _hear(place: Place, subject: Digest, keys: tuple[PublicKey, ...]) -> _Heard:
    """Returns the signatures that stand beside an image, in both of cosign's ways."""
    heard = _Heard()
    for source, read in ((_payloads, _of_payload), (bundles, _of_bundle)):
        try:
            items, left_out = source(place, subject)
        except SsdsError as error:
            heard.damaged.append(error.message)
            continue
        if left_out:
            heard.cut.append(f"only {len(items)} signatures were looked at, {left_out} were not")
        for item in items:
            try:
                voice = read(place, item, subject, keys)
            except SsdsError as error:
                heard.damaged.append(error.message)
                continue
            if voice is None:
                heard.others += 1
            else:
                heard.voices.append(voice)
    return heard


def _payloads(place: Place, subject: Digest) -> tuple[list[Descriptor], int]:
    found = place.tagged(simple.signature_tag(subject))
    layers = types.parse_manifest(found[1], "the list of signatures").layers if found else ()
    known = [layer for layer in layers if layer.media_type == simple.PAYLOAD_TYPE]
    return known[: simple.SIGNATURES_LIMIT], max(0, len(known) - simple.SIGNATURES_LIMIT)


def _of_payload(
    place: Place, layer: Descriptor, subject: Digest, keys: tuple[PublicKey, ...]
) -> Voice | None:
    del subject  # whom it is about it says itself
    payload = place.blob(layer)
    try:
        signature = base64.b64decode(layer.annotations.get(simple.SIGNATURE, ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError("it is not base64", code="X024") from error
    key = next((k for k in keys if k.signed(payload, signature)), None)
    if key is None:
        return None
    claimed = simple.parse_payload(payload)
    return Voice(key=key, about=claimed.digest, says=claimed.optional)


def _of_bundle(
    place: Place, entry: Descriptor, subject: Digest, keys: tuple[PublicKey, ...]
) -> Voice | None:
    said = said_by(place, entry, keys)
    if said is None or said[1].predicate_type != SIGNED or not said[1].subjects:
        return None
    key, statement = said
    digests = [digest for _, digest in statement.subjects]
    about = subject if subject in digests else digests[0]
    return Voice(key=key, about=about, says=statement.predicate.map())


# -- words -----------------------------------------------------------------------------------------


def _who(
    mine: list[Voice], heard: _Heard, top: Descriptor
) -> tuple[list[str], list[str], list[str]]:
    proven = [
        f"{label} signed {top.digest}" for label in sorted({voice.key.label for voice in mine})
    ]
    wrong, unproven = [], []
    strange = {voice.about for voice in heard.voices} - {top.digest}
    if strange:
        wrong.append(f"a signature of another image ({min(strange)}) was put under this one's name")
    if not mine:
        counts = f"; {heard.others} by other keys" if heard.others else ""
        wrong.append(f"no trusted key signed {top.digest}{counts}")
        wrong += [f"a signature is damaged: {text}" for text in heard.damaged]
        wrong += heard.cut
    else:
        unproven += [f"a damaged signature beside it: {text}" for text in heard.damaged]
    return proven, wrong, unproven


def _identity(named: list[Voice], target: Target) -> tuple[list[Voice], list[str]]:
    """Returns whose names fit the target; or all, and what is wrong where none does.

    The same bytes may have been signed as several revisions.
    """
    fit, found = [], []
    for voice in named:
        name = voice.release.partition("@")[0]
        tags = {voice.tag, voice.tag.removesuffix(f"-r{voice.revision}"), "latest"}
        if name != target.place.name:
            found.append(
                f"it was signed as {voice.release}, and stands under the name {target.place.name}"
            )
        elif target.tag and not voice.tag:
            found.append(
                f"it was signed as a part of {voice.release}, and stands under a tag of its own"
            )
        elif target.tag and target.tag not in tags:
            found.append(
                f"it was signed as {voice.release} r{voice.revision}, and stands under the tag "
                f"{target.tag}: somebody moved the tag"
            )
        else:
            fit.append(voice)
    return (fit, []) if fit else (named, list(dict.fromkeys(found)))


def _parts(place: Place, top: Descriptor, data: bytes) -> str:
    read = ", layers" if place.layers else ""
    if top.media_type not in types.INDEX_TYPES:
        return f"its manifest, config{read} are what was signed"
    platforms = [str(e.platform or e.foreign_platform) for e in types.parse_index(data).manifests]
    return f"manifests, configs{read} of {' '.join(platforms)} are what was signed"
