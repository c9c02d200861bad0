"""Pins: moving inputs fixed by digest in a lock (C8, C9, C19)."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.digest import Digest
from ssds.core.records import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """One file that is fixed by its digest.

    Attributes:
        name: the file's own name, no slash.
        digest: its sha256.
        size_bytes: its size, or 0 where unknown.
        archive: ``debian``, ``pypi``, ``conda`` or the empty string; the configured mirror gives
            the host.
        path: the path below that archive's root (``pool/main/s/samtools/…``).
        urls: upstream addresses that may stand beside it; tried after the archive.
    """

    name: str
    digest: Digest
    size_bytes: int = 0
    archive: str = ""
    path: str = ""
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedPackage:
    """One binary package of a set: a Debian package, a Python wheel or a conda package.

    Attributes:
        name, version, architecture: as the package system writes them (``all``, ``any`` and
            ``noarch`` too).
        file: the archive file.
        build: the build string of a conda package; others have none.
    """

    name: str
    version: str
    architecture: str
    file: PinnedFile
    build: str = ""

    @property
    def channel(self) -> str:
        """The channel of a conda package (``conda-forge``), or the empty string."""
        return self.file.path.rpartition("/")[0].rpartition("/")[0] if self.build else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSet:
    """The exact packages of one typed step (``apt``, ``pip``, ``conda``) or of a base.

    Attributes:
        manager: ``apt``, ``pip`` or ``conda``.
        request: fingerprint of what was asked; the pin is stale when that differs, only then.
        packages: sorted by name.
        epoch: seconds since the Unix epoch: the newest date among the indexes it came from.
    """

    manager: str
    request: Digest
    packages: tuple[PinnedPackage, ...]
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPlace:
    """Which files of a repository an archive was made from.

    Attributes:
        commit, tree: git's ids in full: of the commit, and of its whole tree.
        folder: the folder that was taken, or the empty string for all.
        empty_submodules: submodules stand as empty folders; without it there are none.
    """

    commit: str = ""
    tree: str = ""
    folder: str = ""
    empty_submodules: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePin:
    """One pinned source archive and the request that it answers.

    Attributes:
        git: for an archive that was made from a commit; ``file.urls`` are then repositories.
    """

    request: Digest
    file: PinnedFile
    epoch: int = 0
    git: GitPlace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """One layer of an image in a registry.

    Attributes:
        digest, size_bytes: of its bytes in the registry, mostly compressed.
        diff_id: of the uncompressed tar: the layer's identity.
    """

    digest: Digest
    size_bytes: int
    diff_id: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePin:
    """What the reference of an image stood for when it was locked, on one platform.

    Attributes:
        reference: the image's full name; where its bytes came from is not noted.
        digest: of the index, or of the manifest where there is no index.
        manifest, config: their digests; the config names the layers.
        layers: base first.
        system: ``debian bookworm``: what its os-release says, or empty where nobody read it.
        read: whether the packages in it were looked up; ``BasePin.packages`` then has them.
    """

    reference: str
    digest: Digest
    manifest: Digest
    config: Digest
    config_size_bytes: int
    layers: tuple[ImageLayer, ...]
    system: str = ""
    read: bool = False

    @property
    def files(self) -> tuple[PinnedFile, ...]:
        """Config, then layers, as files of the archive ``oci``, where names are paths."""
        parts = [(self.config, self.config_size_bytes)]
        parts += [(layer.digest, layer.size_bytes) for layer in self.layers]
        short = self.reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
        return tuple(
            PinnedFile(
                name=f"{short}-{digest.short}",
                digest=digest,
                size_bytes=size,
                archive="oci",
                path=self.reference,
            )
            for digest, size in parts
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePin:
    """A base on one platform: its packages and, once bootstrapped, its one layer; or an image.

    Attributes:
        name: ``debian-12``; of an image it may be its full reference.
        date: ``YYYYMMDD`` of the index, or the first 16 digits of an image's digest;
            ``name@date`` is its identity (C8).
        packages: the exact packages; of an image those that its dpkg lists, which have no file
            of their own: the digest is that of the image's config.
        image: for a base that is an image.
        diff_id: sha256 of the uncompressed layer tar; None until it was bootstrapped once.
        epoch: SOURCE_DATE_EPOCH in seconds.
    """

    name: str
    date: str
    request: Digest
    packages: PackageSet
    epoch: int
    diff_id: Digest | None = None
    image: ImagePin | None = None

    @property
    def files(self) -> tuple[PinnedFile, ...]:
        """Every file that it is made from."""
        if self.image is not None:
            return self.image.files
        return tuple(package.file for package in self.packages.packages)

    @property
    def identity(self) -> str:
        """``name@date``."""
        return f"{self.name}@{self.date}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisoryPin:
    """A pinned advisory set: name, date (ISO, of its newest record) and the sha256 of its bytes."""

    name: str
    date: str
    digest: Digest
    size_bytes: int
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipePin:
    """The version of another recipe that a range was answered with (C16)."""

    request: Digest
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformPins:
    """All pins of one release on one platform.

    Attributes:
        base: ``name@date`` of the shared base pin, or the empty string.
        advisories: ``name@date`` of the shared advisory pin, or the empty string.
        sources: by source name.
        packages: by step address (``build/2``).
        recipes: by name, of those that the release asks for by a range.
        epoch: SOURCE_DATE_EPOCH in seconds: the newest date among the inputs.
    """

    base: str = ""
    advisories: str = ""
    sources: Mapping[str, SourcePin] = field(default_factory=dict)
    packages: Mapping[str, PackageSet] = field(default_factory=dict)
    recipes: Mapping[str, RecipePin] = field(default_factory=dict)
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPins:
    """The catalog-wide pins: bases by (``name@date``, platform), advisory sets by ``name@date``."""

    bases: Mapping[tuple[str, str], BasePin] = field(default_factory=dict)
    advisories: Mapping[str, AdvisoryPin] = field(default_factory=dict)
    current: Mapping[str, str] = field(default_factory=dict)
