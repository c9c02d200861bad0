"""What the shell's TAB offers; reads file names and lock names only, imports nothing heavy."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem

from ssds.core.model import KINDS

_MARK = "ssds.yaml"
_SUFFIX = ".lock.json"


def _root(ctx: click.Context) -> str:
    """Returns the workspace's folder without reading it, or the empty string."""
    outer = ctx.find_root().params.get("folder") or "."
    folder = os.path.abspath(str(outer))
    while not os.path.isfile(os.path.join(folder, _MARK)):
        above = os.path.dirname(folder)
        if above == folder:
            return ""
        folder = above
    return folder


def _listed(*parts: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.join(*parts)))
    except OSError:
        return []


def _names(ctx: click.Context) -> list[str]:
    """Returns recipe names, and ``name@version`` where a lock says a version."""
    root = _root(ctx)
    if not root:
        return []
    names = [
        name
        for name in _listed(root, "catalog")
        if os.path.isfile(os.path.join(root, "catalog", name, "recipe.yaml"))
    ]
    locks = [n.removesuffix(_SUFFIX) for n in _listed(root, "lockfiles") if n.endswith(_SUFFIX)]
    return [*names, *(lock for lock in locks if "@" in lock)]


def complete_releases(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers names; versions once an ``@`` was typed."""
    wanted = [n for n in _names(ctx) if ("@" in n) == ("@" in incomplete)]
    return [CompletionItem(n) for n in wanted if n.startswith(incomplete)]


def complete_nodes(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers names; kinds once a ``:`` was typed."""
    owner, colon, kind = incomplete.partition(":")
    if not colon:
        return complete_releases(ctx, param, incomplete)
    return [CompletionItem(f"{owner}:{k}") for k in KINDS if k.startswith(kind)]


def complete_locking(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers the verbs below ``lock``, then names."""
    verbs = () if ctx.params.get(param.name or "") else ("merge", "diff")
    found = [CompletionItem(v) for v in verbs if v.startswith(incomplete)]
    return found + complete_releases(ctx, param, incomplete)


def complete_sites(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers the sites of the catalog."""
    root = _root(ctx)
    names = [n.removesuffix(".yaml") for n in _listed(root, "catalog", "sites")] if root else []
    return [CompletionItem(n) for n in names if n.startswith(incomplete)]


def complete_channels(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers the channels of the catalog: the keys of its file, read as lines."""
    root = _root(ctx)
    try:
        with open(os.path.join(root or "", "catalog", "channels.yaml"), encoding="utf-8") as file:
            lines = file.read(1 << 20).splitlines() if root else []
    except (OSError, UnicodeDecodeError):
        return []
    names = [n.partition(":")[0] for n in lines if n and n[0] not in " #\t" and ":" in n]
    return [CompletionItem(n) for n in names if n.startswith(incomplete)]


def complete_platforms(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers the platforms that ssds knows."""
    known = ("linux/amd64", "linux/arm64")
    return [CompletionItem(n) for n in known if n.startswith(incomplete)]


def complete_renewal(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers the sorts of pins."""
    from ssds.engine.renewal import WORDS

    return [CompletionItem(n) for n in WORDS if n.startswith(incomplete)]
