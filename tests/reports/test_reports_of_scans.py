"""Reports of scans: from locks and blobs only, in five forms that no hostile text escapes from."""

from __future__ import annotations

import contextlib
import io
import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ship_makers import AMD64, image, key, release, script, small_tar
from ship_makers import site as a_site

from ssds.cli import main
from ssds.core.canonical import canonical_bytes
from ssds.core.model import Claim
from ssds.lock.model import Lock
from ssds.lock.write import lock_bytes
from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

HOSTILE = "<script>a()</script>`|\x1b[31m\u202e](javascript:a)&\n| x | @team"

UNJUDGED = "Maven g:a 2 by M: version '2' has no order"


def finding(name: str, **more: object) -> dict[str, object]:
    return {
        "id": name, "aliases": [], "ecosystem": "Debian:12", "package": "libx1", "source": "x",
        "version": "1.0", "fixed": "", "severity": "high", "severity_source": "",
        **more,
    }  # fmt: skip


FOUND = {
    "alpha": [
        finding("CVE-2026-2", severity="unknown"),
        finding("CVE-2026-1", aliases=["DSA-1"], kev="2026-05-01", epss="0.9", fixed="1.1"),
    ],
    "beta": [finding("CVE-2026-1", package=HOSTILE, severity="critical", severity_source=HOSTILE)],
    "gamma": None,
}


def scanned(blobs: Blobs, name: str, found: object, version: str = "1.0") -> Lock:
    tars = [small_tar({f"bin/{name}": script(name), "usr/bin/x": script(version)})]
    lock = release(blobs, image(blobs, tars, [name], {"PATH": "/bin"}), name=name, version=version)
    if found is None:
        return lock
    document = {
        "scanned": True, "uncovered": {"npm": 3, "rpm": 0}, "without_source": {}, "findings": found,
        "advisories": {"name": "set", "date": "2026-11-01"}, "problems": [UNJUDGED],
    }  # fmt: skip
    outputs = {"findings": blobs.put(canonical_bytes(document))}  # type: ignore[arg-type]
    claim = Claim(key=key(name), kind="scan", outputs=outputs)
    variant = lock.variants[""]
    sections = {AMD64: replace(variant.platforms[AMD64], latest={"scan": claim})}
    return replace(lock, variants={"": replace(variant, platforms=sections)})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of three releases, one never scanned, and a tree that also serves another one."""
    root = tmp_path_factory.mktemp("reports") / "workspace"
    (root / "lockfiles").mkdir(parents=True)
    (root / "catalog").mkdir()
    os.chmod(root.parent, 0o755)
    (root / "ssds.yaml").write_text("store: {path: ../store}\n")
    blobs = Blobs(str(root.parent / "store/blobs"))
    locks = [scanned(blobs, name, found) for name, found in FOUND.items()]
    for lock in locks:
        (root / "lockfiles" / lock.file_name).write_bytes(lock_bytes(lock))
    other = scanned(blobs, "delta", [], "2.0")
    deploy(a_site(runtimes=("plain",)), [locks[0], other], blobs, str(root / "tree"))
    return root


def scan(root: Path, *arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["-C", str(root), "scan", *arguments])
    return code, out.getvalue(), err.getvalue()


def report(root: Path, *arguments: str) -> str:
    code, out, err = scan(root, *arguments)
    assert code == 0, err
    return out


def test_the_table_has_the_worst_first_and_says_what_nobody_looked_at(root: Path) -> None:
    text = report(root)
    assert text.index("CVE-2026-1") < text.index("CVE-2026-2")
    assert "exploited since 2026-05-01; EPSS 0.9" in text
    lines = [line.split(maxsplit=2) for line in text.splitlines()]
    assert ["gamma@1.0", "linux/amd64", "never scanned; `ssds apply` does it"] in lines
    for gap in (
        "3 packages of npm not scanned: no advisories for it",
        "all packages of rpm not scanned: its database cannot be read",
        f"not judged: {UNJUDGED}",
    ):
        assert ["alpha@1.0", "linux/amd64", gap] in lines


@pytest.mark.parametrize("name", ["CVE-2026-1", "dsa-1"])
def test_one_vulnerability_by_id_or_alias_and_the_sites_that_serve_it(
    root: Path, name: str
) -> None:
    arguments = ("--format", "json", "--deployed", str(root / "tree"))
    told = json.loads(report(root, "--cve", name, *arguments))
    holders = [s["release"] for s in told["scans"] if s["findings"]]
    assert holders == (["alpha@1.0", "beta@1.0"] if name.startswith("CVE") else ["alpha@1.0"])
    served = {s["module"]: s["findings"] for s in told["served"]}
    assert served == {"alpha/1.0": 1, "delta/2.0": None}


def test_a_vulnerability_that_no_scan_found_is_not_called_absent(root: Path) -> None:
    text = report(root, "--cve", "CVE-1999-1")
    assert "CVE-1999-1: no scan that is here found it." in text
    assert "never scanned" in text


def test_only_what_is_named_is_reported(root: Path) -> None:
    assert "beta" not in report(root, "alpha")
    assert scan(root, "alhpa")[0] == 1
    code, out, err = scan(root, "--deployed", str(root / "lockfiles"))
    assert (code, out) == (1, "")
    assert "E266" in err


def test_sarif_has_a_rule_for_each_id_and_a_result_for_each_package(root: Path) -> None:
    (run,) = json.loads(report(root, "--format", "sarif"))["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["CVE-2026-1", "CVE-2026-2"]
    assert [r["level"] for r in run["results"]] == ["error", "warning", "error"]
    assert all(rules[r["ruleIndex"]] == r["ruleId"] for r in run["results"])
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "lockfiles/alpha%401.0.lock.json", "uriBaseId": "SRCROOT"}
    assert len({r["partialFingerprints"]["finding/v1"] for r in run["results"]}) == 3
    (invocation,) = run["invocations"]
    assert len(invocation["toolExecutionNotifications"]) == 7


def test_no_form_obeys_hostile_text(root: Path) -> None:
    for form in ("table", "json", "sarif", "cyclonedx", "openvex", "markdown", "html"):
        text = report(root, "--format", form)
        assert not {"\x1b", "\u202e"} & set(text), form
        rows = [line for line in text.splitlines() if "| x |" in line]
        assert form in ("cyclonedx", "openvex") or len(rows) <= 2, form
    assert "<script" not in report(root, "--format", "html")


def test_cells_of_markdown_are_code_spans_of_one_column(root: Path) -> None:
    rows = [line for line in report(root, "--format", "markdown").splitlines() if "`beta@" in line]
    for row in rows:
        cells = row.replace("\\|", "").strip("|").split("|")
        assert len(cells) in (3, 8)
        assert all(c.strip() == "" or c.strip().strip("`").count("`") == 0 for c in cells)


class Page(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_page_is_one_file_without_script_and_its_chart_is_svg(root: Path) -> None:
    out = root.parent / "report.html"
    assert report(root, "--format", "html", "--out", str(out)) == ""
    text = out.read_text()
    page = Page()
    page.feed(text)
    assert not page.tags & {"script", "img", "link", "iframe", "a", "object"}
    assert not page.attributes & {"src", "href", "onload", "onclick"}
    svg = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + len("</svg>")])
    names = [e.text for e in svg.iter() if e.tag.endswith("text")]
    assert "alpha@1.0 linux/amd64" in names
    titles = [e.text for e in svg.iter() if e.tag.endswith("title")]
    assert titles == ["1 high", "1 unknown", "1 critical"]


def test_a_report_is_held_against_an_earlier_one(root: Path, tmp_path: Path) -> None:
    last = tmp_path / "last.json"
    report(root, "--format", "json", "--out", str(last), "alpha")
    told = json.loads(report(root, "--since", str(last), "--format", "json", "alpha", "beta"))
    assert [row["release"] for row in told["new"]] == ["beta@1.0"]
    assert (told["gone"], told["same"]) == ([], 2)
    assert "## New" in report(root, "--since", str(last))
    code, out, err = scan(root, "--since", str(last), "--format", "sarif")
    assert (code, out) == (1, "")
    assert "E289" in err
