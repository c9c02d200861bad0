"""``ssds export``: the locks' releases as SHPC, DUCC and NeuroDesk read them."""

from __future__ import annotations

import os

import click

from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, report_diagnostics, say, table
from ssds.cli.selecting import site_option
from ssds.cli.sites import site_of
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import UsageError
from ssds.exports.offers import Export, Offer
from ssds.lock.model import Lock
from ssds.recipe.model import Catalog, Site
from ssds.workspace import Workspace

EXIT_DIFFERENT = 2
FORMS = ("shpc", "ducc", "neurodesk")


@click.command("export")
@click.argument("form", type=click.Choice(FORMS))
@click.option("--to", "folder", required=True, type=click.Path(), help="The folder to keep.")
@site_option("Only what this site takes; with shpc also its settings and view.")
@click.option("--channel", default="", help="The registry whose addresses are written.")
@click.option("--cvmfs-repo", default="", metavar="REPO", help="ducc: the repository's name.")
@click.option("--user", default="cvmfs", show_default=True, help="ducc: the repository's owner.")
@click.option(
    "--against",
    default="",
    metavar="PATH",
    help="neurodesk: show what lists there say differently; exit 2 where they do.",
)
@click.option(
    "--menus-at",
    default="",
    metavar="FOLDER",
    help="neurodesk: where its menus will be, whose entries name it (default: the folder).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    form: str,
    folder: str,
    site_name: str,
    channel: str,
    cvmfs_repo: str,
    user: str,
    against: str,
    menus_at: str,
    as_json: bool,
) -> int:
    """Write what is released for others: an SHPC registry, a DUCC list, NeuroDesk's lists.

    It reads the catalog, locks and blobs only. Running it again renews what it wrote; other files
    in the folder are left alone.
    """
    from ssds.exports.folder import keep_export

    if against and form != "neurodesk":
        raise UsageError(
            "only NeuroDesk's lists can be compared",
            hint="Leave --against out.",
            code="D075",
        )
    workspace = Workspace.open(context.folder)
    catalog = workspace.catalog
    site = site_of(workspace, site_name) if site_name else None
    found = _offers(workspace, _repositories(catalog, channel), site)
    adopted = _adopted(workspace, site) if form == "neurodesk" else []
    menus = os.path.abspath(menus_at or folder)
    export = _export(form, found, site, cvmfs_repo, user, adopted, menus)
    kept = keep_export(folder, form, export)
    different = _differences(folder, against) if against else []
    if as_json:
        print_json(
            {
                "form": form,
                "written": list(kept.written),
                "removed": list(kept.removed),
                "left_as_edited": list(kept.edited),
                "unchanged": kept.same,
                "left_out": [list(note) for note in export.notes],
                "differences": different,
            }
        )
        return EXIT_DIFFERENT if different else 0
    reasons: dict[str, list[str]] = {}
    for release, reason in export.notes:
        reasons.setdefault(reason, []).append(release)
    for reason, releases in reasons.items():
        say(f"left out {', '.join(releases)}: {reason}")
    for path in kept.edited:
        say(f"left {path}: it is no longer wanted, but somebody changed it")
    undescribed = sum(not offer.about for offer in found)
    if undescribed:
        say(
            f"{counted(undescribed, 'release')} without summary, licence or categories: their "
            "bytes are not here. `ssds apply --fetch` brings them."
        )
    if kept.written or kept.removed:
        print(
            f"{folder}: {counted(len(kept.written), 'file')} written, {len(kept.removed)} removed, "
            f"{kept.same} as they were."
        )
    elif not export.files:
        print(f"Nothing of these releases can be said in this form; {folder} has no files of it.")
    else:
        print(f"Nothing to do: {folder} is as the locks say.")
    if against:
        titles = ["release", "field", "theirs", "ours", "reason"]
        if different:
            print(table([titles, *([row[title] for title in titles] for row in different)]))
        print(f"{counted(len(different), 'difference')} to the lists in {against}.")
    return EXIT_DIFFERENT if different else 0


def _adopted(workspace: Workspace, site: Site | None) -> list[Lock]:
    """Returns the locks of what was adopted and the site takes."""
    from ssds.ship.sites import wanted

    return [
        lock
        for lock in workspace.locks.releases.values()
        if any(s.adopted for v in lock.variants.values() for s in v.platforms.values())
        and (site is None or wanted(site, lock.release_name("")))
    ]


def _differences(folder: str, against: str) -> list[dict[str, str]]:
    """Returns what the lists that were written say otherwise than those of others."""
    from dataclasses import asdict

    from ssds.adopt.compare import compare
    from ssds.adopt.lists import read_lists

    theirs, ours = read_lists(against), read_lists(folder)
    report_diagnostics((*theirs.problems, *ours.problems))
    return [asdict(row) for row in compare(theirs, ours)]


def _repositories(catalog: Catalog, wanted: str) -> dict[str, str]:
    """Returns recipe → its repository on the first registry that it is published to."""
    registries = {name: c for name, c in catalog.channels.items() if c.kind == "registry"}
    if wanted and wanted not in registries:
        known = ", ".join(sorted(registries)) or "(none)"
        raise UsageError(
            f'there is no channel "{wanted}" of kind registry',
            hint=f"Known: {known}; channels are declared in catalog/channels.yaml.",
            code="D072",
        )
    found: dict[str, str] = {}
    for name, release in sorted(catalog.releases.items()):
        for channel in release.channels:
            if channel in registries and wanted in ("", channel):
                location = registries[channel].location.rstrip("/")
                found.setdefault(name.name, f"{location}/{name.name}")
    return found


def _offers(workspace: Workspace, repositories: dict[str, str], site: Site | None) -> list[Offer]:
    from ssds.exports.offers import offers
    from ssds.ship.releases import look_with
    from ssds.ship.sites import select

    locks = tuple(workspace.locks.releases.values())
    undescribed = _Descriptions(workspace)
    found = offers(locks, undescribed, repositories)
    if site is None:
        return found
    taken = {pick.released.id for pick in select(site, locks, look_with(undescribed)).picks}
    return [offer for offer in found if offer.released.id in taken]


class _Descriptions:
    """The metadata blobs of the store, and those that the catalog as it is would give."""

    def __init__(self, workspace: Workspace) -> None:
        from ssds.kinds.metadata.run import blob_of
        from ssds.kinds.metadata.spec import node

        blobs = (blob_of(node(release)) for release in workspace.catalog.releases.values())
        self._known = {sha256_of(data): data for data in blobs}
        store = workspace.store_if_there
        self._blobs = store.blobs if store else None

    def has(self, digest: Digest) -> bool:
        return digest in self._known or (self._blobs is not None and self._blobs.has(digest))

    def read(self, digest: Digest, limit_bytes: int = 64 << 20) -> bytes:
        if digest in self._known or self._blobs is None:
            return self._known[digest]
        return self._blobs.read(digest, limit_bytes)


def _export(
    form: str,
    found: list[Offer],
    site: Site | None,
    repo: str,
    user: str,
    adopted: list[Lock],
    menus: str,
) -> Export:
    if form == "shpc":
        from ssds.exports.shpc import export_shpc

        return export_shpc(found, site)
    if form == "ducc":
        from ssds.exports.ducc import export_ducc

        if not repo:
            raise UsageError(
                "a list for DUCC names its repository",
                hint="Say it: --cvmfs-repo unpacked.example.org",
                code="D073",
            )
        return export_ducc(found, repo, user)
    from ssds.exports.neurodesk import export_neurodesk

    return export_neurodesk(found, adopted, place=menus)
