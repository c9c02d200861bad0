"""Random edits of recipes, of what they share, and of locks; see ``laws_edits``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laws_catalogs import (
    AMD64,
    ARM64,
    NAMES,
    SET_PATH,
    WORDS,
    a_range,
    a_recipe,
    a_step,
    a_test,
    a_waiver,
    advisory_set,
    dump,
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


# What recipes share.


def _shared(editor: Editor, name: str, change: Callable[[dict[str, Any]], None]) -> str | None:
    path = editor.root / name
    if any(name in told for told, _ in editor.repairs):
        return None
    value = (load(path) if path.is_file() else {}) or {}
    change(value)
    return editor.put_yaml(path, value)


@edit
def base_include(editor: Editor) -> str | None:
    def change(bases: dict[str, Any]) -> None:
        base = bases[editor.random.choice(("deb", "slim"))]
        base["include"] = [] if base.get("include") else ["zlib1g"]

    return _shared(editor, "catalog/bases.yaml", change)


@edit
def base_advisories(editor: Editor) -> str | None:
    def change(bases: dict[str, Any]) -> None:
        if bases["slim"].pop("advisories", "") == "":
            bases["slim"]["advisories"] = "set"

    return _shared(editor, "catalog/bases.yaml", change)


@edit
def policy_rules(editor: Editor) -> str | None:
    def change(policies: dict[str, Any]) -> None:
        policy = policies[editor.random.choice(("default", "strict"))]
        policy["fail_on"] = editor.random.sample(["critical", "high", "unknown"], 1)

    return _shared(editor, "catalog/policies.yaml", change)


@edit
def channel_place(editor: Editor) -> str | None:
    def change(channels: dict[str, Any]) -> None:
        channels["local"]["location"] = f"dist{editor.new()}"

    return _shared(editor, "catalog/channels.yaml", change)


@edit
def site_changed(editor: Editor) -> str | None:
    name = editor.random.choice(("lab", "other"))
    path = editor.root / f"catalog/sites/{name}.yaml"
    if name == "other" and path.exists() and not editor.repairs:
        path.unlink()
        return "other removed"
    return _shared(editor, f"catalog/sites/{name}.yaml", lambda site: _site(site, editor.new()))


def _site(site: dict[str, Any], number: int) -> None:
    site.update({"platforms": [AMD64], "binds": [f"/data{number}"]})


@edit
def salt(editor: Editor) -> str | None:
    path = editor.root / "catalog/catalog.yaml"
    if path.exists() and editor.random.random() < 0.5 and not editor.repairs:
        path.unlink()
        return "no salt"
    return _shared(editor, "catalog/catalog.yaml", lambda c: c.update(salt=f"s{editor.new()}"))


@edit
def advisories(editor: Editor) -> str | None:
    date = f"2023-06-{editor.random.randint(10, 28)}"
    dump(editor.root / SET_PATH, advisory_set(date, *editor.random.sample(["dash", "perl"], 1)))
    return date


@edit
def settings(editor: Editor) -> str | None:
    def change(value: dict[str, Any]) -> None:
        if editor.random.random() < 0.5:
            value["jobs"] = editor.random.randint(1, 9)
        elif not value.pop("platforms", None):
            value["platforms"] = [AMD64]

    return _shared(editor, "ssds.yaml", change)


# Locks.


def _lock(editor: Editor) -> tuple[Path, Any] | None:
    found = [
        p
        for p in editor.files("lockfiles/*@*.json")
        if not any(str(p.relative_to(editor.root)) in told for told, _ in editor.repairs)
    ]
    if not found:
        return None
    path = editor.random.choice(found)
    return path, json.loads(path.read_bytes())


@edit
def lock_removed(editor: Editor) -> str | None:
    found = _lock(editor)
    if found is None:
        return None
    return editor.breaks(found[0], "removed", found[0].unlink)


@edit
def lock_evidence_removed(editor: Editor) -> str | None:
    found = _lock(editor)
    if found is None:
        return None
    path, lock = found
    for variant in lock["variants"].values():
        for key in editor.random.choice((["metadata"], ["index", "revision"])):
            variant.pop(key, None)
        for section in variant["platforms"].values():
            section.pop("latest", None)
    return editor.put(path, json.dumps(lock, indent=1).encode())


@edit
def lock_epoch(editor: Editor) -> str | None:
    found = _lock(editor)
    if found is None:
        return None
    path, lock = found
    for variant in lock["variants"].values():
        for section in variant["platforms"].values():
            section.get("pins", {})["epoch"] = 1_600_000_000 + editor.random.randint(0, 9)
    return editor.put(path, json.dumps(lock, indent=1).encode())


@edit
def lock_source_stale(editor: Editor) -> str | None:
    found = _lock(editor)
    if found is None:
        return None
    path, lock = found
    for variant in lock["variants"].values():
        for section in variant["platforms"].values():
            section.get("pins", {}).pop("sources", None)
    return editor.put(path, json.dumps(lock, indent=1).encode())


@edit
def stray_file(editor: Editor) -> str | None:
    place = editor.random.choice(("lockfiles", "catalog", "catalog/advisories", "catalog/sites"))
    path = editor.root / place / editor.random.choice(("note.txt", ".hidden", "x.md"))
    if path.exists():
        path.unlink()
    else:
        path.write_text("stray")
    return str(path.relative_to(editor.root))
