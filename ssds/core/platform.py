"""Platforms: ``os/architecture[/variant]`` in OCI's words.

Source: OCI image specification 1.1, "Platform variants" in the image index; Go's GOOS and GOARCH.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Self

from ssds.core.errors import InvalidValue
from ssds.core.levels import below
from ssds.core.patterns import pattern

_FORM = pattern(r"linux/(amd64|arm64)(?:/([a-z0-9_]+))?")
_DEBIAN = {"amd64": "amd64", "arm64": "arm64"}
_MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}


def _meant(text: str) -> str:
    """Returns a question that names the platform that a text is like, or the empty string."""
    import difflib  # only where something is wrong

    name = text.lower().rpartition("/")[2] if text.count("/") < 2 else text
    known = {m: a for a, m in _MACHINE.items()} | {"aarch64": "arm64", "x86-64": "amd64"}
    text = f"linux/{known.get(name, name)}" if "/" not in name else name
    best = difflib.get_close_matches(text, ("linux/amd64", "linux/arm64"), n=1, cutoff=0.75)
    return f'Did you mean "{best[0]}"? ' if best else ""


class Platform(str):
    """A platform such as ``linux/amd64``, optionally with a micro-architecture level."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Validates ``text``; raises InvalidValue when it is no known platform."""
        if not _FORM.fullmatch(text):
            hint = "Use linux/amd64 or linux/arm64, with an optional level: linux/amd64/v3."
            raise InvalidValue(
                f"{text[:60]!r} is not a platform", hint=f"{_meant(text[:60])}{hint}"
            )
        return super().__new__(cls, text)

    @property
    def os(self) -> str:
        """The operating system."""
        return self.split("/")[0]

    @property
    def architecture(self) -> str:
        """The architecture in OCI's words (``amd64``)."""
        return self.split("/")[1]

    @property
    def variant(self) -> str:
        """The micro-architecture level, or the empty string."""
        return self.partition("/")[2].partition("/")[2]

    @property
    def baseline(self) -> Platform:
        """The platform without its level: what every machine of the architecture runs."""
        return Platform(f"{self.os}/{self.architecture}") if self.variant else self

    @property
    def fallbacks(self) -> tuple[Platform, ...]:
        """This platform, then those whose programs run on it too, the best first, baseline last."""
        if not self.variant:
            return (self,)
        levels = below(self.architecture, self.variant)
        return (self, *(Platform(f"{self.baseline}/{level}") for level in levels), self.baseline)

    def best_of(self, offered: Container[Platform]) -> Platform | None:
        """Returns the first of ``fallbacks`` that is among ``offered``, or None."""
        return next((platform for platform in self.fallbacks if platform in offered), None)

    @property
    def debian(self) -> str:
        """The architecture in Debian's words."""
        return _DEBIAN[self.architecture]

    @property
    def machine(self) -> str:
        """The architecture as ``uname -m`` prints it."""
        return _MACHINE[self.architecture]

    @classmethod
    def of_machine(cls, machine: str) -> Self:
        """Returns the platform for a ``uname -m`` text."""
        for architecture, name in _MACHINE.items():
            if machine in (name, architecture):
                return cls(f"linux/{architecture}")
        raise InvalidValue(f"this machine's architecture {machine!r} is not one that ssds knows")

    def oci(self) -> dict[str, str]:
        """Returns the ``platform`` object of an OCI index entry."""
        entry = {"architecture": self.architecture, "os": self.os}
        if self.variant:
            entry["variant"] = self.variant
        return entry
