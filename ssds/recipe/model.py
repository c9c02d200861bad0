"""A recipe as immutable values: what the reader gives and every kind's spec takes.

A *target* is one release on one platform, with templates rendered and conditions applied; a
*release* groups the targets of one name, version and variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.recipe.steps import LocalTree, RecipeRef, SourceRequest, Step

if TYPE_CHECKING:
    from ssds.recipe.data_model import DataSet
    from ssds.recipe.debts import Debts
    from ssds.recipe.suite import Suite


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
    """One release on one platform, ready to be compiled.

    Attributes:
        tests: each with a work folder of its own.
        suite: tests that share one, or None; tested in the same node.
    """

    release: ReleaseName
    platform: Platform
    required: bool
    base: str = ""
    base_recipe: RecipeRef | None = None
    sources: Mapping[str, SourceRequest] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    tests: tuple[Test, ...] = ()
    suite: Suite | None = None
    deploy: Deploy = field(default_factory=Deploy)
    policy: str = "default"
    waivers: tuple[Waiver, ...] = ()

    @property
    def is_tested(self) -> bool:
        """Whether the recipe brings tests of its own."""
        return bool(self.tests) or self.suite is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One name, version and variant.

    Attributes:
        id: its name.
        recipe_path: relative to the workspace (``catalog/samtools/recipe.yaml``).
        targets: by platform, in the recipe's order.
        metadata: every descriptive field (C13), canonical JSON; in no image.
        metadata_files: icon and the like: role → file; no entries: named, but not there.
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
    """What builds start from: bootstrapped from a Debian archive, or an image of a registry.

    Attributes:
        name: ``debian-12``; also the whole reference of an image that has no shorter name.
        suite: ``bookworm``; components: ``main``. Of an image the suite is empty.
        include: packages beside the essential set and apt.
        image: ``docker.io/library/ubuntu:24.04``, in full (``oci.image_name``), or empty.
        platforms: of an image they may be empty: those that it has are known once it is locked.
        advisories: name of the advisory set that its packages are matched against.
    """

    name: str
    suite: str = ""
    image: str = ""
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
        kev: whether what is known to be exploited holds a release, whatever its severity and fix.
        epss_at_least: so probable an exploitation holds too (a decimal from 0 to 1), or empty.
        end_of_life: ``fail`` or ``note`` for a base whose support has ended; empty: judged by
            ``fail_on`` like any finding of unknown severity.
        no_worse_than_released: whether findings that the catalog's debts name hold nothing.
        max_age_days: how old the advisory set may be; 0: of any age.
        lint: severities of remarks on the image's files that hold a release; empty: nobody looks.
        reproducible: what audits must find, or None; in no key.
    """

    name: str
    fail_on: tuple[str, ...] = ("critical",)
    only_fixable: bool = False
    allow_network: bool = True
    allow_emulated: bool = True
    unscanned: str = "fail"
    kev: bool = False
    epss_at_least: str = ""
    end_of_life: str = ""
    no_worse_than_released: bool = False
    max_age_days: int = 0
    lint: tuple[str, ...] = ()
    reproducible: Demand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A named place that receives releases (``catalog/channels.yaml``).

    Attributes:
        kind: ``layout`` (an OCI image layout folder), ``registry`` or ``objects``.
        location: a folder relative to the workspace, ``host[:port]/prefix``, or an object store's
            address (``s3+https://host/bucket/prefix``).
        replicas: further object stores that a sync gives the same.
        insecure: plain http is allowed (loopback registries).
        move: moving tags beside the immutable one: of ``version latest``.
        sif: it gets each image as a SIF file too.
        on_drift: what is done about what others changed there: ``restore`` brings back what is
            gone and refuses what was moved; ``repair`` does both; ``refuse`` neither.
        data: selectors of reference data sets, as a site's.
        public: everybody may read it: what has an unknown licence, or one that lets not everybody
            pass it on, is not brought there.
        licences: further licences that are fine in a public channel.
    """

    name: str
    kind: str
    location: str
    insecure: bool = False
    move: tuple[str, ...] = ("version", "latest")
    sif: bool = False
    on_drift: str = "restore"
    replicas: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    public: bool = False
    licences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CvmfsClient:
    """How machines of a site reach the repository that holds its tree.

    Attributes:
        servers: addresses without the repository's name; proxies: in order; none means direct.
        cache_mib: size of the client's cache, 0 for its own default.
    """

    repository: str
    servers: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    cache_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One provider's choice (``catalog/sites/<name>.yaml``).

    Attributes:
        platforms: in order of preference; each architecture ends in its generic image.
        include, exclude: selectors: ``samtools``, ``samtools@1.16.1``, ``fsl*``,
            ``category:…``, ``licence:…``, ``label:KEY[=VALUE]``; empty include means all.
        data: selectors of reference data sets, without labels; empty means none.
        runtimes: container runtimes to look for, in order; ``plain`` is the shipped script (C22).
        runtime_modules: runtime → the site's module that brings it.
        binds: host folders that programs see.
        gpu: ``auto``, ``nvidia``, ``rocm`` or ``none``.
        hook: a file of the machine that wrappers read before they run a program (MPI), if there.
        modules: ``lmod``, ``tcl`` or ``both``.
        naming: ``flat``, ``category`` or ``hierarchy``.
        defaults: name → version (``VERSION[-VARIANT]``) that a bare name loads.
        hidden: selectors of modules that are not listed.
        prefer: selectors; of two releases with one command the first named one has it.
        cvmfs: set where a client's configuration is wanted.
        views: layouts of others that the tree offers too: ``neurodesk``.
    """

    name: str
    title: str = ""
    platforms: tuple[Platform, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ("apptainer", "singularity", "plain")
    runtime_modules: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()
    gpu: str = "auto"
    hook: str = ""
    modules: str = "lmod"
    naming: str = "flat"
    defaults: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    cvmfs: CvmfsClient | None = None
    views: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that the catalog folder says."""

    releases: Mapping[ReleaseName, Release] = field(default_factory=dict)
    bases: Mapping[str, Base] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    advisories: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[ReleaseName, DataSet] = field(default_factory=dict)
    debts: Mapping[str, Debts] = field(default_factory=dict)
    salt: str = ""

    def wants_sif(self, release: Release) -> bool:
        """Whether a channel of the release gets SIF files."""
        return any(self.channels[name].sif for name in release.channels if name in self.channels)
