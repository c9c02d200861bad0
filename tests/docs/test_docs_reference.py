"""The reference agrees with the program: verbs, options, codes, schemas, tables."""

from __future__ import annotations

import json
import os
import re

import doc_pages
import doc_reference
import pytest
from doc_pages import ROOT

UPDATE = bool(os.environ.get("SSDS_UPDATE_DOCS"))


@pytest.mark.parametrize("name", sorted(doc_reference.PAGES))
def test_a_generated_page_equals_what_the_source_says(name: str) -> None:
    text = doc_reference.PAGES[name]()
    if UPDATE:
        (ROOT / name).write_text(text)
    assert (ROOT / name).read_text() == text, (
        f"{name} is behind; SSDS_UPDATE_DOCS=1 python -m pytest {__file__} writes it anew"
    )


def test_every_code_of_the_source_is_in_the_reference() -> None:
    reference = "".join(
        (ROOT / "docs/reference" / name).read_text() for name in ("errors.md", "diagnostics.md")
    )
    listed = set(re.findall(r"^\| ([A-Z]\d\d[0-9A]) \|", reference, re.MULTILINE))
    missing = {c: sorted(m) for c, m in doc_reference.all_codes().items() if c not in listed}
    assert not missing


def test_every_error_has_words_and_most_have_a_remedy() -> None:
    found = doc_reference.found_errors()
    wordless = [code for code, places in found.items() if not any(p.message for p in places)]
    assert not wordless


def test_every_verb_is_used_or_told_outside_of_the_reference() -> None:
    from ssds.cli.app import VERBS

    prose = "".join(
        page.text for page in doc_pages.pages() if not page.name.startswith("docs/reference/cli")
    )
    assert [v for v in VERBS if not re.search(rf"\bssds {v}\b", prose)] == []


def test_every_setting_and_variable_is_in_the_reference() -> None:
    from ssds.recipe.settings import ENVIRONMENT

    text = (ROOT / "docs/reference/catalog.md").read_text()
    schema = json.loads((ROOT / "schemas/settings.schema.json").read_text())
    missing = [n for n in (*ENVIRONMENT, *schema["properties"]) if f"`{n}" not in text]
    assert not missing


def test_the_table_of_the_sandbox_is_the_probes() -> None:
    from ssds.host.probe import ENFORCED
    from ssds.host.sandbox import MODES

    text = (ROOT / "docs/reference/sandbox.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|(.*)\|$", text, re.MULTILINE)
    table = {name: words for name, words, rest in rows if rest.count("|") == 2}
    assert table == dict(ENFORCED)
    assert all(f"`{mode}`" in text for mode in MODES)


def test_the_glossary_has_every_kind_and_word_of_the_plan() -> None:
    from ssds.core.model import KINDS
    from ssds.graph.plan import Verb

    text = (ROOT / "docs/reference/glossary.md").read_text()
    assert [k for k in KINDS if f"`{k}`" not in text] == []
    plan = (ROOT / "docs/reference/plan-json.md").read_text()
    assert [v.word for v in Verb if f"`{v.word}`" not in plan] == []


def test_the_reasons_of_plans_are_all_told() -> None:
    import ast

    told = (ROOT / "docs/reference/plan-json.md").read_text()
    reasons = set()
    for name in ("graph/plan.py", "delivery.py", "cli/planning.py"):
        for node in ast.walk(ast.parse((ROOT / "ssds" / name).read_text())):
            named = isinstance(node, ast.keyword) and node.arg == "reason"
            if named and isinstance(node.value, ast.Constant):
                reasons.add(node.value.value)
    assert len(reasons) > 5
    assert sorted(r for r in reasons if f"`{r}`" not in told) == []


def test_the_rules_of_normalisation_name_the_version_that_they_are_of() -> None:
    from ssds.oci.normal import NORMAL_VERSION

    text = (ROOT / "docs/explanation/reproducibility.md").read_text()
    assert f"NORMAL_VERSION {NORMAL_VERSION}" in text


@pytest.mark.parametrize("name", ["lock", "catalog-lock", "plan"])
def test_every_field_of_a_written_file_is_told(name: str) -> None:
    page = {"plan": "plan-json.md"}.get(name, "lock.md")
    text = (ROOT / "docs/reference" / page).read_text()
    schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    fields: set[str] = set()
    stack = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            fields |= set(value.get("properties", {}))
            stack += value.values()
        elif isinstance(value, list):
            stack += value
    assert sorted(f for f in fields if not re.search(rf"[`\"]{f}[`\":]", text)) == []


def test_the_outputs_of_every_kind_are_told() -> None:
    from ssds.core.model import KINDS

    text = (ROOT / "docs/reference/store.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []
