"""Whatever must survive a crash is written by ``host/files.py``; renames elsewhere are scratch."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "ssds"
RENAMING = {"rename", "replace", "renames", "move"}
WITH_POINTS = {"host/files.py", "host/folders.py", "store/trees.py"}
SCRATCH = {
    "host/edits.py": "edits of a scratch copy",
    "host/scratch.py": "edits of a scratch copy",
    "host/inside_probe.py": "inside of a probe's sandbox",
    "host/listing.py": "a layer that is being unpacked",
    "host/local.py": "scratch files of a running step",
    "host/removal.py": "what is being removed",
    "host/safe_folder.py": "an archive that is being unpacked",
    "kinds/build/steps.py": "the staged files of a copy step",
    "cli/verb_render.py": "inside of a staged folder",
    "packages/apt.py": "the package index cache of one call",
    "packages/apt_index.py": "the package index cache of one call",
    "packages/conda_index.py": "the package index cache of one call",
}


def renaming_modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in RENAMING
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("os", "shutil")
            ):
                found[str(path.relative_to(ROOT))] = tree
    return found


def test_names_appear_only_where_a_crash_test_can_stop():
    assert set(renaming_modules()) <= WITH_POINTS | set(SCRATCH)


def test_modules_that_rename_what_lasts_have_write_points():
    for name, tree in renaming_modules().items():
        if name in WITH_POINTS:
            calls = [
                n.func.id
                for n in ast.walk(tree)
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
            ]
            assert "write_point" in calls, name


def test_every_transaction_on_the_claims_has_write_points():
    tree = ast.parse((ROOT / "store/claims.py").read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            text = ast.unparse(function)
            assert "self._writing()" not in text or "write_point(" in text, function.name
