"""``ssds withdraw`` as people run it: the lock, status, plan, exports, and wrong words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ship_makers import AMD64, image, release, small_tar

from ssds.cli import main
from ssds.core.digest import sha256_of
from ssds.core.platform import Platform
from ssds.exports.offers import offers
from ssds.lock.diff import diff, render
from ssds.lock.merge import merge
from ssds.lock.model import Adoption, Lock, PlatformLock, VariantLock, Withdrawal
from ssds.lock.quick import quick_lock
from ssds.lock.read import read_lock
from ssds.lock.write import lock_bytes
from ssds.oci.blobs import Blobs

SAID = Withdrawal(why="wrong sums", since="2026-11-01")
LOCK = "lockfiles/tool@1.0.lock.json"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    blobs = Blobs(f"{tmp_path}/store/blobs")
    half = image(blobs, [small_tar({"usr/bin/tool": b"#!/bin/sh\n"})], ("tool",), {})
    (tmp_path / "w/lockfiles").mkdir(parents=True)
    (tmp_path / "w/catalog").mkdir()
    (tmp_path / "w/ssds.yaml").write_text("store: {path: ../store}\n")
    for version in ("1.0", "2.0"):
        lock = release(blobs, half, version=version)
        (tmp_path / f"w/lockfiles/{lock.file_name}").write_bytes(lock_bytes(lock))
    return tmp_path / "w"


def ssds(place: Path, *words: str) -> int:
    return main(["-C", str(place), *words])


WORDS = ("withdraw", "tool@1.0", "--why", "wrong sums", "--instead", "tool/2.0")


def test_the_lock_says_it_and_nothing_else_of_it_changes(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = (place / LOCK).read_bytes()
    before = read_lock(str(place / LOCK))
    assert ssds(place, "plan") == 0
    assert "withdrawn" not in capsys.readouterr().out
    assert ssds(place, *WORDS, "--as-of", "2026-11-01") == 0
    text = "withdrawn on 2026-11-01: wrong sums. Use tool/2.0 instead."
    assert f"tool@1.0 is {text}" in capsys.readouterr().out
    after = read_lock(str(place / LOCK))
    assert before
    assert after
    assert render(diff(before, after)).splitlines() == [
        f"+ tool@1.0 withdrawn: {text}",
        "1 difference",
    ]
    assert quick_lock((place / LOCK).read_bytes()) == after
    assert merge(before, before, after) == merge(before, after, before) == after
    for more in ((), (), ("--no-index",)):
        assert ssds(place, "plan", *more) == 0
        assert f"note: tool@1.0 was {text}" in capsys.readouterr().out
    assert [len(offers([lock], None, {})) for lock in (before, after)] == [1, 0]
    assert ssds(place, *WORDS) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert ssds(place, "withdraw", "tool@1.0", "--undo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["withdrawn"] is None
    assert (place / LOCK).read_bytes() == old
    capsys.readouterr()
    assert ssds(place, "plan") == 0
    assert "withdrawn" not in capsys.readouterr().out


def test_what_was_adopted_is_withdrawn_too_and_status_says_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopted = Adoption(digest=sha256_of(b"x"), locations=("/containers/old.simg",))
    variant = VariantLock(origin="adopted", platforms={AMD64: PlatformLock(adopted=adopted)})
    lock = Lock(name="old", version="1", variants={"": variant})
    (place / "lockfiles/old@1.lock.json").write_bytes(lock_bytes(lock))
    assert ssds(place, "withdraw", "old@1", "--why", "unsafe", "--as-of", "2026-11-01") == 0
    assert ssds(place, "status") == 0
    told = capsys.readouterr()
    assert "withdrawn" in told.out.splitlines()[-1]
    assert "old@1 was withdrawn on 2026-11-01: unsafe." in told.err
    for more in ((), ("--no-index",)):
        assert ssds(place, "plan", *more) == 0
        assert "adopted" not in capsys.readouterr().out
    assert ssds(place, "withdraw", "old@1", "--undo") == 0
    for more in ((), (), ("--no-index",)):
        assert ssds(place, "plan", *more) == 0
        assert "note: 1 adopted release reused as others deployed" in capsys.readouterr().out


def test_what_was_adopted_stays_in_status_when_a_recipe_of_its_name_was_pinned(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopted = Adoption(digest=sha256_of(b"x"), locations=("/containers/old.simg",))
    sections = {AMD64: PlatformLock(adopted=adopted), Platform("linux/arm64"): PlatformLock()}
    variant = VariantLock(origin="built", platforms=sections)
    lock = Lock(name="old", version="1", variants={"": variant})
    (place / "lockfiles/old@1.lock.json").write_bytes(lock_bytes(lock))
    assert ssds(place, "status", "--json") == 0
    (row,) = [r for r in json.loads(capsys.readouterr().out) if r.get("release") == "old@1"]
    assert (row["state"], row["platforms"]) == ("adopted", "linux/amd64")
    assert ssds(place, "plan") == 0
    assert "old@1:lock" not in capsys.readouterr().out


def test_what_contains_a_withdrawn_release_is_held_with_and_without_an_index(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, base in (
        ("lower", "image: example.org/x:1"),
        ("upper", "recipe: lower, version: '1'"),
    ):
        (place / f"catalog/{name}").mkdir()
        (place / f"catalog/{name}/recipe.yaml").write_text(
            f"name: {name}\nversion: '1'\nsummary: x\nlicenses: [MIT]\n"
            f"platforms: {{linux/amd64: required}}\nbase: {{{base}}}\nbuild: []\n"
        )
    assert "withdrawn" not in planned(place, capsys)["upper@1:publish"]
    lock = Lock(name="lower", version="1", variants={"": VariantLock(withdrawn=SAID)})
    path = place / f"lockfiles/{lock.file_name}"
    path.write_bytes(lock_bytes(lock))
    for more in ((), (), ("--no-index",)):
        found = planned(place, capsys, *more)
        assert found["upper@1:publish"] == "held withdrawn lower@1 is withdrawn"
        assert not found["lower@1:publish"].startswith("held")
    assert ssds(place, "explain", "upper@1:publish") == 0
    assert "contains what is not to be used" in capsys.readouterr().out
    path.write_bytes(lock_bytes(replace(lock, variants={"": VariantLock()})))
    assert not planned(place, capsys)["upper@1:publish"].startswith("held")


def planned(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, str]:
    capsys.readouterr()
    ssds(place, "plan", "--json", *more)
    told = capsys.readouterr()
    assert told.out, told.err
    rows = json.loads(told.out)["steps"]
    return {r["node"]: f"{r['verb']} {r['reason_code']} {r['reason']}" for r in rows}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tool@1.0",), "why it is withdrawn"),
        (("tool@1.0", "--why", "a\nb"), "why it is withdrawn"),
        (("tool@1.0", "--why", "x" * 501), "why it is withdrawn"),
        (("tool@1", "--why", "x"), 'Did you mean "tool@1.0"?'),
        (("tool@1.0", "--why", "x", "--instead", "tool/1.0"), "no module of another release"),
        (("tool@1.0", "--why", "x", "--instead", "tool/3.0"), "as tool/2.0"),
        (("tool@1.0", "--why", "x", "--undo"), "--undo goes with no other"),
        (("tool@1.0", "--why", "x", "--as-of", "soon"), "is not a date"),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_written(
    place: Path, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (place / LOCK).read_bytes()
    assert ssds(place, "withdraw", *words) == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert (place / LOCK).read_bytes() == before
