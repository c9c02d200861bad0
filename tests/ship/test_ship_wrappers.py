"""Wrappers for real: the plain runner on a tiny image, as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from rootfs import tiny_rootfs
from ship_makers import (
    image,
    release,
    root_tar,
    run,
    script,
    site,
    small_tar,
    tar_of,
    tool_layer,
    tool_lock,
)

from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy
from ssds.ship.sites import binds_of
from ssds.ship.wrappers import ImageFacts, quoted, release_facts, site_facts

USERS = [0, 54321]
needs_namespaces = pytest.mark.component("sandbox")


@pytest.fixture(params=USERS, ids=["root", "user"])
def user(request: pytest.FixtureRequest) -> int:
    if os.geteuid() != 0 and request.param:
        pytest.skip("only root can become another user")
    return int(request.param)


@pytest.fixture
def place(user: int) -> Iterator[str]:
    """A working folder of that user, outside of /tmp's bind."""
    path = f"/var/lib/ssds-test-{os.getpid()}-{user}" if os.geteuid() == 0 else os.getcwd()
    if os.geteuid() != 0:
        yield path
        return
    os.makedirs(path)
    os.chown(path, user, user)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def command(tree: str, name: str) -> str:
    return f"{tree}/sites/example/wrappers/tool/1.0-r1/bin/{name}"


@needs_namespaces
def test_arguments_reach_the_program_as_they_are(tree: str, user: int) -> None:
    arguments = ["a b", "*", "line\nline", "'", '"', "\\", "", "$HOME", "-x", "ü"]
    done = run([command(tree, "tool"), *arguments], user=user)
    assert done.stderr == b""
    assert done.stdout.decode() == "".join(f"{a}\n" for a in arguments)


@needs_namespaces
def test_the_program_has_the_callers_uid_and_no_rights_of_the_mounts(tree: str, user: int) -> None:
    text = "id -u; id -g; while read -r k v; do case $k in Cap[EPA]*) echo $v; esac; done"
    done = run([command(tree, "show"), text + " </proc/self/status"], user=user)
    lines = done.stdout.decode().split()
    assert lines[:2] == [str(user)] * 2
    if user:
        assert set(lines[2:]) == {"0" * 16}


@needs_namespaces
def test_exit_codes_and_standard_input_pass_through(tree: str, user: int) -> None:
    assert run([command(tree, "false")], user=user).returncode == 1
    assert run([command(tree, "show"), "exit 42"], user=user).returncode == 42
    done = run([command(tree, "cat")], user=user, stdin=b"one\0two" * 30_000)
    assert done.stdout == b"one\0two" * 30_000


@needs_namespaces
def test_a_signal_reaches_the_program(tree: str) -> None:
    process = subprocess.Popen(
        [
            command(tree, "show"),
            "trap 'echo caught; exit 7' TERM; echo up; while :; do sleep .1; done",
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.stdout.readline() == b"caught\n"
    assert process.wait(10) == 7
    process = subprocess.Popen([command(tree, "sleep"), "60"])
    time.sleep(0.5)
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    shell = f"'{command(tree, 'sleep')}' 60 & sleep .5; kill $!; wait $!"
    assert run(["sh", "-c", shell]).returncode == 143


@needs_namespaces
def test_the_image_s_environment_wins_over_the_callers(tree: str) -> None:
    text = 'echo "$PATH|$IMAGE_VALUE|$TOOL_DATA|$KEPT|${PYTHONPATH-unset}|${LD_PRELOAD-unset}"'
    done = run([command(tree, "show"), text], KEPT="k", PYTHONPATH="/x", IMAGE_VALUE="no")
    expected = "/usr/local/bin:/usr/bin:/bin|from the image's $HOME|/opt/data|k|unset|unset\n"
    assert done.stdout.decode() == expected
    done = run([command(tree, "show"), "echo $TOOL_DATA"], TOOL_DATA="/mine")
    assert done.stdout == b"/mine\n"


@needs_namespaces
def test_home_and_working_folder_are_the_callers(tree: str, user: int, place: str) -> None:
    home = f"{place}/a home"
    os.mkdir(home)
    os.chown(home, user, user)
    text = 'pwd; echo "$PWD"; echo written >result; echo kept >"$HOME/file"; ls /var/lib'
    done = run([command(tree, "show"), text], user=user, cwd=place, HOME=home)
    assert done.stderr == b""
    assert done.stdout.decode().split("\n")[:2] == [place, place]
    with open(f"{place}/result") as file:
        assert file.read() == "written\n"
    assert os.stat(f"{place}/result").st_uid == user
    assert os.path.exists(f"{home}/file")


@needs_namespaces
def test_a_folder_of_the_image_s_own_stays_the_image_s(tree: str) -> None:
    done = run([command(tree, "show"), "pwd; ls"], cwd="/usr")
    assert done.stdout.decode().split() == ["/usr", "bin", "lib", "lib64"]


@needs_namespaces
def test_a_vanished_or_closed_working_folder_is_said_and_the_program_runs(
    tree: str, place: str
) -> None:
    gone = f"{place}/gone"
    os.mkdir(gone)
    text = f"cd '{gone}'; rmdir '{gone}'; exec '{command(tree, 'show')}' pwd"
    done = run(["sh", "-c", text])
    assert done.stdout == b"/\n"
    assert b"the working folder cannot be reached" in done.stderr
    if os.geteuid() == 0:
        closed = f"{place}/closed/inner"
        os.makedirs(closed)
        os.chmod(f"{place}/closed", 0o700)
        done = run([command(tree, "show"), "pwd"], cwd=closed, user=54321)
        assert done.stdout == b"/\n"


@needs_namespaces
def test_the_host_s_people_and_names_are_seen(tree: str) -> None:
    for path in ("/etc/passwd", "/etc/group", "/etc/resolv.conf", "/etc/hosts"):
        with open(path, "rb") as file:
            assert run([command(tree, "cat"), path]).stdout == file.read()


@needs_namespaces
def test_a_bind_makes_its_place_in_a_read_only_image(tree: str, user: int, place: str) -> None:
    with open(f"{place}/data.txt", "w") as file:
        file.write("data\n")
    binds = f"{place}:/opt/x/new place/deep:ro,/etc:/host-etc"
    text = 'cat "/opt/x/new place/deep/data.txt"; aside; ls -d /host-etc/passwd'
    text += '; /opt/x/bin/aside; touch "/opt/x/new place/deep/no"'
    done = run([command(tree, "show"), text], user=user, SSDS_BINDS=binds)
    assert done.stdout.decode().split() == ["data", "/host-etc/passwd", "aside"]
    assert b"ead-only" in done.stderr


@pytest.mark.parametrize(
    "binds", ["relative", "/a:b", "/a:/b:rx", "/a:/b:ro:z", "/tmp/../etc", "/a\n/b:/c", "/no/such"]
)
def test_a_wrong_bind_of_the_caller_is_refused(tree: str, binds: str) -> None:
    done = run([command(tree, "tool")], SSDS_BINDS=binds)
    assert done.returncode == 127
    assert done.stderr.startswith(b"ssds: SSDS_BINDS")


@needs_namespaces
def test_the_tree_works_from_another_place_and_from_a_read_only_mount(
    tree: str, tmp_path: object, user: int
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes the read-only mount")
    spot = f"/var/lib/ssds-moved-{os.getpid()}"
    os.mkdir(spot)
    try:
        text = f"mount --bind -o ro '{tree}' {spot} && exec setpriv --reuid={user} --regid={user} "
        text += f"--clear-groups {spot}/sites/example/wrappers/tool/1.0/bin/tool moved"
        done = run(["unshare", "-m", "sh", "-c", text])
        assert done.stdout == b"moved\n"
        assert not os.listdir(spot)
    finally:
        os.rmdir(spot)


@needs_namespaces
def test_a_link_from_anywhere_and_a_relative_call_find_the_tree(
    tree: str, tmp_path: object
) -> None:
    os.symlink(command(tree, "tool"), f"{tmp_path}/renamed")
    os.symlink("renamed", f"{tmp_path}/twice")
    assert run([f"{tmp_path}/twice", "x"]).stdout == b"x\n"
    folder = os.path.dirname(command(tree, "tool"))
    assert run(["./tool", "x"], cwd=folder).stdout == b"x\n"
    assert run(["sh", "tool", "x"], cwd=folder).stdout == b"x\n"
    assert run(["sh", "-c", f"PATH='{folder}':$PATH; tool x"]).stdout == b"x\n"
    copy = f"{tmp_path}/copy"
    shutil.copyfile(f"{tree}/sites/example/wrappers/.ssds/wrapper", copy)
    done = run(["sh", copy])
    assert done.returncode == 127
    assert b"not a link to a deployed command" in done.stderr


@needs_namespaces
def test_a_program_may_call_a_wrapper_again(tree: str, user: int) -> None:
    folder = os.path.dirname(command(tree, "tool"))
    done = run([command(tree, "sibling"), "x"], user=user, TOOL_WRAPPERS=folder)
    assert done.stdout == b"inner\nx\n"


@needs_namespaces
def test_a_program_may_call_a_wrapper_of_another_image(tmp_path: object) -> None:
    blobs = Blobs(f"{tmp_path}/blobs")
    other = small_tar({"usr/bin/tool": script("echo other image; exit 5")})
    locks = [tool_lock(blobs), tool_lock(blobs, other, name="other")]
    tree = f"{tmp_path}/tree"
    deploy(site(runtimes=("plain",)), locks, blobs, tree)
    inner = f"{tree}/sites/example/wrappers/other/1.0/bin/tool"
    done = run([command(tree, "show"), inner], SSDS_RUNTIME="plain", SSDS_BINDS=str(tmp_path))
    assert (done.stdout, done.returncode) == (b"other image\n", 5), done.stderr


@needs_namespaces
def test_strange_names_in_an_image_s_root_do_no_harm(tmp_path: object) -> None:
    here = f"{tmp_path}/here"
    os.makedirs(here)
    with open(f"{here}/secret", "w", encoding="ascii") as file:
        file.write("secret")
    names = ("x\nsecret", "tab\tname", "-rf", "$(touch pwned)", "a b\\c#'\"", "\udcff", "..x", "*")
    odd = small_tar({**dict.fromkeys(names, "etc"), **{f"{n}.d/f": b"x" for n in names}})
    blobs = Blobs(f"{tmp_path}/blobs")
    deploy(site(runtimes=("plain",)), [tool_lock(blobs, odd)], blobs, f"{tmp_path}/tree")
    show = f"{tmp_path}/tree/sites/example/wrappers/tool/1.0/bin/show"
    text = "cd /; printf '%s\\n' * .[!.]* ..?*; cat ./-rf.d/f"
    told = run([show, text], cwd=here)
    assert (told.returncode, told.stderr) == (0, b"")
    seen = told.stdout.split(b"\n")
    assert {b"-rf", b"$(touch pwned)", b"a b\\c#'\"", b"\xff", b"..x", b"*", b"*.d", b"x"} <= {
        *seen
    }
    assert not {b"secret", b"pwned"} & {*seen}
    assert os.listdir(here) == ["secret"]


@needs_namespaces
def test_without_user_namespaces_it_says_so_in_one_line(tree: str) -> None:
    text = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$0"'
    done = run(["unshare", "-Ur", "sh", "-c", text, command(tree, "tool")])
    assert done.returncode == 127
    assert done.stderr.startswith(b"ssds: tool needs apptainer, or user namespaces")
    assert done.stderr.count(b"\n") == 1


def test_an_unknown_runtime_and_a_missing_one_are_said(tree: str) -> None:
    for runtime in ("docker", "apptainer"):
        if shutil.which(runtime) and runtime == "apptainer":
            continue
        done = run([command(tree, "tool")], SSDS_RUNTIME=runtime)
        assert done.returncode == 127
        assert b"SSDS_RUNTIME is" in done.stderr


def fake_runtime(folder: str, name: str) -> None:
    """A stand-in that shows how it was called; the real one is not on this machine."""
    path = f"{folder}/{name}"
    with open(path, "w") as file:
        file.write('#!/bin/sh\nprintf "%s\\n" "$@"; printenv APPTAINERENV_PATH\n')
    os.chmod(path, 0o755)


def test_apptainer_is_called_with_image_binds_and_gpu(tree: str, tmp_path: object) -> None:
    fake_runtime(str(tmp_path), "apptainer")
    done = run(
        [command(tree, "tool"), "a b"],
        cwd="/usr/share",
        PATH=f"{tmp_path}:/usr/bin:/bin",
        SSDS_RUNTIME="apptainer",
        SSDS_BINDS="/etc:/host-etc:ro,/srv",
        SSDS_GPU="nvidia",
    )
    image = next(
        os.path.join(base, name)
        for base, names, _ in os.walk(f"{tree}/.flat")
        for name in names
        if len(name) == 64
    )
    lines = done.stdout.decode().splitlines()
    assert lines == [
        "--silent", "exec", "--nv", "--bind", "/srv:/srv:rw", "--bind", "/etc:/host-etc:ro",
        "--pwd", "/usr/share", "--bind", "/usr/share", os.path.realpath(image), "/usr/bin/tool",
        "a b", "/usr/local/bin:/usr/bin:/bin",
    ]  # fmt: skip


WITH_DEVICE = """
set -e
mkdir "$1"; mount -t tmpfs none "$1"
for name in null zero urandom; do : >"$1/$name"; mount --bind "/dev/$name" "$1/$name"; done
mkdir "$1/shm"; mount --rbind /dev/shm "$1/shm"
[ -z "$2" ] || : >"$1/$2"
mount --rbind "$1" /dev
shift 2; exec "$@"
"""


@needs_namespaces
@pytest.mark.parametrize(
    ("device", "asked", "option"),
    [
        ("nvidiactl", "", "--nv"),
        ("kfd", "", "--rocm"),
        ("", "", ""),
        ("nvidiactl", "none", ""),
        ("kfd", "nvidia", "--nv"),
    ],
)
def test_a_gpu_is_found_by_its_device_when_a_program_starts(
    tree: str, tmp_path: object, device: str, asked: str, option: str
) -> None:
    fake_runtime(str(tmp_path), "apptainer")
    shell = ["sh", "-c", WITH_DEVICE, "sh", f"{tmp_path}/dev", device]
    done = run(
        ["unshare", "-Urm", *shell, command(tree, "tool")],
        PATH=f"{tmp_path}:/usr/bin:/bin",
        SSDS_RUNTIME="apptainer",
        SSDS_GPU=asked,
    )
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == ["--silent", "exec"], done.stderr
    assert [line for line in lines if line in ("--nv", "--rocm")] == [option] * bool(option)


def test_the_first_runtime_of_the_site_that_is_here_is_taken(
    tmp_path: object,
) -> None:
    blobs = Blobs(f"{tmp_path}/blobs")
    deploy(site(), [tool_lock(blobs)], blobs, f"{tmp_path}/tree")
    fake_runtime(str(tmp_path), "singularity")
    path = f"{tmp_path}:/usr/bin:/bin"
    done = run([command(f"{tmp_path}/tree", "tool"), "x"], PATH=path)
    assert done.stdout.startswith(b"--silent\nexec\n")


def test_the_facts_of_a_release_are_this_text() -> None:
    image = ImageFacts(
        folder=".flat/ab/abc",
        programs={"tool": "/usr/bin/tool", "it's": "/opt/it's"},
        environment={"PATH": "/bin", "A": "x'y", "bad-name": "z", "PWD": "/x"},
        setpriv="/usr/bin/setpriv",
    )
    facts = release_facts(
        release="tool@1.0-r2",
        images={Platform("linux/amd64/v3"): image},
        defaults={"B": "$(touch /tmp/pwned)", "A": "lost"},
    )
    assert facts.decode() == (
        "ssds_release='tool@1.0-r2'\n"
        "ssds_platforms='amd64/v3'\n"
        "ssds_facts() {\n"
        "case $ssds_platform in\n"
        "amd64/v3)\n"
        "ssds_image='.flat/ab/abc'\n"
        "ssds_setpriv='/usr/bin/setpriv'\n"
        "case $ssds_command in\n"
        "'it'\\''s') ssds_program='/opt/it'\\''s' ;;\n"
        "'tool') ssds_program='/usr/bin/tool' ;;\n"
        "*) ssds_program='' ;;\n"
        "esac\n"
        "ssds_environment() {\n"
        "    ssds_default B '$(touch /tmp/pwned)'\n"
        "    ssds_set A 'x'\\''y'\n"
        "    ssds_set PATH '/bin'\n"
        "}\n"
        ";;\n"
        "esac\n"
        "}\n"
    )


def test_the_facts_of_a_site_are_this_text() -> None:
    asked = site(binds=("/data", "/scratch:/mnt/scratch:ro"), gpu="none", hook="/etc/mpi.sh")
    assert site_facts(asked).decode() == (
        "ssds_runtimes='apptainer singularity plain'\n"
        "ssds_site_gpu='none'\n"
        "ssds_hook='/etc/mpi.sh'\n"
        "ssds_binds='/data\t/data\trw\n/scratch\t/mnt/scratch\tro\n'\n"
    )


@pytest.mark.parametrize("bind", ["data", "/a,b", "/a:b", "/a:/b:x", "/a/../b", "/", "/a\n", "/a/"])
def test_a_wrong_bind_of_a_site_is_refused(bind: str) -> None:
    with pytest.raises(InvalidValue, match="bind"):
        binds_of(site(binds=(bind,)))


def test_quoting_survives_a_shell() -> None:
    for text in ("", "a b", "'", "''", "\\", "$x`y`", "line\nline", "-n", "ü"):
        done = run(["sh", "-c", f"printf %s {quoted(text)}"])
        assert done.stdout.decode() == text


@pytest.mark.component("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    folder = os.path.join(os.path.dirname(__file__), "../../ssds/ship")
    done = run(["shellcheck", "-s", "sh", f"{folder}/wrapper.sh", f"{folder}/plain.sh"])
    assert done.stdout == b""


# -- the stated policy of the environment ----------------------------------------------------------

DROPPED = ("LD_OTHER", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "R_LIBS", "JULIA_LOAD_PATH")
KEPT = (
    *("SLURM_JOB_ID", "SLURM_STEP_ID", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"),
    *("OMP_NUM_THREADS", "LANG", "LC_ALL", "DISPLAY", "XAUTHORITY", "MY_OWN"),
)


@needs_namespaces
def test_the_policy_of_the_environment_holds(tree: str) -> None:
    given = {name: f"v-{name}" for name in (*DROPPED, *KEPT)}
    given["TRICK"] = "x\nexport LANG='y'\nPYTHONPATH=z"
    done = run([command(tree, "show"), "env"], **given)
    assert done.returncode == 0, done.stderr
    found = done.stdout.decode()
    for name in KEPT:
        assert f"\n{name}=v-{name}\n" in f"\n{found}", name
    for name in DROPPED:
        assert f"{name}=v-" not in found
    assert "TRICK=x\nexport LANG='y'\nPYTHONPATH=z\n" in found


@needs_namespaces
@pytest.mark.parametrize("name", ["APPTAINER_BINDPATH", "APPTAINER_BIND", "SINGULARITY_BIND"])
def test_binds_that_are_set_for_apptainer_hold_without_it(
    tree: str, tmp_path: object, name: str
) -> None:
    place = str(tmp_path)
    os.makedirs(f"{place}/in")
    with open(f"{place}/in/file", "w") as file:
        file.write("seen")
    done = run([command(tree, "cat"), "/mnt/x/file"], **{name: f"/gone,{place}/in:/mnt/x:ro"})
    assert done.stdout == b"seen", done.stderr


@needs_namespaces
def test_the_site_s_hook_gives_binds_and_variables(tmp_path: object) -> None:
    place = str(tmp_path)
    blobs, hook = Blobs(f"{tmp_path}/blobs"), f"{place}/mpi.sh"
    asked = site(runtimes=("plain",), hook=hook)
    deploy(asked, [tool_lock(blobs)], blobs, f"{tmp_path}/tree")
    show = f"{tmp_path}/tree/sites/example/bin/show"
    assert run([show, 'echo "$FROM_SITE"']).stdout == b"\n"
    os.mkdir(f"{place}/mpi")
    with open(hook, "w") as file:
        file.write(f"export FROM_SITE=yes; SSDS_BINDS={place}/mpi:/opt/mpi\n")
    done = run([show, 'echo "$FROM_SITE"; [ -d /opt/mpi ] && echo bound'])
    assert done.stdout == b"yes\nbound\n", done.stderr


@pytest.mark.component("podman")
@pytest.mark.component("root")
def test_podman_runs_a_program_as_the_others_do(tmp_path: object) -> None:
    blobs = Blobs(f"{tmp_path}/blobs")
    deploy(site(runtimes=("podman",)), [tool_lock(blobs)], blobs, f"{tmp_path}/tree")
    # The machine may not let a container have more processes than its own limit allows.
    with open(f"{tmp_path}/podman", "w") as file:
        file.write(
            '#!/bin/sh\nwhile [ $# -gt 0 ] && [ "$1" != run ]; do shift; done; shift\n'
            'exec /usr/bin/podman run --ulimit nproc=1000:1000 --ulimit nofile=1000:1000 "$@"\n'
        )
    os.chmod(f"{tmp_path}/podman", 0o755)
    os.mkdir(f"{tmp_path}/work")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": f"{tmp_path}/work"}
    where = f"{tmp_path}/tree/sites/example/bin"
    text = 'echo "$PATH|$IMAGE_VALUE|$TOOL_DATA|$SLURM_JOB_ID|${PYTHONPATH-unset}"; pwd; cat'
    done = run(
        [f"{where}/show", text + "; echo x >/here; echo y >made; exit 3"],
        cwd=f"{tmp_path}/work",
        stdin=b"in",
        SLURM_JOB_ID="7",
        PYTHONPATH="/x",
        **env,
    )
    if b"OCI" in done.stderr:
        pytest.skip(f"podman starts no container here: {done.stderr.decode()[-200:]}")
    expected = "/usr/local/bin:/usr/bin:/bin|from the image's $HOME|/opt/data|7|unset"
    assert done.stdout.decode() == f"{expected}\n{tmp_path}/work\nin"
    assert done.returncode == 3
    assert os.listdir(f"{tmp_path}/work") == ["made"]
    inner = run([f"{where}/tool", "a b", "*", ""], cwd=f"{tmp_path}/work", **env)
    assert inner.stdout == b"a b\n*\n\n"


def test_what_an_image_says_reaches_podmans_program_and_never_podman(tmp_path: object) -> None:
    blobs = Blobs(f"{tmp_path}/blobs")
    said = {
        "LD_PRELOAD": "/lib/of-the-image.so",
        "XDG_RUNTIME_DIR": "/run/of the image",
        "CONTAINERS_CONF": 'it\'s "$HOME"\nand `id` \\ more\n',
        "LD_LIBRARY_PATH": "/opt/lib",
    }
    env = {"PATH": "/usr/bin:/bin", **said}
    half = image(blobs, [root_tar(), tool_layer()], ["tool"], env)
    locks = [release(blobs, half, name="tool")]
    deploy(site(runtimes=("podman",)), locks, blobs, f"{tmp_path}/tree")
    with open(f"{tmp_path}/podman", "w") as file:
        file.write('#!/bin/sh\nprintf "%s\\0" "$@" --; env -0\n')
    os.chmod(f"{tmp_path}/podman", 0o755)

    done = run(
        [f"{tmp_path}/tree/sites/example/bin/tool", "a b"],
        PATH=f"{tmp_path}:/usr/bin:/bin",
        XDG_RUNTIME_DIR="/run/user/7",
    )

    words, _, own = done.stdout.decode().partition("\0--\0")
    for name, value in {"PATH": "/usr/bin:/bin", **said}.items():
        assert f"--env\0{name}={value}\0" in f"{words}\0", done.stderr
    environment = dict(line.split("=", 1) for line in own.split("\0") if line)
    assert environment["XDG_RUNTIME_DIR"] == "/run/user/7"
    assert not {"LD_PRELOAD", "CONTAINERS_CONF", "LD_LIBRARY_PATH"} & set(environment)


@needs_namespaces
def test_a_workflow_runs_over_three_tools_of_three_images(tmp_path: object) -> None:
    place = f"{tmp_path}/work"
    os.mkdir(place)
    blobs = Blobs(f"{tmp_path}/blobs")
    steps = {
        "make": "i=0; while [ $i -lt 3 ]; do i=$((i+1)); echo line $i; done >raw",
        "turn": 'while read -r a b; do echo "$b $a"; done <raw >turned; wait',
        "count": "n=0; while read -r x; do n=$((n+1)); done; echo $n >result",
    }
    locks = []
    for name, text in steps.items():
        layer = small_tar({f"usr/bin/{name}": script(text)})
        half = image(blobs, [root_tar(), layer], [name], {"PATH": "/usr/bin:/bin"})
        locks.append(release(blobs, half, name=name))
    deploy(site(runtimes=("plain",)), locks, blobs, f"{tmp_path}/tree")
    path = f"{tmp_path}/tree/sites/example/bin:/usr/bin:/bin"
    done = run(["sh", "-ec", "make; turn; cat turned | count"], cwd=place, PATH=path)
    assert done.stderr == b""
    with open(f"{place}/result") as file:
        assert file.read() == "3\n"


@needs_namespaces
@pytest.mark.component("xvfb")
def test_a_program_with_windows_shows_them_on_the_caller_s_display(tmp_path: object) -> None:
    blobs, root = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/root"
    os.mkdir(root)
    tiny_rootfs(root, ("sh", "xlogo", "xwd"))
    half = image(blobs, [tar_of(root)], ["xlogo", "xwd"], {"PATH": "/usr/bin:/bin"})
    deploy(site(runtimes=("plain",)), [release(blobs, half)], blobs, f"{tmp_path}/tree")
    where = f"{tmp_path}/tree/sites/example/bin"
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "64x64x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    window = None
    try:
        display = f":{os.read(read, 16).decode().strip()}"
        empty = run([f"{where}/xwd", "-root", "-silent"], DISPLAY=display)
        assert empty.stdout, empty.stderr
        env = {"PATH": "/usr/bin:/bin", "DISPLAY": display, "HOME": str(tmp_path)}
        window = subprocess.Popen([f"{where}/xlogo", "-geometry", "64x64+0+0"], env=env)
        pixels = slice(-64 * 64 * 4, None)
        for _ in range(200):
            seen = run([f"{where}/xwd", "-root", "-silent"], DISPLAY=display).stdout
            if len(set(seen[pixels])) > 1:  # the window's place is there before what it shows
                break
            time.sleep(0.05)
        assert len(set(seen[pixels])) > len(set(empty.stdout[pixels]))
        assert window.poll() is None
        window.terminate()
        assert window.wait(10) == -signal.SIGTERM
    finally:
        for process in filter(None, (window, server)):
            process.kill()
            process.wait()
        os.close(read)
