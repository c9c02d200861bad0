"""A recipe as immutable values: what the reader gives and every kind's spec takes.

A *target* is one release on one platform, with templates rendered and conditions applied; a
*release* groups the targets of one name, version and variant.
"""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.core.versions import VersionRange, is_version, parse_range


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """A source as the recipe asks for it; exactly one of url, git, deb_src, pypi is set.

    Attributes:
        name: the name in ``sources``.
        url: upstream address; ``sha256`` then comes from the recipe.
        mirrors: more addresses of the same bytes.
        sha256: the promised digest, or None where the resolver pins it.
        deb_src: ``name/version`` of a Debian source package (C19).
        pypi: ``name/version`` of a release on the Python package index (C19).
        file: which file of that source package or release; the empty string means the main
            archive (``.orig.tar.*``) or the only source archive.
        git: address of a repository.
        ref: tag, branch or full commit id there.
        folder: the folder of the repository that is taken; the empty string means all.
        empty_submodules: submodules become empty folders instead of an error.
        unpack: bind it unpacked (tar, zip, wheel, deb) instead of as one file.
    """

    name: str
    url: str = ""
    mirrors: tuple[str, ...] = ()
    sha256: Digest | None = None
    deb_src: str = ""
    pypi: str = ""
    file: str = ""
    git: str = ""
    ref: str = ""
    folder: str = ""
    empty_submodules: bool = False
    unpack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRef:
    """Another recipe's image as an input: a real edge (C16).

    Attributes:
        version: one exact version, or the one text of a range that a pin answers.
    """

    name: str
    version: str
    variant: str = ""

    @property
    def range(self) -> VersionRange | None:
        """The range, or None for an exact version."""
        return None if is_version(self.version) else parse_range(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEntry:
    """One file, link or folder of a local tree: path below it, content digest, mode bits."""

    path: str
    digest: Digest | None
    executable: bool = False
    link: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTree:
    """A file or folder beside the recipe that is copied in.

    Attributes:
        path: relative to the workspace, with ``/``.
        entries: sorted by path; a single file has one entry whose path is its own name.
    """

    path: str
    entries: tuple[LocalEntry, ...]

    def to_json(self) -> Json:
        """Returns what enters the key: names, digests, execute bits, link targets (no folder)."""
        return [
            {
                "path": e.path,
                **({"sha256": str(e.digest)} if e.digest else {}),
                **({"executable": True} if e.executable else {}),
                **({"link": e.link} if e.link else {}),
            }
            for e in self.entries
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Base of the build steps.

    Attributes:
        address: where it stands in the recipe (``build[2]``); in no key.
        time_limit_s: seconds until it is stopped; in no key.
    """

    address: str
    time_limit_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep(Step):
    """A shell script, run by ``/bin/sh -eu``.

    Attributes:
        script: the text.
        tools: apt packages that are there while it runs and never reach the image.
        sources: names of sources bound read-only below ``/run/ssds/sources/<name>/``.
        network: True marks the node impure (C10).
    """

    script: str
    tools: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AptStep(Step):
    """Debian packages with their dependencies, exactly as locked, without recommends."""

    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipStep(Step):
    """Python packages, exactly as locked; ``requirements`` are PEP 508 texts."""

    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaStep(Step):
    """conda packages, exactly as locked, in an environment of their own.

    Later steps and the image find its programs first: its ``bin`` is put before ``PATH``.

    Attributes:
        channels: names; a package comes from the first channel that has it.
        packages: match specifications (``samtools=1.21``).
        prefix: the environment's folder.
    """

    channels: tuple[str, ...]
    packages: tuple[str, ...]
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStep(Step):
    """Copies a local file or folder, a source, or paths of another recipe's image.

    Exactly one of local, source, recipe is set.

    Attributes:
        to: absolute destination; ends with ``/`` to put things into a folder.
        paths: with ``recipe``: absolute paths in that image.
        executable: gives copied files the execute bit (sources only).
    """

    to: str
    local: LocalTree | None = None
    source: str = ""
    recipe: RecipeRef | None = None
    paths: tuple[str, ...] = ()
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStep(Step):
    """An inline file."""

    path: str
    content: str
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvStep(Step):
    """Environment variables, for later steps and in the image; ``$NAME`` is not expanded."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkdirStep(Step):
    """The working directory, made when missing."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStep(Step):
    """The user of later ``run`` steps and of the image; it must exist in the image."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsStep(Step):
    """Image labels."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrypointStep(Step):
    """The image's entry point, as an argument list."""

    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFile:
    """A file that a test must leave behind."""

    path: str
    sha256: Digest | None = None
    contains: tuple[str, ...] = ()
    min_size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test: a shell script in the built image, without network, in an empty work folder.

    Attributes:
        name: unique in the recipe.
        exit_code: the expected one.
        stdout, stderr: texts that must appear.
        stdout_equals: the exact output, trailing white space aside; None where not asked.
        sources: names of sources, bound below ``/run/ssds/sources/<name>/``.
        time_limit_s: seconds; in no key.
    """

    name: str
    script: str
    exit_code: int = 0
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    stdout_equals: str | None = None
    files: tuple[ExpectedFile, ...] = ()
    sources: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    time_limit_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """An accepted finding until a date (inclusive, ISO), with reason and owner (C15)."""

    id: str
    package: str
    reason: str
    owner: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """What a deployment offers.

    Attributes:
        commands: names that get a wrapper.
        paths: folders whose executables get one too.
        environment: variables that the module sets; ``{{ root }}`` is not expanded here.
    """

    commands: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One release on one platform, ready to be compiled."""

    release: ReleaseName
    platform: Platform
    required: bool
    base: str = ""
    base_recipe: RecipeRef | None = None
    sources: Mapping[str, SourceRequest] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    tests: tuple[Test, ...] = ()
    deploy: Deploy = field(default_factory=Deploy)
    policy: str = "default"
    waivers: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One name, version and variant.

    Attributes:
        id: its name.
        recipe_path: relative to the workspace (``catalog/samtools/recipe.yaml``).
        targets: by platform, in the recipe's order.
        metadata: every descriptive field (C13), canonical JSON; in no image.
        metadata_files: icon and the like: role → file.
        software: what the recipe itself installs, for the SBOM: {name, version, licenses?,
            homepage?, identifiers?}.
        channels: names of the channels that receive it.
        resources: disk and memory in MiB, time in seconds; in no key.
    """

    id: ReleaseName
    recipe_path: str
    targets: Mapping[Platform, Target]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    metadata_files: Mapping[str, LocalTree] = field(default_factory=dict)
    software: Mapping[str, Json] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base that is bootstrapped from a Debian archive (``catalog/bases.yaml``).

    Attributes:
        name: ``debian-12``.
        suite: ``bookworm``; components: ``main``.
        include: packages beside the essential set and apt.
        advisories: name of the advisory set that its packages are matched against.
    """

    name: str
    suite: str
    components: tuple[str, ...] = ("main",)
    include: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    advisories: str = ""


INDEPENDENT_BY = ("builder", "mode", "machine", "user")
"""What can make two audits independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a policy demands of audits before it calls a release reproducible.

    Attributes:
        agreements: so many audits give the lock's bytes, of the newest ``of`` independent ones.
        independent_by: audits that differ in one of these are independent; of others the newest
            counts. ``mode`` is the sandbox's, ``machine`` and ``user`` where and as whom.
    """

    agreements: int
    of: int
    independent_by: tuple[str, ...] = INDEPENDENT_BY


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy: what scans may find, and what audits must (``catalog/policies.yaml``).

    Attributes:
        fail_on: severities that hold a release: of ``critical high medium low unknown``.
        only_fixable: count only findings for which a fixed version is known.
        allow_network: whether impure builds may be released.
        allow_emulated: whether what emulation built or tested may be released; in no key.
        unscanned: ``fail`` or ``pass`` for an image, or an ecosystem in it, without advisories.
        reproducible: what audits must find, or None; in no key.
    """

    name: str
    fail_on: tuple[str, ...] = ("critical",)
    only_fixable: bool = False
    allow_network: bool = True
    allow_emulated: bool = True
    unscanned: str = "fail"
    reproducible: Demand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A named place that receives releases (``catalog/channels.yaml``).

    Attributes:
        kind: ``layout`` (an OCI image layout folder) or ``registry``.
        location: a folder relative to the workspace, or ``host[:port]/prefix``.
        insecure: plain http is allowed (loopback registries).
        move: moving tags beside the immutable one: of ``version latest``.
        sif: it gets each image as a SIF file too.
    """

    name: str
    kind: str
    location: str
    insecure: bool = False
    move: tuple[str, ...] = ("version", "latest")
    sif: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One provider's choice (``catalog/sites/<name>.yaml``).

    Attributes:
        platforms: in order of preference.
        include, exclude: release selectors (``samtools``, ``samtools@1.16.1``); empty include
            means all.
        runtimes: container runtimes to look for, in order; ``plain`` is the shipped script (C22).
        binds: host folders that programs see.
        modules: ``lmod``.
    """

    name: str
    title: str = ""
    platforms: tuple[Platform, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ("apptainer", "singularity", "plain")
    binds: tuple[str, ...] = ()
    modules: str = "lmod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that the catalog folder says."""

    releases: Mapping[ReleaseName, Release] = field(default_factory=dict)
    bases: Mapping[str, Base] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    advisories: Mapping[str, str] = field(default_factory=dict)
    salt: str = ""

    def wants_sif(self, release: Release) -> bool:
        """Whether a channel of the release gets SIF files."""
        return any(self.channels[name].sif for name in release.channels if name in self.channels)
