"""Remote caches as ``apply`` and ``cache`` see them: bytes to be brought, claims to be sent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ssds.cli.output import counted, say, size_text
from ssds.cli.planning import Planned
from ssds.core.errors import SsdsError
from ssds.core.model import Claim, NodeId
from ssds.engine.apply import Result
from ssds.engine.states import USABLE
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.trust.keys import Signer


def bring(workspace: Workspace, planned: Planned) -> bool:
    """Brings what the plan takes from caches into the store; False where some cannot be had."""
    caches = workspace.caches
    offers = planned.pushes.offers
    wanted = {d for found in planned.plan.brought.values() for d in found if d not in offers}
    if caches is None or not wanted:
        return True
    with workspace.store.shared():
        failed = caches.bring(wanted, workspace.store, _said)
    for line in caches.new_warnings():
        say(f"warning: {line}")
    return not failed


def _said(line: str) -> None:
    say(f"  · {line}")


def send(workspace: Workspace, result: Result) -> None:
    """Sends what an apply knows to the caches with ``push: true``; a failure is only a warning."""
    wanted = {one.name for one in workspace.settings.caches if one.push}
    if not wanted:
        return
    from ssds.cache.joining import join_if_many
    from ssds.cache.push import push
    from ssds.parts import caches

    claims = {
        name: record.claim
        for name, record in result.records.items()
        if record.state in USABLE and record.claim is not None
    }
    key = signing_key(workspace)
    for cache in caches(workspace.settings, workspace.state_folder):
        if cache.name not in wanted:
            continue
        try:
            own = own_claims(workspace, claims.items())
            done = push(cache, own, workspace.store, signer=key)
            join_if_many(cache)
        except SsdsError as error:
            say(f"warning: nothing was sent to the cache {cache.name}: {error.message}")
            continue
        if done.claims:
            blobs = f"{counted(done.blobs, 'blob')}, {size_text(done.size_bytes)}"
            print(f"Sent to the cache {cache.name}: {counted(done.claims, 'claim')}, {blobs}.")


def signing_key(workspace: Workspace) -> Callable[[], Signer | None]:
    """Returns what opens the key that signs, once; it gives None where the settings name none."""

    @functools.cache
    def key() -> Signer | None:
        from ssds.cli.signing import releases_signer

        return releases_signer(workspace)

    return key


def own_claims(
    workspace: Workspace, claims: Iterable[tuple[NodeId, Claim]]
) -> Iterator[tuple[Claim, str]]:
    """Gives the store's records of claims: a lock's hold less."""
    found = dict(claims)
    known = workspace.store.claims.find_many(claim.key for claim in found.values())
    for name, claim in found.items():
        for own in known.get(claim.key, ()):
            if own.same_outputs(claim) and own.kind == claim.kind:
                yield own, str(name)
                break
