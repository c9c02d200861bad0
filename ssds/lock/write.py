"""Writing lock files: one canonical, diff-friendly text; each package of a set on one line.

The same lock gives the same bytes on any machine. An update re-reads the file under a guard file,
replaces its own part, and renames (C20); where nothing changes the file is not touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from ssds.core.canonical import Json
from ssds.core.errors import UsageError
from ssds.core.model import Claim, ReleaseName
from ssds.core.pins import BasePin, GitPlace, PackageSet, PinnedFile, PlatformPins, SourcePin
from ssds.core.platform import Platform
from ssds.host.files import atomic_write, locked, remove_file, sweep
from ssds.lock.model import (
    ADOPTED,
    BUILT,
    DEFAULT_VARIANT,
    LOCK_VERSION,
    AdoptedAbout,
    Adoption,
    CatalogLock,
    IndexRecord,
    Lock,
    PlatformLock,
    ReleaseHalf,
    SifRecord,
    SizedBlob,
    VariantLock,
)
from ssds.lock.read import read_catalog_lock, read_lock


def lock_to_dict(lock: Lock) -> dict[str, Json]:
    """Returns the JSON form of a lock; empty parts are left out."""
    return {
        "lock_version": LOCK_VERSION,
        "name": lock.name,
        "version": lock.version,
        "variants": {
            name or DEFAULT_VARIANT: _variant(variant) for name, variant in lock.variants.items()
        },
    }


def _filled(entry: Mapping[str, Json]) -> dict[str, Json]:
    """Returns ``entry`` without what is empty, zero or False."""
    return {key: value for key, value in entry.items() if value}


def _variant(variant: VariantLock) -> Json:
    optional: dict[str, Json] = {
        "revision": variant.revision,
        "superseded_revision": variant.superseded_revision,
        "index": _index(variant.index) if variant.index else {},
        "metadata": variant.metadata.to_lock() if variant.metadata else {},
        "identifiers": dict(variant.identifiers),
        "withdrawn": dict(variant.withdrawn.to_dict()) if variant.withdrawn else {},
    }
    return {
        "origin": variant.origin,
        **_filled(optional),
        "platforms": {
            str(p): _platform(s, adopted=variant.origin == ADOPTED)
            for p, s in variant.platforms.items()
        },
    }


def _index(index: IndexRecord) -> Json:
    return {
        "digest": str(index.digest),
        "size": index.size_bytes,
        "key": str(index.key),
        "platforms": {str(p): str(d) for p, d in index.platforms.items()},
    }


def _claims(claims: Mapping[str, Claim]) -> Json:
    return {kind: claim.to_lock() for kind, claim in claims.items()}


def _platform(section: PlatformLock, *, adopted: bool) -> Json:
    before: Json = _adoption(section.adopted) if section.adopted else {}
    if adopted:
        return _filled({"release": before})
    return _filled(
        {
            "pins": _pins(section.pins),
            "release": _half(section.release) if section.release else {},
            "latest": _claims(section.latest),
            "adopted": before,
        }
    )


def _sized(blob: SizedBlob) -> Json:
    return {"digest": str(blob.digest), "size": blob.size_bytes}


def _half(half: ReleaseHalf) -> Json:
    return {
        "actions": _claims(half.actions),
        "manifest": _sized(half.manifest),
        "config": _sized(half.config),
        "layers": [
            {
                "digest": str(layer.digest),
                "size": layer.size_bytes,
                "diff_id": str(layer.diff_id),
            }
            for layer in half.layers
        ],
        "commands": sorted(half.commands),
        **({"found": sorted(half.found)} if half.found else {}),
        **({"sif": _sif(half.sif)} if half.sif else {}),
    }


def _sif(record: SifRecord) -> Json:
    return {"file": _sized(record.file), "manifest": _sized(record.manifest)}


def _adoption(adopted: Adoption) -> Json:
    return {
        "evidence": "none",
        "digest": str(adopted.digest),
        "locations": list(adopted.locations),
        "commands": sorted(adopted.commands),
        **_filled({"about": _about(adopted.about)}),
    }


def _about(about: AdoptedAbout) -> dict[str, Json]:
    applications: list[Json] = [
        {"name": name, "command": command} for name, command in about.applications
    ]
    return _filled(
        {
            "built": about.built,
            "categories": list(about.categories),
            "applications": applications,
            "arguments": list(about.arguments),
            "hidden": list(about.hidden),
            "webapp": about.webapp,
        }
    )


def _pins(pins: PlatformPins) -> dict[str, Json]:
    return _filled(
        {
            "base": pins.base,
            "advisories": pins.advisories,
            "epoch": pins.epoch,
            "sources": {name: source_to_dict(pin) for name, pin in pins.sources.items()},
            "packages": {step: set_to_dict(found) for step, found in pins.packages.items()},
            "recipes": {
                name: {"request": str(pin.request), "version": pin.version}
                for name, pin in pins.recipes.items()
            },
        }
    )


def _file(file: PinnedFile) -> dict[str, Json]:
    return {
        "sha256": file.digest.hex,
        **_filled(
            {
                "size": file.size_bytes,
                "archive": file.archive,
                "path": file.path,
                "urls": list(file.urls),
            }
        ),
    }


def source_to_dict(pin: SourcePin) -> Json:
    """Returns the JSON form of a source's pin."""
    return {
        "request": str(pin.request),
        "name": pin.file.name,
        **_file(pin.file),
        **_filled({"epoch": pin.epoch, "git": _git(pin.git) if pin.git else {}}),
    }


def _git(place: GitPlace) -> dict[str, Json]:
    return {
        "commit": place.commit,
        "tree": place.tree,
        **_filled({"folder": place.folder}),
        **({"empty_submodules": True} if place.empty_submodules else {}),
    }


def set_to_dict(found: PackageSet) -> dict[str, Json]:
    """Returns the JSON form of a package set, sorted by name, architecture and version."""
    packages = []
    for p in sorted(found.packages, key=lambda p: (p.name, p.architecture, p.version)):
        entry: dict[str, Json] = {
            "name": p.name,
            "version": p.version,
            "architecture": p.architecture,
            **({"build": p.build} if p.build else {}),
        }
        if p.file.path.rpartition("/")[2] != p.file.name:
            entry["file"] = p.file.name
        packages.append({**entry, **_file(p.file)})
    return {
        "request": str(found.request),
        "manager": found.manager,
        **_filled({"epoch": found.epoch}),
        "packages": packages,
    }


def catalog_lock_to_dict(lock: CatalogLock) -> dict[str, Json]:
    """Returns the JSON form of the shared pins."""
    current = lock.pins.current
    bases: dict[str, dict[str, Json]] = {}
    sections: dict[str, dict[str, Json]] = {}
    for (identity, platform), pin in sorted(lock.pins.bases.items()):
        followed = {"current": True} if current.get(pin.name) == identity else {}
        bases.setdefault(identity, {**followed, "platforms": sections.setdefault(identity, {})})
        sections[identity][platform] = _base(pin)
    advisories: dict[str, Json] = {}
    for identity, found in lock.pins.advisories.items():
        advisories[identity] = {
            **({"current": True} if current.get(f"advisories/{found.name}") == identity else {}),
            "sha256": found.digest.hex,
            "size": found.size_bytes,
            "path": found.path,
        }
    return {"lock_version": LOCK_VERSION, "bases": bases, "advisories": advisories}


def _base(pin: BasePin) -> dict[str, Json]:
    asked: dict[str, Json] = {"request": str(pin.request), "epoch": pin.epoch}
    if pin.image is not None:
        from ssds.lock.images import image_to_dict, installed_to_list  # few catalogs have one

        installed = {"installed": installed_to_list(pin.packages)} if pin.image.read else {}
        return {**asked, "image": image_to_dict(pin.image), **installed}
    return {
        **asked,
        **({"diff_id": str(pin.diff_id)} if pin.diff_id else {}),
        "packages": set_to_dict(pin.packages),
    }


def lock_bytes(lock: Lock) -> bytes:
    """Returns the one text of a lock file."""
    return text_of(lock_to_dict(lock)).encode("utf-8")


def catalog_lock_bytes(lock: CatalogLock) -> bytes:
    """Returns the one text of the catalog's lock file."""
    return text_of(catalog_lock_to_dict(lock)).encode("utf-8")


def text_of(value: Json) -> str:
    """Returns readable JSON: sorted keys, one space per level, a map inside a list on one line."""
    return _text(value, "\n") + "\n"


def _text(value: Json, newline: str) -> str:
    inner = newline + " "
    if isinstance(value, Mapping) and value:
        rows = [f"{_line(key)}: {_text(value[key], inner)}" for key in sorted(value)]
        return "{" + inner + ("," + inner).join(rows) + newline + "}"
    if isinstance(value, list) and value:
        rows = [_line(item) if isinstance(item, Mapping) else _text(item, inner) for item in value]
        return "[" + inner + ("," + inner).join(rows) + newline + "]"
    return _line(value)


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def update_lock(
    path: str, *, guard: str, name: str, version: str, change: Callable[[Lock], Lock]
) -> bool:
    """Re-reads the lock at ``path``, applies ``change``, writes it; returns whether it changed.

    A lock without any variant is no file.

    Args:
        path: the lock file; it may be missing.
        guard: a lock file of its own, outside of git (``.ssds/locks/<file>.flock``).
        name: the recipe's name.
        version: its version.
        change: takes the current lock, gives the new one; runs under the guard.

    Raises:
        InputError: the file on disk is not a sound lock; nothing is written.
    """
    with locked(guard):
        sweep(os.path.dirname(path) or ".")
        old = read_lock(path)
        new = change(old or Lock(name=name, version=version))
        if (new.name, new.version) != (name, version):
            raise UsageError(f"a change of {name}@{version} gave {new.name}@{new.version}")
        if not new.variants:
            return remove_file(path, point="lock")
        return replace_file(path, lock_bytes(new), point="lock")


def update_catalog_lock(
    path: str, *, guard: str, change: Callable[[CatalogLock], CatalogLock]
) -> bool:
    """The same for ``catalog.lock.json``."""
    with locked(guard):
        sweep(os.path.dirname(path) or ".")
        new = change(read_catalog_lock(path))
        return replace_file(path, catalog_lock_bytes(new), point="catalog-lock")


def replace_file(path: str, data: bytes, *, point: str) -> bool:
    """Writes a file unless it has these bytes; returns whether it changed."""
    try:
        with open(path, "rb") as file:
            if file.read(len(data) + 1) == data:
                return False
    except FileNotFoundError:
        pass
    atomic_write(path, data, point=point)
    return True


def with_platform(
    lock: Lock,
    release: ReleaseName,
    platform: Platform,
    *,
    pins: PlatformPins | None = None,
    half: ReleaseHalf | None = None,
    latest: Mapping[str, Claim] | None = None,
) -> Lock:
    """Returns ``lock`` with the given parts of one platform's section; None keeps a part.

    A claim with the key and outputs of the locked one keeps the locked record (mode and all).
    ``latest`` replaces only the kinds that it holds.
    A lock of what was adopted becomes one of what is built; it keeps what was adopted.
    """
    variant = lock.variant(release)
    old = variant.platforms.get(platform, PlatformLock())
    new = old
    if pins is not None:
        new = replace(new, pins=pins)
    if half is not None:
        before = old.release.actions if old.release else {}
        new = replace(new, release=replace(half, actions=_kept(before, half.actions)))
    if latest is not None:
        new = replace(new, latest={**old.latest, **_kept(old.latest, latest)})
    if new == old and platform in variant.platforms:
        return lock
    platforms = {**variant.platforms, platform: new}
    return with_variant(lock, release, replace(variant, origin=BUILT, platforms=platforms))


def with_variant(lock: Lock, release: ReleaseName, variant: VariantLock) -> Lock:
    """Returns ``lock`` with that variant."""
    return replace(lock, variants={**lock.variants, release.variant: variant})


def _kept(old: Mapping[str, Claim], new: Mapping[str, Claim]) -> dict[str, Claim]:
    result = {}
    for kind, claim in new.items():
        before = old.get(kind)
        same = before and before.key == claim.key and before.same_outputs(claim)
        result[kind] = before if same and before else claim
    return result
