"""Every example of the documentation runs, in order, in a scratch workspace; or says why not."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import doc_pages
import pytest
from doc_pages import ROOT, Block, Page
from e2e_workspace import Site

PAGES = [page for page in doc_pages.pages() if page.workspace]
LMOD = "/usr/share/lmod/lmod/init/bash"
LIMIT_S = 420


def needing(page: Page) -> list[pytest.MarkDecorator]:
    return [pytest.mark.component(name) for name in page.needs]


class Shell:
    """A reader at a terminal: working folder and variables last from one command to the next."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder = folder
        self.state = folder.parent / "shell-state"
        self.settings = folder.parent / "settings.yaml"
        path = os.path.dirname(sys.executable) + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        keep = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("SSDS_", "LMOD", "MODULE", "BASH_FUNC"))
        }
        self.environment = {
            **keep,
            "PATH": path,
            "SSDS_STORE": str(store),
            "SSDS_USER_SETTINGS": str(self.settings),
            "GIT_AUTHOR_NAME": "A Reader",
            "GIT_AUTHOR_EMAIL": "reader@example.org",
            "GIT_COMMITTER_NAME": "A Reader",
            "GIT_COMMITTER_EMAIL": "reader@example.org",
            "COLUMNS": "100",
        }
        self.settings.write_text("jobs: 2\n")
        self.state.write_text(f"cd {shlex.quote(str(folder))}\n")
        if os.path.exists(LMOD):
            self.state.write_text(f"{self.state.read_text()}source {LMOD}\n")

    def run(self, command: str) -> tuple[int, str]:
        state = shlex.quote(str(self.state))
        script = (
            f"source {state}; set -o pipefail\n{command}\nssds_code=$?\n"
            f'{{ declare -f; export -p; printf "cd %q\\n" "$PWD"; }} > {state}\n'
            "exit $ssds_code\n"
        )
        done = subprocess.run(
            ["bash", "-c", script],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def write(self, name: str, text: str) -> None:
        if name.startswith("~/.config/ssds/"):
            self.settings.write_text(text)
            return
        code, where = self.run("pwd -P")
        assert code == 0
        path = Path(where.strip()) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, warm_here: Site | None) -> Path:
    """A store that all pages share: what one has fetched or built, the next one reuses.

    It begins with the base that all tests share: the locks name the same one while the mirror is as
    it was when they were written; else it is bootstrapped anew.
    """
    folder = tmp_path_factory.mktemp("docs") / "store"
    if warm_here:
        warm_here.copy_store(folder, linked=("trees",))
    return folder


def copy_starter(folder: Path) -> None:
    for name in ("catalog", "lockfiles"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("ssds.yaml", ".gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    for command in ("init -q -b main", "add -A", "commit -q -m start"):
        subprocess.run(
            ["git", "-c", "user.name=A Reader", "-c", "user.email=reader@example.org",
             *command.split()],
            cwd=folder, check=True,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(p, id=p.name, marks=needing(p)) for p in PAGES])
def test_the_examples_of_a_page_do_what_it_says(page: Page, tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    if page.workspace == "starter":
        copy_starter(folder)
    with contextlib.ExitStack() as stack:
        shell = Shell(folder, store)
        if "registry" in page.needs:
            from registry_server import running_registry

            place = stack.enter_context(running_registry(tmp_path / "registry"))
            shell.environment["REGISTRY"] = place
        for block in page.blocks:
            play(page, block, shell)


def play(page: Page, block: Block, shell: Shell) -> None:
    if "not run" in block.notes:
        return
    if "file" in block.notes:
        shell.write(block.notes["file"], block.text)
        return
    if block.language not in (*doc_pages.RUNNABLE, "hidden"):
        return
    found = doc_pages.examples(block)
    for number, example in enumerate(found):
        code, printed = shell.run(example.command)
        last = number == len(found) - 1
        wanted = int(block.notes.get("exit", "0")) if last else 0
        where = f"{page.name}:{example.line}: $ {example.command}"
        assert code == wanted, f"{where}\nended with {code}, not {wanted}:\n{printed}"
        if example.output is not None:
            shown = "\n".join(example.output)
            assert doc_pages.agrees(example.output, printed), (
                f"{where}\nthe page shows:\n{shown}\nit printed:\n{printed}"
            )


@pytest.mark.slow
@pytest.mark.component("buildah")
def test_three_released_recipes_are_rebuilt_to_the_last_bit_by_a_second_builder(
    tmp_path: Path, store: Path
) -> None:
    """The starter catalog's own locks are audited; ``make audit`` does it to all of them."""
    copy_starter(tmp_path)
    shell = Shell(tmp_path, store)
    names = "seqtk bwa niimath"
    code, printed = shell.run(
        "ssds apply --yes --platform linux/amd64 --rerun seqtk:build seqtk"
    )  # the base's bytes
    assert code == 0, printed
    code, printed = shell.run(f"ssds audit --builder buildah --keep base --days 400 {names}")
    assert code == 0, printed
    assert "Audit: 3 of 3 images identical" in printed
    assert "builder: buildah" in printed


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in doc_pages.pages()])
def test_every_example_runs_or_says_why_not(page: Page) -> None:
    silent = [
        f"{page.name}:{block.line}"
        for block in page.blocks
        if block.language in doc_pages.RUNNABLE
        and not page.workspace
        and not block.notes.get("not run")
    ]
    assert not silent, "neither run nor excused: " + ", ".join(silent)


def test_a_shown_output_must_agree_with_the_printed_one() -> None:
    assert doc_pages.agrees(["a  b", "…", "took … s"], "a b\nx\ny\ntook 3.4 s\n")
    assert doc_pages.agrees([], "")
    assert not doc_pages.agrees(["a"], "a\nb\n")
    assert not doc_pages.agrees(["a", "…", "c"], "a\nb\n")
    assert not doc_pages.agrees([], "something\n")
