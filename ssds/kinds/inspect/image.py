"""Looks through an image: who may become root in it, who may write where, and secrets.

The rules are those of the CIS Docker Benchmark, section 4, and of linters after it; what a
distribution's own programs need is ``negligible``. Secrets are looked for in every layer, for what
a later one hides is still shipped.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence

from ssds.core.canonical import Json
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.kinds.inspect.remark import SEVERITIES, Remark, of_file
from ssds.kinds.inspect.secrets import in_config, in_folder, in_layers
from ssds.oci.flatten import Entry, FlatTree

FORMAT = 1
LIMIT_REMARKS = 10_000
ACCOUNTS_LIMIT_BYTES = 4 * 1024 * 1024
_CAPABILITY = "security.capability"
_USUAL = frozenset(
    """
    chage chfn chsh crontab dbus-daemon-launch-helper expiry fusermount fusermount3 gpasswd mount
    newgrp pam_extrausers_chkpwd passwd ping ping6 pkexec polkit-agent-helper-1 ssh-agent
    ssh-keysign su sudo umount unix_chkpwd unix_update userhelper utempter wall write
    """.split()  # noqa: SIM905 - a list of words
)
"""Programs of distributions that are setuid or setgid, or have capabilities, on every system."""
_USUAL_FOLDERS = ("bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/lib/", "usr/libexec/", "lib/")
_LEFT_OPEN = ("dev/", "proc/", "sys/")
"""Folders over which a runtime mounts its own."""


def inspect(
    tree: FlatTree, environment: Mapping[str, str], closed: set[str] | None = None
) -> tuple[Remark, ...]:
    """Returns the remarks on an image, sorted, at most LIMIT_REMARKS: of more, the worst.

    Args:
        tree: its merged view; what it was made of (``tree.layers``) is looked through too.
        environment: of its config.
        closed: gets the paths of files of an unpacked image that cannot be read; None for an image
            of layers, of which all can.
    """
    closed = set() if closed is None else closed
    found = {
        *_of_files(tree),
        *_of_accounts(tree, closed),
        *(in_layers(tree.layers) if tree.layers else in_folder(tree, closed)),
        *in_config(environment),
    }
    worst = sorted(found, key=lambda r: (SEVERITIES.index(r.severity), r))
    return tuple(sorted(worst[:LIMIT_REMARKS]))


def document(remarks: Sequence[Remark]) -> dict[str, Json]:
    """Returns ``{format, findings: [{rule, severity, path, layer, what}]}``, canonical JSON."""
    return {"format": FORMAT, "findings": [remark.to_json() for remark in remarks]}


def _of_files(tree: FlatTree) -> Iterator[Remark]:
    for path, entry in tree.entries.items():
        if entry.type == "symlink" or path.startswith(_LEFT_OPEN):
            continue
        if entry.type in ("char", "block"):
            if (entry.type, entry.mode & 0o777) != ("char", 0):  # an overlay's whiteout
                yield of_file("device", path, entry.layer, f"a {entry.type} device")
        elif entry.type == "file":
            yield from _of_file(path, entry)
        if entry.mode & stat.S_IWOTH and path:
            yield from _writable(path, entry)


def _of_file(path: str, entry: Entry) -> Iterator[Remark]:
    usual = path.startswith(_USUAL_FOLDERS) and path.rpartition("/")[2] in _USUAL
    runs = entry.mode & 0o111
    if entry.mode & stat.S_ISUID and runs:
        what = f"who runs it becomes {'root' if entry.uid == 0 else f'user {entry.uid}'}"
        yield of_file("setuid", path, entry.layer, what, usual=usual)
    if entry.mode & stat.S_ISGID and entry.mode & 0o010:
        what = f"who runs it gets the rights of group {entry.gid}"
        yield of_file("setgid", path, entry.layer, what, usual=usual)
    if _CAPABILITY in entry.xattrs:
        what = "who runs it gets capabilities of root"
        yield of_file("capability", path, entry.layer, what, usual=usual)


def _writable(path: str, entry: Entry) -> Iterator[Remark]:
    if entry.type == "folder" and not entry.mode & stat.S_ISVTX:
        what = "a folder that everybody may write to, without the sticky bit"
        yield of_file("world-writable", path, entry.layer, what)
    elif entry.type == "file":
        what = "a file that everybody may write to"
        if entry.mode & 0o111:
            what = "a program that everybody may change"
        yield of_file("world-writable", path, entry.layer, what)


def _of_accounts(tree: FlatTree, closed: set[str]) -> Iterator[Remark]:
    for path, fields in (("etc/shadow", 2), ("etc/passwd", 3)):
        entry = tree.resolve(path)
        if entry is None or entry.type != "file":
            continue
        try:
            text = tree.read(path, ACCOUNTS_LIMIT_BYTES).decode("utf-8", "replace")
        except IntegrityError:
            continue
        except UnavailableError:
            closed.add(path)
            continue
        for line in text.splitlines():
            account, *rest = line.split(":")
            if line.startswith("#") or len(rest) < fields - 1:
                continue
            if not rest[0]:
                what = f"the account {account[:40]!r} has an empty password"
                yield of_file("empty-password", path, entry.layer, what)
            if path == "etc/passwd" and account != "root" and rest[1] == "0":
                what = f"the account {account[:40]!r} is root too (user 0)"
                yield of_file("second-root", path, entry.layer, what)
