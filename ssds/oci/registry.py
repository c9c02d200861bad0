"""A registry: blobs, manifests, tags and referrers, every digest checked both ways.

Source: OCI distribution specification 1.1. Bytes are sent and kept as they are, never
re-serialised; blobs are streamed; a registry without the referrers API is served by the
specification's fallback, an index under the tag ``sha256-<hex>``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urljoin

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.oci.answers import RegistryError, limited, pieces
from ssds.oci.credentials import Credentials, find_credentials
from ssds.oci.document import DOCUMENT_LIMIT_BYTES, load_document
from ssds.oci.names import check_host, check_reference, check_repository, fallback_tag
from ssds.oci.transport import READ_TIMEOUT_S, Access, Transport
from ssds.oci.types import (
    INDEX,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    descriptor_of,
    index_bytes,
    parse_index,
    parse_manifest,
)
from ssds.oci.upload import Opener, check_kept, upload_blob

PAGES_LIMIT = 1000
TAGS_LIMIT = 200_000
BLOB_ATTEMPTS = 3
_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_ACCEPT = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))
_OK = frozenset({200})


class Sink(Protocol):
    """Whatever takes bytes."""

    def write(self, data: bytes, /) -> int:
        """Takes ``data``."""


class Registry:
    """One registry; threads may share it."""

    def __init__(
        self,
        host: str,
        insecure: bool = False,
        *,
        ca_bundle: str = "",
        proxy: str = "",
        credentials: Credentials | None = None,
        anonymous: bool = False,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """Makes the client; nothing is sent yet.

        Args:
            host: ``host`` or ``host:port``.
            insecure: plain http.
            ca_bundle: a PEM file of further authorities; proxy: wins over the environment's.
            credentials: instead of those found by ``find_credentials``.
            anonymous: look for no credentials.
            timeout_s: the longest wait for the next bytes of an answer.

        Raises:
            InvalidValue: O090, no host.
        """
        check_host(host)
        if credentials is None and not anonymous:
            credentials = find_credentials(host)
        self.host = host
        access = Access(
            insecure=insecure, ca_bundle=ca_bundle, proxy=proxy, read_timeout_s=timeout_s
        )
        self._transport = Transport(host, access, credentials)
        self._lists_referrers = True  # until it shows that it does not

    def ping(self) -> None:
        """Asks whether a registry answers; raises RegistryError where none does."""
        ok = frozenset({200, 401, 403})
        self._transport.request("GET", "/v2/", repository="", ok=ok).close()

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether the registry has the blob in this repository."""
        return self.blob_size(repository, digest) is not None

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Returns a blob's size in bytes; None where it is not there."""
        path = f"/v2/{check_repository(repository)}/blobs/{digest}"
        ok = frozenset({200, 404})
        response = self._request("HEAD", path, repository, ok)
        response.close()
        if response.status_code == 404:
            return None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else -1

    def push_blob(
        self,
        repository: str,
        digest: Digest,
        size_bytes: int,
        opener: Opener,
        mount_from: str = "",
        *,
        missing: bool = False,
    ) -> bool:
        """Sends a blob as a stream; False where the registry has it already.

        Args:
            opener: opens the blob's bytes; called anew for each attempt.
            mount_from: another repository of this registry that may have it.
            missing: it is known not to be there; it is not asked for.

        Raises:
            IntegrityError: O091, the bytes do not have the digest and size; nothing is kept there.
            RegistryError: as the registry says.
        """
        if not missing and self.has_blob(repository, digest):
            return False
        for attempt in range(1, BLOB_ATTEMPTS + 1):
            try:
                upload_blob(self._transport, repository, digest, size_bytes, opener, mount_from)
            except RegistryError as error:
                if not error.temporary or attempt == BLOB_ATTEMPTS:
                    raise
            else:
                return True
        raise AssertionError("unreachable")

    def fetch_blob(self, repository: str, digest: Digest, size_bytes: int, sink: Sink) -> None:
        """Writes a blob to ``sink``; continues where a connection was cut.

        Raises:
            IntegrityError: O092, other bytes than promised; ``sink`` then holds wrong bytes.
            RegistryError: as the registry says.
        """
        path = f"/v2/{check_repository(repository)}/blobs/{digest}"
        found = hashlib.new(digest.algorithm)
        done = failures = 0
        while True:
            headers = {"Range": f"bytes={done}-"} if done else {}
            response = self._request("GET", path, repository, frozenset({200, 206}), headers)
            skip = done if response.status_code == 200 else 0
            before = done
            try:
                for piece in pieces(response, self.host):
                    data = piece[skip:]
                    skip = max(0, skip - len(piece))
                    done += len(data)
                    if done > size_bytes:
                        raise _wrong(digest, self.host, f"more than {size_bytes} bytes")
                    found.update(data)
                    sink.write(data)
            except RegistryError:
                failures = 1 if done > before else failures + 1
                if failures >= BLOB_ATTEMPTS:
                    raise
                continue
            break
        if done != size_bytes:
            raise _wrong(digest, self.host, f"{done} bytes instead of {size_bytes}")
        if found.hexdigest() != digest.hex:
            raise _wrong(digest, self.host, f"bytes with {digest.algorithm}:{found.hexdigest()}")

    def push_manifest(self, repository: str, ref: str, media_type: str, data: bytes) -> Digest:
        """Sends a manifest or index byte for byte; returns its digest.

        Args:
            ref: a tag, or the digest of ``data``.

        Raises:
            IntegrityError: O093, the registry says it kept other bytes, or ``ref`` is another
                digest.
        """
        return self._put_manifest(repository, ref, media_type, data)[0]

    def fetch_manifest(self, repository: str, ref: str) -> tuple[str, bytes, Digest]:
        """Returns a manifest or index: media type, bytes, digest.

        Raises:
            RegistryError: O087, it is not there.
            IntegrityError: O094, the bytes do not have the digest asked for or promised.
        """
        path = f"/v2/{check_repository(repository)}/manifests/{check_reference(ref)}"
        response = self._request("GET", path, repository, _OK, {"Accept": _ACCEPT})
        what = f"manifest {ref} of {self.host}/{repository}"
        data = limited(response, DOCUMENT_LIMIT_BYTES, what)
        found = sha256_of(data)
        promised = ref if ":" in ref else response.headers.get("Docker-Content-Digest", found)
        if promised.startswith("sha256:") and promised != found:
            raise IntegrityError(
                f"{what} has the digest {found}, not {promised[:80]}",
                hint="The registry or a proxy before it gives damaged bytes; nothing was kept.",
                code="O094",
            )
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type not in INDEX_TYPES | MANIFEST_TYPES:
            media_type = load_document(data, what).text("mediaType", media_type)
        return media_type, data, found

    def head_manifest(self, repository: str, ref: str) -> Descriptor | None:
        """Returns what a tag or digest names now, or None where there is nothing."""
        path = f"/v2/{check_repository(repository)}/manifests/{check_reference(ref)}"
        ok = frozenset({200, 404})
        response = self._request("HEAD", path, repository, ok, {"Accept": _ACCEPT})
        response.close()
        if response.status_code == 404:
            return None
        promised = response.headers.get("Docker-Content-Digest", "")
        length = response.headers.get("Content-Length", "")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        try:
            digest = Digest(promised)
        except InvalidValue:
            digest = None
        if digest is None or not length.isdigit() or not media_type:
            media_type, data, _ = self.fetch_manifest(repository, ref)
            return descriptor_of(data, media_type)
        return Descriptor(media_type=media_type, digest=digest, size_bytes=int(length))

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        """Removes a manifest by digest; False where it was not there."""
        path = f"/v2/{check_repository(repository)}/manifests/{digest}"
        response = self._request("DELETE", path, repository, frozenset({200, 202, 404}))
        response.close()
        return bool(response.status_code != 404)

    def tags(self, repository: str) -> tuple[str, ...]:
        """Returns all tags, sorted; a repository that is not there yet has none."""
        url = f"/v2/{check_repository(repository)}/tags/list?n=1000"
        found: set[str] = set()
        for _ in range(PAGES_LIMIT):
            response = self._request("GET", url, repository, frozenset({200, 404}))
            if response.status_code == 404:
                response.close()
                break
            link = _LINK.search(response.headers.get("Link", ""))
            data = limited(response, DOCUMENT_LIMIT_BYTES, f"the tags of {self.host}/{repository}")
            page = load_document(data, f"the tags of {self.host}/{repository}")
            before = len(found)
            found.update(page.texts("tags", limit=TAGS_LIMIT))
            if not link or len(found) == before or len(found) > TAGS_LIMIT:
                break
            url = self._same_host(link.group(1))
        return tuple(sorted(found))

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Returns the manifests that have ``digest`` as their subject."""
        if not self._lists_referrers:
            return self._fallback(repository, digest)
        path = f"/v2/{check_repository(repository)}/referrers/{digest}"
        response = self._request("GET", path, repository, frozenset({200, 400, 404, 405}))
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if response.status_code == 200 and media_type == INDEX:
            what = f"the referrers of {digest.short}"
            data = limited(response, DOCUMENT_LIMIT_BYTES, what)
            return parse_index(data, what).manifests
        response.close()
        return self._fallback(repository, digest)

    def push_referrers(
        self,
        repository: str,
        documents: Sequence[bytes],
        replaces: Collection[Digest] = (),
        known: Sequence[Descriptor] | None = None,
    ) -> list[Descriptor]:
        """Sends manifests of one subject, and keeps the fallback index where it is needed.

        Args:
            documents: image manifests whose ``subject`` is set; their blobs are there already.
            replaces: referrers that these take the place of; they leave the fallback index.
            known: what ``referrers`` has just said of the subject.
        """
        entries: list[Descriptor] = []
        unlisted: list[Descriptor] = []
        subject: Digest | None = None
        for data in documents:
            manifest = parse_manifest(data)
            if manifest.subject is None or subject not in (None, manifest.subject.digest):
                raise InvalidValue("a referrer's manifest must name its subject", code="O095")
            subject = manifest.subject.digest
            _, kept = self._put_manifest(repository, sha256_of(data), manifest.media_type, data)
            entries.append(
                replace(
                    descriptor_of(data, manifest.media_type),
                    artifact_type=manifest.artifact_type or manifest.config.media_type,
                    annotations=manifest.annotations,
                )
            )
            if not kept:  # the registry has no referrers API that would have noted it
                unlisted.append(entries[-1])
        if subject is not None and unlisted:
            self._lists_referrers = False
            self._list_referrers(repository, subject, unlisted, replaces, known)
        return entries

    def _list_referrers(
        self,
        repository: str,
        subject: Digest,
        new: Sequence[Descriptor],
        replaces: Collection[Digest],
        known: Sequence[Descriptor] | None,
    ) -> None:
        """Keeps the fallback index of a subject."""
        ours = {entry.digest for entry in new}
        for _ in range(3):
            known = self._fallback(repository, subject) if known is None else known
            there = {e.digest for e in known}
            if ours <= there and not there.intersection(replaces):
                return
            entries = [e for e in known if e.digest not in ours and e.digest not in replaces]
            entries += new
            entries.sort(key=lambda e: (e.artifact_type, e.digest))
            self.push_manifest(repository, fallback_tag(subject), INDEX, index_bytes(entries))
            known = None
        raise RegistryError(
            f"{self.host}/{repository}: the list of referrers of {subject.short} keeps changing",
            hint="Another writer is at work; try again.",
            code="O096",
            temporary=True,
        )

    def _fallback(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        try:
            _, data, _ = self.fetch_manifest(repository, fallback_tag(digest))
        except RegistryError as error:
            if error.status == 404:
                return ()
            raise
        return parse_index(data, f"the referrers of {digest.short}").manifests

    def _put_manifest(
        self, repository: str, ref: str, media_type: str, data: bytes
    ) -> tuple[Digest, bool]:
        digest = sha256_of(data)
        if ":" in ref and ref != digest:
            raise IntegrityError(
                f"a manifest with the digest {digest} cannot stand under {ref[:80]}",
                hint="The manifest's bytes were changed on the way.",
                code="O093",
            )
        path = f"/v2/{check_repository(repository)}/manifests/{check_reference(ref)}"
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        ok = frozenset({200, 201, 202})
        response = self._transport.request(
            "PUT", path, repository=repository, ok=ok, headers=headers, body=lambda: data
        )
        response.close()
        check_kept(response, digest, f"{self.host}/{repository}")
        return digest, "OCI-Subject" in response.headers

    def _same_host(self, link: str) -> str:
        url = urljoin(self._transport.base, link)
        if not url.startswith(self._transport.base + "/v2/"):
            raise RegistryError(f"{self.host} sends to another host for more tags", code="O097")
        return url

    def _request(
        self,
        method: str,
        url: str,
        repository: str,
        ok: frozenset[int],
        headers: dict[str, str] | None = None,
    ) -> Any:
        return self._transport.request(method, url, repository=repository, ok=ok, headers=headers)


def _wrong(digest: Digest, host: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{host} gave {found} for the blob {digest}",
        hint="The registry or a proxy before it gives damaged bytes; nothing was kept.",
        code="O092",
    )
