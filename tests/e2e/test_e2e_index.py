"""The plan index in processes of their own: kills, several at once, places that cannot be written.

The workspace is one of ``index_bench``: nothing in it needs a sandbox to be planned or applied.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import index_bench
import laws_bench
import pytest
from as_user import ordinary_user, reason_against, run_as
from e2e_workspace import ROOT, Ended, Site, assert_no_traceback, finish

PLAN = ("plan", "--json", "--detailed-exitcode")
ROUNDS = 20


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    index_bench.make(folder)
    return folder


@pytest.fixture
def site(released: Path, tmp_path: Path) -> Site:
    """A copy with an index."""
    return copy(released, tmp_path / "site")


def copy(released: Path, target: Path) -> Site:
    index_bench.copy(released, target)
    site = Site(target)
    assert site.run(*PLAN).code == 0
    assert (site.workspace / ".ssds/plan.index").exists()
    return site


def check(site: Site, *, warnings: int = 0, **environment: str) -> dict:
    """The law, in processes; returns the plan."""
    found = site.run(*PLAN, **environment)
    wanted = site.run(*PLAN, "--no-index", **environment)
    assert_no_traceback(found)
    assert (found.code, found.out) == (wanted.code, wanted.out), found.text
    assert found.err.count("the plan index") == warnings, found.err
    return json.loads(found.out)


def edit(site: Site, text: str) -> None:
    """Gives a recipe that summary; ``words`` is the released one."""
    path = site.workspace / "catalog/bwa/recipe.yaml"
    changed = re.sub(r"(?m)^summary: .*$", f"summary: {text}", path.read_text())
    path.write_text(changed)


# Kills.


def ended_at(site: Site, point: str) -> Ended:
    return site.run(*PLAN, SSDS_FAULT_KILL=point)


@pytest.mark.parametrize("how", ["anew", "grown"])
def test_kill_at_every_write_point_of_the_index_costs_only_time(
    how: str, released: Path, tmp_path: Path
) -> None:
    def prepared(name: str) -> Site:
        site = copy(released, tmp_path / name)
        if how == "anew":
            (site.workspace / ".ssds/plan.index").unlink()
        edit(site, "killed")
        return site

    traced = prepared("traced")
    trace = tmp_path / "trace"
    traced.run(*PLAN, SSDS_FAULT_TRACE=str(trace))
    points = [p for p in trace.read_text().split() if p.startswith("index.")]
    assert len(points) >= 3
    for point in points:
        site = prepared(point.replace(":", "-"))
        assert ended_at(site, point).code == -signal.SIGKILL
        check(site)
        edit(site, "later")
        check(site)
        edit(site, "words")
        assert check(site)["steps"] == []


def test_kills_one_after_another_leave_a_whole_index_at_last(site: Site) -> None:
    for number in range(6):
        edit(site, f"n{number}")
        assert ended_at(site, ("index.grow:1", "index.grown:1")[number % 2]).code < 0
    check(site)
    assert check(site)["summary"]["run"] == 1


# Several at once.


@pytest.mark.slow
def test_two_planners_and_an_apply_at_once_agree_afterwards(site: Site) -> None:
    for number in range(ROUNDS):
        edit(site, f"n{number}")
        planners = [site.start(*PLAN) for _ in range(2)]
        laws_bench.apply_plan(site.workspace)
        for planner in planners:
            ended = finish(planner)
            assert_no_traceback(ended)
            assert ended.code in (0, 2), ended.text
            assert "the plan index" not in ended.err
        assert check(site)["steps"] == []


def test_many_planners_of_one_edit_say_the_same(site: Site) -> None:
    for number in range(3):
        edit(site, f"n{number}")
        said = [finish(p) for p in [site.start(*PLAN) for _ in range(4)]]
        assert len({(ended.code, ended.out, ended.err) for ended in said}) == 1
        check(site)


# Places.


def inside(site: Site, setup: str, *arguments: str) -> Ended:
    """Runs ``ssds`` in a mount namespace of its own, after a line of shell as root."""
    command = [sys.executable, "-m", "ssds", "-C", str(site.workspace), *arguments]
    script = f'set -e; cd "{site.folder}"; {setup}; exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SSDS_USER_SETTINGS": os.devnull},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


PLACES = {
    "a read-only workspace": "mount --bind workspace workspace; mount -o remount,ro,bind workspace",
    "a read-only state folder": "mount --bind workspace/.ssds workspace/.ssds; "
    "mount -o remount,ro,bind workspace/.ssds",
    "a full disk": "mkdir kept; cp workspace/.ssds/plan.index kept/; "
    "pages=$(($(stat -c %s kept/plan.index) / 4096 + 2)); "
    "mount -t tmpfs -o size=$((pages * 4))k none workspace/.ssds; cp kept/* workspace/.ssds/; "
    "head -c 1m /dev/zero > workspace/.ssds/filler 2>&- || true",
    "a disk that is full without an index": "mount -t tmpfs -o size=4k none workspace/.ssds; "
    "head -c 1m /dev/zero > workspace/.ssds/filler 2>&- || true",
    "another file system": "mount -t tmpfs none workspace/.ssds",
}


@pytest.mark.component("root")
@pytest.mark.parametrize("place", PLACES)
def test_where_the_index_cannot_be_written_the_plan_is_right(place: str, site: Site) -> None:
    for text in ("", "changed"):
        if text:
            edit(site, text)
        wanted = site.run(*PLAN, "--no-index")
        shutil.rmtree(site.folder / "kept", ignore_errors=True)
        found = inside(site, PLACES[place], *PLAN)
        assert_no_traceback(found)
        assert (found.code, found.out, found.err) == (wanted.code, wanted.out, "")
    check(site)


def state_is_missing(state: Path) -> None:
    shutil.rmtree(state)


def state_is_a_file(state: Path) -> None:
    shutil.rmtree(state)
    state.write_text("no folder")


def state_is_a_link(state: Path) -> None:
    os.replace(state, state.with_name("state"))
    state.symlink_to("state")


def state_dangles(state: Path) -> None:
    shutil.rmtree(state)
    state.symlink_to("nowhere")


def state_is_closed(state: Path) -> None:
    state.chmod(0o000)


@pytest.mark.parametrize(
    "change", [state_is_missing, state_is_a_file, state_is_a_link, state_dangles, state_is_closed]
)
def test_a_state_folder_that_is_none_changes_no_plan(change, site: Site) -> None:
    change(site.workspace / ".ssds")
    for text in ("", "changed"):
        if text:
            edit(site, text)
        wanted = site.run(*PLAN, "--no-index")
        for _ in range(2):
            found = site.run(*PLAN)
            assert_no_traceback(found)
            assert (found.code, found.out) == (wanted.code, wanted.out), found.text


def test_from_a_folder_that_was_deleted_a_plan_works(site: Site) -> None:
    gone = site.folder / "gone"
    script = f'mkdir "{gone}"; cd "{gone}"; rmdir "{gone}"; exec "$@"'
    for arguments in (PLAN, (*PLAN, "--no-index")):
        command = ["sh", "-c", script, "sh", *site._arguments(arguments)]
        done = subprocess.run(
            command, env=site._environment({}), capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""


@pytest.mark.skipif(bool(reason_against()), reason=reason_against())
def test_another_users_workspace_is_planned_without_its_index(
    released: Path, tmp_path: Path
) -> None:
    """The index is its owner's: who may read it only does not trust it, and writes none."""
    work = tmp_path / "open"
    index_bench.copy(released, work)
    site = Site(work)
    shutil.rmtree(site.store)
    wanted = json.loads(site.run(*PLAN).out)
    (site.workspace / ".ssds/plan.index").chmod(0o644)
    place = Path("/var/tmp") / f"ssds-index-{os.getpid()}"
    try:
        shutil.copytree(work, place, symlinks=True)
        place.chmod(0o755)
        with ordinary_user() as name:
            said = [
                run_as(name, ["-m", "ssds", "-C", f"{place}/workspace", *PLAN, *more])
                for more in ((), ("--no-index",))
            ]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    for code, text in said:
        assert code == 0, text
        assert "Traceback" not in text
        assert json.loads(text[text.index("{") :])["summary"] == wanted["summary"]
    assert said[0][1].count("another user wrote it") == 1
