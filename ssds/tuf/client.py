"""What a site runs: the newest state that the repository's keys vouch for, or why there is none.

The rules of the client (TUF 1.0.33, section 5) are python-tuf's ``ngclient``. Ours are the words,
the transport and the folder: ``trees/N`` is one state, whole, and ``current`` the link to it, which
is switched when all of a state is there. What was once seen is remembered in ``.tuf``: nothing
older is taken from then on. What ssds itself keeps for the workspace is in ``.ssds`` beside the
trees, and each tree links to it: it outlives them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ssds.core.errors import EnvironmentProblem, IntegrityError, Refused, UsageError
from ssds.core.records import dataclass, field
from ssds.host.fetch import Fetcher
from ssds.host.files import atomic_symlink, locked
from ssds.host.folders import discard_folder, staged_folder, sweep_folders, sync_file_system
from ssds.tuf import repository as disk
from ssds.tuf.gather import FILE_LIMIT_BYTES
from ssds.tuf.memory import ROOTS, check_memory, remembers
from ssds.tuf.paths import check_path, check_together
from ssds.tuf.refusal import explained

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile
    from tuf.ngclient import Updater

MEMORY = ".tuf"
TREES = "trees"
CURRENT = "current"
STATE = ".ssds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh found.

    Attributes:
        version: of the role targets; files: how many; changed: what is new, other or gone.
        fresh_until: when the timestamp ends: without a newer one by then, the mirror is frozen.
        unpublished: the sites that have a role and published nothing yet.
        left_out: the sites whose file does not count now: it ended, or their key was changed.
    """

    version: int
    files: int
    changed: tuple[str, ...]
    fresh_until: datetime
    unpublished: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def refresh(
    place: str, folder: str, fetcher: Fetcher, *, root: bytes | None = None, site: str = ""
) -> Refreshed:
    """Brings the folder to the newest state of a repository; on an error it stays as it is.

    Args:
        place: address or absolute path of the repository.
        root: the root that is trusted, at the first time; later the remembered one counts.
        site: only this site's own files, not the other sites'.

    Raises:
        SsdsError: X063 no root, X064 another root, X065 no such site, X067 another site's file,
            X068 a damaged memory, X080 a file that is too large; X07x of ``explained``.
    """
    memory = os.path.join(folder, MEMORY)
    if not remembers(memory):
        if root is None:
            raise UsageError(
                f"{folder} trusts no root yet",
                hint="Pass --root FILE: the repository's 1.root.json, which came another way.",
                code="X063",
            )
    elif root is not None:
        _check_same(memory, root)
        root = None
    try:
        os.makedirs(os.path.join(folder, TREES), exist_ok=True)
        os.makedirs(os.path.join(folder, STATE), exist_ok=True)
        os.makedirs(memory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"{folder} cannot be made: {error.strerror}",
            hint="Name a folder that you may write to with --to.",
            code="X066",
        ) from error
    with locked(os.path.join(memory, "lock")), explained(place, memory):
        check_memory(memory)
        updater = _updater(place, memory, fetcher, root)
        try:
            updater.refresh()
            found = _wanted(updater, memory, site)
        finally:
            sync_file_system(memory)  # it is never behind what ``current`` shows
        changed = _bring(updater, folder, found.files)
    version, until = _state(memory)
    return Refreshed(
        version=version,
        files=len(found.files),
        changed=tuple(changed),
        fresh_until=until,
        unpublished=tuple(found.unpublished),
        left_out=tuple(found.left_out),
    )


def _check_same(memory: str, root: bytes) -> None:
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    try:
        given: Metadata[Root] = Metadata.from_bytes(root)
        place = os.path.join(memory, ROOTS, f"{given.signed.version}.root.json")
        with open(place, "rb") as file:
            same = file.read(len(root) + 1) == root
    except (OSError, RepositoryError, ValueError):
        same = False
    if not same:
        raise Refused(
            "another root is trusted here already",
            hint=f"Leave --root out; or, to begin anew with other keys, remove {memory}.",
            code="X064",
        )


def _updater(place: str, memory: str, fetcher: Fetcher, root: bytes | None) -> Updater:
    from tuf.ngclient import Updater, UpdaterConfig

    from ssds.tuf.transport import transport

    config = UpdaterConfig(
        snapshot_max_length=disk.METADATA_LIMIT_BYTES, targets_max_length=disk.METADATA_LIMIT_BYTES
    )
    base = place.rstrip("/")
    return Updater(
        memory,
        base,
        target_base_url=f"{base}/{disk.TARGETS_FOLDER}",
        fetcher=transport(fetcher, memory),
        config=config,
        bootstrap=root,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Path → target of the catalog and of the sites, and the sites without any."""

    files: dict[str, TargetFile]
    unpublished: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def _wanted(updater: Updater, memory: str, site: str) -> _Wanted:
    from tuf.api.exceptions import ExpiredMetadataError, UnsignedMetadataError
    from tuf.api.metadata import Snapshot, Targets

    targets = disk.read_metadata(memory, "targets.json", Targets).signed
    published = disk.read_metadata(memory, "snapshot.json", Snapshot).signed.meta
    found = _Wanted(files=dict(targets.targets))
    roles = disk.site_roles(targets)
    if site and f"{disk.SITE}{site}" not in roles:
        raise UsageError(
            f"the repository has no site {site[:80]}",
            hint="It has: " + (", ".join(n.removeprefix(disk.SITE) for n in roles) or "none") + ".",
            code="X065",
        )
    for name, role in roles.items():
        short = name.removeprefix(disk.SITE)
        if site and short != site:
            continue
        if f"{name}.json" not in published:
            found.unpublished.append(short)
            continue
        try:
            for pattern in role.paths or ():
                updater.get_targetinfo(pattern)  # loads and checks the role
        except (ExpiredMetadataError, UnsignedMetadataError):
            if site:
                raise
            found.left_out.append(short)  # one absent site does not stop the others
            continue
        own = disk.read_metadata(memory, f"{name}.json", Targets).signed
        for path in own.targets:
            if not role.is_delegated_path(check_path(path)):
                raise IntegrityError(
                    f"the site {short} signed {path}, which is not its own",
                    hint="Nothing was taken. Ask the site's keeper and the catalog's.",
                    code="X067",
                )
            target = updater.get_targetinfo(path)  # an earlier role goes first
            if target is not None:
                found.files[path] = target
    check_together(found.files)
    for path, target in found.files.items():
        if target.length > FILE_LIMIT_BYTES:
            raise IntegrityError(
                f"{path} is said to have {target.length} bytes, more than {FILE_LIMIT_BYTES}",
                hint="Nothing was taken. Ask who published it.",
                code="X080",
            )
    return found


def _state(memory: str) -> tuple[int, datetime]:
    from tuf.api.metadata import Targets, Timestamp

    targets = disk.read_metadata(memory, "targets.json", Targets).signed
    return targets.version, disk.read_metadata(memory, "timestamp.json", Timestamp).signed.expires


# -- the folder ------------------------------------------------------------------------------------


def _bring(updater: Updater, folder: str, wanted: Mapping[str, TargetFile]) -> list[str]:
    """Makes the next tree, if the current one is not exactly what is wanted."""
    trees = os.path.join(folder, TREES)
    sweep_folders(trees)
    before = _current(folder)
    old = os.path.join(trees, str(before)) if before else ""
    there = set(_files(old)) if old else set()
    same = {
        path
        for path in wanted
        if path in there and _is(updater, wanted[path], os.path.join(old, path))
    }
    changed = sorted({*wanted, *there} - same)
    if before and not changed:
        return []
    numbers = [int(name) for name in os.listdir(trees) if name.isdecimal()]
    number = max(numbers, default=0) + 1
    with staged_folder(os.path.join(trees, str(number)), point="tuf.tree") as staging:
        os.symlink(f"../../{STATE}", os.path.join(staging, STATE))
        for path, target in wanted.items():
            place = os.path.join(staging, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if path in same:
                os.link(os.path.join(old, path), place)
            else:
                updater.download_target(target, place)
                os.chmod(place, 0o755 if disk.is_executable(target) else 0o644)
    atomic_symlink(f"{TREES}/{number}", os.path.join(folder, CURRENT), point="tuf.current")
    for gone in {*numbers} - {number, before}:  # the one before stays for readers at work
        discard_folder(os.path.join(trees, str(gone)))
    return changed


def _is(updater: Updater, target: TargetFile, place: str) -> bool:
    if updater.find_cached_target(target, place) is None:
        return False
    return bool(os.stat(place).st_mode & 0o100) == disk.is_executable(target)


def _current(folder: str) -> int:
    try:
        name = os.path.basename(os.readlink(os.path.join(folder, CURRENT)))
    except OSError:
        return 0
    known = name.isdecimal() and os.path.isdir(os.path.join(folder, TREES, name))
    return int(name) if known else 0


def _files(tree: str) -> list[str]:
    """Returns what is in a tree; hidden folders are others' state, such as ``.ssds``."""
    found = []
    for folder, folders, names in os.walk(tree):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.path.relpath(os.path.join(folder, name), tree) for name in names if name != STATE
        ]
    return found
