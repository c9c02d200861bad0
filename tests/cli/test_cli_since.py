"""``plan --since``: what a change of the catalog makes to be done, read out of git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from e2e_workspace import ROOT, Site, assert_no_traceback, check_error, recipe

from ssds.host.revisions import scratch
from ssds.store.store import Store

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]


SCHEMA = json.loads((ROOT / "schemas/plan-since.schema.json").read_text())


class Repository:
    """A git checkout around a workspace."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def git(self, *words: str) -> str:
        options = ("-c", "user.name=A. Person", "-c", "user.email=person@example.org")
        done = subprocess.run(
            ["git", "-C", str(self.top), *options, *words], capture_output=True, check=True
        )
        return done.stdout.decode()

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def state(self) -> tuple[str, bytes, list[str]]:
        """What must stay as it is: status, index, list of work trees and refs."""
        index = (self.top / ".git/index").read_bytes()
        lists = [self.git("worktree", "list"), self.git("for-each-ref"), self.git("stash", "list")]
        return self.git("status", "--porcelain"), index, lists


def repository(top: Path) -> Repository:
    found = Repository(top)
    found.git("init", "-q", "-b", "main")
    (top / ".gitignore").write_text(".ssds/\n")
    found.commit("first")
    return found


@pytest.fixture
def repo(site: Site) -> Repository:
    return repository(site.workspace)


@pytest.fixture
def new(plain: Site) -> Repository:
    """A repository of a workspace in which nothing was ever locked."""
    return repository(plain.workspace)


def since(site: Site, *words: str) -> dict[str, Any]:
    ended = site.run("plan", "--json", "--since", *words)
    assert ended.code == 0, ended.text
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(ended.out))
    return dict(json.loads(ended.out))


def test_nothing_differs_from_itself(site: Site, repo: Repository) -> None:
    found = since(site, "HEAD")
    assert (found["steps"], found["gone"]) == ([], [])
    assert found["recipes"] == {"added": [], "changed": [], "removed": [], "unchanged": 2}
    ended = site.good("plan", "--since", "HEAD", "--detailed-exitcode")
    assert "0 added, 0 changed, 0 removed, 2 unchanged" in ended.out


def test_a_change_is_told_with_its_place_and_values(site: Site, repo: Repository) -> None:
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    found = since(site, "main")
    assert found["recipes"]["changed"] == ["ground@1.0"]
    first = found["steps"][0]
    assert (first["node"], first["verb"], first["reason_code"]) == (
        "ground@1.0:build",
        "run",
        "changed",
    )
    assert first["reason"].startswith("changed: build[2].run (catalog/ground/recipe.yaml:")
    assert "chmod 755" in first["reason"]
    assert "chmod 0755" in first["reason"]
    assert {s["node"] for s in found["steps"]} == {
        f"ground@1.0:{k}"
        for k in ("build", "test", "deploytest", "sbom", "scan", "gate", "publish", "index", "lock")
    }
    assert not any(s["node"].startswith("tiny") for s in found["steps"])
    assert site.run("plan", "--since", "main", "--detailed-exitcode").code == 2


def test_what_is_to_run_on_both_sides_is_not_the_changes_doing(
    plain: Site, new: Repository
) -> None:
    plain.edit("catalog/tiny/recipe.yaml", "A tiny tool", "Another tool")
    found = since(plain, "main")
    assert {s["node"] for s in found["steps"]} == {"tiny@1.0:metadata", "tiny@1.0:lock"}


def test_what_is_built_already_is_said_to_be(site: Site, repo: Repository) -> None:
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    site.good("apply", "--yes", "ground")
    found = since(site, "main")
    verbs = {s["node"]: s["verb"] for s in found["steps"]}
    assert verbs["ground@1.0:build"] == "reuse"
    assert set(verbs.values()) == {"reuse"}
    assert "built already" in site.good("plan", "--since", "main", "--markdown").out


def test_recipes_that_came_and_went_are_named(site: Site, repo: Repository) -> None:
    site.recipe("third")
    shutil.rmtree(site.workspace / "catalog/tiny")
    found = since(site, "main")
    assert (found["recipes"]["added"], found["recipes"]["removed"]) == (["third@1.0"], ["tiny@1.0"])
    assert "tiny@1.0:build [linux/amd64]" in found["gone"]
    assert "tiny@1.0:lock" in {s["node"] for s in found["steps"] if s["verb"] == "remove"}


def test_two_revisions_are_compared_without_the_working_tree(site: Site, repo: Repository) -> None:
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    repo.commit("second")
    (site.workspace / "catalog/ground/recipe.yaml").write_text("broken: [")
    assert since(site, "HEAD~1..HEAD")["recipes"]["changed"] == ["ground@1.0"]
    assert since(site, "HEAD~1..")["recipes"]["changed"] == ["ground@1.0"]
    back = since(site, "HEAD..HEAD~1")
    assert {s["verb"] for s in back["steps"]} == {"reuse"}


def test_three_dots_leave_out_what_the_other_branch_did_since(site: Site, repo: Repository) -> None:
    repo.git("checkout", "-q", "-b", "mine")
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    repo.commit("mine")
    repo.git("checkout", "-q", "main")
    site.edit("catalog/tiny/recipe.yaml", "chmod 755", "chmod 0755")
    repo.commit("theirs")
    repo.git("checkout", "-q", "mine")
    assert since(site, "main")["recipes"]["changed"] == ["ground@1.0", "tiny@1.0"]
    for text in ("main...", "main...mine", "main...HEAD"):
        assert since(site, text)["recipes"]["changed"] == ["ground@1.0"]


def test_selectors_narrow_what_is_told(site: Site, repo: Repository) -> None:
    for name in ("ground", "tiny"):
        site.edit(f"catalog/{name}/recipe.yaml", "chmod 755", "chmod 0755")
    found = since(site, "main", "tiny")
    assert found["recipes"] == {"added": [], "changed": ["tiny@1.0"], "removed": [], "unchanged": 0}
    assert {s["node"].partition("@")[0] for s in found["steps"]} == {"tiny"}


def test_git_itself_is_left_as_it_was(site: Site, repo: Repository) -> None:
    hook = site.workspace / ".git/hooks/post-checkout"
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        hook.with_name(name).write_text(f"#!/bin/sh\necho {name} >> {site.folder}/hooked\n")
        hook.with_name(name).chmod(0o755)
    site.edit("catalog/ground/recipe.yaml", "chmod 755", "chmod 0755")
    repo.git("add", "catalog/ground/recipe.yaml")
    site.edit("catalog/ground/recipe.yaml", "chmod 0755", "chmod 00755")
    before = repo.state()
    (site.folder / "hooked").unlink(missing_ok=True)
    environment = {"GIT_DIR": "/nonexistent", "GIT_INDEX_FILE": "/nonexistent/index"}
    ended = site.run("plan", "--since", "main", **environment)
    assert ended.code == 0, ended.text
    assert not (site.folder / "hooked").exists()
    assert repo.state() == before
    assert os.listdir(site.workspace / ".ssds/since") == []
    store = Store(str(site.store))
    assert [w for w in store.workspaces() if ".ssds" in w] == []
    store.close()


def test_a_workspace_in_a_folder_of_a_repository_is_found(site: Site) -> None:
    repo = repository(site.folder)
    (site.folder / ".gitignore").write_text("store/\n.ssds/\n")
    site.edit("catalog/tiny/recipe.yaml", "A tiny tool", "Another tool")
    assert {s["node"] for s in since(site, "main")["steps"]} == {
        "tiny@1.0:metadata",
        "tiny@1.0:lock",
    }
    assert repo.git("log", "--oneline")


def test_line_ends_that_git_converts_are_no_change(site: Site) -> None:
    site.write("catalog/ground/data.txt", "one\r\ntwo\r\n")
    site.edit(
        "catalog/ground/recipe.yaml",
        "build:\n",
        "build:\n  - copy: {local: data.txt, to: /opt/data.txt}\n",
    )
    (site.workspace / ".gitattributes").write_text("*.txt text eol=crlf\n")
    repo = repository(site.workspace)
    assert repo.git("ls-files", "--eol", "catalog/ground/data.txt").startswith("i/lf")
    assert since(site, "main")["steps"] == []


def test_a_changed_local_file_is_a_change(site: Site) -> None:
    site.write("catalog/ground/data.txt", "one\n")
    site.edit(
        "catalog/ground/recipe.yaml",
        "build:\n",
        "build:\n  - copy: {local: data.txt, to: /opt/data.txt}\n",
    )
    repository(site.workspace)
    site.write("catalog/ground/data.txt", "two\n")
    assert since(site, "main")["steps"][0]["node"] == "ground@1.0:build"


def test_without_git_it_is_said(site: Site) -> None:
    check_error(site.run("plan", "--since", "main"), "E130", "not in a git checkout")


@pytest.mark.parametrize(
    "text", ["nowhere", "-x", "--all", "HEAD~99", "main:catalog", "main...nowhere", "a\nb", "é"]
)
def test_an_unknown_revision_is_told(site: Site, repo: Repository, text: str) -> None:
    check_error(site.run("plan", f"--since={text}"), "E131")


def test_a_shallow_clone_says_what_to_fetch(site: Site, repo: Repository, tmp_path: Path) -> None:
    site.edit("catalog/tiny/recipe.yaml", "A tiny tool", "Another tool")
    repo.commit("second")
    clone = Site(tmp_path / "clone")
    clone.folder.mkdir()
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{site.workspace}", str(clone.workspace)],
        check=True,
    )
    check_error(clone.run("plan", "--since", "HEAD~1"), "E131", "shallow", "unshallow")


def test_a_revision_without_a_workspace_is_told(site: Site, repo: Repository) -> None:
    repo.git("checkout", "-q", "--orphan", "empty")
    repo.git("rm", "-q", "-r", "--cached", ".")
    repo.git("commit", "-q", "--allow-empty", "-m", "nothing")
    check_error(site.run("plan", "--since", "empty"), "E132", "ssds.yaml")


def test_broken_recipes_of_a_revision_are_named_with_it(site: Site, repo: Repository) -> None:
    site.edit("catalog/tiny/recipe.yaml", "base: debian-12", "base: debian-13")
    repo.commit("broken")
    site.edit("catalog/tiny/recipe.yaml", "base: debian-13", "base: debian-12")
    ended = site.run("plan", "--since", "HEAD")
    assert ended.code == 1
    assert_no_traceback(ended)
    assert "HEAD:catalog/tiny/recipe.yaml:" in ended.err
    repo.commit("mended")
    ended = site.run("plan", "--since", "HEAD..HEAD~1")
    assert "HEAD~1:catalog/tiny/recipe.yaml:" in ended.err
    site.write("ssds.yaml", "jobs: many\n")
    broken = repo.commit("settings")
    repo.git("checkout", "-q", "HEAD~1")
    ended = site.run("plan", "--since", broken)
    assert f"{broken}:ssds.yaml" in ended.err
    assert_no_traceback(ended)


def test_links_in_an_old_revision_lead_nowhere(site: Site, repo: Repository) -> None:
    outside = site.folder / "outside"
    outside.mkdir()
    (outside / "recipe.yaml").write_text(recipe("evil"))
    (site.workspace / "catalog/evil").symlink_to(outside)
    commit = repo.commit("a link")
    (site.workspace / "catalog/evil").unlink()
    ended = site.run("plan", "--since", commit)
    assert ended.code == 1
    assert_no_traceback(ended)
    assert f"{commit}:catalog/evil/recipe.yaml" in ended.err


def test_markdown_fits_a_comment_and_goes_alone(site: Site, repo: Repository) -> None:
    site.edit("catalog/tiny/recipe.yaml", "A tiny tool for tests.", '"@everybody | `<b>`"')
    page = site.good("plan", "--since", "main", "--markdown").out
    assert page.startswith("### ssds plan: ")
    assert "<b>" not in page.replace("`", "").replace("'<b>'", "")
    assert "<details><summary><code>tiny@1.0</code>" in page
    check_error(site.run("plan", "--markdown", "--matrix"), "E128")
    check_error(site.run("plan", "--matrix", "--detailed-exitcode"), "E129")
    check_error(site.run("plan", "--markdown", "--json", "--since", "main"), "E128")
    check_error(site.run("plan", "--since", "main", "--out", str(site.folder / "x")), "E128")


def test_a_workspace_that_cannot_be_written_is_compared_too(site: Site, repo: Repository) -> None:
    shutil.rmtree(site.workspace / ".ssds", ignore_errors=True)
    (site.workspace / ".ssds").write_text("in the way")
    site.good("plan", "--since", "main", TMPDIR=str(site.folder))
    assert not [n for n in os.listdir(site.folder) if n.startswith("ssds-since-")]


def test_what_killed_runs_left_is_removed(
    site: Site, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssds.host.revisions._YOUNG_S", -1.0)
    folder = site.workspace / ".ssds/since"
    (folder / "killed/tree").mkdir(parents=True)
    with scratch(str(folder)) as first, scratch(str(folder)) as second:
        assert sorted(os.listdir(folder)) == sorted(map(os.path.basename, (first, second)))
    assert os.listdir(folder) == []
