"""The source map of images: which layout or registry stands for which names. Pure.

The map goes from the beginning of an image's full name to a layout folder (``oci:PATH[:NAME]``) or
a place in a registry (``HOST/REPOSITORY[:TAG]``, ``http://`` before it for a loopback registry);
the longest beginning wins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ssds.core.errors import InvalidValue
from ssds.oci.image_name import ImageName, is_loopback, parse_image_name

LAYOUT = "oci:"
WEB = ("oci+https://", "oci+http://")
"""A layout on a web server; the settings' map has none, only what is installed from there."""
HTTP = "http://"


def check_prefix(prefix: str) -> str:
    """Returns why a text is no beginning of an image's full name, or the empty string."""
    host, _, path = prefix.partition("/")
    if "." not in host and ":" not in host and host != "localhost":
        return "it starts with no host; write HOST/REPOSITORY"
    try:
        full = str(parse_image_name(prefix if path else f"{prefix}/any"))
    except InvalidValue as error:
        return error.message
    if path and not full.startswith(prefix):
        return f"in full it is {full}"
    return ""


def mapped(name: ImageName, images: Mapping[str, str]) -> tuple[str, str]:
    """Returns the longest beginning of the full name that the map has, and where it leads."""
    full = full_name(name)
    found = [p for p in images if full == p or (full.startswith(p) and full[len(p)] in "/:@")]
    best = max(found, key=len, default="")
    return best, images.get(best, "")


def full_name(name: ImageName) -> str:
    """Returns the name without its digest where it has a tag: mirrors know images by tag."""
    return f"{name.place}:{name.tag}" if name.tag else str(name)


def check_source(to: str) -> str:
    """Returns why a text of the source map leads nowhere, or the empty string."""
    if to.startswith(LAYOUT):
        path = to.removeprefix(LAYOUT).partition(":")[0]
        return "" if path else "oci: needs the path of an image layout"
    insecure = to.startswith(HTTP)
    server, _, path = to.removeprefix(HTTP).partition("/")
    if insecure and not is_loopback(server):
        return "plain http is for loopback addresses only"
    if "@" in to:
        return "it holds a digest or a password; name a host and a repository"
    try:
        parse_image_name(f"{server}/{path or 'any'}" if "." in server or ":" in server else to)
    except InvalidValue as error:
        return error.message
    return "" if "." in server or ":" in server or server == "localhost" else "it names no host"


def layout_path(to: str, base: str, home: str) -> str:
    """Returns an entry of the source map with a layout's path made absolute."""
    if not to.startswith(LAYOUT):
        return to
    path, colon, tag = to.removeprefix(LAYOUT).partition(":")
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return LAYOUT + os.path.normpath(os.path.join(base, path)) + colon + tag
