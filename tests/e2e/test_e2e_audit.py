"""A control catalog: one fault of each class is planted, and the audit finds and names each one."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
    "listed": (
        """perl -e 'opendir D, "/usr/bin"; print "$_\\n" for readdir D' > /opt/programs""",
        "differs",
        ("order",),
    ),
    "placed": ("mktemp -d > /opt/where", "differs", ("paths",)),
    "counting": ("nproc > /opt/cpus", "differs", ("content",)),
    "random": ("od -An -N32 -tx1 /dev/urandom > /opt/key", "differs", ("content",)),
    "noted": (
        """touch /opt/note; perl -e '($p, $n, $v) = ("/opt/note", "user.note", "kept");
      exit(syscall(188, $p, $n, $v, 4, 0) != 0)'""",  # setxattr(2) on amd64
        "identical",
        (),
    ),
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


def audit(site: Site, *arguments: str, code: int = 0, **environment: str) -> dict:
    words = ("audit", "--json", "--scratch", "/dev/shm", *arguments)
    ended = site.run(*words, timeout_s=600, **environment)
    assert ended.code == code, ended.text
    return json.loads(ended.out)


def voices(site: Site) -> dict[str, int]:
    """How many independent audits of each release there are."""
    ended = site.run("audit", "--ledger", "--json")
    return {entry["release"]: entry["independent"] for entry in json.loads(ended.out)["ledger"]}


def check_report(page: str, text: str) -> None:
    """The page needs nothing else, runs nothing, and has every fault; diffoscope's view too."""
    assert re.findall(r"<script|<link|\ssrc=|@import|url\(", page) == []
    assert "default-src 'none'" in page
    for word in ("/opt/cpus", "/opt/programs", "counting@1.0 build[2]", "identical"):
        assert word in page
    assert "content  /opt/cpus  content  counting@1.0 build[2]" in text
    if shutil.which("diffoscope"):
        assert page.count('<iframe sandbox=""') == 6
        assert "@@ " in text  # a hunk of its differences


@pytest.fixture(scope="module")
def control(warm: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The control catalog, built and locked once."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("processor counts cannot be varied with one processor")
    folder = tmp_path_factory.mktemp("control")
    if os.stat(folder).st_dev != os.stat("/var/tmp").st_dev:
        # Temporary files are in memory: an audit there would have no other file system to go to.
        folder = Path(tempfile.mkdtemp(prefix="ssds-control-", dir="/var/tmp"))
    site = warm.copy(folder / "site")
    shutil.rmtree(site.workspace / "catalog/tiny")
    (site.workspace / "lockfiles/tiny@1.0.lock.json").unlink()
    for name, (script, _, _) in PLANTED.items():
        old = f"wc -l < /opt/{name}/words > /opt/{name}/count\n"
        site.recipe(name, old, script + "\n")
    site.good("lock", timeout_s=300)
    site.good("apply", "--yes", timeout_s=300)
    yield site
    shutil.rmtree(folder, ignore_errors=True)


def test_each_planted_fault_is_caught_and_called_by_its_class(control: Site) -> None:
    page, text = control.folder / "audit.html", control.folder / "audit.txt"
    found = audit(control, *PLANTED, "--html", str(page), "--text", str(text), code=4)
    jsonschema.validate(found, json.loads((ROOT / "schemas/audit.schema.json").read_text()))
    classes = {
        a["release"].partition("@")[0]: (a["class"], tuple(a["causes"])) for a in found["audits"]
    }
    assert classes == {name: (result, causes) for name, (_, result, causes) in PLANTED.items()}
    assert [base["class"] for base in found["bases"]] == ["identical"]
    files = {a["release"]: a["files"] for a in found["audits"]}
    (counted,) = files["counting@1.0"]
    assert (counted["path"], counted["owner"]) == ("opt/cpus", "counting@1.0 build[2]")
    check_report(page.read_text(), text.read_text())
    assert found["views"] == [str(page), str(text)]
    assert {"cpus", "layers", "readdir", "store"} <= set(found["audits"][0]["varied"])
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


@pytest.mark.component("docker")
def test_what_a_docker_engine_loses_is_a_difference_that_is_explained(control: Site) -> None:
    from docker_server import docker_host

    before = voices(control)
    more = ("--keep", "base", "--builder", "docker")
    found = audit(control, *more, "noted", "steady", code=4, DOCKER_HOST=docker_host())
    seen = {a["release"]: (a["class"], a["causes"], a["explained"]) for a in found["audits"]}
    assert seen == {
        "noted@1.0": ("differs", ["attributes"], "docker-attributes"),
        "steady@1.0": ("identical", [], ""),
    }
    assert {a["builder"] for a in found["audits"]} == {"docker"}
    assert found["audits"][0]["kept"]["base"] == "--keep"
    assert found["bases"] == []
    after = voices(control)
    assert (after["noted@1.0"], after["steady@1.0"]) == (
        before["noted@1.0"],
        before["steady@1.0"] + 1,
    )


def test_an_audit_of_what_is_not_released_says_what_to_do(site: Site) -> None:
    check_error(site.run("audit", "tiny"), "E195", "tiny@1.0 has no release")
    check_error(site.run("audit", "--platform", "linux/arm64", "ground"), "E195")
    check_error(site.run("audit", "--scratch", "/no/such", "ground"), "/no/such")
    check_error(site.run("audit", "--user", "nobody-has-this-name", "ground"), "no user")
    nothing = site.run("audit", "--keep", "base", "ground", SSDS_STORE=str(site.folder / "empty"))
    check_error(nothing, "E197", "debian-12")
    site.recipe("ground", "one\\n", "two\\n")
    check_error(site.run("audit", "ground"), "E194", "ground@1.0", "ssds apply")
