"""What is published: the workspace's files as targets, a site's own file, and their freshness."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ssds.core.errors import IntegrityError, Refused, UsageError
from ssds.core.records import dataclass
from ssds.host.files import locked
from ssds.trust.files import read_limited
from ssds.trust.keys import Signer
from ssds.tuf import repository as disk
from ssds.tuf.roles import TARGETS_DAYS
from ssds.tuf.standing import ending, lacking, standing, standing_site, standing_version

if TYPE_CHECKING:
    from tuf.api.metadata import (
        DelegatedRole,
        Metadata,
        MetaFile,
        Root,
        Snapshot,
        TargetFile,
        Targets,
    )

SNAPSHOT_DAYS = 30
TIMESTAMP_DAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publication wrote.

    Attributes:
        written: the metadata files, in order; none where nothing changed and nothing was renewed.
        files: how many target files the changed role names.
        fresh_until: the end of the timestamp, or None where none was made.
        notes: what was left as it was, and why.
    """

    written: tuple[str, ...]
    files: int = 0
    fresh_until: datetime | None = None
    notes: tuple[str, ...] = ()


def publish(
    folder: str,
    files: Mapping[str, bytes] | None,
    signers: Sequence[Signer],
    now: datetime,
    *,
    site: str = "",
    days: int = TIMESTAMP_DAYS,
    programs: Collection[str] = (),
) -> Published:
    """Publishes files with the keys at hand; each key signs as what the root lets it.

    Args:
        files: target path → bytes, all that the role says from now on; None renews only.
        site: the files are a site's, not the catalog's.
        days: how long the timestamp holds: as long a frozen mirror stays unseen.
        programs: those of the files that are executable.

    Raises:
        SsdsError: X050 to X053, X059 a key is lacking, X061 the site has no role or another's path,
            X079 and X081 of ``standing``.
    """
    with locked(os.path.join(folder, ".lock")):
        roots = disk.read_roots(folder)
        root = roots[-1]
        named = _named(files or {}, programs)
        renewed = files is not None and not site and bool(disk.fitting(root, "targets", signers))
        targets, notes = _base(folder, roots, again=renewed)
        written: list[str] = []
        if files is not None and site:
            written += _site(folder, roots, targets, site, named, files, signers, now)
        elif files is not None:
            named = disk.of_no_site(named, _site_roles(targets))
            if renewed or _differ(targets, named):
                written += _targets(folder, root, targets, "targets", named, files, signers, now)
        if not disk.fitting(root, "timestamp", signers):
            if not (written or renewed or site):
                ids = ", ".join(disk.key_ids(root.signed, "timestamp"))
                raise Refused(
                    "no key here may sign anything of this repository",
                    hint=f"Pass --key with a key that the roles name; timestamp: {ids}.",
                    code="X059",
                )
            return Published(written=tuple(written), files=len(named), notes=notes)
        done, more, until = _fresh(folder, roots, signers, now, days)
        notes = (*notes, *more)
        return Published(
            written=(*written, *done), files=len(named), fresh_until=until, notes=notes
        )


def _base(
    folder: str, roots: Sequence[Metadata[Root]], *, again: bool
) -> tuple[Metadata[Targets] | None, tuple[str, ...]]:
    """Returns the targets that are published.

    Args:
        again: they are signed anew now. Those of a key that counts no more are no base for it:
            whoever had that key may have changed them.
    """
    from tuf.api.metadata import Targets

    number = disk.newest(folder, "targets")
    if not number:
        return None, ()
    found = standing(folder, f"{number}.targets.json", "targets", Targets, roots[::-1])
    if found is None and not again:
        return disk.read_targets(folder, roots[-1]), ()  # says why not
    if found is not None:
        return found, ()
    return None, (
        "the targets before are by a key that counts no more: give the sites their roles",
    )


def _site_roles(targets: Metadata[Targets] | None) -> dict[str, DelegatedRole]:
    return disk.site_roles(targets.signed if targets else None)


def _site(
    folder: str,
    roots: Sequence[Metadata[Root]],
    targets: Metadata[Targets] | None,
    site: str,
    named: Mapping[str, TargetFile],
    files: Mapping[str, bytes],
    signers: Sequence[Signer],
    now: datetime,
) -> list[str]:
    name = f"{disk.SITE}{site}"
    role = _site_roles(targets).get(name)
    if targets is None or role is None:
        raise UsageError(
            f"the site {site} has no role here",
            hint="The keeper of the targets key gives it one: `ssds tuf delegate`.",
            code="X061",
        )
    strange = [path for path in files if not role.is_delegated_path(path)]
    if strange:
        raise UsageError(
            f"{strange[0]} is not the site {site}'s to publish",
            hint=f"Its role has {', '.join(role.paths or ())}.",
            code="X061",
        )
    old = standing_site(folder, name, targets, roots)
    return _targets(folder, targets, old, name, named, files, signers, now)


def _differ(old: Metadata[Targets] | None, named: Mapping[str, TargetFile]) -> bool:
    return old is None or dict(named) != old.signed.targets


def _named(files: Mapping[str, bytes], programs: Collection[str]) -> dict[str, TargetFile]:
    from tuf.api.metadata import TargetFile

    named = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}
    for path in programs:
        if path in named:
            named[path].unrecognized_fields["custom"] = {"executable": True}
    return named


def _targets(
    folder: str,
    judge: Metadata[Root] | Metadata[Targets],
    old: Metadata[Targets] | None,
    role: str,
    named: Mapping[str, TargetFile],
    files: Mapping[str, bytes],
    signers: Sequence[Signer],
    now: datetime,
) -> list[str]:
    """Writes the files, and the next version of a role unless it says the same already."""
    from tuf.api.metadata import Metadata, Targets

    soon = now + timedelta(days=TARGETS_DAYS // 2)
    same = old is not None and not _differ(old, named) and old.signed.expires > soon
    delegations = old.signed.delegations if old is not None and role == "targets" else None
    made = Metadata(
        Targets(
            version=disk.newest(folder, role) + 1,
            expires=disk.end_of(now, TARGETS_DAYS),
            targets=dict(named),
            delegations=delegations,
        )
    )
    if not same:
        disk.sign_as(judge, role, made, signers)
    for path, target in named.items():  # also where they were damaged
        disk.write_target(folder, path, target.hashes["sha256"], files[path])
    if same:
        return []
    name = f"{made.signed.version}.{role}.json"
    disk.write_metadata(folder, name, made)
    return [name]


def _fresh(
    folder: str,
    roots: Sequence[Metadata[Root]],
    signers: Sequence[Signer],
    now: datetime,
    days: int,
) -> tuple[list[str], tuple[str, ...], datetime]:
    """Writes a timestamp, and before it a snapshot where roles changed or it ends soon."""
    from tuf.api.metadata import Metadata, Snapshot, Timestamp

    root = roots[-1]
    number = disk.newest(folder, "snapshot")
    old = None
    if number:
        old = standing(folder, f"{number}.snapshot.json", "snapshot", Snapshot, roots[::-1])
    before = standing_version(folder, roots, number)
    meta, notes = _meta(folder, root, old, now)
    written = []
    soon = now + timedelta(days=SNAPSHOT_DAYS // 2)
    if old is None or old.signed.meta != meta or old.signed.expires < soon:
        end = disk.end_of(now, SNAPSHOT_DAYS)
        old = Metadata(Snapshot(version=number + 1, expires=end, meta=meta))
        disk.sign_as(root, "snapshot", old, signers)
        written.append(f"{number + 1}.snapshot.json")
        disk.write_metadata(folder, written[0], old)
    until = disk.end_of(now, days)
    stamp = Metadata(
        Timestamp(
            version=before + 1,
            expires=until,
            snapshot_meta=_meta_file(folder, "snapshot", old.signed.version),
        )
    )
    disk.sign_as(root, "timestamp", stamp, signers)
    disk.write_metadata(folder, disk.TIMESTAMP, stamp)  # last: what it names is there
    return [*written, disk.TIMESTAMP], notes, until


def _meta(
    folder: str, root: Metadata[Root], old: Metadata[Snapshot] | None, now: datetime
) -> tuple[dict[str, MetaFile], tuple[str, ...]]:
    """Returns role file → version; a role that was once there stays (section 5.5.5)."""
    from tuf.api.metadata import Targets

    before = old.signed.meta if old else {}
    if "targets.json" in before:
        said = before["targets.json"].version
        lacking(folder, "targets", said, disk.newest(folder, "targets"))
    targets = disk.read_targets(folder, root)
    if targets is None:
        raise Refused(
            "there is nothing to be fresh: no targets were published",
            hint="Publish first with the key of the role targets.",
            code="X062",
        )
    meta = dict(before)
    meta["targets.json"] = _meta_file(folder, "targets", targets.signed.version)
    notes = []
    sites = []
    for name in _site_roles(targets):
        number = disk.newest(folder, name)
        if not number:
            continue
        try:
            if f"{name}.json" in before:
                lacking(folder, name, before[f"{name}.json"].version, number)
            found = disk.read_metadata(folder, f"{number}.{name}.json", Targets)
            disk.check(targets, name, found, f"{number}.{name}.json")
        except IntegrityError as error:
            notes.append(f"{name} stays as it was: {error.message}")
            continue
        meta[f"{name}.json"] = _meta_file(folder, name, number)
        sites.append((name, found))
    return meta, (*notes, *ending(root, targets, sites, now))


def _meta_file(folder: str, role: str, version: int) -> MetaFile:
    from tuf.api.metadata import MetaFile

    place = os.path.join(folder, f"{version}.{role}.json")
    data = read_limited(place, disk.METADATA_LIMIT_BYTES)
    return MetaFile.from_data(version, data, ["sha256"])
