"""Makes the released half of locks from what apply found. Pure but for the two given readers.

A claim whose outputs equal the locked one keeps the locked record, so the same inputs give the
same lock bytes on any machine (C9).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ssds.core.digest import ActionKey, Digest
from ssds.core.model import Claim, NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, replace
from ssds.lock.model import (
    BUILT,
    LATEST_KINDS,
    RELEASE_KINDS,
    IndexRecord,
    LayerRecord,
    Locks,
    PlatformLock,
    ReleaseHalf,
    SifRecord,
    SizedBlob,
    VariantLock,
)

if TYPE_CHECKING:
    from ssds.lock.data import DataLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known after an apply or a plan.

    Attributes:
        claims: node → the claim that counts; only nodes that ended well.
        read: gives a blob's bytes, or None where they are not here.
    """

    claims: Mapping[NodeId, Claim]
    read: Callable[[Digest], bytes | None]

    def of(self, release: ReleaseName, kind: str, platform: str = "") -> Claim | None:
        """Returns the claim of a release's node."""
        return self.claims.get(NodeId(str(release), kind, platform))


def make_variant(
    release: ReleaseName, platforms: tuple[Platform, ...], before: VariantLock, found: Found
) -> VariantLock:
    """Returns the variant's lock after ``found``; sections without news stay as they are.

    One of what was adopted becomes one of what is built; it keeps what was adopted.
    """
    if _is_current(release, platforms, before, found):
        return before
    sections = dict(before.platforms)
    for platform in platforms:
        section = sections.get(platform, PlatformLock())
        section = _section(release, platform, section, found)
        if section != PlatformLock():
            sections[platform] = section
    variant = replace(before, platforms=sections)
    metadata = found.of(release, "metadata")
    if metadata is not None:
        variant = replace(variant, metadata=_kept(before.metadata, metadata))
    index = found.of(release, "index")
    if index is not None:
        record = _index(release, index, platforms, before, found)
        if record is not None:
            variant = variant.with_index(record, renewed=_renewed(before, sections, record))
    return variant if variant == before else replace(variant, origin=BUILT)


def _renewed(
    before: VariantLock, sections: Mapping[Platform, PlatformLock], index: IndexRecord
) -> bool:
    """Whether a SIF file that was released before has other bytes now."""
    for platform in index.platforms:
        old = before.platforms.get(platform, PlatformLock()).release
        new = sections.get(platform, PlatformLock()).release
        if old and new and old.sif and new.sif and old.sif.file != new.sif.file:
            return True
    return False


def _is_current(
    release: ReleaseName, platforms: tuple[Platform, ...], before: VariantLock, found: Found
) -> bool:
    """Whether all that was found is the lock's own: then nothing is made to be compared.

    False says nothing. What was found are the very records of the lock, as a rule.
    """
    owner, claims = str(release), found.claims
    index = claims.get(NodeId(owner, "index"))
    if before.origin != BUILT or (
        index is not None
        and (before.index is None or before.index.digest != index.outputs["index"])
    ):
        return False
    if index is not None and before.index is not None and before.index.key != index.key:
        return False
    if claims.get(NodeId(owner, "metadata"), before.metadata) is not before.metadata:
        return False
    for platform in platforms:
        section = before.platforms.get(platform)
        if section is None or section.release is None:
            return False
        for held, kinds in (
            (section.latest, LATEST_KINDS),
            (section.release.actions, RELEASE_KINDS),
        ):
            for kind in kinds:
                known = held.get(kind)
                now = claims.get(NodeId(owner, kind, platform), known)
                if now is not known and (now is None or _kept(known, now) is not known):
                    return False
        half = section.release
        if _commands(release, platform, half, found) != (half.commands, half.found):
            return False
    return True


def _kept(before: Claim | None, now: Claim) -> Claim:
    """Returns the locked record where ``now`` says the same; a native run is worth more."""
    if before is None or before.key != now.key or not before.same_outputs(now):
        return now
    return now if before.emulated and not now.emulated else before


def _section(
    release: ReleaseName, platform: Platform, before: PlatformLock, found: Found
) -> PlatformLock:
    latest = dict(before.latest)
    for kind in LATEST_KINDS:
        claim = found.of(release, kind, platform)
        if claim is not None:
            latest[kind] = _kept(latest.get(kind), claim)
    half = _half(release, platform, before.release, found)
    return replace(before, latest=latest, release=half or before.release)


def _half(
    release: ReleaseName, platform: Platform, before: ReleaseHalf | None, found: Found
) -> ReleaseHalf | None:
    """Returns the release half, or None while build and publish have not both ended well."""
    build = found.of(release, "build", platform)
    publish = found.of(release, "publish", platform)
    if build is None or publish is None:
        return None
    known = before.actions if before else {}
    actions = {
        "build": _kept(known.get("build"), build),
        "publish": _kept(known.get("publish"), publish),
    }
    commands, others = _commands(release, platform, before, found)
    same = before is not None and before.manifest.digest == publish.outputs["manifest"]
    claim, sif = _sif(release, platform, before if same else None, found)
    actions.update({"sif": claim} if claim else {})
    if before is not None and same:
        return replace(before, actions=actions, commands=commands, found=others, sif=sif)
    data = found.read(publish.outputs["manifest"])
    if data is None:
        return None
    from ssds.oci.types import parse_manifest  # only news needs it, a plan has none as a rule

    manifest = parse_manifest(data)
    diff_ids = [digest for name, digest in _numbered(build.outputs, "layer/")]
    layers = tuple(
        LayerRecord(digest=layer.digest, size_bytes=layer.size_bytes, diff_id=diff_id)
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
    )
    return ReleaseHalf(
        actions=actions,
        manifest=SizedBlob(digest=publish.outputs["manifest"], size_bytes=len(data)),
        config=SizedBlob(digest=manifest.config.digest, size_bytes=manifest.config.size_bytes),
        layers=layers,
        commands=commands,
        found=others,
        sif=sif,
    )


def _sif(
    release: ReleaseName, platform: Platform, before: ReleaseHalf | None, found: Found
) -> tuple[Claim, SifRecord] | tuple[None, None]:
    """Returns claim and record of the image's SIF file, where there is one.

    ``before`` is the same image's; what is known of its file stays until there is a newer one.
    """
    claim = found.of(release, "sif", platform)
    known = before.actions.get("sif") if before else None
    if before and before.sif and known and (claim is None or known.same_outputs(claim)):
        return _kept(known, claim or known), before.sif
    data = found.read(claim.outputs["manifest"]) if claim else None
    if claim is None or data is None:
        return None, None
    from ssds.oci.types import parse_manifest  # as above

    (file,) = parse_manifest(data).layers
    record = SifRecord(
        file=SizedBlob(digest=file.digest, size_bytes=file.size_bytes),
        manifest=SizedBlob(digest=claim.outputs["manifest"], size_bytes=len(data)),
    )
    return claim, record


def _numbered(outputs: Mapping[str, Digest], prefix: str) -> list[tuple[int, Digest]]:
    return sorted((int(n[len(prefix) :]), d) for n, d in outputs.items() if n.startswith(prefix))


def _commands(
    release: ReleaseName, platform: Platform, before: ReleaseHalf | None, found: Found
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the declared and the found commands, from the sbom node's inventory."""
    sbom = found.of(release, "sbom", platform)
    data = found.read(sbom.outputs["commands"]) if sbom else None
    if data is None:
        return (before.commands, before.found) if before else ((), ())
    inventory = json.loads(data)
    return tuple(sorted(inventory["declared"])), tuple(sorted(inventory.get("found", ())))


def _index(
    release: ReleaseName,
    index: Claim,
    platforms: tuple[Platform, ...],
    before: VariantLock,
    found: Found,
) -> IndexRecord | None:
    if before.index is not None and before.index.digest == index.outputs["index"]:
        return replace(before.index, key=index.key)
    data = found.read(index.outputs["index"])
    if data is None:
        return None
    text = data.decode("utf-8")
    manifests = {}
    for platform in platforms:
        publish = found.of(release, "publish", platform)
        if publish is not None and str(publish.outputs["manifest"]) in text:
            manifests[platform] = publish.outputs["manifest"]
    return IndexRecord(
        digest=index.outputs["index"], size_bytes=len(data), key=index.key, platforms=manifests
    )


def locked_claims(release: ReleaseName, variant: VariantLock) -> dict[NodeId, Claim]:
    """Returns every claim that a variant's lock holds, by node (C2)."""
    claims: dict[NodeId, Claim] = {}
    owner = str(release)
    for platform, section in variant.platforms.items():
        halves = dict(section.release.actions) if section.release else {}
        for kind, claim in {**halves, **section.latest}.items():
            claims[NodeId(owner, kind, str(platform))] = claim
    if variant.metadata is not None:
        claims[NodeId(owner, "metadata")] = variant.metadata
    if variant.index is not None:
        claims[NodeId(owner, "index")] = Claim(
            key=variant.index.key,
            kind="index",
            outputs={"index": variant.index.digest},
            origin="lock",
        )
    return claims


def locked_sizes(variant: VariantLock) -> dict[Digest, int]:
    """Returns the sizes in bytes that a variant's lock knows."""
    sizes: dict[Digest, int] = {}
    for section in variant.platforms.values():
        if section.release is not None:
            half = section.release
            sizes[half.manifest.digest] = half.manifest.size_bytes
            sizes[half.config.digest] = half.config.size_bytes
            sizes.update({layer.digest: layer.size_bytes for layer in half.layers})
            for blob in (half.sif.file, half.sif.manifest) if half.sif else ():
                sizes[blob.digest] = blob.size_bytes
    if variant.index is not None:
        sizes[variant.index.digest] = variant.index.size_bytes
    return sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What all locks together say of actions and bytes (C2).

    Attributes:
        claims: by key, in the order of the locks.
        sure: by key the claim that decides, where it is no failure.
        sizes: in bytes.
    """

    claims: Mapping[ActionKey, Sequence[Claim]]
    sure: Mapping[ActionKey, Claim]
    sizes: Mapping[Digest, int]


def held_by(locks: Locks, sets: Iterable[DataLock] = ()) -> Held:
    """Returns what the locks of releases and of reference data sets hold."""
    claims: dict[ActionKey, list[Claim]] = {}
    sure: dict[ActionKey, Claim] = {}
    sizes: dict[Digest, int] = {}
    for lock in locks.releases.values():
        for name, variant in lock.variants.items():
            for claim in locked_claims(lock.release_name(name), variant).values():
                known = claims.setdefault(claim.key, [])
                if not known and claim.verdict != "fail":
                    sure[claim.key] = claim
                known.append(claim)
            sizes.update(locked_sizes(variant))
    for data in sets:
        for claim in data.actions.values():
            claims.setdefault(claim.key, []).append(claim)
            sure.setdefault(claim.key, claim)
        for blob in (data.made.content, *data.made.layers) if data.made else ():
            sizes[blob.digest] = blob.size_bytes
    return Held(claims=claims, sure=sure, sizes=sizes)
