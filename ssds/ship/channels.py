"""Channels: releases as tags, in an OCI layout folder or in a registry (C12, C14).

``VERSION[-VARIANT]-rN`` is written once; ``VERSION[-VARIANT]`` and ``latest`` move, marked
irreversible. What differs from the last observation is a change; what ssds did not write is shown
and never touched. The metadata blob is a referrer of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Protocol

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue, Refused, SsdsError
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.core.versions import version_key
from ssds.lock.model import LayerRecord, Released
from ssds.recipe.model import Channel
from ssds.ship.changes import Change
from ssds.ship.observation import Observation
from ssds.ship.sifs import SUFFIX, lay_out, offered_sifs, root_of, with_sifs

if TYPE_CHECKING:  # planning reads observations only: it needs none of these
    from ssds.oci.copy import HasBlobs
    from ssds.oci.types import Descriptor

METADATA_TYPE = "application/vnd.ssds.metadata.v1+json"
_REVISION = pattern(rf"(.+)-r([1-9][0-9]*)(?:{SUFFIX})?")
_IRREVERSIBLE = frozenset({"irreversible"})


class Backend(Protocol):
    """A place with repositories and tags."""

    def observe(self, names: Iterable[str], indexes: Mapping[str, Sequence[Digest]]) -> Observation:
        """Returns the tags of these repositories, and the metadata of these indexes."""

    def copy(
        self, name: str, index: Descriptor, source: HasBlobs, say: Callable[[str], None]
    ) -> None:
        """Brings an index with all it names."""

    def fetch(
        self,
        name: str,
        index: Descriptor,
        sink: HasBlobs,
        platforms: Sequence[Platform],
        say: Callable[[str], None],
    ) -> None:
        """Brings the index document, and the images of these platforms, to ``sink``."""

    def fetch_metadata(self, name: str, index: Descriptor) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""

    def tag(self, name: str, tags: Mapping[str, Descriptor]) -> None:
        """Sets tags, in the order given."""

    def attach(self, name: str, index: Descriptor, metadata: bytes) -> None:
        """Makes ``metadata`` the one metadata blob that refers to the index."""


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


def wanted_tags(channel: Channel, releases: Sequence[Released]) -> dict[str, dict[str, Released]]:
    """Returns name → tag → release: immutable tags first, then those that move."""
    found: dict[str, dict[str, Released]] = {}
    newest: dict[str, Released] = {}
    ordered = sorted(releases, key=lambda r: (r.id.name, version_key(r.id.version), r.id.variant))
    for released in ordered:
        found.setdefault(released.id.name, {})[released.full_tag] = released
        if not released.id.variant:
            newest[released.id.name] = released
    for released in ordered:
        if "version" in channel.move:
            found[released.id.name][released.tag] = released
    if "latest" in channel.move:
        for name, released in newest.items():
            found[name].setdefault("latest", released)
    return found


def plan_channel(
    channel: Channel, releases: Sequence[Released], observed: Observation | None
) -> tuple[Change, ...]:
    """Returns what differs between the locks' releases and the last observation; pure."""
    changes: list[Change] = []
    for name, tags in sorted(wanted_tags(channel, releases).items()):
        wanted = with_sifs(channel, tags)
        known = _known(name, wanted, observed)
        for tag, (released, digest) in wanted.items():
            what = Wanted(name=name, tag=tag, released=released, digest=digest)
            changes.append(_tag_change(channel.name, what, observed, known))
        for released in {r.full_tag: r for r in tags.values()}.values():
            changes += _metadata_change(channel.name, name, released, observed)
        prefix = f"{name}:"
        for text in sorted(observed.tags if observed else ()):
            tag = text.removeprefix(prefix)
            if text.startswith(prefix) and tag not in wanted and not _ours(tag, tags):
                changes.append(
                    Change(where=channel.name, what=text, verb="unmanaged", reason="not of ssds")
                )
    return tuple(changes)


def _ours(tag: str, tags: Container[str]) -> bool:
    """Whether a tag is an earlier revision, a SIF file or a list of referrers: ours, and kept."""
    beside = tag.endswith(SUFFIX) and tag.removesuffix(SUFFIX) in tags
    return beside or bool(_REVISION.fullmatch(tag)) or tag.startswith("sha256-")


def _known(
    name: str, wanted: Mapping[str, tuple[Released, Digest]], observed: Observation | None
) -> frozenset[Digest]:
    """Returns the digests that ssds may have given a moving tag of this name."""
    found = {digest for _, digest in wanted.values()}
    for text, digest in observed.tags.items() if observed else ():
        if text.startswith(f"{name}:") and _REVISION.fullmatch(text):
            found.add(digest)
    return frozenset(found)


def _tag_change(
    where: str, wanted: Wanted, observed: Observation | None, known: frozenset[Digest]
) -> Change:
    released, digest = wanted.released, wanted.digest
    what = f"{wanted.name}:{wanted.tag}"
    moves = wanted.tag.removesuffix(SUFFIX) != released.full_tag
    if observed is None:
        return Change(where=where, what=what, verb="?", reason="never observed")
    there = observed.tags.get(what)
    if there == digest:
        return Change(where=where, what=what, verb="=", reason=f"is {digest.short}")
    if there is None:
        return Change(where=where, what=what, verb="+", reason=f"new, {digest.short}")
    if not moves:
        reason = f"an immutable tag is {there.short} there, and {digest.short} in the lock"
        return Change(where=where, what=what, verb="x", reason=reason)
    if there not in known:
        reason = f"{there.short} there was not written by ssds"
        return Change(where=where, what=what, verb="x", reason=reason)
    reason = f"moves from {there.short} to {released.full_tag}"
    return Change(where=where, what=what, verb="+", reason=reason, marks=_IRREVERSIBLE)


def _metadata_change(
    where: str, name: str, released: Released, observed: Observation | None
) -> list[Change]:
    if released.metadata is None:
        return []
    what = f"{name}:{released.full_tag} metadata"
    if observed is None:
        return [Change(where=where, what=what, verb="?", reason="never observed")]
    there = observed.metadata.get(released.index.digest)
    if there == released.metadata:
        return [Change(where=where, what=what, verb="=", reason=f"is {there.short}")]
    reason = f"replaces {there.short}" if there else f"new, {released.metadata.short}"
    return [Change(where=where, what=what, verb="+", reason=reason)]


def observe(backend: Backend, releases: Sequence[Released], at: int) -> Observation:
    """Looks at the channel: all tags of the releases' names; ``at`` is the time now."""
    indexes: dict[str, list[Digest]] = {}
    for released in releases:
        indexes.setdefault(released.id.name, []).append(released.index.digest)
    found = backend.observe(sorted(indexes), indexes)
    return Observation(at=at, tags=found.tags, metadata=found.metadata)


def index_descriptor(released: Released) -> Descriptor:
    """Returns the descriptor of a release's index."""
    from ssds.oci import types

    index = released.index
    return types.Descriptor(
        media_type=types.INDEX, digest=index.digest, size_bytes=index.size_bytes
    )


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
    for half in released.platforms.values():
        found |= {half.manifest.digest, half.config.digest}
        found |= {layer.digest for layer in half.layers}
        found |= {layer.diff_id for layer in half.layers}
    return frozenset(found)


def bring(
    backend: Backend,
    released: Released,
    wanted: AbstractSet[Digest],
    sink: HasBlobs,
    say: Callable[[str], None],
) -> None:
    """Brings the wanted bytes of a release from a channel into a store, each digest checked.

    Raises:
        UnavailableError: the channel does not have (any more) what was observed.
        IntegrityError: other bytes than the lock's.
    """
    index = index_descriptor(released)
    halves = {
        platform: half
        for platform, half in released.platforms.items()
        if wanted
        & {half.manifest.digest, half.config.digest}.union(
            *({layer.digest, layer.diff_id} for layer in half.layers)
        )
    }
    backend.fetch(released.id.name, index, sink, tuple(halves), say)
    files = [p for p, s in released.sifs.items() if wanted & {s.file.digest, s.manifest.digest}]
    if files:
        backend.fetch(released.id.name, root_of(released)[0], sink, files, say)
    for half in halves.values():
        for layer in half.layers:
            if layer.diff_id in wanted and not sink.blobs.has(layer.diff_id):
                say(f"unpacking {layer.digest.short}")
                _unpack(sink, layer)
    if released.metadata in wanted:
        data = backend.fetch_metadata(released.id.name, index)
        if data is not None:
            sink.blobs.put(data, released.metadata)


def _unpack(sink: HasBlobs, layer: LayerRecord) -> None:
    from ssds.oci import types
    from ssds.oci.compress import decompress_stream

    with (
        sink.blobs.open(layer.digest) as file,
        sink.blobs.writer(expected=layer.diff_id) as blob,
    ):
        for piece in decompress_stream(file, types.LAYER_GZIP):
            blob.write(piece)


def apply_changes(
    channel: Channel,
    backend: Backend,
    releases: Sequence[Released],
    source: HasBlobs,
    *,
    now: int,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[tuple[Change, ...], Observation]:
    """Looks anew, brings what is missing, reads back; returns what it did and what is there now.

    Bytes come first, then metadata, immutable tags, moving tags: whoever sees a tag can read all
    behind it. A release with a refused change is left as it is; the others are brought.

    Raises:
        UnavailableError: bytes that the source lacks, or a place that does not answer.
        IntegrityError: damaged bytes, at either end.
    """
    changes = plan_channel(channel, releases, observe(backend, releases, now))
    todo = {change.what for change in changes if change.effective}
    refused = {change.what for change in changes if change.verb == "x"}
    for name, tags in sorted(wanted_tags(channel, releases).items()):
        wanted = with_sifs(channel, tags)
        for released in {r.full_tag: r for r in tags.values()}.values():
            full = f"{name}:{released.full_tag}"
            if full in refused:
                continue
            mine = [tag for tag, (r, _) in wanted.items() if r is released]
            mine = [tag for tag in mine if f"{name}:{tag}" in todo]
            files = [tag for tag in mine if tag not in tags and full + SUFFIX not in refused]
            images = [tag for tag in mine if tag in tags]
            attach = f"{full} metadata" in todo
            if images or attach:
                _push_image(backend, name, released, source, images, say, attach=attach)
            if files:
                root = lay_out(released, source)
                backend.copy(name, root, source, say)
                say(f"{name}: {' '.join(files)}")
                backend.tag(name, dict.fromkeys(files, root))
    after = observe(backend, releases, now)
    held = _held(channel, releases, refused)
    left = [c for c in plan_channel(channel, releases, after) if c.effective and c.what not in held]
    if left:
        raise Refused(
            f"{channel.name} still differs after the push: {left[0].what} ({left[0].reason})",
            hint="Another writer is at work there; try again.",
            code="D031",
        )
    return changes, after


def _push_image(
    backend: Backend,
    name: str,
    released: Released,
    source: HasBlobs,
    tags: Sequence[str],
    say: Callable[[str], None],
    *,
    attach: bool,
) -> None:
    """Brings an index with all it names, then its metadata where asked, then its tags."""
    index = index_descriptor(released)
    backend.copy(name, index, source, say)
    if attach and released.metadata is not None:
        backend.attach(name, index, source.blobs.read(released.metadata))
    if tags:
        say(f"{name}: {' '.join(tags)}")
        backend.tag(name, dict.fromkeys(tags, index))


def _held(channel: Channel, releases: Sequence[Released], refused: set[str]) -> set[str]:
    """Returns everything of releases, and of their SIF files, whose immutable tag is refused."""
    held = set(refused)
    for name, tags in wanted_tags(channel, releases).items():
        for tag, (released, _) in with_sifs(channel, tags).items():
            full = f"{name}:{released.full_tag}"
            if full in refused:
                held |= {f"{name}:{tag}", f"{full} metadata"}
            if full + SUFFIX in refused and tag not in tags:
                held.add(f"{name}:{tag}")
    return held


def metadata_manifest(index: Descriptor, metadata: bytes) -> bytes:
    """Returns the canonical manifest that attaches a metadata blob to an index."""
    from ssds.oci import types

    blob = types.Descriptor(
        media_type=METADATA_TYPE, digest=sha256_of(metadata), size_bytes=len(metadata)
    )
    return types.manifest_bytes(
        config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY),
        layers=[blob],
        subject=index,
        artifact_type=METADATA_TYPE,
    )


def attached_blob(manifest: bytes) -> Digest | None:
    """Returns the metadata blob that a referrer's manifest names, or None where it is no such."""
    from ssds.oci import types

    try:
        found = types.parse_manifest(manifest)
    except SsdsError:
        return None
    if found.artifact_type != METADATA_TYPE or len(found.layers) != 1:
        return None
    return found.layers[0].digest


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
