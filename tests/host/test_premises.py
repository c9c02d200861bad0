"""What a sandbox rests on: the same here and now, another text as soon as something may be else."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ssds.host import premises as premises_module
from ssds.host.premises import Trial, premises

ASK = """
import json, sys
from ssds.host.premises import Trial, premises
trial = Trial()
trial.known = sys.argv[2]
refused = trial.refusal(sys.argv[1], "auto")
print(json.dumps([premises(sys.argv[1], "auto"), refused, trial.known, sorted(sys.modules)]))
"""


def asked(
    folder: Path, known: str, *, before: tuple[str, ...] = ()
) -> tuple[str, str, str, list[str]]:
    """Returns the premises, the refusal, what is known afterwards and the modules, elsewhere."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [*before, sys.executable, "-c", ASK, str(folder), known],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and before:
        pytest.skip(f"{before[0]} does not work here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    found: tuple[str, str, str, list[str]] = json.loads(done.stdout)
    return found


def test_premises_are_the_same_as_long_as_nothing_changes(tmp_path: Path) -> None:
    first = premises(str(tmp_path), "auto")

    assert first
    assert premises(str(tmp_path), "auto") == first
    assert asked(tmp_path, first)[0] == first


def test_another_mode_folder_limit_or_day_is_another_premise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = premises(str(tmp_path), "auto")
    other = tmp_path / "other"
    other.mkdir()
    found = {first, premises(str(other), "auto"), premises(str(tmp_path), "trusted")}

    tmp_path.chmod(0o711)
    found.add(premises(str(tmp_path), "auto"))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if soft != 1 else 0, hard))
    try:
        found.add(premises(str(tmp_path), "auto"))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    now = premises_module.time.time()
    monkeypatch.setattr(premises_module.time, "time", lambda: now + 86_400)
    found.add(premises(str(tmp_path), "auto"))

    assert len(found) == 6


def test_another_tool_that_maps_ids_is_another_premise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    first = premises("/", "auto")
    tool = tmp_path / "newuidmap"
    tool.write_text("")
    second = premises("/", "auto")
    tool.chmod(0o755)

    assert len({first, second, premises("/", "auto")}) == 3


@pytest.mark.component("sandbox")
def test_a_trial_that_went_well_is_not_made_again(tmp_path: Path) -> None:
    trial = Trial()

    assert trial.refusal(str(tmp_path), "auto") == ""
    assert trial.known == premises(str(tmp_path), "auto")
    _, refused, known, modules = asked(tmp_path, trial.known)
    assert (refused, known) == ("", trial.known)
    assert not {"ssds.host.sandbox", "ssds.host.probe", "subprocess"} & set(modules)
    _, refused, known, modules = asked(tmp_path, "of another machine")
    assert (refused, known) == ("", trial.known)
    assert "ssds.host.sandbox" in modules


@pytest.mark.component("sandbox")
def test_where_the_sandbox_does_not_work_an_answer_from_elsewhere_does_not_count(
    tmp_path: Path,
) -> None:
    here = Trial()
    here.refusal(str(tmp_path), "auto")

    # A user namespace with one id, as some containers give it: 65536 ids cannot be mapped there.
    alone = ("unshare", "--user", "--map-root-user")
    there, refused, known, _ = asked(tmp_path, here.known, before=alone)

    assert there != here.known
    assert refused
    assert known == ""
