"""What a step finds in the sandbox, and what comes back from it; in every mode of this user."""

from __future__ import annotations

import os
import threading
import time

import pytest
from rootfs import EPOCH, base_folder, modes, shell, trees

from ssds.core.errors import EnvironmentProblem, InvalidValue, StepFailed, UnavailableError
from ssds.host.sandbox import Bind, Job, Sandbox, fixed_environment

pytestmark = [pytest.mark.component("sandbox"), pytest.mark.parametrize("mode", modes())]


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 42", 42), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_programs(mode, script, code):
    result, _ = shell(mode, script)
    assert (result.exit_code, result.timed_out) == (code, False)


def test_a_missing_program_is_127_as_in_a_shell(mode):
    output = bytearray()
    job = Job(lowers=(base_folder(mode),), argv=("/no/such",), log=output.extend)
    assert trees(mode).sandbox.run(job).exit_code == 127
    assert b"/no/such: cannot be executed" in output


def test_the_environment_is_exactly_what_was_given(mode):
    _, output = shell(mode, "exec env")
    seen = dict(line.split("=", 1) for line in output.splitlines())
    seen.pop("PWD", None)  # the shell's own
    assert seen == fixed_environment(EPOCH)


def test_the_step_finds_a_fixed_host_name_umask_and_an_empty_input(mode):
    _, output = shell(mode, "hostname; umask; cat; id -u; cat /proc/sys/kernel/hostname")
    assert output.split() == ["localhost", "0022", "0", "localhost"]


def test_the_root_has_only_places_of_the_image_and_of_the_sandbox(mode):
    _, output = shell(mode, "ls /; ls -A /run /tmp /var/tmp")
    image = {"bin", "etc", "home", "lib", "lib64", "root", "sbin", "usr", "var"}
    names = set(output.split("/run:")[0].split())
    assert names == image | {"dev", "proc", "run", "tmp"}
    assert output.split("/run:")[1].split() == ["/tmp:", "/var/tmp:"]


def test_devices_are_the_harmless_ones_and_work(mode):
    _, output = shell(mode, "echo $(ls /dev); echo x >/dev/null; head -c2 /dev/zero")
    names = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert output.startswith(f"{names}\n\0\0")


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("", "0 0 0"),
        ("alice", "1000 1000 1000 2000"),
        ("1000", "1000 1000 1000 2000"),
        ("1234", "1234 0 0"),
        ("1234:77", "1234 77 77"),
        ("alice:lab", "1000 2000 2000"),
    ],
)
def test_users_are_those_of_the_image(mode, user, shown):
    _, output = shell(mode, "echo $(id -u) $(id -g) $(id -G); echo ok >/dev/stdout", user=user)
    assert output == f"{shown}\nok\n"


@pytest.mark.parametrize("user", ["bob", "70000", "-1", "alice:nogroup", "1:2:3"])
def test_an_unknown_user_is_refused_with_a_hint(mode, user):
    with pytest.raises(StepFailed) as caught:
        shell(mode, "true", user=user)
    assert user in caught.value.message


def test_an_ordinary_user_gains_nothing_from_set_uid_programs(mode):
    upper = trees(mode).new_upper()
    try:
        shell(mode, "cp /usr/bin/id /usr/bin/suid; chmod 4755 /usr/bin/suid", upper=upper)
        script = "grep NoNewPrivs /proc/self/status; suid -u"
        _, output = shell(mode, script, user="alice", lowers=(upper,))
    finally:
        trees(mode).discard(upper)
    assert output.split() == ["NoNewPrivs:", "1", "1000"]


def test_a_missing_working_folder_is_told(mode):
    with pytest.raises(StepFailed, match="/nowhere"):
        shell(mode, "true", working_folder="/nowhere")


def test_output_is_streamed_while_the_step_runs(mode):
    moments: list[float] = []
    started = time.monotonic()
    job = Job(
        lowers=(base_folder(mode),),
        argv=("/bin/sh", "-c", "echo one; sleep 1; echo two"),
        environment=fixed_environment(EPOCH),
        log=lambda _: moments.append(time.monotonic() - started),
    )
    trees(mode).sandbox.run(job)
    assert moments[-1] - moments[0] > 0.8


def test_standard_error_can_be_kept_apart(mode):
    errors = bytearray()
    _, output = shell(mode, "echo out; echo err >&2", log_errors=errors.extend)
    assert (output, bytes(errors)) == ("out\n", b"err\n")


def test_a_megabyte_of_output_arrives_whole(mode):
    _, output = shell(mode, "head -c 1000000 /dev/zero")
    assert len(output) == 1_000_000


def test_binds_are_seen_below_run_and_are_read_only(mode, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("A")
    (tmp_path / "b.txt").write_text("B")
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    binds = (
        Bind(source=f"{tmp_path}/data", target="/run/ssds/sources/data"),
        Bind(source=f"{tmp_path}/b.txt", target="/run/ssds/b.txt"),
    )
    script = "cat /run/ssds/sources/data/a /run/ssds/b.txt; echo x >/run/ssds/b.txt || echo ' held'"
    _, output = shell(mode, script, binds=binds)
    assert output.startswith("AB")
    assert "held" in output
    assert (tmp_path / "b.txt").read_text() == "B"


def test_a_writable_bind_hands_results_out(mode, tmp_path):
    bind = Bind(source=str(tmp_path), target="/run/work", read_only=False)
    shell(mode, "echo made >/run/work/result", binds=(bind,))
    assert (tmp_path / "result").read_text() == "made\n"


def test_a_bind_outside_run_makes_no_place_in_a_kept_layer(mode, tmp_path):
    upper = trees(mode).new_upper()
    bind = Bind(source=str(tmp_path), target="/data")
    try:
        with pytest.raises(EnvironmentProblem, match="/data"):
            shell(mode, "true", binds=(bind,), upper=upper)
        result, _ = shell(mode, "ls /data", binds=(bind,))
    finally:
        trees(mode).discard(upper)
    assert result.exit_code == 0


def test_a_bind_that_does_not_exist_is_told(mode):
    with pytest.raises(EnvironmentProblem, match="/no/such/source"):
        shell(mode, "true", binds=(Bind(source="/no/such/source", target="/run/x"),))


@pytest.mark.parametrize("target", ["relative", "/run/../etc"])
def test_a_bind_target_must_be_a_plain_path(mode, target, tmp_path):
    with pytest.raises(InvalidValue):
        shell(mode, "true", binds=(Bind(source=str(tmp_path), target=target),))


def test_changes_are_kept_only_where_asked(mode):
    upper = trees(mode).new_upper()
    try:
        shell(mode, "echo new >/etc/new; rm /etc/group; touch /tmp/t /run/r", upper=upper)
        assert sorted(os.listdir(f"{upper}/etc")) == ["group", "new"]
        shell(mode, "echo lost >/etc/lost")
        assert "lost" not in os.listdir(f"{base_folder(mode)}/etc")
    finally:
        trees(mode).discard(upper)


def test_a_link_in_the_place_of_proc_is_refused(mode, tmp_path):
    upper = trees(mode).new_upper()
    try:
        os.symlink("etc", f"{upper}/proc")
        with pytest.raises(EnvironmentProblem, match="/proc is not a folder"):
            shell(mode, "true", lowers=(upper,))
    finally:
        trees(mode).discard(upper)


def test_forty_layers_with_odd_names_are_one_root(mode):
    uppers = [trees(mode).new_upper() for _ in range(40)]
    try:
        odd = f"{uppers[0]}:a,b\\c"
        os.rename(uppers[0], odd)
        uppers[0] = odd
        for number, upper in enumerate(uppers):
            os.makedirs(f"{upper}/layers")
            os.chmod(f"{upper}/layers", 0o755)
            open(f"{upper}/layers/{number}", "w").close()
        _, output = shell(mode, "ls /layers", lowers=tuple(uppers))
    finally:
        for upper in uppers:
            trees(mode).discard(upper)
    assert sorted(map(int, output.split())) == list(range(40))


def test_stop_ends_the_job_soon(mode):
    asked: list[float] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 2

    result, _ = shell(mode, "sleep 100", stop=stop)
    assert result.stopped
    assert result.duration_ms < 5000


def test_many_jobs_run_at_once_from_threads(mode):
    base_folder(mode)
    outputs: dict[int, str] = {}

    def one(number: int) -> None:
        outputs[number] = shell(mode, f"echo {number}; sleep 0.2; echo {number}")[1]

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {n: f"{n}\n{n}\n" for n in range(8)}


def test_nothing_is_left_in_the_sandboxs_folder(mode):
    shell(mode, "mkdir /a; chmod 000 /a; touch /b; chown 1000 /b")
    shell(mode, "sleep 100", time_limit_s=0.5)
    assert os.listdir(trees(mode).sandbox.folder) == []


def test_network_steps_get_names_and_certificates_bound(mode):
    _, output = shell(
        mode, "cat /etc/resolv.conf | head -n 1; env; ip -o link | head", network=True
    )
    assert ("SSL_CERT_FILE=/run/ssds/ca-certificates.crt" in output) == os.path.exists(
        "/etc/ssl/certs/ca-certificates.crt"
    )


def test_a_function_called_inside_gives_its_own_error_back(mode):
    sandbox = trees(mode).sandbox
    with pytest.raises(InvalidValue, match="not a digest"):
        sandbox.call("ssds.core.digest:Digest", text="nonsense")
    with pytest.raises(Exception, match="no function of ssds"):
        sandbox.call("os:remove", path="/x")


def test_only_modes_that_fit_the_user_can_be_had(mode, tmp_path):
    wrong = "identity" if mode == "subuid" else "subuid"
    with pytest.raises(UnavailableError):
        Sandbox(wrong, str(tmp_path))
    with pytest.raises(InvalidValue):
        Sandbox("single-uid", str(tmp_path))


def test_removing_a_folder_that_is_gone_leaves_its_parent_as_it_was(mode, tmp_path):
    tmp_path.chmod(0o751)
    trees(mode).sandbox.remove(f"{tmp_path}/gone")
    assert tmp_path.stat().st_mode & 0o777 == 0o751


def test_a_folder_that_nobody_may_read_is_removed(mode, tmp_path):
    (tmp_path / "top/closed/inner").mkdir(parents=True)
    (tmp_path / "top/closed").chmod(0)
    trees(mode).sandbox.remove(f"{tmp_path}/top")
    assert os.listdir(tmp_path) == []
