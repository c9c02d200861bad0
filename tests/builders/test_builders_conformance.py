"""One suite for all builders: what a step finds, what comes of it, how it ends."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import threading
import time

import pytest
from builder_steps import base_layer, chain, layer_of, run, the_builder
from rootfs import EPOCH, modes, trees

from ssds.builders import NAMES
from ssds.builders.plug import KEPT_CAPABILITIES, Layer
from ssds.core.errors import InvalidValue, SsdsError, StepFailed
from ssds.host.kernel import KEPT_CAPABILITIES as KEPT_NUMBERS
from ssds.host.sandbox import CA_TARGET, Bind, fixed_environment
from ssds.recipe.settings import BUILDERS as SETTINGS

BUILDERS = [
    pytest.param("embedded", marks=pytest.mark.component("sandbox")),
    pytest.param("docker", marks=pytest.mark.component("docker")),
    pytest.param("buildah", marks=pytest.mark.component("buildah")),
]
OTHERS = BUILDERS[1:]
USER_ATTRIBUTE = 'os.setxattr("/opt/a", "user.note", b"kept\\0bytes")'

pytestmark = [pytest.mark.component("sandbox")]
every_builder = pytest.mark.parametrize("name", BUILDERS)


@pytest.fixture
def builder(name):
    found = the_builder(name)
    yield found
    found.close()


def test_the_suite_runs_every_builder_that_there_is():
    assert tuple(p.values[0] for p in BUILDERS) == NAMES == SETTINGS
    assert len(KEPT_CAPABILITIES) == len(KEPT_NUMBERS)


@pytest.mark.component("buildah")
def test_buildah_gives_the_layers_of_the_embedded_builder():
    assert chain("buildah") == chain("embedded")


@pytest.mark.component("docker")
def test_the_docker_engine_gives_the_layers_of_the_embedded_builder():
    wanted = chain("embedded", without=USER_ATTRIBUTE)
    assert chain("docker", without=USER_ATTRIBUTE) == wanted


@pytest.mark.component("docker")
def test_the_docker_engine_loses_user_attributes_and_nothing_else():
    ours, engines = chain("embedded"), chain("docker")
    assert ours != engines
    assert engines == chain("embedded", without=USER_ATTRIBUTE)


@every_builder
@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 42", 42), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_programs(builder, script, code):
    result, _ = run(builder, f"sh -c '{script}'")
    assert (result.exit_code, result.timed_out, result.stopped) == (code, False, False)


@every_builder
def test_the_environment_is_exactly_what_was_given(builder):
    given = {**fixed_environment(EPOCH), "EMPTY": "", "ODD": "a 'b' \"c\" $d = e"}
    _, output = run(builder, "exec env", environment=given)
    seen = dict(line.split("=", 1) for line in output.splitlines())
    seen.pop("PWD", None)  # the shell's own
    assert seen == given


@every_builder
def test_host_name_umask_input_and_places_are_fixed(builder):
    _, output = run(builder, "hostname; umask; cat; ls -A /tmp /var/tmp; stat -c %a /run /tmp")
    assert output.split() == ["localhost", "0022", "/tmp:", "/var/tmp:", "755", "1777"]


@every_builder
def test_the_working_folder_and_the_user_are_the_jobs(builder):
    script = "pwd; echo $(id -u) $(id -g) $(id -G); (echo no >/etc/x) 2>/dev/null || echo refused"
    _, output = run(builder, script, user="alice", working_folder="/home/alice")
    assert output.splitlines() == ["/home/alice", "1000 1000 1000 2000", "refused"]
    _, output = run(builder, "echo $(id -u) $(id -g)", user="1234:77")
    assert output == "1234 77\n"


@every_builder
def test_an_unknown_user_ends_the_step(builder):
    with pytest.raises(StepFailed) as caught:
        run(builder, "true", user="bob")
    assert "bob" in caught.value.message


@every_builder
def test_a_working_folder_that_is_not_there_fails_and_leaves_nothing(builder):
    mode = modes()[0]
    upper = trees(mode).new_upper()
    try:
        result, _ = run(builder, "true", working_folder="/nowhere", upper=upper)
        assert result.exit_code != 0
    except StepFailed:
        pass
    assert "nowhere" not in os.listdir(upper)
    trees(mode).discard(upper)


@every_builder
def test_inputs_are_read_only_and_leave_no_trace(builder, tmp_path):
    (tmp_path / "word").write_text("input")
    bind = Bind(source=str(tmp_path), target="/run/ssds/packages")
    script = "cat /run/ssds/packages/word >/usr/word; echo x >/run/ssds/packages/word || true"
    layer, _ = layer_of(builder, script, binds=(bind,))
    assert (tmp_path / "word").read_text() == "input"
    assert layer.entries == 2  # usr and usr/word


@every_builder
def test_a_step_that_changes_nothing_makes_no_layer(builder):
    assert layer_of(builder, "cat /etc/passwd >/tmp/x")[0].entries == 0


@every_builder
def test_offline_steps_reach_nothing_and_get_no_certificates(builder):
    _, output = run(builder, f"ip -o link | grep -c . ; ls {CA_TARGET} 2>/dev/null || echo none")
    assert output.split() == ["1", "none"]


@every_builder
def test_steps_with_network_have_the_certificates_bound(builder, tmp_path):
    bundle = tmp_path / "ca.crt"
    bundle.write_text("the bundle")
    script = f"cat {CA_TARGET} $SSL_CERT_FILE; echo a >/usr/a"

    layer, _ = layer_of(
        builder, script, network=True, ca_bundle=str(bundle), log_errors=lambda data: None
    )

    assert layer.entries == 2


@every_builder
def test_a_step_of_root_has_the_capabilities_of_the_table(builder):
    _, output = run(builder, "grep CapBnd /proc/self/status")
    wanted = sum(1 << number for number in KEPT_NUMBERS)
    assert int(output.split()[1], 16) == wanted


@every_builder
def test_devices_and_mounts_are_refused(builder):
    script = (
        "mknod /usr/d b 8 0 2>/dev/null || echo no; mount -t tmpfs x /usr 2>/dev/null || echo no"
    )
    _, output = run(builder, script)
    assert output.split() == ["no", "no"]


@every_builder
def test_the_hosts_files_are_out_of_reach(builder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    _, output = run(builder, f"cat {secret} /proc/1/root{secret} 2>/dev/null || echo no")
    assert output == "no\n"


@pytest.mark.parametrize("name", OTHERS)
def test_limits_that_a_builder_does_not_hold_are_told(builder):
    limits = {"disk_limit_bytes": 1 << 30, "process_limit": 500, "memory_limit_bytes": 1 << 30}
    result, output = run(builder, "echo ran", **limits)
    assert output == "ran\n"
    assert "disk" in result.unenforced
    assert ("memory" in result.unenforced) == (builder.name == "buildah")


@every_builder
def test_the_time_limit_ends_everything(builder):
    began = time.monotonic()
    result, output = run(builder, "echo begun; sleep 60 & sleep 61", time_limit_s=3)
    assert (result.exit_code, result.timed_out) == (137, True)
    assert "begun" in output
    assert time.monotonic() - began < 30


@every_builder
def test_the_user_can_stop_a_step(builder):
    stopping = threading.Event()
    threading.Timer(2, stopping.set).start()
    result, _ = run(builder, "sleep 60", stop=stopping.is_set)
    assert (result.exit_code, result.stopped) == (137, True)


@every_builder
def test_binds_outside_of_the_volatile_places_are_refused(builder, tmp_path):
    with pytest.raises(SsdsError) as caught:
        layer_of(builder, "true", binds=(Bind(source=str(tmp_path), target="/opt/in"),))
    assert "/opt/in" in caught.value.message


@pytest.mark.parametrize("name", OTHERS)
def test_a_bind_with_a_colon_is_refused(builder, tmp_path):
    (tmp_path / "a:b").mkdir()
    with pytest.raises(InvalidValue):
        run(builder, "true", binds=(Bind(source=f"{tmp_path}/a:b", target="/run/in"),))


@every_builder
def test_what_a_failing_step_changed_can_be_looked_at(builder):
    mode = modes()[0]
    upper = trees(mode).new_upper()
    result, _ = run(builder, "echo left >/usr/left; exit 3", upper=upper)
    assert result.exit_code == 3
    with open(f"{upper}/usr/left", encoding="utf-8") as file:
        assert file.read() == "left\n"
    trees(mode).discard(upper)


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_killed_process_left_is_swept_and_what_is_kept_can_be_forgotten(builder):
    first, tar = layer_of(builder, "echo 1 >/usr/one")
    below = (Layer(digest=first.diff_id, tar=tar),)
    ready, alive = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run(builder, "sleep 61234", below, stop=lambda: os.write(alive, b".") == 0)
        finally:
            os._exit(0)
    assert os.read(ready, 1) == b"."  # the step runs
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert builder.sweep() >= 2  # its container and its image
    assert builder.sweep() == 0
    assert not sleeping()
    builder.close()
    assert builder.forget() >= 1
    assert builder.forget() == 0
    again, _ = layer_of(builder, "echo 1 >/usr/one")
    assert again == first


def sleeping() -> list[str]:
    """The processes of the step above."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read().split(b"\0")[:2] == [b"sleep", b"61234"]:
                found.append(path)
    return found


@every_builder
def test_a_chain_that_came_from_the_store_is_the_same(builder):
    first, tar = layer_of(builder, "mkdir /opt; echo 1 >/opt/one; ln /opt/one /opt/again")
    below = (Layer(digest=first.diff_id, tar=tar),)
    assert base_layer() not in below
    second, _ = layer_of(builder, "cat /opt/again; rm /opt/one", below)
    again, _ = layer_of(builder, "cat /opt/again; rm /opt/one", below)
    assert second == again
    assert second.entries > 0
