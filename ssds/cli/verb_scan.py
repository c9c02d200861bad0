"""``ssds scan``: what the newest scans found, and who serves it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.output import json_text, say, show, table
from ssds.cli.releases import select
from ssds.cli.selecting import platform_option
from ssds.cli.wishes import parse_date
from ssds.core.errors import UsageError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ssds.core.canonical import Json
    from ssds.core.digest import Digest
    from ssds.lock.model import Lock, PlatformLock
    from ssds.recipe.model import Target
    from ssds.reports.model import Image, Report

FORMATS = ("table", "json", "sarif", "cyclonedx", "openvex", "markdown", "html")


@click.command("scan")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="SARIF is 2.1.0, CycloneDX a VDR of 1.6, OpenVEX 0.2.0; HTML has no script.",
)
@click.option("--cve", default="", metavar="ID", help="Only this one, by its id or an alias.")
@platform_option
@click.option(
    "--deployed",
    "trees",
    multiple=True,
    metavar="TREE",
    type=click.Path(exists=True, file_okay=False),
    help="Say also what the sites of this deployed tree serve.",
)
@click.option(
    "--since",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Report what is new and gone since FILE, an earlier report with --format json.",
)
@click.option("--advisories", default="", metavar="SET", help="Of a PLACE: ask this set.")
@click.option(
    "--policy", default="", metavar="NAME", help="Of a PLACE: end with 3 where it does not pass."
)
@click.option("--out", default="", metavar="FILE", help="Write to this file, not to stdout.")
@click.argument(
    "releases", nargs=-1, metavar="[RELEASE|PLACE]...", shell_complete=complete_releases
)
@click.pass_obj
def command(
    context: Context,
    /,
    releases: tuple[str, ...],
    form: str,
    cve: str,
    platform: str,
    trees: tuple[str, ...],
    since: str | None,
    advisories: str,
    policy: str,
    out: str,
) -> int:
    """Report what the newest scan of each RELEASE found (NAME or NAME@VERSION; all by default).

    Nothing is scanned again: `ssds apply` does that where an image or the advisory set is new. What
    nobody looked at is listed, for no findings is then not "clean".

    A PLACE is an image that no lock names, and it is scanned now: the folder of an unpacked image,
    a SIF file, an OCI image layout (FOLDER[:NAME]), an archive of `docker save`, or docker://NAME.
    """
    from ssds.cli.scanning import held, is_place, scan_place
    from ssds.host.files import atomic_write
    from ssds.reports.model import Report

    workspace = Workspace.open(context.folder)
    places = [text for text in releases if is_place(text)]
    names = tuple(text for text in releases if not is_place(text))
    if (policy or advisories) and not places:
        raise UsageError(
            "--policy and --advisories are for a PLACE, and none is named",
            hint="Name an image, its folder as ./NAME. Releases are judged by the policy that "
            "their recipes name: `ssds status`.",
            code="E291",
        )
    known: dict[ReleaseName, object] = dict(workspace.catalog.releases)
    for lock in workspace.locks.releases.values():  # also of what is in the catalog no more
        known.update((lock.release_name(variant), lock) for variant in lock.variants)
    chosen = select(known, names) or (set() if places else set(known))
    only = Platform(platform) if platform else None
    report = Report(
        images=(
            *(image for name in sorted(chosen) for image in _images(workspace, name, only)),
            *(scan_place(workspace, place, platform, advisories) for place in places),
        )
    )
    scanned = report.images[-len(places) :] if places else ()
    reasons = held(workspace, scanned, policy, parse_date(""))
    if cve:
        report = report.only(cve)
    report = report.on_sites(entry for tree in trees for entry in _deployed(tree))
    text = _since(report, since, form, cve, platform) if since else _text(report, form, cve)
    if out:
        atomic_write(os.path.abspath(out), text.encode(), point="scan.file")
    elif form in ("json", "sarif", "cyclonedx", "openvex"):
        sys.stdout.write(text)
    else:
        show(text.rstrip("\n"))
    for line in reasons:
        say(line)
    return 3 if reasons else 0


def _images(workspace: Workspace, name: ReleaseName, only: Platform | None) -> Iterator[Image]:
    from ssds.kinds.gate.findings import read_inspection, read_scan
    from ssds.reports.model import Image

    release = workspace.catalog.releases.get(name)
    lock = workspace.locks.get(name)
    locked = lock.variant(name).platforms
    for platform in sorted({*locked, *(release.targets if release is not None else ())}):
        if only is not None and platform != only:
            continue
        section = locked.get(platform)
        data, missing = _findings(workspace, section)
        half = section.release if section is not None else None
        seen = section.latest.get("inspect") if section is not None else None
        remarks = workspace.read_blob(seen.outputs["inspection"]) if seen is not None else None
        yield Image(
            release=str(name),
            platform=str(platform),
            file=release.recipe_path if release is not None else _lock_file(workspace, lock),
            config=half.config.digest if half is not None else None,
            manifest=half.manifest.digest if half is not None else None,
            scan=read_scan(data) if data is not None else None,
            waivers=_waivers(release.targets.get(platform) if release is not None else None),
            remarks=read_inspection(remarks) if remarks is not None else (),
            inspected=remarks is not None,
            missing=missing,
        )


def _waivers(target: Target | None) -> tuple[Mapping[str, Json], ...]:
    """Returns the waivers of a recipe that are in force today."""
    from ssds.kinds.gate.spec import in_force, waiver_form

    return tuple(map(waiver_form, in_force(target.waivers, parse_date("")))) if target else ()


def _lock_file(workspace: Workspace, lock: Lock) -> str:
    return os.path.join(os.path.basename(workspace.lock_folder), lock.file_name)


def _findings(workspace: Workspace, section: PlatformLock | None) -> tuple[bytes | None, str]:
    claim = section.latest.get("scan") if section is not None else None
    if claim is None:
        return None, "never scanned; `ssds apply` does it"
    data = workspace.read_blob(claim.outputs["findings"])
    return (
        data,
        "" if data is not None else "its findings are not here; `ssds apply --fetch` brings them",
    )


def _deployed(tree: str) -> Iterator[tuple[str, str, Mapping[str, Digest]]]:
    """Gives (site, module, platform → config digest) of what the sites of a tree serve."""
    from ssds.ship.tree import read_deployed, sites_in

    sites = sites_in(tree)
    if not sites:
        raise UsageError(
            f"{tree} is no deployed tree",
            hint="Name the folder that `ssds deploy --to` wrote.",
            code="E266",
        )
    for site in sites:
        for entry in read_deployed(tree, site).entries:
            module = f"{entry.name}/{entry.module if entry.current else entry.full}"
            yield f"{tree}: {site}", module, entry.images


def _text(report: Report, form: str, cve: str) -> str:
    """Returns the report in a form, with its last line end."""
    if form == "json":
        from ssds.reports.model import to_json

        return json_text(to_json(report), escaped=True) + "\n"
    if form == "sarif":
        from ssds.reports.sarif import sarif

        return json_text(sarif(report), escaped=True) + "\n"
    if form == "cyclonedx":
        from ssds.reports.vdr import vdr

        return json_text(vdr(report), escaped=True) + "\n"
    if form == "openvex":
        from ssds.reports.openvex import openvex

        return json_text(openvex(report, parse_date("").isoformat()), escaped=True) + "\n"
    if form == "markdown":
        from ssds.reports.markdown import markdown

        return markdown(report)
    if form == "html":
        from ssds.reports.html import html

        return html(report)
    return _plain(report, cve)


def _since(report: Report, file: str, form: str, cve: str, platform: str) -> str:
    """Returns what is new and gone since an earlier report."""
    from ssds.reports import markdown
    from ssds.reports.since import LIMIT_BYTES, difference

    with open(file, "rb") as earlier:
        found = difference(
            earlier.read(LIMIT_BYTES + 1),
            report,
            only=cve,
            platform=str(Platform(platform)) if platform else "",
        )
    if form == "json":
        return json_text(found.to_json(), escaped=True) + "\n"
    if form in ("table", "markdown"):
        return markdown.since(found)
    raise UsageError(
        f"a difference is not written as {form}", hint="Use --format markdown or json.", code="E289"
    )


def _plain(report: Report, cve: str) -> str:
    from ssds.reports.model import COUNTS_HEAD, HEAD, SERVED_HEAD

    parts = [] if cve else [table([COUNTS_HEAD, *report.counts])]
    if report.rows:
        parts.append(table([HEAD, *report.rows]))
    elif cve:
        parts.append(f"{cve}: no scan that is here found it.")
    if report.served:
        parts.append(table([SERVED_HEAD, *(s.row for s in report.served)]))
    if report.gaps:
        parts.append(table([["not looked at", "", ""], *report.gaps]))
    return "\n\n".join(parts) + "\n"
