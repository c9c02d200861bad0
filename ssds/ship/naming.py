"""How a site names its modules, and for which module systems they are written. Pure.

::

    flat        modules/<name>/<version>
    category    modules/<category>/<name>/<version>
    hierarchy   modules/<category>, which opens hierarchy/<category>/<name>/<version>
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ssds.core.versions import version_key
from ssds.recipe.model import Site
from ssds.ship import modules, tcl
from ssds.ship.modules import ModuleFacts, category_of


class Named(Protocol):
    """What of a record's entry is looked at here."""

    @property
    def name(self) -> str:
        """The software's name."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def variant(self) -> str:
        """Its variant, or the empty string."""

    @property
    def module(self) -> str:
        """The public module's last part."""

    @property
    def full(self) -> str:
        """The hidden module's last part."""

    @property
    def folder(self) -> str:
        """The folder of its modules."""

    @property
    def current(self) -> bool:
        """Whether the public module points at it."""

    @property
    def hidden(self) -> bool:
        """Whether its public module is not listed."""

    @property
    def withdrawn(self) -> bool:
        """Whether its modules refuse to load."""


def module_folder(site: Site, facts: ModuleFacts) -> str:
    """Returns the folder of a release's modules, relative to the site's folder."""
    if site.naming == "flat":
        return f"modules/{facts.name}"
    top = "modules" if site.naming == "category" else "hierarchy"
    return f"{top}/{category_of(facts.description)}/{facts.name}"


def runtime_module(site: Site) -> str:
    """Returns the module that brings the first runtime that has one; else the empty string."""
    found = (site.runtime_modules.get(runtime, "") for runtime in site.runtimes)
    return next((name for name in found if name), "")


def module_files(site: Site, facts: ModuleFacts, *, hidden: bool) -> dict[str, bytes]:
    """Returns path → bytes of one release's module in each system of the site."""
    path = f"{facts.place}/{facts.full if hidden else facts.version}"
    files = {}
    if site.modules != "tcl":
        files[f"{path}.lua"] = modules.module_text(facts, hidden=hidden)
    if site.modules != "lmod":
        files[path] = tcl.module_text(facts, hidden=hidden)
    return files


def default_modules(site: Site, entries: Iterable[Named]) -> dict[str, str]:
    """Returns name → the public module that the bare name loads: the site's word, else the newest.

    A variant is the default only where there is nothing else, or the site says so; what is
    withdrawn never is.
    """
    found: dict[str, list[Named]] = {}
    for entry in entries:
        if not entry.withdrawn:
            found.setdefault(entry.name, []).append(entry)
    chosen = {}
    for name, several in found.items():
        wanted = site.defaults.get(name)
        if wanted in {entry.module for entry in several}:
            chosen[name] = str(wanted)
            continue
        listed = [entry for entry in several if not entry.hidden] or several
        best = max(listed, key=lambda e: (not e.variant, version_key(e.version), e.module))
        chosen[name] = best.module
    return chosen


def folder_files(
    site: Site, entries: Sequence[Named], chosen: Mapping[str, str]
) -> dict[str, bytes]:
    """Returns what says which versions are hidden and which is the default."""
    hidden: dict[str, set[str]] = {}
    names: dict[str, tuple[str, str]] = {}
    for entry in entries:
        inside = hidden.setdefault(entry.folder, set())
        inside.add(entry.full)
        if entry.current and (entry.hidden or entry.withdrawn):
            inside.add(entry.module)
        if entry.current and chosen.get(entry.name) == entry.module:
            names[entry.folder] = (entry.name, entry.module)
    files = {}
    for folder, versions in hidden.items():
        default = names.get(folder, ("", ""))[1]
        top, _, name = folder.partition("/")
        name = name.rpartition("/")[2] if top == "hierarchy" else name
        if site.modules != "tcl":
            files[f"{folder}/.modulerc.lua"] = modules.modulerc_text(
                sorted(versions), name, default
            )
        if site.modules != "lmod":
            files[f"{folder}/.modulerc"] = tcl.modulerc_text(sorted(versions), name, default)
    return files


def openers(site: Site, folders: Iterable[str]) -> dict[str, bytes]:
    """Returns the modules that open the categories of these folders (``naming: hierarchy``)."""
    files = {}
    for category in sorted({f.split("/")[1] for f in folders if f.startswith("hierarchy/")}):
        folder = f"hierarchy/{category}"
        if site.modules != "tcl":
            files[f"modules/{category}.lua"] = modules.opener_text(category, folder)
        if site.modules != "lmod":
            files[f"modules/{category}"] = tcl.opener_text(category, folder)
    return files
