"""The ledger: audits are kept, counted once for each independent builder, and shown."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ssds.audit.agreements import Released, badge, markdown, stand
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.recipe.model import Demand
from ssds.store.ledger import Audit, AuditedFile
from ssds.store.store import Store

MANIFEST = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
AUDIT = Audit(
    at=1_800_000_000,
    release="tool@1.0",
    platform="linux/amd64",
    manifest=MANIFEST,
    found=MANIFEST,
    result="identical",
    mode="identity",
    machine="here",
    user="root",
    varied={"cpus": "1 of 2"},
    files=(AuditedFile(path="a", cause="order", what="content", owner="tool build[1]"),),
    causes=("order",),
)


def test_the_store_keeps_every_audit_as_it_was(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    worse = replace(AUDIT, result="differs", found=OTHER)
    store.claims.add_audits([AUDIT])
    store.claims.add_audits([worse, AUDIT])
    store.close()
    assert Store.open(str(tmp_path / "store")).claims.audits() == (AUDIT, worse, AUDIT)


def test_a_store_of_the_form_before_gets_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "store"
    Store.open(str(path)).close()
    with sqlite3.connect(path / "claims.sqlite") as database:
        database.execute("DROP TABLE audits")
        database.execute("PRAGMA user_version=2")
    store = Store.open(str(path))
    store.claims.add_audits([AUDIT])
    assert store.claims.audits() == (AUDIT,)


def test_a_damaged_row_is_told_as_damage(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    store.claims.add_audits([AUDIT])
    with sqlite3.connect(tmp_path / "store/claims.sqlite") as database:
        database.execute("UPDATE audits SET record = '{}'")
    with pytest.raises(IntegrityError):
        store.claims.audits()


def judged(*audits: Audit, demand: Demand | None = None) -> tuple[str, str]:
    released = Released(
        release="tool@1.0", platform="linux/amd64", manifest=MANIFEST, demand=demand
    )
    (one,) = stand([released], audits)
    return one.standing, one.count


ELSEWHERE = replace(AUDIT, machine="there")
DISSENT = replace(AUDIT, user="somebody", result="differs", found=OTHER)
TWO = Demand(agreements=2, of=2)


@pytest.mark.parametrize(
    ("audits", "demand", "expected"),
    [
        ((), None, ("open", "0 of 0")),
        ((AUDIT,), None, ("reproducible", "1 of 1")),
        ((AUDIT, DISSENT), None, ("disputed", "1 of 2")),
        ((AUDIT, AUDIT), TWO, ("open", "1 of 1")),
        ((AUDIT, ELSEWHERE), TWO, ("reproducible", "2 of 2")),
        ((AUDIT, DISSENT), TWO, ("disputed", "1 of 2")),
        ((AUDIT, DISSENT, ELSEWHERE), Demand(agreements=2, of=3), ("reproducible", "2 of 3")),
        ((DISSENT, replace(DISSENT, result="identical")), None, ("reproducible", "1 of 1")),
        ((replace(AUDIT, manifest=OTHER),), None, ("open", "0 of 0")),
        ((replace(AUDIT, result="unbuilt"),), None, ("open", "0 of 0")),
        ((replace(AUDIT, result="normalised"),), None, ("disputed", "0 of 1")),
    ],
)
def test_agreements_are_those_of_independent_audits_of_this_manifest(audits, demand, expected):
    assert judged(*audits, demand=demand) == expected


def test_the_table_and_the_badge_say_what_stands() -> None:
    released = Released(release="a|b", platform="linux/amd64", manifest=MANIFEST)
    standings = stand([replace(released, release="tool@1.0"), released], [AUDIT])
    text = markdown(standings, {AUDIT.at: "2027-01-15"})
    assert "| tool@1.0 | linux/amd64 | reproducible | 1 of 1 | 2027-01-15 | identical |" in text
    assert "| a\\|b |" in text
    label = ET.fromstring(badge(standings)).attrib["aria-label"]
    assert label == "reproducible: 1 of 2"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("builder",), ("open", "1 of 1")),
        (("builder", "machine"), ("reproducible", "2 of 2")),
        (("user",), ("open", "1 of 1")),
    ],
)
def test_a_policy_says_what_makes_audits_independent(names, expected) -> None:
    demand = Demand(agreements=2, of=2, independent_by=names)
    assert judged(AUDIT, ELSEWHERE, demand=demand) == expected


def test_an_audit_whose_differences_its_builder_explains_has_no_voice() -> None:
    explained = replace(DISSENT, builder="docker", explained="docker-attributes")
    assert judged(AUDIT, explained) == ("reproducible", "1 of 1")
    assert judged(AUDIT, replace(explained, explained="")) == ("disputed", "1 of 2")
