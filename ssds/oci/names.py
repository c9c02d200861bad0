"""Names in registries: hosts, repositories, tags, as the specification allows them.

Source: OCI distribution specification 1.1, "Pulling manifests".
"""

from __future__ import annotations

import re

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue

_HOST = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?|\[[0-9a-fA-F:]+\](?::\d{1,5})?"
)
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def check_host(text: str) -> str:
    """Returns ``text`` where it is ``host`` or ``host:port``; raises InvalidValue (O090)."""
    if not _HOST.fullmatch(text) or len(text) > 260:
        raise InvalidValue(
            f"{text[:80]!r} is not a registry's host",
            hint="Write host or host:port, without a scheme or a path.",
            code="O090",
        )
    return text


def check_repository(text: str) -> str:
    """Returns ``text`` where it can name a repository; raises InvalidValue (O098)."""
    if not _REPOSITORY.fullmatch(text) or len(text) > 255:
        raise InvalidValue(
            f"{text[:80]!r} cannot be the name of a repository in a registry",
            hint="Use lower-case letters and digits, with . _ - inside and / between parts.",
            code="O098",
        )
    return text


def check_reference(text: str) -> str:
    """Returns ``text`` where it is a tag or a digest; raises InvalidValue (O099)."""
    if ":" in text:
        return Digest(text)
    if not _TAG.fullmatch(text):
        raise InvalidValue(
            f"{text[:80]!r} cannot be a tag",
            hint="Use letters, digits and _ . - inside, 128 characters at most.",
            code="O099",
        )
    return text


def fallback_tag(digest: Digest) -> str:
    """Returns the tag of the referrers index where a registry keeps none itself."""
    return f"{digest.algorithm}-{digest.hex}"[:128]
