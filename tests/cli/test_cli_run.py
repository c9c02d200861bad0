"""``ssds run`` and ``ssds shell``: a person's command in a built image."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e_workspace import Site, assert_no_traceback, check_error, finish

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]


def at(site: Site, folder: Path, *words: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    """Runs ``ssds`` in a folder with an input."""
    done = subprocess.run(
        site._arguments(words),
        input=given,
        capture_output=True,
        env=site._environment({}),
        cwd=folder,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "my data"
    folder.mkdir()
    return folder


def test_a_command_of_the_image_runs_with_its_environment(warm: Site, here: Path) -> None:
    assert at(warm, here, "run", "ground", "--", "ground") == (0, b"one\nground\n", b"")


def test_input_output_errors_and_exit_code_are_the_commands(warm: Site, here: Path) -> None:
    script = "cat; echo bad >&2; exit 7"
    assert at(warm, here, "run", "ground@1.0", "sh", "-c", script, given=b"\x00\xffin") == (
        7,
        b"\x00\xffin",
        b"bad\n",
    )


def test_the_current_folder_is_where_the_command_works(warm: Site, here: Path) -> None:
    (here / "in.txt").write_text("words")
    code, out, _ = at(warm, here, "run", "ground", "--", "sh", "-c", "pwd; cp in.txt out.txt")
    assert (code, out.decode()) == (0, f"{here}\n")
    assert (here / "out.txt").read_text() == "words"
    assert (here / "out.txt").stat().st_uid == os.getuid()


def test_changes_of_the_image_are_thrown_away(warm: Site, here: Path) -> None:
    at(warm, here, "run", "ground", "--", "sh", "-c", "echo x > /opt/ground/words; rm -r /etc")
    assert at(warm, here, "run", "ground", "ground")[1] == b"one\nground\n"


def test_there_is_no_network_and_nothing_of_the_host(warm: Site, here: Path) -> None:
    script = f"ls /sys/class/net 2>/dev/null; cat /proc/net/route | wc -l; ls {warm.store}"
    _, out, err = at(warm, here, "run", "ground", "--", "sh", "-c", script)
    assert out.split() == [b"1"]
    assert b"No such file" in err


def test_options_after_the_command_are_the_commands(warm: Site, here: Path) -> None:
    code, out, _ = at(warm, here, "run", "ground", "echo", "--help", "--", "-C")
    assert (code, out) == (0, b"--help -- -C\n")
    platform = ("--platform", "linux/amd64")
    assert at(warm, here, "run", "ground", *platform, "--", "echo", "a")[1] == b"a\n"
    assert at(warm, here, "run", *platform, "ground", "echo", "a")[1] == b"a\n"


def test_more_folders_can_be_bound(warm: Site, here: Path, tmp_path: Path) -> None:
    (tmp_path / "ref").mkdir()
    (tmp_path / "ref/genome").write_text("ACGT")
    bind = f"{tmp_path}/ref:/ref:ro"
    script = "cat /ref/genome; echo x > /ref/genome || echo -held"
    code, out, _ = at(warm, here, "run", "--bind", bind, "ground", "sh", "-c", script)
    assert (code, out) == (0, b"ACGT-held\n")
    code, _, err = at(warm, here, "run", "--bind", "/no/such/place", "ground", "true")
    assert (code, b"does not exist" in err) == (1, True)


def test_a_program_that_the_image_lacks_is_127(warm: Site, here: Path) -> None:
    code, _, err = at(warm, here, "run", "ground", "no-such-tool")
    assert code == 127
    assert b"no-such-tool: cannot be executed" in err


@pytest.mark.parametrize("folder", ["/", "/usr", "/etc", "/proc", "/dev/shm"])
def test_a_folder_that_would_hide_the_images_own_is_refused(warm: Site, folder: str) -> None:
    code, _, err = at(warm, Path(folder), "run", "ground", "true")
    assert code == 1
    assert b"error[E086]" in err


def test_an_image_that_was_never_built_tells_how_to_build_it(warm: Site) -> None:
    check_error(warm.run("run", "tiny", "tiny"), "E056", "`ssds apply tiny@1.0` builds it")


def test_bytes_that_are_not_here_tell_how_to_get_them(site: Site, here: Path) -> None:
    shutil.rmtree(site.store)
    ended = site.run("run", "ground", "ground")
    check_error(ended, "E057", "`ssds apply --fetch --platform linux/amd64 ground@1.0` brings it")


def test_compressed_layers_are_enough(site: Site, here: Path) -> None:
    half = site.lock("ground")["variants"]["default"]["platforms"]["linux/amd64"]["release"]
    shutil.rmtree(site.store / "trees")
    for layer in half["layers"]:
        site.blob(layer["diff_id"]).unlink()
    code, out, err = at(site, here, "run", "ground", "ground")
    assert (code, out) == (0, b"one\nground\n"), err


def test_a_changed_recipe_runs_the_released_image_and_says_so(site: Site, here: Path) -> None:
    site.edit("catalog/ground/recipe.yaml", "one\\nground", "two\\nground")
    code, out, err = at(site, here, "run", "ground", "ground")
    assert (code, out) == (0, b"one\nground\n")
    assert b"the recipe has changed since; this is ground@1.0 as released" in err


def test_the_end_of_ssds_is_the_end_of_the_command(warm: Site, here: Path) -> None:
    process = subprocess.Popen(
        warm._arguments(["run", "ground", "--", "sh", "-c", "echo up; sleep 300"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=warm._environment({}),
        cwd=here,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    ended = finish(process)
    assert ended.code == 130
    assert warm.await_quiet() == []


class Person:
    """Someone at a terminal of 80 columns."""

    def __init__(self, site: Site, folder: Path, *words: str) -> None:
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            arguments = site._arguments(words)
            os.execve(arguments[0], arguments, {**site._environment({}), "TERM": "dumb"})

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def sees(self, text: str, timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while text.encode() not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} is not in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)

    def leaves(self) -> int:
        while True:
            try:
                if not os.read(self.master, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_shell_in_an_image_is_interactive(warm: Site, here: Path) -> None:
    person = Person(warm, here, "shell", "ground:build")
    person.sees("[ground] $ ")
    person.type("tty; ground; exit 5\n")
    person.sees("/dev/pts/0")
    person.sees("one\r\nground")
    assert person.leaves() == 5


RECIPE = """\
name: tiny
version: "1.0"
summary: A tool that does not build.
licenses: [MIT]
base: debian-12
build:
  - file: {path: /opt/tiny/words, content: "one"}
  - env: {COLOUR: blue}
  - run: |
      cp /opt/tiny/words /opt/tiny/copy
      false
tests:
  - {name: there, run: cat /opt/tiny/copy, stdout: [one]}
"""
SCRIPT = "cp /opt/tiny/words /opt/tiny/copy\nfalse\n"


def fail(site: Site) -> None:
    """Applies a recipe whose last step fails, and keeps its tree."""
    site.write("catalog/tiny/recipe.yaml", RECIPE)
    ended = site.run("apply", "--yes", "--keep-failed", "tiny")
    check_error(ended, "E071", "`ssds shell tiny@1.0:build` opens its tree")


def mend(site: Site) -> None:
    site.write("catalog/tiny/recipe.yaml", RECIPE.replace("false", "true"))


def kept(site: Site) -> list[str]:
    return [str(p) for p in site.store.glob("trees/*/changes/kept-*")]


def test_the_tree_of_a_failed_step_can_be_looked_at(site: Site, here: Path) -> None:
    fail(site)
    script = b"cat /run/ssds/step.sh; ls /opt/tiny; echo $COLOUR; touch /opt/new; exit 4\n"
    code, out, err = at(site, here, "shell", "tiny:build", given=script)
    assert code == 4
    assert out.decode() == f"#!/bin/sh -eu\n{SCRIPT}copy\nwords\nblue\n"
    assert b"step 2 as it failed; its script is /run/ssds/step.sh" in err
    assert b"new" not in at(site, here, "shell", "tiny", given=b"ls /opt\n")[1]


def test_kept_trees_are_listed(site: Site) -> None:
    assert "No tree of a failed step" in site.good("shell", "--list").out
    fail(site)
    (entry,) = json.loads(site.good("shell", "--list", "--json").out)
    assert (entry["node"], entry["platform"], entry["step"]) == ("tiny@1.0:build", "linux/amd64", 2)
    assert [entry["folder"]] == kept(site)


def test_a_kept_tree_goes_when_the_node_succeeds(site: Site) -> None:
    fail(site)
    mend(site)
    site.good("apply", "--yes", "tiny")
    assert kept(site) == []
    assert list((site.workspace / ".ssds/failed").iterdir()) == []


def test_a_second_failure_replaces_the_kept_tree(site: Site) -> None:
    fail(site)
    fail(site)
    assert len(kept(site)) == 1


def test_a_kept_tree_goes_with_gc(site: Site) -> None:
    fail(site)
    site.good("gc", "--dry-run")
    assert len(kept(site)) == 1
    site.good("gc")
    assert kept(site) == []
    assert "No tree" in site.good("shell", "--list").out


def test_without_keep_failed_nothing_is_kept(site: Site) -> None:
    site.write("catalog/tiny/recipe.yaml", RECIPE)
    assert site.run("apply", "--yes", "tiny").code == 1
    assert kept(site) == []


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[]", b'{"upper":"/etc"}', b"\xff\xfe", b'{"layers":[1]}']
)
def test_a_damaged_record_of_a_kept_tree_is_no_tree(site: Site, here: Path, record: bytes) -> None:
    fail(site)
    (path,) = (site.workspace / ".ssds/failed").iterdir()
    path.write_bytes(record)
    assert "No tree" in site.good("shell", "--list").out
    assert_no_traceback(site.run("shell", "tiny:build"))
    site.good("gc")
    assert kept(site) == []


def test_a_kind_without_an_image_is_refused(warm: Site) -> None:
    check_error(warm.run("shell", "ground:index"), "E039", "kind index have no image")
