"""The sandbox: runs steps on layers, without a daemon and, in mode ``subuid``, without root.

Modes (contract C17), which all give the same bytes:

- ``identity``: root; a user namespace that maps 0..65535 to themselves.
- ``subuid``: an ordinary user with 65536 subordinate ids, through newuidmap.
- ``trusted``: plain root without a user namespace, only when asked for by name.

A single-uid mapping is refused: it makes wrong images under a right key. What a mode enforces is
proven by ``probe`` at run time and, attack by attack, by ``tests/host/test_sandbox_attacks.py``.

``ssds.host.probe`` says which mode works here.

Steps of root may execute set-uid programs (maintainer scripts do); steps of other users run with
no_new_privs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from ssds.core.canonical import Json
from ssds.core.errors import EnvironmentProblem, InvalidValue
from ssds.host import helper
from ssds.host.files import explained
from ssds.host.inside import remove_tree
from ssds.host.inside_probe import PROBE_MEMORY_BYTES, PROBE_PROCESSES
from ssds.host.surroundings import CLOCK_TARGET, Clock
from ssds.host.terminal import check_descriptors

MODES = ("identity", "subuid", "trusted")
CA_TARGET = "/run/ssds/ca-certificates.crt"
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
_SCRATCH = "job-"
_FILE_TOO_LARGE = 128 + signal.SIGXFSZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A host path that a step sees; always nosuid and nodev.

    Attributes:
        source: absolute host path of a file or folder.
        target: absolute path in the image; made when missing below /run, /tmp, /var/tmp, or when
            the changes are not kept.
    """

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """The caller's own descriptors, for a program that a person runs.

    Attributes:
        stdin, stdout, stderr: open descriptors, no folders.
        terminal: ``stdin`` and ``stdout`` are a terminal; the program gets one of the sandbox's
            own that is joined to it (``stderr`` is then not used).
    """

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program to run on layers.

    Attributes:
        lowers: unpacked layer folders, base first; at least one.
        environment: exactly what the program sees (network jobs also get CA_VARIABLES).
        user: a name of the image's /etc/passwd, or ``uid[:gid]``; empty means root.
        network: the host's network instead of a loopback of its own.
        ca_bundle: with ``network``: host file of CA certificates; empty means the host's own.
        time_limit_s: seconds until everything in the job is killed.
        memory_limit_bytes, process_limit: 0 means none; see ``JobResult.unenforced``.
        disk_limit_bytes: None leaves the disk to the job, 0 watches only that the file system does
            not fill; else also what the job writes to disk, its writable binds among it (see
            ``ssds.host.disk_watch``). What it writes to /tmp and the like is memory.
        upper: folder that keeps the changes, made by ``new_upper`` of the trees; empty discards
            them. Scratch files lie beside it while the job runs.
        log: gets output bytes as they come; called in the thread that called ``run``.
        log_errors: gets standard error apart; None sends it to ``log`` too.
        stop: asked about five times a second; True ends the job. Not with a terminal.
        stdio: passes the caller's input and output through; ``log`` then gets nothing. None means
            an empty input. With a terminal there is no time limit.
    """

    lowers: tuple[str, ...]
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_folder: str = "/"
    user: str = ""
    network: bool = False
    ca_bundle: str = ""
    binds: tuple[Bind, ...] = ()
    time_limit_s: float = 3600
    memory_limit_bytes: int = 0
    process_limit: int = 0
    disk_limit_bytes: int | None = None
    upper: str = ""
    log: Callable[[bytes], None] | None = None
    log_errors: Callable[[bytes], None] | None = None
    stop: Callable[[], bool] | None = None
    stdio: Stdio | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How a job ended.

    Attributes:
        exit_code: of the program; 128 + n when signal n ended it; 127 when it does not exist;
            137 after the time limit or a stop.
        timed_out: the time limit ended it.
        stopped: ``stop`` ended it.
        full: ``disk`` when it wrote more than its limit and was ended, ``reserve`` when the file
            system was nearly full.
        unenforced: limits that were asked for and that this machine could not set for the job as a
            whole (``memory``, ``processes``).
    """

    exit_code: int
    timed_out: bool = False
    duration_ms: int = 0
    stopped: bool = False
    full: str = ""
    unenforced: tuple[str, ...] = ()


class Sandbox:
    """Runs jobs in one mode; ``folder`` (made when missing) holds their scratch folders.

    It may be used from several threads at once. For audits: with ``clock`` jobs see a shifted one;
    with ``reverses`` the trees' folders list their names the other way round (``host.listing``).
    """

    def __init__(
        self,
        mode: str,
        folder: str,
        *,
        stop: Callable[[], bool] | None = None,
        clock: Clock | None = None,
        reverses: bool = False,
    ) -> None:
        if mode not in MODES:
            raise InvalidValue(f"{mode!r} is no sandbox mode", hint=f"Use {', '.join(MODES)}.")
        self.mode = mode
        self._stop = stop
        self._clock = clock
        self.reverses = reverses
        self.folder = os.path.abspath(folder)
        self._identity = helper.identity(mode)
        with explained(self.folder):
            os.makedirs(self.folder, exist_ok=True)

    def run(self, job: Job) -> JobResult:
        """Runs a job to its end; when it returns, none of its processes is alive.

        Raises:
            EnvironmentProblem: the sandbox could not be made.
            StepFailed: the image has no such user or working folder.
        """
        started = time.monotonic()
        if job.stdio is not None:
            check_descriptors((job.stdio.stdin, job.stdio.stdout, job.stdio.stderr))
        scratch = self._scratch(job)
        try:
            spec = self._spec(job, scratch)
            if job.stdio is not None and job.stdio.terminal:
                ended = helper.converse_on_terminal(spec, job.stdio.stdin, job.stdio.stdout)
            else:
                ended = helper.converse(
                    spec,
                    log=job.log,
                    log_errors=job.log_errors,
                    deadline=started + job.time_limit_s,
                    stop=job.stop,
                    given=(job.stdio.stdin, job.stdio.stdout, job.stdio.stderr)
                    if job.stdio
                    else None,
                )
        finally:
            if os.path.isdir(scratch):  # the helper removes it; only a killed one did not
                with contextlib.suppress(EnvironmentProblem):
                    self.remove(scratch)
        wanted = {"memory": job.memory_limit_bytes, "processes": job.process_limit}
        missing = [n for n, value in wanted.items() if value and n not in ended.enforced]
        if self.mode == "subuid" and "processes" in missing:
            missing.remove("processes")  # by RLIMIT_NPROC of the user namespace
        code = 137 if ended.exit_code is None else ended.exit_code
        return JobResult(
            exit_code=code,
            timed_out=ended.timed_out,
            stopped=ended.stopped,
            full=ended.full or ("disk" if job.disk_limit_bytes and code == _FILE_TOO_LARGE else ""),
            duration_ms=int((time.monotonic() - started) * 1000),
            unenforced=tuple(missing),
        )

    def call(self, function: str, **json_args: Json) -> Json:
        """Runs ``package.module:function`` in a fresh Python as the mode's root.

        There, files that belong to subordinate ids can be read, written and removed. Arguments and
        result are JSON; a dataclass result arrives as a map.

        Raises:
            SsdsError: what the function raised, as its own class.
            StepFailed: it was stopped (``stoppable``).
        """
        return self._call(function, json_args, self._stop)

    def stoppable(self, stop: Callable[[], bool]) -> Sandbox:
        """Returns the same sandbox, whose calls end when ``stop`` says True; removing does not."""
        return Sandbox(self.mode, self.folder, stop=stop, clock=self._clock, reverses=self.reverses)

    def _call(
        self, function: str, arguments: dict[str, Json], stop: Callable[[], bool] | None
    ) -> Json:
        request: Json = {"function": function, "arguments": arguments}
        spec: dict[str, Json] = {"what": "call", "mode": self.mode, "call": request}
        return helper.call({**spec, **self._identity}, stop)

    def remove(self, folder: str) -> None:
        """Removes a folder that may hold files of subordinate ids; a missing one is fine."""
        if self.mode == "subuid":
            self._call("ssds.host.inside:remove_tree", {"path": os.path.abspath(folder)}, None)
        else:
            with explained(folder):
                remove_tree(folder)

    def sweep(self, folder: str = "", prefix: str = _SCRATCH) -> int:
        """Removes folders ``PREFIX<pid>-*`` whose process has ended; returns how many.

        Without ``folder`` it looks for scratch folders in its own.
        """
        count = 0
        with os.scandir(folder or self.folder) as entries:
            found = [(e.path, e.name) for e in entries if e.name.startswith(prefix)]
        for path, name in found:
            owner = name.removeprefix(prefix).partition("-")[0]
            if owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
                self.remove(path)
                count += 1
        return count

    def measure(self) -> Mapping[str, bool]:
        """Runs the probe's attacks in a job without any program; returns what was held off.

        Raises:
            EnvironmentProblem: the sandbox cannot be made here.
        """
        with tempfile.TemporaryDirectory(prefix="ssds-probe-", dir=self.folder) as layer:
            for name in ("etc", "run", "var"):
                os.mkdir(os.path.join(layer, name))
            for name in ("kept", "gone"):
                with open(os.path.join(layer, "etc", name), "wb"):
                    pass
            job = Job(
                lowers=(layer,),
                argv=("-",),
                binds=(Bind(source=layer, target="/run/input"),),
                process_limit=PROBE_PROCESSES,
                memory_limit_bytes=PROBE_MEMORY_BYTES,
            )
            scratch = self._scratch(job)
            spec = {**self._spec(job, scratch), "probe": True}
            deadline = time.monotonic() + 30
            ended = helper.converse(spec, log=None, log_errors=None, deadline=deadline, stop=None)
        if ended.timed_out or not ended.facts:
            raise EnvironmentProblem("the sandbox's own check did not end")
        return {**ended.facts, "memory_limit": "memory" in ended.enforced}

    def _scratch(self, job: Job) -> str:
        for path in (
            *job.lowers,
            *([job.upper] if job.upper else []),
            *(b.source for b in job.binds),
        ):
            if not os.path.isabs(path):
                raise InvalidValue(f"the sandbox needs absolute paths, got {path!r}")
        if not job.lowers or not job.argv:
            raise InvalidValue("a job needs at least one layer and a program")
        with explained(self.folder):
            place = os.path.dirname(job.upper) if job.upper else self.folder  # one file system
            scratch = tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=place)
            for name in ("root", "work", "changes"):
                os.mkdir(os.path.join(scratch, name))
                os.chmod(os.path.join(scratch, name), 0o755)
        return scratch

    def additions(self, job: Job) -> tuple[list[Bind], dict[str, str]]:
        """Returns what a job gets beside its own binds, and its whole environment.

        CA certificates for a job with network, and the shifted clock.
        """
        binds, environment = trusting(job)
        if self._clock is not None:
            binds.append(Bind(source=self._clock.library, target=CLOCK_TARGET))
            environment = {**self._clock.environment, **environment}
        return binds, environment

    def _spec(self, job: Job, scratch: str) -> dict[str, Json]:
        more, environment = self.additions(job)
        binds = [*job.binds, *more]
        if job.network and os.path.exists("/etc/resolv.conf"):
            binds.append(Bind(source="/etc/resolv.conf", target="/etc/resolv.conf"))
        for bind in binds:
            if not bind.target.startswith("/") or ".." in bind.target.split("/"):
                raise InvalidValue(f"the bind target {bind.target!r} is no absolute path")
        upper = job.upper or os.path.join(scratch, "changes")
        written = [upper, *(b.source for b in binds if not b.read_only and os.path.isdir(b.source))]
        return {
            "what": "job",
            "probe": False,
            "mode": self.mode,
            "scratch": scratch,
            "lowers": list(job.lowers),
            "upper": upper,
            "keeps_upper": bool(job.upper),
            "argv": list(job.argv),
            "environment": environment,
            "working_folder": job.working_folder or "/",
            "user": job.user,
            "network": job.network,
            "binds": [asdict(bind) for bind in binds],
            "process_limit": job.process_limit,
            "memory_limit_bytes": job.memory_limit_bytes,
            "disk_limit_bytes": job.disk_limit_bytes or 0,
            "watched": [] if job.disk_limit_bytes is None else list[Json](written),
            "own_stdio": job.stdio is not None,
            **self._identity,
        }


def trusting(job: Job) -> tuple[list[Bind], dict[str, str]]:
    """Returns the bind of the CA certificates of a job with network, and its environment."""
    bundle = (job.ca_bundle or host_ca_bundle()) if job.network else ""
    if not bundle:
        return [], dict(job.environment)
    environment = {**dict.fromkeys(CA_VARIABLES, CA_TARGET), **job.environment}
    return [Bind(source=bundle, target=CA_TARGET)], environment


def host_ca_bundle() -> str:
    """Returns the path of the host's CA certificates, or the empty string."""
    places = (
        os.environ.get("SSL_CERT_FILE", ""),
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
    )
    return next((p for p in places if p and os.path.isfile(p)), "")


def fixed_environment(epoch: int) -> dict[str, str]:
    """Returns the environment of every build step; ``epoch`` is SOURCE_DATE_EPOCH in seconds."""
    return {
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",  # an import would cache the times of files just written
        "SOURCE_DATE_EPOCH": str(epoch),
        "TZ": "UTC0",
    }
