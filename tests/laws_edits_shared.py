"""Random edits of what recipes share, of settings and of locks; see ``laws_edits``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laws_catalogs import AMD64, SET_PATH, advisory_set, dump, load
from laws_edits import Editor, edit


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
def debts(editor: Editor) -> str | None:
    names = sorted(path.parent.name for path in editor.root.glob("catalog/*/recipe.yaml"))

    def change(owed: dict[str, Any]) -> None:
        finding = {"id": "CVE-1", "package": "dash", "until": "2031-12-31"}
        about = {"reason": "r", "owner": f"o{editor.new()}", "owed": [finding]}
        owed[editor.random.choice(names)] = {"findings": about}

    return _shared(editor, "catalog/debts.yaml", change)


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
