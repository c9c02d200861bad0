"""Regular expressions that are compiled when they are first used.

A plan imports some seventy of them and uses a third: compiling all takes as long as the plan.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, overload

__all__ = ["pattern"]

if TYPE_CHECKING:

    @overload
    def pattern(text: str, flags: int = 0) -> re.Pattern[str]: ...
    @overload
    def pattern(text: bytes, flags: int = 0) -> re.Pattern[bytes]: ...
    def pattern(text: Any, flags: int = 0) -> Any:
        """Returns what ``re.compile`` does, as far as its methods and attributes go."""

else:

    class pattern:  # noqa: N801 - used as the function that it is for type checkers
        """A compiled pattern in waiting; after the first look each method is found at once."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._given = (text, flags)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            found = getattr(re.compile(*self._given), name)
            self.__dict__[name] = found
            return found
