"""What one who holds a mirror, or a stolen key, does to a TUF repository is told, and not taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuf_makers import FIRST, SECOND, SITE_FILE, Kit, fetch, in_past, new_kit, state

from ssds.core.errors import IntegrityError, SsdsError
from ssds.tuf.publish import publish

LOCK = "lockfiles/bwa@0.7.17.lock.json"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kit, Path, Path]:
    """A repository in its second state, a copy of the first, and a site that has the second."""
    folder = tmp_path_factory.mktemp("tuf")
    kit = new_kit(folder / "pub")
    shutil.copytree(kit.folder, folder / "first")
    kit.publish(SECOND, "lab", "ci")
    fetch(kit.folder, folder / "site", kit.first_root)
    return kit, folder / "first", folder / "site"


def target_of(kit: Kit, name: str) -> Path:
    document = json.loads((kit.folder / "3.targets.json").read_bytes())
    digest = document["signed"]["targets"][name]["hashes"]["sha256"]
    return (kit.folder / "targets" / name).with_name(f"{digest}.{Path(name).name}")


def older(kit: Kit, first: Path) -> None:
    shutil.copy(first / "timestamp.json", kit.folder)


def everything_older(kit: Kit, first: Path) -> None:
    shutil.rmtree(kit.folder)
    shutil.copytree(first, kit.folder)


def frozen(kit: Kit, first: Path) -> None:
    publish(str(kit.folder), None, kit.signers("ci"), in_past(3))


def older_snapshot_by_the_online_key(kit: Kit, first: Path) -> None:
    def change(signed) -> None:
        signed.version += 1
        signed.snapshot_meta.version = 1
        signed.snapshot_meta.hashes = signed.snapshot_meta.length = None

    kit.rewrite("timestamp.json", "ci", change)


def older_targets_by_the_online_key(kit: Kit, first: Path) -> None:
    document = json.loads((first / "1.snapshot.json").read_bytes())
    kit.rewrite(
        "2.snapshot.json",
        "ci",
        lambda signed: signed.meta.update(_meta(document, signed.meta, version=3)),
    )
    shutil.move(kit.folder / "2.snapshot.json", kit.folder / "3.snapshot.json")
    kit.rewrite("3.snapshot.json", "ci", lambda signed: setattr(signed, "version", 3))
    _point_to_snapshot(kit, 3)


def _meta(document, meta, version: int):
    meta["targets.json"].version = document["signed"]["meta"]["targets.json"]["version"]
    meta["targets.json"].hashes = meta["targets.json"].length = None
    return meta


def _point_to_snapshot(kit: Kit, version: int) -> None:
    def change(signed) -> None:
        signed.version += 1
        signed.snapshot_meta.version = version
        signed.snapshot_meta.hashes = signed.snapshot_meta.length = None

    kit.rewrite("timestamp.json", "ci", change)


def site_taken_out_by_the_online_key(kit: Kit, first: Path) -> None:
    def change(signed) -> None:
        signed.version = 3
        del signed.meta["site-uq.json"]

    shutil.copy(kit.folder / "2.snapshot.json", kit.folder / "3.snapshot.json")
    kit.rewrite("3.snapshot.json", "ci", change)
    _point_to_snapshot(kit, 3)


def snapshot_of_another_state(kit: Kit, first: Path) -> None:
    shutil.copy(first / "1.snapshot.json", kit.folder / "2.snapshot.json")


def targets_of_another_state(kit: Kit, first: Path) -> None:
    shutil.copy(first / "2.targets.json", kit.folder / "3.targets.json")


def file_of_another_state(kit: Kit, first: Path) -> None:
    target_of(kit, LOCK).write_bytes(FIRST[LOCK])


def one_bit(kit: Kit, first: Path) -> None:
    place = target_of(kit, LOCK)
    data = bytearray(place.read_bytes())
    data[3] ^= 1
    place.write_bytes(data)


def one_file_cut(kit: Kit, first: Path) -> None:
    target_of(kit, LOCK).write_bytes(b"{")


def endless_file(kit: Kit, first: Path) -> None:
    target_of(kit, LOCK).write_bytes(SECOND[LOCK] + b" " * 100_000)


def endless_timestamp(kit: Kit, first: Path) -> None:
    (kit.folder / "timestamp.json").write_bytes(b" " * 100_000)


def endless_root(kit: Kit, first: Path) -> None:
    (kit.folder / "2.root.json").write_bytes(b" " * 1_000_000)


def other_key(kit: Kit, first: Path) -> None:
    kit.rewrite("timestamp.json", "stranger", lambda signed: setattr(signed, "version", 99))


def targets_by_the_online_key(kit: Kit, first: Path) -> None:
    kit.rewrite("3.targets.json", "ci", lambda signed: setattr(signed, "version", 4))
    shutil.move(kit.folder / "3.targets.json", kit.folder / "4.targets.json")
    shutil.copy(kit.folder / "2.snapshot.json", kit.folder / "3.snapshot.json")

    def change(signed) -> None:
        signed.version = 3
        signed.meta["targets.json"].version = 4
        signed.meta["targets.json"].hashes = signed.meta["targets.json"].length = None

    kit.rewrite("3.snapshot.json", "ci", change)
    _point_to_snapshot(kit, 3)


def no_signature(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d.update(signatures=[]))


def damaged_signature(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d["signatures"][0].update(sig="00" * 64))


def signature_twice(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d["signatures"].append(d["signatures"][0]))


def version_without_a_key(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d["signed"].update(version=99))


def root_of_one_keeper(kit: Kit, first: Path) -> None:
    kit.stage(targets=(kit.keys["stranger"].public,))
    shutil.move(kit.folder / "staged.root.json", kit.folder / "2.root.json")
    kit.rewrite("2.root.json", "anna", lambda signed: None)


def root_by_its_own_new_keys(kit: Kit, first: Path) -> None:
    kit.stage(root=(kit.keys["stranger"].public,), threshold=1)
    shutil.move(kit.folder / "staged.root.json", kit.folder / "2.root.json")
    kit.rewrite("2.root.json", "stranger", lambda signed: None)


def root_that_leaves_one_out(kit: Kit, first: Path) -> None:
    kit.root()
    kit.root()
    shutil.move(kit.folder / "3.root.json", kit.folder / "2.root.json")


def no_json(kit: Kit, first: Path) -> None:
    (kit.folder / "timestamp.json").write_bytes(b"<html>sign in to the network</html>")


def not_utf8(kit: Kit, first: Path) -> None:
    (kit.folder / "timestamp.json").write_bytes(b"\xff\xfe\x00")


def deep_json(kit: Kit, first: Path) -> None:
    (kit.folder / "timestamp.json").write_bytes(b"[" * 16_000)


def another_role(kit: Kit, first: Path) -> None:
    shutil.copy(kit.folder / "2.snapshot.json", kit.folder / "timestamp.json")


def another_specification(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d["signed"].update(spec_version="9.0.0"))


def negative_version(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d["signed"].update(version=-1))


def no_expiry(kit: Kit, first: Path) -> None:
    kit.edit("timestamp.json", lambda d: d["signed"].pop("expires"))


def snapshot_gone(kit: Kit, first: Path) -> None:
    (kit.folder / "2.snapshot.json").unlink()


def file_gone(kit: Kit, first: Path) -> None:
    target_of(kit, LOCK).unlink()


def nothing_there(kit: Kit, first: Path) -> None:
    shutil.rmtree(kit.folder)


def site_signs_the_catalogs_file(kit: Kit, first: Path) -> None:
    _site_says(kit, "uq", {SITE_FILE: b"x", LOCK: b"mine"})


def site_signed_by_another(kit: Kit, first: Path) -> None:
    _site_says(kit, "stranger", {SITE_FILE: b"x"})


def _site_says(kit: Kit, key: str, files: dict[str, bytes]) -> None:
    """Writes a site's next version as its keeper could without ssds."""
    from tuf.api.metadata import TargetFile

    def change(signed) -> None:
        signed.version = 2
        signed.targets = {p: TargetFile.from_data(p, d, ["sha256"]) for p, d in files.items()}

    shutil.copy(kit.folder / "1.site-uq.json", kit.folder / "2.site-uq.json")
    kit.rewrite("2.site-uq.json", key, change)
    shutil.copy(kit.folder / "2.snapshot.json", kit.folder / "3.snapshot.json")

    def meta(signed) -> None:
        signed.version = 3
        signed.meta["site-uq.json"].version = 2
        signed.meta["site-uq.json"].hashes = signed.meta["site-uq.json"].length = None

    kit.rewrite("3.snapshot.json", "ci", meta)
    _point_to_snapshot(kit, 3)


def path_that_leads_out(kit: Kit, first: Path) -> None:
    kit.publish({**SECOND, "../../evil": b"x"}, "lab", "ci")


def path_from_the_root(kit: Kit, first: Path) -> None:
    kit.publish({**SECOND, "/etc/cron.d/evil": b"x"}, "lab", "ci")


def hidden_path(kit: Kit, first: Path) -> None:
    kit.publish({**SECOND, ".ssds/settings": b"x"}, "lab", "ci")


CASES: list[tuple[Callable[[Kit, Path], None], str]] = [
    (older, "X070"),
    (everything_older, "X070"),
    (older_snapshot_by_the_online_key, "X070"),
    (older_targets_by_the_online_key, "X070"),
    (root_that_leaves_one_out, "X070"),
    (frozen, "X071"),
    (other_key, "X072"),
    (targets_by_the_online_key, "X072"),
    (no_signature, "X072"),
    (damaged_signature, "X072"),
    (version_without_a_key, "X072"),
    (root_of_one_keeper, "X072"),
    (root_by_its_own_new_keys, "X072"),
    (site_signed_by_another, "X072"),
    (snapshot_of_another_state, "X073"),
    (targets_of_another_state, "X073"),
    (file_of_another_state, "X073"),
    (one_bit, "X073"),
    (one_file_cut, "X073"),
    (endless_file, "X074"),
    (endless_timestamp, "X074"),
    (endless_root, "X074"),
    (signature_twice, "X075"),
    (site_taken_out_by_the_online_key, "X075"),
    (no_json, "X075"),
    (not_utf8, "X075"),
    (deep_json, "X075"),
    (another_role, "X075"),
    (another_specification, "X075"),
    (negative_version, "X075"),
    (no_expiry, "X075"),
    (snapshot_gone, "X076"),
    (file_gone, "X076"),
    (nothing_there, "X076"),
    (site_signs_the_catalogs_file, "X067"),
    (path_that_leads_out, "X060"),
    (path_from_the_root, "X060"),
    (hidden_path, "X060"),
]


@pytest.mark.parametrize(("attack", "code"), CASES, ids=[a.__name__ for a, _ in CASES])
def test_an_attack_is_told_and_the_state_before_stays(
    honest: tuple[Kit, Path, Path], tmp_path: Path, attack: Callable[[Kit, Path], None], code: str
) -> None:
    made, first, site = honest
    shutil.copytree(made.folder, tmp_path / "mirror")
    shutil.copytree(site, tmp_path / "site", symlinks=True)
    kit = Kit(tmp_path / "mirror", made.keys)
    if code in ("X073", "X074", "X076"):  # what a site has already it does not ask for
        shutil.rmtree(tmp_path / "site")
        fetch(first, tmp_path / "site", kit.first_root)
    before = state(tmp_path / "site")
    attack(kit, first)
    with pytest.raises(SsdsError) as caught:
        fetch(kit.folder, tmp_path / "site", site="uq" if attack is site_signed_by_another else "")
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    assert state(tmp_path / "site") == before
    assert not list((tmp_path / "site/trees").glob(".ssds-tmp-*"))


def test_after_the_attack_an_honest_mirror_is_taken_again(
    honest: tuple[Kit, Path, Path], tmp_path: Path
) -> None:
    made, first, _ = honest
    shutil.copytree(made.folder, tmp_path / "mirror")
    fetch(first, tmp_path / "site", made.first_root)
    one_bit(Kit(tmp_path / "mirror", made.keys), first)
    with pytest.raises(SsdsError):
        fetch(tmp_path / "mirror", tmp_path / "site")
    assert fetch(made.folder, tmp_path / "site").changed == (LOCK,)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return new_kit(tmp_path / "pub")


def version_of(name: str, number: int) -> Callable[[Kit], None]:
    return lambda kit: kit.edit(name, lambda found: found["signed"].update(version=number))


def copied(name: str, to: str, change: Callable[[Any], object]) -> Callable[[Kit], None]:
    def attack(kit: Kit) -> None:
        (kit.folder / to).write_bytes((kit.folder / name).read_bytes())
        kit.edit(to, change)

    return attack


def without_roles(found: Any) -> None:
    found["signed"]["version"] = 9
    del found["signed"]["delegations"]


FOLDER_CASES = [
    (version_of("timestamp.json", 2**62), "timestamp.json"),
    (copied("1.snapshot.json", "98.snapshot.json", lambda f: f["signed"].update(version=98)),
     "98.snapshot.json"),
    (copied("2.targets.json", "9.targets.json", without_roles), "9.targets.json"),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "name"), FOLDER_CASES, ids=[n for _, n in FOLDER_CASES])
def test_what_somebody_without_a_key_put_into_the_folder_is_not_built_on(
    kit: Kit, attack: Callable[[Kit], None], name: str
) -> None:
    attack(kit)
    before = sorted(path.name for path in kit.folder.iterdir())
    with pytest.raises(IntegrityError, match=name) as caught:
        kit.publish(SECOND, "lab", "ci")
    assert caught.value.code == "X052"
    made = {path.name for path in kit.folder.iterdir()} - set(before)
    assert not any("timestamp" in one or "snapshot" in one for one in made)
