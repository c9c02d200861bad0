"""The table of sources: a word, and what reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ssds.adopt.memory import Memory
from ssds.adopt.model import Reading
from ssds.core.errors import UsageError
from ssds.core.records import dataclass
from ssds.host.mirrors import Mirrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What readers need.

    Attributes:
        memory: digests that are known.
        mirrors: makes what reaches registries; only asked where one is read.
    """

    memory: Memory
    mirrors: Callable[[], Mirrors]


def _lists(place: str, means: Means) -> Reading:
    from ssds.adopt.lists import read_lists

    del means
    return read_lists(place)


def _tree(place: str, means: Means) -> Reading:
    from ssds.adopt.trees import read_tree

    return read_tree(place, means.memory)


def _sif(place: str, means: Means) -> Reading:
    from ssds.adopt.files import read_sif

    return read_sif(place, means.memory)


def _shpc(place: str, means: Means) -> Reading:
    from ssds.adopt.files import read_shpc

    return read_shpc(place, means.memory)


def _depot(place: str, means: Means) -> Reading:
    from ssds.adopt.files import read_depot

    return read_depot(place, means.memory)


def _registry(place: str, means: Means) -> Reading:
    from ssds.adopt.registries import read_registry

    return read_registry(place, means.mirrors())


READERS: Mapping[str, Callable[[str, Means], Reading]] = MappingProxyType(
    {
        "lists": _lists,
        "tree": _tree,
        "sif": _sif,
        "shpc": _shpc,
        "depot": _depot,
        "registry": _registry,
    }
)


def read_source(text: str, means: Means) -> Reading:
    """Returns what ``WORD=PLACE`` holds.

    Raises:
        UsageError: E217, there is no such word, or no place.
    """
    word, equals, place = text.partition("=")
    reader = READERS.get(word)
    if reader is None or not equals or not place:
        raise UsageError(
            f"{text[:200]!r} is no source",
            hint=f"Write {', '.join(f'{name}=PLACE' for name in READERS)}.",
            code="E217",
        )
    return reader(place, means)
