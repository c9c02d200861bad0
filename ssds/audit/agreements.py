"""What the ledger says of releases: how many independent audits agree. Pure.

Two audits are independent when another builder, sandbox mode, machine or user did them (a policy
may name fewer of these); of several by the same one the newest counts. Only audits of the manifest
that the lock names now count. An audit whose differences its builder explains has no voice.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from ssds.audit.model import IDENTICAL, UNBUILT
from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.records import dataclass, field
from ssds.core.text import shown
from ssds.recipe.model import INDEPENDENT_BY, Demand
from ssds.store.ledger import Audit

REPRODUCIBLE = "reproducible"
DISPUTED = "disputed"
OPEN = "open"
STANDINGS: Mapping[str, str] = {
    REPRODUCIBLE: "as many independent audits agree as the policy demands; without one: all do",
    DISPUTED: "there are enough audits, and too few agree",
    OPEN: "there are not enough independent audits yet",
}
_COLOURS = {REPRODUCIBLE: "#2e7d32", DISPUTED: "#c62828", OPEN: "#757575"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What is judged: a platform's image as its lock names it, and its policy's demand."""

    release: str
    platform: str
    manifest: Digest
    demand: Demand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a released image stands.

    Attributes:
        agree, independent: k of n.
        standing: one of STANDINGS.
        newest: the newest audit, or None.
        audits: all of this manifest, the earliest first.
    """

    released: Released
    agree: int
    independent: int
    standing: str
    newest: Audit | None = None
    audits: Sequence[Audit] = field(default_factory=tuple)

    @property
    def count(self) -> str:
        """``k of n``."""
        return f"{self.agree} of {self.independent}"

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        demand = self.released.demand
        return {
            "release": self.released.release,
            "platform": self.released.platform,
            "manifest": str(self.released.manifest),
            "standing": self.standing,
            "agree": self.agree,
            "independent": self.independent,
            "demand": _demand(demand) if demand else {},
            "audits": [audit.to_dict() for audit in self.audits],
        }


def stand(released: Iterable[Released], audits: Iterable[Audit]) -> tuple[Standing, ...]:
    """Returns how each released image stands, in the order given."""
    by_image: dict[tuple[str, str, Digest], list[Audit]] = {}
    for audit in audits:
        by_image.setdefault((audit.release, audit.platform, audit.manifest), []).append(audit)
    return tuple(
        _stand(one, by_image.get((one.release, one.platform, one.manifest), [])) for one in released
    )


def _demand(demand: Demand) -> dict[str, Json]:
    return {
        "agreements": demand.agreements,
        "of": demand.of,
        "independent_by": list(demand.independent_by),
    }


def _stand(released: Released, audits: Sequence[Audit]) -> Standing:
    newest: dict[tuple[str, ...], Audit] = {}
    names = released.demand.independent_by if released.demand else INDEPENDENT_BY
    for audit in audits:
        if audit.result != UNBUILT and not audit.explained:
            who = tuple(getattr(audit, name) for name in names)
            newest.pop(who, None)
            newest[who] = audit
    voices = list(newest.values())
    demand = released.demand or Demand(agreements=len(voices) or 1, of=max(1, len(voices)))
    counted = voices[-demand.of :]
    agree = sum(1 for audit in counted if audit.result == IDENTICAL)
    if agree >= demand.agreements and len(counted) >= demand.of:
        standing = REPRODUCIBLE
    else:
        standing = DISPUTED if len(counted) >= demand.of else OPEN
    return Standing(
        released=released,
        agree=agree,
        independent=len(counted),
        standing=standing,
        newest=audits[-1] if audits else None,
        audits=tuple(audits),
    )


def markdown(standings: Iterable[Standing], dates: Mapping[int, str]) -> str:
    """Returns a Markdown table.

    Args:
        dates: time in seconds → what is written for it.
    """
    lines = [
        "| release | platform | standing | agree | newest audit | class | builder |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in standings:
        newest = one.newest
        cells = [one.released.release, one.released.platform, one.standing, one.count]
        cells += (
            [dates[newest.at], newest.result, f"{newest.builder} ({newest.mode})"]
            if newest
            else ["-", "-", "-"]
        )
        lines.append("| " + " | ".join(shown(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def summary(standings: Sequence[Standing]) -> tuple[str, str]:
    """Returns the badge's words for several images, and their colour."""
    good = sum(1 for one in standings if one.standing == REPRODUCIBLE)
    worst = next(
        (name for name in (DISPUTED, OPEN) if any(one.standing == name for one in standings)),
        REPRODUCIBLE if standings else OPEN,
    )
    return f"{good} of {len(standings)}", _COLOURS[worst]


def badge(standings: Sequence[Standing]) -> str:
    """Returns a small SVG: the word and how many of the images are reproducible."""
    words, colour = summary(standings)
    left, right = 86, 16 + 7 * len(words)
    text = html.escape(words)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="reproducible: {text}">'
        f"<title>reproducible: {text}</title>"
        f'<rect width="{left}" height="20" fill="#424242"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
        'text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14">reproducible</text>'
        f'<text x="{left + right / 2:g}" y="14">{text}</text></g></svg>\n'
    )
