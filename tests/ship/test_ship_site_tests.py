"""``ssds test``: real modules and wrappers of a deployed tree run what recipes' tests say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from old_tree import state_of
from ship_makers import site, tool_lock

from ssds.cli import main
from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

TESTS = """\
- {name: says a b, run: tool a b, stdout: ["a"]}
- {name: leaves a file, run: tool x > out.txt, files: [{path: out.txt, contains: [x]}]}
- {name: has its own home, run: 'cd; : > here; test ! -e ~/work', exit_code: 0, stdout_equals: ""}
- {name: is wrong, run: tool a, stdout: ["b"]}
- {name: needs data, run: cat /run/ssds/sources/x/y, stdout: ["x"]}
- {name: hangs, run: sleep 60, stdout: ["x"], time_limit_s: 1}
"""
GOOD = "".join(TESTS.splitlines(keepends=True)[:3])


def workspace(folder: Path, tests: str) -> Path:
    """Writes a workspace whose recipe is that of the tree's tool."""
    for name in ("catalog/sites", "catalog/tool", "lockfiles"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "ssds.yaml").write_text("store: {path: store}\n")
    (folder / "catalog/sites/example.yaml").write_text("platforms: [linux/amd64]\n")
    bases = "d: {suite: bookworm, platforms: [linux/amd64]}\n"
    (folder / "catalog/bases.yaml").write_text(bases)
    (folder / "catalog/tool/recipe.yaml").write_text(
        "name: tool\nversion: '1.0'\nsummary: s\nlicenses: [MIT]\nbase: d\nbuild: []\n"
        f"platforms: {{linux/amd64: required}}\ntests:\n{tests}"
    )
    return folder


pytestmark = [pytest.mark.component("lmod"), pytest.mark.component("sandbox")]


def test_tests_run_through_module_and_wrapper_and_are_kept(
    tree: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path / "w", TESTS)
    monkeypatch.setenv("_ModuleTable001_", "what the caller has loaded")
    monkeypatch.setenv("LOADEDMODULES", "tool/1.0")
    before = state_of(Path(tree))
    words = ("test", "--site", "example", "--on", tree)
    assert main(["-C", str(root), *words, "--json", "--junit", f"{tmp_path}/j.xml"]) == 1
    found = json.loads(capsys.readouterr().out)
    results = {r["name"]: r["result"] for r in found["modules_tested"]["tool/1.0"]}
    assert results == {
        "its module loads": "pass",
        "its commands are wrappers of this tree": "pass",
        "says a b": "pass",
        "leaves a file": "pass",
        "has its own home": "pass",
        "is wrong": "fail",
        "needs data": "skip",
        "hangs": "fail",
    }
    assert found["generation"] == 1
    assert found["content"]
    assert state_of(Path(tree)) == before
    junit = ET.parse(f"{tmp_path}/j.xml").getroot()
    assert (junit.get("tests"), junit.get("failures")) == ("8", "2")
    assert main(["-C", str(root), "status"]) == 0
    told = capsys.readouterr().err
    assert "tested on site example" in told
    assert "5 pass, 2 fail, 1 skip, 0 known: tool/1.0" in told

    workspace(root, GOOD)
    assert main(["-C", str(root), *words, "tool@1.0"]) == 0
    assert "tool/1.0  5     0     0     0" in capsys.readouterr().out
    assert main(["-C", str(root), *words, "tool", "other", "tool@2.0"]) == 1
    told = capsys.readouterr().err
    assert "error[E360]" in told
    assert "that fits other, tool@2.0" in told


def test_nothing_of_the_caller_counts_neither_folder_nor_path_nor_loaded_modules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), tmp_path / "tree"
    deploy(site(runtimes=("plain",)), [tool_lock(blobs)], blobs, str(tree))
    module = next(tree.glob("sites/example/modules/tool/1.0.lua")).resolve()
    module.chmod(0o644)
    module.write_text("setenv('EMPTY', 'yes')\n")  # it loads, and brings no command
    other = tmp_path / "loaded/bin"
    other.mkdir(parents=True)
    (other / "tool").write_text("#!/bin/sh\necho a\n")
    (other / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}:{os.environ['PATH']}")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(other))
    monkeypatch.chdir(tree / "sites")
    tests = (
        "- {name: finds it not, run: tool a b, stdout: [a]}\n"
        "- {name: libraries, run: 'echo ${LD_LIBRARY_PATH-none}', stdout: [none]}\n"
        "- {name: ends with 125, run: exit 125, exit_code: 125, stdout_equals: ''}\n"
        "- {name: has no 125, run: exit 125, stdout: [a]}\n"
    )
    root = workspace(tmp_path / "w", tests)
    assert main(["-C", str(root), "test", "--site", "example", "--on", str(tree)]) == 1
    told = capsys.readouterr().out
    assert "FAILED tool/1.0: its commands are wrappers of this tree: " in told
    assert "tool is not there" in told
    assert "FAILED tool/1.0: finds it not: exit code 127" in told
    assert "did not load" not in told
    kept = json.loads((root / ".ssds/site-tests/example.json").read_text())
    words = [r["result"] for r in kept["modules_tested"]["tool/1.0"]]
    assert words == ["pass", "fail", "fail", "pass", "pass", "fail"]


def test_a_module_that_does_not_load_fails_and_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), tmp_path / "tree"
    deploy(site(runtimes=("plain",)), [tool_lock(blobs)], blobs, str(tree))
    module = next(tree.glob("sites/example/modules/tool/1.0.lua")).resolve()
    module.chmod(0o644)
    module.write_text("error('no')\n")
    root = workspace(tmp_path / "w", GOOD)
    assert main(["-C", str(root), "test", "--site", "example", "--on", str(tree)]) == 1
    assert "FAILED tool/1.0: its module loads" in capsys.readouterr().out
    kept = json.loads((root / ".ssds/site-tests/example.json").read_text())
    words = [r["result"] for r in kept["modules_tested"]["tool/1.0"]]
    assert words == ["fail", "skip", "skip", "skip"]
