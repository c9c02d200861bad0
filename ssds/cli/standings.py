"""How releases stand in the ledger, for ``audit`` and ``status``."""

from __future__ import annotations

from collections.abc import Iterable

from ssds.audit.agreements import Released, Standing, stand
from ssds.core.model import ReleaseName
from ssds.workspace import Workspace


def standings(
    workspace: Workspace, names: Iterable[ReleaseName], platforms: Iterable[str] = ()
) -> tuple[Standing, ...]:
    """Returns how each release on each of its locked platforms stands.

    Args:
        platforms: only these; none means all.
    """
    only = {str(platform) for platform in platforms}
    wanted = []
    for name in sorted(names):
        targets = {t.platform: t for t in workspace.catalog.releases[name].targets.values()}
        for platform, section in sorted(workspace.locks.get(name).variant(name).platforms.items()):
            if section.release is None or (only and str(platform) not in only):
                continue
            target = targets.get(platform)
            policy = workspace.catalog.policies.get(target.policy) if target else None
            wanted.append(
                Released(
                    release=str(name),
                    platform=str(platform),
                    manifest=section.release.manifest.digest,
                    demand=policy.reproducible if policy else None,
                )
            )
    store = workspace.store_if_there
    return stand(wanted, store.claims.audits() if store else ())
