"""What a site keeps through refreshes, and what one bad file, name or keeper cannot do to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tuf_makers import FIRST, SECOND, SITE_FILE, Kit, fetch, in_past, state

from ssds.core.errors import IntegrityError, SsdsError, UsageError
from ssds.tuf import client
from ssds.workspace import Workspace

THIRD = {**FIRST, "catalog/bwa/recipe.yaml": b"name: bwa\n"}


def test_what_ssds_keeps_for_the_workspace_outlives_every_tree(kit: Kit, tmp_path: Path) -> None:
    site = tmp_path / "site"
    fetch(kit.folder, site, kit.first_root)
    (site / "current/.ssds/observed").mkdir()
    (site / "current/.ssds/observed/tree.json").write_text("{}")
    for files in (SECOND, THIRD, FIRST):
        kit.publish(files, "lab", "ci")
        assert fetch(kit.folder, site).changed
    assert (site / "current/.ssds/observed/tree.json").read_text() == "{}"
    assert not fetch(kit.folder, site).changed


def test_a_command_at_work_reads_one_state_while_current_is_switched(
    kit: Kit, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    fetch(kit.folder, site, kit.first_root)
    at_work = Workspace.open(str(site / "current"))
    kit.publish(SECOND, "lab", "ci")
    fetch(kit.folder, site)
    lock = Path(at_work.root, "lockfiles/bwa@0.7.17.lock.json")
    assert lock.read_bytes() == FIRST["lockfiles/bwa@0.7.17.lock.json"]
    assert os.path.realpath(at_work.state_folder) == str(site / ".ssds")


def test_a_state_folder_that_leads_out_of_another_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".ssds").mkdir()
    (tmp_path / "trees/home").mkdir(parents=True)
    (tmp_path / "trees/home/ssds.yaml").write_text("{}\n")
    os.symlink("../../.ssds", tmp_path / "trees/home/.ssds")
    with pytest.raises(UsageError) as caught:
        Workspace.open(str(tmp_path / "trees/home"))
    assert caught.value.code == "E035"


def test_the_tree_that_readers_have_stays_after_a_kill_before_the_switch(
    kit: Kit, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    fetch(kit.folder, site, kit.first_root)
    read = os.path.realpath(site / "current")
    shutil.copytree(read, site / "trees/2", symlinks=True)
    kit.publish(SECOND, "lab", "ci")
    fetch(kit.folder, site)
    assert sorted(os.listdir(site / "trees")) == ["1", "3"]
    assert os.path.isdir(read)


def test_a_site_that_went_away_or_has_a_new_key_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    kit = Kit(tmp_path / "pub")
    kit.root()
    kit.delegate("uq", "uq")
    kit.delegate("tum", "stranger", "catalog/sites/tum.yaml")
    kit.publish(FIRST, "lab")
    kit.publish({SITE_FILE: b"x"}, "uq", site="uq", now=in_past(181))
    kit.publish({"catalog/sites/tum.yaml": b"x"}, "stranger", site="tum")
    kit.publish(None, "ci")
    kit.delegate("tum", "ben", "catalog/sites/tum.yaml")
    kit.publish(None, "ci")
    done = fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert sorted(done.left_out) == ["tum", "uq"]
    assert set(state(tmp_path / "site")) == set(FIRST)
    for site, code in (("uq", "X071"), ("tum", "X072")):
        with pytest.raises(SsdsError) as caught:
            fetch(kit.folder, tmp_path / site, kit.first_root, site=site)
        assert caught.value.code == code


def test_a_length_without_measure_is_refused_before_anything_is_fetched(
    kit: Kit, tmp_path: Path
) -> None:
    def change(signed) -> None:
        signed.version = 3
        signed.targets["ssds.yaml"].length = 10**15

    shutil.copy(kit.folder / "2.targets.json", kit.folder / "3.targets.json")
    kit.rewrite("3.targets.json", "lab", change)
    kit.publish(None, "ci")
    with pytest.raises(IntegrityError) as caught:
        fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert caught.value.code == "X080"


def test_a_file_that_is_also_a_folder_is_refused_in_words(kit: Kit, tmp_path: Path) -> None:
    kit.publish({**FIRST, "a": b"x", "a/b": b"y"}, "lab", "ci")
    with pytest.raises(IntegrityError) as caught:
        fetch(kit.folder, tmp_path / "site", kit.first_root)
    assert caught.value.code == "X069"


def test_a_folder_of_any_name_is_a_place(kit: Kit, tmp_path: Path) -> None:
    for name in ("a b", "50%", "x#y?z"):
        shutil.copytree(kit.folder, tmp_path / name)
        assert fetch(tmp_path / name, tmp_path / "site", kit.first_root).files == 3


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "root_history/1.root.json"])
def test_a_memory_that_a_loss_of_power_tore_is_told_and_nothing_older_is_believed(
    kit: Kit, tmp_path: Path, name: str
) -> None:
    shutil.copytree(kit.folder, tmp_path / "older")
    kit.publish(SECOND, "lab", "ci")
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    (tmp_path / "site" / client.MEMORY / name).write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        fetch(tmp_path / "older", tmp_path / "site")
    assert caught.value.code == "X068"
    assert name in caught.value.message


def test_a_root_whose_link_a_kill_took_away_is_still_trusted(kit: Kit, tmp_path: Path) -> None:
    fetch(kit.folder, tmp_path / "site", kit.first_root)
    (tmp_path / "site" / client.MEMORY / "root.json").unlink()
    assert fetch(kit.folder, tmp_path / "site").files == 3
