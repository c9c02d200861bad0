"""Step type → what writes it out; each is imported when a recipe has such a step."""

from __future__ import annotations

from collections.abc import Callable

from ssds.recipe.generators.model import Expansion, Request


def expander(kind: str) -> Callable[[Request], Expansion]:
    """Returns the function that writes out the steps of type ``kind``."""
    match kind:
        case "neurodocker":
            from ssds.recipe.generators.neurodocker import expand
        case "hpccm":
            from ssds.recipe.generators.hpccm import expand
        case "spack":
            from ssds.recipe.generators.spack import expand
        case "easybuild":
            from ssds.recipe.generators.easybuild import expand
        case other:
            raise AssertionError(f"no such generator: {other}")
    return expand
