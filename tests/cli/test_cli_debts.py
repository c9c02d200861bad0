"""What an old catalog owes: recorded from real scans, judged by real gates, only ever less."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import laws_bench
import pytest
from index_law import quick
from laws_bench import a_tar, apply_plan, lock, plan
from laws_catalogs import AMD64, SET_PATH, advisory_set, dump, load, write_shared

from ssds.cli import main, planning
from ssds.core.canonical import Json
from ssds.graph.plan import Verb

UNTIL = ("--until", "2031-06-30", "--owner", "me", "--reason", "came so")


def base_tar(platform: str, packages: Json) -> bytes:
    """Returns a base that a scan knows as Debian 12, with one package."""
    status = b"Package: dash\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\n"
    system = b'ID=debian\nVERSION_ID="12"\n'
    return a_tar({"var/lib/dpkg/status": status, "etc/os-release": system})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalog of one recipe whose base has one finding, which its policy holds; applied once."""
    root = tmp_path / "workspace"
    monkeypatch.setattr(laws_bench, "base_tar", base_tar)
    with quick(monkeypatch):
        write_shared(root)
        rules = {"fail_on": ["unknown"], "unscanned": "pass", "no_worse_than_released": True}
        dump(root / "catalog/policies.yaml", {"old": rules})
        dump(
            root / "catalog/ants/recipe.yaml",
            {
                "name": "ants", "version": "1.0", "summary": "s", "licenses": ["MIT"],
                "platforms": {AMD64: "required"}, "base": "deb", "build": [],
                "tests": [{"name": "t", "run": "true", "stdout": ["x"]}], "scan": {"policy": "old"},
            },
        )  # fmt: skip
        lock(root)
        apply_plan(root)
        yield root


def ssds(root: Path, *words: str) -> int:
    return main(["-C", str(root), *words])


def gate(root: Path, as_of: str = "") -> tuple[str, str]:
    """Returns the verb of the gate and the verdict that is known of it."""
    steps = plan(root, planning.Asked(as_of=as_of)).plan.steps
    step = next(s for n, s in steps.items() if n.kind == "gate")
    return step.verb.value, step.claim.verdict if step.claim else ""


def published(root: Path) -> bool:
    steps = plan(root).plan.steps
    return next(s for n, s in steps.items() if n.kind == "publish").verb is Verb.REUSE


def test_an_old_catalog_starts_today_and_only_gets_better(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(root) == ("=", "fail")
    assert not published(root)
    file = root / "catalog/debts.yaml"
    assert ssds(root, "debts", "--record") == 3
    assert not file.exists()
    assert "CVE-2023-1000 (unknown) in dash" in capsys.readouterr().err
    assert ssds(root, "debts", "--record", *UNTIL) == 0
    owed = load(file)["ants"]["findings"]
    assert (owed["owner"], owed["reason"]) == ("me", "came so")
    assert owed["owed"] == [{"id": "CVE-2023-1000", "package": "dash", "until": "2031-06-30"}]
    apply_plan(root)
    assert gate(root) == ("=", "pass")
    assert published(root)
    assert gate(root, "2031-06-30") == ("=", "pass")
    assert gate(root, "2031-07-01") == ("=", "fail")

    first = file.read_bytes()
    own = advisory_set("2023-05-02", "dash", "dash")  # another advisory of the same package
    dump(root / SET_PATH, own)
    lock(root)
    apply_plan(root)
    assert gate(root) == ("=", "fail")
    capsys.readouterr()
    assert ssds(root, "debts", "--record", "--json") == 3
    row = json.loads(capsys.readouterr().out)["recipes"][0]
    assert (row["owed"], row["added"], row["paid"], len(row["refused"])) == (1, 0, 0, 1)
    assert file.read_bytes() == first

    dump(root / SET_PATH, advisory_set("2023-05-03", "other"))
    lock(root)
    apply_plan(root)
    assert ssds(root, "debts", "--record") == 0
    assert load(file) == {}
    apply_plan(root)
    assert gate(root) == ("=", "pass")


def test_debts_are_listed_with_their_ends(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ssds(root, "debts") == 0
    assert capsys.readouterr().out == "Nothing is owed.\n"
    about = {"reason": "r", "owner": "o", "until": "2031-01-31"}
    dump(root / "catalog/debts.yaml", {"ants": {"tests": [{"test": "t", **about}]}})
    assert ssds(root, "debts", "--record", *UNTIL) == 0
    capsys.readouterr()
    wanted: dict[str, Any] = {
        "recipe": "ants", "findings": 1, "tests": 1, "ended": 0, "next_end": "2031-01-31",
        "last_end": "2031-06-30", "owner": "me",
    }  # fmt: skip
    assert ssds(root, "debts", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [wanted]
    assert ssds(root, "debts", "ants", "--json", "--as-of", "2031-02-01") == 0
    assert json.loads(capsys.readouterr().out)[0]["ended"] == 1


def test_what_others_deployed_is_recorded_from_a_findings_document(
    root: Path, tmp_path: Path
) -> None:
    found = {
        "id": "CVE-1", "aliases": [], "ecosystem": "Debian:12", "package": "libx1", "source": "x",
        "version": "1", "fixed": "2", "severity": "unknown", "kev": "2026-01-01",
    }  # fmt: skip
    document = {"scanned": True, "uncovered": {}, "without_source": {}, "findings": [found]}
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert ssds(root, "debts", "--record", *UNTIL, "--from", f"{tmp_path}/old.json", "ants") == 0
    owed = load(root / "catalog/debts.yaml")["ants"]["findings"]
    assert owed["released"] == "old.json"
    wanted = {"id": "CVE-1", "package": "x", "until": "2031-06-30"}
    assert owed["owed"] == [{**wanted, "fixable": True, "exploited": True}]
    before = (root / "catalog/debts.yaml").read_bytes()
    (tmp_path / "old.json").write_text(json.dumps({**document, "findings": []}))
    assert ssds(root, "debts", "--record", "--from", f"{tmp_path}/old.json", "ants") == 0
    assert (root / "catalog/debts.yaml").read_bytes() == before


def test_what_was_not_looked_at_yet_stays_owed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = root / "catalog/debts.yaml"
    file.write_text("ants: {findings: {owed: []}}")
    assert ssds(root, "debts", "--record", *UNTIL) != 0
    assert file.read_text() == "ants: {findings: {owed: []}}"
    about = {"reason": "r", "owner": "o"}
    owed = {"owed": [{"id": "CVE-9", "package": "bash", "until": "2031-01-31"}], **about}
    dump(file, {"ants": {"findings": owed}})
    before = file.read_bytes()
    rules = load(root / "catalog/policies.yaml")["old"]
    dump(root / "catalog/policies.yaml", {"old": {**rules, "fail_on": [], "lint": ["high"]}})
    capsys.readouterr()
    assert ssds(root, "debts", "--record") == 0
    told = f"ants: nothing counts as paid: ants@1.0 [{AMD64}] has no inspect yet"
    assert told in capsys.readouterr().err
    assert file.read_bytes() == before
    dump(root / "catalog/policies.yaml", {"old": {**rules, "fail_on": []}})
    assert ssds(root, "debts", "--record") == 0
    assert load(file) == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("none",), "E340"),
        (("--until", "2031-01-01"), "E341"),
        (("--record", "--until", "2031-01-01"), "E342"),
        (("--record", *UNTIL[:-1], "a\x1bb"), "E343"),
        (("--record", "--from", "/dev/null"), "E344"),
        (("--record", "--until", "2020-01-01", *UNTIL[2:]), "E346"),
    ],
)
def test_wrong_words_are_refused(
    root: Path, words: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if code == "E344":
        words = (*words[:-1], str(root / "ssds.yaml"))
    assert ssds(root, "debts", *words) == 1
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (root / "catalog/debts.yaml").exists()


def test_a_test_that_may_fail_only_tests_again_and_again_after_its_day(root: Path) -> None:
    about = {"reason": "r", "owner": "o", "until": "2031-01-31"}
    dump(root / "catalog/debts.yaml", {"ants": {"tests": [{"test": "t", **about}]}})
    ran = apply_plan(root)
    assert ran.labels == {f"ants@1.0:test [{AMD64}]"}
    steps = plan(root, planning.Asked(as_of="2031-02-01")).plan.steps
    assert {n.kind for n, s in steps.items() if s.verb is not Verb.REUSE} <= {"publish", "index"}
