"""The wheel holds the schemas and reads catalogs elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2]

PROGRAM = """
import sys
from ssds.recipe import catalog, schema
print(schema.__file__)
for name, letter in [("recipe", "R"), ("settings", "W"), ("site", "S")]:
    assert schema.schema(name, letter).problems([]), name
print(*[d.code for d in catalog.read_catalog(sys.argv[1]).collector])
"""


@pytest.mark.component("pip")
@pytest.mark.slow
def test_an_installed_wheel_finds_its_schemas_far_from_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("ssds", "schemas", "pyproject.toml"):
        source = FOLDER / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, checkout / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, checkout / name)
    (checkout / "README.md").write_text("x\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = tmp_path / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, checkout], check=True)
    (wheel,) = wheels.iterdir()
    held = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("ssds/schemas/")}
    assert held == {f"ssds/schemas/{p.name}" for p in (FOLDER / "schemas").glob("*.json")}
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    shutil.rmtree(checkout)
    recipe = tmp_path / "elsewhere/catalog/tool"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text("name: tool\nversion: 1.0\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "elsewhere"],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, codes = done.stdout.splitlines()
    assert where.startswith(str(target))
    assert "Y014" in codes.split()
    assert "R002" in codes.split()
