"""What the sandbox enforces, measured from inside by trying it. Standard library only.

It runs as the step, as root of the namespace, after all privileges were dropped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import stat

PROBE_PROCESSES = 12
PROBE_MEMORY_BYTES = 192 << 20
_AF_VSOCK = 40
_NEWUSER = 0x10000000
_INITIAL_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO of the kernel
_libc = ctypes.CDLL(None, use_errno=True)


def measure(process_limit: int) -> dict[str, bool]:
    """Returns name → whether the attack was held off; raises OSError where layers do not work."""
    _overlay_works()
    size, flags = PROBE_MEMORY_BYTES + (64 << 20), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return {
        "no_network": _interfaces() == ["lo"],
        "own_processes": {p for p in os.listdir("/proc") if p.isdigit()} == {"1", str(os.getpid())},
        "no_host_files": set(os.listdir("/")) <= {"dev", "etc", "proc", "run", "tmp", "var"},
        "read_only_inputs": _refused(_write, "/run/input/etc/kept"),
        "no_devices": _refused(os.mknod, "/etc/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
        "no_kernel_settings": _refused(_write, "/proc/sys/kernel/core_pattern"),
        "no_mounts": _libc.mount(b"x", b"/etc", b"tmpfs", 0, None) != 0,
        "call_filter": _refused(socket.socket, _AF_VSOCK, socket.SOCK_STREAM),
        "no_nested_namespaces": _nested_refused(),
        "no_host_capabilities": os.stat("/proc/self/ns/user").st_ino != _INITIAL_USER_NAMESPACE,
        "not_host_root": _outer_root() != 0,
        "scratch_limit": _one_scratch(),
        "process_limit": _forks(process_limit * 3) < process_limit * 3,
        "memory_limit_per_process": _refused(mmap.mmap, -1, size, flags),
    }


def _overlay_works() -> None:
    """Does what every step does: write, remove, replace a folder, give files to other owners."""
    with open("/etc/new", "wb", buffering=0) as file:
        file.write(b"1")
    os.unlink("/etc/gone")
    os.mkdir("/etc/folder")
    for owner in (1, 1000, 65534):
        os.chown("/etc/new", owner, owner)
    os.rename("/etc/new", "/etc/kept")
    if sorted(os.listdir("/etc")) != ["folder", "kept"]:
        raise OSError("the overlay shows wrong files")


def _interfaces() -> list[str]:
    with open("/proc/net/dev", "rb", buffering=0) as file:
        lines = file.read(1 << 16).splitlines()[2:]
    return [line.partition(b":")[0].strip().decode() for line in lines]


def _one_scratch() -> bool:
    """Whether all that is kept in memory is one file system of less than the memory."""
    size = os.statvfs("/tmp")  # noqa: S108 - of the image
    numbers = {os.stat(f"/{name}").st_dev for name in ("run", "tmp", "var/tmp", "dev/shm")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return len(numbers) == 1 and 0 < size.f_blocks * size.f_frsize < memory


def _nested_refused() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if _libc.unshare(_NEWUSER) != 0 else 1)
    return os.waitpid(child, 0)[1] == 0


def _outer_root() -> int:
    """Returns the host's number of the user that is root here."""
    with open("/proc/self/uid_map", "rb", buffering=0) as file:
        return int(file.read(200).split()[1])


def _refused(action: object, *arguments: object) -> bool:
    assert callable(action)
    try:
        action(*arguments)
    except (OSError, MemoryError):
        return True
    return False


def _write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY))


def _forks(wanted: int) -> int:
    """Returns how many of the wanted children could be made; ends them."""
    children: list[int] = []
    try:
        for _ in range(wanted):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)
