"""A tiny root file system made of this machine's own programs: no network, no package manager."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

PROGRAMS = ["bash", "cat", "chmod", "chown", "cp", "date", "dd", "echo", "env", "false", "find", "getent", "hostname", "id", "ip", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mv", "nproc", "ps", "python3", "rm", "sed", "sh", "sleep", "sort", "stat", "tail", "timeout", "touch", "true", "umount", "uname", "unshare", "setfattr", "getfattr", "setpriv", "setcap", "getcap", "su"]


def tiny_rootfs(folder: str, programs: tuple[str, ...] = ()) -> str:
    """Fills ``folder`` with the programs, their libraries, passwd and group; returns it."""
    os.makedirs(folder, exist_ok=True)
    for name in ("etc", "usr/bin", "usr/lib", "usr/lib64", "root", "home/alice", "var/lib"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    for link in ("bin", "lib", "lib64", "sbin"):
        target = "usr/bin" if link == "sbin" else f"usr/{link}"
        os.symlink(target, f"{folder}/{link}")
    for program in programs or PROGRAMS:
        path = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if path is None:
            continue
        real = os.path.realpath(path)
        shutil.copy2(real, f"{folder}/usr/bin/{program}")
        for library in _libraries(real):
            target = f"{folder}{os.path.dirname(library).replace('/lib', '/usr/lib', 1)}"
            target = target.replace("/usr/usr/", "/usr/")
            os.makedirs(target, exist_ok=True)
            if not os.path.exists(f"{target}/{os.path.basename(library)}"):
                shutil.copy2(os.path.realpath(library), f"{target}/{os.path.basename(library)}")
    if not programs or "python3" in programs:
        _python(folder)
    _write(
        f"{folder}/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
    )
    _write(f"{folder}/etc/group", "root:x:0:\nalice:x:1000:\nlab:x:2000:alice\n")
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.utime(f"{base}/{name}", (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    return folder


def _python(folder: str) -> None:
    """Copies the standard library of Debian's Python, without what tests never use."""
    for place in ("/usr/lib/python3.11",):
        skip = shutil.ignore_patterns(
            "__pycache__", "test", "idlelib", "lib2to3", "ensurepip", "config-*", "dist-packages"
        )
        shutil.copytree(place, folder + place, symlinks=True, ignore=skip, dirs_exist_ok=True)


def _libraries(program: str) -> list[str]:
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", output)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
