"""Signed deployments: the record of a site's generation, and whether the tree is as it says."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from ssds.core.errors import SsdsError, UsageError
from ssds.core.records import replace
from ssds.host.spider import FOLDER as LMOD_FOLDER
from ssds.ship.checking import check_tree
from ssds.ship.generation import RECORD, read_record
from ssds.ship.tree import SITES, linked_number, site_path
from ssds.trust.files import verify_file
from ssds.trust.keys import PublicKey
from ssds.trust.report import Report

NO_IMAGES = (
    "the bytes inside the unpacked images: their names and sizes were compared with the tree's own "
    "record of them"
)
NO_DATA = (
    "the bytes of reference data: the files' names and sizes were compared with the tree's own "
    "record of them"
)
NO_NEWER = "that it is the newest generation: a rollback is no forgery"
NO_SPIDER = "Lmod's spider cache, which is made on the spot: no signature covers it"


def verify_site(path: str, keys: Sequence[PublicKey]) -> Report:
    """Returns what the signature of a site's deployment proves.

    Args:
        path: ``TREE/sites/NAME``.

    Raises:
        UsageError: E264, the path is no site of a tree.
    """
    above, name = os.path.split(os.path.abspath(path))
    folder = os.path.dirname(above)
    try:
        known = os.path.basename(above) == SITES and linked_number(folder, name, "current")
    except SsdsError:
        known = False
    if not known:
        raise UsageError(
            f"{path} is no deployed site",
            hint="Name TREE/sites/NAME, as `ssds deploy` makes it.",
            code="E264",
        )
    generation = os.path.join(folder, site_path(name), str(known))
    report, data = verify_file(os.path.join(generation, RECORD), keys)
    report = replace(report, target=path)
    if not report.good:
        return report
    wrong: list[str] = []
    proven = list(report.proven)
    try:
        deployed = read_record(data, int(known))
        site = json.loads(data).get("site")
        if site != name:
            wrong.append(f"the record is that of the site {str(site)[:80]}")
        wrong += check_tree(folder, (name,)).problems
    except SsdsError as error:
        return replace(report, wrong=(error.message,))
    current = [entry for entry in deployed.entries if entry.current]
    proven.append(f"generation {known} serves {len(current)} releases" + ":" * bool(current))
    proven += [f"  {entry.name}/{entry.module} r{entry.revision}" for entry in current]
    if not wrong:
        proven.append("modules, wrappers and links of this generation are what was signed")
    unproven = [NO_NEWER, NO_IMAGES]
    if deployed.data:
        unproven.append(NO_DATA)
    if os.path.isdir(os.path.join(generation, LMOD_FOLDER)):
        unproven.append(NO_SPIDER)
    return replace(report, proven=tuple(proven), wrong=tuple(wrong), unproven=tuple(unproven))
