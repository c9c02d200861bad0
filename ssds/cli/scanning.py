"""Scans images that no lock names, for ``ssds scan PLACE``."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from ssds.core.errors import UsageError
from ssds.core.platform import Platform
from ssds.workspace import Workspace

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from ssds.advisories.osv import AdvisorySet
    from ssds.examine.places import Opened
    from ssds.reports.model import Image


def is_place(text: str) -> bool:
    """Whether an argument is a place of an image: no name of a release has a slash."""
    return "/" in text or text in (".", "..") or text.endswith((".sif", ".tar"))


def scan_place(workspace: Workspace, place: str, platform: str, advisories: str) -> Image:
    """Returns what is known of the image at ``place``; nothing of it is kept.

    Args:
        platform: which of several; this machine's where it is empty.
        advisories: the set that is asked; where empty the catalog's that speaks of the image's
            distribution.
    """
    from ssds.examine.look import look_through
    from ssds.examine.places import REGISTRY, open_place
    from ssds.host.folders import scratch_folder
    from ssds.host.machine import native_platform
    from ssds.reports.model import Image

    where = place if place.startswith(REGISTRY) else os.path.abspath(place)
    wanted = Platform(platform) if platform else native_platform()
    with scratch_folder(os.path.join(workspace.state_folder, "scratch")) as scratch:
        opened = open_place(where, wanted, scratch, workspace.mirrors)
        looked = look_through(opened, place, partial(_set_for, workspace, advisories))
    return Image(
        release=place,
        platform=_platform(opened, platform),
        file=place,
        scan=looked.scan,
        remarks=looked.remarks,
        inspected=True,
    )


def _platform(opened: Opened, asked: str) -> str:
    return opened.platform or asked or "-"


def _set_for(workspace: Workspace, name: str, ecosystems: frozenset[str]) -> AdvisorySet | None:
    """Returns the named set, or the first that speaks of one of these ecosystems, or None."""
    from ssds.advisories import pack
    from ssds.kinds.scan.resolve import set_bytes

    known = workspace.catalog.advisories
    if name and name not in known:
        raise UsageError(
            f"the catalog has no advisory set {name!r}",
            hint=f"It has {', '.join(sorted(known)) or 'none'} (catalog/advisories.yaml).",
            code="E287",
        )
    for one in [name] if name else sorted(known):
        found = pack.read_set(set_bytes(workspace.root, known[one]))
        if name or ecosystems & set(found.ecosystems):
            return found
    return None


def held(workspace: Workspace, images: Sequence[Image], policy: str, as_of: dt.date) -> list[str]:
    """Returns why a policy does not let images pass on a day; nothing without a policy."""
    if not policy:
        return []
    from ssds.kinds.gate.judge import judge
    from ssds.kinds.gate.spec import age_rules, rules_of

    known = workspace.catalog.policies
    if policy not in known:
        raise UsageError(
            f"there is no policy {policy!r}",
            hint=f"Policies are {', '.join(sorted(known))}; catalog/policies.yaml has them.",
            code="E288",
        )
    reasons = []
    for image in images:
        assert image.scan is not None
        age, _ = age_rules(known[policy], image.scan.advisories_date, as_of)
        rules = {**rules_of(known[policy]), **age}
        found = judge(image.scan, rules, (), inspection=image.remarks)
        lines = [*found.refused, *(one.sentence(beyond=True) for one in found.held)]
        reasons += [f"{image.release}: {line}" for line in lines]
    return reasons
