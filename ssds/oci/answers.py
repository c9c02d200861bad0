"""A registry's answers: content with limits, and refusals as errors with what to do.

Source: OCI distribution specification 1.1, "Error codes".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.oci.document import load_document

ERROR_LIMIT_BYTES = 64 * 1024
TEMPORARY_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class Response(Protocol):
    """What is needed of ``requests.Response``, which is imported only where it is used."""

    status_code: int
    raw: Any

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in any case."""

    def close(self) -> None:
        """Gives the connection back."""


class RegistryError(UnavailableError):
    """A registry refused or could not be reached.

    Attributes:
        temporary: whether trying again later makes sense.
        status: the HTTP status, 0 where there was no answer.
        registry_code: the distribution specification's code (``DENIED``), or empty.
    """

    code = "O080"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        temporary: bool = False,
        status: int = 0,
        registry_code: str = "",
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.temporary = temporary
        self.status = status
        self.registry_code = registry_code


def pieces(response: Response, host: str, size_bytes: int = 1 << 18) -> Iterator[bytes]:
    """Gives an answer's content as it came; a cut is a temporary RegistryError."""
    import urllib3

    try:
        while data := response.raw.read(size_bytes, decode_content=False):
            yield cast(bytes, data)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise no_answer(error, "GET", host) from error
    finally:
        response.close()


def limited(response: Response, limit_bytes: int, what: str) -> bytes:
    """Returns an answer's whole content; raises IntegrityError where it is too large."""
    data = b""
    for piece in pieces(response, what):
        data += piece
        if len(data) > limit_bytes:
            response.close()
            raise IntegrityError(
                f"{what} is larger than {limit_bytes} bytes",
                hint="The registry gives something else than was asked.",
                code="O001",
            )
    return data


def explain(response: Response, method: str, host: str, repository: str) -> RegistryError:
    """Returns the error for an answer, with the codes of the distribution specification."""
    registry_code = message = ""
    try:
        document = load_document(limited(response, ERROR_LIMIT_BYTES, "the error"), "the error")
        for item in document.items("errors", limit=100)[:1]:
            registry_code = item.text("code", "")[:60]
            message = item.text("message", "")[:200]
    except (IntegrityError, RegistryError):
        pass  # no JSON: the status says enough
    status = response.status_code
    where = f"{host}/{repository}".rstrip("/")
    said = "".join(c for c in f"{registry_code} {message}".strip() if c.isprintable())
    hints = {
        401: "Log in with your container tool, or set SSDS_REGISTRY_USER and _PASSWORD.",
        403: "These credentials may not do this; ask the registry's owner.",
        404: "Check the name; nothing stands there.",
        413: "The registry or a proxy before it limits the size of uploads.",
        429: "The registry limits requests; try again later.",
    }
    temporary = status in TEMPORARY_STATUS
    default = "Try again later." if temporary else "The registry refuses; see its answer."
    return RegistryError(
        f"{where} refused {method}: status {status}" + (f" ({said})" if said else ""),
        hint=hints.get(status, default),
        code={401: "O085", 403: "O086", 404: "O087", 429: "O088"}.get(status, "O080"),
        temporary=temporary,
        status=status,
        registry_code=registry_code,
    )


def no_answer(error: BaseException, method: str, host: str) -> RegistryError:
    """Returns the error for a request without an answer, without addresses or credentials."""
    import requests

    cause: Any = error.args[0] if error.args else error
    reason = str(getattr(cause, "reason", cause))
    # urllib3 writes "<object at 0x…>: what went wrong"; only the last part is for people.
    reason = "".join(c for c in reason.rpartition(">: ")[2] if c.isprintable())[:160]
    untrusted = isinstance(error, requests.exceptions.SSLError)
    if untrusted and "WRONG_VERSION_NUMBER" in reason:
        return RegistryError(
            f"{host} does not speak TLS",
            hint="On your own machine a registry may: `insecure: true` for a channel, "
            "--plain-http for `ssds install`. Elsewhere give it a certificate.",
            code="O078",
        )
    said = f"{host} gave no answer to {method}: {reason or type(error).__name__}"
    if untrusted:
        return RegistryError(
            said,
            hint="The certificate is not trusted: set ca_bundle to the authority's PEM file.",
            code="O089",
        )
    return RegistryError(
        said,
        hint="Check the address, the network and the proxy; then try again.",
        code="O079",
        temporary=True,
    )
