"""The folder that is published: TUF metadata and target files, as any web server gives them.

``N.ROLE.json`` and ``timestamp.json`` lie in the folder, target files below ``targets/`` with their
sha256 before the name (consistent snapshots). A role of a site is called ``site-NAME``.

Source: The Update Framework Specification 1.0.33, sections 4, 5 and 6.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from ssds.core.errors import EnvironmentProblem, IntegrityError, Refused, SsdsError
from ssds.host.files import atomic_write
from ssds.host.reading import read_open
from ssds.trust.keys import PublicKey, Signer, public_of, read_public_key

if TYPE_CHECKING:
    from securesystemslib.signer import Key, SSlibKey
    from tuf.api.metadata import (
        DelegatedRole,
        Metadata,
        Root,
        Snapshot,
        TargetFile,
        Targets,
        Timestamp,
    )

    T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

TARGETS_FOLDER = "targets"
STAGED = "staged.root.json"
TIMESTAMP = "timestamp.json"
SITE = "site-"
METADATA_LIMIT_BYTES = 64 << 20
_NAME = re.compile(r"[1-9][0-9]{0,8}")


def tuf_key(key: PublicKey) -> SSlibKey:
    """Returns the key as TUF metadata writes it; its id is that of securesystemslib."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from securesystemslib.signer import SSlibKey

    return SSlibKey.from_crypto(load_der_public_key(key.der))


def sign(metadata: Metadata[T], signers: Iterable[Signer]) -> None:
    """Adds a signature of each; earlier ones of the same keys go."""
    from securesystemslib.signer import Signature

    data = metadata.signed_bytes
    for signer in signers:
        keyid = tuf_key(signer.public).keyid
        metadata.signatures[keyid] = Signature(keyid, signer.sign(data).hex())


def end_of(now: datetime, days: int) -> datetime:
    """Returns when what is signed now ends, in whole seconds as metadata writes it."""
    return (now + timedelta(days=days)).replace(microsecond=0)


def site_roles(targets: Targets | None) -> dict[str, DelegatedRole]:
    """Returns name → role of the sites that sign their own files, in the order that counts."""
    delegations = targets.delegations if targets else None
    return dict((delegations.roles if delegations else None) or {})


def of_no_site(
    files: Mapping[str, TargetFile], roles: Mapping[str, DelegatedRole]
) -> dict[str, TargetFile]:
    """Returns the files that no site decides for itself."""
    return {
        path: target
        for path, target in files.items()
        if not any(role.is_delegated_path(path) for role in roles.values())
    }


def newest(folder: str, role: str) -> int:
    """Returns the highest version of a role that lies in the folder, or 0."""
    end = f".{role}.json"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    found = [name.removesuffix(end) for name in names if name.endswith(end)]
    return max((int(text) for text in found if _NAME.fullmatch(text)), default=0)


def read_root(folder: str) -> Metadata[Root]:
    """Returns the newest root; raises as ``read_roots``."""
    return read_roots(folder)[-1]


def read_roots(folder: str) -> list[Metadata[Root]]:
    """Returns all roots, the oldest first, if each root vouches for the next.

    Raises:
        Refused: X050, there is none. IntegrityError: X051, X052.
    """
    from tuf.api.metadata import Root

    number = newest(folder, "root")
    if not number:
        raise Refused(
            f"{folder} is no TUF repository: there is no root",
            hint="`ssds tuf roles FOLDER --root KEY.pub … --targets … --online …` begins one.",
            code="X050",
        )
    roots: list[Metadata[Root]] = []
    for version in range(1, number + 1):
        root = read_metadata(folder, f"{version}.root.json", Root)
        for judge in (*roots[-1:], root):
            check(judge, "root", root, f"{version}.root.json")
        roots.append(root)
    return roots


def read_metadata(folder: str, name: str, kind: type[T]) -> Metadata[T]:
    """Returns a metadata file, not yet believed.

    Raises:
        IntegrityError: X051, it is not there, or no metadata of this kind.
    """
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata

    try:
        handle = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            data = read_open(handle, METADATA_LIMIT_BYTES)
        finally:
            os.close(handle)
        if len(data) > METADATA_LIMIT_BYTES:
            raise ValueError(f"larger than {METADATA_LIMIT_BYTES} bytes")
        found: Metadata[T] = Metadata.from_bytes(data)
        if not isinstance(found.signed, kind):
            raise ValueError(f"it is of the type {found.signed.type}")
        number = name.partition(".")[0]
        if number.isdecimal() and found.signed.version != int(number):
            raise ValueError(f"it says that it is version {found.signed.version}")
    except (OSError, ValueError, RepositoryError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise IntegrityError(
            f"{os.path.join(folder, name)} is no TUF metadata that can be read: {why}",
            hint="Take the folder's metadata from a copy that is whole.",
            code="X051",
        ) from error
    return found


def check(
    judge: Metadata[Root] | Metadata[Targets], role: str, found: Metadata[T], name: str
) -> None:
    """Refuses metadata that the keys of its role did not sign (X052)."""
    from tuf.api.exceptions import UnsignedMetadataError

    try:
        judge.verify_delegate(role, found)
    except (UnsignedMetadataError, ValueError) as error:
        raise IntegrityError(
            f"{name} is not signed by enough keys of the role {role}",
            hint="It was changed, or its keys were changed since: the role's owner signs it anew.",
            code="X052",
        ) from error


def read_targets(folder: str, root: Metadata[Root]) -> Metadata[Targets] | None:
    """Returns the newest targets metadata, or None; raises IntegrityError (X051, X052)."""
    from tuf.api.metadata import Targets

    number = newest(folder, "targets")
    if not number:
        return None
    found = read_metadata(folder, f"{number}.targets.json", Targets)
    check(root, "targets", found, f"{number}.targets.json")
    return found


def write_metadata(folder: str, name: str, metadata: Metadata[T]) -> None:
    """Writes a metadata file, whole or not at all."""
    from tuf.api.serialization.json import JSONSerializer

    atomic_write(os.path.join(folder, name), metadata.to_bytes(JSONSerializer()), point="tuf")


def write_target(folder: str, path: str, hex_digest: str, data: bytes) -> None:
    """Writes a target file under its digest, if these bytes are not there."""
    above, name = os.path.split(path)
    place = os.path.join(folder, TARGETS_FOLDER, above, f"{hex_digest}.{name}")
    if _holds(place, data):
        return
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"{os.path.dirname(place)} cannot be made: {error.strerror}",
            hint="Check the owner and the permissions of the repository's folder.",
            code="X053",
        ) from error
    atomic_write(place, data, point="tuf.target")


def _holds(place: str, data: bytes) -> bool:
    try:
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.fstat(handle).st_size == len(data) and read_open(handle, len(data)) == data
    finally:
        os.close(handle)


def is_executable(target: TargetFile) -> bool:
    """Whether the file of a target is a program; ssds's own word in its field ``custom``."""
    custom = target.custom
    return isinstance(custom, dict) and custom.get("executable") is True


def key_id(key: Key) -> str:
    """Returns the id by which ``ssds key show --id`` calls a key of the metadata."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text = str(key.keyval.get("public", ""))
    try:
        if key.keytype == "ed25519":
            return str(public_of(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))).id)
        return str(read_public_key(text.encode()).id)
    except (ValueError, SsdsError):
        return f"a key of the kind {key.keytype[:40]}"


def key_ids(judge: Root | Targets, role: str) -> tuple[str, ...]:
    """Returns the ids of a role's keys, as ``key_id`` gives them."""
    return tuple(key_id(judge.get_key(known)) for known in judge.get_delegated_role(role).keyids)


def fitting(
    judge: Metadata[Root] | Metadata[Targets], role: str, signers: Iterable[Signer]
) -> list[Signer]:
    """Returns those whose keys the role names."""
    known = judge.signed.get_delegated_role(role).keyids
    return [signer for signer in signers if tuf_key(signer.public).keyid in known]


def sign_as(
    judge: Metadata[Root] | Metadata[Targets],
    role: str,
    metadata: Metadata[T],
    signers: Iterable[Signer],
) -> None:
    """Signs with those keys that the role names.

    Raises:
        Refused: X059, they are none, or too few.
    """
    sign(metadata, fitting(judge, role, signers))
    try:
        check(judge, role, metadata, role)
    except IntegrityError as error:
        wanted = ", ".join(key_ids(judge.signed, role))
        raise Refused(
            f"no key here may sign as {role}",
            hint=f"Pass --key with a key that the role names: {wanted}.",
            code="X059",
        ) from error
