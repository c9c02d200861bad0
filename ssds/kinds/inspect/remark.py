"""One remark on an image, and how severe each rule's is."""

from __future__ import annotations

from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.core.text import printable

RULES: dict[str, str] = {
    "secret": "critical",
    "empty-password": "critical",
    "second-root": "high",
    "setuid": "high",
    "setgid": "medium",
    "capability": "medium",
    "world-writable": "medium",
    "device": "medium",
}
"""Rule → its severity; what a rule knows to be usual is ``negligible``."""
USUAL = "negligible"
SEVERITIES = ("critical", "high", "medium", USUAL)
"""From the worst down."""
UNREAD_FILES = "files that this user cannot read: "
"""How the problem begins that names files of an unpacked image."""
CONFIG = 0
"""The layer of what stands in the image's config."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Remark:
    """Something that an image should not hold.

    Attributes:
        path: absolute, printable; of the config ``config: NAME``.
        layer: counted from 1, the base's first; 0 for the config.
        rule: one of RULES.
        severity: of the scan's levels.
        what: in words; never the secret itself.
    """

    path: str
    layer: int
    rule: str
    severity: str
    what: str

    @property
    def sentence(self) -> str:
        """In words."""
        where = f" (layer {self.layer})" if self.layer else ""
        return f"{self.rule} ({self.severity}): {self.path}{where}: {self.what}"

    def to_json(self) -> dict[str, Json]:
        """Returns what the document says of it."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "path": self.path,
            "layer": self.layer,
            "what": self.what,
        }


def of_file(rule: str, path: str, layer: int, what: str, *, usual: bool = False) -> Remark:
    """Returns one remark on a file; ``path`` has no leading slash, ``layer`` counts from 0."""
    return Remark(
        path=f"/{printable(path)}",
        layer=layer + 1,
        rule=rule,
        severity=USUAL if usual else RULES[rule],
        what=what,
    )
