"""Who may sign what: the root, which its keepers sign offline, and the delegations to sites."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ssds.core.digest import sha256_of
from ssds.core.errors import Refused, UsageError
from ssds.core.records import dataclass
from ssds.host.files import locked, remove_file
from ssds.trust.keys import PublicKey, Signer
from ssds.tuf import repository as disk

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root

ROOT_DAYS = 365
TARGETS_DAYS = 180
SHOWN_DIGITS = 16
_SITE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ONLINE = ("snapshot", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepers:
    """The keys of the roles of a root; an empty tuple leaves those that are there.

    Attributes:
        threshold: how many of the root's keys sign a root; 0 leaves it.
    """

    root: tuple[PublicKey, ...] = ()
    threshold: int = 0
    targets: tuple[PublicKey, ...] = ()
    online: tuple[PublicKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A root that is being signed.

    Attributes:
        version: its number; digest: the sha256 of what is signed.
        lines: what it says, for those who sign it: ``+`` and ``-`` of keys that came and went.
        keys: role → ids of its keys.
        missing: how many signatures it lacks; 0: it is published.
    """

    version: int
    digest: str
    lines: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]]
    missing: int


def stage_root(folder: str, keepers: Keepers, now: datetime, days: int = ROOT_DAYS) -> Staged:
    """Writes the next root, to be signed by its keepers.

    Raises:
        SsdsError: X054 a role has no key, X055 the threshold cannot be met; X051, X052.
    """
    from tuf.api.metadata import Metadata, Root

    with locked(os.path.join(folder, ".lock")):
        old = disk.read_root(folder) if disk.newest(folder, "root") else None
        root = old.signed if old else Root(consistent_snapshot=True)
        root.version = disk.newest(folder, "root") + 1
        root.expires = disk.end_of(now, days)
        wanted = [("root", keepers.root), ("targets", keepers.targets)]
        for role, keys in [*wanted, *((name, keepers.online) for name in _ONLINE)]:
            if keys:
                for keyid in list(root.roles[role].keyids):
                    root.revoke_key(keyid, role)
                for key in keys:
                    root.add_key(disk.tuf_key(key), role)
            if not root.roles[role].keyids:
                option = "online" if role in _ONLINE else role
                raise UsageError(
                    f"no key is named for the role {role}",
                    hint=f"Pass --{option} KEY.pub.",
                    code="X054",
                )
        keeping = root.roles["root"]
        keeping.threshold = keepers.threshold or keeping.threshold
        if keeping.threshold > len(keeping.keyids):
            raise UsageError(
                f"{keeping.threshold} signatures of {len(keeping.keyids)} root keys cannot be had",
                hint="Name more keys with --root, or a lower --threshold.",
                code="X055",
            )
        staged = Metadata(root)
        disk.write_metadata(folder, disk.STAGED, staged)
        return _staged(folder, staged)


def waiting_root(folder: str) -> Staged:
    """Returns the root that waits for signatures; raises Refused (X056) where there is none."""
    return _staged(folder, _waiting(folder))


def _waiting(folder: str) -> Metadata[Root]:
    from tuf.api.metadata import Root

    if not os.path.isfile(os.path.join(folder, disk.STAGED)):
        raise Refused(
            f"no root waits for signatures in {folder}",
            hint="`ssds tuf roles FOLDER` makes the next one.",
            code="X056",
        )
    staged = disk.read_metadata(folder, disk.STAGED, Root)
    number = disk.newest(folder, "root") + 1
    if staged.signed.version != number:
        raise Refused(
            f"{disk.STAGED} is root {staged.signed.version}, and the next one is {number}",
            hint="It was left over: remove it; `ssds tuf roles FOLDER` makes the next one.",
            code="X056",
        )
    return staged


def sign_root(folder: str, signer: Signer, expected: str) -> Staged:
    """Adds a signature to the staged root; with the last one it becomes the root.

    Args:
        expected: the sha256 of what its keeper has seen, or those digits that were shown.

    Raises:
        Refused: X056 nothing is staged, X057 the key is not one of the root's, X082 another root
            waits than was seen.
    """
    with locked(os.path.join(folder, ".lock")):
        staged = _waiting(folder)
        digest = sha256_of(staged.signed_bytes).hex
        if len(expected) < SHOWN_DIGITS or not digest.startswith(expected):
            raise Refused(
                f"the root that waits is {digest[:SHOWN_DIGITS]}, not {expected!r}",
                hint="Look at it again: somebody changed it, or the digits are another root's.",
                code="X082",
            )
        keyid = disk.tuf_key(signer.public).keyid
        judges = [staged]
        if staged.signed.version > 1:
            judges.insert(0, disk.read_root(folder))
        if not any(keyid in judge.signed.roles["root"].keyids for judge in judges):
            raise Refused(
                f"the key {signer.public.label} ({signer.public.id}) is not one of the root's",
                hint="Sign with a key that `ssds tuf roles … --root` named, now or before.",
                code="X057",
            )
        disk.sign(staged, [signer])
        found = _staged(folder, staged)
        if found.missing:
            disk.write_metadata(folder, disk.STAGED, staged)
        else:
            disk.write_metadata(folder, f"{staged.signed.version}.root.json", staged)
            remove_file(os.path.join(folder, disk.STAGED), point="tuf.staged")
        return found


def _staged(folder: str, staged: Metadata[Root]) -> Staged:
    root, data = staged.signed, staged.signed_bytes
    lacking = [root.get_verification_result("root", data, staged.signatures)]
    before: dict[str, tuple[str, ...]] = {}
    if root.version > 1:
        old = disk.read_root(folder).signed
        lacking.append(old.get_verification_result("root", data, staged.signatures))
        before = _ids(old)
    keys, digest = _ids(root), sha256_of(data).hex
    lines = [f"root {root.version}, until {root.expires:%Y-%m-%d}, sha256 {digest[:SHOWN_DIGITS]}"]
    for name, ids in keys.items():
        many = f", {root.roles[name].threshold} of {len(ids)} sign" if len(ids) > 1 else ""
        known = before.get(name, ids if root.version == 1 else ())
        lines.append(f"  {name}{many}")
        lines += [f"  {' ' if one in known else '+'} {one}" for one in ids]
        lines += [f"  - {one}" for one in known if one not in ids]
    return Staged(
        version=root.version,
        digest=digest,
        lines=tuple(lines),
        keys=keys,
        missing=max(max(0, one.threshold - len(one.signed)) for one in lacking),
    )


def _ids(root: Root) -> dict[str, tuple[str, ...]]:
    """Returns role → ids of its keys, as ``ssds key show --id`` calls them."""
    return {name: disk.key_ids(root, name) for name in sorted(root.roles)}


def delegate(
    folder: str,
    site: str,
    keys: Sequence[PublicKey],
    paths: Sequence[str],
    signers: Sequence[Signer],
    now: datetime,
) -> int:
    """Lets keys sign what a site decides for itself; returns the new version of targets.

    Args:
        keys: any one of them signs; none: the site has no role any more.
        paths: the target paths that are the site's, and nobody else's.

    Raises:
        SsdsError: X058 the site's name, X059 no key may sign; X050 to X052.
    """
    from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets

    if not _SITE_NAME.fullmatch(site):
        raise UsageError(
            f"{site[:80]!r} is no name of a site",
            hint="Names are small letters, digits, and . _ - between them.",
            code="X058",
        )
    with locked(os.path.join(folder, ".lock")):
        root = disk.read_root(folder)
        found = disk.read_targets(folder, root) or Metadata(Targets())
        targets = found.signed
        roles = disk.site_roles(targets)
        known = dict(targets.delegations.keys) if targets.delegations else {}
        roles.pop(f"{disk.SITE}{site}", None)
        if keys:
            made = [disk.tuf_key(key) for key in keys]
            known |= {key.keyid: key for key in made}
            roles[f"{disk.SITE}{site}"] = DelegatedRole(
                name=f"{disk.SITE}{site}",
                keyids=[key.keyid for key in made],
                threshold=1,
                terminating=True,
                paths=list(paths),
            )
        used = {keyid for role in roles.values() for keyid in role.keyids}
        kept = {keyid: key for keyid, key in known.items() if keyid in used}
        targets.delegations = Delegations(keys=kept, roles=roles) if roles else None
        targets.targets = disk.of_no_site(targets.targets, roles)
        targets.version = disk.newest(folder, "targets") + 1
        targets.expires = disk.end_of(now, TARGETS_DAYS)
        found.signatures.clear()
        disk.sign_as(root, "targets", found, signers)
        disk.write_metadata(folder, f"{targets.version}.targets.json", found)
        return targets.version
