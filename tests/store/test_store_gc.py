"""Leases, verify, roots and garbage collection."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from oci_makers import put_release

from ssds.core.canonical import action_key, canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import EnvironmentProblem, IntegrityError
from ssds.core.model import Claim
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.copy import platform_manifests
from ssds.oci.layout import Layout
from ssds.store import gc
from ssds.store.store import Store, check_file_system, file_system

KEY = action_key({"kind": "build"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_store_is_an_image_layout(store: Store) -> None:
    assert Layout(store.path, create=False).tags() == {}
    assert Store.open(store.path).blobs.folder == store.blobs.folder
    assert os.path.isdir(store.trees_folder)


def test_a_folder_with_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(IntegrityError, match="holds something else"):
        Store(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_of_a_newer_form_is_refused(store: Store) -> None:
    Path(store.path, "ssds-store.json").write_text('{"store_version":2}')
    with pytest.raises(EnvironmentProblem, match="newer ssds"):
        Store(store.path)
    Path(store.path, "ssds-store.json").write_text("{")
    with pytest.raises(IntegrityError):
        Store(store.path)


def test_network_file_systems_are_refused_by_name(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /home rw - nfs4 server:/home rw\n"
        "3 2 0:6 / /home/my\\040disk rw - xfs /dev/sdb rw\n"
    )
    assert file_system("/home/x/store", str(mounts)) == "nfs4"
    assert file_system("/homework", str(mounts)) == "ext4"
    assert file_system("/home/my disk/x", str(mounts)) == "xfs"
    assert file_system("/home", str(tmp_path / "none")) == ""
    check_file_system(str(tmp_path))


def test_a_network_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssds.store.store.file_system", lambda path: "nfs4")
    with pytest.raises(EnvironmentProblem, match="nfs4") as caught:
        Store(str(tmp_path / "s"))
    assert "store.path" in caught.value.hint
    assert not (tmp_path / "s").exists()


def test_a_lease_keeps_out_other_threads(store: Store) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            with store.lease(KEY) as held:
                assert held
                with guard:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.001)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    other = action_key({"kind": "test"})
    with store.lease(KEY), store.lease(other, wait=False) as free:
        assert free
        with store.lease(KEY, wait=False) as taken:
            assert not taken


def test_a_killed_holder_loses_its_lease(store: Store) -> None:
    script = (
        "import sys, time\nfrom ssds.store.store import Store\n"
        "from ssds.core.digest import ActionKey\n"
        "with Store(sys.argv[1]).lease(ActionKey(sys.argv[2])):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, store.path, KEY], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with store.lease(KEY, wait=False) as held:
        assert not held
    process.kill()
    process.wait()
    process.stdout.close()
    with store.lease(KEY, wait=False) as held:
        assert held


def test_apply_and_collection_keep_each_other_out(store: Store) -> None:
    with store.shared(), store.shared(), store.exclusive(wait=False) as held:
        assert not held
        with pytest.raises(EnvironmentProblem, match="in use"):
            gc.collect(store, {})
        assert gc.collect(store, {}, dry_run=True).removed == {}
    with store.exclusive() as held:
        assert held


# --- verify -----------------------------------------------------------------------------------


def kinds(store: Store) -> list[tuple[str, str]]:
    return [(p.kind, p.what) for p in store.verify()]


def claimed(store: Store, text: bytes) -> Digest:
    digest = store.blobs.put(text)
    value = {"kind": "build", "text": text.decode()}
    store.claims.add(
        Claim(key=action_key(value), kind="build", outputs={"o": digest}), canonical_bytes(value)
    )
    return digest


def test_verify_finds_any_damage(store: Store) -> None:
    good, bad, cut, gone = (claimed(store, t) for t in (b"good", b"bad", b"cut", b"gone"))
    assert store.verify() == []
    for digest, data in ((bad, b"bax"), (cut, b"")):
        os.chmod(store.blobs.path(digest), 0o644)
        Path(store.blobs.path(digest)).write_bytes(data)
    os.unlink(store.blobs.path(gone))
    stray = Path(store.blobs.folder, "notes.txt")
    stray.write_text("mine")
    seen: list[tuple[int, int]] = []
    found = store.verify(lambda done, total: seen.append((done, total)))
    assert {(p.kind, p.what) for p in found} == {
        ("damaged-blob", str(bad)),
        ("damaged-blob", str(cut)),
        ("missing-blob", str(gone)),
        ("stray-file", str(stray)),
    }
    assert all(p.hint for p in found)
    assert seen[-1] == (7, 7)
    assert store.blobs.read(good) == b"good"


def test_verify_finds_a_damaged_index_and_a_named_blob_that_is_gone(store: Store) -> None:
    release = put_release(store.blobs)
    store.layout.set_tags({"x": release})
    os.unlink(store.blobs.path(release.digest))
    assert kinds(store) == [("missing-blob", str(release.digest))]
    Path(store.path, "index.json").write_text("{")
    assert kinds(store) == [("damaged-index", "index.json")]


def test_a_blob_that_is_a_folder_is_told_not_raised(store: Store) -> None:
    os.makedirs(os.path.join(store.blobs.folder, "0" * 64))
    assert [p.kind for p in store.verify()] == ["unreadable-blob"]


# --- garbage collection -----------------------------------------------------------------------


def test_roots_keep_all_that_they_name_and_the_rest_goes(store: Store) -> None:
    release = put_release(store.blobs)
    kept = set(store.blobs.all())
    old = put_release(store.blobs, b"old")
    rest = set(store.blobs.all()) - kept
    roots = {release.digest: "released by probe@1.0"}
    dry = gc.collect(store, roots, keep_seconds=-1, dry_run=True)
    assert set(dry.removed) == rest
    assert set(store.blobs.all()) == kept | rest
    report = gc.collect(store, roots, keep_seconds=-1)
    assert set(store.blobs.all()) == kept
    assert set(report.kept) == kept
    assert report.removed == dry.removed
    assert report.size_bytes == sum(report.removed.values())
    assert old.digest in report.removed
    assert store.verify() == []


def test_uncompressed_layers_are_kept_by_the_config_that_names_them(store: Store) -> None:
    layer = store.blobs.put(b"a layer's tar")
    config = store.blobs.put(
        types.config_bytes(platform=Platform("linux/amd64"), diff_ids=[layer], created=0)
    )
    gc.collect(store, {config: "locked"}, keep_seconds=-1)
    assert store.blobs.has(layer)
    assert gc.why(store, {config: "locked"}, layer) == (
        f"{config}: locked",
        f"{layer}: uncompressed layer",
    )


def test_why_tells_the_chain_and_nothing_for_what_nothing_keeps(store: Store) -> None:
    release = put_release(store.blobs)
    manifest = platform_manifests(store.blobs.read(release.digest))[Platform("linux/arm64")]
    layer = types.parse_manifest(store.blobs.read(manifest.digest)).layers[1].digest
    roots = {release.digest: "released by probe@1.0"}
    assert gc.why(store, roots, layer) == (
        f"{release.digest}: released by probe@1.0",
        f"{manifest.digest}: manifest for linux/arm64",
        f"{layer}: layer",
    )
    assert gc.why(store, roots, store.blobs.put(b"loose")) == ()


def test_what_is_young_or_named_in_the_index_stays(store: Store) -> None:
    release = put_release(store.blobs)
    store.layout.set_tags({"probe:1.0": release})
    loose = store.blobs.put(b"loose")
    report = gc.collect(store, {}, keep_seconds=3600)
    assert report.removed == {}
    assert report.kept[loose] == "younger than the grace period"
    assert report.kept[release.digest] == "named probe:1.0 in the store's index.json"
    report = gc.collect(store, {}, keep_seconds=3600, now_s=time.time() + 7200)
    assert list(report.removed) == [loose]


def test_claims_outlive_their_blobs_marked_collected(store: Store) -> None:
    digest = claimed(store, b"out")
    gc.collect(store, {}, keep_seconds=-1)
    assert not store.blobs.has(digest)
    assert [c.outputs["o"] for c in store.claims.all()] == [digest]
    assert store.claims.collected() == {digest}
    assert store.verify() == []
    assert claimed(store, b"out") == digest
    assert store.claims.collected() == frozenset()
    os.unlink(store.blobs.path(digest))
    assert kinds(store) == [("missing-blob", str(digest))]


def test_workspaces_keep_what_they_registered_also_when_they_are_away(
    store: Store, tmp_path: Path
) -> None:
    mine, theirs = store.blobs.put(b"mine"), store.blobs.put(b"theirs")
    (tmp_path / "w").mkdir()
    store.register_workspace(str(tmp_path / "w"), {mine: "lock of samtools@1.16.1"})
    store.register_workspace("/example/away", {theirs: "lock of bwa@1"})
    store.register_workspace("/example/away", {theirs: "lock of bwa@1"})
    store.register_workspace("/example/away")
    assert set(store.workspaces()) == {"/example/away", str(tmp_path / "w")}
    report = gc.collect(store, {}, keep_seconds=-1)
    assert report.kept == {
        mine: f"lock of samtools@1.16.1 ({tmp_path}/w)",
        theirs: "lock of bwa@1 (/example/away)",
    }
    assert store.forget_workspace("/example/away") is True
    assert store.forget_workspace("/example/away") is False
    assert list(gc.collect(store, {}, keep_seconds=-1).removed) == [theirs]


def test_a_damaged_root_stops_the_collection_before_anything_goes(store: Store) -> None:
    release = put_release(store.blobs)
    loose = store.blobs.put(b"loose")
    os.chmod(store.blobs.path(release.digest), 0o644)
    Path(store.blobs.path(release.digest)).write_bytes(b'{"schemaVersion":2,"manifests":[]}')
    with pytest.raises(IntegrityError, match="damaged"):
        gc.collect(store, {release.digest: "released"}, keep_seconds=-1)
    odd = store.blobs.put(b'{"schemaVersion":2,"manifests":[{"x":1}]}')
    os.unlink(store.blobs.path(release.digest))
    with pytest.raises(IntegrityError):
        gc.collect(store, {odd: "released"}, keep_seconds=-1)
    assert store.blobs.has(loose)


def test_json_that_only_looks_alike_is_a_leaf(store: Store) -> None:
    for data in (b'{"manifests":3}', b"{", b'{"config":1,"layers":2}', b'{"rootfs":[]}', b"[]"):
        root = store.blobs.put(data)
        gc.collect(store, {root: "an SBOM"}, keep_seconds=-1)
        assert list(store.blobs.all()) == [root]
        store.blobs.remove(root)


def test_missing_roots_are_reported(store: Store) -> None:
    ghost = sha256_of(b"ghost")
    assert gc.collect(store, {ghost: "released"}, keep_seconds=-1).missing == (ghost,)


def test_old_lease_files_and_leftovers_go(store: Store) -> None:
    with store.lease(KEY):
        pass
    leftover = Path(store.blobs.folder, ".ssds-tmp-1-abc")
    leftover.touch()
    assert store.verify() == []
    gc.collect(store, {}, keep_seconds=-1)
    assert not leftover.exists()
    assert [
        f
        for _, _, files in os.walk(os.path.join(store.path, "locks"))
        for f in files
        if len(f) > 20
    ] == []
    with store.lease(KEY) as held:
        assert held
