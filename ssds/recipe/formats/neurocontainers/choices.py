"""Which versions and variants a recipe has, each with its platforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.recipe.rules import RESERVED_TAG

ARCHITECTURES = {
    "x86_64": "linux/amd64", "amd64": "linux/amd64", "AMD64": "linux/amd64",
    "aarch64": "linux/arm64", "arm64": "linux/arm64", "ARM64": "linux/arm64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One version in one variant: what differs between the releases of a recipe.

    Attributes:
        version: with the suffixes of its options.
        variant: theirs, as the recipe names it, or the empty text.
        options: all of them.
        platforms: in the recipe's order, the first one required.
    """

    version: str
    variant: str
    options: Mapping[str, bool]
    platforms: tuple[Platform, ...]


def selector_of(variant: str, platform: Platform) -> str:
    """Returns how their builder names a variant on an architecture (``gpu_arm64``)."""
    arm = platform.architecture == "arm64"
    return "_".join(part for part in (variant, "arm64" if arm else "") if part)


def choices(data: Mapping[str, Any]) -> Iterator[Chosen]:
    """Gives a recipe's own release, one for each option that marks the version, its variants."""
    options: dict[str, Any] = data.get("options") or {}
    usual = {name: bool((item or {}).get("default", False)) for name, item in options.items()}
    names = [ARCHITECTURES[a] for a in data["architectures"] if a in ARCHITECTURES]
    first = "linux/amd64" if "linux/amd64" in names else names[0]
    platforms = tuple(Platform(p) for p in dict.fromkeys((first, *names)))

    def version(chosen: Mapping[str, bool]) -> str:
        marks = [str((options[n] or {}).get("version_suffix") or "") for n in chosen if chosen[n]]
        return str(data["version"]) + "".join(marks)

    yield Chosen(version=version(usual), variant="", options=usual, platforms=platforms)
    for name, item in options.items():
        if (item or {}).get("version_suffix") and not usual[name]:
            chosen = {**usual, name: True}
            yield Chosen(version=version(chosen), variant="", options=chosen, platforms=platforms)
    for name, item in (data.get("variants") or {}).items():
        own = item.get("architectures") or [item.get("architecture") or ""]
        on = tuple(Platform(ARCHITECTURES[a]) for a in own if a) or platforms[:1]
        chosen = {**usual, **(item.get("options") or {})}
        yield Chosen(version=version(chosen), variant=name, options=chosen, platforms=on)


def variant_name(name: str) -> str:
    """Returns our name of a variant: ``_`` becomes ``-``, a digit in front gets a ``v``."""
    plain = name.replace("_", "-")
    return f"v{plain}" if plain[:1].isdecimal() else plain


def release_name(data: Mapping[str, Any], chosen: Chosen) -> ReleaseName:
    """Returns what the release is called; a version that a tag may not have gets a ``.0``."""
    version = f"{chosen.version}.0" if RESERVED_TAG.fullmatch(chosen.version) else chosen.version
    return ReleaseName(str(data["name"]), version, variant_name(chosen.variant))
