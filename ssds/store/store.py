"""The store: blobs by digest, claims by action key, leases, roots (design section 3; C2 to C4).

On disk it is an OCI image layout with a few more files, so that any OCI tool reads it::

    oci-layout  index.json  blobs/sha256/…   the layout
    claims.sqlite                            claims and pre-images
    trees/                                   unpacked layers, a cache
    scratch/                                 folders of what runs now
    roots/workspaces/…                       who uses this store
    locks/                                   leases, and the lock between apply and gc
    ssds-store.json                          the form of all this
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, InvalidValue, SsdsError
from ssds.core.records import dataclass
from ssds.host.files import TEMPORARY_PREFIX, atomic_write, explained, locked, sweep
from ssds.oci.document import load_document
from ssds.oci.layout import Layout
from ssds.store.claims import Claims

STORE_VERSION = 1
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "gpfs", "beegfs", "afs", "cvmfs2"}
)
_MARK = "ssds-store.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that ``verify`` found.

    Attributes:
        kind: ``damaged-blob unreadable-blob stray-file missing-blob damaged-claims damaged-index``.
        what: the digest, the path or the key.
        detail: what is wrong; hint: what to do.
    """

    kind: str
    what: str
    detail: str
    hint: str = ""


class Store:
    """A store on disk; several processes and threads may use it at once."""

    def __init__(self, path: str) -> None:
        """Opens the store at ``path``; makes it where there is none.

        Raises:
            EnvironmentProblem: T002 no working locks, T003 a newer form, T004 no use of the disk.
            IntegrityError: the folder holds something else.
        """
        self.path = os.path.abspath(path)
        check_file_system(self.path)
        self.layout = Layout(self.path)
        self.blobs = self.layout.blobs
        self.blobs.name = "the store"
        self.trees_folder = os.path.join(self.path, "trees")
        self.scratch = os.path.join(self.path, "scratch")
        self._locks = os.path.join(self.path, "locks")
        self._roots = os.path.join(self.path, "roots", "workspaces")
        os.makedirs(self._locks, exist_ok=True)
        os.makedirs(self.trees_folder, exist_ok=True)
        os.makedirs(self.scratch, exist_ok=True)
        self._check_locks()
        self._check_version()
        self.claims = Claims(os.path.join(self.path, "claims.sqlite"), self.blobs.has)
        self.claims.prepare()

    @classmethod
    def open(cls, path: str) -> Store:
        """Opens or makes the store at ``path``; see ``Store``."""
        return cls(path)

    def close(self) -> None:
        """Closes the claims' connections."""
        self.claims.close()

    @contextlib.contextmanager
    def lease(self, key: Digest, *, wait: bool = True) -> Iterator[bool]:
        """Holds the right to run ``key`` for the block, against all threads and processes (C20).

        Hold ``shared`` around it, or garbage collection may forget the lease. Gives True when it
        is held; with ``wait=False`` gives False where another holds it.
        """
        folder = os.path.join(self._locks, key.hex[:2])
        with locked(os.path.join(folder, key.hex), wait=wait) as held:
            yield held

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Holds the store against garbage collection; ``apply`` holds it from start to end."""
        with locked(os.path.join(self._locks, "store"), shared=True):
            yield

    @contextlib.contextmanager
    def exclusive(self, wait: bool = True) -> Iterator[bool]:
        """Holds the store alone, as garbage collection must; False where others work in it."""
        with locked(os.path.join(self._locks, "store"), wait=wait) as held:
            yield held

    def new_folder(self) -> str:
        """Makes and returns an empty folder on the store's file system, for one run."""
        path = os.path.join(self.scratch, f"{os.getpid()}-{os.urandom(8).hex()}")
        with explained(path):
            os.makedirs(path)
        return path

    def sweep(self, *, older_than_s: float = 0.0) -> int:
        """Removes leftovers of killed writers; returns how many.

        It needs no writer at work: hold ``exclusive``, or give an age that no writer reaches.
        """
        now = time.time()
        folders = [self.path, self.blobs.folder, self._roots]
        return sum(sweep(f, older_than_s=older_than_s, now_s=now) for f in folders)

    def tidy(self, remove: Callable[[str], None]) -> int:
        """Removes what killed processes left, unless another one is at work; returns how many.

        Args:
            remove: removes a folder, also one that holds files of subordinate ids.
        """
        with self.exclusive(wait=False) as alone:
            if not alone:
                return 0
            count = self.sweep()
            with os.scandir(self.scratch) as entries:
                left = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for path, folder in left:
                if folder:
                    remove(path)
                else:
                    os.unlink(path)
            return count + len(left)

    def forget_leases(self) -> None:
        """Removes the files of past leases; only while ``exclusive`` is held."""
        for folder in os.scandir(self._locks):
            if folder.is_dir(follow_symlinks=False):
                for entry in os.scandir(folder.path):
                    os.unlink(entry.path)

    def register_workspace(self, path: str, roots: Mapping[Digest, str] | None = None) -> None:
        """Notes a workspace whose locks are roots, with the digests that they name now (C21).

        Args:
            roots: digest → reason; kept so that a workspace on a disk that is away still counts.
                None keeps what was registered before.
        """
        absolute = os.path.realpath(path)
        name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:32] + ".json"
        if roots is None:
            roots = self._registrations().get(absolute, {})
        known = {str(digest): reason for digest, reason in roots.items()}
        data = canonical_bytes({"path": absolute, "roots": known})
        target = os.path.join(self._roots, name)
        if roots is None and os.path.exists(target):
            return
        with contextlib.suppress(FileNotFoundError), open(target, "rb") as file:
            if file.read() == data:
                return
        atomic_write(target, data, point="workspace")

    def forget_workspace(self, path: str) -> bool:
        """Removes a workspace's registration; False where there was none."""
        absolute = os.path.realpath(path)
        name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:32] + ".json"
        try:
            os.unlink(os.path.join(self._roots, name))
        except FileNotFoundError:
            return False
        return True

    def workspaces(self) -> tuple[str, ...]:
        """Returns the registered workspaces' folders, sorted; some may be away."""
        return tuple(sorted(self._registrations()))

    def registered_roots(self) -> dict[Digest, str]:
        """Returns what all workspaces registered: digest → reason with the workspace."""
        found: dict[Digest, str] = {}
        for path, roots in sorted(self._registrations().items()):
            for digest, reason in roots.items():
                found.setdefault(digest, f"{reason} ({path})")
        return found

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
        """Reads everything again and returns what is wrong; empty when all is well.

        Args:
            progress: called with (bytes read, bytes in all) after each blob.
        """
        problems = self._verify_blobs(progress)
        problems += [
            Problem(
                kind="stray-file",
                what=os.path.join(self.blobs.folder, name),
                detail="is no blob",
                hint="ssds did not write it; move it away.",
            )
            for name in self.blobs.strays()
        ]
        problems += self._verify_claims()
        try:
            tags = self.layout.tags()
        except SsdsError as error:
            return [
                *problems,
                Problem(kind="damaged-index", what="index.json", detail=error.message),
            ]
        problems += [
            Problem(
                kind="missing-blob",
                what=str(entry.digest),
                detail=f"index.json names it {name!r}",
                hint="Remove the name or fetch the blob.",
            )
            for name, entry in tags.items()
            if not self.blobs.has(entry.digest)
        ]
        return problems

    def _verify_blobs(self, progress: Callable[[int, int], None] | None) -> list[Problem]:
        problems = []
        sizes = {digest: self.blobs.size(digest) for digest in self.blobs.all()}
        total, done = sum(sizes.values()), 0
        for digest, size in sizes.items():
            hint = f"Remove {os.path.join(self.blobs.folder, digest.hex)}; the next apply that "
            hint += "needs it fetches or makes it again."
            try:
                for _ in self.blobs.chunks(digest):
                    pass
            except SsdsError as error:
                damaged = isinstance(error, IntegrityError)
                kind = "damaged-blob" if damaged else "unreadable-blob"
                problems.append(
                    Problem(kind=kind, what=str(digest), detail=error.message, hint=hint)
                )
            except OSError as error:
                detail = f"it cannot be read: {os.strerror(error.errno or 0)}"
                problems.append(
                    Problem(kind="unreadable-blob", what=str(digest), detail=detail, hint=hint)
                )
            done += size
            if progress:
                progress(done, total)
        return problems

    def _verify_claims(self) -> list[Problem]:
        try:
            broken = self.claims.check()
            collected = self.claims.collected()
            claims = list(self.claims.all())
        except SsdsError as error:
            return [
                Problem(
                    kind="damaged-claims",
                    what=self.claims.path,
                    detail=error.message,
                    hint=error.hint,
                )
            ]
        problems = [
            Problem(kind="damaged-claims", what=self.claims.path, detail=text) for text in broken
        ]
        for claim in claims:
            problems += [
                Problem(
                    kind="missing-blob",
                    what=str(digest),
                    detail=f"the claim of {claim.kind} {claim.key} names it as {name!r}",
                    hint="Run `ssds apply --fetch` to get or make it again.",
                )
                for name, digest in claim.outputs.items()
                if digest not in collected and not self.blobs.has(digest)
            ]
        return problems

    def _registrations(self) -> dict[str, dict[Digest, str]]:
        found: dict[str, dict[Digest, str]] = {}
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self._roots)):
                if name.startswith(TEMPORARY_PREFIX):
                    continue
                path = os.path.join(self._roots, name)
                with open(path, "rb") as file:
                    document = load_document(file.read(), path, limit_bytes=64 * 1024 * 1024)
                roots = document.text_map("roots", limit=10_000_000)
                try:
                    found[document.text("path")] = {Digest(d): r for d, r in roots.items()}
                except InvalidValue as error:
                    document.child("roots").fail(error.message)
        return found

    def _check_locks(self) -> None:
        """Proves that a lock held by one opener keeps out another (C4)."""
        probe = os.path.join(self._locks, "probe")
        with locked(probe, shared=True), locked(probe, wait=False) as held:
            if held:
                raise EnvironmentProblem(
                    f"the file system of {self.path} has no working locks",
                    hint="Put the store on a local disk: store.path in ssds.yaml.",
                    code="T002",
                )

    def _check_version(self) -> None:
        mark = os.path.join(self.path, _MARK)
        if not os.path.exists(mark):
            atomic_write(mark, canonical_bytes({"store_version": STORE_VERSION}), point="store")
            return
        with open(mark, "rb") as file:
            document = load_document(file.read(4096), mark, limit_bytes=4095)
        version = document.integer("store_version", low=1, high=1_000_000)
        if version > STORE_VERSION:
            raise EnvironmentProblem(
                f"the store {self.path} was written by a newer ssds (form {version})",
                hint="Use that version of ssds, or another store.path.",
                code="T003",
            )


def check_file_system(path: str) -> None:
    """Refuses network file systems: SQLite's shared memory does not work across machines (C4).

    Raises:
        EnvironmentProblem: T002, with the file system's name.
    """
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise EnvironmentProblem(
            f"{path} is on a network file system ({kind}), whose locks do not serve a store",
            hint="Put the store on a local disk: store.path in ssds.yaml.",
            code="T002",
        )


def file_system(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """Returns the type of the file system that ``path`` is or will be on; empty if unknown."""
    target = os.path.realpath(path)
    best, kind = "", ""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                left, _, right = line.partition(" - ")
                point = left.split(" ")[4].encode().decode("unicode_escape")
                inside = target == point or target.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, right.split(" ")[0]
    except (OSError, IndexError):
        return ""
    return kind
