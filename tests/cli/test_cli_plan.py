"""``ssds plan`` and ``apply``: what people read, what programs read, and the exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import struct
import termios

import pytest
from e2e_workspace import Site, check_error

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]


def test_a_released_recipe_has_nothing_to_do(warm: Site) -> None:
    ended = warm.good("plan", "ground", "--detailed-exitcode")
    assert ended.out.splitlines()[0].startswith("Nothing to do: ")
    assert "0 run, 0 unknown, 0 remove" in ended.out


def test_a_new_recipe_is_told_row_by_row(warm: Site) -> None:
    ended = warm.run("plan", "tiny", "--detailed-exitcode")
    assert ended.code == 2
    assert ended.out == (
        "10 steps to do, 1 result reused.\n"
        "\n"
        "  +  tiny@1.0:metadata                 no result for this key\n"
        "  +  tiny@1.0:build       linux/amd64  no result for this key\n"
        "  ?  tiny@1.0:test        linux/amd64  known after tiny@1.0:build [linux/amd64]\n"
        "  ?  tiny@1.0:deploytest  linux/amd64  known after tiny@1.0:build [linux/amd64]\n"
        "  ?  tiny@1.0:sbom        linux/amd64  known after tiny@1.0:build [linux/amd64]\n"
        "  ?  tiny@1.0:scan        linux/amd64  known after tiny@1.0:sbom [linux/amd64]\n"
        "  ?  tiny@1.0:gate        linux/amd64  known after tiny@1.0:scan [linux/amd64]\n"
        "  ?  tiny@1.0:publish     linux/amd64  known after tiny@1.0:build [linux/amd64] and 3 more\n"  # noqa: E501
        "  ?  tiny@1.0:index                    known after tiny@1.0:publish [linux/amd64]\n"
        "  ?  tiny@1.0:lock                     known after tiny@1.0:metadata\n"
        "\n"
        "Plan: 1 reuse, 2 run, 8 unknown, 0 remove, 0 waiting, 0 held.\n"
    )


def reasons(site: Site) -> dict[str, str]:
    return {node: reason for node, (verb, reason) in site.plan("ground").items() if verb == "run"}


def line(site: Site, text: str) -> int:
    lines = (site.workspace / "catalog/ground/recipe.yaml").read_text().splitlines()
    return next(n for n, found in enumerate(lines, 1) if text in found)


def step(site: Site, kind: str) -> int:
    """Returns the number of the last step of a kind."""
    text = (site.workspace / "catalog/ground/recipe.yaml").read_text()
    steps = [entry for entry in text.splitlines() if entry.startswith("  - ")]
    return max(n for n, entry in enumerate(steps) if entry.startswith(f"  - {kind}:"))


def test_a_reason_names_the_recipes_own_place_with_before_and_after(site: Site) -> None:
    site.edit("catalog/ground/recipe.yaml", "A tiny tool for tests.", "Another tool.")
    site.edit(
        "catalog/ground/recipe.yaml", "{TINY_HOME: /opt/ground}", "{TINY_HOME: /opt/./ground}"
    )
    at = "(catalog/ground/recipe.yaml:{})".format
    found = reasons(site)
    told, _, near = found["ground@1.0:metadata"].partition("; nearest ")
    assert told == (
        f"changed: summary {at(line(site, 'summary:'))}: A tiny tool for tests. → Another tool."
    )
    assert re.fullmatch(r"[0-9a-f]{12}, made 20\d\d-\d\d-\d\d by \S+", near)
    number = step(site, "env")
    assert found["ground@1.0:build"].startswith(
        f"changed: build[{number}].env.TINY_HOME {at(line(site, 'TINY_HOME: '))}: "
        "/opt/ground → /opt/./ground; nearest "
    )


def test_a_long_script_is_shown_where_it_begins_to_differ(site: Site) -> None:
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    reason = reasons(site)["ground@1.0:build"]
    assert f"build[{step(site, 'run')}].run (" in reason
    assert "chmod 755" in reason
    assert "chmod 0755" in reason


def test_a_step_more_is_new_and_a_step_less_is_gone(site: Site) -> None:
    site.edit("catalog/ground/recipe.yaml", "deploy:", "  - labels: {a: b}\ndeploy:")
    assert "is new: {" in reasons(site)["ground@1.0:build"]


def test_a_changed_test_is_named_by_its_field(site: Site) -> None:
    site.edit("catalog/ground/recipe.yaml", "    run: ground\n", "    run: ground; true\n")
    reason = reasons(site)["ground@1.0:test"]
    assert reason.startswith("changed: tests[0].run (catalog/ground/recipe.yaml:")
    assert "ground → ground; true; nearest " in reason


def test_without_a_store_the_lock_is_what_is_known(site: Site) -> None:
    shutil.rmtree(site.store)
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    assert reasons(site)["ground@1.0:build"] == (
        "its key is not the lock's: recipe, pins or ssds changed since"
    )


def test_explain_shows_both_values(site: Site) -> None:
    site.edit("catalog/ground/recipe.yaml", "{TINY_HOME: /opt/ground}", "{TINY_HOME: /srv}")
    (entry,) = json.loads(site.good("explain", "ground:build", "--json").out)
    (difference,) = entry["differences"]
    assert (difference["before"], difference["after"]) == ("/opt/ground", "/srv")
    number = step(site, "env")
    assert difference["place"].startswith(f"build[{number}].env.TINY_HOME (catalog/ground/")


def on_terminal(site: Site, columns: int, *words: str) -> list[str]:
    """Returns the lines that a terminal of that width shows."""
    import fcntl

    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        arguments = site._arguments(words)
        os.execve(arguments[0], arguments, {**site._environment({}), "TERM": "dumb"})
    data = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            break
        if not more:
            break
        data += more
    os.waitpid(pid, 0)
    return data.decode().replace("\r", "").splitlines()


LONG = "a-name-that-is-much-longer-than-any-name-of-a-tool-should-ever-be"[:60]


@pytest.mark.parametrize("columns", [80, 100])
def test_long_names_do_not_wreck_the_table_of_a_terminal(site: Site, columns: int) -> None:
    site.recipe(LONG)
    lines = on_terminal(site, columns, "plan", LONG)
    rows = [text for text in lines if text.startswith(("  +", "  ?"))]
    assert len(rows) >= 8
    assert max(map(len, rows)) <= columns
    assert any(":build" in row and "…" in row and "linux/amd64" in row for row in rows)
    assert any("known after" in row or "no result" in row for row in rows)
    whole = on_terminal(site, columns, "plan", "--full", LONG)
    assert any(f"{LONG}@1.0:build" in row for row in whole)


def test_names_are_whole_where_there_is_no_terminal(site: Site) -> None:
    site.recipe(LONG)
    assert f"{LONG}@1.0:build" in site.good("plan", LONG).out


def test_the_settings_platforms_hold_when_none_is_named(site: Site) -> None:
    site.edit("catalog/tiny/recipe.yaml", "base: debian-12", "base: debian-12")
    ended = site.run("plan", "tiny", "--detailed-exitcode", SSDS_PLATFORMS="linux/arm64")
    assert "linux/amd64 was not selected" in ended.out
    ended = site.run("plan", "tiny", "--platform", "linux/amd64", SSDS_PLATFORMS="linux/arm64")
    assert "was not selected" not in ended.out


def test_apply_json_is_one_object_of_what_was_done(site: Site) -> None:
    ended = site.good("apply", "--yes", "--json", "tiny")
    told = json.loads(ended.out)
    assert told["format_version"] == "1.0"
    assert (told["exit_code"], told["stopped"]) == (0, False)
    assert told["summary"]["done"] == len([n for n in told["nodes"] if n["state"] == "done"])
    assert told["summary"]["failed"] == 0
    assert told["locks"] == ["lockfiles/tiny@1.0.lock.json"]
    build = next(n for n in told["nodes"] if n["kind"] == "build")
    assert build["platform"] == "linux/amd64"
    assert build["duration_ms"] > 0
    test = next(n for n in told["nodes"] if n["kind"] == "test")
    assert test["verdict"] == "pass"
    assert "Plan: " in ended.err
    again = json.loads(site.good("apply", "--yes", "--json", "tiny").out)
    assert (again["nodes"], again["locks"], again["exit_code"]) == ([], [], 0)


def test_apply_json_tells_the_code_of_a_failure(site: Site) -> None:
    site.edit("catalog/tiny/recipe.yaml", "chmod 755", "false; chmod 755")
    ended = site.run("apply", "--yes", "--json", "tiny")
    assert ended.code == 1
    told = json.loads(ended.out)
    build = next(n for n in told["nodes"] if n["kind"] == "build")
    assert (build["state"], build["code"]) == ("failed", "E071")
    assert told["summary"]["skipped"] >= 1
    assert told["exit_code"] == 1


def test_a_failing_test_holds_with_exit_code_3(site: Site) -> None:
    site.edit("catalog/tiny/recipe.yaml", "    run: tiny\n", "    run: tiny; false\n")
    ended = site.run("apply", "--yes", "tiny")
    assert ended.code == 3, ended.text
    assert site.run("plan", "tiny", "--detailed-exitcode").code == 3


def test_without_a_terminal_apply_asks_for_yes(site: Site) -> None:
    check_error(site.run("apply", "tiny"), "E084", "Pass --yes.")


def test_one_job_per_core_is_asked_for_by_0(site: Site) -> None:
    site.good("apply", "--yes", "-j", "0", "tiny")


def test_the_live_view_fits_80_columns_and_ends_clean(site: Site) -> None:
    lines = on_terminal(site, 80, "apply", "--yes", "tiny")
    text = "\n".join(lines)
    assert "Applied: " in text
    assert "✓ tiny@1.0:build [linux/amd64] done" in text


def test_doctor_says_which_settings_were_read(site: Site) -> None:
    user = site.folder / "user.yaml"
    user.write_text("jobs: 2\n")
    told = json.loads(
        site.good("doctor", "--json", SSDS_USER_SETTINGS=str(user), SSDS_JOBS="1").out
    )
    assert told["settings"] == [
        {"from": "environment", "what": "SSDS_JOBS"},
        {"from": "workspace", "what": f"{site.workspace}/ssds.yaml"},
        {"from": "user", "what": str(user)},
    ]
