"""The part of the bootstrap that runs as the sandbox's root.

Mounts, processes, network, host name and IPC are its own, so maintainer scripts have no network and
see no process of the host. In mode ``subuid`` the user namespace is its own too; in mode
``identity`` it is not: the scripts of the base's pinned packages, and only they, run as root.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from typing import IO

from ssds.core.canonical import Json
from ssds.host.process import missing_program, run

_FIELD = re.compile(r"^(Package|Version|Architecture|Status): (.+)$", re.MULTILINE)
_HOOK = (
    'rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/var/log/bootstrap.log"; '
    'rm -rf "$1/etc/apt/sources.list.d"; mkdir -m 755 "$1/etc/apt/sources.list.d"; '
    ': > "$1/etc/apt/sources.list"'
)


def bootstrap(
    *,
    repository: str,
    root: str,
    scratch: str,
    log: str,
    suite: str,
    architecture: str,
    packages: Sequence[str],
    dpkg: Sequence[str],
    epoch: int,
    time_limit_s: float,
) -> dict[str, Json]:
    """Makes the folder ``root`` from the packages in ``repository``; tells what is installed.

    Every package is named: a .deb's own priority may differ from the archive's, by which mmdebstrap
    would choose.

    Returns ``exit_code``, ``timed_out``, ``last`` (the last line of output) and ``installed``
    (``name version architecture`` texts).

    Raises:
        UnavailableError: mmdebstrap or unshare is missing.
    """
    if shutil.which("mmdebstrap") is None:
        raise missing_program("mmdebstrap")
    source = f"deb [trusted=yes] copy:{repository} {suite} main"
    argv = ["setpriv", "--pdeathsig", "KILL"]  # nothing goes on when this process is killed
    argv += ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
    argv += ["sh", "-c", 'hostname localhost; umask 022; exec mmdebstrap "$@"', "sh"]
    argv += ["--mode=root", "--variant=apt", "--format=directory", "--skip=check/qemu"]
    argv += [f"--architectures={architecture}", f"--customize-hook={_HOOK}"]
    argv += [f"--dpkgopt={option}" for option in dpkg]
    argv += [f"--include={','.join(packages)}"]
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC0",
        "TMPDIR": scratch,
        "SOURCE_DATE_EPOCH": str(epoch),
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
    }
    with open(log, "wb") as file:
        ended = run(
            [*argv, suite, root, source],
            env=environment,
            cwd="/",
            timeout_s=time_limit_s,
            log=lambda data: _write(file, data),
        )
    lines = [line for line in ended.text.splitlines() if line.startswith("E:")]
    return {
        "exit_code": ended.returncode,
        "timed_out": ended.timed_out,
        "last": (lines or ended.text.splitlines() or [""])[-1][:300],
        "installed": list(_installed(root)),
    }


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _installed(root: str) -> list[str]:
    """Returns what dpkg's status file lists as installed."""
    try:
        path = os.path.join(root, "var/lib/dpkg/status")
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    found = []
    for entry in text.split("\n\n"):
        fields = dict(_FIELD.findall(entry))
        if fields.get("Status") == "install ok installed":
            found.append(f"{fields['Package']} {fields['Version']} {fields['Architecture']}")
    return sorted(found)
