"""One container: what it may do, its output, its end."""

from __future__ import annotations

import os
import threading
import time

from ssds.builders.docker_engine.client import LABEL, TIMEOUT_S, Client, connected, sdk_errors
from ssds.builders.plug import KEPT_CAPABILITIES, empty_places, is_root, program
from ssds.core.errors import SsdsError, StepFailed
from ssds.host.sandbox import Job, Sandbox

_POLL_S = 0.2


def create(client: Client, image: str, job: Job, sandbox: Sandbox) -> str:
    """Makes the container; what it may do is the reference's table (docs/reference/sandbox.md)."""
    more, environment = sandbox.additions(job)
    binds = [f"{b.source}:{b.target}:{'ro' if b.read_only else 'rw'}" for b in (*job.binds, *more)]
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
        cpuset_cpus=_processors(),
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


def _processors() -> str | None:
    """Returns the processors that this process may use, where these are not all."""
    own = sorted(os.sched_getaffinity(0))
    return ",".join(map(str, own)) if len(own) < (os.cpu_count() or 1) else None


def start(client: Client, container: str, job: Job, watch: Watch) -> None:
    """Starts the container and hands its output on until it ended."""
    output = client.attach(container, stdout=True, stderr=True, stream=True, demux=True)
    try:
        client.start(container)
    except sdk_errors().APIError as error:
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


class Watch(threading.Thread):
    """Kills a container at its time limit, or when the user stops."""

    def __init__(self, container: str, job: Job, began: float) -> None:
        super().__init__(daemon=True)
        self.container, self.job = container, job
        self.deadline = began + job.time_limit_s
        self.timed_out = self.stopped = False
        self.over = threading.Event()

    def run(self) -> None:
        """Looks until the container ended."""
        while not self.over.wait(_POLL_S):
            timed_out = time.monotonic() >= self.deadline
            if not timed_out and not (self.job.stop is not None and self.job.stop()):
                continue
            try:
                with connected(TIMEOUT_S) as client:
                    client.kill(self.container)
            except (sdk_errors().DockerException, SsdsError):
                continue  # it ended by itself just now, or has not begun
            self.timed_out, self.stopped = timed_out, not timed_out
            return
