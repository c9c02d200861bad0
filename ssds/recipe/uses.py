"""Which sources a target's image is made from, and which ones its tests read. Pure."""

from __future__ import annotations

from ssds.core.model import Input
from ssds.recipe.model import Target
from ssds.recipe.steps import CopyStep, GivenFile, LocalTree, RunStep, SourceRequest, Step


def given_files(step: Step) -> tuple[GivenFile, ...]:
    """Returns the files that a step takes under names of their own."""
    if isinstance(step, RunStep):
        return step.files
    return (step.file,) if isinstance(step, CopyStep) and step.file is not None else ()


def local_trees_of(step: Step) -> tuple[LocalTree, ...]:
    """Returns what a step takes of the files beside its recipe."""
    found = [file.local for file in given_files(step) if file.local is not None]
    if isinstance(step, CopyStep) and step.local is not None:
        found.append(step.local)
    return tuple(found)


def sources_of(step: Step) -> tuple[str, ...]:
    """Returns the names of the sources that a step takes."""
    given = tuple(file.source for file in given_files(step) if file.source)
    if isinstance(step, RunStep):
        return (*step.sources, *given)
    return (step.source,) if isinstance(step, CopyStep) and step.source else given


def build_sources(target: Target) -> frozenset[str]:
    """Returns the names of the sources that the image is made from."""
    return frozenset(name for step in target.steps for name in sources_of(step))


def tested_sources(target: Target) -> frozenset[str]:
    """Returns the names of the sources that tests read."""
    suite = (data.source for data in target.suite.data) if target.suite else ()
    return frozenset((*(name for test in target.tests for name in test.sources), *suite))


def seen_as(request: SourceRequest, source: Input) -> bool | str:
    """Returns True where a source is seen unpacked, else the name of the file that is seen."""
    return True if request.unpack or source.node is None else source.node.owner
