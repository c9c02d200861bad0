"""Tags of a repository: the digest of each, looked at now; no layer is read."""

from __future__ import annotations

from ssds.adopt.codes import diagnostic
from ssds.adopt.model import AMD64, ARM64, Reading, Seen, named_image
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UsageError
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.lock.model import AdoptedAbout
from ssds.oci.image_name import ImageName, parse_image_name
from ssds.oci.upstream import Images

NO_PLATFORM = "O131"
_MOVING = frozenset({"latest"})


def read_registry(place: str, mirrors: Mirrors) -> Reading:
    """Returns the images behind the tags of ``HOST/REPOSITORY``, or behind one tag of it."""
    images = Images(mirrors)
    _, colon, tag = place.rpartition("/")[2].partition(":")
    try:
        top = parse_image_name(place if colon else f"{place}:x")
    except SsdsError as error:
        raise UsageError(error.message, hint="Write HOST/REPOSITORY.", code="E215") from error
    tags = (tag,) if colon else images.tags(top)
    seen: list[Seen] = []
    unmanaged: list[tuple[str, str]] = []
    problems: list[Diagnostic] = []
    for one in tags:
        if one in _MOVING or one.startswith("sha256-"):
            continue
        shown = f"{top.place}:{one}"
        build = named_image(top.repository, one)
        if build is None:
            problems.append(diagnostic("A003", Span(path=shown), found=one))
            unmanaged.append((shown, "its tag does not say a version"))
            continue
        try:
            name = parse_image_name(shown)
            platforms = _platforms(images, name)
        except SsdsError as error:
            problems.append(diagnostic("A008", Span(path=shown), reason=error.message))
            unmanaged.append((shown, "it cannot be read"))
            continue
        if not platforms:
            unmanaged.append((shown, f"it has no image for {AMD64} or {ARM64}"))
            continue
        about = AdoptedAbout(built=build.built)
        found = Seen(id=build, platforms=platforms, place=shown, span=Span(path=shown), about=about)
        seen.append(found)
    return Reading(seen=tuple(seen), unmanaged=tuple(unmanaged), problems=tuple(problems))


def _platforms(images: Images, name: ImageName) -> dict[Platform, Digest]:
    found = {}
    for platform in (AMD64, ARM64):
        try:
            found[platform] = images.image(name, platform).manifest
        except SsdsError as error:
            if error.code != NO_PLATFORM:
                raise
    return found
