"""Random edits of recipes; see ``laws_edits``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laws_catalogs import (
    AMD64,
    ARM64,
    NAMES,
    WORDS,
    a_range,
    a_recipe,
    a_step,
    a_test,
    a_waiver,
    load,
    versions_of,
    write_recipe,
)
from laws_edits import EDITS, Editor, edit, remove

Change = Callable[[Editor, dict[str, Any]], bool]


def _whole(recipe: object) -> bool:
    return isinstance(recipe, dict) and {"name", "build", "platforms", "base"} <= recipe.keys()


def in_recipe(change: Change) -> Change:
    """Makes an edit of a change of a recipe's document; False stands for "does not fit"."""

    def edited(editor: Editor) -> str | None:
        path = editor.recipe()
        if path is None:
            return None
        recipe = load(path)
        if not _whole(recipe) or not change(editor, recipe):
            return None
        return editor.put_yaml(path, recipe)

    EDITS[change.__name__] = edited
    return change


@in_recipe
def summary(editor: Editor, recipe: dict[str, Any]) -> bool:
    recipe["summary"] = f"{recipe['name']} {editor.random.choice(WORDS)}"
    return True


@in_recipe
def one_letter(editor: Editor, recipe: dict[str, Any]) -> bool:
    for step in recipe["build"]:
        run = step.get("run")
        if isinstance(run, dict) and not run["script"].endswith("}"):
            run["script"] = run["script"][:-1] + editor.random.choice("aeiou")
            return True
    return False


@in_recipe
def script_comment(editor: Editor, recipe: dict[str, Any]) -> bool:
    for step in recipe["build"]:
        if isinstance(step.get("run"), dict):
            step["run"]["script"] = f"{step['run']['script']} # {editor.new()}"
            return True
    return False


@in_recipe
def step_added(editor: Editor, recipe: dict[str, Any]) -> bool:
    sources, platforms = list(recipe.get("sources", {})), list(recipe.get("platforms", {AMD64: 1}))
    step = a_step(recipe["name"], sources, {}, platforms, editor.random)
    recipe["build"].insert(editor.random.randint(0, len(recipe["build"])), step)
    return True


@in_recipe
def step_removed(editor: Editor, recipe: dict[str, Any]) -> bool:
    if not recipe["build"]:
        return False
    recipe["build"].pop(editor.random.randrange(len(recipe["build"])))
    return True


@in_recipe
def tests_changed(editor: Editor, recipe: dict[str, Any]) -> bool:
    sources = list(recipe.get("sources", {}))
    count = editor.random.randint(1, 2)
    recipe["tests"] = [a_test(i, sources, editor.random) for i in range(count)]
    return True


@in_recipe
def time_limit(editor: Editor, recipe: dict[str, Any]) -> bool:
    for test in recipe.get("tests", []):
        test["time_limit_s"] = editor.random.randint(1, 1000)
    return "tests" in recipe


@in_recipe
def waivers(editor: Editor, recipe: dict[str, Any]) -> bool:
    found = [a_waiver(n, editor.random) for n in range(editor.random.randint(0, 3))]
    recipe["scan"] = {"policy": editor.random.choice(("strict", "default")), "waivers": found}
    return True


@in_recipe
def platform_wish(editor: Editor, recipe: dict[str, Any]) -> bool:
    wishes = recipe["platforms"]
    if ARM64 in wishes and editor.random.random() < 0.3 and len(wishes) > 1:
        del wishes[ARM64]
    elif ARM64 in wishes:
        wishes[ARM64] = "optional" if wishes[ARM64] == "required" else "required"
    elif recipe["base"] == "deb":
        wishes[ARM64] = "optional"
    else:
        return False
    return True


@in_recipe
def version_added(editor: Editor, recipe: dict[str, Any]) -> bool:
    known = versions_of(recipe)
    recipe.pop("version", None)
    new = f"{len(known) + 1}.{editor.new()}"
    recipe["versions"] = {**recipe.get("versions", {key: {} for key in known}), new: {}}
    return True


@in_recipe
def version_removed(editor: Editor, recipe: dict[str, Any]) -> bool:
    if len(recipe.get("versions", ())) < 2:
        return False
    del recipe["versions"][editor.random.choice(sorted(recipe["versions"]))]
    return True


@in_recipe
def range_turned(editor: Editor, recipe: dict[str, Any]) -> bool:
    below = recipe["base"]
    if not isinstance(below, dict):
        return False
    path = editor.root / f"catalog/{below['recipe']}/recipe.yaml"
    other = load(path) if path.is_file() else None
    if not _whole(other):
        return False
    below["version"] = a_range(versions_of(other), editor.random)
    return True


@in_recipe
def source_digest(editor: Editor, recipe: dict[str, Any]) -> bool:
    for source in recipe.get("sources", {}).values():
        if "deb-src" in source:
            source["deb-src"] = f"{source['deb-src'].partition('/')[0]}/2.0-{editor.new()}"
            return True
    return False


@in_recipe
def channel_wish(editor: Editor, recipe: dict[str, Any]) -> bool:
    recipe["publish"] = [] if recipe.get("publish") else ["local"]
    return True


@in_recipe
def order_of_keys(_: Editor, recipe: dict[str, Any]) -> bool:
    items = list(recipe.items())
    recipe.clear()
    recipe.update(reversed(items))
    return True


@edit
def recipe_added(editor: Editor) -> str | None:
    free = [n for n in NAMES if not os.path.lexists(editor.root / "catalog" / n)]
    if not free:
        return None
    earlier = {p.parent.name: versions_of(d) for p in editor.recipes() if _whole(d := load(p))}
    name = editor.random.choice(free)
    write_recipe(editor.root, a_recipe(name, earlier, editor.random), editor.random)
    return name


@edit
def recipe_removed(editor: Editor) -> str | None:
    path = editor.recipe()
    if path is None or len(editor.recipes()) < 2:
        return None
    if editor.random.random() < 0.5:
        return editor.breaks(path.parent, "removed", lambda: remove(path.parent))
    remove(path.parent)
    return f"{path.parent.name} for ever"


@edit
def recipe_renamed(editor: Editor) -> str | None:
    path = editor.recipe()
    if path is None or path.parent.is_symlink() or not _whole(load(path)):
        return None
    name = f"renamed{editor.new()}"
    os.replace(path.parent, path.parent.with_name(name))
    path = path.parent.with_name(name) / "recipe.yaml"
    return editor.put_yaml(path, {**load(path), "name": name, "deploy": {"commands": [name]}})


@edit
def folder_becomes_link(editor: Editor) -> str | None:
    path = editor.recipe()
    if path is None:
        return None
    folder = path.parent
    hidden = folder.with_name(f".{folder.name}")
    if folder.is_symlink():
        folder.unlink()
        os.replace(hidden, folder)
    else:
        os.replace(folder, hidden)
        folder.symlink_to(hidden.name)
    return folder.name


@edit
def recipe_becomes_link(editor: Editor) -> str | None:
    path = editor.recipe()
    if path is None:
        return None
    real = path.with_name("real.yaml")
    if path.is_symlink():
        os.replace(real, path)
    else:
        os.replace(path, real)
        path.symlink_to(real.name)
    return path.parent.name


@edit
def edited_behind_the_link(editor: Editor) -> str | None:
    path = editor.file("catalog/[a-z]*/real.yaml", "catalog/.[a-z]*/recipe.yaml")
    if path is None:
        return None
    recipe = load(path)
    if not _whole(recipe) or not summary(editor, recipe):
        return None
    return editor.put_yaml(path, recipe)


# What breaks a catalog.


@edit
def broken_text(editor: Editor) -> str | None:
    path = editor.recipe()
    if path is None:
        return None
    text = editor.random.choice(("{", "name: [", "\tx", "name: a\nname: b\n", "", "nonsense: 1\n"))
    return editor.breaks(path, f"broken by {text!r}", lambda: _write(path, text))


@edit
def broken_shared_file(editor: Editor) -> str | None:
    path = editor.file("catalog/*.yaml", "catalog/sites/*.yaml", "lockfiles/*.json")
    if path is None or any(
        str(path.relative_to(editor.root)) in told for told, _ in editor.repairs
    ):
        return None
    return editor.breaks(path, "broken", lambda: _write(path, "{]"))


@edit
def local_file_missing(editor: Editor) -> str | None:
    recipe = editor.recipe()
    if recipe is None:
        return None
    path = recipe.parent / editor.random.choice(("files", "one.conf", "icon.svg"))
    if not path.exists() or path.is_symlink():
        return None
    return editor.breaks(path, "removed", lambda: remove(path))


@edit
def link_out_of_the_folder(editor: Editor) -> str | None:
    recipe = editor.recipe()
    path = recipe.parent / "files/deep/er" if recipe else None
    if path is None or not path.is_dir() or path.is_symlink() or path.parent.is_symlink():
        return None

    def bend() -> None:
        remove(path)
        path.symlink_to("/etc")

    return editor.breaks(path, "leads out", bend)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
