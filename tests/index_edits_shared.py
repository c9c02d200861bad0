"""Named edits of locks, of what recipes share, and of settings; see ``index_edits``."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from index_bench import Bench
from index_edits import change, edit, put_in_place, same
from laws_catalogs import AMD64, dump, load

from ssds.core.digest import sha256_of
from ssds.ship.observation import Observation, write_observation

# Locks.


def lock_of(bench: Bench, name: str) -> Path:
    return bench.path(f"lockfiles/{name}.lock.json")


@edit
def a_lock_removed(bench: Bench) -> None:
    lock_of(bench, "cat12@1.0").unlink()


@edit
def a_lock_removed_and_put_back(bench: Bench) -> None:
    path = lock_of(bench, "cat12@1.0")
    value = json.loads(path.read_bytes())
    path.unlink()
    bench.check_calm()
    for variant in value["variants"].values():
        variant.pop("metadata")
    path.write_text(json.dumps(value))


@edit
def the_lock_of_what_others_build_on_loses_its_release(bench: Bench) -> None:
    path = lock_of(bench, "ants@2.0")
    value = json.loads(path.read_bytes())
    for variant in value["variants"].values():
        for section in variant["platforms"].values():
            section.pop("release", None)
    path.write_text(json.dumps(value))


@edit
def the_pins_of_what_others_build_on_change(bench: Bench) -> None:
    path = lock_of(bench, "cat12@1.0")
    value = json.loads(path.read_bytes())
    for variant in value["variants"].values():
        for section in variant["platforms"].values():
            section["pins"]["epoch"] = 1_600_000_000
    put_in_place(path, json.dumps(value).encode())


@same
def a_lock_in_another_layout(bench: Bench) -> None:
    path = lock_of(bench, "ants@1.0")
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=5))


@edit
def a_broken_lock(bench: Bench) -> None:
    lock_of(bench, "ants@1.0").write_text("{")


@edit
def a_lock_without_a_recipe(bench: Bench) -> None:
    text = lock_of(bench, "dcm@1.0").read_text()
    lock_of(bench, "gone@1.0").write_text(text.replace('"name": "dcm"', '"name": "gone"'))


@edit
def a_lock_of_a_version_that_the_recipe_has_not(bench: Bench) -> None:
    text = lock_of(bench, "dcm@1.0").read_text()
    lock_of(bench, "dcm@0.9").write_text(text.replace('"version": "1.0"', '"version": "0.9"'))


@edit
def a_lock_under_another_name(bench: Bench) -> None:
    os.replace(lock_of(bench, "dcm@1.0"), lock_of(bench, "dcm@1.1"))


@edit
def a_lock_becomes_a_link(bench: Bench) -> None:
    path = lock_of(bench, "dcm@1.0")
    os.replace(path, bench.path("lockfiles/real.json"))
    path.symlink_to("real.json")
    bench.check_calm()
    bench.path("lockfiles/real.json").write_text("{")


@edit
def all_locks_removed(bench: Bench) -> None:
    shutil.rmtree(bench.path("lockfiles"))


@edit
def the_shared_lock_removed(bench: Bench) -> None:
    lock_of(bench, "catalog").unlink()


@edit
def the_shared_lock_broken(bench: Bench) -> None:
    lock_of(bench, "catalog").write_text("[]")


# What recipes share.


@edit
def a_base_edited(bench: Bench) -> None:
    change(bench.path("catalog/bases.yaml"), "- zlib1g", "- zlib1g-dev")


@edit
def a_policy_edited(bench: Bench) -> None:
    path = bench.path("catalog/policies.yaml")
    value = load(path)
    value["strict"]["fail_on"] = ["unknown"]
    put_in_place(path, json.dumps(value).encode())


def _write_debts(bench: Bench) -> None:
    about = {"id": "CVE-1", "package": "dash", "until": "2031-12-31"}
    owed = {"findings": {"reason": "r", "owner": "o", "owed": [about]}}
    names = sorted(path.parent.name for path in bench.path("catalog").glob("*/recipe.yaml"))
    bench.path("catalog/debts.yaml").write_text(json.dumps({names[0]: owed}))


@same
def debts_that_no_policy_asks_for(bench: Bench) -> None:
    _write_debts(bench)


@edit
def debts_written(bench: Bench) -> None:
    path = bench.path("catalog/policies.yaml")
    value = load(path)
    for policy in value.values():
        policy["no_worse_than_released"] = True
    put_in_place(path, json.dumps(value).encode())
    _write_debts(bench)


@edit
def policies_removed(bench: Bench) -> None:
    bench.path("catalog/policies.yaml").unlink()


@edit
def another_salt(bench: Bench) -> None:
    dump(bench.path("catalog/catalog.yaml"), {"salt": "another"})


@edit
def another_salt_again(bench: Bench) -> None:
    dump(bench.path("catalog/catalog.yaml"), {"salt": "another"})
    bench.check_calm()
    bench.path("catalog/catalog.yaml").unlink()
    dump(bench.path("catalog/catalog.yaml"), {"salt": "a third"})


@edit
def channels_edited(bench: Bench) -> None:
    bench.path("catalog/channels.yaml").write_text("other: {kind: layout, location: dist}\n")


@edit
def advisories_removed(bench: Bench) -> None:
    bench.path("catalog/advisories.yaml").unlink()


@edit
def an_advisory_set_is_missing(bench: Bench) -> None:
    bench.path("catalog/advisories/set.json").unlink()


@same
def an_advisory_set_edited(bench: Bench) -> None:
    path = bench.path("catalog/advisories/set.json")
    path.write_text(path.read_text() + "\n")


@same
def a_site_edited(bench: Bench) -> None:
    dump(bench.path("catalog/sites/lab.yaml"), {"title": "Other", "platforms": [AMD64]})


@edit
def a_broken_site(bench: Bench) -> None:
    bench.path("catalog/sites/new.yaml").write_text("{")


@edit
def a_site_that_chooses_a_recipe_that_goes(bench: Bench) -> None:
    site = {"platforms": [AMD64], "include": ["dcm"]}
    dump(bench.path("catalog/sites/new.yaml"), site)
    bench.check_calm()
    shutil.rmtree(bench.path("catalog/dcm"))


@edit
def sites_become_a_link_out(bench: Bench) -> None:
    os.replace(bench.path("catalog/sites"), bench.folder / "sites")
    bench.path("catalog/sites").symlink_to(bench.folder / "sites")


# Settings and places.


@edit
def settings_broken(bench: Bench) -> None:
    bench.path("ssds.yaml").write_text("jobs: many\n")


@edit
def settings_with_fewer_platforms(bench: Bench) -> None:
    bench.path("ssds.yaml").write_text(
        "store: {path: ../store}\njobs: 1\nplatforms: [linux/arm64]\n"
    )
    change(bench.path("catalog/bwa/recipe.yaml"), "script: make", "script: make all")


@edit
def another_store_by_settings(bench: Bench) -> None:
    bench.path("ssds.yaml").write_text("store: {path: ../store2}\n")
    for path in bench.root.glob("lockfiles/*@*.json"):
        path.unlink()


@edit
def another_catalog_by_settings(bench: Bench) -> None:
    shutil.copytree(bench.path("catalog"), bench.path("second"), symlinks=True)
    shutil.rmtree(bench.path("second/dcm"))
    bench.path("ssds.yaml").write_text("store: {path: ../store}\ncatalog: second\n")


@edit
def the_catalog_becomes_a_link(bench: Bench) -> None:
    os.replace(bench.path("catalog"), bench.path("real"))
    bench.path("catalog").symlink_to("real")
    bench.check_calm()
    shutil.rmtree(bench.path("real/dcm"))


@edit
def the_catalog_is_empty(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog"))
    bench.path("catalog").mkdir()


@edit
def the_catalog_is_gone(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog"))


@same
def the_catalog_is_checked_out_anew(bench: Bench) -> None:
    shutil.copytree(bench.path("catalog"), bench.path("aside"), symlinks=True)
    shutil.rmtree(bench.path("catalog"))
    os.replace(bench.path("aside"), bench.path("catalog"))


@same
def the_locks_are_checked_out_anew(bench: Bench) -> None:
    shutil.copytree(bench.path("lockfiles"), bench.path("aside"), symlinks=True)
    shutil.rmtree(bench.path("lockfiles"))
    os.replace(bench.path("aside"), bench.path("lockfiles"))


@edit
def the_store_is_gone_and_so_are_locks(bench: Bench) -> None:
    shutil.rmtree(bench.folder / "store")
    lock_of(bench, "cat12@1.0").unlink()


@same
def the_store_is_gone(bench: Bench) -> None:
    shutil.rmtree(bench.folder / "store")


@edit
def an_observation(bench: Bench) -> None:
    observed(bench)


def observed(bench: Bench, age_s: int = 0) -> None:
    """Somebody looked at the channel, and there was nothing."""
    write_observation(
        str(bench.path(".ssds/observed/local.json")),
        Observation(at=int(time.time()) - age_s, tags={}, metadata={}),
    )


@edit
def an_observation_and_then_an_edit(bench: Bench) -> None:
    observed(bench)
    bench.check_calm()
    change(bench.path("catalog/dcm/recipe.yaml"), "summary: words", "summary: other")


@edit
def an_observation_of_long_ago(bench: Bench) -> None:
    observed(bench, age_s=90_000)


@edit
def a_look_that_found_what_nobody_manages(bench: Bench) -> None:
    tags = {"dcm:1.0": sha256_of(b"x"), "other:latest": sha256_of(b"y")}
    write_observation(
        str(bench.path(".ssds/observed/local.json")),
        Observation(at=int(time.time()), tags=tags, metadata={}),
    )
    change(bench.path("catalog/dcm/recipe.yaml"), "licenses:", "publish: [local]\nlicenses:")
    bench.check_calm()
    change(bench.path("catalog/bwa/recipe.yaml"), "licenses:", "publish: [local]\nlicenses:")


@same
def a_broken_observation(bench: Bench) -> None:
    bench.path(".ssds/observed").mkdir()
    bench.path(".ssds/observed/local.json").write_text("{")
