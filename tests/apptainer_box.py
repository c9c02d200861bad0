"""Runs real Apptainer: the machine's own, or that of a Debian root folder (``.ci/apptainer-root``).

``SSDS_APPTAINER_ROOT`` names such a folder. It is entered with pivot_root in a mount namespace of
its own: Apptainer refuses to run in a plain chroot. Folders of the test are bound at their own
paths.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

_ENTER = """
set -e
root=$1; user=$2; shift 2
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
    : >"dev/$name"; mount --bind "/dev/$name" "dev/$name"
done
mknod dev/fuse c 10 229; chmod 666 dev/fuse
mkdir dev/shm dev/pts; chmod 1777 dev/shm
for name in 0 1 2 3 4 5 6 7; do mknod "dev/loop$name" b 7 "$name"; done
mknod dev/loop-control c 10 237
mount --rbind /sys sys
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 run run
printf 'root:x:0:0:root:/root:/bin/sh\\nprobe:x:54321:54321::/tmp:/bin/sh\\n' >run/passwd
mount --bind run/passwd etc/passwd
while [ "$1" != -- ]; do
    mkdir -p "./$1"; mount --rbind "$1" "./$1"; shift
done
shift
mkdir -p run/old
pivot_root . run/old
umount -l /run/old
cd "$BOX_CWD"
[ "$user" = 0 ] && exec "$@"
exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"""


def box_root() -> str:
    """Returns the root folder with Apptainer, or the empty string."""
    root = os.environ.get("SSDS_APPTAINER_ROOT", "/var/lib/ssds-ci/apptainer-root")
    return root if os.path.exists(f"{root}/usr/bin/apptainer") else ""


def available() -> bool:
    """Whether Apptainer can be run here, as root in its box or as the machine's own."""
    return bool(shutil.which("apptainer")) or (os.geteuid() == 0 and bool(box_root()))


def run_boxed(
    arguments: Sequence[str],
    *,
    folders: Sequence[str],
    cwd: str,
    user: int = 0,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program where ``apptainer`` is in the PATH; ``folders`` are seen there too."""
    given = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/tmp",
        **(environment or {}),
    }
    if shutil.which("apptainer"):
        return subprocess.run(
            arguments, cwd=cwd, env={**os.environ, **given}, input=stdin, capture_output=True,
            check=False, timeout=300, user=user if os.geteuid() == 0 else None,
        )  # fmt: skip
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
    return subprocess.run(
        [*command, box_root(), str(user), *folders, "--", *arguments],
        env={**given, "BOX_CWD": cwd},
        input=stdin,
        capture_output=True,
        check=False,
        timeout=300,
    )


def apptainer(
    verb: str, *arguments: str, folder: str, user: int = 0, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs ``apptainer VERB`` in ``folder``."""
    careful = ["--no-privs"] if user == 0 and verb in ("exec", "run", "shell", "test") else []
    return run_boxed(
        ["apptainer", verb, *careful, *arguments],
        folders=[folder],
        cwd=folder,
        user=user,
        environment=environment,
    )
