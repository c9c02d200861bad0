"""The kinds of directives, and where a part of a recipe or of a macro stands."""

from __future__ import annotations

from ssds.core.records import dataclass
from ssds.recipe.address import Path, format_address
from ssds.recipe.formats.scope import Report

KINDS = (
    "install", "run", "workdir", "user", "entrypoint", "environment", "copy", "variables", "group",
    "include", "file", "deploy", "template", "boutique", "test",
)  # fmt: skip
"""The kinds of directives; of several keys in one directive the first here counts."""
MORE_KEYS = frozenset(("condition", "with", "custom", "customParams"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a part stands.

    Attributes:
        report, path: its file, and its path there.
        include: of a macro's parts, the address of the include in the recipe itself.
    """

    report: Report
    path: Path
    include: str = ""

    @property
    def address(self) -> str:
        """Its address in the recipe."""
        return self.include or format_address(self.path)

    def below(self, *parts: str | int) -> Place:
        """Returns a part of it."""
        return Place(report=self.report, path=(*self.path, *parts), include=self.include)
