"""The newest upstream version of a source, where somebody can say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ssds.core.versions import version_key
from ssds.host.git_fetch import COMMIT
from ssds.host.simple_index import IndexFile
from ssds.kinds.source.resolve import version_of
from ssds.packages import debian

_TAG = re.compile(r"(\D*)(\d+(?:[._]\d+)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """What is newest.

    Attributes:
        pinned: what the lock has.
        newest: what is there; the same where nothing is newer.
        by: ``lock`` where renewing the pin moves it, ``recipe`` where the recipe names a version.
    """

    pinned: str
    newest: str
    by: str


def of_commit(ref: str, commit: str, refs: Mapping[str, str]) -> Newest | None:
    """Returns what a repository has newer than the pin; None for a ref that is a full commit id.

    A branch or tag that moved is newer. Beside a tag with a version, tags of the same form with a
    higher one are.

    Args:
        ref: the tag or branch of the recipe.
        commit: the pinned commit.
        refs: full name → commit, of the repository now.
    """
    if COMMIT.fullmatch(ref):
        return None
    names = (ref, f"refs/tags/{ref}", f"refs/heads/{ref}")
    now = next((refs[name] for name in names if name in refs), "")
    if now != commit:
        gone = f"{ref} is gone"
        newest = f"{ref} {now[:12]}" if now else gone
        return Newest(pinned=f"{ref} {commit[:12]}", newest=newest, by="lock" if now else "recipe")
    tag = ref.removeprefix("refs/tags/")
    form = _TAG.fullmatch(tag)
    best = tag
    if form is not None and f"refs/tags/{tag}" in refs:
        others = (name.removeprefix("refs/tags/") for name in refs if name.startswith("refs/tags/"))
        alike = [other for other in others if (m := _TAG.fullmatch(other)) and m[1] == form[1]]
        best = max([tag, *alike], key=lambda name: version_key(name[len(form[1]) :]))
    return Newest(pinned=ref, newest=ref if best == tag else best, by="recipe")


def of_debian(asked: str, paragraphs: Iterable[Mapping[str, str]]) -> Newest:
    """Returns the newest version of a Debian source package, ``name/version``, in its suite."""
    version = asked.partition("/")[2]
    known = [version, *(p["Version"] for p in paragraphs if p.get("Version"))]
    return Newest(pinned=version, newest=max(known, key=debian.version_key), by="recipe")


def of_python(asked: str, files: Iterable[IndexFile]) -> Newest:
    """Returns the newest release of a Python project, ``name/version``, that was not taken back."""
    from packaging.version import InvalidVersion, Version

    project, _, version = asked.partition("/")
    try:
        own = Version(version)
    except InvalidVersion:
        return Newest(pinned=version, newest=version, by="recipe")
    versions = (version_of(file, project) for file in files if not file.yanked)
    known = [v for v in versions if isinstance(v, Version) and not v.is_prerelease]
    newest = max([own, *known])
    return Newest(pinned=version, newest=version if newest == own else str(newest), by="recipe")
