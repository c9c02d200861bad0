"""Requests to one registry, through oras: authentication, bounded retries, limited answers.

Requests go through oras's ``do_request`` without its retry decorator (which sleeps 131 s on a
wrong host), over a session of ours that has time limits, sends credentials before they are asked
for once the registry's way is known, and sends them to no other host.

Sources: OCI distribution specification 1.1; RFC 7235 and RFC 6750 for challenges; the Docker
registry's token protocol.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from ssds.core.errors import EnvironmentProblem, IntegrityError
from ssds.oci.answers import ERROR_LIMIT_BYTES, RegistryError, Response, explain, limited, no_answer
from ssds.oci.credentials import Credentials
from ssds.oci.document import load_document

ATTEMPTS = 3
BACKOFF_S = (0.4, 2.0)
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
RETRY_AFTER_LIMIT_S = 15.0
PIECE_BYTES = 256 * 1024
"""So much of a body is read and sent at once; the library's 16 KiB cost a third of a large push."""

_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')

Body = Callable[[], Any]
"""Opens the body of a request anew: an object with ``__len__`` and ``read``, or bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach registries.

    Attributes:
        insecure: plain http.
        ca_bundle: a PEM file of further certificate authorities, or empty.
        proxy: an address that wins over the environment's proxies, or empty.
    """

    insecure: bool = False
    ca_bundle: str = ""
    proxy: str = ""
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    read_timeout_s: float = READ_TIMEOUT_S


class _Challenged(Exception):
    """A 401 answer, on its way from oras back to us."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _Authentication:
    """What oras asks when it gets a 401 or 403: it is for us to answer."""

    def authenticate_request(
        self, original: Response, *_args: object, **_more: object
    ) -> tuple[dict[str, str], bool]:
        """Hands the answer to the transport."""
        raise _Challenged(original)


class Transport:
    """Sends requests to one registry; threads may share it."""

    def __init__(self, host: str, access: Access, credentials: Credentials | None) -> None:
        self.host = host
        self.access = access
        self.base = f"{'http' if access.insecure else 'https'}://{host}"
        self._credentials = credentials
        self._scheme = ""
        self._tokens: dict[str, str] = {}
        self._local = threading.local()
        self._client: Any = None
        self._send: Callable[..., Response] | None = None
        self._guard = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        *,
        repository: str,
        ok: frozenset[int],
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        attempts: int = ATTEMPTS,
    ) -> Response:
        """Returns the answer, its content not yet read.

        Args:
            url: absolute, or a path on the registry.
            repository: whose token serves.
            ok: statuses that are no errors.

        Raises:
            RegistryError: no answer within the limits, or another status.
        """
        address = url if "://" in url else self.base + url
        if body is not None and not self._scheme:
            self.learn()  # a large body must not be the first to meet a 401
        for attempt in range(1, attempts + 1):
            try:
                response = self._answered(method, address, repository, headers, body)
            except RegistryError as error:
                if not error.temporary or attempt == attempts:
                    raise
                time.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S)) - 1])
                continue
            if response.status_code in ok:
                if method != "GET" or response.status_code >= 400:
                    _finish(response, method)
                return response
            pause = _pause(response, attempt)
            refusal = explain(response, method, self.host, repository)
            if not refusal.temporary or attempt == attempts:
                raise refusal
            time.sleep(pause)
        raise AssertionError("unreachable")

    def learn(self) -> None:
        """Asks the registry once how it authenticates."""
        known = self._scheme
        if known:
            return
        ok = frozenset({200, 401, 403, 404})
        response = self.request("GET", "/v2/", repository="", ok=ok)
        response.close()
        if response.status_code == 404:
            raise RegistryError(
                f"{self.host} is no registry: it has no /v2/",
                hint="Check the address of the channel.",
                code="O081",
                status=404,
            )
        self._scheme = self._scheme or "none"

    def _answered(
        self,
        method: str,
        address: str,
        repository: str,
        headers: Mapping[str, str] | None,
        body: Body | None,
    ) -> Response:
        """Sends once, and once more after a challenge that can be answered."""
        self._local.repository = repository
        for last in (False, True):
            try:
                return self._once(method, address, headers, body)
            except _Challenged as challenged:
                response = challenged.response
                if last or response.status_code != 401 or not self._answer(response, repository):
                    return response
                response.close()
        raise AssertionError("unreachable")

    def _once(
        self, method: str, address: str, headers: Mapping[str, str] | None, body: Body | None
    ) -> Response:
        import requests

        client = self._made()
        assert self._send is not None
        try:
            return self._send(
                client,
                address,
                method,
                data=body() if body else None,
                headers=dict(headers or {}),
                stream=True,
            )
        except requests.RequestException as error:
            raise no_answer(error, method, self.host) from error
        except OSError as error:
            raise no_answer(error, method, self.host) from error

    def _made(self) -> Any:
        """Makes oras's client with our session and our authentication, on first use."""
        with self._guard:
            if self._client is None:
                import oras.provider

                client = oras.provider.Registry(
                    hostname=self.host, insecure=self.access.insecure, auth_backend="basic"
                )
                client.session = make_session(self.access, self._authorize)
                client.auth = _Authentication()
                self._send = inspect.unwrap(oras.provider.Registry.do_request)
                self._client = client
        return self._client

    def _authorize(self, request: Any) -> Any:
        """Puts credentials on a request to the registry itself, and on no other."""
        there = urlsplit(str(request.url))
        if f"{there.scheme}://{there.netloc}" != self.base:
            return request
        token = self._tokens.get(self._local.repository)
        if self._scheme == "basic" and self._credentials:
            request.headers["Authorization"] = self._credentials.basic
        elif self._scheme == "bearer" and token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def _answer(self, response: Response, repository: str) -> bool:
        """Learns from a challenge; returns whether a second attempt makes sense."""
        challenge = response.headers.get("WWW-Authenticate", "")
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic":
            known = self._scheme == "basic"
            self._scheme = "basic"
            return self._credentials is not None and not known
        if scheme == "bearer":
            self._scheme = "bearer"
            if not repository:
                return False  # /v2/ itself: the scheme is what was asked
            token = self._token(dict(_PARAMETER.findall(challenge)))
            if token:
                self._tokens[repository] = token
            return bool(token)
        return False

    def _token(self, parameters: Mapping[str, str]) -> str:
        """Gets a token from the realm that the challenge names."""
        realm = parameters.get("realm", "")
        wanted = "http" if self.access.insecure else "https"
        if urlsplit(realm).scheme not in {"https", wanted}:
            raise RegistryError(
                f"{self.host} asks to send credentials to {realm[:100]!r}, which is not safe",
                hint="The registry must name a realm with https.",
                code="O082",
            )
        query = [(n, parameters[n]) for n in ("service",) if n in parameters]
        query += [("scope", s) for s in parameters.get("scope", "").split(" ") if s]
        headers = {"Authorization": self._credentials.basic} if self._credentials else {}
        address = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        import requests

        try:
            response = self._made().session.get(
                address, headers=headers, stream=True, allow_redirects=False
            )
        except (requests.RequestException, OSError) as error:
            raise no_answer(error, "GET", urlsplit(realm).netloc) from error
        if response.status_code != 200:
            raise explain(response, "GET", self.host, "")
        data = limited(response, ERROR_LIMIT_BYTES, f"the token of {self.host}")
        try:
            document = load_document(data, f"the token of {self.host}")
            return document.text("token", "") or document.text("access_token", "")
        except IntegrityError as error:
            raise RegistryError(error.message, hint=error.hint, code="O083") from error


def make_session(access: Access, authorize: Callable[[Any], Any]) -> Any:
    """Returns a session with time limits, our trust and our proxy; no cookies, no netrc."""
    import ssl
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter
    from requests.utils import should_bypass_proxies

    context: ssl.SSLContext | None = None
    if not access.insecure:
        context = ssl.create_default_context()
        if access.ca_bundle:
            try:
                context.load_verify_locations(access.ca_bundle)
            except (OSError, ssl.SSLError) as error:
                raise EnvironmentProblem(
                    f"the CA bundle {access.ca_bundle} cannot be read: {error}",
                    hint="Set ca_bundle to a PEM file of certificates.",
                    code="O084",
                ) from error

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **more: Any) -> Any:
            return super().init_poolmanager(
                *args, ssl_context=context, blocksize=PIECE_BYTES, **more
            )

        def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
            return super().proxy_manager_for(proxy, ssl_context=context, **more)

    class Session(requests.Session):
        def request(self, method: Any, url: Any, *args: Any, **more: Any) -> Any:
            more.setdefault("timeout", (access.connect_timeout_s, access.read_timeout_s))
            if access.proxy and not should_bypass_proxies(str(url), no_proxy=None):
                more["proxies"] = {"http": access.proxy, "https": access.proxy}
            return super().request(method, url, *args, **more)

    session = Session()
    session.max_redirects = 5
    session.auth = authorize
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "identity"  # a digest is over the bytes as stored
    session.mount("http://", Adapter())
    session.mount("https://", Adapter())
    return session


def _finish(response: Response, method: str) -> None:
    """Reads what is left of a small answer, so that its connection serves the next request."""
    import urllib3

    length = response.headers.get("Content-Length", "0")
    if method != "HEAD" and not (length.isdigit() and int(length) <= ERROR_LIMIT_BYTES):
        return
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        response.raw.drain_conn()


def _pause(response: Response, attempt: int) -> float:
    """Returns the seconds to wait: what the registry asks for, within a limit."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return min(float(asked), RETRY_AFTER_LIMIT_S)
    return BACKOFF_S[min(attempt, len(BACKOFF_S)) - 1]
