"""Files and their bundles: FILE is signed by FILE.sigstore.json beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from ssds.core.digest import sha256_of
from ssds.core.errors import EnvironmentProblem, IntegrityError, Refused
from ssds.host.files import atomic_write
from ssds.trust.bundle import SUFFIX, parse_bundle, sign_bytes
from ssds.trust.keys import PublicKey, Signer
from ssds.trust.report import Report

FILE_LIMIT_BYTES = 256 << 20
BUNDLE_LIMIT_BYTES = 4 << 20
NO_CLOCK = "when it was signed, and that no newer one exists: a signature alone has no clock"


def sign_file(path: str, signer: Signer) -> bool:
    """Writes the bundle of a file; False where a good one of this key is there already.

    Raises:
        SsdsError: X030 the file cannot be read, X031 it is a bundle itself.
    """
    if path.endswith(SUFFIX):
        raise Refused(f"{path} is a signature", hint="Name the file that it is about.", code="X031")
    data = read_limited(path, FILE_LIMIT_BYTES)
    if os.path.lexists(path + SUFFIX):
        try:
            known = parse_bundle(read_limited(path + SUFFIX, BUNDLE_LIMIT_BYTES))
            if known.signer(data, (signer.public,)) is not None:
                return False
        except IntegrityError:
            pass  # what is no bundle is no signature: it is replaced
    atomic_write(path + SUFFIX, sign_bytes(data, signer), point="signature")
    return True


def verify_file(path: str, keys: Sequence[PublicKey], bundle: str = "") -> tuple[Report, bytes]:
    """Returns what the file's bundle proves, and the bytes that were looked at.

    Args:
        bundle: the bundle's path, where it is not beside the file.

    Raises:
        EnvironmentProblem: X030, the file cannot be read.
    """
    data = read_limited(path, FILE_LIMIT_BYTES)
    return verify_bytes(path, data, keys, bundle), data


def verify_bytes(path: str, data: bytes, keys: Sequence[PublicKey], bundle: str = "") -> Report:
    """Returns what the bundle of a file proves of bytes that were read from it."""
    place = bundle or path + SUFFIX
    if not bundle and not os.path.lexists(place):
        return Report(target=path, wrong=(f"it is not signed: there is no {place}",))
    try:
        found = parse_bundle(read_limited(place, BUNDLE_LIMIT_BYTES), place)
    except IntegrityError as error:
        return Report(target=path, wrong=(error.message,))
    if found.envelope is not None:
        return Report(target=path, wrong=(f"{place} is about something else than a file",))
    key = found.signer(data, tuple(keys))
    if key is not None:
        proven = f"{key.label} signed exactly these bytes ({sha256_of(data)})"
        return Report(target=path, proven=(proven,), unproven=(NO_CLOCK,), signers=(key,))
    if sha256_of(data).hex != found.digest.hex():
        why = f"{place} is about other bytes: the file was changed after it was signed"
    else:
        why = f"{place} is by none of the trusted keys, or damaged"
    return Report(target=path, wrong=(why,))


def read_limited(path: str, limit_bytes: int) -> bytes:
    """Returns what a regular file holds.

    Raises:
        EnvironmentProblem: X030, it cannot be read, is no file or too large.
    """
    why = ""
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                why = "it is not a regular file"
            else:
                data = file.read(limit_bytes + 1)
                if len(data) <= limit_bytes:
                    return data
                why = f"it is larger than {limit_bytes} bytes"
    except OSError as error:
        why = error.strerror or str(error)
    raise EnvironmentProblem(
        f"{path} cannot be read: {why}",
        hint="Name a file that is there and that you may read.",
        code="X030",
    )
