"""What people write for an image in a registry, and its one full form.

Source: the grammar of Docker's image references: ``[HOST/]REPOSITORY[:TAG][@DIGEST]``; the host is
named where the first part has a dot or a colon or is ``localhost``.
"""

from __future__ import annotations

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.records import dataclass
from ssds.oci.names import check_host, check_reference, check_repository

DEFAULT_HOST = "docker.io"
_DEFAULT_FOLDER = "library"
_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})
LENGTH_LIMIT = 500
_LOOPBACK = pattern(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """An image in a registry: its tag may move, its digest cannot.

    Attributes:
        host: ``docker.io``, ``ghcr.io``, ``localhost:5000``.
        repository: ``library/ubuntu``.
        tag: ``24.04``; the empty string where only a digest is given.
        digest: of an index or a manifest, or None.
    """

    host: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.place}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def place(self) -> str:
        """Host and repository: ``docker.io/library/ubuntu``."""
        return f"{self.host}/{self.repository}"


def parse_image_name(text: str) -> ImageName:
    """Returns what a reference names: ``ubuntu`` is ``docker.io/library/ubuntu:latest``.

    Raises:
        InvalidValue: O130, no reference; O090, O098, O099 for its host, repository or tag.
    """
    if not text or len(text) > LENGTH_LIMIT or text.isspace() or "://" in text:
        raise InvalidValue(
            f"{text[:80]!r} does not name an image in a registry",
            hint="Write [HOST/]REPOSITORY[:TAG][@sha256:…], without a scheme.",
            code="O130",
        )
    name, at, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, path = first.lower(), rest
    else:
        host, path = DEFAULT_HOST, name
    host = DEFAULT_HOST if host in _ALIASES else host
    repository, colon, tag = path.partition(":")
    if host == DEFAULT_HOST and "/" not in repository:
        repository = f"{_DEFAULT_FOLDER}/{repository}"
    if not colon and not at:
        tag = "latest"
    if ":" in tag:
        raise InvalidValue(f"{tag[:80]!r} cannot be a tag", hint="It has a colon.", code="O099")
    if at and not digest.startswith("sha256:"):
        raise InvalidValue(
            f"{digest[:80]!r} cannot name an image", hint="Write @sha256:….", code="O130"
        )
    return ImageName(
        host=check_host(host),
        repository=check_repository(repository),
        tag=check_reference(tag) if colon or tag else "",
        digest=Digest(digest) if at else None,
    )


def is_loopback(server: str) -> bool:
    """Whether ``host[:port]`` is this machine."""
    return bool(_LOOPBACK.fullmatch(server))
