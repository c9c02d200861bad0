"""A registry for SHPC (Singularity Registry HPC): ``container.yaml`` per image, settings, a view.

Its format has one digest per tag, so the digest is that of the index: a container runtime takes
the image of its own platform from it.

Source: the JSON Schemas of singularity-hpc 0.1, module ``shpc.main.schemas``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssds.core.errors import Refused
from ssds.exports.offers import Export, Offer, by_name
from ssds.recipe.model import Site

REGISTRY = "registry"
NOBODY = "the maintainers of this catalog"


def export_shpc(found: Iterable[Offer], site: Site | None = None) -> Export:
    """Returns ``registry/<image>/container.yaml`` of every image, and a site's settings and view.

    A release whose commands, environment or summary differ from the newest one's gets an overrides
    file of its own. Two commands of one name: the one on the image's PATH stays.
    """
    files: dict[str, bytes] = {}
    notes: list[tuple[str, str]] = []
    modules = []
    for name, releases in sorted(by_name(found).items()):
        placed = [offer for offer in releases if offer.repository]
        notes += [
            (str(offer.released.id), "no registry holds it: name a channel of kind registry")
            for offer in releases
            if not offer.repository
        ]
        if not placed:
            continue
        folder = f"{REGISTRY}/{_folder(placed[-1].repository)}"
        files.update({f"{folder}/{path}": data for path, data in _container(placed).items()})
        notes += [
            (str(offer.released.id), f"{key} is left out: SHPC would not quote its value")
            for offer in placed
            for key, value in _environment(offer).items()
            if not _safe(value)
        ]
        modules += [f"{name}/{offer.tag}" for offer in placed]
    if site is not None:
        files["settings.yml"] = _yaml(_settings(site))
        files[f"views/{site.name}/view.yaml"] = _yaml(
            {"view": {"name": site.name, "modules": modules, "system_modules": []}}
        )
    return Export(files=files, notes=notes)


def _folder(repository: str) -> str:
    parts = repository.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Refused(
            f"the repository {repository!r} cannot be a folder",
            hint="Correct the channel's location in catalog/channels.yaml.",
            code="D074",
        )
    return repository


def _container(releases: Sequence[Offer]) -> dict[str, bytes]:
    newest = next((o for o in reversed(releases) if not o.released.id.variant), releases[-1])
    tags = {offer.tag: str(offer.released.index.digest) for offer in releases}
    main = _changing(newest)
    document: dict[str, Any] = {
        "docker": newest.repository,
        "latest": {newest.tag: tags[newest.tag]},
        "tags": tags,
        "maintainer": _maintainer(newest),
        **main,
    }
    if newest.text("homepage"):
        document["url"] = _plain(newest.text("homepage"))
    if newest.part("hints").get("gpu") in ("nvidia", "amd", "any"):
        document["features"] = {"gpu": True}
    files = {}
    overrides = {}
    for offer in releases:
        own = _changing(offer)
        if own != main:
            overrides[offer.tag] = f"{offer.tag}.yaml"
            files[f"{offer.tag}.yaml"] = _yaml({key: own.get(key, {}) for key in {**main, **own}})
    if overrides:
        document["overrides"] = overrides
    return {"container.yaml": _yaml(document), **files}


def _changing(offer: Offer) -> dict[str, Any]:
    """Returns what may differ from release to release, and can be overridden."""
    aliases: dict[str, str] = {}
    for command in sorted(offer.commands, key=lambda c: (c.startswith("/"), c)):
        aliases.setdefault(command.rsplit("/", 1)[-1], command)
    found: dict[str, Any] = {
        "description": _plain(offer.text("summary", offer.name)),
        "aliases": dict(sorted(aliases.items())),
    }
    environment = {k: v for k, v in _environment(offer).items() if _safe(v)}
    if environment:
        found["env"] = environment
    return found


def _environment(offer: Offer) -> dict[str, str]:
    return {str(k): str(v) for k, v in offer.part("deploy", "environment").items()}


def _safe(value: str) -> bool:
    return not set(value) & set('"\\`$\n')


def _plain(text: str) -> str:
    """Returns text that its module templates, which quote nothing, can hold."""
    fit = text.translate(str.maketrans('"\\[]{}', "'/()()"))
    return " ".join(fit.split())


def _maintainer(offer: Offer) -> str:
    for person in offer.entries("maintainers"):
        if person.get("github"):
            return f"@{person['github']}"
        if person.get("name"):
            return _plain(str(person["name"]))
    return NOBODY


def _settings(site: Site) -> dict[str, Any]:
    """Returns a whole settings file; ``$SSDS_SHPC`` is the export's folder, set by who uses it."""
    tech = next((r for r in site.runtimes if r in ("apptainer", "singularity", "podman")), "")
    return {
        "registry": [f"$SSDS_SHPC/{REGISTRY}"],
        "module_sys": "tcl" if site.modules == "tcl" else "lmod",
        "module_base": "$SSDS_SHPC/modules",
        "wrapper_base": "$SSDS_SHPC/modules",
        "container_base": "$SSDS_SHPC/containers",
        "views_base": "$SSDS_SHPC/views",
        "module_name": "{{ parsed_name.tool }}",
        "container_tech": "podman" if tech == "podman" else "singularity",
        "singularity_path": tech if tech in ("apptainer", "singularity") else "singularity",
        "singularity_module": None,
        "bindpaths": ",".join(site.binds) or None,
        "environment_file": "99-shpc.sh",
        "singularity_shell": "/bin/sh",
        "wrapper_scripts": {
            "enabled": True,
            "singularity": "singularity.sh",
            "podman": "docker.sh",
        },
        "container_features": {"gpu": None, "x11": None, "home": None},
        "default_version": "module_sys",
        "wrapper_shell": "/bin/bash",
        "test_shell": "/bin/bash",
        "enable_tty": True,
    }


def _yaml(value: Mapping[str, Any]) -> bytes:
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
    return text.encode()
