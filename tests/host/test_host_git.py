"""What git says of lines and revisions, with real repositories; silence where it knows nothing."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ssds.core.errors import UnavailableError, UsageError
from ssds.host import git

pytestmark = pytest.mark.skipif(
    subprocess.run(["git", "--version"], check=False, capture_output=True).returncode != 0,
    reason="git is not installed",
)


class Repository:
    """A git repository of one author at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str, author: str = "Ann", date: str = "2026-03-01T12:00:00Z") -> str:
        who = {"NAME": author, "EMAIL": "a@example.org", "DATE": date}
        names = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env={**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, name: str, text: str, subject: str, **who: str) -> str:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)
        self.git("add", "--", name)
        self.git("commit", "-q", "-m", subject, **who)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit("x/recipe.yaml", "one\ntwo\n", "start")
    return made


def test_a_line_has_the_commit_that_changed_it_last(repository: Repository) -> None:
    path = str(repository.folder / "x/recipe.yaml")
    second = repository.commit(
        "x/recipe.yaml", "one\nTWO\n", "louder", author="Bea Brown", date="2026-05-06T23:30:00-0500"
    )
    origin = git.line_origin(path, 2)
    assert origin == git.LineOrigin(
        commit=second, author="Bea Brown", date="2026-05-07", subject="louder"
    )
    assert str(origin) == f'{second[:7]}, 2026-05-07, Bea Brown: "louder"'
    first = git.line_origin(path, 1)
    assert first is not None
    assert (first.author, first.subject) == ("Ann", "start")


def test_a_local_edit_is_not_committed_yet(repository: Repository) -> None:
    (repository.folder / "x/recipe.yaml").write_text("one\nchanged\n")
    origin = git.line_origin(str(repository.folder / "x/recipe.yaml"), 2)
    assert str(origin) == "not committed yet"


def test_what_git_does_not_know_is_not_said(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / "new.yaml").write_text("x\n")
    (tmp_path / "outside.yaml").write_text("x\n")
    assert git.line_origin(str(repository.folder / "new.yaml"), 1) is None
    assert git.line_origin(str(repository.folder / "x/recipe.yaml"), 99) is None
    assert git.line_origin(str(repository.folder / "gone.yaml"), 1) is None
    assert git.line_origin(str(tmp_path / "outside.yaml"), 1) is None
    assert not git.in_checkout(str(tmp_path))


def test_names_that_look_like_options_or_patterns_are_files(repository: Repository) -> None:
    for name in ("-L1", ":(glob)*", "a b\n\tc"):
        commit = repository.commit(f"x/{name}", "hello\n", f"adds {name.split()[0]}")
        origin = git.line_origin(str(repository.folder / "x" / name), 1)
        assert origin is not None
        assert origin.commit == commit


def test_hostile_names_and_subjects_cannot_command_a_terminal(repository: Repository) -> None:
    repository.commit(
        "y.yaml", "x\n", "\x1b]0;title\x07 \u202e" + "long " * 100, author="Eve\x1b[31m\u202e"
    )
    origin = git.line_origin(str(repository.folder / "y.yaml"), 1)
    assert origin is not None
    assert str(origin).isprintable()
    assert "\\x1b" in origin.author
    assert "\\u202e" in origin.author
    assert len(origin.subject) <= 60


def test_a_shallow_history_names_no_wrong_commit(repository: Repository, tmp_path: Path) -> None:
    repository.commit("x/recipe.yaml", "one\nTWO\n", "louder")
    clone = tmp_path / "clone"
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", str(clone))
    assert git.line_origin(str(clone / "x/recipe.yaml"), 1) is None
    (clone / "x/recipe.yaml").write_text("one\nlocal\n")
    assert str(git.line_origin(str(clone / "x/recipe.yaml"), 2)) == "not committed yet"


def test_the_environment_of_a_hook_leads_to_no_other_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.folder))
    assert git.line_origin(str(repository.folder / "x/recipe.yaml"), 1) is not None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_checkout_of_another_user_is_left_alone(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.delenv("SUDO_UID", raising=False)
    for path in (repository.folder, repository.folder / ".git"):
        os.chown(path, 12345, 12345)
    assert git.line_origin(str(repository.folder / "x/recipe.yaml"), 1) is None
    with pytest.raises(UsageError, match="git knows no revision") as caught:
        git.resolve_revision(str(repository.folder), "HEAD")
    assert "another user" in caught.value.hint


def test_without_git_lines_have_no_author_and_revisions_an_error(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert git.line_origin(str(repository.folder / "x/recipe.yaml"), 1) is None
    assert git.head_of(str(repository.folder), ["x"]) == git.Head()
    with pytest.raises(UnavailableError, match="git"):
        git.resolve_revision(str(repository.folder), "HEAD")


def test_a_git_that_hangs_is_not_waited_for(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    began = time.monotonic()
    assert git.line_origin(str(repository.folder / "x/recipe.yaml"), 1, timeout_s=0.3) is None
    assert time.monotonic() - began < 20


def test_files_are_read_as_they_were(repository: Repository) -> None:
    folder = str(repository.folder)
    repository.commit("x/recipe.yaml", "changed\n", "second")
    tree = git.resolve_revision(folder, "HEAD~1")

    def read(path: str, inside: str = folder, limit: int = 100) -> bytes | None:
        return git.read_at(inside, tree, path, limit_bytes=limit)

    assert read("x/recipe.yaml") == b"one\ntwo\n"
    assert read("./recipe.yaml", f"{folder}/x") == b"one\ntwo\n"
    assert read("x/recipe.yaml", limit=3) == b"    "
    assert read("nothing") is None
    assert read("x") is None
    assert read("a\0b") is None
    assert read("../../../etc/passwd") is None
    found = git.list_at(folder, tree, "x")
    assert list(found) == ["recipe.yaml"]
    assert git.is_content(b"one\ntwo\n", found["recipe.yaml"])
    assert not git.is_content(b"one\n", found["recipe.yaml"])
    assert not git.is_content(b"", "")
    assert git.list_at(folder, tree, "none") == {}


@pytest.mark.parametrize("revision", ["", "nothing", "--all", "-h", "HEAD:x", "a..b", "@{", "x\0y"])
def test_what_is_no_revision_is_refused(revision: str, repository: Repository) -> None:
    with pytest.raises((UsageError, UnavailableError)) as caught:
        git.resolve_revision(str(repository.folder), revision)
    assert caught.value.hint


def test_a_folder_outside_of_git_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in no git checkout") as caught:
        git.resolve_revision(str(tmp_path), "HEAD")
    assert caught.value.code == "E140"


def test_the_head_is_dirty_when_a_named_path_differs(repository: Repository) -> None:
    folder = str(repository.folder)
    head = git.head_of(folder, ["x"])
    assert (head.commit, head.dirty) == (repository.git("rev-parse", "HEAD"), False)
    (repository.folder / "x/new").write_text("")
    assert git.head_of(folder, ["x"]).dirty
    assert not git.head_of(folder, ["y"]).dirty
