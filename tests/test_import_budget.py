"""What a plan may import: every module more is time that each plan of everybody takes.

The lists allow; a module that is new on the way fails here and is either imported where it is used
or added with a reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e_workspace import ROOT


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEAVY = words(
    "networkx jsonschema oras docker requests urllib3 jinja2 license_expression cyclonedx "
    "packaging packageurl univers cvss rich markdown_it cryptography archspec numpy click "
    "logging http email ssl socket asyncio concurrent multiprocessing tarfile zipfile sqlite3 "
    "tempfile shutil secrets pickle importlib.resources importlib.metadata unittest "
    "ssds.engine ssds.oci.types ssds.oci.registry ssds.oci.copy ssds.ship.backends "
    "ssds.ship.deploy ssds.host.sandbox ssds.host.mirrors ssds.host.archives ssds.host.fetch "
    "ssds.kinds.api ssds.kinds.table"
)
"""Never on the way of a plan without news, with everything below them."""

NO_OP = words(
    "ssds ssds.cli ssds.cli.fast ssds.graph ssds.graph.index ssds.version "
    "array mmap struct math _struct marshal zlib"
)
"""What ``ssds plan`` needs where nothing changed, beside what Python itself has loaded."""

NO_OP_ROOMS = ("ssds.graph.index.",)
STORE = words("sqlite3 ssds.oci.types")
"""What opening a store needs: its claims are asked about what no lock holds."""

YAML = frozenset({"yaml", "_yaml"})
EDITED_ROOMS = words(
    "ssds.cli ssds.core ssds.delivery ssds.graph ssds.host ssds.kinds ssds.lock ssds.oci "
    "ssds.packages ssds.recipe ssds.ship ssds.store ssds.version ssds.workspace"
)
MOST_AFTER_AN_EDIT = 131
"""Modules of ssds and of others' packages; today it is about 100."""

_LIST = "import json, sys; before = set(sys.modules)\n{code}\nnames = set(sys.modules) - before\n"
_LIST += "print(json.dumps(sorted(names)), file=sys.stderr)"


def imported(code: str, folder: Path) -> set[str]:
    """Returns the modules that ``code`` imports in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SSDS_", "COV_"))}
    environment["SSDS_USER_SETTINGS"] = os.devnull
    done = subprocess.run(
        [sys.executable, "-c", _LIST.format(code=code)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def below(names: set[str], heavy: frozenset[str]) -> list[str]:
    """Returns those of ``names`` that are among ``heavy`` or below one of them."""
    return sorted(n for n in names if any(n == h or n.startswith(f"{h}.") for h in heavy))


PLAN = "from ssds.cli import main\nassert main(['plan']) == 0"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small catalog of which everything is released, planned until its index is settled."""
    folder = tmp_path_factory.mktemp("budget") / "catalog"
    maker = ROOT / "benchmarks" / "make_catalog.py"
    subprocess.run([sys.executable, maker, "3", folder], check=True, capture_output=True)
    for _ in range(3):
        imported(PLAN, folder)
        time.sleep(0.1)  # files as new as the index are looked at once more
    return folder


def test_the_version_imports_almost_nothing(tmp_path: Path) -> None:
    names = imported("from ssds.cli import main\nassert main(['--version']) == 0", tmp_path)

    assert {n for n in names if n.startswith("ssds")} <= {"ssds", "ssds.cli", "ssds.version"} | {
        "ssds.cli.fast"
    }
    assert not below(names, HEAVY)
    assert not names & {"re", "json", "dataclasses", "typing", "pathlib", "enum", "click"}


def test_a_plan_without_news_reads_its_index_and_imports_next_to_nothing(released: Path) -> None:
    names = imported(PLAN, released)

    more = {n for n in names if n.startswith("ssds")} - NO_OP
    assert not {n for n in more if not n.startswith(NO_OP_ROOMS)}
    assert not below(names, HEAVY | YAML)
    assert not names & {"re", "json", "dataclasses", "typing", "blake3", "hashlib", "datetime"}


def test_a_plan_after_one_edit_imports_only_what_reads_and_plans(released: Path) -> None:
    path = next(released.glob("catalog/*/recipe.yaml"))
    path.write_text(path.read_text() + "# edited\n")

    names = imported(PLAN, released)

    own = {n for n in names if n.startswith("ssds.")}
    assert not below(names, HEAVY - STORE)
    assert not {n for n in own if ".".join(n.split(".")[:2]) not in EDITED_ROOMS}
    assert len(own) <= MOST_AFTER_AN_EDIT
    assert not below(names, YAML)  # what is edited is plain
    others = {n.partition(".")[0] for n in names} - sys.stdlib_module_names
    assert {n for n in others if not n.startswith("_")} <= {"ssds", "blake3", "cython_runtime"}


def test_a_plan_without_an_index_imports_no_more_than_after_an_edit(released: Path) -> None:
    code = "from ssds.cli import main\nassert main(['plan', '--no-index']) == 0"

    names = imported(code, released)

    assert not below(names, HEAVY - STORE - {"click"})


@pytest.mark.component("sandbox")
def test_a_plan_after_an_edit_tries_no_sandbox_that_worked_before(released: Path) -> None:
    path = next(released.glob("catalog/*/recipe.yaml"))
    text = path.read_text()
    path.write_text(text.replace("make install", "make install FIRST=1", 1))
    assert "ssds.host.sandbox" in imported(PLAN, released)
    path.write_text(text.replace("make install", "make install SECOND=1", 1))

    names = imported(PLAN, released)

    assert not below(names, (HEAVY - STORE) | words("subprocess selectors dataclasses inspect"))
