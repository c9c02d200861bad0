"""The builder itself; see the package's words."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable

from ssds.builders.docker_engine.client import (
    BASES,
    CHUNK,
    LABEL,
    PROBE_S,
    STEPS,
    TIMEOUT_S,
    Client,
    connected,
    names_of,
    sdk_errors,
    told,
    untag,
)
from ssds.builders.docker_engine.containers import Watch, create, start
from ssds.builders.docker_engine.images import image_of, last_layer
from ssds.builders.plug import Work, check_binds, unenforced
from ssds.core.errors import SsdsError, UnavailableError
from ssds.host.sandbox import JobResult, Sandbox


def obstacle() -> SsdsError | None:
    """Returns why no engine can be used here, or None."""
    try:
        with connected(PROBE_S) as client, told("the Docker Engine did not answer"):
            status = client.info().get("DriverStatus") or []
    except SsdsError as error:
        return error
    if any("containerd.snapshotter" in str(value) for _, value in status):
        return UnavailableError(
            "the Docker Engine keeps images in containerd, which gives layers in another form",
            hint='Set {"features": {"containerd-snapshotter": false}} in its daemon.json.',
            code="H002",
        )
    return None


class DockerEngine:
    """Runs steps in containers of the engine that DOCKER_HOST names, or of the local socket.

    Args:
        sandbox: writes the changes with their owners; nothing runs in it.
    """

    name = "docker"
    mode = "docker"

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def run(self, work: Work) -> JobResult:
        """Runs the job in a container; see ``plug.Builder``."""
        job = work.job
        check_binds(job)
        began = time.monotonic()
        with connected(TIMEOUT_S) as client, told("the Docker Engine failed"):
            image = image_of(client, work)
            container = create(client, image, job, self._sandbox)
            try:
                watch = Watch(container, job, began)
                start(client, container, job, watch)
                code = int(client.wait(container, timeout=TIMEOUT_S)["StatusCode"])
                if job.upper and not (watch.timed_out or watch.stopped):
                    self._take(client, container, work)
            finally:
                with contextlib.suppress(sdk_errors().APIError):
                    client.remove_container(container, v=True, force=True)
        return JobResult(
            exit_code=137 if watch.timed_out or watch.stopped else code,
            timed_out=watch.timed_out,
            stopped=watch.stopped,
            duration_ms=int((time.monotonic() - began) * 1000),
            unenforced=unenforced(job, ("disk",)),
        )

    def sweep(self) -> int:
        """Removes containers and images of processes that ended."""
        return _remove(lambda pid: not os.path.exists(f"/proc/{pid}"))

    def close(self) -> None:
        """Removes what this process left in the engine."""
        _remove(lambda pid: pid == str(os.getpid()))

    def forget(self) -> int:
        """Removes the bases."""
        with connected(TIMEOUT_S) as client, told("the Docker Engine failed"):
            return sum(untag(client, name) for name in names_of(client, BASES))

    def _take(self, client: Client, container: str, work: Work) -> None:
        """Unpacks what the container changed into ``upper``."""
        tag = f"{os.getpid()}-{secrets.token_hex(6)}"
        client.commit(container, repository=STEPS, tag=tag)
        saved = os.path.join(work.folder, "saved.tar")
        try:
            with open(saved, "wb") as file:
                file.writelines(client.get_image(f"{STEPS}:{tag}", chunk_size=CHUNK))
        finally:
            untag(client, f"{STEPS}:{tag}")
        changes = os.path.join(work.folder, "changes.tar")
        if last_layer(saved, changes, len(work.layers)):
            self._sandbox.call("ssds.oci.layers:unpack_layer", tar=changes, folder=work.job.upper)
            os.unlink(changes)
        os.unlink(saved)


def _remove(mine: Callable[[str], bool]) -> int:
    """Removes the containers and step images whose maker's process id ``mine`` accepts."""
    count = 0
    with connected(TIMEOUT_S) as client, told("the Docker Engine failed"):
        for found in client.containers(all=True, filters={"label": LABEL}):
            if mine(found["Labels"][LABEL]):
                with contextlib.suppress(sdk_errors().APIError):
                    client.remove_container(found["Id"], v=True, force=True)
                    count += 1
        for name in names_of(client, STEPS):
            if mine(name.partition(":")[2].partition("-")[0]):
                count += untag(client, name)
    return count
