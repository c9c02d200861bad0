"""Sends one blob to a registry: a mount, or an upload in one piece, as a stream.

Source: OCI distribution specification 1.1, "Pushing a blob monolithically", "Mounting a blob".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.oci.answers import RegistryError
from ssds.oci.body import Body
from ssds.oci.names import check_repository
from ssds.oci.transport import Transport

Opener = Callable[[], IO[bytes]]


def upload_blob(
    transport: Transport,
    repository: str,
    digest: Digest,
    size_bytes: int,
    opener: Opener,
    mount_from: str,
) -> None:
    """Sends a blob, or has it mounted from another repository; one attempt.

    Args:
        opener: opens the blob's bytes; called anew where the request is repeated.
        mount_from: a repository that may have it, or the empty string.

    Raises:
        IntegrityError: O091, O093, other bytes went out or were kept.
        RegistryError: as the registry says; O097, it sends to an address that is not safe.
    """
    query = {"mount": str(digest), "from": check_repository(mount_from)} if mount_from else {}
    path = f"/v2/{check_repository(repository)}/blobs/uploads/"
    url = f"{path}?{urlencode(query)}" if query else path
    # The body is empty, so that this request meets the challenge, not the large one.
    ok = frozenset({201, 202})
    started = transport.request("POST", url, repository=repository, ok=ok)
    started.close()
    if started.status_code == 201:
        return  # mounted
    location = urljoin(transport.base + path, started.headers.get("Location", ""))
    parts = urlsplit(location)
    if parts.scheme not in {"https", urlsplit(transport.base).scheme}:
        raise RegistryError(
            f"{transport.host} names an upload address that is not safe", code="O097"
        )
    query = {**dict(parse_qsl(parts.query)), "digest": str(digest)}
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    with contextlib.ExitStack() as files:

        def body() -> Body:
            # Opened anew where a token has ended in the meantime and the request is repeated.
            return Body(files.enter_context(opener()), digest, size_bytes)

        response = transport.request(
            "PUT",
            urlunsplit(parts._replace(query=urlencode(query))),
            repository=repository,
            ok=frozenset({201}),
            headers=headers,
            body=body,
            attempts=1,
        )
    response.close()
    check_kept(response, digest, f"{transport.host}/{repository}")


def check_kept(response: Any, digest: Digest, where: str) -> None:
    """Raises IntegrityError (O093) where a registry says that it kept other bytes."""
    promised = response.headers.get("Docker-Content-Digest", digest)
    if promised != digest:
        raise IntegrityError(
            f"{where} kept {promised[:80]} where {digest} was sent",
            hint="The registry or a proxy before it changes bytes; do not use it.",
            code="O093",
        )
