"""A TUF repository: who may sign, what a site gets, and that other clients read the same."""

from __future__ import annotations

import os
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from trust_makers import TRIXIE, new_signer
from tuf.ngclient import Updater
from tuf_makers import FIRST, NOW, SECOND, SITE_FILE, Kit, fetch, in_past, new_kit, state

from ssds.core.errors import EnvironmentProblem, IntegrityError, Refused, SsdsError, UsageError
from ssds.host.fetch import Fetcher
from ssds.trust.keys import ECDSA
from ssds.tuf.gather import files_below
from ssds.tuf.roles import Keepers, delegate, sign_root, stage_root, waiting_root
from ssds.tuf.transport import transport


class _Silent(SimpleHTTPRequestHandler):
    missing = 404

    def log_message(self, *_: object) -> None:
        pass

    def send_error(self, code: int, *rest: object) -> None:
        super().send_error(self.missing if code == 404 else code, *rest)


@pytest.fixture
def served(kit: Kit):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(kit.folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_site_gets_the_catalogs_files_and_the_sites_own(kit: Kit, tmp_path: Path) -> None:
    done = fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert state(tmp_path / "site") == {**FIRST, SITE_FILE: b"modules: lmod\n"}
    assert sorted(done.changed) == sorted([*FIRST, SITE_FILE])
    assert not fetch(kit.folder, tmp_path / "site").changed


def test_a_newer_state_comes_whole_and_the_one_before_stays_readable(
    kit: Kit, tmp_path: Path
) -> None:
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    before = os.path.realpath(tmp_path / "site/current")
    kit.publish(SECOND, "lab", "ci")
    assert fetch(kit.folder, tmp_path / "site").changed == ("lockfiles/bwa@0.7.17.lock.json",)
    assert state(tmp_path / "site")["lockfiles/bwa@0.7.17.lock.json"] == b'{"revision": 2}\n'
    assert Path(before, "lockfiles/bwa@0.7.17.lock.json").read_bytes() == b'{"revision": 1}\n'
    kit.publish({"ssds.yaml": b"{}\n"}, "lab", "ci")
    fetch(kit.folder, tmp_path / "site")
    assert not os.path.exists(before)
    assert set(state(tmp_path / "site")) == {"ssds.yaml", SITE_FILE}


def test_what_somebody_changed_in_the_current_state_is_mended(kit: Kit, tmp_path: Path) -> None:
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    (tmp_path / "site/current/ssds.yaml").write_text("sandbox: trusted\n")
    assert fetch(kit.folder, tmp_path / "site").changed == ("ssds.yaml",)
    assert state(tmp_path / "site")["ssds.yaml"] == b"{}\n"


def test_targets_count_only_when_the_online_key_has_signed(kit: Kit, tmp_path: Path) -> None:
    assert kit.publish(SECOND, "lab") == ("3.targets.json",)
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert state(tmp_path / "site")["lockfiles/bwa@0.7.17.lock.json"] == b'{"revision": 1}\n'
    kit.publish(None, "ci")
    fetch(kit.folder, tmp_path / "site")
    assert state(tmp_path / "site")["lockfiles/bwa@0.7.17.lock.json"] == b'{"revision": 2}\n'


def test_what_is_the_same_is_signed_once_and_only_its_freshness_anew(kit: Kit) -> None:
    assert kit.publish(FIRST, "lab", "ci") == ("timestamp.json",)
    assert kit.publish(FIRST, "lab") == ()


def test_of_the_sites_one_takes_only_its_own(kit: Kit, tmp_path: Path) -> None:
    kit.delegate("tum", "stranger", "catalog/sites/tum.yaml")
    kit.publish({"catalog/sites/tum.yaml": b"x"}, "stranger", site="tum")
    kit.publish(None, "ci")
    fetch(kit.folder, tmp_path / "site", kit.first_root, site="tum")
    assert set(state(tmp_path / "site")) == {*FIRST, "catalog/sites/tum.yaml"}
    with pytest.raises(UsageError) as caught:
        fetch(kit.folder, tmp_path / "site", site="none")
    assert caught.value.code == "X065"


def test_a_site_that_has_not_published_yet_is_named(kit: Kit, tmp_path: Path) -> None:
    kit.delegate("tum", "stranger", "catalog/sites/tum.yaml")
    kit.publish(None, "ci")
    assert fetch(kit.folder, tmp_path / "site", kit.first_root).unpublished == ("tum",)


def test_the_catalogs_key_cannot_publish_what_is_a_sites(kit: Kit, tmp_path: Path) -> None:
    kit.publish({**FIRST, SITE_FILE: b"modules: none\n"}, "lab", "ci")
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert state(tmp_path / "site")[SITE_FILE] == b"modules: lmod\n"


def test_a_site_cannot_publish_what_is_not_its_own(kit: Kit) -> None:
    for site, key, path, code in (
        ("uq", "uq", "ssds.yaml", "X061"),
        ("none", "uq", SITE_FILE, "X061"),
        ("uq", "lab", SITE_FILE, "X059"),
    ):
        with pytest.raises(SsdsError) as caught:
            kit.publish({path: b"other"}, key, site=site)
        assert caught.value.code == code


def test_a_key_without_a_role_publishes_nothing(kit: Kit) -> None:
    before = sorted(os.listdir(kit.folder))
    for files in (SECOND, None):
        with pytest.raises(Refused) as caught:
            kit.publish(files, "stranger")
        assert caught.value.code == "X059"
    with pytest.raises(Refused):
        kit.publish(SECOND, "ci")
    assert sorted(os.listdir(kit.folder)) == before


# -- the root --------------------------------------------------------------------------------------


def test_a_root_is_published_when_enough_keepers_signed(tmp_path: Path) -> None:
    kit = Kit(tmp_path / "pub")
    kit.stage()
    with pytest.raises(Refused) as caught:
        kit.sign("lab")
    assert caught.value.code == "X057"
    assert kit.sign("anna").missing == 1
    assert kit.sign("anna").missing == 1
    assert not (kit.folder / "1.root.json").exists()
    assert kit.sign("ben").missing == 0
    assert (kit.folder / "1.root.json").exists()
    with pytest.raises(Refused) as caught:
        kit.sign("ben")
    assert caught.value.code == "X056"


def test_every_key_can_be_changed_and_sites_follow(kit: Kit, tmp_path: Path) -> None:
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    new = {name: new_signer("ed25519", name) for name in ("carl", "dora", "lab2", "ci2")}
    kit = Kit(kit.folder, {**kit.keys, **new})
    keepers = tuple(new[name].public for name in ("carl", "dora"))
    kit.stage(root=keepers, targets=(new["lab2"].public,), online=(new["ci2"].public,))
    told = "\n".join(waiting_root(str(kit.folder)).lines)
    for name, sign in (("anna", "-"), ("carl", "+"), ("lab", "-"), ("lab2", "+")):
        assert f"  {sign} {kit.keys[name].public.id}" in told
    assert [kit.sign(n).missing for n in ("carl", "dora", "anna")] == [2, 2, 1]
    assert kit.sign("ben").version == 2
    for names in (("ci",), ("ci2",), ("lab", "ci2")):
        with pytest.raises(SsdsError):  # the new key has to say what the old one said
            kit.publish(None, *names)
    assert kit.publish(SECOND, "lab2", "ci2")[0] == "3.targets.json"
    assert fetch(kit.folder, tmp_path / "site").version == 3
    assert (
        state(tmp_path / "site") == SECOND
    )  # who had the old key may have changed the sites' keys


def test_a_root_that_was_changed_after_the_look_is_not_signed(kit: Kit) -> None:
    kit.stage()
    seen = waiting_root(str(kit.folder)).digest
    kit.stage(targets=(kit.keys["stranger"].public,))
    for expected in (seen, seen[:16], "", waiting_root(str(kit.folder)).digest[:8]):
        with pytest.raises(Refused) as caught:
            sign_root(str(kit.folder), kit.keys["anna"], expected)
        assert caught.value.code == "X082"


def test_where_old_and_new_key_overlap_the_sites_keep_their_roles(kit: Kit, tmp_path: Path) -> None:
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    kit = Kit(kit.folder, {**kit.keys, "lab2": new_signer(ECDSA, "lab2")})
    both = (kit.keys["lab"].public, kit.keys["lab2"].public)
    kit.root(targets=both)
    kit.publish(SECOND, "lab2")
    kit.root(targets=both[1:])
    kit.publish(FIRST, "lab2", "ci")
    fetch(kit.folder, tmp_path / "site")
    assert state(tmp_path / "site") == {**FIRST, SITE_FILE: b"modules: lmod\n"}


def test_after_a_stolen_online_key_sites_recover_from_its_high_versions(
    kit: Kit, tmp_path: Path
) -> None:
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    good = (kit.folder / "timestamp.json").read_bytes()
    kit.rewrite("timestamp.json", "ci", lambda signed: setattr(signed, "version", 10**9))
    fetch(kit.folder, tmp_path / "site")
    (kit.folder / "timestamp.json").write_bytes(good)
    kit = Kit(kit.folder, {**kit.keys, "ci2": new_signer("ed25519", "ci2")})
    kit.root(online=(kit.keys["ci2"].public,))
    kit.publish(SECOND, "lab", "ci2")
    assert fetch(kit.folder, tmp_path / "site").changed == ("lockfiles/bwa@0.7.17.lock.json",)


def test_a_sites_new_key_waits_for_the_site_and_holds_nobody_up(kit: Kit, tmp_path: Path) -> None:
    kit.delegate("uq", "stranger")
    kit.publish(SECOND, "lab", "ci")
    kit.delegate("tum", "ben", "catalog/sites/tum.yaml")
    kit.publish({"catalog/sites/tum.yaml": b"x"}, "ben", site="tum")
    kit.publish(None, "ci")
    fetch(kit.folder, tmp_path / "tum", kit.first_root, site="tum")
    with pytest.raises(IntegrityError) as caught:
        fetch(kit.folder, tmp_path / "uq", kit.first_root, site="uq")
    assert caught.value.code == "X072"
    kit.publish({SITE_FILE: b"new"}, "stranger", site="uq")
    kit.publish(None, "ci")
    fetch(kit.folder, tmp_path / "uq", site="uq")
    assert state(tmp_path / "uq")[SITE_FILE] == b"new"


@pytest.mark.parametrize(
    ("keepers", "code"),
    [
        (Keepers(), "X054"),
        (Keepers(root=(new_signer().public,), targets=(new_signer().public,)), "X054"),
        (
            Keepers(
                root=(new_signer().public,),
                threshold=2,
                targets=(new_signer().public,),
                online=(new_signer().public,),
            ),
            "X055",
        ),
    ],
    ids=["no key", "no online key", "threshold"],
)
def test_a_root_that_cannot_be_signed_is_not_written(
    tmp_path: Path, keepers: Keepers, code: str
) -> None:
    with pytest.raises(UsageError) as caught:
        stage_root(str(tmp_path / "pub"), keepers, NOW)
    assert caught.value.code == code
    assert not (tmp_path / "pub/staged.root.json").exists()


def test_names_that_are_no_sites_and_files_that_are_no_targets_are_refused(
    kit: Kit, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        delegate(str(kit.folder), "../uq", [], [], kit.signers("lab"), NOW)
    assert caught.value.code == "X058"
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/.hidden").touch()
    assert files_below(str(tmp_path), ["catalog", "none"]) == {}
    for name in ("a b", "\u00fc.yaml", "x" * 200):
        (tmp_path / "catalog" / name).touch()
    with pytest.raises(IntegrityError) as wrong:
        files_below(str(tmp_path), ["catalog"])
    assert wrong.value.code == "X060"
    assert wrong.value.message.count("\n") == 3


def test_no_link_is_published_wherever_it_leads_and_all_are_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the machine that publishes")
    root = tmp_path / "home"
    (root / "catalog/bwa").mkdir(parents=True)
    (root / "catalog/bwa/recipe.yaml").write_text("name: bwa\n")
    os.symlink("../../../secret", root / "catalog/bwa/notes.txt")
    os.symlink("bwa", root / "catalog/alias")
    os.symlink("nowhere", root / "catalog/broken")
    os.symlink("..", root / "lockfiles")
    os.mkfifo(root / "catalog/pipe")
    names = ["catalog", "lockfiles", "lockfiles/secret", "../secret", str(tmp_path / "secret")]
    with pytest.raises(EnvironmentProblem) as caught:
        files_below(str(root), names)
    assert caught.value.code == "X078"
    assert [line.split(": ")[0].strip() for line in caught.value.message.splitlines()[1:]] == [
        "catalog/alias",
        "catalog/broken",
        "catalog/bwa/notes.txt",
        "catalog/pipe",
        "lockfiles",
        "lockfiles",
        "../secret",
        str(tmp_path / "secret"),
    ]


def test_the_root_is_named_once_and_another_one_is_refused(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        fetch(kit.folder, tmp_path / "site")
    assert caught.value.code == "X063"
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    other = new_kit(tmp_path / "other")
    with pytest.raises(Refused) as refused:
        fetch(other.folder, tmp_path / "site", other.first_root)
    assert refused.value.code == "X064"


# -- other clients ---------------------------------------------------------------------------------


def test_the_reference_client_of_tuf_reads_it_over_http(
    kit: Kit, served: str, tmp_path: Path
) -> None:
    for name in ("memory", "targets"):
        (tmp_path / name).mkdir()
    updater = Updater(
        str(tmp_path / "memory"),
        served,
        str(tmp_path / "targets"),
        f"{served}/targets",
        bootstrap=kit.first_root,
    )
    found = updater.get_targetinfo(SITE_FILE)
    assert found is not None
    assert Path(updater.download_target(found)).read_bytes() == b"modules: lmod\n"
    assert updater.get_targetinfo("catalog/sites/tum.yaml") is None
    fetch(served, tmp_path / "site", kit.first_root)
    assert state(tmp_path / "site")[SITE_FILE] == b"modules: lmod\n"


@pytest.mark.parametrize("status", [403, 410])
def test_a_server_may_say_otherwise_that_there_is_no_newer_root_yet(
    kit: Kit, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(_Silent, "missing", status)
    assert fetch(served, tmp_path / "site", kit.first_root).files == 3
    (kit.folder / "timestamp.json").unlink()
    with pytest.raises(SsdsError) as caught:
        fetch(served, tmp_path / "site")
    assert caught.value.code == "X076"


@pytest.mark.component("cosign")
def test_cosigns_client_in_go_reads_it_too(kit: Kit, served: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            f"{TRIXIE}/cosign",
            "initialize",
            "--mirror",
            served,
            "--root",
            kit.folder / "1.root.json",
        ],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    there = tmp_path / ".sigstore/root/targets/lockfiles/bwa@0.7.17.lock.json"
    assert there.read_bytes() == FIRST["lockfiles/bwa@0.7.17.lock.json"]


def test_a_repository_that_nobody_renewed_is_told_after_two_days(tmp_path: Path) -> None:
    kit = Kit(tmp_path / "pub")
    kit.root()
    kit.publish(FIRST, "lab", "ci", now=in_past(1))
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    kit.publish(None, "ci", now=in_past(3))
    with pytest.raises(IntegrityError) as caught:
        fetch(kit.folder, tmp_path / "site")
    assert caught.value.code == "X071"


def test_the_transport_gives_a_file_in_pieces_too(kit: Kit, tmp_path: Path) -> None:
    with Fetcher(pauses_s=(), timeout_s=5) as fetcher:
        found = transport(fetcher, str(tmp_path)).fetch(str(kit.folder / "1.root.json"))
        assert b"".join(found) == kit.first_root
