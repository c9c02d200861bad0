"""A checkout of NeuroDesk's recipes beside a workspace: the plan index, and the verbs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from index_bench import CALM_S, keep_index, looked
from index_law import told
from neurocontainers_checkout import AMD64, BUILD, HEAD, NAME, recipe, write_checkout

from ssds.cli import indexed, planning
from ssds.workspace import Workspace

TEXT = recipe(
    """\
    - include: macros/flavours/base.yaml
    - template: {name: tool, version: '2.0'}
    - file: {name: given, filename: given.txt}
    - file: {name: missing, filename: missing.txt}
    - run: ["cat {{ get_file('given') }} {{ get_file('missing') }}"]
    - copy: [folder, /opt/folder]
    """,
    head=HEAD.replace("readme: A small tool.\n", ""),
    tail="deploy: {webapp: {title: Tool, startup_command: x, port: 80, icon: page/icon.svg}}\n",
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSDS_STORE", str(tmp_path / "store"))
    files = {"given.txt": "1", "folder/a": "1", "README.md": "A tool."}
    write_checkout(tmp_path / "checkout", TEXT, files=files)
    other = recipe("- run: [x]", head=HEAD.replace("name: small", "name: other"))
    write_checkout(tmp_path / "checkout", other, name="other")
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "ssds.yaml").write_text("catalog: {neurocontainers: ../checkout}\n")
    return root


def append(name: str) -> Callable[[Path], None]:
    def edit(checkout: Path) -> None:
        path = checkout / name
        path.write_text((path.read_text() if path.exists() else "") + "\n# more\n")

    return edit


def icon(checkout: Path) -> None:
    place = checkout / "recipes/small/page/icon.svg"
    place.parent.mkdir()
    place.write_text("<svg/>")


def another(checkout: Path) -> None:
    text = recipe("- run: [y]", head=HEAD.replace("name: small", "name: another"))
    write_checkout(checkout, text, name="another")


EDITS: dict[str, tuple[Callable[[Path], None], set[str], bool]] = {
    "nothing": (lambda _: None, set(), False),
    "a recipe": (append("recipes/small/build.yaml"), {"small"}, False),
    "a local file": (append("recipes/small/given.txt"), {"small"}, False),
    "a file in a copied folder": (append("recipes/small/folder/a"), {"small"}, False),
    "a new file in a copied folder": (append("recipes/small/folder/b"), {"small"}, False),
    "a file that was missing": (append("recipes/small/missing.txt"), {"small"}, False),
    "an icon that was missing": (icon, {"small"}, False),
    "a readme": (append("recipes/small/README.md"), {"small"}, False),
    "a readme that was missing": (append("recipes/other/README.md"), {"other"}, False),
    "a file that nobody reads": (append("recipes/small/notes.txt"), set(), False),
    "a macro": (append("macros/flavours/base.yaml"), set(), True),
    "a template": (append("builder/templates/tool.yaml"), set(), True),
    "a new template": (append("builder/templates/new.yaml"), set(), True),
    "a new recipe": (another, {"another"}, False),
    "a recipe less": (lambda c: shutil.rmtree(c / "recipes/other"), {"other"}, False),
}


@pytest.mark.parametrize("name", EDITS)
def test_the_index_knows_every_file_that_a_recipe_reads(workspace: Path, name: str) -> None:
    keep_index(workspace)
    edit, recipes, ground = EDITS[name]
    edit(workspace.parent / "checkout")
    changes = looked(workspace)
    assert (changes.recipes, changes.ground) == (recipes, ground)


def run(root: Path, *arguments: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "ssds", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_check_plan_explain_and_render_work_on_a_checkout(workspace: Path) -> None:
    code, text = run(workspace, "check")
    assert code == 0
    assert "N040" in text
    code, text = run(workspace, "plan")
    assert "small@1.0:build" in text
    code, text = run(workspace, "explain", "other@1.0:build")
    assert "docker.io/library/debian:12" in text
    code, text = run(workspace, "render", "other", "--platform", "linux/amd64")
    assert code == 0
    assert text.splitlines()[1] == "FROM docker.io/library/debian:12"
    assert "RUN x" in text


def test_the_index_notices_that_the_recipe_of_a_published_image_comes_changes_and_goes(
    workspace: Path,
) -> None:
    checkout = workspace.parent / "checkout"
    upper = recipe("- run: [x]", build=BUILD.replace("debian:12", "vnmd/lower_1.0:20200905"))
    write_checkout(checkout, upper)

    def lower(version: str) -> None:
        head = HEAD.replace("name: small", "name: lower").replace("1.0", version)
        write_checkout(checkout, recipe("- run: [x]", head=head), name="lower")

    edits = (
        lambda: lower("2.0"),
        lambda: lower("1.0"),
        lambda: shutil.rmtree(checkout / "recipes/lower"),
    )
    bases = []
    for edit in (lambda: None, *edits):
        edit()
        time.sleep(CALM_S)
        wanted = told(workspace, planning.Asked(), index=False)
        for _ in range(2):
            assert told(workspace, planning.Asked(), index=True) == wanted
        reading = Workspace.open(str(workspace)).reading
        bases.append(reading.catalog.releases[NAME].targets[AMD64].base_recipe)
        session = indexed.Session(Workspace.open(str(workspace)), planning.Asked())
        assert session.open()
        number = session.table.names.index("small")
        bases.append([session.table.names[n] for n in session.table.builds_on(number)])
    assert [b is not None for b in bases[::2]] == [False, False, True, False]
    assert bases[1::2] == [[], ["lower"], ["lower"], []]
