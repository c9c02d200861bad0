"""``ssds import neurocontainers``: their recipes as recipes of ours."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import yaml
from e2e_workspace import Site, assert_no_traceback
from neurocontainers_checkout import BUILD, recipe, write_checkout

ICON = b"\x89PNG\r\n\x1a\n"
DIRECTIVES = """\
- install: [curl, zlib1g]
- environment: {PATH: "/opt/small:$PATH"}
- run:
    - mkdir -p /opt/small
    - cp {{ get_file("tool.sh") }} /opt/small/small
- copy: own.txt /etc/own.txt
"""
TAIL = """\
files:
  - {name: tool.sh, contents: "echo {{ context.version }}", executable: true}
deploy: {bins: [small]}
gui_apps: [{name: Small, exec: small --gui}]
auto_update: {method: github_release, repo: someone/small}
"""


def checkout(site: Site) -> Path:
    text = recipe(DIRECTIVES, tail=TAIL)
    data = yaml.safe_load(text)
    data["icon"] = "data:image/png;base64," + base64.b64encode(ICON).decode()
    return write_checkout(
        site.folder / "theirs", yaml.safe_dump(data, sort_keys=False), files={"own.txt": "mine"}
    )


def test_a_recipe_moves_with_its_files_and_check_accepts_it(plain: Site) -> None:
    ended = plain.good("import", "neurocontainers", str(checkout(plain)))
    assert ended.out == "1 recipe written. Next: ssds check\n"
    folder = plain.workspace / "catalog/small"
    assert (folder / "icon.png").read_bytes() == ICON
    assert (folder / "own.txt").read_text() == "mine"
    value = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert value["gui"] == [{"name": "Small", "command": "small --gui"}]
    assert value["deploy"]["commands"] == ["small"]
    assert value["extra"]["neurocontainers"]["auto_update"]["repo"] == "someone/small"
    assert "error" not in plain.good("check").text


def test_what_is_rendered_before_and_after_is_the_same(plain: Site) -> None:
    theirs = checkout(plain)
    settings = plain.workspace / "ssds.yaml"
    own = settings.read_text()
    settings.write_text(
        own.replace("catalog: catalog\n", "") + f"catalog: {{neurocontainers: {theirs}}}\n"
    )
    before = plain.good("render", "small", "--format", "dockerfile").out
    settings.write_text(own)
    plain.good("import", "neurocontainers", str(theirs), "small")
    after = plain.good("render", "small", "--format", "dockerfile").out

    def folded(text: str) -> list[str]:
        return [" ".join(line.split()) for line in text.replace("\\\n", "").splitlines()]

    assert folded(after) == folded(before)


def test_nothing_that_is_there_is_overwritten(plain: Site) -> None:
    theirs = checkout(plain)
    plain.good("import", "neurocontainers", str(theirs))
    place = plain.workspace / "catalog/small/recipe.yaml"
    place.write_text(place.read_text() + "# mine\n")
    before = place.read_text()
    ended = plain.run("import", "neurocontainers", str(theirs))
    assert ended.code == 1
    assert "catalog/small/recipe.yaml" in ended.err
    assert place.read_text() == before
    assert sorted(p.name for p in place.parent.parent.iterdir() if p.name[0] == ".") == []


def test_a_recipe_comes_with_the_one_below_and_stands_on_the_one_that_is_there(
    plain: Site,
) -> None:
    theirs = checkout(plain)
    text = recipe("- run: [x]", build=BUILD.replace("debian:12", "vnmd/small_1.0:20200905"))
    write_checkout(theirs, text.replace("name: small", "name: upper"), name="upper")
    plain.good("import", "neurocontainers", str(theirs), "upper")
    folder = plain.workspace / "catalog"
    value = yaml.safe_load((folder / "upper/recipe.yaml").read_text())
    assert value["base"] == {"recipe": "small", "version": "1.0"}
    assert (folder / "small/own.txt").exists()
    shutil.rmtree(folder / "upper")
    ended = plain.good("import", "neurocontainers", str(theirs), "upper")
    assert "catalog/small/recipe.yaml is there already; what stands on small uses it" in ended.err
    assert "error" not in plain.good("check").text


def test_a_local_file_that_is_missing_is_named_and_nothing_half_written(plain: Site) -> None:
    theirs = checkout(plain)
    (theirs / "recipes/small/own.txt").unlink()
    ended = plain.run("import", "neurocontainers", str(theirs))
    assert ended.code == 1
    assert_no_traceback(ended)
    assert "own.txt is not there" in ended.err
    assert not (plain.workspace / "catalog/small").exists()


def test_names_that_are_not_there_and_folders_without_recipes_are_told(plain: Site) -> None:
    theirs = checkout(plain)
    assert "no recipe 'bigger'" in plain.run("import", "neurocontainers", str(theirs), "bigger").err
    ended = plain.run("import", "neurocontainers", str(plain.folder / "nothing"))
    assert ended.code == 1
    assert_no_traceback(ended)
    assert "error[K011]" in ended.err
