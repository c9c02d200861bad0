"""A tiny root file system made of this machine's own programs: no network, no package manager."""

from __future__ import annotations

import atexit
import contextlib
import functools
import glob
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from ssds.core.digest import Digest
from ssds.host.sandbox import Job, JobResult, Sandbox, fixed_environment
from ssds.store.trees import Trees

EPOCH = 1_700_000_000
PROGRAMS = (
    *("cat", "chmod", "chown", "cp", "date", "dd", "echo", "env", "false", "getent", "grep"),
    *("head", "hostname", "id", "ip", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount"),
    *("mv", "ps", "python3", "rm", "sed", "sh", "sleep", "sort", "stat", "tail", "timeout"),
    *("touch", "true", "umount", "uname", "unshare"),
)


def tiny_rootfs(folder: str, programs: tuple[str, ...] = PROGRAMS) -> str:
    """Fills ``folder`` with the programs, their libraries, passwd and group; returns it."""
    for name in ("etc", "usr/bin", "usr/lib", "usr/lib64", "root", "home/alice", "var/lib"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    for link, target in (("bin", "bin"), ("lib", "lib"), ("lib64", "lib64"), ("sbin", "bin")):
        os.symlink(f"usr/{target}", f"{folder}/{link}")
    for program in programs:
        path = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if path is None:
            continue
        real = os.path.realpath(path)
        shutil.copy2(real, f"{folder}/usr/bin/{program}")
        _copy_libraries(real, folder)
    if "python3" in programs:
        _python(folder)
    people = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
    _write(f"{folder}/etc/passwd", people)
    _write(f"{folder}/etc/group", "root:x:0:\nalice:x:1000:\nlab:x:2000:alice\n")
    for base, folders, files in os.walk(folder):
        for name in folders:
            os.chmod(f"{base}/{name}", 0o755, follow_symlinks=os.path.islink(f"{base}/{name}"))
        for name in (*folders, *files):
            os.utime(f"{base}/{name}", (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    return folder


def _python(folder: str) -> None:
    """Copies the standard library of the machine's own Python, without what tests never use."""
    place = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", "import os; print(os.path.dirname(os.__file__))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    skip = shutil.ignore_patterns(
        "__pycache__", "test", "idlelib", "lib2to3", "ensurepip", "config-*", "dist-packages"
    )
    _copy_libraries(*glob.glob(f"{place}/lib-dynload/_ctypes.*.so"), folder)
    shutil.copytree(place, folder + place, symlinks=True, ignore=skip, dirs_exist_ok=True)


def _copy_libraries(program: str, folder: str) -> None:
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", output):
        place = folder + re.sub(r"^/(usr/)?", "/usr/", os.path.dirname(library))
        os.makedirs(place, exist_ok=True)
        shutil.copy2(os.path.realpath(library), f"{place}/{os.path.basename(library)}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)


def modes() -> tuple[str, ...]:
    """The sandbox modes that this user can have."""
    return ("identity", "trusted") if os.geteuid() == 0 else ("subuid",)


@functools.cache
def scratch() -> str:
    """One folder on disk for this test process, removed at its end."""
    folder = tempfile.mkdtemp(prefix="ssds-test-", dir=os.environ.get("SSDS_TEST_FOLDER"))
    os.chmod(folder, 0o755)
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            for mode in modes():
                Sandbox(mode, folder + "-last").remove(folder)
            shutil.rmtree(folder + "-last", ignore_errors=True)

    atexit.register(remove)
    return folder


@functools.cache
def trees(mode: str) -> Trees:
    """The trees of a mode, in ``scratch``."""
    return Trees(f"{scratch()}/trees", Sandbox(mode, f"{scratch()}/sandbox-{mode}"))


@functools.cache
def base() -> tuple[Digest, str]:
    """The tiny root file system as a normalised layer: its diffID and tar."""
    root = tiny_rootfs(f"{scratch()}/rootfs")
    tar = f"{scratch()}/base.tar"
    return trees(modes()[0]).export_tree(root, EPOCH, tar).diff_id, tar


@functools.cache
def base_folder(mode: str) -> str:
    """The unpacked base of a mode."""
    return trees(mode).layer(*base())


@contextlib.contextmanager
def small_disk() -> Iterator[str]:
    """A folder on a file system of 64 MiB; an ordinary user has one only where root made it."""
    made = os.environ.get("SSDS_TEST_SMALL_DISK", "")
    if made:
        yield made
        return
    folder = tempfile.mkdtemp(prefix="small-", dir=scratch())
    command = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=1777", "ssds-test", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def shell(
    mode: str, script: str, *, lowers: tuple[str, ...] = (), **more: object
) -> tuple[JobResult, str]:
    """Runs a script in the tiny root file system; returns the result and its output."""
    output = bytearray()
    values = {"environment": fixed_environment(EPOCH), "time_limit_s": 60, **more}
    job = Job(
        lowers=(base_folder(mode), *lowers),
        argv=("/bin/sh", "-euc", script),
        log=output.extend,
        **values,  # type: ignore[arg-type]
    )
    result = trees(mode).sandbox.run(job)
    return result, output.decode("utf-8", "replace")
