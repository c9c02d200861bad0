"""Pages hold together: links, files that they name, addresses that they must not name."""

from __future__ import annotations

import re
from pathlib import Path

import doc_pages
import pytest
from doc_pages import ROOT, Page

PAGES = [pytest.param(page, id=page.name) for page in doc_pages.pages()]
_PATH = re.compile(r"`((?:ssds|tests|schemas|docs|catalog|\.ci)/[A-Za-z0-9_./-]*)`")
_PLACEHOLDER = re.compile(
    r"[<…]|NAME|catalog/(?:x|bedtools|(?:catalog|debts)\.yaml|sites/(?:home|cluster))"
)
_HOST = re.compile(r"https?://([^/\s\"'`)>\]:]+)")
_REGISTRY = re.compile(
    r"\b(?:deb|security|ftp|snapshot|archive)\.debian\.org|pypi\.org|pythonhosted|npmjs|"
    r"docker\.io|quay\.io|ghcr\.io|registry-1|conda\.anaconda|crates\.io"
)
_MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root/|Users)\b")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: Page) -> None:
    broken = []
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in doc_pages.read(target).anchors
        ):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: Page) -> None:
    named = {n for n in _PATH.findall(page.text) if not _PLACEHOLDER.search(n)}
    assert sorted(n for n in named if not (ROOT / n).exists()) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_package_registry_or_a_place_of_a_machine(page: Page) -> None:
    assert _REGISTRY.findall(page.text) == []
    assert _MACHINE.findall(page.text) == []


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    stack = [ROOT / "README.md"]
    while stack:
        path = stack.pop()
        if path in seen or path.suffix != ".md" or not path.exists():
            continue
        seen.add(path)
        links = (link.partition("#")[0] for link in doc_pages.read(path).links)
        stack += [(path.parent / link).resolve() for link in links if link and ":" not in link]
    lost = {page.path for page in doc_pages.pages()} - seen
    assert sorted(str(path.relative_to(ROOT)) for path in lost) == []


def test_every_page_begins_with_a_title() -> None:
    for page in doc_pages.pages():
        lines = [line for line in page.text.split("\n") if not line.startswith("<!--")]
        assert lines[0].startswith("# "), page.name


def test_every_how_to_and_decision_is_listed() -> None:
    listed = "".join((ROOT / f"docs/{p}README.md").read_text() for p in ("", "decisions/"))
    pages = [*(ROOT / "docs/how-to").glob("*.md"), *(ROOT / "docs/decisions").glob("*.md")]
    assert [p.name for p in pages if p.name != "README.md" and f"{p.name})" not in listed] == []


def test_the_licence_and_the_citation_agree_with_the_package() -> None:
    import tomllib

    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["license"]["text"] == citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
    assert citation["cff-version"] == "1.2.0"
    for key in ("title", "message", "authors", "version"):
        assert citation[key]
