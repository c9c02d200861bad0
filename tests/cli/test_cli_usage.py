"""The command line as such: help, wrong words, pipes, encodings; never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from e2e_workspace import ROOT, Ended, Site, check_error
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssds.cli import main
from ssds.cli.app import VERBS
from ssds.version import VERSION


def ssds(*arguments: str, cwd: Path | str = "/", **environment: str) -> Ended:
    """Runs ``ssds`` outside of any workspace."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SSDS_")}
    done = subprocess.run(
        [sys.executable, "-m", "ssds", *arguments],
        capture_output=True,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), "SSDS_USER_SETTINGS": os.devnull, **environment},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def in_process(*arguments: str) -> tuple[int, str, str]:
    """Runs the command line in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        code = main(list(arguments))
    out, err = (s.buffer.getvalue().decode() for s in streams)  # type: ignore[attr-defined]
    return code, out, err


def test_the_version_is_told() -> None:
    assert ssds("--version").out == f"ssds {VERSION}\n"


def test_the_help_lists_every_verb_with_its_purpose() -> None:
    code, out, _ = in_process("--help")
    assert code == 0
    for verb, purpose in VERBS.items():
        assert verb in out
        assert purpose.split(",")[0].split(":")[0] in " ".join(out.split())


@pytest.mark.parametrize("verb", [*VERBS, "lock merge", "lock diff", "store info", "store verify"])
def test_every_verb_explains_itself_and_its_options(verb: str) -> None:
    code, out, err = in_process(*verb.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: ssds {verb} ")
    lines = [line for line in out.splitlines() if line.startswith("  -")]
    assert lines
    assert len(out.split("\n\n")[1].split()) >= 4


def test_a_misspelt_verb_is_told_the_near_one() -> None:
    code, _, err = in_process("aply")
    assert code == 1
    assert 'There is no verb "aply". Did you mean "apply"?' in err


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--nonsense"],
        ["apply", "-j", "many"],
        ["apply", "-j", "-1"],
        ["gc", "--keep-days", "-3"],
        ["lock", "--everything"],
        ["run", "tiny"],
        ["run"],
        ["show"],
        ["deploy", "--to", "x"],
        ["completion", "tcsh"],
        ["lock", "merge", "a"],
    ],
)
def test_wrong_usage_ends_with_1_and_never_2(words: list[str]) -> None:
    code, out, err = in_process(*words)
    assert (code, out) == (1, "")
    assert err.startswith("Usage: ssds ")
    assert "Error: " in err


@pytest.mark.parametrize(
    "words",
    [["plan"], ["apply", "--yes"], ["status"], ["show", "x"], ["run", "x", "y"], ["new", "x"]],
)
def test_outside_of_a_workspace_it_says_how_to_get_one(words: list[str], tmp_path: Path) -> None:
    ended = ssds(*words, cwd=tmp_path)
    check_error(ended, "E031", "there is no ssds.yaml", "ssds init")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["plan", "apply", "show", "explain", "log", "run", "shell"])
def test_an_unknown_name_is_told_the_near_one(verb: str, plain: Site) -> None:
    more = ["x"] if verb == "run" else []
    check_error(plain.run(verb, "tinny", *more), "E032", 'Did you mean "tiny"?')


@pytest.mark.parametrize("verb", ["plan", "apply", "lock", "run", "shell"])
def test_a_platform_that_is_none_is_refused(verb: str, plain: Site) -> None:
    more = {"run": ["tiny", "x"], "shell": ["tiny"]}.get(verb, [])
    ended = plain.run(verb, "--platform", "linux/riscv64", *more)
    check_error(ended, "'linux/riscv64' is not a platform", "Use linux/amd64")


@pytest.mark.parametrize("date", ["tomorrow", "2026-13-01", "2026-1-1", "²⁰²⁶-01-01"])
@pytest.mark.parametrize("verb", ["plan", "apply", "status"])
def test_a_date_that_is_none_is_refused(verb: str, date: str, plain: Site) -> None:
    check_error(plain.run(verb, "--as-of", date), "is not a date", "Write YYYY-MM-DD.")


@pytest.mark.parametrize("verb", ["plan", "explain"])
def test_an_unknown_kind_is_told_the_known_ones(verb: str, plain: Site) -> None:
    check_error(plain.run(verb, "tiny:biuld"), "there is no kind 'biuld'", "Kinds: source")


def test_a_reader_that_leaves_early_is_no_error(plain: Site) -> None:
    command = f"{sys.executable} -m ssds -C {plain.workspace} plan --full --json | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        timeout=60,
        check=False,
    )
    assert done.stdout == "{\n"
    assert done.stderr == ""
    assert done.returncode in (0, 141)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_closed_stream_gives_no_traceback(stream: str, plain: Site) -> None:
    command = f"{sys.executable} -m ssds -C {plain.workspace} plan {stream}>&-"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stdout + done.stderr
    assert "E001" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_a_terminal_without_utf8_gets_text_all_the_same(
    environment: dict[str, str], plain: Site
) -> None:
    plain.edit("catalog/tiny/recipe.yaml", "A tiny tool", "Ein Wörkzeug — ≤ 1 kB")
    for words in (["plan"], ["show", "tiny"], ["check"], ["status"], ["plan", "--json"]):
        ended = plain.run(*words, **environment)
        assert ended.code == 0, ended.text
        assert "Traceback" not in ended.text
    shown = json.loads(plain.run("show", "tiny", "--json", **environment).out)
    assert shown[0]["summary"] == "Ein Wörkzeug — ≤ 1 kB for tests."
    check_error(plain.run("show", "naïve—x", **environment), "E032")


WORDS = st.one_of(
    st.sampled_from([*VERBS, "merge", "diff", "info", "tiny", "tiny:build", "tiny@1.0", "@", ":"]),
    st.sampled_from(["--json", "--full", "--platform", "linux/amd64", "-C", "-j", "0", "--", "-h"]),
    st.sampled_from(
        ["--as-of", "2026-01-01", "--why", "--rerun", "--dry-run", "--check", "--name"]
    ),
    st.text(max_size=12),
)
SAFE = {
    *("plan", "check", "show", "status", "explain", "why", "diff"),
    *("log", "run", "shell", "store", "lock"),
}


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=st.lists(WORDS, max_size=5), verb=st.sampled_from(sorted(SAFE - {"lock"})))
def test_no_words_give_a_traceback(words: list[str], verb: str, plain: Site) -> None:
    os.environ["SSDS_STORE"] = str(plain.store)
    try:
        code, out, err = in_process("-C", str(plain.workspace), verb, *words)
    finally:
        del os.environ["SSDS_STORE"]
    assert code in (0, 1, 3)
    assert "Traceback" not in out + err
    assert "E001" not in err
    assert code == 0 or err or "does not depend on" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_names_ssds(shell: str) -> None:
    code, out, _ = in_process("completion", shell)
    assert code == 0
    assert "_SSDS_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ssds", "pl"], {"plan"}),
        (["ssds", "show", "t"], {"tiny"}),
        (["ssds", "plan", "tiny:pu"], {"tiny:publish"}),
        (["ssds", "lock", "me"], {"merge"}),
        (["ssds", "lock", ""], {"merge", "diff", "tiny", "ground"}),
        (["ssds", "plan", "--as"], {"--as-of"}),
        (["ssds", "plan", "--platform", "linux/ar"], {"linux/arm64"}),
        (["ssds", "deploy", "--site", "c"], {"cluster"}),
        (["ssds", "run", "gr"], {"ground"}),
    ],
)
def test_tab_offers_verbs_options_names_and_sites(
    words: list[str], offered: set[str], plain: Site
) -> None:
    plain.write("catalog/sites/cluster.yaml", "title: A cluster\n")
    ended = ssds(
        cwd=plain.workspace,
        _SSDS_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(words),
        COMP_CWORD=str(len(words) - 1),
    )
    found = {line.partition(",")[2] for line in ended.out.splitlines()}
    assert found == offered, ended.err


def test_completing_imports_nothing_heavy(plain: Site) -> None:
    code = (
        "import sys\nfrom ssds.cli import main\n"
        "try:\n    main([])\nexcept SystemExit:\n    pass\n"
        "heavy = ('networkx', 'jsonschema', 'oras', 'docker', 'requests', 'rich', 'jinja2')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=plain.workspace,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_SSDS_COMPLETE": "bash_complete",
            "COMP_WORDS": "ssds show t",
            "COMP_CWORD": "2",
        },
        check=False,
    )
    assert "tiny" in done.stdout
    assert done.stderr.endswith("[]\n")


def test_a_locale_without_utf8_changes_no_name_and_no_key(plain: Site) -> None:
    folder = plain.workspace / "catalog/tiny"
    (folder / "prüfung.txt").write_text("ä")
    plain.edit(
        "catalog/tiny/recipe.yaml", "build:\n", "build:\n  - copy: {local: prüfung.txt, to: /o/}\n"
    )
    wanted = plain.run("plan", "--full", "--json")
    assert wanted.code == 0, wanted.err
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = plain.run("plan", "--full", "--json", **locale)
    assert (found.code, json.loads(found.out)) == (0, json.loads(wanted.out))
    text = plain.run("plan", **locale)
    assert (text.code, text.err) == (0, "")
