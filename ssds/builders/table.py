"""Finds a builder by the name that settings and ``--builder`` use."""

from __future__ import annotations

from ssds.builders import NAMES
from ssds.builders.plug import Builder, Embedded
from ssds.core.errors import InvalidValue, SsdsError
from ssds.host.sandbox import Sandbox


def obstacle(name: str) -> SsdsError | None:
    """Returns why this builder cannot be used on this machine, or None."""
    match name:
        case "docker":
            from ssds.builders.docker_engine import builder

            return builder.obstacle()
        case "buildah":
            from ssds.builders import buildah

            return buildah.obstacle()
    return None


def find(name: str, sandbox: Sandbox, folder: str) -> Builder:
    """Returns a builder.

    Args:
        sandbox: steps of ``embedded`` run in it; the others write files with its rights.
        folder: where a builder may keep what makes it quicker next time.
    """
    match name:
        case "embedded":
            return Embedded(sandbox)
        case "docker":
            from ssds.builders.docker_engine.builder import DockerEngine

            return DockerEngine(sandbox)
        case "buildah":
            from ssds.builders.buildah import Buildah

            return Buildah(sandbox, folder)
    raise InvalidValue(f"{name!r} is no builder", hint=f"Use one of {', '.join(NAMES)}.")
