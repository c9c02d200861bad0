"""Attempts to get out of the sandbox, one by one; none may print ``got through``.

The published table has a row for each kind (``test_sandbox_attacks.py``); here are the tricks that
are known against such sandboxes, and what a step may leave behind.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import stat
import subprocess
import time

import pytest
from escapes import ESCAPES, in_python
from rootfs import EPOCH, base_folder, modes, scratch, shell, trees

from ssds.core.errors import InvalidValue
from ssds.host.sandbox import CA_TARGET, Bind, Job

pytestmark = [pytest.mark.component("sandbox"), pytest.mark.parametrize("mode", modes())]

MIB = 1 << 20


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("user", ["root", "alice"])
def test_the_way_out_is_closed(mode, user, name, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    code = f"        SECRET = {str(secret)!r}\n" + ESCAPES[name].lstrip("\n")
    limits = {"process_limit": 200, "memory_limit_bytes": 512 * MIB, "disk_limit_bytes": 64 * MIB}
    result, output = in_python(mode, code, user="" if user == "root" else user, **limits)
    assert "got through" not in output, output
    if user == "root":  # an ordinary user may be stopped earlier, by an exception
        assert result.exit_code == 0, output


def test_the_attacks_can_succeed(mode):
    """What is not forbidden gets through: the words are seen when an attack works."""
    result, output = in_python(mode, "through(os.path.exists('/etc/passwd'))")
    assert (result.exit_code, output) == (0, "got through\n")


def test_hard_links_do_not_leave_a_bind(mode, tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    inside.chmod(0o777)
    (inside / "file").write_text("as it was")
    (inside / "file").chmod(0o666)
    binds = (Bind(source=str(inside), target="/run/in"),)
    for script in (
        "ln /run/in/file /link && echo x >/link",
        "ln /proc/self/fd/9 /link 9</run/in/file && echo x >/link",
        "mv /run/in/file /moved",
        "cp -l /run/in/file /copy && echo x >/copy",
    ):
        _, output = shell(mode, f"({script}) && echo got through || true", binds=binds)
        assert "got through" not in output, script
    assert (inside / "file").read_text() == "as it was"
    assert os.stat(inside / "file").st_nlink == 1


def test_links_in_a_writable_bind_lead_nowhere_outside(mode, tmp_path):
    """What a step leaves in a folder of the host is not followed by the next step's binds."""
    (tmp_path / "secret").write_text("host secret")
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o777)
    bind = Bind(source=str(work), target="/run/work", read_only=False)
    up = "../" * 12
    shell(mode, f"ln -s {up}{tmp_path}/secret /run/work/a; ln -s / /run/work/b", binds=(bind,))
    _, output = shell(mode, f"cat /run/work/a /run/work/b{tmp_path}/secret || true", binds=(bind,))
    assert "host secret" not in output


@pytest.mark.parametrize("target", ["/run/../../x", "run/x", "/run/./../x", ""])
def test_a_bind_target_that_climbs_is_refused(mode, target, tmp_path):
    with pytest.raises(InvalidValue):
        shell(mode, "true", binds=(Bind(source=str(tmp_path), target=target),))


def test_a_link_in_the_layer_at_a_binds_target_stays_in_the_image(mode, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "host").mkdir()
    tmp_path.joinpath("host").chmod(0o777)
    upper = trees(mode).new_upper()
    try:
        os.symlink(f"../../../../..{tmp_path}/host", f"{upper}/trap")
        bind = Bind(source=f"{tmp_path}/in", target="/trap/inner", read_only=False)
        shell(mode, "touch /trap/inner/file", lowers=(upper,), binds=(bind,))
    finally:
        trees(mode).discard(upper)
    assert os.listdir(tmp_path / "host") == []


def test_the_hosts_abstract_sockets_are_not_reached(mode):
    name = f"\0ssds-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"""
        s = socket.socket(socket.AF_UNIX)
        try: s.connect({name!r}); through(True)
        except OSError: through(False)"""
        _, output = in_python(mode, code)
        assert output == "held\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)  # the host itself does reach it


def test_the_hosts_loopback_is_not_reached(mode):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
        try: socket.create_connection(('127.0.0.1', {port}), 2); through(True)
        except OSError: through(False)"""
        _, output = in_python(mode, code)
    assert output == "held\n"


def test_shared_memory_and_queues_of_the_host_are_not_seen(mode):
    libc = ctypes.CDLL(None)
    shared = libc.shmget(0, 4096, 0o1666)
    assert shared >= 0
    try:
        _, output = in_python(mode, f"through(libc.shmat({shared}, 0, 4096) != -1)")
    finally:
        libc.shmctl(shared, 0, None)
    assert output == "held\n"


def test_device_nodes_in_a_layer_cannot_be_opened(mode):
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):  # then nobody can put one into a layer
            os.mknod(f"{scratch()}/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))
        return
    layer = f"{scratch()}/devices-{mode}"
    os.makedirs(layer, exist_ok=True)
    for name, kind, number in (("mem", stat.S_IFCHR, (1, 1)), ("zero", stat.S_IFCHR, (1, 5))):
        if not os.path.exists(f"{layer}/{name}"):
            os.mknod(f"{layer}/{name}", kind | 0o666, os.makedev(*number))
    _, output = shell(
        mode, "for d in mem zero; do head -c 1 /$d && echo got through; done; true", lowers=(layer,)
    )
    assert "got through" not in output


def test_set_uid_programs_of_a_bind_give_nothing(mode, tmp_path):
    program = tmp_path / "id"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o4755)
    bind = Bind(source=str(program), target="/run/id")
    _, output = shell(mode, "exec /run/id -u", user="alice", binds=(bind,))
    assert output.strip() == "1000"


def test_other_users_of_the_host_cannot_execute_what_a_step_leaves(mode):
    """A set-uid program of root in a layer is the host's root's in mode ``identity``."""
    upper = trees(mode).new_upper()
    try:
        shell(mode, "cp /bin/id /root/x 2>/dev/null || cp /bin/id /x; chmod 4755 /x", upper=upper)
        folder = trees(mode).folder
        while os.stat(folder).st_mode & 0o001:
            folder = os.path.dirname(folder)
            assert len(folder) > len(scratch()), "every folder on the way is open to others"
    finally:
        trees(mode).discard(upper)


def test_what_a_step_leaves_running_ends_with_it(mode):
    seconds = f"{80 + os.getpid() % 800}.{time.monotonic_ns() % 100000}"
    script = (
        f"(trap '' HUP TERM INT; sleep {seconds}) & "
        "python3 -c 'import os, sys; os.fork() or (os.setsid(), os.execvp(\"sleep\", sys.argv))'"
        f" {seconds}; "
        "echo done"
    )
    began = time.monotonic()
    result, output = shell(mode, script, time_limit_s=30)
    assert (result.exit_code, output) == (0, "done\n")
    assert time.monotonic() - began < 15
    running = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True)
    assert seconds not in running.stdout


def test_pipes_and_sockets_in_a_layer_hold_nobody_up(mode):
    upper = trees(mode).new_upper()
    out = f"{scratch()}/left-{mode}.tar"
    try:
        code = "os.mkfifo('/home/pipe'); s = socket.socket(socket.AF_UNIX); s.bind('/home/socket')"
        result, output = in_python(mode, code, upper=upper)
        assert result.exit_code == 0, output
        exported = trees(mode).export(upper, [base_folder(mode)], EPOCH, out)
    finally:
        trees(mode).discard(upper)
    names = subprocess.run(["tar", "-tf", out], capture_output=True, text=True, check=True).stdout
    assert "home/socket" not in names
    assert exported.entries > 0


def test_a_job_that_fills_processes_memory_and_disk_leaves_the_machine_usable(mode):
    code = """
                def disk():
            for i in range(100000):
                try: open(f'/home/{i}', 'wb').write(b'x' * 1000000)
                except OSError: pass
        def memory():
            kept = []
            while True:
                try: kept.append(b'x' * 10000000)
                except MemoryError: time.sleep(0.1)
        def processes():
            while True:
                try:
                    if os.fork() == 0: time.sleep(60); os._exit(0)
                except OSError: time.sleep(0.1)
        for what in (disk, memory, processes): threading.Thread(target=what).start()"""
    limits = {"process_limit": 60, "memory_limit_bytes": 256 * MIB, "disk_limit_bytes": 100 * MIB}
    result, _ = in_python(mode, code, time_limit_s=20, **limits)
    assert result.full == "disk" or result.timed_out or result.exit_code != 0
    assert result.duration_ms < 30_000
    assert subprocess.run(["true"], check=False).returncode == 0


def test_a_ca_bundle_is_seen_by_network_steps_and_is_in_no_layer(mode, tmp_path):
    bundle = tmp_path / "institute.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\ninstitute\n-----END CERTIFICATE-----\n")
    upper = trees(mode).new_upper()
    out = f"{scratch()}/bundle-{mode}.tar"
    output = bytearray()
    script = (
        "cat $SSL_CERT_FILE $PIP_CERT $GIT_SSL_CAINFO; echo done >/home/result; "
        "(echo x >>$SSL_CERT_FILE) 2>/dev/null && echo got through; true"
    )
    try:
        job = Job(
            lowers=(base_folder(mode),),
            argv=("/bin/sh", "-euc", script),
            environment={"PATH": "/bin"},
            network=True,
            ca_bundle=str(bundle),
            upper=upper,
            log=output.extend,
        )
        assert trees(mode).sandbox.run(job).exit_code == 0, output
        trees(mode).export(upper, [base_folder(mode)], EPOCH, out)
    finally:
        trees(mode).discard(upper)
    assert output.count(b"institute") == 3
    assert b"got through" not in output
    with open(out, "rb") as file:
        assert b"institute" not in file.read()
    names = subprocess.run(["tar", "-tf", out], capture_output=True, text=True, check=True).stdout
    assert set(names.split()) == {"home/", "home/result"}
    assert CA_TARGET.startswith("/run/")


def test_offline_steps_get_no_ca_bundle(mode, tmp_path):
    bundle = tmp_path / "institute.pem"
    bundle.write_text("institute")
    _, output = shell(mode, f"cat {CA_TARGET} || env", ca_bundle=str(bundle))
    assert "institute" not in output
    assert "SSL_CERT_FILE" not in output
