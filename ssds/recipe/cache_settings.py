"""The setting ``cache``: remote caches, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.records import dataclass
from ssds.recipe.formats.scope import Report

_ADDRESS = pattern(r"https?://[^\s/]+(?:/[^\s]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSetting:
    """A remote cache (``cache`` in the settings).

    Attributes:
        location: ``oci://HOST/REPOSITORY``, ``https://…``, or a folder's absolute path.
        trust: ``unsigned``: who can write there is believed; ``signed``: only the trusted keys.
        push: ``apply`` sends what it made.
        impure: claims of what was made with network count, and are sent.
        insecure: a registry that speaks plain http.
        timeout_s: the longest wait for one answer.
    """

    name: str
    location: str
    trust: str
    push: bool = False
    impure: bool = True
    insecure: bool = False
    timeout_s: int = 20


def caches(
    items: list[Mapping[str, Any]], absolute: Callable[[str], str], report: Report
) -> tuple[CacheSetting, ...]:
    """Returns the caches that a file names, folders' paths made absolute."""
    found: dict[str, CacheSetting] = {}
    for number, item in enumerate(items):
        name, location = item["name"], item["location"]
        if name in found:
            report("W021", ("cache", number, "name"), ("found", name))
        why = _why_no_place(location)
        if why:
            report("W019", ("cache", number, "location"), ("found", location), ("reason", why))
        elif report.document.path == "ssds.yaml" and _has_password(location):
            report("W016", ("cache", number, "location"))
        place = location
        if "://" not in location or location.startswith("file://"):
            place = absolute(location.removeprefix("file://"))
        found[name] = CacheSetting(**{**item, "location": place})
    return tuple(found.values())


def _why_no_place(location: str) -> str:
    scheme, colon, rest = location.partition("://")
    if not colon:
        return ""
    if scheme == "file":
        return "" if rest.startswith("/") else "file:// needs an absolute path"
    if scheme in ("http", "https"):
        return "" if _ADDRESS.fullmatch(location) else "it is no address"
    if scheme != "oci":
        return f"{scheme[:20]}:// is no kind of place"
    from ssds.oci.names import check_host, check_repository

    host, _, repository = rest.partition("/")
    try:
        check_host(host)
        check_repository(repository)
    except InvalidValue:
        return "oci:// needs HOST/REPOSITORY in lower case, without a tag"
    return ""


def _has_password(location: str) -> bool:
    return "://" in location and "@" in location.split("/")[2]
