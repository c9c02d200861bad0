"""Talks to the engine: a client that is checked, its errors as ours, names of images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ssds.core.errors import EnvironmentProblem, UnavailableError

Client = Any
"""A ``docker.APIClient``; half of the SDK has no types."""

BASES, STEPS = "ssds-base", "ssds-step"
LABEL = "ssds.pid"
TIMEOUT_S = 600
PROBE_S = 5
CHUNK = 1 << 20


@contextlib.contextmanager
def connected(timeout_s: int) -> Iterator[Client]:
    """Gives a client of the engine on this machine.

    Raises:
        UnavailableError: H001, there is none, or it is another machine's.
    """
    import docker

    hint = "Start one (Debian: apt-get install docker.io), or choose `builder: embedded`."
    with told("no Docker Engine answers here", hint):
        engine = docker.from_env(timeout=timeout_s)
    try:
        address = str(engine.api.base_url)
        if not address.startswith("http+"):
            raise UnavailableError(
                f"the Docker Engine at {address} is not on this machine",
                hint="Inputs are bound from local folders: set DOCKER_HOST to a local socket.",
                code="H005",
            )
        with told("no Docker Engine answers here", hint):
            engine.ping()
        yield engine.api
    finally:
        engine.close()


@contextlib.contextmanager
def told(doing: str, hint: str = "") -> Iterator[None]:
    """Turns what the SDK raises into an error of ssds."""
    import docker
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        reason = str(error.explanation or error).strip()
        raise EnvironmentProblem(
            f"{doing}: {reason}", hint="Look at the engine's log.", code="H003"
        ) from error
    except (docker.errors.DockerException, requests.RequestException, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise UnavailableError(
            f"{doing}: {reason}", hint=hint or "Look at the engine's log.", code="H001"
        ) from error


def sdk_errors() -> Any:
    """Returns the SDK's errors."""
    import docker

    return docker.errors


def names_of(client: Client, repository: str) -> list[str]:
    """Returns the names of a repository's images."""
    return [name for image in client.images(repository) for name in image["RepoTags"] or ()]


def known(client: Client, name: str) -> bool:
    """Whether the engine has an image of this name."""
    try:
        client.inspect_image(name)
    except sdk_errors().ImageNotFound:
        return False
    return True


def untag(client: Client, name: str) -> bool:
    """Removes an image's name, and the image when nothing else needs it."""
    try:
        client.remove_image(name)
    except sdk_errors().APIError:
        return False  # another process uses it, or removed it before
    return True
