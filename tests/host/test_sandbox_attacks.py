"""The published table of what each mode enforces, row by row, by attacks from inside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from rootfs import base_folder, modes, scratch, shell, small_disk, trees

from ssds.host.probe import ENFORCED, probe
from ssds.host.sandbox import Bind

pytestmark = [pytest.mark.component("sandbox"), pytest.mark.parametrize("mode", modes())]

MIB = 1 << 20


def _table(mode):
    return probe(f"{scratch()}/probe-{mode}", mode).enforced


def _held(mode, script, **more):
    """Runs an attack that prints ``got through`` when it works."""
    _, output = shell(mode, f"({script}) && echo got through || true", **more)
    return "got through" not in output


def _text(path):
    with open(path) as file:
        return file.read()


def _no_network(mode, tmp_path):
    del tmp_path
    code = "import socket; s = socket.socket(); s.settimeout(2); s.connect(('203.0.113.1', 80))"
    _, links = shell(mode, "ip -o link")
    return links.count("\n") == 1 and ": lo:" in links and _held(mode, f'python3 -c "{code}"')


def _own_processes(mode, tmp_path):
    del tmp_path
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        shell(mode, f"kill -9 {victim.pid} || true; kill -9 -1 || true")
        return victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def _no_host_files(mode, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    tries = (
        f"cat {secret}",
        f"cat /proc/1/root{secret}",
        f"cat /proc/1/cwd{secret}",
        "echo x >/proc/1/fd/4",
        "ls -l /proc/1/fd | grep -e '->'",
        f"mkdir /x; ln -s ../../../../../../../.. /x/up; cat /x/up{secret}",
        f"unshare -m ls {secret}",
    )
    return all(_held(mode, attack) for attack in tries)


def _read_only_inputs(mode, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("as it was")
    binds = (Bind(source=f"{tmp_path}/in", target="/run/in"),)
    tries = (
        "echo x >/run/in/file",
        "rm /run/in/file",
        "touch /run/in/new",
        "chmod 777 /run/in/file",
        "mount -o remount,rw,bind /run/in && echo x >/run/in/file",
        "umount /run/in && echo x >/run/in/file",
    )
    held = all(_held(mode, attack, binds=binds) for attack in tries)
    return held and (tmp_path / "in/file").read_text() == "as it was"


def _no_devices(mode, tmp_path):
    del tmp_path
    return _held(mode, "mknod /d b 8 0") and _held(mode, "mknod /d c 1 1")


def _no_kernel_settings(mode, tmp_path):
    del tmp_path
    before = _text("/proc/sys/kernel/core_pattern")
    tries = (
        "echo x >/proc/sys/kernel/core_pattern",
        "echo b >/proc/sysrq-trigger",
        "mount -t proc proc /tmp && echo x >/tmp/sys/kernel/core_pattern",
        "umount /proc/sys && echo x >/proc/sys/kernel/core_pattern",
        "mount -t sysfs sysfs /tmp",
        "hostname attacked",
        "date -s 2001-01-01",
        "head -c 10 /proc/kcore | grep -q ELF",
    )
    held = all(_held(mode, attack) for attack in tries)
    return held and _text("/proc/sys/kernel/core_pattern") == before


def _no_mounts(mode, tmp_path):
    del tmp_path
    return _held(mode, "mount -t tmpfs x /root") and _held(mode, "umount -l /run")


def _call_filter(mode, tmp_path):
    del tmp_path
    code = (
        "import ctypes, socket, sys; c = ctypes.CDLL(None, use_errno=True); bad = 0\n"
        "for family in (40, 38, 17, 31):\n"
        "    try: socket.socket(family, {17: 3, 38: 5}.get(family, 1)); bad += 1\n"
        "    except OSError as e: bad += e.errno != 97\n"
        "for number in (425, 321, 250, 298, 323) if sys.maxsize > 0 else ():\n"
        "    bad += c.syscall(number, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 38\n"
        "sys.exit(bad)\n"
    )
    path = f"{scratch()}/filter.py"
    with open(path, "w") as file:
        file.write(code)
    os.chmod(path, 0o644)
    bind = Bind(source=path, target="/run/filter.py")
    result, _ = shell(mode, "python3 /run/filter.py", binds=(bind,))
    return result.exit_code == 0


def _no_nested_namespaces(mode, tmp_path):
    del tmp_path
    return _held(mode, "unshare -U true") and _held(mode, "unshare -U true", user="alice")


def _no_host_capabilities(mode, tmp_path):
    del tmp_path
    ours = os.stat("/proc/self/ns/user").st_ino
    _, output = shell(mode, "stat -L -c %i /proc/self/ns/user; grep CapEff /proc/self/status")
    inode, _, capabilities = output.split()
    assert int(capabilities, 16) & ~0xA80425FB == 0, "more than containers usually keep"
    return int(inode) != ours


def _not_host_root(mode, tmp_path):
    bind = Bind(source=str(tmp_path), target="/run/work", read_only=False)
    shell(mode, "touch /run/work/file", binds=(bind,))
    return os.stat(tmp_path / "file").st_uid != 0


def _time_limit(mode, tmp_path):
    del tmp_path
    marker = f"{60 + os.getpid() % 1000}.{time.monotonic_ns() % 100000}"
    script = f"trap '' TERM INT HUP; (sleep {marker} &) ; sleep {marker} & wait; sleep {marker}"
    result, _ = shell(mode, script, time_limit_s=0.7)
    found = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True)
    return result.timed_out and result.duration_ms < 8000 and marker not in found.stdout


def _process_limit(mode, tmp_path):
    del tmp_path
    code = (
        "import os, time\nmade = 0\n"
        "for _ in range(200):\n"
        "    try:\n        if os.fork() == 0:\n            time.sleep(20); os._exit(0)\n"
        "    except OSError: break\n"
        "    made += 1\nprint(made)"
    )
    result, output = shell(mode, f'exec python3 -c "{code}"', process_limit=60)
    return int(output) < 60 and "processes" not in result.unenforced


def _bomb(count, size):
    return (
        f"import os\nfor _ in range({count}):\n"
        f"    if os.fork() == 0:\n        b = b'x' * {size}; os._exit(7)\n"
        f"worst = max(os.waitstatus_to_exitcode(os.wait()[1]) != 7 for _ in range({count}))\n"
        "os._exit(9 if worst else 0)"
    )


def _memory_limit(mode, tmp_path):
    """Twenty processes of 40 MiB each against 256 MiB for all."""
    del tmp_path
    code = _bomb(20, 40 * MIB).replace("os._exit(7)", "import time; time.sleep(2); os._exit(7)")
    result, _ = shell(mode, f'exec python3 -c "{code}"', memory_limit_bytes=256 * MIB)
    return result.exit_code != 0 and "memory" not in result.unenforced


def _memory_limit_per_process(mode, tmp_path):
    del tmp_path
    code = f"b = b'x' * {300 * MIB}"
    result, _ = shell(mode, f'exec python3 -c "{code}"', memory_limit_bytes=200 * MIB)
    return result.exit_code != 0


def _disk_limit(mode, tmp_path):
    """By one file, by many, in the image, in a writable bind; slowly enough to be measured."""
    tmp_path.chmod(0o777)
    bind = Bind(source=str(tmp_path), target="/run/work", read_only=False)
    one = "dd if=/dev/zero of=x bs=1M count=400"
    many = "i=0; while [ $i -lt 2000 ]; do head -c 400000 /dev/zero >$i; i=$((i+1)); done"
    for attack in (one, many):
        for place in ("/home/x", "/run/work/x"):
            script = f"mkdir -p {place}.d; cd {place}.d; {attack}; sleep 4; echo got through"
            result, output = shell(mode, script, binds=(bind,), disk_limit_bytes=64 * MIB)
            if "got through" in output or result.full != "disk":
                return False
    return True


def _disk_reserve(mode, tmp_path):
    """A file that was removed and is still open is in no folder; the free space tells of it."""
    del tmp_path
    with small_disk() as folder:
        bind = Bind(source=folder, target="/run/work", read_only=False)
        script = (
            "exec 3>/run/work/x; rm /run/work/x; i=0; while [ $i -lt 60 ]; do "
            "head -c 1000000 /dev/zero >&3; sleep 0.05; i=$((i+1)); done; echo got through"
        )
        result, output = shell(mode, script, binds=(bind,), disk_limit_bytes=0)
    return result.full == "reserve" and "got through" not in output


def _scratch_limit(mode, tmp_path):
    """Three places of memory, each with less than half of the limit, together with more."""
    del tmp_path
    places = ("/tmp", "/var/tmp", "/dev/shm")
    tries = " && ".join(f"head -c {30 * MIB} /dev/zero >{place}/x" for place in places)
    return _held(mode, tries, memory_limit_bytes=128 * MIB)


ATTACKS = {
    name.removeprefix("_"): attack
    for name, attack in list(globals().items())
    if name.removeprefix("_") in ENFORCED
}


def test_every_row_of_the_table_has_an_attack(mode):
    assert set(ATTACKS) == set(ENFORCED) == set(_table(mode))


@pytest.mark.parametrize("name", sorted(ENFORCED))
def test_the_table_says_what_the_attack_finds(mode, name, tmp_path):
    base_folder(mode)
    tmp_path.chmod(0o755)
    if _table(mode)[name]:
        assert ATTACKS[name](mode, tmp_path), f"{ENFORCED[name]}: not in mode {mode}"
    elif name in {"no_host_capabilities", "not_host_root", "no_nested_namespaces"}:
        assert not ATTACKS[name](mode, tmp_path), "the table is too modest"


def test_a_fork_bomb_ends_at_its_time_limit_and_leaves_the_machine_usable(mode):
    if not _table(mode)["process_limit"]:
        pytest.skip("this mode has no process limit here")
    script = "f() { f | f & }; f 2>/dev/null; sleep 30"
    result, _ = shell(mode, script, process_limit=80, time_limit_s=1.5)
    assert result.duration_ms < 10_000
    assert subprocess.run(["true"], check=False).returncode == 0


def test_limits_that_cannot_be_set_are_reported(mode):
    result, _ = shell(mode, "true", memory_limit_bytes=512 * MIB, process_limit=100)
    assert ("memory" in result.unenforced) == (not _table(mode)["memory_limit"])


def test_a_hostile_link_in_the_image_cannot_make_folders_on_the_host(mode, tmp_path):
    tmp_path.chmod(0o777)
    upper = trees(mode).new_upper()
    try:
        os.symlink(str(tmp_path), f"{upper}/trap")
        bind = Bind(source="/etc/hostname", target="/trap/inner/file")
        result, _ = shell(mode, "ls /trap/inner", lowers=(upper,), binds=(bind,))
    finally:
        trees(mode).discard(upper)
    assert result.exit_code == 0
    assert os.listdir(tmp_path) == []


PARENT = """
import sys
sys.path[:0] = {path!r}
from rootfs import *
job = Job(lowers=({lower!r},), argv=("/bin/sh", "-c", {script!r}), environment={{"PATH": "/bin"}},
          log=lambda data: print("started", flush=True))
Sandbox({mode!r}, {folder!r}).run(job)
"""


@pytest.mark.parametrize("victim", ["engine", "helper"])
def test_a_killed_parent_leaves_no_step_running(mode, victim, tmp_path):
    seconds = f"{70 + os.getpid() % 900}.{time.monotonic_ns() % 100000}"
    code = PARENT.format(
        path=sys.path,
        lower=base_folder(mode),
        script=f"echo go; (sleep {seconds} &); sleep {seconds}",
        mode=mode,
        folder=f"{scratch()}/killed-{mode}-{victim}",
    )
    engine = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert engine.stdout is not None
    assert engine.stdout.readline() == b"started\n"
    if victim == "engine":
        engine.send_signal(signal.SIGKILL)
    else:
        children = _text(f"/proc/{engine.pid}/task/{engine.pid}/children").split()
        os.kill(int(children[0]), signal.SIGKILL)
    engine.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and seconds in _running():
        time.sleep(0.05)
    assert seconds not in _running()


def _running():
    return subprocess.run(
        ["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True
    ).stdout


def test_the_published_table_is_the_one_that_is_measured(mode):
    page = os.path.join(os.path.dirname(__file__), "../../docs/reference/sandbox.md")
    rows = [line.split("|")[1:-1] for line in _text(page).splitlines() if line.startswith("| `")]
    column = {"identity": 2, "subuid": 3, "trusted": 4}[mode]
    published = {row[0].strip(" `"): row for row in rows if len(row) == 5}
    assert {name: row[1].strip() for name, row in published.items()} == dict(ENFORCED)
    table = _table(mode)
    for name, row in published.items():
        said = row[column].strip()
        assert said not in {"yes", "no"} or table[name] == (said == "yes"), name
