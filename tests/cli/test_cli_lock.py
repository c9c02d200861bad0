"""``ssds lock merge`` as git's merge driver, and ``ssds lock diff``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from data_makers import data_lock
from e2e_workspace import ROOT, Site, check_error

from ssds.cli import merging
from ssds.cli.resolving import write_pins
from ssds.core.canonical import fingerprint
from ssds.core.digest import sha256_of
from ssds.core.pins import PinnedFile, PlatformPins, SharedPins, SourcePin
from ssds.core.platform import Platform
from ssds.engine.resolve import Pins
from ssds.host.files import locked
from ssds.lock.data import data_lock_bytes
from ssds.lock.model import CatalogLock, Lock, PlatformLock, VariantLock
from ssds.lock.read import CATALOG_LOCK, read_lock
from ssds.lock.write import catalog_lock_bytes, lock_bytes
from ssds.oci.blobs import Blobs
from ssds.workspace import Workspace

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
NAME = "tool@1.0.lock.json"


def section(text: str) -> PlatformLock:
    digest = sha256_of(text.encode())
    asked = fingerprint("asked", "request")
    pin = SourcePin(request=asked, file=PinnedFile(name="a.tar", digest=digest))
    return PlatformLock(pins=PlatformPins(base="debian-12@20260101", sources={"a": pin}, epoch=1))


def a_lock(**platforms: PlatformLock) -> bytes:
    names = {"amd64": AMD64, "arm64": ARM64}
    variant = VariantLock(platforms={names[n]: s for n, s in platforms.items()})
    return lock_bytes(Lock(name="tool", version="1.0", variants={"": variant}))


class Clone:
    """A git repository whose locks are merged by ssds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "lockfiles").mkdir(parents=True)
        driver = f"{sys.executable} -m ssds lock merge %O %A %B --name %P"
        self.git("init", "-q", "-b", "main")
        self.git("config", "merge.ssds-lock.driver", driver)
        (folder / ".gitattributes").write_text("lockfiles/*.lock.json merge=ssds-lock\n")
        self.git("add", ".gitattributes")
        self.git("commit", "-q", "-m", "start")

    def git(self, *words: str, code: int = 0) -> str:
        person = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
        person |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env={**os.environ, **person, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def lock(self) -> Path:
        return self.folder / "lockfiles" / NAME

    def commit(self, data: bytes, branch: str) -> None:
        self.git("switch", "-q", branch) if branch == "main" else self.git(
            "switch", "-q", "-c", branch, "main"
        )
        self.lock.parent.mkdir(exist_ok=True)
        self.lock.write_bytes(data)
        self.git("add", "lockfiles")
        self.git("commit", "-q", "-m", branch)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_platforms_that_were_made_apart_join(clone: Clone) -> None:
    clone.commit(a_lock(amd64=section("old")), "main")
    clone.commit(a_lock(amd64=section("old"), arm64=section("arm")), "arm")
    clone.commit(a_lock(amd64=section("new")), "main")
    clone.git("merge", "-q", "-m", "both", "arm")
    assert clone.lock.read_bytes() == a_lock(amd64=section("new"), arm64=section("arm"))
    assert clone.git("status", "--porcelain") == ""


def test_a_lock_that_both_sides_began_joins_without_an_ancestor(clone: Clone) -> None:
    clone.commit(a_lock(arm64=section("arm")), "arm")
    clone.commit(a_lock(amd64=section("amd")), "main")
    clone.git("merge", "-q", "-m", "both", "arm")
    assert clone.lock.read_bytes() == a_lock(amd64=section("amd"), arm64=section("arm"))


def test_one_thing_changed_in_two_ways_is_a_conflict_that_is_named(clone: Clone) -> None:
    clone.commit(a_lock(amd64=section("old")), "main")
    clone.commit(a_lock(amd64=section("theirs")), "other")
    clone.commit(a_lock(amd64=section("ours")), "main")
    told = clone.git("merge", "-q", "-m", "both", "other", code=1)
    assert "both sides changed variants.default.platforms.linux/amd64.pins.sources.a" in told
    assert "CONFLICT" in told
    assert clone.lock.read_bytes() == a_lock(amd64=section("ours"))


def test_the_driver_is_installed_once_and_git_calls_it(plain: Site, clone: Clone) -> None:
    told = plain.run("lock", "driver")
    assert "error[E225]" in told.err
    shutil.copytree(plain.workspace / "catalog", clone.folder / "catalog")
    shutil.copy(plain.workspace / "ssds.yaml", clone.folder)
    clone.git("config", "--unset", "merge.ssds-lock.driver")
    here = Site(plain.folder)
    (clone.folder / ".gitattributes").write_text("*.svg binary")
    arguments = [sys.executable, "-m", "ssds", "-C", str(clone.folder), "lock", "driver"]
    done = [
        subprocess.run(
            arguments, capture_output=True, text=True, check=True, env=here._environment({})
        ).stdout
        for _ in range(2)
    ]

    assert done[0].count("wrote ") == 3
    assert done[1].startswith("Nothing to do")
    assert (clone.folder / ".gitattributes").read_text() == (
        "*.svg binary\nlockfiles/*.lock.json merge=ssds-lock\n"
    )
    assert clone.git("config", "merge.ssds-lock.driver").endswith("lock merge %O %A %B --name %P\n")


def test_locks_of_several_machines_are_joined_or_nothing_is_written(
    plain: Site, tmp_path: Path
) -> None:
    own = plain.workspace / "lockfiles" / NAME
    own.write_bytes(a_lock(amd64=section("old")))
    made = {
        "one": a_lock(amd64=section("new")),
        "two": a_lock(amd64=section("old"), arm64=section("arm")),
        "other": a_lock(amd64=section("newer")),
    }
    for name, data in made.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / NAME).write_bytes(data)

    refused = plain.run("lock", "join", str(tmp_path / "one"), str(tmp_path / "other"))
    assert refused.code == 1
    assert "both sides changed" in refused.err
    assert own.read_bytes() == a_lock(amd64=section("old"))

    joined = plain.good("lock", "join", str(tmp_path / "one"), str(tmp_path / "two"))
    assert joined.out == f"wrote lockfiles/{NAME}\n"
    assert own.read_bytes() == a_lock(amd64=section("new"), arm64=section("arm"))
    assert joined.err == ""
    own.unlink()
    plain.good("lock", "join", str(tmp_path / "two"))
    assert own.read_bytes() == made["two"]
    assert plain.good("lock", "join", str(tmp_path / "two")).out.startswith("Nothing to do")


def test_locks_of_data_sets_are_joined_and_compared_like_others(
    plain: Site, tmp_path: Path
) -> None:
    made = data_lock(Blobs(f"{tmp_path}/blobs"))
    own = plain.workspace / "lockfiles/data/words@1.0.lock.json"
    own.parent.mkdir(parents=True)
    own.write_bytes(data_lock_bytes(replace(made, actions={}, made=None)))
    (tmp_path / "one/data").mkdir(parents=True)
    (tmp_path / "one/data/words@1.0.lock.json").write_bytes(data_lock_bytes(made))
    told = plain.good("diff", str(own), str(tmp_path / "one/data/words@1.0.lock.json"))
    assert "+ words@1.0 set: " in told.out

    joined = plain.good("lock", "join", str(tmp_path / "one"))
    assert joined.out == "wrote lockfiles/data/words@1.0.lock.json\n"
    assert own.read_bytes() == data_lock_bytes(made)
    assert plain.good("lock", "join", str(tmp_path / "one")).out.startswith("Nothing to do")

    (tmp_path / "one/data/words@1.0.lock.json").write_text("{}")
    check_error(plain.run("lock", "join", str(tmp_path / "one")), "L0", code=1)
    assert own.read_bytes() == data_lock_bytes(made)


def test_what_an_apply_writes_while_locks_are_joined_is_kept(
    plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = plain.workspace / "lockfiles" / NAME
    own.write_bytes(a_lock(amd64=section("old")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / NAME).write_bytes(a_lock(amd64=section("old"), arm64=section("arm")))

    def after_an_apply(guard: str) -> AbstractContextManager[bool]:
        own.write_bytes(a_lock(amd64=section("applied meanwhile")))
        return locked(guard)

    monkeypatch.setattr(merging, "locked", after_an_apply)
    merging.join(Workspace.open(str(plain.workspace)), (str(tmp_path / "other"),))

    assert own.read_bytes() == a_lock(amd64=section("applied meanwhile"), arm64=section("arm"))


def test_a_join_and_the_resolver_write_the_catalog_lock_one_after_the_other(
    plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / CATALOG_LOCK).write_bytes(catalog_lock_bytes(CatalogLock()))
    workspace = Workspace.open(str(plain.workspace))
    nothing = Pins(shared=SharedPins())
    guards: list[str] = []

    def noted(guard: str) -> AbstractContextManager[bool]:
        guards.append(guard)
        return locked(guard)

    monkeypatch.setattr(merging, "locked", noted)
    monkeypatch.setattr("ssds.lock.write.locked", noted)
    write_pins(workspace, nothing, nothing)
    merging.join(workspace, (str(tmp_path / "other"),))

    assert len(guards) == 2
    assert guards[0] == guards[1]


def test_merge_can_print_instead(plain: Site, tmp_path: Path) -> None:
    names = ("base", "ours", "theirs")
    sections = ({}, {"amd64": section("x")}, {"arm64": section("y")})
    for name, parts in zip(names, sections, strict=True):
        (tmp_path / name).write_bytes(a_lock(**parts))
    words = [str(tmp_path / name) for name in names]
    ended = plain.good("lock", "merge", *words, "--name", f"lockfiles/{NAME}", "--stdout")
    assert ended.out.encode() == a_lock(amd64=section("x"), arm64=section("y"))
    assert (tmp_path / "ours").read_bytes() == a_lock(amd64=section("x"))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b'{"lock_version": 99}'])
def test_a_side_that_is_no_lock_changes_nothing(plain: Site, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "theirs").write_bytes(data)
    (tmp_path / "ours").write_bytes(a_lock(amd64=section("x")))
    words = ["/dev/null", str(tmp_path / "ours"), str(tmp_path / "theirs")]
    ended = plain.run("lock", "merge", *words, "--name", NAME)
    check_error(ended, "error[L")
    assert (tmp_path / "ours").read_bytes() == a_lock(amd64=section("x"))


def test_catalog_locks_merge_too(plain: Site, tmp_path: Path) -> None:
    empty = b'{"lock_version": 1}'
    for name in ("ours", "theirs"):
        (tmp_path / name).write_bytes(empty)
    words = ["/dev/null", str(tmp_path / "ours"), str(tmp_path / "theirs")]
    ended = plain.run("lock", "merge", *words, "--name", "lockfiles/catalog.lock.json")
    assert ended.code == 0 or "error[L" in ended.err, ended.text


def test_a_difference_is_told_in_words(plain: Site, tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / NAME
    old.write_bytes(a_lock(amd64=section("old")))
    lock = read_lock(_named(tmp_path, old))
    assert lock is not None
    variant = lock.variants[""]
    changed = replace(section("new"), pins=replace(section("new").pins, epoch=2))
    platforms = {**variant.platforms, AMD64: changed}
    variants = {"": replace(variant, platforms=platforms)}
    new.write_bytes(lock_bytes(replace(lock, variants=variants)))
    before, after = (sha256_of(text).short for text in (b"old", b"new"))
    ended = plain.good("lock", "diff", str(old), str(new))
    assert ended.out == (
        "~ tool@1.0 linux/amd64 epoch: 1 -> 2\n"
        f"~ tool@1.0 linux/amd64 source a: a.tar {before} -> a.tar {after}\n"
        "2 differences\n"
    )
    told = json.loads(plain.good("lock", "diff", str(old), str(new), "--json").out)
    assert told[0] == {"what": "tool@1.0 linux/amd64 epoch", "before": "1", "after": "2"}


def _named(folder: Path, path: Path) -> str:
    (folder / "copy").mkdir()
    copy = folder / "copy" / NAME
    copy.write_bytes(path.read_bytes())
    return str(copy)


def test_equal_locks_have_no_differences(plain: Site, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(a_lock(amd64=section("x")))
    path = str(tmp_path / NAME)
    assert plain.good("lock", "diff", path, path).out == "0 differences\n"
    assert plain.good("lock", "diff", path, "/dev/null").out.endswith("differences\n")


def test_files_that_are_not_there_are_told(plain: Site) -> None:
    check_error(plain.run("lock", "diff", "no-old", "no-new"), "neither no-old nor no-new is there")


def test_selectors_are_still_selectors(plain: Site) -> None:
    check_error(plain.run("lock", "--locked", "tiny"), "E082", "1 pin missing or stale")
    check_error(plain.run("lock", "merg"), "E032")
