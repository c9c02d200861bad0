"""Module files: their text, hostile texts, and real Lmod."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from module_systems import FACTS, HOSTILE, LMOD
from ship_makers import run, site, tool_lock

from ssds.oci.blobs import Blobs
from ssds.ship import tcl
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy
from ssds.ship.modules import ModuleFacts, lua_long, lua_text, module_text, modulerc_text

GOLDEN = f"""\
-- samtools 1.16.1-r3, sha256:{"a" * 64}; made by ssds, do not edit
local own = "/modules/samtools/1.16.1.lua"
local root = myFileName():sub(1, -#own - 1)
help([=[
samtools 1.16.1

Reads alignments

Long text.

Example:
samtools view x.bam

Commands: ace2sam samtools

Please cite: https://doi.org/10.1093/x

More: https://example.org
]=])
whatis("Name: samtools")
whatis("Version: 1.16.1-r3")
whatis("Description: Reads alignments")
whatis("URL: https://example.org")
whatis("Category: genomics, imaging")
whatis("License: MIT")
whatis("DOI: 10.1093/x")
whatis("rrid: RRID:SCR_002105")
whatis("Image: sha256:{"a" * 64}")
family("ssds_samtools")
extensions("ace2sam/1.16.1")
prepend_path("PATH", pathJoin(root, "wrappers/samtools/1.16.1-r3/bin"))
pushenv("SAMTOOLS_DATA", "/opt/data")
"""


def lmod(folder: str, *words: str, shell: str = "bash") -> subprocess.CompletedProcess[bytes]:
    env = {"MODULEPATH": folder, "LMOD_IGNORE_CACHE": "1", "LMOD_PAGER": "none"}
    return run([LMOD, shell, *words], **env)


def shell_after(folder: str, text: str) -> subprocess.CompletedProcess[bytes]:
    """Runs text in a shell that has `module`."""
    start = f'module() {{ eval "$({LMOD} sh "$@")"; }}\n'
    return run(["sh", "-c", start + text], MODULEPATH=folder, LMOD_IGNORE_CACHE="1")


def test_a_module_is_this_text() -> None:
    assert module_text(FACTS, hidden=False).decode() == GOLDEN


def test_the_hidden_module_differs_only_in_its_own_name() -> None:
    expected = GOLDEN.replace("/modules/samtools/1.16.1.lua", "/modules/samtools/1.16.1-r3.lua")
    assert module_text(FACTS, hidden=True).decode() == expected


def test_a_modulerc_is_this_text() -> None:
    text = modulerc_text(["2.0-r1", "1.0-r2"], "x").decode()
    assert text == 'hide_version("x/1.0-r2")\nhide_version("x/2.0-r1")\n'


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_inside_its_brackets(text: str) -> None:
    long = lua_long(text)
    level = long.index("[", 1) - 1
    close = f"]{'=' * level}]"
    assert long.count(close) == 1
    assert long.endswith(close)
    line = lua_text(text)
    assert "\n" not in line
    assert line.replace("\\\\", "").replace('\\"', "").count('"') == 2


@pytest.mark.parametrize("text_of", [module_text, tcl.module_text])
def test_no_text_of_a_registry_turns_the_direction_of_writing(
    text_of: Callable[..., bytes],
) -> None:
    facts = replace(FACTS, description={"summary": "left\u202eright\u2066 on"})
    text = text_of(facts, hidden=False).decode()
    assert "left right  on" in text


@pytest.mark.component("lmod")
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_lmod_loads_a_module_whose_every_text_is_hostile(number: int, tmp_path: object) -> None:
    text = HOSTILE[number]
    about: Mapping[str, object] = {
        **dict.fromkeys(("summary", "description", "homepage"), text),
        "licenses": [text],
        "categories": [text, 3, None],
        "citations": [{"doi": text}, text, 5],
        "help": {text: text, "x": 4},
        "keywords": 7,
    }
    facts = replace(
        FACTS,
        description=about,  # type: ignore[arg-type]
        identifiers={"rrid": text},
        environment={"GOOD": text, "bad name": text},
    )
    folder = f"{tmp_path}/sites/example/modules/samtools"
    os.makedirs(folder)
    with open(f"{folder}/1.16.1.lua", "wb") as file:
        file.write(module_text(facts, hidden=False))
    done = lmod(f"{tmp_path}/sites/example/modules", "load", "samtools")
    assert b"wrappers/samtools/1.16.1-r3/bin" in done.stdout, done.stderr
    assert b"GOOD=" in done.stdout
    assert lmod(f"{tmp_path}/sites/example/modules", "help", "samtools").returncode == 0
    assert not os.path.exists("/tmp/pwned")


@pytest.mark.component("lmod")
def test_lmod_loads_the_public_name_and_hides_the_revisions(tree: str) -> None:
    listed = lmod(f"{tree}/sites/example/modules", "-t", "avail").stderr.decode()
    assert "tool/1.0\n" in listed
    assert "-r1" not in listed
    for name in ("tool", "tool/1.0", "tool/1.0-r1"):
        done = shell_after(
            f"{tree}/sites/example/modules", f"module load {name}; command -v tool; echo $TOOL_DATA"
        )
        lines = done.stdout.decode().splitlines()
        assert lines == [f"{tree}/sites/example/wrappers/tool/1.0-r1/bin/tool", "/opt/data"], (
            done.stderr
        )


@pytest.mark.component("lmod")
def test_unload_restores_and_another_version_takes_its_place(tmp_path: object) -> None:
    blobs = Blobs(f"{tmp_path}/blobs")
    locks = [tool_lock(blobs), tool_lock(blobs, version="1.10"), tool_lock(blobs, version="1.9")]
    deploy(site(), locks, blobs, f"{tmp_path}/tree")
    modules = f"{tmp_path}/tree/sites/example/modules"
    text = "module load tool/1.0; module load tool/1.9; echo $PATH; module unload tool; echo $PATH"
    done = shell_after(modules, text)
    loaded, unloaded = done.stdout.decode().splitlines()
    assert "tool/1.9-r1" in loaded
    assert "tool/1.0-r1" not in loaded
    assert "tool" not in unloaded.replace(str(tmp_path), "")
    assert done.stderr.count(b"error") == 0
    newest = shell_after(modules, "module load tool; echo $PATH").stdout.decode()
    assert "tool/1.10-r1" in newest


@pytest.mark.component("lmod")
def test_spider_finds_a_command_by_its_extension(tree: str) -> None:
    done = lmod(f"{tree}/sites/example/modules", "spider", "aside")
    assert b"tool/1.0" in done.stderr + done.stdout
    whatis = lmod(f"{tree}/sites/example/modules", "whatis", "tool").stderr
    assert b"Description: Tools for alignments" in whatis


@pytest.mark.component("lmod")
def test_the_modules_work_from_a_copy_elsewhere(tree: str, tmp_path: object) -> None:
    copy = f"{tmp_path}/sites/example/modules of/moved"
    shutil.copytree(tree, copy, symlinks=True)
    done = shell_after(f"{copy}/sites/example/modules", "module load tool/1.0; command -v tool")
    assert done.stdout.decode() == f"{copy}/sites/example/wrappers/tool/1.0-r1/bin/tool\n"


@pytest.mark.component("lmod")
@pytest.mark.component("sandbox")
def test_a_loaded_tool_runs(tree: str) -> None:
    done = shell_after(f"{tree}/sites/example/modules", "module load tool; tool 'a b'")
    assert done.stdout == b"a b\n"


@pytest.mark.component("lmod")
def test_the_spider_cache_is_what_lmod_reads_and_is_made_with_the_modules(tmp_path: Path) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    deploy(site(), [tool_lock(blobs)], blobs, tree)
    folder = f"{tree}/sites/example"
    cache = f"{folder}/lmod/cache/spiderT.lua"
    with open(cache) as file:
        text = file.read()
    assert f'"{folder}/modules/tool/1.0.lua"' in text
    assert ".ssds-tmp" not in text
    assert "partial" not in text
    env = {"MODULEPATH": f"{folder}/modules", "LMOD_RC": f"{folder}/lmod/lmodrc.lua"}
    assert check_tree(tree).problems == ()
    # A module that only the cache knows: it is read in place of the folder.
    with open(cache, "w") as file:
        file.write(text.replace("Tools for alignments", "Known by the cache"))
    found = run([LMOD, "bash", "spider", "tool"], **env, LMOD_PAGER="none", HOME=str(tmp_path))
    assert b"Known by the cache" in found.stderr
    loaded = run([LMOD, "bash", "load", "tool"], **env, HOME=str(tmp_path))
    assert b"wrappers/tool/1.0-r1/bin" in loaded.stdout
    told = check_tree(tree).problems
    assert told == (".ssds/sites/example/1/lmod/cache/spiderT.lua: not as it was deployed",)
    with open(f"{folder}/lmod/more.lua", "w") as file:
        file.write("os.exit()")
    assert len(check_tree(tree).problems) == 2
    deploy(site(), [tool_lock(blobs)], blobs, tree, repair=True)
    assert check_tree(tree).problems == ()


def test_without_lmod_a_tree_has_no_cache_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssds.host.spider.program", lambda: "")
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    deploy(site(), [tool_lock(blobs)], blobs, tree)
    assert not os.path.exists(f"{tree}/sites/example/lmod")
    assert os.path.exists(f"{tree}/sites/example/modules/tool/1.0.lua")


@pytest.mark.parametrize(
    "name",
    [
        "BASH_ENV",
        "ENV",
        "LD_PRELOAD",
        "PROMPT_COMMAND",
        "PATH",
        "MODULEPATH",
        "PYTHONPATH",
        "LMOD_RC",
    ],
)
def test_a_module_sets_no_variable_that_the_users_shell_or_the_host_obeys(name: str) -> None:
    facts = ModuleFacts(
        name="x", version="1", revision=1, image="i", environment={name: "/evil", "BLASTDB": "/db"}
    )
    for text in (module_text(facts, hidden=False), tcl.module_text(facts, hidden=False)):
        assert b"/evil" not in text
        assert b"BLASTDB" in text
