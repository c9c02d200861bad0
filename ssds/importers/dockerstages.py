"""Which instructions of a Dockerfile make one of its stages.

Source: Dockerfile reference, "FROM" and "Understand how ARG and FROM interact"; `docker build
--target`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.records import dataclass
from ssds.importers.dockerwords import Instruction, words
from ssds.importers.model import Refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: its name or number, what it is built on as written, and its instructions."""

    name: str
    on: str
    own: tuple[Instruction, ...]


def chosen(
    found: Sequence[Instruction], wanted: str, refuse: Refusals
) -> tuple[list[Instruction], list[str]]:
    """Returns what ``docker build --target WANTED`` runs, in order, and what a reader should know.

    A stage that is built on another comes after that one's instructions; each stage still begins
    with its ``FROM``. What copies from another stage is refused by who reads it.

    Args:
        wanted: a stage's name or number; the last one where it is empty.
    """
    first = next((n for n, one in enumerate(found) if one.name == "FROM"), len(found))
    stages = _stages(found[first:])
    if not stages:
        return list(found), []
    at = _place(stages, wanted, len(stages)) if wanted else len(stages) - 1
    if at is None:
        line = stages[0].own[0].line
        names = ", ".join(stage.name for stage in stages)
        refuse(line, f"no stage {wanted}", f"The stages are {names}.")
        return list(found[: first + 1]), []
    chain = [at]
    while (below := _place(stages, stages[chain[-1]].on, chain[-1])) is not None:
        chain.append(below)
    taken = set(chain)
    left = [stage.name for number, stage in enumerate(stages) if number not in taken]
    notes = []
    if left:
        kept = f"stage {stages[at].name} was taken"
        how = "" if wanted else ", as docker build does; --stage NAME takes another"
        notes.append(f"{kept}, {', '.join(left)} left out{how}")
    own = [one for number in reversed(chain) for one in stages[number].own]
    return [*found[:first], *own], notes


def _stages(found: Sequence[Instruction]) -> list[Stage]:
    starts = [n for n, one in enumerate(found) if one.name == "FROM"]
    stages = []
    ends = [*starts[1:], len(found)][: len(starts)]
    for number, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        parts = [word.plain or word.expanding for word in words(found[begin].rest) or []]
        named = len(parts) == 3 and parts[1].upper() == "AS"
        stages.append(
            Stage(
                name=parts[2].lower() if named else str(number),
                on=parts[0] if parts else "",
                own=tuple(found[begin:end]),
            )
        )
    return stages


def _place(stages: Sequence[Stage], name: str, end: int) -> int | None:
    """Returns the number of the last stage before ``end`` of that name, or with that number."""
    lowered = name.lower()
    for number in range(end - 1, -1, -1):
        if stages[number].name == lowered:
            return number
    plain = name.isascii() and name.isdigit() and len(name) < 9
    return int(name) if plain and int(name) < end else None
