"""Addresses of object stores: one grammar for recipes, settings and clients."""

from __future__ import annotations

from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.records import dataclass

KINDS = {"s3": "s3", "swift": "swift", "": "put"}
"""What stands before ``+http`` or ``+https`` in an address → who speaks it."""

_ADDRESS = pattern(
    r"(?:(?P<kind>s3|swift)\+)?(?P<scheme>https?)://"
    r"(?P<host>(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*/?)(?:\?region=(?P<region>[A-Za-z0-9-]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where objects go: ``[s3+|swift+]https://host/path[?region=…]``.

    Attributes:
        kind: a value of KINDS.
        base: scheme and host; path: what keys are put behind, without slashes at its ends.
    """

    kind: str
    base: str
    host: str
    path: str
    region: str = ""


def parse_address(text: str) -> Address:
    """Returns the parts of an address.

    Raises:
        InvalidValue: O200, it is none.
    """
    found = _ADDRESS.fullmatch(text)
    path = found["path"].strip("/") if found else ""
    if not found or (found["kind"] and not path):
        raise InvalidValue(
            f"{text[:120]!r} is not the address of an object store",
            hint="Write s3+https://HOST/BUCKET/PREFIX, swift+https://HOST/v1/ACCOUNT/CONTAINER/… "
            "or https://HOST/FOLDER; no user and no password, and only ?region=NAME behind it.",
            code="O200",
        )
    return Address(
        kind=KINDS[found["kind"] or ""],
        base=f"{found['scheme']}://{found['host']}",
        host=found["host"],
        path=path,
        region=found["region"] or "",
    )
