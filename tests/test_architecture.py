"""The architecture is a test: imports point downwards only, and the heart does no I/O."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ssds"
ORDER = [
    {"version"},
    {"core"},
    {"schemas"},
    {"host"},
    {"oci"},
    {"trust"},
    {"objects"},
    {"sif"},
    {"store"},
    {"cache"},
    {"builders"},
    {"packages"},
    {"advisories"},
    {"recipe"},
    {"importers"},
    {"kinds"},
    {"render"},
    {"graph"},
    {"lock"},
    {"engine", "ship", "lint"},
    {"adopt", "delivery", "exports", "install"},
    {"saved", "audit", "verify", "reports", "examine", "tuf"},
    {"parts"},
    {"workspace"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
IO_MODULES = {"subprocess", "socket", "tempfile", "shutil", "requests", "urllib", "sqlite3", "mmap"}
PURE = ["core", "graph"]
HEAVY = (
    "networkx",
    "jsonschema",
    "oras",
    "docker",
    "requests",
    "jinja2",
    "rich",
    "cyclonedx",
    "archspec",
    "tuf",
    "securesystemslib",
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Gives (line, module, whether it stands at the top level)."""
    tree = ast.parse(path.read_text())
    lazy = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(outer)
    }
    lazy |= {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING"
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name, id(node) not in lazy
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module, id(node) not in lazy
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}", id(node) not in lazy


def rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    for line, module, _ in imports(path):
        parts = module.split(".")
        if parts[0] == "ssds" and len(parts) > 1:
            yield line, parts[1]


def test_imports_point_downwards_only() -> None:
    wrong = []
    for path in modules():
        own = room_of(path)
        if own == "__init__":
            continue
        for line, room in rooms_imported(path):
            if room != own and RANK.get(room, 99) >= RANK[own]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {own} may not import {room}")
    assert not wrong, "\n".join(wrong)


def test_one_kind_does_not_import_another() -> None:
    wrong = []
    for path in modules():
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "kinds" or len(parts) < 3:
            continue
        for line, module, _ in imports(path):
            other = module.split(".")
            if other[:2] == ["ssds", "kinds"] and len(other) > 2:
                foreign = (PACKAGE / "kinds" / other[2]).is_dir() and other[2] != parts[1]
                if foreign:
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: imports kind {other[2]}")
    assert not wrong, "\n".join(wrong)


def test_the_pure_rooms_and_every_spec_do_no_io() -> None:
    wrong = []
    for path in modules():
        index = path.relative_to(PACKAGE).parts[:2] == ("graph", "index")  # its one file, and stat
        pure = (room_of(path) in PURE and not index) or path.name in ("spec.py", "requests.py")
        if not pure:
            continue
        for line, module, _ in imports(path):
            if module.split(".")[0] in {*IO_MODULES, "os", "io", "pathlib"} or module.startswith(
                ("ssds.host", "ssds.store")
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports {module}")
    assert not wrong, "\n".join(wrong)


def test_only_host_runs_programs() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {module}"
        for path in modules()
        for line, module, _ in imports(path)
        if module.split(".")[0] in ("subprocess", "tempfile") and room_of(path) != "host"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_prints() -> None:
    wrong = []
    for path in modules():
        if room_of(path) in ("cli", "__main__") or "__main__" in path.read_text():
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}: prints"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {module} at the top"
        for path in modules()
        for line, module, top in imports(path)
        if top and module.split(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_the_no_op_path_imports_no_heavy_library(verb: str) -> None:
    code = (
        "import sys; import ssds.cli.app as app; app.importlib.import_module("
        f"'ssds.cli.verb_{verb}'); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
