"""A control catalog: one fault of each class is planted, and the audit finds and names each one."""

from __future__ import annotations

import json
import os
import shutil

import jsonschema
import pytest
from e2e_workspace import ROOT, Site, check_error

PLANTED = {
    "steady": ("wc -l < /opt/steady/words > /opt/count", "identical", ()),
    "stamped": ("date -u > /opt/built", "differs", ("timestamps",)),
    "aged": ("touch -d @$(($(nproc) * 1000)) /opt/old", "differs", ("timestamps",)),
    "shuffled": (
        """for n in $(seq 64); do : > /srv/name-$n; done
      perl -e 'opendir D, "/srv"; print "$_\\n" for readdir D' > /opt/list""",
        "differs",
        ("order",),
    ),
    "placed": ("mktemp -d > /opt/where", "differs", ("paths",)),
    "counting": ("nproc > /opt/cpus", "differs", ("content",)),
    "random": ("od -An -N32 -tx1 /dev/urandom > /opt/key", "differs", ("content",)),
    "redone": (
        "[ $(nproc) = 1 ] || touch -m -d @$SOURCE_DATE_EPOCH /opt/redone/words; :",
        "normalised",
        (),
    ),
    "clean": ("date > /var/log/dpkg.log; date > /tmp/x; touch /opt/now; hostname > /opt/host",
              "identical", ()),
}  # fmt: skip
"""Recipe → its step, the class that the audit must give, and the causes."""


POLICY = "default: {fail_on: [], unscanned: pass, reproducible: {agreements: 2}}\n"


def audit(site: Site, *arguments: str, code: int = 0) -> dict:
    ended = site.run("audit", "--json", "--scratch", "/dev/shm", *arguments, timeout_s=600)
    assert ended.code == code, ended.text
    return json.loads(ended.out)


@pytest.fixture(scope="module")
def control(warm: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The control catalog, built and locked once."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("processor counts cannot be varied with one processor")
    site = warm.copy(tmp_path_factory.mktemp("control") / "site")
    shutil.rmtree(site.workspace / "catalog/tiny")
    (site.workspace / "lockfiles/tiny@1.0.lock.json").unlink()
    for name, (script, _, _) in PLANTED.items():
        old = f"wc -l < /opt/{name}/words > /opt/{name}/count\n"
        site.recipe(name, old, script + "\n")
    site.good("lock", timeout_s=300)
    site.good("apply", "--yes", timeout_s=300)
    return site


def test_each_planted_fault_is_caught_and_called_by_its_class(control: Site) -> None:
    found = audit(control, *PLANTED, code=4)
    jsonschema.validate(found, json.loads((ROOT / "schemas/audit.schema.json").read_text()))
    classes = {
        a["release"].partition("@")[0]: (a["class"], tuple(a["causes"])) for a in found["audits"]
    }
    assert classes == {name: (result, causes) for name, (_, result, causes) in PLANTED.items()}
    assert [base["class"] for base in found["bases"]] == ["identical"]
    files = {a["release"]: a["files"] for a in found["audits"]}
    (counted,) = files["counting@1.0"]
    assert (counted["path"], counted["owner"]) == ("opt/cpus", "counting@1.0 build[2]")
    assert {"cpus", "readdir", "store"} <= set(found["audits"][0]["varied"])
    assert control.leftovers() == []
    assert control.run("plan").code == 0

    shown = control.run("audit", "--ledger", "counting", "steady")
    assert shown.code == 0, shown.text
    assert "disputed" in shown.out
    assert "reproducible" in shown.out
    site_files = control.folder / "table.md", control.folder / "badge.svg"
    control.good("audit", "--markdown", str(site_files[0]), "--badge", str(site_files[1]), "steady")
    assert "| steady@1.0 | linux/amd64 | reproducible | 1 of 1 |" in site_files[0].read_text()
    assert "1 of 1" in site_files[1].read_text()

    control.write("catalog/policies.yaml", POLICY)
    shown = control.run("audit", "--ledger", "steady")
    assert (shown.code, "open" in shown.out) == (3, True), shown.text
    shown = control.run("status", "--fail-on-alert")
    assert shown.code == 3, shown.text
    assert "open (1 of 1)" in shown.out


def test_an_audit_of_what_is_not_released_says_what_to_do(site: Site) -> None:
    check_error(site.run("audit", "tiny"), "E195", "tiny@1.0 has no release")
    check_error(site.run("audit", "--platform", "linux/arm64", "ground"), "E195")
    check_error(site.run("audit", "--scratch", "/no/such", "ground"), "/no/such")
    check_error(site.run("audit", "--user", "nobody-has-this-name", "ground"), "no user")
    site.recipe("ground", "one\\n", "two\\n")
    check_error(site.run("audit", "ground"), "E194", "ground@1.0", "ssds apply")
