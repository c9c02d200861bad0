"""A tree in a CVMFS repository, written through ``cvmfs_server``: one transaction per change.

Nobody sees anything before ``publish`` signs a new manifest, and everything afterwards; so the one
question after a failure is whether the repository's revision has risen. The journal stands outside
of the repository: ``writing`` means that the open transaction is thrown away by the next run,
``publishing`` that it is whole and published again. It notes the lock of the transaction, so that
no run ends or publishes what others opened meanwhile.

What the command does when it fails was seen on a real server, version 2.11.5; the how-to "Deploy to
CVMFS" has the table.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence

from ssds.core.canonical import pretty_bytes
from ssds.core.errors import EnvironmentProblem, SsdsError
from ssds.host.files import atomic_write, locked, remove_file, write_point
from ssds.host.folders import readable_for_all, sweep_folders
from ssds.host.process import Completed, run
from ssds.host.processes import processes_with
from ssds.ship.targets.cvmfs_settings import CvmfsSettings
from ssds.ship.targets.plain import PlainDraft

BUSY_CODES = (17,)
PAUSE_S = 2.0
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
BUSY = (
    "another transaction is already open",
    "currently publishing",
    "Another publish process is active",
    "is_publishing.lock",
)
_BROKEN = ("cannot be repaired", "is not mounted read/write", "Transport endpoint is not connected")
_READERS = ("read-only file descriptors", "Are you sure", "[y/N]")
_KEPT = (
    ("code: 28", "its storage is full", "Make room; the next run publishes what is there."),
    ("No space left", "its storage is full", "Make room; the next run publishes what is there."),
    ("whitelist", "its whitelist has expired", "Run `cvmfs_server resign`, then deploy again."),
    ("unavailable under URL", "its web server does not answer", "Start it, then deploy again."),
    ("Open writable file", "a program writes below it", "End that program, then deploy again."),
    ("Current working directory", "a shell stands in it", "Leave the folder, then deploy again."),
    ("Synchronization failed", "its synchronisation failed", "Look at its log, then deploy again."),
)


class CvmfsRepository:
    """A repository on this machine, the publisher (stratum 0)."""

    prefix = "cvmfs"

    def __init__(
        self, repository: str, settings: CvmfsSettings, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Takes ``NAME`` or ``NAME/folder``."""
        name, _, inner = repository.partition("/")
        parts = [part for part in inner.split("/") if part]
        if not _NAME.fullmatch(name) or any(p.startswith(".") for p in parts):
            raise SsdsError(
                f"{repository!r} is no name of a CVMFS repository",
                hint="It is like software.example.org, or software.example.org/folder.",
                code="D042",
            )
        self.repository = name
        self.name = f"{self.prefix}:{repository}"
        self.inner = "/".join(parts)
        self.folder = os.path.join(settings.mount, name, *parts)
        self.settings = settings
        self.say = say
        self._journal = os.path.join(settings.state, f"{name}.json")

    # -- the plug ----------------------------------------------------------------------------------

    def exists(self, *, shared: bool = False) -> bool:
        """True: what stands there is looked at under the lock, after mounts were repaired."""
        del shared
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the repository against other runs of ssds, and ends what a killed one left."""
        path = os.path.join(self.settings.state, f"{self.repository}.lock")
        with readable_for_all(), locked(path):
            sweep_folders(self.settings.state)
            self.revision()  # says at once where there is no such repository
            self.recover()
            yield

    @contextlib.contextmanager
    def change(self, reason: str) -> Iterator[PlainDraft]:
        """Gives a draft inside one transaction, which is published at the end of the block."""
        try:
            self._open(reason)
        except EnvironmentProblem:
            remove_file(self._journal, point="cvmfs.closed")  # none was opened
            raise
        except BaseException:
            self._abort()
            raise
        lock = self._lock()
        before = self.revision()
        self._note("writing", reason, before, lock)
        try:
            yield PlainDraft(self.folder, scratch=self.settings.state)
            self._note("publishing", reason, before, lock)
        except BaseException:
            self._abort()
            raise
        self._publish()

    def filled_by(self, paths: Sequence[str]) -> float:
        """Returns 0: a transaction may remove all there is."""
        del paths
        return 0.0

    def collect(self) -> None:
        """Frees what no revision refers to, where the repository has garbage collection."""
        done = self._run("gc", "-f", self.repository, timeout_s=self.settings.publish_s)
        if done.returncode and "not enabled" not in done.text:
            self.say(f"{self.name}: garbage collection failed: {_last(done)}")

    # -- recovery ----------------------------------------------------------------------------------

    def recover(self) -> None:
        """Ends the transaction of a run that was killed: publishes it again, or throws it away."""
        noted = self._noted()
        if not noted:
            return
        phase = noted.get("phase")
        if phase != "opening" and self.revision() > self._before():
            self._settle()  # it was public already
        elif not self._ours():
            remove_file(self._journal, point="cvmfs.closed")
        elif phase == "publishing":
            self.say(f"{self.name}: publishes what an earlier run has written whole")
            self._publish()
        else:
            self._abort()

    def _ours(self) -> bool:
        """Whether a transaction is open that the journal's run has opened.

        Raises:
            EnvironmentProblem: D039, one is open and nothing proves whose it is.
        """
        if not self._in_transaction():
            return False
        noted, now = self._noted(), self._lock()
        lock = noted.get("lock")
        if not isinstance(lock, str) or not now or (noted.get("phase") != "opening" and not lock):
            raise EnvironmentProblem(
                f"{self.name}: a transaction is open, and nothing proves that ssds opened it",
                hint="Look at it, then end it by `cvmfs_server abort` or `publish`, and run again.",
                code="D039",
            )
        # While one is opened its lock is not known yet, but that of another's before it is.
        ours = now != lock and self._untouched() if noted["phase"] == "opening" else now == lock
        if not ours:
            self.say(f"{self.name}: the open transaction is another's and stays open")
        return ours

    def _lock(self) -> str:
        """Returns what tells the open transaction from all others; empty where none is seen."""
        path = os.path.join(self.settings.spool, self.repository, "in_transaction.lock")
        try:
            status = os.stat(path)
        except OSError:
            return ""
        return f"{status.st_ino} {status.st_mtime_ns}"

    def _untouched(self) -> bool:
        """Whether nothing was written in the open transaction: ours, killed before it began."""
        try:
            place = os.path.join(self.settings.spool, self.repository, "scratch", "current")
            return not os.listdir(place)
        except OSError:
            return False

    def _settle(self) -> None:
        """Cleans up after a publish that became public but did not end well."""
        if self._ours():
            self._await_sync()
            done = self._run("abort", "-f", self.repository)
            if done.returncode not in (0, 22):
                self.say(f"{self.name}: is public, but its mounts need care: {_last(done)}")
        remove_file(self._journal, point="cvmfs.settled")

    def _abort(self) -> None:
        if self._ours():
            self._await_sync()
            done = self._run("abort", "-f", self.repository)
            if done.returncode not in (0, 22):
                self.say(
                    f"{self.name}: the transaction could not be aborted ({_last(done)}); the next "
                    "run tries again"
                )
                return
        remove_file(self._journal, point="cvmfs.aborted")

    # -- opening and publishing --------------------------------------------------------------------

    def _open(self, reason: str) -> None:
        deadline = time.monotonic() + self.settings.wait_s
        while True:
            self._note("opening", reason, 0, self._lock())
            done = self._run("transaction", self.repository)
            if done.returncode == 0:
                write_point("cvmfs.opened")
                return
            busy = done.returncode in BUSY_CODES or _has(done, BUSY) or _has(done, _BROKEN)
            if not busy:
                raise self._failure("the transaction cannot be opened", done, kept=False)
            if time.monotonic() >= deadline:
                raise EnvironmentProblem(
                    f"{self.name}: another transaction has been open for "
                    f"{self.settings.wait_s:.0f} s",
                    hint="Wait for its publisher, or end it: `cvmfs_server abort "
                    f"{self.repository}`.",
                    code="D029",
                )
            time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))

    def _publish(self) -> None:
        before = self._before()
        options: list[str] = []
        repaired = False
        deadline = time.monotonic() + self.settings.wait_s
        while True:
            write_point("cvmfs.publish")
            if self._lock() != self._noted().get("lock"):
                raise EnvironmentProblem(
                    f"{self.name}: others ended the transaction; nothing was published",
                    hint="Deploy again; while ssds publishes, leave its transaction open.",
                    code="D040",
                )
            done = self._run(
                "publish", *options, self.repository, timeout_s=self.settings.publish_s
            )
            write_point("cvmfs.published")
            if self.revision() > before:
                if done.returncode:
                    what = "did not end" if done.timed_out else f"ended with {done.returncode}"
                    self.say(f"{self.name}: publish {what}, but the new revision is public")
                    self._settle()
                else:
                    remove_file(self._journal, point="cvmfs.done")
                return
            if done.returncode == 0:
                raise self._failure("publish made no new revision", done, kept=True)
            if _has(done, _READERS) and "-f" not in options:
                options.append("-f")  # readers: their mount is left to them
            elif _has(done, BUSY) and time.monotonic() < deadline:
                time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))
            elif (done.timed_out or done.returncode in (-9, 137) or _has(done, _BROKEN)) and (
                not repaired
            ):
                repaired = True
                self._mount()
            else:
                raise self._failure("nothing was published", done, kept=True)

    def _mount(self) -> None:
        """Makes lost mounts anew; what was written in the transaction stays."""
        self._await_sync()
        deadline = time.monotonic() + min(30.0, self.settings.step_s)
        while True:
            done = self._run("mount", self.repository)
            if done.returncode == 0:
                return
            if not _has(done, BUSY) or time.monotonic() >= deadline:
                raise self._failure("its mounts cannot be repaired", done, kept=True)
            time.sleep(0.5)

    def _await_sync(self) -> None:
        """Waits for a synchronisation that outlived its publisher: two must not run at once."""
        deadline = time.monotonic() + self.settings.wait_s
        while any(
            processes_with("cvmfs_swissknife", verb, self.repository) for verb in ("sync", "ingest")
        ):
            if time.monotonic() >= deadline:
                raise EnvironmentProblem(
                    f"{self.name}: a synchronisation of an earlier publish still runs",
                    hint="Wait for it, or end that cvmfs_swissknife process.",
                    code="D044",
                )
            time.sleep(0.2)

    # -- what is known ----------------------------------------------------------------------------

    def revision(self) -> int:
        """Returns the revision that is public, from the signed manifest's ``S`` line.

        Raises:
            EnvironmentProblem: D035, there is no such repository here.
        """
        path = os.path.join(self.settings.storage, self.repository, ".cvmfspublished")
        try:
            with open(path, "rb") as file:
                lines = file.read(1 << 16).partition(b"\n--")[0].split(b"\n")
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.name}: its manifest {path} cannot be read: {error.strerror}",
                hint="Deploy on the publisher of the repository, as its owner.",
                code="D035",
            ) from error
        numbers = [line[1:] for line in lines if line[:1] == b"S"]
        return int(numbers[0]) if numbers and numbers[0].isdigit() else 0

    def _in_transaction(self) -> bool:
        done = self._run("list")
        return any(
            line.split()[:1] == [self.repository] and "in transaction" in line
            for line in done.text.splitlines()
        )

    def _note(self, phase: str, reason: str, before: int, lock: str) -> None:
        data = pretty_bytes({"phase": phase, "reason": reason, "before": before, "lock": lock})
        atomic_write(self._journal, data, point=f"cvmfs.{phase}")

    def _noted(self) -> dict[str, object]:
        try:
            with open(self._journal, "rb") as file:
                found = json.loads(file.read(1 << 16))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            return {"phase": "writing"}
        return found if isinstance(found, dict) else {"phase": "writing"}

    def _before(self) -> int:
        before = self._noted().get("before")
        return before if isinstance(before, int) else self.revision()

    def _run(self, *words: str, timeout_s: float = 0.0) -> Completed:
        environment = {**os.environ, "LC_ALL": "C", "CVMFS_FORCE_REMOUNT_WARNING": "false"}
        argv = [self.settings.command, *words]
        return run(argv, env=environment, cwd="/", timeout_s=timeout_s or self.settings.step_s)

    def _failure(self, what: str, done: Completed, *, kept: bool) -> EnvironmentProblem:
        end = f"{what}: {_last(done)}"
        hint = "`cvmfs_server list` and the server's log say more."
        for text, reason, remedy in _KEPT:
            if text in done.text:
                end, hint = f"{what}, {reason}", remedy
                break
        if kept:
            end += "; the transaction stays open, and readers see the old state"
        return EnvironmentProblem(f"{self.name}: {end}", hint=hint, code="D036")


def _has(done: Completed, texts: tuple[str, ...]) -> bool:
    return any(text in done.text for text in texts)


def _last(done: Completed) -> str:
    """Returns the last line of what a command said, for people."""
    if done.timed_out:
        return "it did not end within its time limit"
    lines = [line.strip() for line in done.text.splitlines() if line.strip()]
    text = lines[-1][:200] if lines else "it said nothing"
    return f"{text} (exit code {done.returncode})"
