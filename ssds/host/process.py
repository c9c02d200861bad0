"""Running other programs: one function, with time limits and live output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from ssds.core.errors import EnvironmentProblem, UnavailableError
from ssds.core.records import dataclass

DEBIAN_PACKAGES = {
    "apt-cache": "apt",
    "apt-config": "apt",
    "apt-get": "apt",
    "apptainer": "apptainer",
    "buildah": "buildah",
    "docker": "docker.io",
    "diffoscope": "diffoscope-minimal",
    "docker-registry": "docker-registry",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "git": "git",
    "gpgv": "gpgv",
    "htpasswd": "apache2-utils",
    "lmod": "lmod",
    "mmdebstrap": "mmdebstrap",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "openssl": "openssl",
    "podman": "podman",
    "qemu-aarch64-static": "qemu-user-static",
    "runc": "runc",
    "shellcheck": "shellcheck",
    "skopeo": "skopeo",
    "tar": "tar",
    "umoci": "umoci",
    "unsquashfs": "squashfs-tools",
    "unshare": "util-linux",
    "unzstd": "zstd",
    "zstd": "zstd",
}
"""Program → the Debian package that has it."""

_CHUNK = 65536
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended.

    Attributes:
        returncode: its exit code; negative: the number of the signal that ended it.
        stdout: what it wrote to standard output and standard error, in order of arrival; empty
            with ``capture=False``.
        timed_out: it was killed, with its whole process group, at the time limit.
        stopped: it was killed so because ``stop`` said True.
        duration_ms: how long it ran.
    """

    returncode: int
    stdout: bytes
    timed_out: bool = False
    stopped: bool = False
    duration_ms: int = 0

    @property
    def text(self) -> str:
        """``stdout`` as text; bytes that are no UTF-8 are shown as the replacement character."""
        return self.stdout.decode("utf-8", "replace")


def missing_program(name: str) -> UnavailableError:
    """Returns the error for a program that is not installed."""
    base = os.path.basename(name)
    package = DEBIAN_PACKAGES.get(base)
    hint = f"Install it: apt-get install {package}" if package else "Install it, or check PATH."
    return UnavailableError(f"the program {base!r} is not installed", hint=hint)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | None = None,
    timeout_s: float | None = None,
    log: Callable[[bytes], None] | None = None,
    capture: bool = True,
    merge_errors: bool = True,
    output: IO[bytes] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Completed:
    """Runs a program to its end and returns its exit code and output.

    Standard input is ``stdin`` or empty. Output is given to ``log`` as it comes, and kept with
    ``capture``. With ``merge_errors=False`` standard error goes to ``log`` only, so that
    ``stdout`` can be parsed. With ``output``, a file, standard output is written there and nowhere
    else, and ``log`` gets standard error. A non-zero exit is no error here. ``stop`` is asked about
    five times a second; True ends the program.

    Raises:
        UnavailableError: the program does not exist; names the Debian package that has it.
        EnvironmentProblem: it exists and cannot be started.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_errors and not output else subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and not os.path.isdir(cwd):
            raise EnvironmentProblem(f"the folder {cwd} does not exist") from error
        raise missing_program(argv[0]) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot start {argv[0]!r}: {error.strerror}",
            hint="Check that it may be executed here and that memory is not exhausted.",
        ) from error
    kept = bytearray()
    began = time.monotonic()
    try:
        killed = _pump(process, stdin or b"", timeout_s, log, kept if capture else None, stop)
    except BaseException:
        kill_group(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    return Completed(
        returncode=process.wait(),
        stdout=bytes(kept),
        timed_out=killed == "timed out",
        stopped=killed == "stopped",
        duration_ms=int((time.monotonic() - began) * 1000),
    )


def _pump(
    process: subprocess.Popen[bytes],
    stdin: bytes,
    timeout_s: float | None,
    log: Callable[[bytes], None] | None,
    kept: bytearray | None,
    stop: Callable[[], bool] | None,
) -> str:
    """Moves bytes until the program ended; returns what killed it (``timed out``, ``stopped``)."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    most_s = 1.0 if stop is None else 0.2
    left = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            wait_s = most_s
            if deadline is not None:
                wait_s = min(wait_s, max(0.0, deadline - time.monotonic()))
            for key, _ in selector.select(wait_s):
                if key.fileobj is process.stdin:
                    left = _feed(process, left, selector)
                    continue
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                if log is not None:
                    log(data)
                if kept is not None and key.fileobj is process.stdout:
                    kept += data
            if deadline is not None and time.monotonic() >= deadline:
                timed_out = process.poll() is None
                kill_group(process)
                return "timed out" if timed_out else ""
            if stop is not None and stop() and process.poll() is None:
                kill_group(process)
                return "stopped"
            if process.poll() is not None and wait_s >= most_s and not selector.select(0.05):
                break  # a background child holds the pipe open; the program itself has ended
    return "timed out" if _await(process, deadline) else ""


def _await(process: subprocess.Popen[bytes], deadline: float | None) -> bool:
    """Waits for a program that closed its output; returns whether the time limit ended it."""
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        kill_group(process)
        return True
    return False


def _feed(
    process: subprocess.Popen[bytes], left: memoryview, selector: selectors.BaseSelector
) -> memoryview:
    assert process.stdin is not None
    try:
        left = left[os.write(process.stdin.fileno(), left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        left = left[:0]
    if not left:
        selector.unregister(process.stdin)
        process.stdin.close()
    return left


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that was started with a session of its own, and all its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
