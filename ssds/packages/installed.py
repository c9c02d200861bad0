"""What a system image says of itself: its os-release, and what its dpkg has installed.

Sources: os-release(5); dpkg-query(1), the format of ``/var/lib/dpkg/status``. Both come from
outside and may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ssds.core.errors import SsdsError
from ssds.oci.flatten import FlatTree
from ssds.packages import debian

_STATUS = "var/lib/dpkg/status"
_RELEASES = ("etc/os-release", "usr/lib/os-release")
_STATUS_LIMIT_BYTES = 64 << 20
_RELEASE_LIMIT_BYTES = 1 << 16
_LINE = re.compile(r"^(ID|VERSION_CODENAME)=([\"']?)([A-Za-z0-9._-]{1,64})\2\s*$", re.MULTILINE)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~:-]*")
_ARCHITECTURE = re.compile(r"[a-z0-9-]+")


def status_text(tree: FlatTree) -> str:
    """Returns dpkg's status file of an image; empty where it has none."""
    entry = tree.resolve(_STATUS)
    if entry is None or entry.type != "file":
        return ""
    return tree.read(_STATUS, _STATUS_LIMIT_BYTES).decode("utf-8", "replace")


def system_of(tree: FlatTree) -> str:
    """Returns ``debian bookworm``: id and code name of the image's os-release, or what there is."""
    for path in _RELEASES:
        try:
            text = tree.read(path, _RELEASE_LIMIT_BYTES).decode("utf-8", "replace")
        except SsdsError:
            continue
        found = {name: value.lower() for name, _, value in _LINE.findall(text)}
        return " ".join(found[n] for n in ("ID", "VERSION_CODENAME") if n in found)
    return ""


def paragraphs(status: str) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Gives (name, version, architecture) and the text of each installed package."""
    for text in re.split(r"\n\s*\n", status):
        fields = debian.paragraph(text) if text.strip() else {}
        if fields.get("Status", "").split()[-1:] != ["installed"]:
            continue
        found = tuple(fields.get(name, "") for name in ("Package", "Version", "Architecture"))
        name, version, architecture = found
        if (
            debian.PACKAGE_NAME.fullmatch(name)
            and _VERSION.fullmatch(version)
            and _ARCHITECTURE.fullmatch(architecture)
        ):
            yield (name, version, architecture), text.strip("\n") + "\n"


def installed_in(status: str) -> list[tuple[str, str, str]]:
    """Returns name, version and architecture of what a status file has as installed."""
    return [found for found, _ in paragraphs(status)]
