"""Downloads: bytes from several addresses in turn, streamed, counted and hashed.

A wrong byte is never accepted: the caller names the sha256 and everything else is an attempt that
failed. Sessions keep their connections, one set per thread; look-ups that fail for a moment are
tried again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Protocol, Self

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.host.mirrors import is_local, local_path, redacted, scheme_of

if TYPE_CHECKING:
    import requests

CHUNK = 256 * 1024
UNKNOWN_SIZE_LIMIT = 16 * 1024**3
ATTEMPTS = 4
_PAUSES_S = (0.5, 2.0, 5.0)
_AGENT = {"User-Agent": "ssds", "Accept-Encoding": "identity"}


class Sink(Protocol):
    """What takes the bytes; a blob writer of the store is one."""

    def write(self, data: bytes, /) -> object:
        """Takes the next bytes."""


OpenSink = Callable[[], AbstractContextManager[Sink]]


class _Failed(Exception):
    """One attempt failed; ``again`` tells whether the same address may work in a moment."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Fetcher:
    """Fetches by address; may be used from several threads.

    Attributes:
        ca_bundle: file of certificates, or the empty string for the system's.
        proxy: address of an http proxy, or the empty string for the environment's.
        timeout_s: longest wait for a connection and between two chunks.
        deadline_s: longest time for one file from one address.
    """

    def __init__(
        self,
        *,
        ca_bundle: str = "",
        proxy: str = "",
        timeout_s: float = 30.0,
        deadline_s: float = 3600.0,
        pauses_s: Sequence[float] = _PAUSES_S,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.ca_bundle, self.proxy = ca_bundle, proxy
        self.timeout_s, self.deadline_s = timeout_s, deadline_s
        self.pauses_s = tuple(pauses_s)
        self.stopping = stopping
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._guard = threading.Lock()

    def close(self) -> None:
        """Closes every connection."""
        with self._guard:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests

            session = requests.Session()
            session.max_redirects = 5
            session.headers.update(_AGENT)
            if self.ca_bundle:
                session.verify = self.ca_bundle
            if self.proxy:
                session.proxies = {"http": self.proxy, "https": self.proxy}
            self._local.session = session
            with self._guard:
                self._sessions.append(session)
        return session

    # --- one whole file --------------------------------------------------------------------------

    def download(
        self,
        urls: Sequence[str],
        open_sink: OpenSink,
        *,
        digest: Digest | None,
        size_bytes: int = 0,
        local: bool = False,
        name: str = "",
    ) -> str:
        """Puts the bytes with this digest into a fresh sink; returns the address that gave them.

        Args:
            urls: addresses, tried in turn; each a few times where the trouble may pass.
            open_sink: makes a new sink per attempt; its block ends well only for the right bytes.
            digest: the sha256 that the bytes must have; None takes any, to be pinned.
            size_bytes: their size, 0 where unknown.
            local: whether ``file:`` addresses and plain paths are allowed (configured mirrors).
            name: what the file is called in messages.

        Raises:
            UnavailableError: no address gave the bytes; names every attempt.
            IntegrityError: some address answered, but with other bytes.
        """
        attempts: list[str] = []
        wrong = False
        for url in urls:
            for count in range(ATTEMPTS):
                try:
                    self._attempt(url, open_sink, digest, size_bytes, local=local)
                    return url
                except IntegrityError as error:
                    wrong = True
                    attempts.append(f"{redacted(url)}: {error.message}")
                    break
                except _Failed as error:
                    last = not error.again or count + 1 == ATTEMPTS or self.stopping()
                    if last:
                        attempts.append(f"{redacted(url)}: {error}")
                        break
                    self._pause(count)
        raise all_failed(name or str(digest), attempts, wrong=wrong)

    def _pause(self, count: int) -> None:
        if self.pauses_s:
            time.sleep(self.pauses_s[min(count, len(self.pauses_s) - 1)])

    def _attempt(
        self,
        url: str,
        open_sink: OpenSink,
        digest: Digest | None,
        size_bytes: int,
        *,
        local: bool,
    ) -> None:
        limit = size_bytes or UNKNOWN_SIZE_LIMIT
        hashed = hashlib.new(digest.algorithm if digest else "sha256")
        count = 0
        with open_sink() as sink:
            for chunk in self._chunks(url, local=local):
                count += len(chunk)
                if count > limit:
                    raise IntegrityError(f"gave more than the {limit} bytes that are locked")
                hashed.update(chunk)
                sink.write(chunk)
            if size_bytes and count < size_bytes:
                raise IntegrityError(f"gave {count} bytes where {size_bytes} are locked")
            if digest is not None and hashed.hexdigest() != digest.hex:
                raise IntegrityError(
                    f"gave other bytes: {count} bytes with {digest.algorithm}:{hashed.hexdigest()}"
                )

    # --- small documents -------------------------------------------------------------------------

    def read(
        self, url: str, *, limit_bytes: int, accept: str = "", local: bool = False
    ) -> tuple[bytes, str]:
        """Returns a small document and its media type (the empty string for a local file).

        Raises:
            SsdsError: what ``copy`` raises.
        """
        file = io.BytesIO()
        media = self.copy(url, file, limit_bytes=limit_bytes, accept=accept, local=local)
        return file.getvalue(), media

    def copy(
        self,
        url: str,
        file: IO[bytes],
        *,
        limit_bytes: int,
        accept: str = "",
        local: bool = False,
    ) -> str:
        """Puts a document into an open file, from its beginning; returns the media type.

        Raises:
            UnavailableError: it cannot be had; ``code`` is F053 where the server says that it
                does not exist.
            IntegrityError: larger than ``limit_bytes``.
        """
        for count in range(ATTEMPTS):
            found: list[str] = []
            size = 0
            file.seek(0)
            file.truncate()
            try:
                for chunk in self._chunks(url, local=local, accept=accept, media_type=found):
                    size += len(chunk)
                    if size > limit_bytes:
                        raise IntegrityError(
                            f"{redacted(url)} is larger than {limit_bytes} bytes", code="F043"
                        )
                    file.write(chunk)
                return "".join(found)
            except _Failed as error:
                if not error.again or count + 1 == ATTEMPTS or self.stopping():
                    missing = str(error).startswith("HTTP 404") or "no such file" in str(error)
                    raise UnavailableError(
                        f"{redacted(url)} cannot be read: {error}",
                        code="F053" if missing else "F052",
                        hint="Check the network, the proxy and the mirrors in ssds.yaml.",
                    ) from error
                self._pause(count)
        raise AssertionError("the last attempt returns or raises")

    def absent(self, url: str, *, local: bool = False) -> str:
        """Returns why there is nothing at ``url``, or the empty string; no byte is read.

        A server that does not answer the question is taken to have it.
        """
        if is_local(url):
            if not local:
                return "files of this machine are read only for mirrors in the settings"
            return "" if os.path.isfile(local_path(url)) else "no such file"
        if scheme_of(url) not in ("http", "https"):
            return "only http and https addresses are fetched"
        try:
            answer = self._session().head(url, timeout=self.timeout_s, allow_redirects=True)
        except (OSError, ValueError) as error:
            return _root(error)
        return f"HTTP {answer.status_code}" if answer.status_code in (404, 410) else ""

    def size(self, url: str, *, local: bool = False) -> int:
        """Returns the size of what is at ``url`` in bytes, 0 where it is not told."""
        if is_local(url):
            with contextlib.suppress(OSError):
                return os.stat(local_path(url)).st_size if local else 0
            return 0
        with contextlib.suppress(OSError, ValueError):
            answer = self._session().head(url, timeout=self.timeout_s, allow_redirects=True)
            if answer.status_code == 200:
                return max(int(answer.headers.get("Content-Length", "0")), 0)
        return 0

    # --- bytes -----------------------------------------------------------------------------------

    def _chunks(
        self, url: str, *, local: bool, accept: str = "", media_type: list[str] | None = None
    ) -> Iterator[bytes]:
        if is_local(url):
            yield from _local_chunks(url, allowed=local)
            return
        if scheme_of(url) not in ("http", "https"):
            raise _Failed("only http and https addresses are fetched", again=False)
        import requests

        started = time.monotonic()
        try:
            headers = {"Accept": accept} if accept else None
            timeout = (min(self.timeout_s, 15.0), self.timeout_s)
            with self._session().get(url, stream=True, timeout=timeout, headers=headers) as answer:
                if answer.status_code != 200:
                    raise _refused(answer.status_code, answer.reason)
                if url.startswith("https:") and not answer.url.startswith("https:"):
                    raise _Failed("was led from https to http", again=False)
                if media_type is not None:
                    media_type.append(answer.headers.get("Content-Type", ""))
                count = 0
                for chunk in _arriving(answer):
                    count += len(chunk)
                    if time.monotonic() - started > self.deadline_s:
                        raise _Failed(f"not whole after {self.deadline_s:.0f} s", again=False)
                    if self.stopping():
                        raise _Failed("stopped", again=False)
                    yield chunk
                told = answer.headers.get("Content-Length", "")
                if told.isdigit() and count < int(told):
                    raise _Failed(f"ended after {count} of {told} bytes", again=True)
        except requests.exceptions.SSLError as error:
            raise _Failed(
                f"its certificate is not trusted ({_root(error)})", again=False
            ) from error
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
            requests.exceptions.TooManyRedirects,
            UnicodeError,
        ) as error:
            raise _Failed(_root(error), again=False) from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise _Failed(_root(error), again=True) from error


def _arriving(answer: requests.Response) -> Iterator[bytes]:
    """Yields the bytes of an answer as they come: a chunk is not waited for till it is full."""
    from urllib3.exceptions import HTTPError

    take = getattr(answer.raw, "read1", answer.raw.read)  # urllib3 before 2.1 has the latter
    try:
        while chunk := take(CHUNK, decode_content=True):
            yield chunk
    except HTTPError as error:
        raise _Failed(_root(error), again=True) from error


def _refused(status: int, reason: str) -> _Failed:
    again = status in (408, 425, 429) or status >= 500
    return _Failed(f"HTTP {status} {reason[:60]}".rstrip(), again=again)


def _local_chunks(url: str, *, allowed: bool) -> Iterator[bytes]:
    if not allowed:
        raise _Failed(
            "files of this machine are read only for mirrors in the settings", again=False
        )
    try:
        with open(local_path(url), "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except FileNotFoundError as error:
        raise _Failed("no such file", again=False) from error
    except OSError as error:
        raise _Failed(os.strerror(error.errno or 0), again=False) from error


def _root(error: BaseException) -> str:
    """Returns the innermost cause in few words: libraries wrap it several times."""
    seen = 0
    while seen < 8:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None or inner is error:
            break
        error, seen = inner, seen + 1
    text = str(error).rpartition(">: ")[2] or type(error).__name__
    return text[:200]


def all_failed(name: str, attempts: Sequence[str], *, wrong: bool) -> SsdsError:
    """Returns the error of a file that no address gave; ``wrong``: some gave other bytes."""
    told = "".join(f"\n    {line}" for line in attempts) or "\n    no address is known"
    if wrong:
        return IntegrityError(
            f"{name} was answered with other bytes than the locked ones:{told}",
            code="F044",
            hint="Never accept them blindly: check with upstream; then renew the pin: ssds lock.",
        )
    gone = ("HTTP 404", "HTTP 410", "no such file")
    if attempts and all(any(word in line for word in gone) for line in attempts):
        return UnavailableError(
            f"{name} has left its mirrors:{told}",
            code="F053",
            hint="Renew the pins: ssds lock --upgrade all; or name a mirror that keeps old files.",
        )
    return UnavailableError(
        f"{name} cannot be fetched:{told}",
        code="F052",
        hint="Check the network and the mirrors in ssds.yaml.",
    )
