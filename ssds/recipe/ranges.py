"""Which versions of other recipes a target asks for, and which of them answer. Pure (C16).

All ranges that one target has for one recipe are answered by one version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ssds.core.canonical import fingerprint
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.core.versions import version_key
from ssds.recipe.model import Catalog, Target
from ssds.recipe.steps import CopyStep, RecipeRef


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRequest:
    """What one target asks of one recipe by ranges.

    Attributes:
        name: the other recipe's name.
        refs: the references, each once, in a fixed order.
    """

    name: str
    refs: tuple[RecipeRef, ...]

    @property
    def request(self) -> Digest:
        """The fingerprint of names, ranges and variants; the pin is stale when it differs."""
        asked = [[ref.version, ref.variant] for ref in self.refs]
        return fingerprint({"recipe": self.name, "asked": asked}, "recipe-request")

    @property
    def text(self) -> str:
        """The ranges, for people."""
        words = [ref.version + (f" ({ref.variant})" if ref.variant else "") for ref in self.refs]
        return " and ".join(words)

    def answers(self, versions: Iterable[str], there: Callable[[ReleaseName], bool]) -> list[str]:
        """Returns the versions that lie in every range and are there, newest first.

        Args:
            versions: those that the other recipe has.
            there: whether a release can be used here.
        """
        found = {
            version
            for version in versions
            if all(
                ref.range is not None
                and version in ref.range
                and there(ReleaseName(ref.name, version, ref.variant))
                for ref in self.refs
            )
        }
        return sorted(found, key=version_key, reverse=True)


def references(target: Target) -> tuple[RecipeRef, ...]:
    """Returns the recipes that a target contains: the one below it first, then what it copies."""
    copied = [s.recipe for s in target.steps if isinstance(s, CopyStep) and s.recipe]
    return (target.base_recipe, *copied) if target.base_recipe is not None else tuple(copied)


def range_requests(target: Target) -> tuple[RangeRequest, ...]:
    """Returns what a target asks for by ranges, by name; nothing where all are exact."""
    return joined(references(target))


def joined(refs: Iterable[RecipeRef]) -> tuple[RangeRequest, ...]:
    """Returns one request for each recipe that ``refs`` name by a range; exact ones are none."""
    found: dict[str, set[RecipeRef]] = {}
    for ref in refs:
        if ref.range is not None:
            found.setdefault(ref.name, set()).add(ref)
    return tuple(
        RangeRequest(
            name=name, refs=tuple(sorted(asked, key=lambda ref: (ref.version, ref.variant)))
        )
        for name, asked in sorted(found.items())
    )


def offers(catalog: Catalog, platform: Platform) -> Callable[[ReleaseName], bool]:
    """Returns whether the catalog has a release for a platform, as a function."""

    def there(name: ReleaseName) -> bool:
        release = catalog.releases.get(name)
        return release is not None and platform.best_of(release.targets) is not None

    return there


def answers(request: RangeRequest, catalog: Catalog, platform: Platform) -> list[str]:
    """Returns the versions of the catalog that answer a request on a platform, newest first."""
    versions = {name.version for name in catalog.releases if name.name == request.name}
    return request.answers(versions, offers(catalog, platform))
