"""The newest versions that package indexes have. Nothing is resolved: each package for itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ssds.core.errors import UnavailableError
from ssds.core.platform import Platform
from ssds.host.simple_index import IndexFile
from ssds.packages.apt_index import AptIndex, complaints
from ssds.packages.pip import DEBIAN_12_GLIBC, platform_tags

_AT_ONCE = 400
_CANDIDATE = re.compile(r"^(\S+):\n  Installed: .*\n  Candidate: (\S+)$", re.MULTILINE)


def apt_candidates(index: AptIndex, names: Iterable[str]) -> dict[str, str]:
    """Returns name → the version that apt would take; what the index does not have is left out.

    Raises:
        UnavailableError: apt gave no answer.
    """
    wanted = sorted(set(names))
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        ended = index.query(["apt-cache", "policy", "--", *part])
        if ended.returncode != 0:
            raise UnavailableError(
                f"apt cannot look into {index.title}: {'; '.join(complaints(ended))}", code="F059"
            )
        found |= {m[1]: m[2] for m in _CANDIDATE.finditer(ended.text) if m[2] != "(none)"}
    return found


def newest_wheel(
    files: Sequence[IndexFile],
    platform: Platform,
    python_version: str,
    *,
    prereleases: bool = False,
    glibc: tuple[int, int] = DEBIAN_12_GLIBC,
) -> str:
    """Returns the newest version with a wheel for the image, or the empty string.

    Args:
        files: what the indexes have of one project.
        platform, python_version, glibc: of the image.
        prereleases: whether those count.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    minor = int(python_version.split(".")[1])
    python, platforms = (3, minor), platform_tags(platform, glibc)
    abi = f"cp3{minor}"
    fitting = {
        *cpython_tags(python, [abi], platforms),
        *compatible_tags(python, abi, [*platforms, "any"]),
    }
    found = []
    for file in files:
        try:
            _, version, _, tags = parse_wheel_filename(file.name)
            pythons = SpecifierSet(file.requires_python)
        except (InvalidWheelFilename, InvalidSpecifier):
            continue
        right = not file.yanked and not tags.isdisjoint(fitting)
        full = python_version if python_version.count(".") == 2 else f"3.{minor}.99"
        right = right and pythons.contains(full, prereleases=True)
        if right and (prereleases or not version.is_prerelease):
            found.append(version)
    return str(max(found)) if found else ""
