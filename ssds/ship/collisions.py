"""Which release has a command that several offer, for the folder with all commands of a site. Pure.

Of each software its default version takes part. A declared command comes before one that was found;
then what the site prefers; then the name, which is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ssds.core.canonical import Json
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass
from ssds.recipe.model import Site
from ssds.recipe.selectors import About, hits

_NOTHING = About()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One release and its commands.

    Attributes:
        full: the folder of its wrappers below its name, ``VERSION[-VARIANT]-rN``.
        found: whether nobody declared the commands.
    """

    release: ReleaseName
    full: str
    commands: Sequence[str]
    found: bool = False
    facts: About = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """A command that several releases offer.

    Attributes:
        winner, others: the releases.
        rule: what decided: ``declared``, ``prefer`` or ``name``.
    """

    command: str
    winner: str
    others: tuple[str, ...]
    rule: str

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        others: list[Json] = list(self.others)
        return {
            "command": self.command,
            "winner": self.winner,
            "others": others,
            "rule": self.rule,
        }


def owners(
    site: Site, offers: Iterable[Offer]
) -> tuple[Mapping[str, Offer], tuple[Collision, ...]]:
    """Returns command → the release that has it, and the collisions; both sorted by command."""
    by_command: dict[str, list[Offer]] = {}
    for offer in offers:
        for command in offer.commands:
            by_command.setdefault(command, []).append(offer)
    won: dict[str, Offer] = {}
    collisions = []
    for command, found in sorted(by_command.items()):
        ranked = sorted(found, key=lambda offer: (_rank(site, offer), offer.release))
        won[command] = ranked[0]
        if len(ranked) > 1:
            first, second = (_rank(site, offer) for offer in ranked[:2])
            rule = "declared" if first[0] != second[0] else "prefer"
            collisions.append(
                Collision(
                    command=command,
                    winner=str(ranked[0].release),
                    others=tuple(str(offer.release) for offer in ranked[1:]),
                    rule="name" if first == second else rule,
                )
            )
    return won, tuple(collisions)


def _rank(site: Site, offer: Offer) -> tuple[bool, int]:
    place = next(
        (n for n, s in enumerate(site.prefer) if hits((s,), offer.release, offer.facts)),
        len(site.prefer),
    )
    return offer.found, place
