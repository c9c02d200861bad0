"""One effect outside of the store: what a plan shows and ``apply`` or ``deploy`` does (C14)."""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.canonical import Json
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass

DRIFT = frozenset({"drift"})
IRREVERSIBLE = frozenset({"irreversible"})
VERBS = ("=", "+", "?", "-", "x", "w", "unmanaged")
WORDS = {"=": "keep", "+": "run", "?": "unknown", "-": "remove", "x": "refused", "w": "waiting"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a channel or a site.

    Attributes:
        where: the channel's or site's name.
        what: what it touches (``samtools:1.16.1-r1``, ``modules/samtools/1.16.1``).
        verb: one of VERBS; ``x`` is refused, ``?`` was never observed, ``unmanaged`` is shown and
            never touched.
        reason: why.
        marks: ``irreversible`` where it cannot be taken back, ``drift`` where others made the
            difference.
        release: of a channel's change, whose it is; None for what ssds does not manage.
    """

    where: str
    what: str
    verb: str
    reason: str
    marks: frozenset[str] = frozenset()
    release: ReleaseName | None = None

    @property
    def effective(self) -> bool:
        """Whether it changes anything."""
        return self.verb in ("+", "-")

    def render(self) -> str:
        """Returns one line."""
        mark = "!" if "irreversible" in self.marks else " "
        return f"{self.verb[:1]}{mark} {self.where}: {self.what}  ({self.reason})"

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "where": self.where,
            "what": self.what,
            "verb": WORDS.get(self.verb, self.verb),
            "reason": self.reason,
            "marks": sorted(self.marks),
        }


def removals(changes: Sequence[Change]) -> int:
    """Returns how many of them remove something."""
    return sum(change.verb == "-" for change in changes)
