"""Signed locks: changed, of another key, for another release, or older ones are refused."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from data_makers import data_lock
from trust_makers import new_signer

from ssds.cli.app import Context
from ssds.cli.verb_verify import command
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import sha256_of
from ssds.lock.data import data_lock_bytes
from ssds.oci.blobs import Blobs
from ssds.trust.files import sign_file
from ssds.verify.locks import NO_MEMORY, verify_lock
from ssds.verify.memory import Memory, Seen, pin_slot, read_memory, remember, slot

LOCKS = Path(__file__).parent.parent.parent / "lockfiles"
NAME = "bwa@0.7.17.lock.json"
LAB = new_signer()
KEYS = (LAB.public,)
BWA = slot(LAB.public, "bwa@0.7.17")


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
    assert seen == {BWA: Seen(revision=1, index=index)}


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
    index = seen[BWA].index
    newer = Memory(seen={BWA: Seen(revision=2, index=sha256_of(b"newer"))})
    report, none = verify_lock(lock, KEYS, memory=newer)
    assert not report.good
    assert "r2 was verified before" in report.wrong[0]
    assert not none
    other = Memory(seen={BWA: Seen(revision=1, index=sha256_of(b"other"))})
    assert "another index" in verify_lock(lock, KEYS, memory=other)[0].wrong[0]
    same = Memory(seen={BWA: Seen(revision=1, index=index)})
    assert verify_lock(lock, KEYS, memory=same)[0].good


def test_the_memory_keeps_what_two_processes_verified_and_survives_damage(tmp_path: Path) -> None:
    path = str(tmp_path / "state" / "verified.json")
    first, second = (Seen(revision=n, index=sha256_of(b"%d" % n)) for n in (1, 2))
    remember(path, {"a@1": first})
    remember(path, {"b@1": second})
    assert read_memory(path).seen == {"a@1": first, "b@1": second}
    Path(path).write_text('{"releases": {"a@1": 7}}')
    assert read_memory(path).seen == {}


def test_a_lock_that_no_longer_names_what_was_verified_is_refused(lock: str) -> None:
    known = Memory(seen={BWA: Seen(revision=2, index=sha256_of(b"newer"))})
    document = json.loads(Path(lock).read_text())
    for part in ("index", "revision"):
        del document["variants"]["default"][part]
    for emptied in (document, {**document, "variants": {}}):
        Path(lock).write_text(json.dumps(emptied))
        sign_file(lock, LAB)
        report, _ = verify_lock(lock, KEYS, memory=known)
        assert any("names no release of bwa@0.7.17, and r2 was" in text for text in report.wrong)
    others = Memory(seen={slot(LAB.public, "bwa@0.7.18"): known.seen[BWA]})
    assert not any("names no" in t for t in verify_lock(lock, KEYS, memory=others)[0].wrong)


def test_what_another_key_signed_under_the_same_name_is_not_compared(lock: str) -> None:
    other = slot(new_signer().public, "bwa@0.7.17")
    known = Memory(seen={other: Seen(revision=999, index=sha256_of(b"theirs"))})
    assert verify_lock(lock, KEYS, memory=known)[0].good


def test_a_lower_revision_never_takes_the_place_of_a_higher_one(tmp_path: Path) -> None:
    path = str(tmp_path / "verified.json")
    older, newer = (Seen(revision=n, index=sha256_of(b"%d" % n)) for n in (1, 2))
    for seen in (newer, older):
        remember(path, {"a": seen})
    assert read_memory(path).seen == {"a": newer}
    remember(path, {"a": older}, older=True)
    assert read_memory(path).seen == {"a": older}


def test_a_signed_lock_of_a_data_set_says_that_nothing_is_remembered_of_it(
    tmp_path: Path,
) -> None:
    made = data_lock(Blobs(str(tmp_path / "blobs")))
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "words@1.0.lock.json"
    path.write_bytes(data_lock_bytes(made))
    sign_file(str(path), LAB)
    report, _ = verify_lock(str(path), KEYS)
    assert report.good, report.wrong
    assert NO_MEMORY in report.unproven
    assert made.made is not None
    words = f"the data set words@1.0 is {made.made.content.digest} (4 files)"
    assert words in verify_lock(str(path), KEYS)[0].proven


def shared_lock(folder: Path, day: str) -> str:
    """The signed lock of a catalog whose advisory set is of that day."""
    folder.mkdir()
    path = folder / "catalog.lock.json"
    text = (LOCKS / "catalog.lock.json").read_text()
    path.write_text(text.replace("debian-12@2026-11-02", f"debian-12@{day}"))
    sign_file(str(path), LAB)
    return str(path)


def test_an_older_lock_of_the_catalog_is_refused_where_the_newer_was_verified(
    tmp_path: Path,
) -> None:
    older, newer = (shared_lock(tmp_path / day, day) for day in ("2026-10-01", "2026-11-09"))
    report, seen = verify_lock(newer, KEYS)
    assert report.good, report.wrong
    assert "the current pin advisories/debian-12 is debian-12@2026-11-09" in report.proven
    assert NO_MEMORY not in report.unproven
    remember(str(tmp_path / "verified.json"), seen)
    memory = read_memory(str(tmp_path / "verified.json"))

    report, seen = verify_lock(older, KEYS, memory=memory)
    assert not report.good
    assert "its pin advisories/debian-12 is of 2026-10-01, and one of 2026-11-09" in report.wrong[0]
    assert not seen
    assert verify_lock(newer, KEYS, memory=memory)[0].good
    assert verify_lock(older, KEYS)[0].good, "--allow-older"
    without = tmp_path / "without" / "catalog.lock.json"
    without.parent.mkdir()
    shorter = json.loads(Path(older).read_text())
    shorter["advisories"] = {}
    without.write_text(json.dumps(shorter))
    sign_file(str(without), LAB)
    report, seen = verify_lock(str(without), KEYS, memory=memory)
    assert "it has no current pin advisories/debian-12" in report.wrong[0]
    assert not seen
    report, seen = verify_lock(str(without), KEYS)
    assert report.good, "--allow-older"
    place = str(tmp_path / "accepted.json")
    remember(place, memory.seen)
    remember(place, seen, older=True, anew=pin_slot(LAB.public, ""))
    assert verify_lock(str(without), KEYS, memory=read_memory(place))[0].good, "for ever"
    other = new_signer()
    os.unlink(older + ".sigstore.json")
    sign_file(older, other)
    assert verify_lock(older, (other.public,), memory=memory)[0].good, "another key begins anew"


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


def verified(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, list[dict[str, object]], str]:
    """Exit code, JSON and messages of the command, in a folder with its own settings."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    context = Context(folder=str(folder))
    done = CliRunner().invoke(command, [*arguments, "--json"], obj=context, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, json.loads(done.stdout)["targets"], done.stderr


def test_a_pin_that_was_taken_out_is_accepted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "lab.pub").write_bytes(LAB.public.pem)
    path = Path(shared_lock(tmp_path / "shared", "2026-11-02"))

    def code(*more: str) -> int:
        return verified(tmp_path, monkeypatch, str(path), "--key", "lab.pub", *more)[0]

    assert code() == 0
    path.write_text(json.dumps({**json.loads(path.read_text()), "advisories": {}}))
    sign_file(str(path), LAB)
    assert [code(), code("--allow-older"), code()] == [4, 0, 0]


def test_a_memory_that_cannot_be_written_is_told_and_no_error(
    lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nope")
    (tmp_path / "lab.pub").write_bytes(LAB.public.pem)
    code, (told,), message = verified(tmp_path, monkeypatch, lock, "--key", "lab.pub")
    assert (code, told["verified"]) == (0, True)
    assert "is not remembered: /proc/nope/ssds/verified.json" in message


def test_the_keys_of_a_workspace_are_said_to_be_its_own_word(
    lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "lab.pub").write_bytes(LAB.public.pem)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "ssds.yaml").write_text("trust: {keys: {neurodesk: lab.pub}}\n")
    doubt = (
        f"that neurodesk ({LAB.public.id}) is who it says: the key comes from this workspace's "
        "ssds.yaml"
    )
    _, (told,), _ = verified(tmp_path, monkeypatch, lock)
    assert doubt in str(told["unproven"])
    assert told["keys"] == [{"id": str(LAB.public.id), "label": "neurodesk"}]
    _, (told,), _ = verified(tmp_path, monkeypatch, lock, "--key", "lab.pub")
    assert "who it says" not in str(told["unproven"])


def test_a_lock_whose_gate_rests_on_a_waiver_that_ended_is_refused(tmp_path: Path) -> None:
    """The report is the gate's own, of a finding that a waiver or a debt of the recipe covers."""
    finding = {"id": "CVE-2024-0001", "package": "zlib"}
    waiver = {"id": "CVE-2024-0001", "package": "zlib", "until": "2026-11-01"}
    report = canonical_bytes(
        {
            "verdict": "pass",
            "waived": [{**finding, "waiver": waiver}],
            "owed": [{**finding, "id": "CVE-2024-0002", "until": "2026-12-01"}],
        }
    )
    text = (LOCKS / NAME).read_text()
    gate = json.loads(text)["variants"]["default"]["platforms"]["linux/amd64"]["latest"]["gate"]
    path = tmp_path / NAME
    path.write_text(text.replace(gate["outputs"]["report"], str(sha256_of(report))))
    sign_file(str(path), LAB)

    def wrong(day: str, data: bytes | None = report) -> tuple[str, ...]:
        today = dt.date.fromisoformat(day)
        found, _ = verify_lock(str(path), KEYS, read=lambda _: data, today=today)
        assert found.good is not bool(found.wrong)
        return found.wrong

    assert wrong("2026-11-01") == ()
    (past,) = wrong("2026-11-02")
    assert past.startswith("bwa@0.7.17 on linux/amd64: the gate passed with a waiver for ")
    assert past.endswith("CVE-2024-0001, which ended on 2026-11-01")
    assert "a debt for CVE-2024-0002, which ended on 2026-12-01" in wrong("2026-12-02")[1]
    assert "is not what the lock names" in wrong("2026-11-01", report + b" ")[0]
    assert wrong("2026-12-02", None) == ()
    unproven = verify_lock(str(path), KEYS)[0].unproven
    assert "bwa@0.7.17 on linux/amd64: that no waiver ended: the gate's report is not here" in (
        unproven
    )
