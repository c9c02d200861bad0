"""``ssds diff``: two locks, two plans, two revisions; what it is given may be anything."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from e2e_workspace import ROOT, SETTINGS, Ended, Site, assert_no_traceback, check_error, finish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssds.cli.comparing import Side, compared
from ssds.core.errors import SsdsError

LOCK = "lockfiles/bwa@0.7.17.lock.json"
DATA = (ROOT / LOCK).read_bytes()


class Work(Site):
    """A workspace that is a git checkout with three locks of the starter catalog."""

    def git(self, *words: str) -> str:
        who = {"NAME": "a", "EMAIL": "a@example.org"}
        names = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
        done = subprocess.run(
            ["git", *words],
            cwd=self.workspace,
            env={**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def diff(self, *words: str) -> Ended:
        """Runs in the workspace, as people do."""
        process = subprocess.Popen(
            [*self._arguments(()), "diff", *words],
            env=self._environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.workspace,
        )
        return finish(process)

    def upgrade(self) -> None:
        """A newer bwa, as ``ssds lock --upgrade packages`` would write it."""
        self.edit(LOCK, '"version": "0.7.17-7+b2"', '"version": "0.7.18-1"')


@pytest.fixture
def work(tmp_path: Path) -> Work:
    site = Work(tmp_path / "work")
    site.write("ssds.yaml", SETTINGS)
    (site.workspace / "catalog").mkdir()
    (site.workspace / "lockfiles").mkdir()
    for name in (LOCK, "lockfiles/seqtk@1.3.lock.json", "lockfiles/catalog.lock.json"):
        shutil.copy(ROOT / name, site.workspace / name)
    site.git("init", "-q", "-b", "main")
    site.commit()
    return site


UPGRADED = "~ bwa@0.7.17 linux/amd64 build/0 package bwa:amd64: 0.7.17-7+b2 -> 0.7.18-1"


def test_a_file_is_compared_with_what_it_was_at_a_revision(work: Work) -> None:
    work.upgrade()
    ended = work.diff(f"HEAD:{LOCK}", LOCK)
    assert (ended.code, ended.out) == (0, f"{UPGRADED}\n1 difference\n")
    assert work.diff(f"HEAD:{LOCK}", LOCK, "--exit-code").code == 1
    assert work.diff(LOCK, LOCK, "--exit-code").out == "0 differences\n"
    assert work.diff(LOCK, LOCK, "--exit-code").code == 0


def test_locks_of_releases_are_compared_since_a_revision(work: Work) -> None:
    work.upgrade()
    assert work.diff("--since", "HEAD", "bwa").out == f"{LOCK}\n{UPGRADED}\n1 difference\n"
    assert work.diff("--since", "HEAD", "bwa@0.7.17").out == work.diff("--since", "HEAD").out
    assert work.diff("--since", "HEAD", "seqtk").out == "0 differences\n"
    assert work.diff("--since", "HEAD", "seqtk", "--exit-code").code == 0
    assert work.diff("--since", "HEAD", "--exit-code").code == 1
    work.commit()
    told = json.loads(work.diff("--since", "HEAD~1", "--until", "HEAD", "--json").out)
    assert told == {
        "kind": "locks",
        "files": [
            {
                "file": LOCK,
                "kind": "release lock",
                "differences": [
                    {
                        "what": "bwa@0.7.17 linux/amd64 build/0 package bwa:amd64",
                        "before": "0.7.17-7+b2",
                        "after": "0.7.18-1",
                    }
                ],
            }
        ],
    }
    assert json.loads(work.diff("--since", "HEAD", "--json").out)["files"] == []


def test_a_lock_that_came_or_went_is_told_line_by_line(work: Work) -> None:
    (work.workspace / LOCK).unlink()
    gone = work.diff("--since", "HEAD").out.splitlines()
    assert gone[0] == LOCK
    assert all(line.startswith("- bwa@0.7.17") for line in gone[1:-1])
    work.commit()
    new = work.diff("--since", "HEAD", "--until", "HEAD~1").out.splitlines()
    assert [line[1:] for line in new[1:-1]] == [line[1:] for line in gone[1:-1]]
    assert work.diff(f"HEAD:{LOCK}", f"HEAD~1:{LOCK}").out.splitlines() == new[1:]


def test_shared_pins_are_compared_too(work: Work) -> None:
    work.edit("lockfiles/catalog.lock.json", '"version": "3.134"', '"version": "3.135"')
    out = work.diff("HEAD:lockfiles/catalog.lock.json", "lockfiles/catalog.lock.json").out
    assert "package adduser:all: 3.134 -> 3.135" in out
    assert work.diff("--since", "HEAD").out.startswith("lockfiles/catalog.lock.json\n")


def test_a_workspace_below_the_checkouts_top_is_found(work: Work) -> None:
    top = work.folder / "top"
    top.mkdir()
    (work.workspace / ".git").rename(top / ".git")
    work.workspace.rename(top / "inside")
    moved = Work(top)
    (top / "inside").rename(top / "workspace")
    moved.git("-C", str(top), "add", "-A")
    moved.git("commit", "-q", "-m", "moved")
    moved.upgrade()
    assert moved.diff(f"HEAD:{LOCK}", LOCK).out.startswith(UPGRADED)
    assert moved.diff(f"HEAD:workspace/{LOCK}", LOCK).out.startswith(UPGRADED)
    assert UPGRADED in moved.diff("--since", "HEAD").out


def test_lock_diff_is_the_same(work: Work) -> None:
    before = work.folder / "old.json"
    before.write_bytes(DATA)
    work.upgrade()
    now = str(work.workspace / LOCK)
    assert work.good("lock", "diff", str(before), now).out == work.diff(str(before), LOCK).out
    assert "+ bwa@0.7.17 revision: r1" in work.good("lock", "diff", "/dev/null", now).out
    assert "+ bwa@0.7.17 revision: r1" in work.good("lock", "diff", "/nowhere/x", now).out
    (entry,) = json.loads(work.good("lock", "diff", str(before), now, "--json").out)
    assert entry["after"] == "0.7.18-1"


def a_plan(*steps: tuple[str, str, str], **more: Any) -> str:
    return json.dumps(
        {
            "format_version": "1.0",
            "summary": {},
            "notes": [],
            "steps": [
                {
                    "node": node,
                    "kind": "build",
                    "platform": "linux/amd64",
                    "verb": verb,
                    "reason": reason,
                    "reason_code": "new",
                    "marks": [],
                }
                for node, verb, reason in steps
            ],
            **more,
        }
    )


def test_plans_are_compared_row_by_row(work: Work) -> None:
    work.write("a.json", a_plan(("a:build", "run", "new"), ("b:build", "run", "new")))
    work.write("b.json", a_plan(("b:build", "held", "x failed"), ("c:build", "run", "new")))
    assert work.diff("a.json", "b.json").out == (
        "~ b:build [linux/amd64]: run → held: x failed\n"
        "+ c:build [linux/amd64]: run: new\n"
        "- a:build [linux/amd64]: run: new\n"
        "3 differences\n"
    )
    told = json.loads(work.diff("a.json", "b.json", "--json").out)
    assert (told["kind"], told["old"], told["new"]) == ("plan", "a.json", "b.json")
    assert [d["what"] for d in told["differences"]] == ["verb", "entered", "left"]
    assert told["differences"][1]["before"] == {}


def test_printed_and_saved_plans_of_one_state_are_equal(plain: Site) -> None:
    printed = plain.good("plan", "--json").out
    plain.write("printed.json", printed)
    saved = plain.workspace / "saved.plan.json"
    plain.good("plan", "--out", str(saved))
    found = plain.good("diff", str(plain.workspace / "printed.json"), str(saved), "--exit-code")
    assert found.out == "0 differences\n"
    plain.write("full.json", plain.good("plan", "--json", "--full").out)
    assert plain.good("diff", str(saved), str(plain.workspace / "full.json"), "--exit-code").out
    saved.write_bytes(saved.read_bytes().replace(b'"run"', b'"held"', 1))
    check_error(plain.run("diff", str(saved), str(saved)), "E123")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing", LOCK], "E142", "there is no file nothing"),
        (["lockfiles", LOCK], "E142", "lockfiles is not a file"),
        (["/dev/zero", LOCK], "E142", "is not a file"),
        (["HEAD:nothing", "HEAD:none"], "E144", "neither HEAD:nothing nor HEAD:none is there"),
        (["/dev/null", "/dev/null"], "E144", "is there"),
        (["nowhere:x", LOCK], "E141", "git knows no revision 'nowhere'"),
        (["--help:x", LOCK], "", ""),
        ([LOCK, "lockfiles/seqtk@1.3.lock.json"], "E144", "bwa and seqtk are different software"),
        ([LOCK, "lockfiles/catalog.lock.json"], "E144", "is a release lock, and"),
        ([LOCK, "plan.json"], "E144", "plan.json is a plan"),
        ([LOCK, "ssds.yaml"], "E143", "ssds.yaml is neither a lock nor a plan"),
        ([LOCK], "E147", "two files, not 1"),
        ([LOCK, LOCK, LOCK], "E147", "two files, not 3"),
        ([LOCK, LOCK, "--until", "HEAD"], "E147", "--until goes with --since"),
        (["--since", "HEAD", "bwaa"], "E148", 'Did you mean "bwa"?'),
        (["--since", "none"], "E141", "git knows no revision 'none'"),
        (["newer.json", "plan.json"], "E145", "its format is 2.0"),
        (["steps.json", "plan.json"], "E145", "steps[0] is no step"),
        (["cut.json", "plan.json"], "E145", "it is not JSON"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(
    words: list[str], code: str, said: str, work: Work
) -> None:
    work.write("plan.json", a_plan())
    work.write("newer.json", a_plan(format_version="2.0"))
    work.write("steps.json", a_plan(steps=[{"node": 1}]))
    work.write("cut.json", a_plan(("a:build", "run", "new"))[:-20])
    ended = work.diff(*words)
    if code:
        check_error(ended, code, said)
    else:
        assert_no_traceback(ended)
        assert ended.code != 0 or "Usage" in ended.out


def test_a_bad_lock_has_the_diagnostics_of_reading(work: Work) -> None:
    work.edit(LOCK, '"lock_version": 1', '"lock_version": 1, "odd": 2')
    ended = work.diff(f"HEAD:{LOCK}", LOCK)
    check_error(ended, "error[L011]", f"--> {LOCK}:")
    work.edit(LOCK, '"odd": 2', '"odd": ')
    check_error(work.diff(f"HEAD:{LOCK}", LOCK), "error[L004]", LOCK)


def test_control_characters_of_a_plan_do_not_reach_the_terminal(work: Work) -> None:
    work.write("a.json", a_plan(("a:build\x1b[31m", "run", "\x1b]0;x\x07\u202e")))
    work.write("b.json", a_plan())
    ended = work.diff("a.json", "b.json")
    assert "\\x1b" in ended.out
    assert not {"\x1b", "\x07", "\u202e"} & set(ended.out)


def damaged(data: bytes, seed: int) -> bytes:
    """Returns bytes with a few cuts, doubled pieces and other bytes."""
    drawn = random.Random(seed)
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(data) + 1)
        end = min(len(data), at + drawn.randrange(40))
        piece = drawn.choice([b"", b"[" * 9, b"null", b"1e9", b'"', bytes([drawn.randrange(256)])])
        data = data[:at] + drawn.choice([piece, data[at:end] * 2]) + data[end:]
    return data


PLAN = a_plan(("a:build", "run", "new"), ("b:build", "held", "x")).encode()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), whole=st.sampled_from([DATA, PLAN]))
def test_damaged_files_give_an_answer_or_an_error_of_ours(seed: int, whole: bytes) -> None:
    sides = [Side(name=n, file=n, data=d) for n, d in (("a", whole), ("b", damaged(whole, seed)))]
    with contextlib.suppress(SsdsError):
        assert compared(*sides).render()


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"1" * 5000, b"[" * 100_000, b'{"format_version": []}', b"\xff"]
)
def test_odd_files_are_refused(data: bytes) -> None:
    with pytest.raises(SsdsError) as caught:
        compared(Side(name="a", file="a", data=data), Side(name="b", file="b", data=PLAN))
    assert caught.value.hint
