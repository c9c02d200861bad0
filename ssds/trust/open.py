"""Where keys come from: a file, a variable of the environment, a card or service behind a plug.

An address is a path, ``env:NAME`` (the variable holds the PEM text), or ``SCHEME:…``: then an
installed package must offer the scheme as an entry point of the group ``ssds.signers``, a function
from the whole address to a ``Signer``. PKCS#11 modules and key services are such packages.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from ssds.core.errors import EnvironmentProblem, Refused, SsdsError, UnavailableError
from ssds.core.patterns import pattern
from ssds.trust.keyfile import Password, is_sealed, read_private_key
from ssds.trust.keys import PEM_LIMIT_BYTES, PublicKey, Signer, read_public_key

GROUP = "ssds.signers"
_SCHEME = pattern(r"([a-z][a-z0-9+.-]{1,30}):(?!/(?!/)).*")


def open_signer(
    address: str, environment: Mapping[str, str], password: Password, name: str = ""
) -> Signer:
    """Returns the signer of an address.

    Raises:
        SsdsError: X002 and X005 to X011; no message holds anything of the key.
    """
    if address.startswith("env:"):
        return _from_variable(address.removeprefix("env:"), environment, password, name)
    found = _SCHEME.fullmatch(address)
    if found:
        return _from_plug(found[1], address)
    path = os.path.expanduser(address)
    data = _read(path)
    _check_mode(path, data)
    return read_private_key(data, password, name, f"the key file {path}")


def _from_variable(
    variable: str, environment: Mapping[str, str], password: Password, name: str
) -> Signer:
    text = environment.get(variable, "")
    if not text:
        raise UnavailableError(
            f"the variable {variable[:60]} of the environment holds no key",
            hint="Set it to the text of the key file, or name a file instead.",
            code="X007",
        )
    what = f"the variable {variable[:60]}"
    return read_private_key(text.encode(errors="replace"), password, name, what)


def _from_plug(scheme: str, address: str) -> Signer:
    import importlib.metadata

    plugs = [e for e in importlib.metadata.entry_points(group=GROUP) if e.name == scheme]
    if not plugs:
        raise UnavailableError(
            f"nothing here opens keys of the kind {scheme}:",
            hint=f"Install the Python package that offers the entry point {scheme} of the group "
            f"{GROUP}, or use a key file or env:NAME.",
            code="X008",
        )
    try:
        signer: Signer = plugs[0].load()(address)
        signer.public.id  # noqa: B018 - it must have one
    except SsdsError:
        raise
    except Exception as error:
        raise UnavailableError(
            f"the plug for {scheme}: keys did not give one ({type(error).__name__})",
            hint="Ask the package that offers it; ssds shows no more, for it may name secrets.",
            code="X009",
        ) from error
    return signer


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("not a regular file")
            return file.read(PEM_LIMIT_BYTES + 1)
    except OSError as error:
        raise EnvironmentProblem(
            f"the key file {path} cannot be read: {error.strerror or error}",
            hint="Name a file that is there and that you may read.",
            code="X010",
        ) from error


def _check_mode(path: str, data: bytes) -> None:
    """Refuses a key without a password that others can read."""
    if not is_sealed(data) and os.stat(path).st_mode & 0o077:
        raise Refused(
            f"the key file {path} has no password, and others may read it",
            hint=f"chmod 600 {path}, or keep it encrypted.",
            code="X011",
        )


def read_public_file(path: str, name: str = "") -> PublicKey:
    """Returns the public key of a file; its name is ``name`` or the file's.

    Raises:
        SsdsError: X002 to X004, X010.
    """
    stem = os.path.basename(path).removesuffix(".pub")
    return read_public_key(_read(path), name or stem, f"the key file {path}")


def read_public_files(paths: Mapping[str, str]) -> tuple[PublicKey, ...]:
    """Returns the public keys of name → path, as ``read_public_file`` reads each, by name."""
    return tuple(read_public_file(path, name) for name, path in sorted(paths.items()))
