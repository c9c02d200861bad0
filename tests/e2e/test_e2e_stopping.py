"""Signals in the middle of the work, and several processes at the same work."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from e2e_workspace import Site, finish, kill, make_site

from ssds.store.store import Store

SLEEPER = "sleep 97.25"


def sleeping(site: Site) -> None:
    """Locks a recipe whose second step takes long."""
    site.recipe("slow", "      wc -l", f"      {SLEEPER}; wc -l")
    site.good("lock")


def wait_for(site: Site, text: str, timeout_s: float = 60) -> None:
    """Waits until a process of the site has ``text`` in its command line."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        if any(line.startswith(text) for line in listed.stdout.splitlines()):
            return
        time.sleep(0.05)
    raise AssertionError(f"{text!r} never ran")


def running(text: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return any(line.startswith(text) for line in listed.stdout.splitlines())


def check_clean(site: Site) -> None:
    assert site.await_quiet() == []
    assert site.good("store", "verify").out == "Clean.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_a_step_ends_it_and_keeps_what_is_finished(site, number):
    sleeping(site)
    process = site.start("apply", "--yes", "-j", "2")
    wait_for(site, SLEEPER)
    began = time.monotonic()
    kill(process, number)
    ended = finish(process, 30)
    assert ended.code == 130, ended.text
    assert time.monotonic() - began < 15
    assert "Traceback" not in ended.text
    assert not running(SLEEPER)
    check_clean(site)
    assert site.leftovers() == []
    assert site.states()["slow@1.0:build"] == "stopped"
    assert site.states()["slow@1.0:metadata"] == "done"
    site.edit("catalog/slow/recipe.yaml", SLEEPER, "true")
    site.good("apply", "--yes")
    site.good("plan", "--detailed-exitcode")


def test_sigkill_in_a_step_leaves_no_process(site):
    sleeping(site)
    process = site.start("apply", "--yes")
    wait_for(site, SLEEPER)
    kill(process)
    assert finish(process).code == -signal.SIGKILL
    assert site.await_quiet() == []
    assert not running(SLEEPER)
    site.edit("catalog/slow/recipe.yaml", SLEEPER, "true")
    site.good("apply", "--yes")
    assert site.leftovers() == []
    check_clean(site)


def without_base(site: Site) -> str:
    """Removes the base's bytes, so that a build must bootstrap it again; returns its digest."""
    store = Store(str(site.store))
    largest = max(store.blobs.all(), key=store.blobs.size)
    store.close()
    site.blob(str(largest)).unlink()
    return str(largest)


@pytest.mark.slow
def test_signals_in_a_bootstrap_end_it(site):
    base = without_base(site)
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = site.start("apply", "--yes", "tiny")
        wait_for(site, "/usr/bin/perl /usr/bin/mmdebstrap")
        time.sleep(1.5)
        kill(process, number)
        assert finish(process, 40).code == code
        assert site.await_quiet() == []
        assert not site.blob(base).exists()
    assert site.leftovers() == []
    site.good("apply", "--yes", "tiny")
    assert site.blob(base).exists()
    check_clean(site)


def test_two_applies_at_once_execute_each_node_once(site):
    site.edit("catalog/tiny/recipe.yaml", "      wc -l", "      sleep 1; wc -l")
    processes = [site.start("apply", "--yes") for _ in range(2)]
    ended = [finish(process) for process in processes]
    assert [e.code for e in ended] == [0, 0], "\n".join(e.text for e in ended)
    done = [
        {line.split()[1] for line in e.err.splitlines() if line.startswith("  ✓ tiny@")}
        for e in ended
    ]
    assert not done[0] & done[1], done
    assert {n.rpartition(":")[2] for n in done[0] | done[1]} >= {"build", "test", "publish"}
    store = Store(str(site.store))
    kinds = [c.kind for c in store.claims.all() if c.kind == "build"]
    assert store.claims.disagreements() == {}
    store.close()
    assert len(kinds) == 2  # ground's and tiny's
    site.good("plan", "--detailed-exitcode")
    check_clean(site)


def test_two_applies_of_two_platforms_at_once_end_with_both_sections(site):
    """Both platforms run here without emulation: amd64, and its level v2."""
    both = ["linux/amd64", "linux/amd64/v2"]
    site.edit("catalog/bases.yaml", "[linux/amd64]", "[linux/amd64, linux/amd64/v2]")
    site.edit(
        "catalog/tiny/recipe.yaml",
        "platforms: {linux/amd64: required}",
        "platforms: {linux/amd64: required, linux/amd64/v2: required}",
    )
    site.good("lock", "tiny")
    processes = [site.start("apply", "tiny", "--platform", p, "--yes") for p in both]
    ended = [finish(process) for process in processes]
    assert [e.code for e in ended] == [0, 0], "\n".join(e.text for e in ended)
    section = site.lock("tiny")["variants"]["default"]["platforms"]
    assert [p for p in both if "manifest" in section[p].get("release", {})] == both
    builds = [n for e in ended for n in e.err.splitlines() if "✓ tiny@1.0:build" in n]
    assert len(builds) == 2, builds
    site.good("apply", "tiny", "--yes")
    index = site.lock("tiny")["variants"]["default"]["index"]
    assert sorted(index["platforms"]) == both
    site.good("plan", "tiny", "--detailed-exitcode")
    check_clean(site)


def test_many_first_users_of_a_store_do_not_disturb_each_other(tmp_path):
    site = make_site(tmp_path / "site")
    processes = [site.start("store") for _ in range(6)]
    ended = [finish(process) for process in processes]
    assert [e.code for e in ended] == [0] * 6, "\n".join(e.text for e in ended)
    assert site.good("store", "verify").out == "Clean.\n"


def test_locks_written_at_once_hold_the_pins_of_both(site):
    for name in ("left", "right"):
        site.recipe(name)
    processes = [site.start("lock", name) for name in ("left", "right")]
    ended = [finish(process) for process in processes]
    assert [e.code for e in ended] == [0, 0], "\n".join(e.text for e in ended)
    site.good("lock", "--check")


def test_gc_refuses_while_an_apply_is_at_work(site):
    sleeping(site)
    process = site.start("apply", "--yes")
    wait_for(site, SLEEPER)
    ended = site.run("gc")
    kill(process, signal.SIGINT)
    finish(process, 30)
    assert ended.code == 1
    assert "T020" in ended.err
    assert os.path.isdir(site.store)
