"""Base images that are named by a tag: what it stands for may change with the next lock."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.core.diagnostics import Diagnostic, Edit
from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.lint.mends import scalar
from ssds.lock.model import DEFAULT_VARIANT, Locks
from ssds.oci.image_name import parse_image_name
from ssds.recipe.address import format_address, parse_address
from ssds.recipe.catalog import CatalogReading
from ssds.recipe.codes import diagnostic
from ssds.recipe.homes import THEIRS
from ssds.recipe.model import Release, Target
from ssds.recipe.shared import BASES_FILE


def moving_bases(reading: CatalogReading) -> Iterator[Diagnostic]:
    """Gives a note (R087) for each place that names a base image by a tag without a digest."""
    for (path, address), name in _places(reading).items():
        image = reading.catalog.bases[name].image
        warned = path.endswith(THEIRS) and image.endswith(":latest")  # by N050
        if "@" not in image and not warned:
            span = reading.spans(path, address)
            yield diagnostic("R087", span, address, (("image", image),))


def pinned(found: Diagnostic, reading: CatalogReading, locks: Locks) -> tuple[Edit, ...]:
    """Returns the change that adds the digest which the locks hold for a base image, if one."""
    place = (found.span.path, found.address)
    names, digests = set(), set()
    for release, platform, target in _targets(reading, place[0]):
        if _place(reading, release, target) == place:
            held = locks.get(release.id).platform(release.id, platform).pins.base
            identity = held or locks.catalog.pins.current.get(target.base, "")
            pin = locks.catalog.pins.bases.get((identity, str(platform.baseline)))
            digests.add(pin.image.digest if pin is not None and pin.image is not None else None)
            names.add(target.base)
    digest = digests.pop() if len(digests) == len(names) == 1 else None
    if digest is None:
        return ()
    span = reading.spans(*place)
    rest = reading.spans.line(span.path, span.line)[span.column - 1 :]
    word = rest.lstrip("\"'").split("#")[0].split(",")[0].split("}")[0].strip().rstrip("\"'")
    if not _names(word, reading.catalog.bases[names.pop()].image):
        return ()
    edit = scalar(reading.spans, span.path, parse_address(found.address), word, f"{word}@{digest}")
    return (edit,) if edit else ()


def _names(word: str, image: str) -> bool:
    """Whether a text of a file is the reference of an image as it stands; templates are not."""
    try:
        return str(parse_image_name(word)) == image
    except InvalidValue:
        return False


def _places(reading: CatalogReading) -> dict[tuple[str, str], str]:
    """Returns (file, address) → the base, for each place that names an image."""
    found: dict[tuple[str, str], str] = {}
    for release, _, target in _targets(reading):
        found.setdefault(_place(reading, release, target), target.base)
    return found


def _targets(reading: CatalogReading, path: str = "") -> Iterator[tuple[Release, Platform, Target]]:
    """Gives the targets on an image of a registry; of one recipe where ``path`` is a recipe."""
    shared = not path or path.endswith(f"/{BASES_FILE}")
    for release in reading.catalog.releases.values():
        if shared or release.recipe_path == path:
            for platform, target in release.targets.items():
                base = reading.catalog.bases.get(target.base)
                if base is not None and base.image:
                    yield release, platform, target


def _place(reading: CatalogReading, release: Release, target: Target) -> tuple[str, str]:
    """Returns the file and address that name a target's base image."""
    path, (base, key) = release.recipe_path, ("base", "image")
    if path.endswith(THEIRS):
        return path, "build.base-image"
    if reading.catalog.bases[target.base].image != target.base:  # one that recipes share
        return f"{path.rsplit('/', 2)[0]}/{BASES_FILE}", format_address((target.base, key))
    own = (("variants", release.id.variant or DEFAULT_VARIANT), ("versions", release.id.version))
    places = [(*part, base, key) for part in (*own, ())]
    return path, format_address(reading.spans.first(path, places))
