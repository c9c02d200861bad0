"""Channels: releases as tags, in a folder, a registry or an object store (C12, C14).

``VERSION[-VARIANT]-rN`` is written once; ``VERSION[-VARIANT]`` and ``latest`` move, marked
irreversible. What differs from the last observation is a change; what ssds did not write is shown
and never touched. Metadata, SBOMs and evidence are referrers. This file plans and is pure;
``pushing`` carries out, ``bringing`` takes bytes back.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field, replace
from ssds.core.versions import version_key
from ssds.lock.model import Released
from ssds.recipe.model import Channel
from ssds.ship.changes import DRIFT, IRREVERSIBLE, Change
from ssds.ship.observation import Observation, evidence_key
from ssds.ship.revisions import CONTENT, REVISION, earlier_changes, forward, revisions
from ssds.ship.sifs import SUFFIX, offered_sifs, with_sifs

if TYPE_CHECKING:  # planning reads observations only: it needs none of these
    from ssds.oci.types import Descriptor
    from ssds.ship.signatures import CosignLayer

BYTES = "bytes"
"""What stands behind a release's tag in a change that brings lost bytes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One tag that a channel should have.

    Attributes:
        name: the repository, ``<recipe>``.
        digest: what the tag should name.
    """

    name: str
    tag: str
    released: Released
    digest: Digest

    @property
    def what(self) -> str:
        """``name:tag``."""
        return f"{self.name}:{self.tag}"

    @property
    def moves(self) -> bool:
        """Whether the tag may name another release later."""
        return self.tag.removesuffix(SUFFIX) != self.released.full_tag

    @property
    def first(self) -> str:
        """The tag without which this one is not written; empty for a release's own."""
        full = self.released.full_tag
        if self.tag.endswith(SUFFIX):
            return full + SUFFIX if self.moves else full
        return full if self.moves else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is brought for an attachment.

    Attributes:
        content: the evidence's bytes.
        cosign: of a signature: what stands under cosign's tag.
    """

    content: bytes
    cosign: CosignLayer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One referrer that a channel should have.

    Attributes:
        kind: ``metadata``, ``release``, or a kind of node; of what is signed with ``@`` and who
            signed it (``signed_kind``), so that those of several keys stand beside each other.
        subject: the manifest or index that it is about; size_bytes: of that.
        digest: of the metadata blob, the SBOM, the report, the findings.
        platform: None for an index.
        make: gives what is brought, where that is no blob of the store. Only who brings it asks:
            a plan signs nothing.
        here: whether it can be brought from here; what cannot is told.
    """

    kind: str
    subject: Digest
    size_bytes: int
    digest: Digest
    platform: Platform | None = None
    make: Callable[[], Made] | None = field(default=None, compare=False)
    here: bool = True

    @property
    def plain_kind(self) -> str:
        """The kind, whoever signed it."""
        return plain_kind(self.kind)

    @property
    def signer(self) -> str:
        """The beginning of the id of the key that signed it, or the empty string."""
        return self.kind.partition("@")[2]

    @property
    def label(self) -> str:
        """The text for people: ``sbom [linux/amd64]``."""
        return f"{self.plain_kind} [{self.platform}]" if self.platform else self.plain_kind

    def held(self, observed: Observation) -> Digest | None:
        """Returns what of this kind is attached to the subject."""
        if self.kind == "metadata":
            return observed.metadata.get(self.subject)
        found = observed.evidence.get(evidence_key(self.subject, self.kind))
        before = observed.evidence.get(evidence_key(self.subject, self.plain_kind))
        return before if found is None and before == self.digest else found


def signed_kind(kind: str, key: Digest) -> str:
    """Returns the kind of what the key with this id signed."""
    return f"{kind}@{key.hex[:16]}"


def plain_kind(kind: str) -> str:
    """Returns a kind without who signed it."""
    return kind.partition("@")[0]


def metadata_of(released: Released) -> list[Attachment]:
    """Returns the metadata of a release, where it has some."""
    if released.metadata is None:
        return []
    index = released.index
    return [
        Attachment(
            kind="metadata",
            subject=index.digest,
            size_bytes=index.size_bytes,
            digest=released.metadata,
        )
    ]


def wanted_tags(channel: Channel, releases: Sequence[Released]) -> dict[str, dict[str, Released]]:
    """Returns name → tag → release: immutable tags first, then those that move.

    None moves to what is withdrawn.
    """
    found: dict[str, dict[str, Released]] = {}
    newest: dict[str, Released] = {}
    ordered = sorted(releases, key=lambda r: (r.id.name, version_key(r.id.version), r.id.variant))
    for released in ordered:
        found.setdefault(released.id.name, {})[released.full_tag] = released
        if not released.id.variant and released.withdrawn is None:
            newest[released.id.name] = released
    for released in ordered:
        if "version" in channel.move and released.withdrawn is None:
            found[released.id.name][released.tag] = released
    if "latest" in channel.move:
        for name, released in newest.items():
            found[name].setdefault("latest", released)
    return found


def plan_channel(
    channel: Channel,
    releases: Sequence[Released],
    observed: Observation | None,
    *,
    before: Observation | None = None,
    evidence: Mapping[Digest, Sequence[Attachment]] | None = None,
    only: Container[ReleaseName] | None = None,
) -> tuple[Change, ...]:
    """Returns what differs between the locks' releases and the last observation; pure.

    Args:
        before: what ssds knew or wrote there: what differs from it is drift, made by others.
        evidence: index digest of a release → what should be attached to its images.
        only: the releases whose changes are wanted; what tags name is decided over all.
    """
    changes: list[Change] = []
    by_name = _tags_by_name(observed)
    for name, tags in sorted(wanted_tags(channel, releases).items()):
        wanted = with_sifs(channel, tags)
        there = by_name.get(name, {})
        known = revisions(wanted, there)
        refused: set[str] = set()
        for tag, (released, digest) in wanted.items():  # what others wait for comes first
            if _not_brought(released, there, observed):
                continue
            what = Wanted(name=name, tag=tag, released=released, digest=digest)
            change = _tag_change(channel, what, observed, before, known)
            changes.append(_unless_refused(change, what.first, refused))
            if changes[-1].verb == "x":
                refused.add(tag)
        for released in {r.full_tag: r for r in tags.values()}.values():
            if _not_brought(released, there, observed):
                continue
            found = _lost_change(channel, f"{name}:{released.full_tag}", observed)
            more = evidence.get(released.index.digest, ()) if evidence else ()
            for item in (*metadata_of(released), *more):
                what_text = f"{name}:{released.full_tag} {item.label}"
                found.append(_attached_change(channel, what_text, item, observed, before))
            changes += [
                replace(_unless_refused(c, released.full_tag, refused), release=released.id)
                for c in found
            ]
        changes += earlier_changes(channel, name, wanted, there, before)
        stay = {released.tag for released in tags.values() if released.withdrawn}
        changes += [
            Change(
                where=channel.name,
                what=f"{name}:{tag}",
                verb="unmanaged",
                reason="of a withdrawn release: it moves no more" if tag in stay else "not of ssds",
            )
            for tag in sorted(there)
            if tag not in wanted and not _ours(tag, tags)
        ]
    return tuple(c for c in changes if only is None or (c.release and c.release in only))


def _not_brought(
    released: Released, there: Mapping[str, Digest], observed: Observation | None
) -> bool:
    """Whether a withdrawn release is not in the channel: it is not brought there any more."""
    return bool(released.withdrawn) and observed is not None and released.full_tag not in there


def _unless_refused(change: Change, first: str, refused: Container[str]) -> Change:
    """Refuses a change of a release whose immutable tag, ``first``, is refused."""
    if not change.effective or first not in refused:
        return change
    reason = "its immutable tag is refused"
    return replace(change, verb="x", reason=reason, marks=change.marks - IRREVERSIBLE)


def _tags_by_name(observed: Observation | None) -> dict[str, dict[str, Digest]]:
    found: dict[str, dict[str, Digest]] = {}
    for text, digest in observed.tags.items() if observed else ():
        name, _, tag = text.partition(":")
        found.setdefault(name, {})[tag] = digest
    return found


def _ours(tag: str, tags: Mapping[str, Released]) -> bool:
    """Whether a tag is an earlier revision, a SIF file or a list of referrers: ours, and kept."""
    beside = tag.endswith(SUFFIX) and tag.removesuffix(SUFFIX) in tags
    if any(released.dataset for released in tags.values()):
        return bool(CONTENT.fullmatch(tag)) or tag.startswith("sha256-")
    return beside or bool(REVISION.fullmatch(tag)) or tag.startswith("sha256-")


def _tag_change(
    channel: Channel,
    wanted: Wanted,
    observed: Observation | None,
    before: Observation | None,
    known: Mapping[Digest, tuple[Any, int]],
) -> Change:
    digest = wanted.digest

    def change(verb: str, reason: str, *, moves: bool = False, drift: bool = False) -> Change:
        marks = (IRREVERSIBLE if moves else frozenset()) | (DRIFT if drift else frozenset())
        return Change(
            where=channel.name,
            what=wanted.what,
            verb=verb,
            reason=reason,
            marks=marks,
            release=wanted.released.id,
        )

    if observed is None:
        return change("?", "never observed")
    there = observed.tags.get(wanted.what)
    wrote = _written(wanted, before, known)
    if there == digest:
        return change("=", f"is {digest.short}")
    if there is None:
        if wrote != digest:
            return change("+", f"new, {digest.short}")
        verb = "x" if channel.on_drift == "refuse" else "+"
        return change(verb, f"drift: somebody removed {digest.short}", drift=True)
    if wrote not in (None, there) and not (wanted.moves and forward(wrote, there, digest, known)):
        reason = f"drift: somebody moved it from {wrote.short} to {there.short}"
        good = channel.on_drift == "repair" and (wanted.moves or wrote == digest)
        return change("+" if good else "x", reason, moves=good, drift=True)
    if not wanted.moves:
        return change(
            "x", f"an immutable tag is {there.short} there, and {digest.short} in the lock"
        )
    if there not in known and wrote is None:
        return change("x", f"{there.short} there was not written by ssds")
    return change("+", f"moves from {there.short} to {wanted.released.full_tag}", moves=True)


def _written(wanted: Wanted, before: Observation | None, known: Container[Digest]) -> Digest | None:
    """Returns what ssds wrote under a tag the last time, where that is known."""
    if before is None:
        return None
    found = before.tags.get(wanted.what)
    return before.wrote.get(wanted.what) or (found if found in known else None)


def _lost_change(channel: Channel, what: str, observed: Observation | None) -> list[Change]:
    lost = observed.lost.get(what, ()) if observed else ()
    if not lost:
        return []
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return [
        Change(
            where=channel.name,
            what=f"{what} {BYTES}",
            verb="x" if channel.on_drift == "refuse" else "+",
            reason=f"drift: {lost[0].short}{more} is gone",
            marks=DRIFT,
        )
    ]


def _attached_change(
    channel: Channel,
    what: str,
    item: Attachment,
    observed: Observation | None,
    before: Observation | None,
) -> Change:
    def change(verb: str, reason: str, marks: frozenset[str] = frozenset()) -> Change:
        return Change(where=channel.name, what=what, verb=verb, reason=reason, marks=marks)

    if observed is None:
        return change("?", "never observed")
    there = item.held(observed)
    if there == item.digest:
        return change("=", f"is {there.short}")
    if not item.here:
        return change("w", f"{item.digest.short} is not here")
    if there is not None:
        return change("+", f"replaces {there.short}")
    if before is not None and item.held(before) == item.digest:
        verb = "x" if channel.on_drift == "refuse" else "+"
        return change(verb, f"drift: somebody removed {item.digest.short}", DRIFT)
    return change("+", f"new, {item.digest.short}")


def offers(released: Released, observed: Observation | None) -> frozenset[Digest]:
    """Returns the digests of a release whose bytes the channel has, or unpacked would give (C2).

    What counts is the immutable tag: it names exactly the index that the lock names.
    """
    tag = f"{released.id.name}:{released.full_tag}"
    if observed is None or observed.tags.get(tag) != released.index.digest:
        return frozenset()
    found = {released.index.digest} | offered_sifs(released, observed.tags.get(tag + SUFFIX))
    if released.metadata and observed.metadata.get(released.index.digest) == released.metadata:
        found.add(released.metadata)
    if released.dataset is not None:
        found |= {blob.digest for blob in released.dataset.blobs}
    for half in released.platforms.values():
        found |= {half.manifest.digest, half.config.digest}
        found |= {layer.digest for layer in half.layers}
        found |= {layer.diff_id for layer in half.layers}
    return frozenset(found)


def index_descriptor(released: Released) -> Descriptor:
    """Returns the descriptor of a release's index."""
    from ssds.oci import types

    index = released.index
    return types.Descriptor(
        media_type=types.INDEX, digest=index.digest, size_bytes=index.size_bytes
    )


def split_location(location: str) -> tuple[str, str]:
    """Returns host and repository prefix of a registry channel's location."""
    host, _, prefix = location.partition("/")
    if not host or not prefix:
        raise InvalidValue(
            f"the location {location!r} is not host[:port]/prefix",
            hint="Correct it in catalog/channels.yaml.",
            code="D030",
        )
    return host, prefix.strip("/")
