"""A lock as immutable values: pins, released digests and evidence per platform (C8, C9, C12, C23).

``Lock`` is one file ``lockfiles/<name>@<version>.lock.json``; ``CatalogLock`` is
``lockfiles/catalog.lock.json``. Nothing here reads or writes files.
"""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.digest import ActionKey, Digest
from ssds.core.model import Claim, ReleaseName
from ssds.core.pins import PlatformPins, SharedPins
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field, replace
from ssds.lock.sets import SetRecord

LOCK_VERSION = 1
"""The format that this program writes; older ones are read, newer ones are refused."""

DEFAULT_VARIANT = "default"
"""How the nameless variant is called in a file."""

RELEASE_KINDS = ("build", "publish", "sif")
LATEST_KINDS = ("test", "deploytest", "sbom", "scan", "inspect", "gate")
IDENTIFIERS = ("concept_doi", "version_doi", "swhid", "rrid", "biotools", "bioconda")
BUILT, ADOPTED = "built", "adopted"
ORIGINS = (BUILT, ADOPTED)
PLACES = ("list", "menu")
"""Where an adopted release may be hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedBlob:
    """A blob by sha256 digest and size in bytes."""

    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """One layer: the compressed blob, its size in bytes, and the digest of the uncompressed tar."""

    digest: Digest
    size_bytes: int
    diff_id: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SifRecord:
    """An image as one file, and the manifest under which registries hold it."""

    file: SizedBlob
    manifest: SizedBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHalf:
    """What one platform offers; written only by apply, in no key (C9).

    Attributes:
        actions: claims of RELEASE_KINDS, by kind.
        manifest, config: the image's manifest and config.
        layers: base first; as many as the config has diffIDs.
        commands: names, or absolute paths in the image of programs outside its PATH; sorted.
        found: names of the programs that the image has and its base has not, where the recipe
            declares no command.
        sif: the image as a SIF file, where a channel asks for it.
    """

    actions: Mapping[str, Claim]
    manifest: SizedBlob
    config: SizedBlob
    layers: tuple[LayerRecord, ...]
    commands: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    sif: SifRecord | None = None

    @property
    def offered(self) -> tuple[str, ...]:
        """What gets a wrapper: the declared commands, else those that were found."""
        return self.commands or self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedAbout:
    """What the lists of others say of something that they deployed.

    Attributes:
        built: the day in its name, ``YYYYMMDD``, or the empty string.
        categories: in their order.
        applications: (name, command) of the entries of menus.
        arguments: for the container runtime.
        hidden: ``list``, ``menu``: where it is not shown.
        webapp: their entry of ``webapps.json`` as JSON, or the empty string.
    """

    built: str = ""
    categories: tuple[str, ...] = ()
    applications: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    webapp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The release half of something that others deployed (C23); its evidence is "none".

    Attributes:
        digest: the observed digest (an image's) or, in blake3, a tree's fingerprint.
        locations: absolute paths or image references, at least one; the first has those bytes,
            the others are fallback sources, compared only where they are of its kind.
        commands: as in ReleaseHalf.
        about: what lists say of it.
    """

    digest: Digest
    locations: tuple[str, ...]
    commands: tuple[str, ...] = ()
    about: AdoptedAbout = field(default_factory=AdoptedAbout)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformLock:
    """One platform's section: self-contained, made anywhere (C11).

    Attributes:
        pins: its inputs; written only by the resolver.
        release: what it offers, or None before the first apply.
        latest: newest claims of LATEST_KINDS, by kind; they raise no revision.
        adopted: what others deployed; set instead of all else where the variant's origin is
            ``adopted``, and beside it where a build of ours took the name since (r0).
    """

    pins: PlatformPins = field(default_factory=PlatformPins)
    release: ReleaseHalf | None = None
    latest: Mapping[str, Claim] = field(default_factory=dict)
    adopted: Adoption | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRecord:
    """The releasable index.

    Attributes:
        digest, size_bytes: the index blob.
        key: the index action's key.
        platforms: the manifest digest that it holds for each platform.
    """

    digest: Digest
    size_bytes: int
    key: ActionKey
    platforms: Mapping[Platform, Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """That a release is not to be used any more.

    Attributes:
        why: one line for its users.
        since: the day, ``YYYY-MM-DD``.
        instead: the module that replaces it, ``NAME/VERSION[-VARIANT]``, or the empty string.
    """

    why: str
    since: str
    instead: str = ""

    @property
    def text(self) -> str:
        """The one line that users are told."""
        use = f" Use {self.instead} instead." if self.instead else ""
        return f"withdrawn on {self.since}: {self.why}{'' if self.why[-1] in '.!?' else '.'}{use}"

    def to_dict(self) -> dict[str, str]:
        """Returns the JSON form."""
        fields = {"why": self.why, "since": self.since, "instead": self.instead}
        return {key: value for key, value in fields.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantLock:
    """One variant: its revision and index, and a section per platform.

    Attributes:
        origin: ``built``, or ``adopted`` until something is pinned or built for it.
        revision: from 1; 0 while there is no index.
        superseded_revision: the highest revision known when a merge dropped the index, else 0.
        index: None until all required platforms have been published.
        metadata: the claim of the metadata node (C13).
        identifiers: values by names of IDENTIFIERS.
        withdrawn: set while no revision of it is to be used; in no key.
    """

    origin: str = BUILT
    revision: int = 0
    superseded_revision: int = 0
    index: IndexRecord | None = None
    metadata: Claim | None = None
    identifiers: Mapping[str, str] = field(default_factory=dict)
    platforms: Mapping[Platform, PlatformLock] = field(default_factory=dict)
    withdrawn: Withdrawal | None = None

    @property
    def highest_revision(self) -> int:
        """The highest revision that this lock knows of."""
        return max(self.revision, self.superseded_revision)

    def with_index(self, index: IndexRecord, *, renewed: bool = False) -> VariantLock:
        """Returns this with ``index`` as the current one; another digest is the next revision.

        So is a SIF file of other bytes (``renewed``): a revision is one set of bytes for ever.
        """
        if self.index is not None and self.index.digest == index.digest and not renewed:
            return replace(self, index=index)
        revision = self.highest_revision + 1
        return replace(self, index=index, revision=revision, superseded_revision=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """One lock file: a name and version with its variants (the nameless one under "")."""

    name: str
    version: str
    variants: Mapping[str, VariantLock] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """``<name>@<version>.lock.json``."""
        return lock_file_name(self.name, self.version)

    def release_name(self, variant: str) -> ReleaseName:
        """Returns the identity (without revision) of one variant."""
        return ReleaseName(self.name, self.version, variant)

    def variant(self, release: ReleaseName) -> VariantLock:
        """Returns that variant's lock; an empty one where there is none."""
        return self.variants.get(release.variant, VariantLock())

    def platform(self, release: ReleaseName, platform: Platform) -> PlatformLock:
        """Returns one platform's section; an empty one where there is none."""
        return self.variant(release).platforms.get(platform, PlatformLock())


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogLock:
    """The shared pins (C8). Entries of ``pins.current``: see ``current_base``."""

    pins: SharedPins = field(default_factory=SharedPins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locks:
    """All lock files of a workspace.

    Attributes:
        releases: by name and version.
        catalog: the shared pins; empty where there is no file.
        paths: lock file per name and version, relative to the workspace.
    """

    releases: Mapping[tuple[str, str], Lock] = field(default_factory=dict)
    catalog: CatalogLock = field(default_factory=CatalogLock)
    paths: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def pins(self) -> dict[tuple[ReleaseName, Platform], PlatformPins]:
        """Every release's own pins."""
        return {
            (lock.release_name(variant), platform): section.pins
            for lock in self.releases.values()
            for variant, entry in lock.variants.items()
            for platform, section in entry.platforms.items()
        }

    @property
    def withdrawn(self) -> dict[ReleaseName, Withdrawal]:
        """What is not to be used any more."""
        return {
            lock.release_name(variant): entry.withdrawn
            for lock in self.releases.values()
            for variant, entry in lock.variants.items()
            if entry.withdrawn is not None
        }

    def get(self, release: ReleaseName) -> Lock:
        """Returns the lock of a release; an empty one where there is none."""
        found = self.releases.get((release.name, release.version))
        return found or Lock(name=release.name, version=release.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What ship needs of one release: identity, index, and each platform's image (C12).

    Attributes:
        platforms: only those whose manifest the index holds; metadata: digest of that blob.
        evidence: the newest claims of LATEST_KINDS of these platforms, by kind; they may be about
            a later build than the released one.
        epoch: the newest date among its pinned inputs, seconds since the Unix epoch; 0 where its
            lock has none.
        withdrawn: set while it is not to be used; dataset: of a data set, without platforms.
    """

    id: ReleaseName
    revision: int
    index: IndexRecord
    metadata: Digest | None
    identifiers: Mapping[str, str]
    platforms: Mapping[Platform, ReleaseHalf]
    evidence: Mapping[Platform, Mapping[str, Claim]] = field(default_factory=dict)
    epoch: int = 0
    withdrawn: Withdrawal | None = None
    dataset: SetRecord | None = None

    @property
    def sifs(self) -> Mapping[Platform, SifRecord]:
        """The SIF file of each platform of the index; empty until all of them are there."""
        found = {p: half.sif for p, half in self.platforms.items() if half.sif is not None}
        return found if set(found) == set(self.index.platforms) else {}

    @property
    def tag(self) -> str:
        """The moving tag, ``VERSION[-VARIANT]``."""
        return self.id.tag

    @property
    def full_tag(self) -> str:
        """The immutable tag, ``VERSION[-VARIANT]-rN``; of a data set with its digest."""
        return f"{self.id.tag}-{self.dataset.short if self.dataset else f'r{self.revision}'}"


def lock_file_name(name: str, version: str) -> str:
    """Returns the file name of a lock, below ``lockfiles/``."""
    return f"{name}@{version}.lock.json"


def releasable(lock: Lock) -> tuple[Released, ...]:
    """Returns what of ``lock`` may be delivered, by variant."""
    found = []
    for name, variant in sorted(lock.variants.items()):
        if not blocked(variant) and variant.index is not None:
            offered = _offered(variant, variant.index)
            found.append(
                Released(
                    id=lock.release_name(name),
                    revision=variant.revision,
                    index=variant.index,
                    metadata=variant.metadata.outputs.get("metadata") if variant.metadata else None,
                    identifiers=variant.identifiers,
                    platforms=offered,
                    evidence={p: variant.platforms[p].latest for p in offered},
                    epoch=max((variant.platforms[p].pins.epoch for p in offered), default=0),
                    withdrawn=variant.withdrawn,
                )
            )
    return tuple(found)


def _offered(variant: VariantLock, index: IndexRecord) -> dict[Platform, ReleaseHalf]:
    halves = {p: s.release for p, s in variant.platforms.items()}
    return {
        p: half
        for p, digest in sorted(index.platforms.items())
        if (half := halves.get(p)) is not None and half.manifest.digest == digest
    }


def takes_adoptions(variant: VariantLock) -> bool:
    """Whether what others deployed may be noted in it: nothing was released before it was."""
    return variant.index is None or any(s.adopted for s in variant.platforms.values())


def only_adopted(variant: VariantLock) -> bool:
    """Whether people use what others deployed, also where a recipe was pinned since."""
    return variant.index is None and any(s.adopted for s in variant.platforms.values())


def blocked(variant: VariantLock) -> str:
    """Returns why a variant cannot be delivered, or the empty string."""
    if variant.origin == ADOPTED:
        return "adopted: its bytes stay where others put them"
    if variant.index is None:
        return "no index yet: a required platform has not been published"
    if not _offered(variant, variant.index):
        return "its platform sections are ahead of the index: apply on the other platforms first"
    return ""
