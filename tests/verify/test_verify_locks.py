"""Signed locks: changed, of another key, for another release, or older ones are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from trust_makers import new_signer

from ssds.cli.app import Context
from ssds.cli.verb_verify import command
from ssds.core.digest import sha256_of
from ssds.trust.files import sign_file
from ssds.verify.locks import verify_lock
from ssds.verify.memory import Memory, Seen, read_memory, remember

LOCKS = Path(__file__).parent.parent.parent / "lockfiles"
NAME = "bwa@0.7.17.lock.json"
LAB = new_signer()
KEYS = (LAB.public,)


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """A signed copy of a real lock."""
    path = str(tmp_path / NAME)
    shutil.copy(LOCKS / NAME, path)
    sign_file(path, LAB)
    return path


def test_a_signed_lock_says_what_is_released_and_what_is_not_known(lock: str) -> None:
    report, seen = verify_lock(lock, KEYS)
    index = json.loads(Path(lock).read_text())["variants"]["default"]["index"]["digest"]
    assert report.good
    assert f"bwa@0.7.17 r1 is the index {index} (linux/amd64)" in report.proven
    assert any("signature alone has no clock" in text for text in report.unproven)
    assert seen == {"bwa@0.7.17": Seen(revision=1, index=index)}


def test_a_lock_under_the_name_of_another_release_is_refused(lock: str, tmp_path: Path) -> None:
    other = str(tmp_path / "bwa@0.7.18.lock.json")
    for suffix in ("", ".sigstore.json"):
        os.rename(lock + suffix, other + suffix)
    report, seen = verify_lock(other, KEYS)
    assert not report.good
    assert "(L016)" in report.wrong[0]
    assert not seen


def test_signed_bytes_that_are_no_lock_are_refused(lock: str) -> None:
    Path(lock).write_text("{}")
    sign_file(lock, LAB)
    assert verify_lock(lock, KEYS)[0].wrong


def test_an_older_lock_is_refused_after_a_newer_one_was_verified(lock: str) -> None:
    _, seen = verify_lock(lock, KEYS)
    index = seen["bwa@0.7.17"].index
    newer = Memory(seen={"bwa@0.7.17": Seen(revision=2, index=sha256_of(b"newer"))})
    report, none = verify_lock(lock, KEYS, memory=newer)
    assert not report.good
    assert "r2 was verified before" in report.wrong[0]
    assert not none
    other = Memory(seen={"bwa@0.7.17": Seen(revision=1, index=sha256_of(b"other"))})
    assert "another index" in verify_lock(lock, KEYS, memory=other)[0].wrong[0]
    same = Memory(seen={"bwa@0.7.17": Seen(revision=1, index=index)})
    assert verify_lock(lock, KEYS, memory=same)[0].good


def test_the_memory_keeps_what_two_processes_verified_and_survives_damage(tmp_path: Path) -> None:
    path = str(tmp_path / "state" / "verified.json")
    first, second = (Seen(revision=n, index=sha256_of(b"%d" % n)) for n in (1, 2))
    remember(path, {"a@1": first})
    remember(path, {"b@1": second})
    assert read_memory(path).seen == {"a@1": first, "b@1": second}
    Path(path).write_text('{"releases": {"a@1": 7}}')
    assert read_memory(path).seen == {}


def test_the_command_ends_with_4_where_something_is_not_proven(
    lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "lab.pub").write_bytes(LAB.public.pem)
    arguments = [lock, "--key", str(tmp_path / "lab.pub"), "--json"]

    def run(*more: str) -> tuple[int, dict[str, object]]:
        context = Context(folder=str(tmp_path))
        done = CliRunner().invoke(command, [*arguments, *more], obj=context, standalone_mode=False)
        return done.return_value, json.loads(done.stdout)["targets"][0]

    assert run()[0] == 0
    memory = tmp_path / "state/ssds/verified.json"
    text = memory.read_text()
    memory.write_text(text.replace('"revision": 1', '"revision": 3'))
    code, told = run()
    assert (code, told["verified"]) == (4, False)
    assert run("--allow-older")[0] == 0
    assert memory.read_text() == text
    Path(lock).write_text(Path(lock).read_text().replace("linux/amd64", "linux/arm64"))
    code, told = run()
    assert code == 4
    assert "changed after it was signed" in str(told["wrong"])
