"""What a layer leaves out or rewrites, so that the same step gives the same bytes.

Measured on Debian packages with maintainer scripts: run twice, under other host names, a year
apart, in every sandbox mode. Whoever changes a rule raises NORMAL_VERSION, which is part of what
shapes a layer's bytes (``docs/reference`` lists the rules).
"""

from __future__ import annotations

import hashlib
import re
import struct

NORMAL_VERSION = 1

# A whole subtree: mount points of the sandbox. The folders themselves are left out too.
_SUBTREES = ("dev", "proc", "run", "sys", "tmp", "var/tmp")

_PATTERNS = (
    # written by the sandbox or the machine
    r"etc/resolv\.conf",
    r"etc/hostname",
    r"etc/\.pwd\.lock",
    r"etc/[^/]*-",
    r"var/lib/systemd/random-seed",
    r"var/lib/dbus/machine-id",
    # caches and logs that hold times or inode numbers
    r"var/cache/ldconfig/aux-cache",
    r"var/log/(alternatives|dpkg)\.log[^/]*",
    r"var/log/bootstrap\.log",
    r"var/log/apt/.*",
    r"var/cache/apt/[^/]*\.bin",
    r"var/cache/apt/archives/.*",
    r"var/lib/apt/lists/.*",
    r"var/cache/debconf/[^/]*-old",
    r"var/lib/dpkg/[^/]*-old",
    r"var/lib/dpkg/lock[^/]*",
    r"var/lib/dpkg/triggers/Lock",
    # secrets that every machine must make for itself
    r"etc/ssh/ssh_host_[^/]*_key[^/]*",
    r"etc/ssl/private/ssl-cert-snakeoil\.key",
    r"etc/ssl/certs/ssl-cert-snakeoil\.pem",
)
_DROPPED = re.compile("|".join(f"(?:{p})" for p in _PATTERNS))

EMPTIED = frozenset({"etc/machine-id"})
"""Files that stay, with no content: their presence means "make one at first start"."""

JAVA_TRUST = "etc/ssl/certs/java/cacerts"
JAVA_TRUST_LIMIT = 16 << 20


def is_dropped(path: str) -> bool:
    """Tells whether ``path`` (relative, no leading slash) is left out of layers."""
    top = path.partition("/")[0]
    if top in _SUBTREES:
        return True
    return path == "var/tmp" or path.startswith("var/tmp/") or bool(_DROPPED.fullmatch(path))


def kept_xattr(name: str) -> bool:
    """Tells whether an extended attribute belongs to the software and not to the host.

    ``trusted.*`` and labels of security modules are left out: an ordinary user cannot see them,
    so they would differ between sandbox modes.
    """
    if name.startswith("user."):
        return not name.startswith("user.overlay.")
    return name == "security.capability" or name.startswith("system.posix_acl_")


def plain_capability(value: bytes) -> bytes:
    """Returns file capabilities without the owner of the namespace that set them.

    Revision 3 is revision 2 and a root id (capabilities(7), "File capability extended
    attribute versioning").
    """
    if len(value) == 24 and value[3] == 3:
        return bytes([value[0], value[1], value[2], 2]) + value[4:20]
    return value


def java_trust_store(data: bytes, epoch: int) -> bytes:
    """Returns a Java key store of certificates with fixed times and sorted aliases.

    A JKS file holds the time at which each entry was made. Anything that is not a version 2 store
    of trusted certificates under Java's default password is returned as it is.

    Source: the layout in OpenJDK's ``sun.security.provider.JavaKeyStore`` documentation: magic
    feedfeed, version, count; per entry a tag, an alias, milliseconds, a type, a certificate;
    SHA-1 over the password in UTF-16, a fixed phrase and the data.
    """
    seed = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"
    body, trailer = data[:-20], data[-20:]
    if hashlib.sha1(seed + body, usedforsecurity=False).digest() != trailer:
        return data
    magic, version, count = struct.unpack_from(">III", body)
    if magic != 0xFEEDFEED or version != 2:
        return data
    entries: list[tuple[bytes, bytes]] = []
    place = 12
    try:
        for _ in range(count):
            start = place
            (tag,) = struct.unpack_from(">I", body, place)
            if tag != 2:  # a private key: not ours to touch
                return data
            alias, place = _text(body, place + 4)
            time_place = place
            kind, place = _text(body, place + 8)
            del kind
            (length,) = struct.unpack_from(">I", body, place)
            place += 4 + length
            fixed = struct.pack(">Q", epoch * 1000)
            entries.append((alias, body[start:time_place] + fixed + body[time_place + 8 : place]))
    except struct.error:
        return data
    if place != len(body):
        return data
    result = body[:12] + b"".join(entry for _, entry in sorted(entries))
    return result + hashlib.sha1(seed + result, usedforsecurity=False).digest()


def _text(data: bytes, place: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", data, place)
    return data[place + 2 : place + 2 + length], place + 2 + length
