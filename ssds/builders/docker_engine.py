"""The Docker Engine as a builder, through the docker SDK; BuildKit is not needed.

A step is a container of an image that holds exactly the layers below it; the container is committed
and its last layer is what the step changed. An engine writes other bytes than ssds (opaque marks on
new folders, its own mount points), so the layer is unpacked and exported anew by ``oci.layers``.

Bases stay in the engine (``ssds-base``) until ``forget``; images of steps (``ssds-step``) and
containers carry the process id of their maker and are removed by it, or by the next ``sweep``.
Source: Docker Engine API 1.41 (containers, images/load, images/get, commit).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ssds.builders.plug import (
    KEPT_CAPABILITIES,
    Layer,
    Work,
    chain_name,
    check_binds,
    empty_places,
    is_root,
    program,
    unenforced,
)
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import EnvironmentProblem, SsdsError, StepFailed, UnavailableError
from ssds.host.sandbox import Job, JobResult, Sandbox, trusting
from ssds.oci.document import load_document
from ssds.oci.types import config_bytes

Client = Any
"""A ``docker.APIClient``; half of the SDK has no types."""

BASES, STEPS = "ssds-base", "ssds-step"
LABEL = "ssds.pid"
_TIMEOUT_S = 600
_PROBE_S = 5
_POLL_S = 0.2
_CHUNK = 1 << 20
_DOCUMENT_LIMIT = 16 << 20


def obstacle() -> SsdsError | None:
    """Returns why no engine can be used here, or None."""
    try:
        with _client(_PROBE_S) as client, _told("the Docker Engine did not answer"):
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
        with _client(_TIMEOUT_S) as client, _told("the Docker Engine failed"):
            image = _image(client, work)
            container = _create(client, image, job)
            try:
                watch = _Watch(container, job, began)
                _start(client, container, job, watch)
                code = int(client.wait(container, timeout=_TIMEOUT_S)["StatusCode"])
                if job.upper and not (watch.timed_out or watch.stopped):
                    self._take(client, container, work)
            finally:
                with contextlib.suppress(_errors().APIError):
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
        with _client(_TIMEOUT_S) as client, _told("the Docker Engine failed"):
            return sum(_untag(client, name) for name in _names(client, BASES))

    def _take(self, client: Client, container: str, work: Work) -> None:
        """Unpacks what the container changed into ``upper``."""
        tag = f"{os.getpid()}-{secrets.token_hex(6)}"
        client.commit(container, repository=STEPS, tag=tag)
        saved = os.path.join(work.folder, "saved.tar")
        try:
            with open(saved, "wb") as file:
                file.writelines(client.get_image(f"{STEPS}:{tag}", chunk_size=_CHUNK))
        finally:
            _untag(client, f"{STEPS}:{tag}")
        changes = os.path.join(work.folder, "changes.tar")
        if _last_layer(saved, changes, len(work.layers)):
            self._sandbox.call("ssds.oci.layers:unpack_layer", tar=changes, folder=work.job.upper)
            os.unlink(changes)
        os.unlink(saved)


class _Watch(threading.Thread):
    """Kills a container at its time limit, or when the user stops."""

    def __init__(self, container: str, job: Job, began: float) -> None:
        super().__init__(daemon=True)
        self.container, self.job = container, job
        self.deadline = began + job.time_limit_s
        self.timed_out = self.stopped = False
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(_POLL_S):
            timed_out = time.monotonic() >= self.deadline
            if not timed_out and not (self.job.stop is not None and self.job.stop()):
                continue
            try:
                with _client(_TIMEOUT_S) as client:
                    client.kill(self.container)
            except (_errors().DockerException, SsdsError):
                continue  # it ended by itself just now, or has not begun
            self.timed_out, self.stopped = timed_out, not timed_out
            return


def _start(client: Client, container: str, job: Job, watch: _Watch) -> None:
    """Starts the container and hands its output on until it ended."""
    output = client.attach(container, stdout=True, stderr=True, stream=True, demux=True)
    try:
        client.start(container)
    except _errors().APIError as error:
        if "user" in str(error.explanation) and "find" in str(error.explanation):
            raise StepFailed(
                f"the image has no user {job.user!r}",
                hint="Make it in an earlier step, for instance with useradd, or name its number.",
            ) from error
        raise
    watch.start()
    try:
        for stdout, stderr in output:
            for data, sink in ((stdout, job.log), (stderr, job.log_errors or job.log)):
                if data and sink is not None:
                    sink(data)
    finally:
        watch.over.set()
        watch.join()


def _create(client: Client, image: str, job: Job) -> str:
    """Makes the container; what it may do is the reference's table (docs/reference/sandbox.md)."""
    more, environment = trusting(job)
    binds = {b.source: {"bind": b.target, "mode": _mode(b.read_only)} for b in (*job.binds, *more)}
    flags = "rw,exec,nosuid,nodev"
    root = is_root(job)
    host = client.create_host_config(
        binds=binds,
        tmpfs={place: f"{flags},mode={mode}" for place, mode in empty_places(job)},
        network_mode="host" if job.network else "none",
        cap_drop=["ALL"],
        cap_add=list(KEPT_CAPABILITIES),
        security_opt=None if root else ["no-new-privileges"],
        mem_limit=job.memory_limit_bytes or None,
        pids_limit=job.process_limit or None,
        log_config={"Type": "none", "Config": {}},
        ulimits=[{"Name": "core", "Soft": 0, "Hard": 0}],
    )
    made = client.create_container(
        image=image,
        entrypoint=[],
        command=program(job),
        environment={"HOSTNAME": None, **environment},
        user="0:0" if root else job.user,
        hostname=None if job.network else "localhost",
        labels={LABEL: str(os.getpid())},
        host_config=host,
    )
    return str(made["Id"])


def _mode(read_only: bool) -> str:
    return "ro" if read_only else "rw"


def _image(client: Client, work: Work) -> str:
    """Returns the name of an image with exactly these layers; brings what the engine lacks."""
    name = _name(work.layers)
    if _known(client, name):
        return name
    lower = next(
        (n for n in range(len(work.layers) - 1, 0, -1) if _known(client, _name(work.layers[:n]))),
        0,
    )
    try:
        client.load_image(_archive(work, name, lower))
    except _errors().APIError:
        if not lower:
            raise
        client.load_image(_archive(work, name, 0))  # an engine that wants every layer again
    if not _known(client, name):
        raise EnvironmentProblem(
            "the Docker Engine took the layers and has no image of them",
            hint="Look at the engine's log.",
            code="H003",
        )
    if lower > 1:
        _untag(client, _name(work.layers[:lower]))
    return name


def _name(layers: Sequence[Layer]) -> str:
    chain = chain_name(layers)
    return f"{BASES}:{chain}" if len(layers) == 1 else f"{STEPS}:{os.getpid()}-{chain}"


def _known(client: Client, name: str) -> bool:
    try:
        client.inspect_image(name)
    except _errors().ImageNotFound:
        return False
    return True


def _archive(work: Work, name: str, known: int) -> Iterator[bytes]:
    """Gives a docker-archive of the layers, without the tars of the first ``known`` ones."""
    config = config_bytes(
        platform=work.platform, diff_ids=[layer.digest for layer in work.layers], created=0
    )
    file = f"{sha256_of(config).hex}.json"
    tars = [f"{layer.digest.hex}/layer.tar" for layer in work.layers]
    manifest = [{"Config": file, "RepoTags": [name], "Layers": list[Any](tars)}]
    for member, data in ((file, config), ("manifest.json", canonical_bytes(manifest))):
        yield from (_header(member, len(data)), data, _padding(len(data)))
    for member, layer in list(zip(tars, work.layers, strict=True))[known:]:
        size = os.path.getsize(layer.tar)
        yield _header(member, size)
        with open(layer.tar, "rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
        yield _padding(size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _last_layer(saved: str, target: str, below: int) -> bool:
    """Copies the last layer of a docker-archive; returns False where there is none on top.

    Raises:
        EnvironmentProblem: the archive is not what an engine writes.
    """
    try:
        with tarfile.open(saved) as archive:
            manifest = b'{"images":' + _read(archive, "manifest.json") + b"}"
            entry = load_document(manifest, "the engine's archive").items("images", limit=1)[0]
            config = load_document(_read(archive, entry.text("Config")), "the engine's config")
            count = len(config.child("rootfs").texts("diff_ids"))
            if count == below:
                return False
            layers = entry.texts("Layers")
            if count != below + 1 or len(layers) != below + 1:
                raise KeyError("the last layer")
            source = archive.extractfile(layers[-1])
            if source is None:
                raise KeyError(layers[-1])
            with open(target, "wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
    except (tarfile.TarError, KeyError, IndexError) as error:
        raise EnvironmentProblem(
            f"the Docker Engine gave an archive that cannot be read: {error}",
            hint="Look at the engine's log.",
            code="H004",
        ) from error
    return True


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    source = archive.extractfile(name)
    if source is None:
        raise KeyError(name)
    return source.read(_DOCUMENT_LIMIT)


def _remove(mine: Callable[[str], bool]) -> int:
    """Removes the containers and step images whose maker's process id ``mine`` accepts."""
    count = 0
    with _client(_TIMEOUT_S) as client, _told("the Docker Engine failed"):
        for found in client.containers(all=True, filters={"label": LABEL}):
            if mine(found["Labels"][LABEL]):
                with contextlib.suppress(_errors().APIError):
                    client.remove_container(found["Id"], v=True, force=True)
                    count += 1
        for name in _names(client, STEPS):
            if mine(name.partition(":")[2].partition("-")[0]):
                count += _untag(client, name)
    return count


def _names(client: Client, repository: str) -> list[str]:
    return [name for image in client.images(repository) for name in image["RepoTags"] or ()]


def _untag(client: Client, name: str) -> bool:
    """Removes an image's name, and the image when nothing else needs it."""
    try:
        client.remove_image(name)
    except _errors().APIError:
        return False  # another process uses it, or removed it before
    return True


def _errors() -> Any:
    import docker

    return docker.errors


@contextlib.contextmanager
def _client(timeout_s: int) -> Iterator[Client]:
    """Gives a client of the engine on this machine.

    Raises:
        UnavailableError: H001, there is none, or it is another machine's.
    """
    import docker

    hint = "Start one (Debian: apt-get install docker.io), or choose `builder: embedded`."
    with _told("no Docker Engine answers here", hint):
        engine = docker.from_env(timeout=timeout_s)
    try:
        address = str(engine.api.base_url)
        if not address.startswith("http+"):
            raise UnavailableError(
                f"the Docker Engine at {address} is not on this machine",
                hint="Inputs are bound from local folders: set DOCKER_HOST to a local socket.",
                code="H005",
            )
        with _told("no Docker Engine answers here", hint):
            engine.ping()
        yield engine.api
    finally:
        engine.close()


@contextlib.contextmanager
def _told(doing: str, hint: str = "") -> Iterator[None]:
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
