"""Runs tests again as an ordinary user that exists only for them (root makes and removes it).

The checkout and its environment may lie where that user may not look (below /root): they are bound
to an open folder in a mount namespace of the run. The Python is this one where the user can
execute it, else the machine's own of the same version.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def reason_against() -> str:
    """Why no user can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "only root can make a user"
    missing = [p for p in ("useradd", "userdel", "newuidmap", "runuser") if not shutil.which(p)]
    return f"missing programs: {' '.join(missing)}" if missing else ""


@contextlib.contextmanager
def ordinary_user() -> Iterator[str]:
    """Makes a user with subordinate ids for the block; gives its name."""
    name = f"ssdst{secrets.token_hex(4)}"
    for path in ("/etc/subuid", "/etc/subgid"):  # useradd gives ids only where these files are
        with open(path, "a", encoding="ascii"):
            pass
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", name], check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", "-r", name], check=False, capture_output=True)


def run_as(name: str, arguments: list[str], *, timeout_s: float = 900) -> tuple[int, str]:
    """Runs ``python ARGUMENTS`` in the checkout as ``name``; returns exit code and output."""
    folder = tempfile.mkdtemp(prefix="ssds-as-user-")
    os.chmod(folder, 0o755)
    places = {"checkout": ROOT, **_packages()}
    for place in (*places, "work", "small"):
        os.mkdir(f"{folder}/{place}")
    shutil.chown(f"{folder}/work", name)
    binds = [f"mount --bind '{path}' '{folder}/{place}'" for place, path in places.items()]
    python_path = ":".join(f"{folder}/{place}" for place in places if place != "checkout")
    environment = {
        "HOME": f"{folder}/work",
        "LC_ALL": "C.UTF-8",
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{folder}/checkout:{python_path}",
        "SSDS_REQUIRE": os.environ.get("SSDS_REQUIRE", ""),
        "SSDS_TEST_FOLDER": f"{folder}/work",
        "SSDS_TEST_SMALL_DISK": f"{folder}/small",
        "TMPDIR": f"{folder}/work",
    }
    binds.append(f"mount -t tmpfs -o size=64m,mode=1777 ssds-test '{folder}/small'")
    inner = " && ".join([*binds, f"cd '{folder}/checkout'", 'exec "$@"'])
    command = ["runuser", "-u", name, "--", _python(name), *arguments]
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner, "sh", *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return done.returncode, done.stdout


def _packages() -> dict[str, str]:
    folders = [p for p in (*site.getsitepackages(), *sys.path) if p.endswith("site-packages")]
    return {f"packages{number}": path for number, path in enumerate(dict.fromkeys(folders))}


def _python(name: str) -> str:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for candidate in (
        sys.executable,
        f"/usr/bin/python{version}",
        f"/usr/local/bin/python{version}",
    ):
        tried = subprocess.run(
            ["runuser", "-u", name, "--", candidate, "-I", "-c", "import json"],
            capture_output=True,
            cwd="/",
            check=False,
        )
        if tried.returncode == 0:
            return candidate
    raise FileNotFoundError(f"no Python {version} that an ordinary user can execute")
