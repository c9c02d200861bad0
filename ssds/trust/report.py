"""What a verification proves, what it does not, and what speaks against it, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssds.core.canonical import Json
from ssds.core.records import dataclass

if TYPE_CHECKING:
    from ssds.trust.keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome for one target.

    Attributes:
        target: what was looked at.
        proven: sentences, each of which holds if the trusted keys' owners are honest.
        wrong: why the target must not be believed; empty where it may be.
        unproven: what nobody vouches for, or what cannot be told from here.
        signers: the trusted keys that signed it.
    """

    target: str
    proven: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    signers: tuple[PublicKey, ...] = ()

    @property
    def good(self) -> bool:
        """Whether something is proven and nothing speaks against it."""
        return bool(self.proven) and not self.wrong

    def lines(self) -> list[str]:
        """Returns the text for people."""
        rows = [("proven", t) for t in self.proven]
        rows += [("WRONG", t) for t in self.wrong]
        rows += [("unproven", t) for t in self.unproven]
        rows += [("key", f"{key.label} is {key.id}") for key in self.signers]
        return [self.target, *(f"  {word:<9} {text}" for word, text in rows)]

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "target": self.target,
            "verified": self.good,
            "proven": list(self.proven),
            "wrong": list(self.wrong),
            "unproven": list(self.unproven),
            "keys": [{"id": str(key.id), "label": key.label} for key in self.signers],
        }
