"""Keys for the command line: which are trusted, which one signs, and where passwords come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ssds.cli.app import Context
from ssds.core.errors import UsageError
from ssds.recipe.settings import TrustSetting, find_root, is_workspace, read_settings

if TYPE_CHECKING:
    from ssds.trust.keys import PublicKey, Signer
    from ssds.workspace import Workspace

PASSWORDS = ("SSDS_KEY_PASSWORD", "COSIGN_PASSWORD")


def trust(context: Context) -> TrustSetting:
    """Returns what the settings say of trust, in a workspace or outside of one."""
    folder = os.path.abspath(context.folder or ".")
    try:
        folder = folder if is_workspace(folder) else find_root(folder)
    except UsageError:
        folder = os.devnull  # no workspace: only the person's own settings
    return read_settings(folder, os.environ).trust


def trusted_keys(context: Context, files: Sequence[str]) -> tuple[PublicKey, ...]:
    """Returns the keys of ``--key``, or those that the settings name.

    Raises:
        UsageError: E260, there is none.
    """
    from ssds.trust.open import read_public_file, read_public_files

    if files:
        return tuple(read_public_file(path) for path in files)
    keys = trust(context).keys
    if not keys:
        raise UsageError(
            "no key is trusted here, so nothing can be proven",
            hint="Pass --key FILE.pub, or name keys in the settings: trust.keys.",
            code="E260",
        )
    return read_public_files(keys)


def workspace_names_keys(context: Context, files: Sequence[str]) -> bool:
    """Whether the trusted keys are those of a workspace, which comes from others."""
    return not files and not read_settings(os.devnull, os.environ).trust.keys


def signer(context: Context, address: str = "") -> Signer:
    """Returns the key of ``--key``, or the one that the settings name.

    Raises:
        UsageError: E261, there is none.
    """
    from ssds.trust.open import open_signer

    address = address or trust(context).sign
    if not address:
        raise UsageError(
            "no key is named that could sign",
            hint="Pass --key, set SSDS_SIGNING_KEY, or trust.sign in your own settings; "
            "`ssds key new` makes a key.",
            code="E261",
        )
    return open_signer(address, os.environ, password)


def releases_signer(workspace: Workspace) -> Signer | None:
    """Returns the key that signs releases, where the settings name one."""
    from ssds.trust.open import open_signer

    address = workspace.settings.trust.sign
    return open_signer(address, os.environ, password) if address else None


def seal(workspace: Workspace) -> Callable[[bytes], bytes] | None:
    """Returns what signs the record of a deployment, where the settings name a key."""
    key = releases_signer(workspace)
    if key is None:
        return None
    from ssds.trust.bundle import sign_bytes

    return lambda data: sign_bytes(data, key)


def password() -> bytes:
    """Returns the password of a key: of the environment, or asked for on the terminal.

    Raises:
        UsageError: E262, there is no terminal to ask on.
    """
    given = _given_password()
    return given if given is not None else _asked("Password of the key: ")


def new_password() -> bytes:
    """Returns the password of a new key, asked for twice; raises UsageError as ``password``."""
    given = _given_password()
    if given is not None:
        return given
    first = _asked("Password of the new key: ")
    if first != _asked("Again: "):
        raise UsageError("the two passwords differ", hint="Try again.", code="E263")
    return first


def _given_password() -> bytes | None:
    return next((os.fsencode(os.environ[n]) for n in PASSWORDS if n in os.environ), None)


def _asked(prompt: str) -> bytes:
    import getpass

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "the key's password is asked for, and there is no terminal to ask on",
            hint=f"Set {PASSWORDS[0]} (empty for none).",
            code="E262",
        )
    return os.fsencode(getpass.getpass(prompt))
