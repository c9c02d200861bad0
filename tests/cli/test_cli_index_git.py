"""An imported index and git's word: each test is a checkout in which git's word would be a lie."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from pathlib import Path

import index_clones as clones
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_clones import OTHER, RECIPE, check_law, clone, git, import_json, restore_times, swap

from ssds.host.tracked import vouched_files

OLD, NEW = "Programs that sort", "Programs that SORT"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository; never to be changed."""
    return clones.make(tmp_path_factory.mktemp("source") / "workspace")


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its exported index."""
    file = tmp_path_factory.mktemp("exported") / "plan.ssds-index"
    clones.good(source, "index", "export", str(file))
    return file


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)


@pytest.fixture
def here(source: Path, tmp_path: Path) -> Path:
    """A fresh clone that a test may change."""
    return clone(source, tmp_path / "clone")


def name_of(path: str) -> str:
    return path.split("/")[1]


def vouched(folder: Path) -> set[str]:
    """Returns what git vouches for, as it is now."""
    found = set()
    for path, blob in vouched_files(str(folder), ("catalog", "lockfiles")).blobs.items():
        now = (folder / os.fsdecode(path)).lstat()
        if (now.st_mtime_ns, now.st_ctime_ns) == (blob.modified_ns, blob.changed_ns):
            found.add(os.fsdecode(path))
    return found


def check_found(folder: Path, exported: Path, path: str = RECIPE) -> None:
    """Checks that the import saw that a recipe is another one, and that the plan is right."""
    found = import_json(folder, exported)
    assert name_of(path) in found["different"]
    assert "to do" in check_law(folder) or "problem" in clones.ssds(folder, "plan").err


def test_a_clean_clone_needs_no_file_read(here: Path, exported: Path) -> None:
    found = import_json(here, exported)
    assert found["files_read"] == 0
    assert found["files_known_by_git"] > 2 * clones.COUNT
    assert found["different"] == []
    check_law(here)


def test_an_edited_file_is_seen(here: Path, exported: Path) -> None:
    swap(here / RECIPE, OLD, NEW)
    assert RECIPE not in vouched(here)
    check_found(here, exported)


def test_an_edit_that_is_staged_or_committed_is_seen(here: Path, exported: Path) -> None:
    swap(here / RECIPE, OLD, NEW)
    git(here, "add", RECIPE)
    check_found(here, exported)
    git(here, "commit", "-q", "-m", "edit")
    check_found(here, exported)


def test_an_edited_file_that_git_assumes_unchanged_is_seen(here: Path, exported: Path) -> None:
    git(here, "update-index", "--assume-unchanged", RECIPE)
    swap(here / RECIPE, OLD, NEW)
    assert git(here, "status", "--porcelain") == ""
    assert RECIPE not in vouched(here)
    assert OTHER in vouched(here)
    check_found(here, exported)


def test_an_edited_file_that_git_skips_is_seen(here: Path, exported: Path) -> None:
    git(here, "update-index", "--skip-worktree", RECIPE)
    swap(here / RECIPE, OLD, NEW)
    assert git(here, "status", "--porcelain") == ""
    assert RECIPE not in vouched(here)
    check_found(here, exported)


def test_files_left_out_by_a_sparse_checkout_are_seen(here: Path, exported: Path) -> None:
    git(here, "sparse-checkout", "set", "--no-cone", "/*", f"!/catalog/{name_of(RECIPE)}/")
    assert git(here, "status", "--porcelain") == ""
    assert not (here / RECIPE).exists()
    found = import_json(here, exported)
    assert name_of(RECIPE) in found["different"]
    check_law(here)


def smudged(source: Path, folder: Path, attributes: str, *settings: str) -> Path:
    """Returns a clone that was checked out with these attributes and settings."""
    options = [word for setting in settings for word in ("-c", setting)]
    clone(source, folder, "--no-checkout", *options)
    (folder / ".git/info/attributes").write_text(attributes)
    git(folder, "checkout", "-q", "main")
    return folder


def test_a_filter_that_keeps_the_size_is_seen(source: Path, exported: Path, tmp_path: Path) -> None:
    loud = ("filter.loud.smudge=tr sS Ss", "filter.loud.clean=tr sS Ss")
    here = smudged(source, tmp_path / "clone", "recipe.yaml filter=loud\n", *loud)
    text = (source / RECIPE).read_text()
    assert (here / RECIPE).read_text() == text.translate(str.maketrans("sS", "Ss"))
    assert git(here, "diff-files", "--name-only") == ""
    assert RECIPE not in vouched(here)
    assert "lockfiles/catalog.lock.json" in vouched(here)
    found = import_json(here, exported)
    assert len(found["different"]) == clones.COUNT
    check_law(here)


def test_attributes_that_were_removed_after_the_checkout_are_seen(
    source: Path, exported: Path, tmp_path: Path
) -> None:
    committed = clone(source, tmp_path / "committed")
    (committed / ".gitattributes").write_text("recipe.yaml filter=loud\n")
    clones.commit(committed, "a filter")
    options = ("-c", "filter.loud.smudge=tr sS Ss", "-c", "filter.loud.clean=tr sS Ss")
    here = clone(committed, tmp_path / "clone", *options)
    (here / ".gitattributes").unlink()
    assert git(here, "diff-files", "--name-only") == ".gitattributes"
    answer = vouched_files(str(here), ("catalog", "lockfiles"))
    assert not answer.blobs
    assert "attributes" in answer.reason
    found = import_json(here, exported)
    assert len(found["different"]) == clones.COUNT
    check_law(here)


def test_line_ends_that_git_converts_are_seen(source: Path, exported: Path, tmp_path: Path) -> None:
    here = clone(source, tmp_path / "clone", "-c", "core.autocrlf=true")
    assert b"\r\n" in (here / RECIPE).read_bytes()
    assert git(here, "diff-files", "--name-only") == ""
    found = import_json(here, exported)
    assert found["whole_catalog"] or len(found["different"]) == clones.COUNT
    check_law(here)


def test_one_file_with_converted_line_ends_is_seen(here: Path, exported: Path) -> None:
    git(here, "config", "core.autocrlf", "input")
    data = (here / RECIPE).read_bytes()
    (here / RECIPE).write_bytes(data.replace(b"\n", b"\r\n"))
    git(here, "add", RECIPE)
    assert git(here, "status", "--porcelain") == ""
    check_found_or_same(here, exported)


def check_found_or_same(folder: Path, exported: Path) -> None:
    found = import_json(folder, exported)
    assert name_of(RECIPE) in found["different"]
    check_law(folder)


@pytest.mark.parametrize("attribute", ["text eol=crlf", "ident", "working-tree-encoding=UTF-16LE"])
def test_other_conversions_are_seen(
    source: Path, exported: Path, tmp_path: Path, attribute: str
) -> None:
    committed = clone(source, tmp_path / "committed")
    with (committed / RECIPE).open("a") as file:
        file.write("# $Id$\n")
    clones.commit(committed, "an id")
    own = tmp_path / "own.ssds-index"
    clones.good(committed, "index", "export", str(own))
    here = smudged(committed, tmp_path / "clone", f"{RECIPE} {attribute}\n")
    assert (here / RECIPE).read_bytes() != (committed / RECIPE).read_bytes()
    assert git(here, "diff-files", "--name-only") == ""
    check_found_or_same(here, own)


def test_a_replaced_object_is_seen(source: Path, exported: Path, tmp_path: Path) -> None:
    here = clone(source, tmp_path / "clone", "--no-checkout")
    old = git(here, "rev-parse", f"HEAD:{RECIPE}")
    other = tmp_path / "other"
    other.write_text((source / RECIPE).read_text().replace(OLD, NEW))
    git(here, "replace", old, git(here, "hash-object", "-w", str(other)))
    git(here, "checkout", "-q", "main")
    assert NEW in (here / RECIPE).read_text()
    later_s = time.time() + 5  # as after a checkout that took a while
    os.utime(here / ".git/index", (later_s, later_s))
    assert git(here, "diff-files", "--name-only") == ""
    assert not vouched(here)
    check_found(here, exported)


@pytest.mark.parametrize("setting", ["core.trustctime=false", "core.checkStat=minimal"])
def test_a_restored_time_is_seen_though_git_was_told_to_be_lax(
    here: Path, exported: Path, setting: str
) -> None:
    name, _, value = setting.partition("=")
    git(here, "config", name, value)
    for path in sorted(here.rglob("*.yaml")):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    git(here, "update-index", "-q", "--refresh")
    before = (here / RECIPE).stat()
    os.utime(here / ".git/index")
    swap(here / RECIPE, OLD, NEW)
    restore_times(here / RECIPE, before)
    assert git(here, "diff-files", "--name-only") == ""
    assert RECIPE not in vouched(here)
    check_found(here, exported)


def test_an_execute_bit_is_seen_though_git_does_not_look(here: Path, exported: Path) -> None:
    git(here, "config", "core.fileMode", "false")
    path = here / "catalog/bam-sort-000000/settings.conf"
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert git(here, "status", "--porcelain") == ""
    check_found(here, exported)


def test_a_file_monitor_that_says_nothing_is_not_believed(
    here: Path, exported: Path, tmp_path: Path
) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    git(here, "config", "core.fsmonitor", str(hook))
    git(here, "update-index", "--fsmonitor")
    git(here, "status")
    swap(here / RECIPE, OLD, NEW)
    assert git(here, "status", "--porcelain") == ""
    assert RECIPE not in vouched(here)
    check_found(here, exported)


def test_a_recipe_in_a_submodule_is_read(
    source: Path, exported: Path, here: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "inner"
    shutil.copytree(here / "catalog" / name_of(RECIPE), inner)
    git(inner, "init", "-q", "-b", "main")
    clones.commit(inner, "inner")
    git(here, "rm", "-q", "-r", f"catalog/{name_of(RECIPE)}")
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(here, *words, str(inner), f"catalog/{name_of(RECIPE)}")
    assert RECIPE not in vouched(here)
    found = import_json(here, exported)
    assert found["different"] == []
    assert found["files_read"] >= 2
    check_law(here)
    swap(here / RECIPE, OLD, NEW)
    check_found(here, exported)


def test_untracked_and_ignored_files_are_seen(here: Path, exported: Path) -> None:
    (here / ".git/info/exclude").write_text("added/\n")
    shutil.copytree(here / "catalog" / name_of(RECIPE), here / "catalog/added")
    swap(here / "catalog/added/recipe.yaml", "name: bam-sort-000000", "name: added          ")
    assert git(here, "status", "--porcelain") == ""
    found = import_json(here, exported)
    assert found["different"] == ["added"]
    assert "added@" in check_law(here)


def test_a_file_that_git_only_intends_to_add_is_read(here: Path, exported: Path) -> None:
    git(here, "rm", "-q", "--cached", RECIPE)
    git(here, "add", "--intent-to-add", RECIPE)
    assert RECIPE not in vouched(here)
    assert import_json(here, exported)["different"] == []
    check_law(here)


def test_a_recipe_that_became_a_link_is_seen(here: Path, exported: Path, tmp_path: Path) -> None:
    folder = here / "catalog" / name_of(RECIPE)
    shutil.move(folder, here / "elsewhere")
    folder.symlink_to("../elsewhere")
    check_found_or_same(here, exported)


def test_another_checkout_in_the_environment_is_not_asked(
    source: Path, here: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(here / RECIPE, OLD, NEW)
    monkeypatch.setenv("GIT_DIR", str(source / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(source))
    monkeypatch.setenv("GIT_INDEX_FILE", str(source / ".git/index"))
    assert RECIPE not in vouched(here)
    found = import_json(here, exported)
    assert found["different"] == [name_of(RECIPE)]


def test_without_git_every_file_is_read(here: Path, exported: Path) -> None:
    shutil.rmtree(here / ".git")
    found = import_json(here, exported)
    assert found["files_known_by_git"] == 0
    assert found["files_read"] > 2 * clones.COUNT
    assert found["git_is_silent"] == "not a git checkout"
    assert found["different"] == []
    check_law(here)


def test_a_git_that_fails_is_not_asked_again(
    here: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho true\necho sha1\necho\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    found = import_json(here, exported)
    assert found["git_is_silent"]
    assert found["different"] == []
    check_law(here)


@pytest.mark.parametrize("kept", [0, 20, 2000])
def test_a_damaged_git_index_does_no_harm(here: Path, exported: Path, kept: int) -> None:
    data = (here / ".git/index").read_bytes()
    (here / ".git/index").write_bytes(data[:kept])
    found = import_json(here, exported)
    assert found["files_read"]
    assert found["different"] == []
    check_law(here)


@pytest.mark.parametrize("objects", ["sha1", "sha256"])
def test_both_kinds_of_object_names_serve(tmp_path: Path, exported: Path, objects: str) -> None:
    there = clones.make(tmp_path / "there", objects=objects)
    own = tmp_path / "own.ssds-index"
    clones.good(there, "index", "export", str(own))
    here = clone(there, tmp_path / "clone")
    assert import_json(here, own)["files_read"] == 0
    found = import_json(here, exported)
    assert found["different"] == []
    assert bool(found["files_read"]) == (objects == "sha256")


def test_a_workspace_deep_in_a_repository_is_known_too(
    source: Path, exported: Path, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    shutil.copytree(source, top / "[a] *deep", ignore=shutil.ignore_patterns(".git", ".ssds"))
    git(top, "init", "-q", "-b", "main")
    clones.commit(top, "deep")
    here = clone(top, tmp_path / "clone") / "[a] *deep"
    found = import_json(here, exported)
    assert found["files_read"] == 0
    assert found["different"] == []
    swap(here / RECIPE, OLD, NEW)
    check_found(here, exported)


def edit_nothing(_folder: Path, _name: str) -> None:
    pass


def touch(folder: Path, name: str) -> None:
    (folder / name).touch()


def edit(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data.replace(b"Programs that", b"Programs THAT", 1))


def edit_and_restore_times(folder: Path, name: str) -> None:
    before = (folder / name).stat()
    edit(folder, name)
    restore_times(folder / name, before)


def edit_unseen(folder: Path, name: str) -> None:
    git(folder, "update-index", "--assume-unchanged", name)
    edit_and_restore_times(folder, name)


def edit_skipped(folder: Path, name: str) -> None:
    git(folder, "update-index", "--skip-worktree", name)
    edit(folder, name)


def edit_and_stage(folder: Path, name: str) -> None:
    edit(folder, name)
    git(folder, "add", name)


def edit_and_commit(folder: Path, name: str) -> None:
    edit_and_stage(folder, name)
    git(folder, "commit", "-q", "--allow-empty", "-m", name)


def write_anew(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(data)


def remove(folder: Path, name: str) -> None:
    shutil.rmtree((folder / name).parent)


def forget(folder: Path, name: str) -> None:
    git(folder, "rm", "-q", "-r", "--cached", os.path.dirname(name))


def add_beside(folder: Path, name: str) -> None:
    (folder / name).with_name("more.txt").write_text("more\n")


def unlock(folder: Path, name: str) -> None:
    for path in (folder / "lockfiles").glob(f"{name_of(name)}@*"):
        path.unlink()


def edit_lock(folder: Path, name: str) -> None:
    for path in (folder / "lockfiles").glob(f"{name_of(name)}@*"):
        path.write_bytes(path.read_bytes().replace(b'"revision": 1', b'"revision": 2'))


def make_program(folder: Path, name: str) -> None:
    (folder / name).with_name("settings.conf").chmod(0o755)


def edit_shared(folder: Path, _name: str) -> None:
    with (folder / "catalog/policies.yaml").open("a") as file:
        file.write("# a remark\n")


def hide_from_git(folder: Path, _name: str) -> None:
    shutil.rmtree(folder / ".git")
    git(folder, "init", "-q", "-b", "main")


EDITS = (
    edit_nothing, touch, edit, edit_and_restore_times, edit_unseen, edit_skipped, edit_and_stage,
    edit_and_commit, write_anew, remove, forget, add_beside, unlock, edit_lock, make_program,
    edit_shared, hide_from_git,
)  # fmt: skip


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_after_any_edits_an_imported_index_changes_no_plan(
    source: Path, exported: Path, tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "edited"
    shutil.rmtree(folder, ignore_errors=True)
    clone(source, folder)
    names = sorted(str(p.relative_to(folder)) for p in folder.glob("catalog/*/recipe.yaml"))
    edits = st.lists(st.tuples(st.sampled_from(EDITS), st.sampled_from(names)), max_size=5)
    for change, name in data.draw(edits):
        if (folder / name).exists():
            with contextlib.suppress(AssertionError):  # git does not know the file any more
                change(folder, name)
    ended = clones.ssds(folder, "index", "import", str(exported))
    assert ended.code == 0, ended
    check_law(folder)
