"""Credentials for registries: from the environment, Docker's configuration or its helpers.

They are never logged, never in an error and never in a key. Source: docker-login(1) and the
protocol of docker-credential-helpers.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.errors import IntegrityError
from ssds.oci.document import Place, load_document

USER_VARIABLE = "SSDS_REGISTRY_USER"
HOST_VARIABLE = "SSDS_REGISTRY_HOST"
PASSWORD_VARIABLE = "SSDS_REGISTRY_PASSWORD"  # noqa: S105 - a variable's name
HELPER_TIMEOUT_S = 30
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user and a password; neither appears in its text form.

    Attributes:
        source: where they come from, for ``doctor``.
    """

    user: str = field(repr=False)
    password: str = field(repr=False)
    source: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        text = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(text).decode()


def find_credentials(host: str, environment: Mapping[str, str] | None = None) -> Credentials | None:
    """Returns the credentials for a registry, or None for an anonymous one.

    The environment (SSDS_REGISTRY_USER and SSDS_REGISTRY_PASSWORD, for SSDS_REGISTRY_HOST only
    where that is set) comes first, then the Docker configuration: ``credHelpers`` for the host,
    ``auths``, ``credsStore``.

    Raises:
        IntegrityError: O070, the Docker configuration cannot be read.
        UnavailableError: a credential helper that it names is missing.
    """
    env = os.environ if environment is None else environment
    meant = env.get(HOST_VARIABLE, host) == host
    if meant and env.get(USER_VARIABLE) and env.get(PASSWORD_VARIABLE):
        return Credentials(
            user=env[USER_VARIABLE], password=env[PASSWORD_VARIABLE], source="the environment"
        )
    path = _configuration_path(env)
    try:
        with open(path, "rb") as file:
            data = file.read(4 * 1024 * 1024 + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise IntegrityError(
            f"{path} cannot be read", hint="Check its owner and permissions.", code="O070"
        ) from None
    document = load_document(data, path)
    helper = document.text_map("credHelpers").get(host)
    if helper:
        return _ask_helper(helper, host)
    found = _stored(document, host, path)
    if found is None and document.has("credsStore"):
        found = _ask_helper(document.text("credsStore"), host)
    return found


def _configuration_path(env: Mapping[str, str]) -> str:
    folder = env.get("DOCKER_CONFIG") or os.path.join(env.get("HOME", ""), ".docker")
    return os.path.join(folder, "config.json")


def _stored(document: Place, host: str, path: str) -> Credentials | None:
    if not document.has("auths"):
        return None
    auths = document.child("auths")
    for name in (host, f"https://{host}", f"http://{host}"):
        if not auths.has(name):
            continue
        entry = auths.child(name)
        if entry.has("username") and entry.has("password"):
            return Credentials(
                user=entry.text("username"), password=entry.text("password"), source=path
            )
        if not entry.has("auth"):
            continue
        try:
            text = base64.b64decode(entry.text("auth"), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            entry.child("auth").fail("is not base64 text", code="O070")
        user, colon, password = text.partition(":")
        if not colon:
            entry.child("auth").fail("has no password", code="O070")
        return Credentials(user=user, password=password.rstrip("\0"), source=path)
    return None


def _ask_helper(helper: str, host: str) -> Credentials | None:
    from ssds.host.process import run

    if not _HELPER.fullmatch(helper):
        raise IntegrityError(
            f"the Docker configuration names the credential helper {helper[:60]!r}",
            hint="A helper is the last part of the name of a docker-credential-… program.",
            code="O070",
        )
    program = f"docker-credential-{helper}"
    done = run([program, "get"], stdin=host.encode(), timeout_s=HELPER_TIMEOUT_S)
    if done.returncode:
        return None  # the helper knows nothing for this host
    try:
        answer = json.loads(done.stdout)
        user, password = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(
            f"{program} gave an answer that is no credential",
            hint="Log in again with your container tool.",
            code="O070",
        ) from None
    return Credentials(user=user, password=password, source=program)
