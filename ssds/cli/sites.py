"""The site that a verb was given by name."""

from __future__ import annotations

from ssds.core.errors import InputError, UsageError
from ssds.recipe.codes import near
from ssds.recipe.model import Site
from ssds.workspace import Workspace


def site_of(workspace: Workspace, name: str) -> Site:
    """Returns a site of the catalog.

    Raises:
        InputError: its file has errors; all are told.
        UsageError: E034, there is no such site.
    """
    path = f"{workspace.settings.catalog}/sites/{name}.yaml"
    if problems := workspace.reading.site_errors.get(path):
        raise InputError(problems)
    sites = workspace.catalog.sites
    if name not in sites:
        known = ", ".join(sorted(sites)) or "(none)"
        hint = f"Known: {known}; a site is a file catalog/sites/NAME.yaml."
        raise UsageError(
            f'there is no site "{name}"',
            hint=f"{near(name, set(sites))} {hint}".strip(),
            code="E034",
        )
    return sites[name]
