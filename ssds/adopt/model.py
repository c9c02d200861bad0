"""What readers find: images at places, entries of lists, and what cannot be taken. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.digest import Digest
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.lock.model import AdoptedAbout
from ssds.lock.parse import BUILT, NAME, VERSION
from ssds.oci.programs import NAME as COMMAND

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
TEXT_LIMIT = 200
_NAME, _VERSION, _BUILT = pattern(NAME), pattern(VERSION), pattern(BUILT)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildName:
    """What a name says: ``fsl_6.0.4_20210105``."""

    name: str
    version: str
    built: str = ""

    def __str__(self) -> str:
        return "_".join(part for part in (self.name, self.version, self.built) if part)

    @property
    def platform(self) -> Platform:
        """NeuroDesk's: names that end in ``_arm64`` are for arm64, all others for amd64."""
        return ARM64 if self.name.endswith("_arm64") else AMD64


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One image at its place.

    Attributes:
        id: what its name says.
        platforms: digest by platform; one for what is no index.
        place: absolute path or image reference; more: where it is said to be too.
        span: what named it.
        chosen: whether the module of its name and version leads to it.
        about: what the place itself says of it.
        remembered: its digest is that of an earlier look; the place looks as it did then.
    """

    id: BuildName
    platforms: Mapping[Platform, Digest]
    place: str
    span: Span
    more: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    chosen: bool = False
    about: AdoptedAbout = field(default_factory=AdoptedAbout)
    remembered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry of a list: no bytes, only what others say of them."""

    id: BuildName
    about: AdoptedAbout
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one source holds.

    Attributes:
        lists: whether it is one that names everything that ought to be there.
        unmanaged: (place, why it is not taken): shown, never touched.
        problems: what is wrong in it, each with its place.
    """

    seen: tuple[Seen, ...] = ()
    listed: tuple[Listed, ...] = ()
    lists: bool = False
    unmanaged: tuple[tuple[str, str], ...] = ()
    problems: tuple[Diagnostic, ...] = ()


def build_name(text: str) -> BuildName | None:
    """Returns what ``NAME_VERSION_YYYYMMDD`` says, split from the right; None where it is none."""
    parts = text.rsplit("_", 2)
    if len(parts) != 3 or not _BUILT.fullmatch(parts[2]):
        return None
    return checked(*parts)


def checked(name: str, version: str, built: str = "") -> BuildName | None:
    """Returns a name whose parts locks and modules can hold; else None."""
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        return None
    if built and not _BUILT.fullmatch(built):
        return None
    return BuildName(name=name, version=version, built=built)


def named_image(repository: str, tag: str) -> BuildName | None:
    """Returns what a repository's last part and a tag say, in the forms that NeuroDesk uses.

    ``fsl_6.0.4:20210105``, ``fsl:6.0.4_20210105``, ``fsl:6.0.4``.
    """
    last = repository.rpartition("/")[2]
    name, _, version = last.rpartition("_")
    if name and _BUILT.fullmatch(tag):
        return checked(name, version, tag)
    version, _, built = tag.rpartition("_")
    if version and _BUILT.fullmatch(built):
        return checked(last, version, built)
    return checked(last, tag)


def good_commands(lines: Iterable[str]) -> tuple[tuple[str, ...], tuple[tuple[int, str], ...]]:
    """Returns the commands, sorted, each once; and (line from 1, text) of what can be none."""
    good, bad = set(), []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if COMMAND.fullmatch(text):
            good.add(text)
        elif text:
            bad.append((number, text[:TEXT_LIMIT]))
    return tuple(sorted(good)), tuple(bad)


def fit_text(text: object) -> str:
    """Returns one line that a lock can hold; empty where there is nothing of that kind."""
    line = " ".join(str(text).split()) if isinstance(text, str) else ""
    return line[:TEXT_LIMIT].strip() if line.isprintable() else ""
