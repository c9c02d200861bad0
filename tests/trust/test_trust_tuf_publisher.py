"""Who publishes signs only what a key of the repository said before, and mends what was damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf_makers import FIRST, NOW, SECOND, SITE_FILE, Kit, fetch, in_past, state

from ssds.core.errors import IntegrityError, Refused, SsdsError
from ssds.tuf.publish import publish


def _forged(kit: Kit, source: str, name: str, **changes: object) -> None:
    document = json.loads((kit.folder / source).read_bytes())
    document["signed"].update(changes)
    (kit.folder / name).write_text(json.dumps(document))


def timestamp_driven_up(kit: Kit) -> None:
    _forged(kit, "timestamp.json", "timestamp.json", version=2**62)


def snapshot_with_a_sites_version(kit: Kit) -> None:
    document = json.loads((kit.folder / "1.snapshot.json").read_bytes())
    document["signed"]["meta"]["site-uq.json"]["version"] = 7
    _forged(kit, "1.snapshot.json", "98.snapshot.json", version=98, meta=document["signed"]["meta"])


def older_snapshot_under_a_newer_name(kit: Kit) -> None:
    shutil.copy(kit.folder / "1.snapshot.json", kit.folder / "98.snapshot.json")


def targets_that_nobody_signed(kit: Kit) -> None:
    _forged(kit, "2.targets.json", "9.targets.json", version=9)


def site_file_that_nobody_signed(kit: Kit) -> None:
    _forged(kit, "1.site-uq.json", "2.site-uq.json", version=2, targets={})


def targets_taken_away(kit: Kit) -> None:
    (kit.folder / "2.targets.json").unlink()


def snapshot_taken_away(kit: Kit) -> None:
    (kit.folder / "1.snapshot.json").unlink()


@pytest.mark.parametrize(
    ("change", "files", "key", "site", "code"),
    [
        (timestamp_driven_up, None, "ci", "", "X052"),
        (snapshot_with_a_sites_version, None, "ci", "", "X052"),
        (older_snapshot_under_a_newer_name, None, "ci", "", "X051"),
        (targets_that_nobody_signed, SECOND, "lab", "", "X052"),
        (site_file_that_nobody_signed, {SITE_FILE: b"x"}, "uq", "uq", "X052"),
        (targets_taken_away, None, "ci", "", "X079"),
        (snapshot_taken_away, None, "ci", "", "X079"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_put_into_the_folder_or_taken_from_it_is_named_and_not_signed(
    kit: Kit,
    change: Callable[[Kit], None],
    files: dict[str, bytes] | None,
    key: str,
    site: str,
    code: str,
) -> None:
    change(kit)
    before = {path.name: path.read_bytes() for path in kit.folder.glob("*.json")}
    with pytest.raises(IntegrityError) as caught:
        kit.publish(files, key, site=site)
    assert caught.value.code == code
    assert {path.name: path.read_bytes() for path in kit.folder.glob("*.json")} == before


def test_a_site_never_signs_a_delegation_that_its_file_did_not_have(kit: Kit) -> None:
    def give_away(signed) -> None:
        targets = json.loads((kit.folder / "2.targets.json").read_bytes())["signed"]
        signed.version = 2
        signed.delegations = type(signed).from_dict(targets).delegations

    shutil.copy(kit.folder / "1.site-uq.json", kit.folder / "2.site-uq.json")
    kit.rewrite("2.site-uq.json", "uq", give_away)
    kit.publish({SITE_FILE: b"x"}, "uq", site="uq")
    assert "delegations" not in json.loads((kit.folder / "3.site-uq.json").read_bytes())["signed"]


def test_a_damaged_site_file_does_not_stop_the_daily_renewal(kit: Kit, tmp_path: Path) -> None:
    site_file_that_nobody_signed(kit)
    done = publish(str(kit.folder), None, kit.signers("ci"), NOW)
    assert "site-uq stays as it was" in done.notes[0]
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert state(tmp_path / "site")[SITE_FILE] == b"modules: lmod\n"


def test_a_target_that_was_damaged_is_mended_by_publishing_the_same(
    kit: Kit, tmp_path: Path
) -> None:
    place = next((kit.folder / "targets").glob("*.ssds.yaml"))
    place.write_bytes(b"x" * place.stat().st_size)
    kit.publish(FIRST, "lab", "ci")
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert state(tmp_path / "site")["ssds.yaml"] == FIRST["ssds.yaml"]


def test_what_ends_soon_is_told_and_what_ended_is_not_called_fresh(tmp_path: Path) -> None:
    kit = Kit(tmp_path / "pub")
    kit.root()
    kit.delegate("uq", "uq")
    kit.publish(FIRST, "lab")
    kit.publish({SITE_FILE: b"x"}, "uq", site="uq", now=in_past(181))

    def renew(days: int) -> tuple[str, ...]:
        return publish(str(kit.folder), None, kit.signers("ci"), NOW + timedelta(days=days)).notes

    assert [note.split()[:2] for note in renew(0)] == [["site-uq", "ended"]]
    assert [note.split()[:2] for note in renew(170)] == [
        ["targets", "ends"],
        ["site-uq", "ended"],
    ]
    before = sorted(os.listdir(kit.folder))
    with pytest.raises(Refused) as caught:
        renew(200)
    assert caught.value.code == "X081"
    assert sorted(os.listdir(kit.folder)) == before


def test_a_staged_root_that_was_left_over_replaces_no_published_one(kit: Kit) -> None:
    kit.stage()
    left = (kit.folder / "staged.root.json").read_bytes()
    kit.root(targets=(kit.keys["stranger"].public,))
    published = (kit.folder / "2.root.json").read_bytes()
    (kit.folder / "staged.root.json").write_bytes(left)
    for name in ("anna", "ben"):
        with pytest.raises(SsdsError) as caught:
            kit.sign(name)
        assert caught.value.code == "X056"
    assert (kit.folder / "2.root.json").read_bytes() == published


def test_a_program_of_the_catalog_is_one_at_the_site(kit: Kit, tmp_path: Path) -> None:
    files = {**FIRST, "catalog/bwa/run.sh": b"#!/bin/sh\n"}
    site = tmp_path / "site"
    for programs, mode in (((), 0o644), (("catalog/bwa/run.sh",), 0o755)):
        publish(str(kit.folder), files, kit.signers("lab", "ci"), NOW, programs=programs)
        assert fetch(kit.folder, site, kit.first_root).changed
        assert (site / "current/catalog/bwa/run.sh").stat().st_mode & 0o777 == mode
