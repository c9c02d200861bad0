"""``ssds doctor``: which components are here, and what each is for."""

from __future__ import annotations

import os

import click

from ssds.cli.app import Context
from ssds.cli.output import print_json, size_text, table
from ssds.core.errors import SsdsError
from ssds.core.platform import Platform
from ssds.host.machine import can_run, docker_engine, free_bytes, tool_version
from ssds.host.probe import ENFORCED, probe
from ssds.recipe.settings import ENVIRONMENT, SETTINGS_FILE, user_file
from ssds.workspace import Workspace

TOOLS = {
    "mmdebstrap": ("bases are bootstrapped with it", "mmdebstrap"),
    "apt-get": ("Debian packages are resolved with it", "apt"),
    "newuidmap": ("ordinary users build with it", "uidmap"),
    "apptainer": ("wrappers prefer it at run time", ""),
    "unshare": ("wrappers use it without Apptainer", "util-linux"),
    "skopeo": ("looks at what was pushed (optional)", "skopeo"),
    "podman": ("runs what was pushed (optional)", "podman"),
    "docker engine": ("the builder `docker`; runs what was pushed (optional)", "docker.io"),
    "buildah": ("the builder `buildah` (optional)", "buildah"),
    "git": ("tells the catalog's history (optional)", "git"),
}

EXTRAS = {
    "py-rattler": ("conda sets are resolved with it (optional)", "conda"),
}
"""Python package → what it is for, and the extra of ssds that brings it."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(context: Context, /, as_json: bool) -> int:
    """Say which components are here, what each is for, and what the sandbox enforces."""
    folder, wanted = "/tmp", "auto"  # noqa: S108 - only probed, nothing is kept
    builder, missing = "embedded", None
    store = ""
    settings: list[dict[str, str]] = []
    try:
        workspace = Workspace.open(context.folder)
        settings = _settings(workspace)
        store, wanted = workspace.store_path, workspace.settings.sandbox
        builder, missing = workspace.settings.builder, workspace.builder_missing
        folder = store
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
    except SsdsError as error:
        store = f"(no workspace: {error.message})"
    found = probe(folder, wanted)
    platforms = {p: can_run(Platform(p)) for p in ("linux/amd64", "linux/arm64")}
    tools = {n: docker_engine() if n == "docker engine" else tool_version(n) for n in TOOLS}
    extras = {name: _distribution(name) for name in EXTRAS}
    if as_json:
        print_json(
            {
                "store": store,
                "settings": settings,
                "free_bytes": free_bytes(folder),
                "sandbox": {
                    "mode": found.mode,
                    "reason": found.reason,
                    "hint": found.hint,
                    "enforced": dict(found.enforced),
                },
                "builder": {
                    "name": builder,
                    "reason": missing.message if missing else "",
                    "hint": missing.hint if missing else "",
                },
                "platforms": {p: e.kind for p, e in platforms.items()},
                "tools": tools,
                "extras": extras,
            }
        )
        return 0
    print(f"store    {store}  ({size_text(free_bytes(folder))} free)")
    print("settings, the first one that names a thing wins")
    print(table([[entry["from"], entry["what"]] for entry in settings], indent="  "))
    print(f"sandbox  {found.mode or 'unavailable: steps cannot run here'}  {found.reason}")
    if found.hint and not found.mode:
        print(f"         {found.hint}")
    print(table([[_mark(v), ENFORCED.get(k, k)] for k, v in found.enforced.items()], indent="  "))
    print(f"builder  {builder}  {'unavailable: ' + missing.message if missing else ''}".rstrip())
    if missing and missing.hint:
        print(f"         {missing.hint}")
    print("platforms")
    rows = [[_mark(e.available), p, e.kind, e.reason or e.hint] for p, e in platforms.items()]
    print(table(rows, indent="  "))
    print("tools")
    rows = []
    for name, (purpose, package) in TOOLS.items():
        version = tools[name]
        how = f"apt-get install {package}" if package and not version else ""
        rows.append([_mark(bool(version)), name, version or "missing", purpose, how])
    for name, (purpose, extra) in EXTRAS.items():
        version = extras[name]
        how = "" if version else f"pip install 'ssds[{extra}]'"
        rows.append([_mark(bool(version)), name, version or "missing", purpose, how])
    print(table(rows, indent="  "))
    return 0


def _distribution(name: str) -> str:
    """Returns the version of an installed Python package, or the empty string."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _settings(workspace: Workspace) -> list[dict[str, str]]:
    """Returns where settings come from, strongest first: environment, workspace, user."""
    names = sorted(
        n
        for n in os.environ
        if n in ENVIRONMENT or (n.startswith("SSDS_MIRROR_") and os.environ[n])
    )
    user = user_file(os.environ)
    own = os.path.join(workspace.root, SETTINGS_FILE)
    entries = [{"from": "environment", "what": " ".join(names) or "(nothing set)"}]
    for path, where in ((own, "workspace"), (user, "user")):
        read = path in workspace.settings.files
        entries.append({"from": where, "what": path + ("" if read else "  (not there)")})
    return entries


def _mark(good: bool) -> str:
    return "yes" if good else "no"
