"""Sources from commits, with real git servers: over http and in a folder."""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from git_server import commit, commit_tree, git, git_server, make_repository

from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.core.pins import GitPlace, SourcePin
from ssds.host.archives import unpack_archive
from ssds.host.git_fetch import GitFetch, GitLimits
from ssds.host.mirrors import Mirrors
from ssds.kinds.api import Bench
from ssds.kinds.build.requests import source_request
from ssds.kinds.source.git import write_archive
from ssds.kinds.source.resolve import resolve_source
from ssds.kinds.source.run import run
from ssds.kinds.source.spec import node
from ssds.recipe.formats.ssds_steps import is_ref
from ssds.recipe.steps import SourceRequest
from ssds.store.store import Store

DIGEST = "sha256:ec434e0ef6e5640eccbc780e65a052682328488be34641942699605b1dc6b8c3"
"""The archive of what ``make_repository`` makes: another digest is another form, which makes every
such pin stale (``form`` in ``git_request``)."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repositories" / "tool.git")


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    folder = tmp_path / "repositories"
    return Mirrors(url_prefixes={"https://git.example.org/": f"file://{folder}/"})


def asked(ref: str = "v1", **more: object) -> SourceRequest:
    request = SourceRequest(name="code", git="https://git.example.org/tool.git", ref=ref)
    return replace(request, **more)  # type: ignore[arg-type]


def pinned(tmp_path: Path, mirrors: Mirrors, request: SourceRequest) -> tuple[SourcePin, Store]:
    store = Store.open(str(tmp_path / "store"))
    cache = tmp_path / "cache"
    cache.mkdir(exist_ok=True)
    return resolve_source(request, mirrors, str(cache), blobs=store.blobs), store


def bench(tmp_path: Path, store: Store, mirrors: Mirrors, pin: SourcePin) -> Bench:
    folder = tmp_path / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Bench(
        action=node(asked(), pin).resolve({}, ""),
        store=store,
        sandbox=None,
        mirrors=mirrors,
        folder=str(folder),
        workspace=str(tmp_path),
        say=lambda _: None,
        log=lambda _: None,
    )


def test_a_tag_is_pinned_to_commit_tree_and_archive(tmp_path, repository, mirrors):
    pin, store = pinned(tmp_path, mirrors, asked())
    assert pin.git is not None
    assert pin.git.commit == git(repository, "rev-parse", "v1^{commit}")
    assert pin.git.tree == git(repository, "rev-parse", "v1^{tree}")
    assert pin.epoch == 1714979289  # the committer's date
    assert pin.file.name == "tool-v1.tar"
    assert pin.file.urls == ("https://git.example.org/tool.git",)
    assert store.blobs.size(pin.file.digest) == pin.file.size_bytes


def test_the_archive_holds_the_tree_as_it_is_and_nothing_of_git(tmp_path, repository, mirrors):
    pin, store = pinned(tmp_path, mirrors, asked())
    target = tmp_path / "unpacked"
    unpack_archive(store.blobs.path(pin.file.digest), str(target), name=pin.file.name)
    found = sorted(p.relative_to(target).as_posix() for p in target.rglob("*"))
    assert found == [
        ".gitattributes", "README", "src", "src/deep", "src/deep/é.txt", "src/link", "src/run.sh",
    ]  # fmt: skip
    assert os.access(target / "src/run.sh", os.X_OK)
    assert (target / "src/link").read_text() == "text\n"
    with tarfile.open(store.blobs.path(pin.file.digest)) as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in archive} == {(315619200, 0, 0, "")}


def test_the_same_tree_is_the_same_archive_from_any_repository_and_server(tmp_path, mirrors):
    one = make_repository(tmp_path / "repositories" / "tool.git")
    pin, _ = pinned(tmp_path, mirrors, asked())
    other = tmp_path / "elsewhere" / "other.git"
    git(tmp_path, "clone", "-q", "--bare", str(one), str(other))
    git(other, "gc", "-q")
    with git_server(tmp_path / "elsewhere") as address:
        request = asked("main", git=f"{address}/other.git")
        again, _ = pinned(tmp_path, Mirrors(), request)
    assert again.file.digest == pin.file.digest
    assert str(pin.file.digest) == DIGEST


def test_a_new_commit_with_the_same_files_changes_nothing(tmp_path, repository, mirrors):
    before, _ = pinned(tmp_path, mirrors, asked("main"))
    git(repository, "commit", "-q", "--allow-empty", "-m", "talk")
    after, _ = pinned(tmp_path, mirrors, asked("main"))
    assert after.git != before.git
    assert node(asked("main"), after).slice == node(asked("main"), before).slice


def test_a_branch_moves_and_a_commit_stays(tmp_path, repository, mirrors):
    first = git(repository, "rev-parse", "HEAD")
    second = commit(repository)
    with git_server(tmp_path / "repositories") as address:
        where = f"{address}/tool.git"
        branch, _ = pinned(tmp_path, mirrors, asked("main", git=where))
        slashed, _ = pinned(tmp_path, mirrors, asked("side/way", git=where))
        fixed, _ = pinned(tmp_path, mirrors, asked(first, git=where))
    assert branch.git is not None
    assert branch.git.commit == second
    assert slashed.file.name == "tool-side-way.tar"
    assert fixed.git is not None
    assert fixed.git.commit == first


def test_a_folder_is_taken_alone(tmp_path, repository, mirrors):
    pin, store = pinned(tmp_path, mirrors, asked(folder="src/deep"))
    with tarfile.open(store.blobs.path(pin.file.digest)) as archive:
        assert archive.getnames() == ["é.txt"]
    with pytest.raises(UnavailableError, match="no folder 'sr'"):
        pinned(tmp_path, mirrors, asked(folder="sr"))


def test_a_lock_gives_the_same_bytes_again_from_the_commit(tmp_path, repository, mirrors):
    pin, _ = pinned(tmp_path, mirrors, asked("main"))
    commit(repository)
    empty = Store.open(str(tmp_path / "empty"))
    outcome = run(bench(tmp_path, empty, mirrors, pin))
    assert outcome.outputs == {"file": pin.file.digest}
    assert empty.blobs.has(pin.file.digest)


def test_what_is_in_the_store_needs_no_repository(tmp_path, repository, mirrors):
    pin, store = pinned(tmp_path, mirrors, asked())
    shutil.rmtree(repository)
    assert run(bench(tmp_path, store, mirrors, pin)).outputs == {"file": pin.file.digest}


def test_a_commit_that_left_its_repository_is_named(tmp_path, repository, mirrors):
    pin, _ = pinned(tmp_path, mirrors, asked())
    shutil.rmtree(repository)
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    commit(repository)
    folder = tmp_path / "work"
    folder.mkdir()
    assert pin.git is not None
    served = git_server(tmp_path / "repositories")
    with served as address, pytest.raises(UnavailableError) as caught:
        GitFetch(str(folder), Mirrors()).fetch(f"{address}/tool.git", pin.git.commit)
    assert caught.value.code == "F053"
    assert pin.git.commit in caught.value.message


@pytest.mark.parametrize(("field", "code"), [("tree", "F044"), ("folder", "F044")])
def test_other_bytes_than_the_locked_ones_are_never_accepted(
    tmp_path, repository, mirrors, field, code
):
    pin, _ = pinned(tmp_path, mirrors, asked())
    other = {"tree": "2" * 40, "folder": "src"}[field]
    assert pin.git is not None
    wrong = replace(pin, git=replace(pin.git, **{field: other}))
    store = Store.open(str(tmp_path / "empty"))
    with pytest.raises(IntegrityError) as caught:
        run(bench(tmp_path, store, mirrors, wrong))
    assert caught.value.code == code
    assert not store.blobs.has(pin.file.digest)


def test_an_unknown_ref_says_what_is_near(tmp_path, repository, mirrors):
    with pytest.raises(UnavailableError) as caught:
        pinned(tmp_path, mirrors, asked("v1.0"))
    assert caught.value.code == "F057"
    assert "Did you mean v1?" in caught.value.hint


def test_submodules_are_an_error_that_says_what_to_do(tmp_path, repository, mirrors):
    git(repository, "submodule", "add", "-q", str(repository), "third/party")
    git(repository, "commit", "-q", "-m", "sub")
    with pytest.raises(IntegrityError, match="third/party") as caught:
        pinned(tmp_path, mirrors, asked("main"))
    assert "submodules: empty" in caught.value.hint
    pin, store = pinned(tmp_path, mirrors, asked("main", empty_submodules=True))
    with tarfile.open(store.blobs.path(pin.file.digest)) as archive:
        assert archive.getmember("third/party").isdir()


HOSTILE = {
    "git folder": "040000 tree {tree}\t.git\n",
    "git folder in capitals": "040000 tree {tree}\t.GIT\n",
    "upwards": "040000 tree {tree}\t..\n",
    "backslash": "100644 blob {blob}\ta\\b\n",
    "control character": "100644 blob {blob}\ta\x1bb\n",
    "twice": "100644 blob {blob}\ta\n040000 tree {tree}\ta\n",
    "link out": "120000 blob {out}\ta\n",
    "absolute link": "120000 blob {root}\ta\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_tree_that_could_write_elsewhere_is_refused(tmp_path, repository, mirrors, what):
    names = {
        "tree": git(repository, "rev-parse", "v1^{tree}"),
        "blob": git(repository, "hash-object", "-w", "--stdin", stdin=b"text"),
        "out": git(repository, "hash-object", "-w", "--stdin", stdin=b"../../etc/passwd"),
        "root": git(repository, "hash-object", "-w", "--stdin", stdin=b"/etc/passwd"),
    }
    commit_tree(repository, HOSTILE[what].format(**names))
    with pytest.raises(IntegrityError) as caught:
        pinned(tmp_path, mirrors, asked("odd"))
    assert caught.value.code == "F041"


def test_a_bomb_of_names_is_stopped(tmp_path, repository, mirrors):
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=b"x")
    listing = "".join(f"100644 blob {blob}\tf{i}\n" for i in range(10))
    tree = git(repository, "mktree", stdin=listing.encode())
    for _ in range(7):  # 10 ** 8 names in 8 small trees
        listing = "".join(f"040000 tree {tree}\td{i}\n" for i in range(10))
        tree = git(repository, "mktree", stdin=listing.encode())
    git(repository, "update-ref", "refs/heads/odd", git(repository, "commit-tree", "-m", "b", tree))
    folder = tmp_path / "work"
    folder.mkdir()
    fetched = GitFetch(str(folder), mirrors, GitLimits(listing_bytes=1024 * 1024))
    url = "https://git.example.org/tool.git"
    place = GitPlace(commit=fetched.find(url, "odd"))
    fetched.fetch(url, place.commit)
    with pytest.raises(IntegrityError, match="more than 1 MiB"):
        write_archive(fetched, url, place, str(tmp_path / "archive"))


def test_a_repository_larger_than_the_limit_is_refused(tmp_path, repository, mirrors):
    (repository / "large").write_bytes(os.urandom(3 * 1024 * 1024))
    made = commit(repository)
    folder = tmp_path / "work"
    folder.mkdir()
    small = GitFetch(str(folder), mirrors, GitLimits(pack_bytes=1024 * 1024))
    with pytest.raises(UnavailableError, match="at most 1 MiB are taken"):
        small.fetch("https://git.example.org/tool.git", made)


@pytest.mark.parametrize(
    "address",
    [
        "ext::sh -c touch% {marker}",
        "--upload-pack=touch {marker}",
        "ssh://-oProxyCommand=touch%20{marker}/x",
        "git@example.org:x/y",
        "fd::17",
        "file:///etc",
    ],
)
def test_an_address_runs_nothing_and_reads_no_file_of_this_machine(tmp_path, address):
    marker = tmp_path / "marker"
    request = asked(git=address.format(marker=marker))
    with pytest.raises(SsdsError):
        pinned(tmp_path, Mirrors(), request)
    assert not marker.exists()


@pytest.mark.parametrize(
    "ref",
    ["--upload-pack=x", "-v1", "a..b", "a b", "a:b", "a^{}", "a~1", "a@{1}", "+a", "a.lock",
     "/a", "a//b", ".a", "a/.b", "a*", "a\n", "", "a.", "a/"],
)  # fmt: skip
def test_a_ref_in_another_form_is_no_ref(ref):
    assert not is_ref(ref)


@pytest.mark.parametrize("ref", ["v1", "release/2.0", "1.0.20261016", "a+b", "@x"[1:], "f" * 40])
def test_usual_refs_are_refs(ref):
    assert is_ref(ref)


def test_a_hook_of_the_repository_never_runs(tmp_path, repository, mirrors):
    marker = tmp_path / "marker"
    for name in ("post-checkout", "pre-upload", "reference-transaction", "post-update"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.chmod(0o755)
    git(repository, "config", "uploadpack.packObjectsHook", f"touch {marker};")
    pinned(tmp_path, mirrors, asked())
    assert not marker.exists()


def test_the_users_configuration_is_not_read(tmp_path, repository, mirrors, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text('[url "ext::false "]\n\tinsteadOf = file://\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    pinned(tmp_path, mirrors, asked())


def test_the_request_of_a_full_commit_names_no_address():
    one = source_request(asked("a" * 40))
    assert one == source_request(asked("a" * 40, git="https://other.example.org/tool"))
    assert one != source_request(asked("a" * 40, folder="src"))
    assert source_request(asked()) != source_request(asked(git="https://other.example.org/tool"))
