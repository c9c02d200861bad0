"""buildah as a builder: no daemon, as root or, with subordinate ids, as an ordinary user.

A step is a working container on an image that holds exactly the layers below it; what it changed is
the last layer of a commit, which is unpacked and exported anew by ``oci.layers``. Images and
containers lie in a storage of ssds's own, so nobody else's are seen or touched; buildah's own
configuration files are not read. Bases stay until ``forget``; all else carries the process id of
its maker and is removed by it, or by the next ``sweep``.

The step's container is started in a process namespace that dies with ssds. Source: buildah-from(1),
buildah-run(1), buildah-commit(1), containers-storage.conf(5).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence

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
from ssds.core.errors import EnvironmentProblem, SsdsError, StepFailed
from ssds.host import local
from ssds.host.files import atomic_write
from ssds.host.process import Completed, missing_program, run
from ssds.host.sandbox import Job, JobResult, Sandbox
from ssds.oci.layout import Layout
from ssds.oci.types import (
    CONFIG,
    LAYER,
    MANIFEST,
    Descriptor,
    config_bytes,
    descriptor_of,
    manifest_bytes,
    parse_manifest,
)

_LOCAL = "localhost/"
BASES, STEPS = f"{_LOCAL}ssds-base-", f"{_LOCAL}ssds-step-"
_CONTAINER = "ssds-"
_TIMEOUT_S = 600
_OWN_FAILURE = 125
_STORAGE = '[storage]\ndriver = "overlay"\n'
# capabilities that buildah gives by default or a configuration might
_NOT_KEPT = ("DAC_READ_SEARCH", "MKNOD", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN")


def obstacle() -> SsdsError | None:
    """Returns why buildah cannot be used here, or None."""
    return None if shutil.which("buildah") else missing_program("buildah")


class Buildah:
    """Runs steps in working containers.

    Args:
        sandbox: writes the changes with their owners; nothing runs in it.
        folder: where its storage is; made when missing. It must not lie on overlayfs.
    """

    name = "buildah"

    def __init__(self, sandbox: Sandbox, folder: str) -> None:
        self._sandbox = sandbox
        self.mode = "buildah" if sandbox.mode != "subuid" else "buildah-rootless"
        self._folder = os.path.join(os.path.abspath(folder), self.mode)

    def run(self, work: Work) -> JobResult:
        """Runs the job in a working container; see ``plug.Builder``."""
        check_binds(work.job)
        image = self._image(work)
        container = f"{_CONTAINER}{os.getpid()}-{secrets.token_hex(6)}"
        self._call("from", *self._policy(), "--pull-never", "--name", container, image)
        try:
            done = self._run(container, work.job)
            if work.job.upper and not (done.timed_out or done.stopped):
                self._take(container, work)
        finally:
            self._call("rm", container, may_fail=True)
        return JobResult(
            exit_code=137 if done.timed_out or done.stopped else done.returncode,
            timed_out=done.timed_out,
            stopped=done.stopped,
            duration_ms=done.duration_ms,
            unenforced=unenforced(work.job, ("memory", "processes", "disk")),
        )

    def sweep(self) -> int:
        """Removes containers and images of processes that ended."""
        return self._remove(lambda pid: not os.path.exists(f"/proc/{pid}"))

    def close(self) -> None:
        """Removes what this process left in the storage."""
        self._remove(lambda pid: pid == str(os.getpid()))

    def forget(self) -> int:
        """Removes the whole storage; returns how many images it had."""
        if not os.path.isdir(self._folder):
            return 0
        count = len(self._names(BASES)) + len(self._names(STEPS))
        self._sandbox.remove(self._folder)
        return count

    def _run(self, container: str, job: Job) -> Completed:
        more, environment = self._sandbox.additions(job)
        options = ["--isolation", "oci" if os.geteuid() == 0 else "rootless"]
        if shutil.which("runc"):
            options += ["--runtime", "runc"]  # crun refuses machines with both sorts of cgroups
        options += ["--network", "host" if job.network else "none", "--no-hosts"]
        options += [] if job.network else ["--hostname", "localhost"]
        options += ["--user", "0:0" if is_root(job) else job.user, "--workingdir", "/"]
        for name in _NOT_KEPT:
            options += ["--cap-drop", f"CAP_{name}"]
        for name in KEPT_CAPABILITIES:
            options += ["--cap-add", f"CAP_{name}"]
        for place, mode in empty_places(job):
            options += ["--mount", f"type=tmpfs,destination={place},tmpfs-mode={mode}"]
        for bind in (*job.binds, *more):
            access = "ro" if bind.read_only else "rw"
            options += ["--volume", f"{bind.source}:{bind.target}:{access}"]
        for variable, value in environment.items():
            options += ["--env", f"{variable}={value}"]
        alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:  # such a namespace needs rights that buildah's own has
            alone = [*self._argv(), "unshare", *alone]
        argv = ["setpriv", "--pdeathsig", "KILL", *alone, *self._argv(), "run", *options]
        argv += [container, "--", *program(job, ("HOSTNAME",))]
        last = bytearray()

        def log(data: bytes) -> None:
            last.extend(data)
            del last[:-1000]
            if job.log is not None:
                job.log(data)

        done = run(
            argv,
            env=self._environment(),
            cwd=self._folder,
            timeout_s=job.time_limit_s,
            log=log,
            capture=False,
            stop=job.stop,
        )
        if done.returncode == _OWN_FAILURE:
            _judge(last.decode("utf-8", "replace").strip().rpartition("\n")[2], job.user)
        return done

    def _take(self, container: str, work: Work) -> None:
        """Unpacks what the container changed into ``upper``."""
        out = os.path.join(work.folder, "committed")
        options = ("--disable-compression", "--format", "oci")
        self._call("commit", "-q", *self._policy(), *options, container, f"oci:{out}")
        layout = Layout(out)
        entries = layout.index().manifests
        manifest = parse_manifest(layout.blobs.read(entries[0].digest))
        count = len(manifest.layers)
        if count != len(work.layers) + 1 or manifest.layers[-1].media_type != LAYER:
            raise EnvironmentProblem(
                f"buildah committed {count} layers where {len(work.layers) + 1} are expected",
                code="H011",
            )
        tar = layout.blobs.path(manifest.layers[-1].digest)
        self._sandbox.call("ssds.oci.layers:unpack_layer", tar=tar, folder=work.job.upper)
        local.remove_folder(out)

    def _image(self, work: Work) -> str:
        """Returns the name of an image with exactly these layers; brings it into the storage."""
        name = _name(work.layers)
        if self._known(name):
            return name
        place = os.path.join(work.folder, name.removeprefix(_LOCAL))
        layout = Layout(place)
        for layer in work.layers:
            folder = os.path.join(place, "blobs", layer.digest.algorithm)
            local.make_folder(folder)
            local.link_or_copy(layer.tar, os.path.join(folder, layer.digest.hex))
        config = config_bytes(
            platform=work.platform, diff_ids=[layer.digest for layer in work.layers], created=0
        )
        layout.put_blob(config)
        tars = [
            Descriptor(media_type=LAYER, digest=layer.digest, size_bytes=os.path.getsize(layer.tar))
            for layer in work.layers
        ]
        manifest = manifest_bytes(config=descriptor_of(config, CONFIG), layers=tars)
        layout.put_blob(manifest)
        layout.set_tags({"layers": descriptor_of(manifest, MANIFEST)})
        # buildah makes the image's name of the path that it is given
        self._call("pull", "-q", *self._policy(), f"oci:{os.path.basename(place)}", cwd=work.folder)
        local.remove_folder(place)
        return name

    def _known(self, name: str) -> bool:
        done = self._call("inspect", "--type", "image", name, may_fail=True)
        return done.returncode == 0

    def _remove(self, mine: Callable[[str], bool]) -> int:
        """Removes containers and step images whose maker's process id ``mine`` accepts."""
        if not os.path.isdir(self._folder):
            return 0
        commands = [
            ("rm", line)
            for line in self._lines("containers", "--notruncate", "--format", "{{.ContainerName}}")
            if mine(line.removeprefix(_CONTAINER).partition("-")[0])
        ]
        commands += [
            ("rmi", name)
            for name in self._names(STEPS)
            if mine(name.removeprefix(STEPS).partition("-")[0])
        ]
        gone = [self._call(*command, may_fail=True) for command in commands]
        return sum(done.returncode == 0 for done in gone)

    def _names(self, beginning: str) -> list[str]:
        lines = self._lines("images", "--format", "{{.Name}}")
        return [line for line in lines if line.startswith(beginning)]

    def _lines(self, *words: str) -> list[str]:
        return [line.strip() for line in self._call(*words).text.splitlines() if line.strip()]

    def _call(self, *words: str, may_fail: bool = False, cwd: str = "") -> Completed:
        """Runs a command of buildah on the storage; raises EnvironmentProblem when it fails."""
        noise = bytearray()
        done = run(
            [*self._argv(), *words],
            env=self._environment(),
            cwd=cwd or self._folder,
            timeout_s=_TIMEOUT_S,
            log=noise.extend,
            merge_errors=False,
        )
        if done.returncode != 0 and not may_fail:
            lines = noise.decode("utf-8", "replace").strip().splitlines() or ["(no output)"]
            raise EnvironmentProblem(
                f"buildah {words[0]} failed: {lines[-1][:300]}",
                hint="Try it by hand; `ssds doctor` says what buildah needs.",
                code="H010",
            )
        return done

    def _argv(self) -> list[str]:
        return [
            "buildah",
            *("--root", f"{self._folder}/storage", "--runroot", f"{self._folder}/run"),
            *("--storage-driver", "overlay", "--default-mounts-file", f"{self._folder}/none"),
        ]

    def _policy(self) -> tuple[str, str]:
        return "--signature-policy", f"{self._folder}/policy.json"

    def _environment(self) -> dict[str, str]:
        """Returns buildah's own environment; writes the files that stand for the machine's."""
        policy = '{"default": [{"type": "insecureAcceptAnything"}]}'
        files = {"policy.json": policy, "none": "", "storage.conf": _STORAGE, "home/.keep": ""}
        local.make_folder(os.path.join(self._folder, "home"))
        for name, text in files.items():
            path = os.path.join(self._folder, name)
            if not os.path.exists(path):
                atomic_write(path, text.encode(), point="buildah.settings")
        return {
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            "HOME": os.path.join(self._folder, "home"),
            "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR")
            or os.path.join(self._folder, "run"),
            "TMPDIR": os.path.join(self._folder, "home"),
            "CONTAINERS_CONF": os.devnull,
            "CONTAINERS_STORAGE_CONF": os.path.join(self._folder, "storage.conf"),
        }


def _judge(line: str, user: str) -> None:
    """Raises the error when buildah itself failed, and not the program that ended with 125."""
    if not line.startswith("Error: ") or line.startswith("Error: while running runtime: exit"):
        return
    if "unknown user" in line or "unknown group" in line:
        raise StepFailed(
            f"the image has no user {user!r}",
            hint="Make it in an earlier step, for instance with useradd, or name its number.",
        )
    raise EnvironmentProblem(
        f"buildah run failed: {line.removeprefix('Error: ')[:300]}",
        hint="Try it by hand; `ssds doctor` says what buildah needs.",
        code="H012",
    )


def _name(layers: Sequence[Layer]) -> str:
    chain = chain_name(layers)
    return f"{BASES}{chain}" if len(layers) == 1 else f"{STEPS}{os.getpid()}-{chain}"
