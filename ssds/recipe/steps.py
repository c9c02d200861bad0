"""Build steps and what they take, as immutable values: sources, recipes, local files."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.records import dataclass
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
class GivenFile:
    """One file under a name of its own; exactly one of content, local, source is set.

    Attributes:
        name: how steps see it; it may lie in folders (``conf/tool.ini``).
        content: its text.
        local: a single file beside the recipe.
        source: the name of a source.
        executable: it gets the execute bit.
    """

    name: str
    content: str | None = None
    local: LocalTree | None = None
    source: str = ""
    executable: bool = False


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
        plain: run it by ``/bin/sh -c`` without ``-eu``, as RUN of a Dockerfile does.
        files: bound read-only below ``/run/ssds/files/``.
    """

    script: str
    tools: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    network: bool = False
    plain: bool = False
    files: tuple[GivenFile, ...] = ()


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
    """Copies a local file or folder, a source, paths of another recipe's image, or a given file.

    Exactly one of local, source, recipe, file is set.

    Attributes:
        to: absolute destination; ends with ``/`` to put things into a folder.
        paths: with ``recipe``: absolute paths in that image.
        executable: gives copied files the execute bit (sources only).
        merge: a folder that is there under the name ``to`` takes the file into it, as COPY does.
    """

    to: str
    local: LocalTree | None = None
    source: str = ""
    recipe: RecipeRef | None = None
    paths: tuple[str, ...] = ()
    executable: bool = False
    file: GivenFile | None = None
    merge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStep(Step):
    """An inline file."""

    path: str
    content: str
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvStep(Step):
    """Environment variables, for later steps and in the image.

    Attributes:
        expand: ``$NAME`` and ``${NAME}`` stand for what the image says before the step.
    """

    values: Mapping[str, str]
    expand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkdirStep(Step):
    """The working directory, made when missing.

    Attributes:
        expand: read the path as a Dockerfile does: ``$NAME``, quotes, relative to the last one.
    """

    path: str
    expand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStep(Step):
    """The user of later ``run`` steps and of the image; it must exist in the image.

    Attributes:
        expand: read the name as a Dockerfile does: ``$NAME`` is a variable's value.
    """

    name: str
    expand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsStep(Step):
    """Image labels."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrypointStep(Step):
    """The image's entry point, as an argument list."""

    arguments: tuple[str, ...]
