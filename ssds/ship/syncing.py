"""Makes one channel agree with the locks: look, plan, push, note what was written (C14).

A place that is slow to look at keeps a document of ssds's own, the *state*: what ssds saw and
wrote there. While it is young and says what the locks say, nothing else is asked. It never decides
that something is written: whatever differs is looked at first. ``refresh`` asks for every tag,
manifest and blob. See ``docs/decisions/a-channels-state-is-a-hint.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ssds.core.digest import Digest
from ssds.core.records import dataclass, replace
from ssds.lock.model import Released
from ssds.oci.copy import HasBlobs
from ssds.recipe.model import Channel
from ssds.ship.changes import Change
from ssds.ship.channels import Attachment, plan_channel
from ssds.ship.evidence import Read, evidence_of
from ssds.ship.observation import Observation, observation_bytes
from ssds.ship.plug import Backend
from ssds.ship.pushing import Pushed, observe, push, subjects_of
from ssds.ship.state import read_state

TRUST_S = 7 * 24 * 3600
"""So long a state is believed; drift that others make is seen after this time at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A channel beside the locks.

    Attributes:
        observed: what is there; before: what ssds knew or wrote there, if anything.
        evidence: index digest → what should be attached to its images.
        changes: what differs.
        state: what the state document said, if it was there.
    """

    channel: Channel
    backend: Backend
    releases: tuple[Released, ...]
    observed: Observation
    before: Observation | None
    state: Observation | None
    evidence: dict[Digest, list[Attachment]]
    changes: tuple[Change, ...]


def look_at(
    channel: Channel,
    backend: Backend,
    releases: Sequence[Released],
    *,
    read: Read,
    now: int,
    remembered: Observation | None = None,
    refresh: bool = False,
) -> Look:
    """Compares a channel with the locks' releases.

    Args:
        read: gives a blob's bytes where they are here.
        now: seconds since the Unix epoch.
        remembered: what this workspace saw the last time, for places without a state.
        refresh: believe no state; ask for every manifest and blob.

    Raises:
        UnavailableError: the place does not answer.
    """
    state = read_state(backend)
    before = state or remembered
    if state is None or refresh or not 0 <= now - state.at < TRUST_S:
        observed = observe(backend, releases, now, deep=refresh)
    else:
        observed = state
        differing = _differing(channel, releases, state, read)
        seen = [r for r in releases if r.id.name in differing]
        if seen:
            observed = state.with_names(differing, subjects_of(seen), observe(backend, seen, now))
    evidence = evidence_for(releases, observed, read)
    changes = plan_channel(channel, releases, observed, before=before, evidence=evidence)
    return Look(
        channel=channel,
        backend=backend,
        releases=tuple(releases),
        observed=observed,
        before=before,
        state=state,
        evidence=evidence,
        changes=changes,
    )


def evidence_for(
    releases: Sequence[Released], observed: Observation, read: Read
) -> dict[Digest, list[Attachment]]:
    """Returns index digest → what should be attached to its images."""
    return {r.index.digest: found for r in releases if (found := evidence_of(r, observed, read))}


def _differing(
    channel: Channel, releases: Sequence[Released], state: Observation, read: Read
) -> frozenset[str]:
    """Returns the repositories of which the state does not say what the locks say."""
    evidence = evidence_for(releases, state, read)
    changes = plan_channel(channel, releases, state, evidence=evidence)
    return frozenset(
        c.what.partition(":")[0] for c in changes if c.verb not in ("=", "unmanaged")
    ) | frozenset(what.partition(":")[0] for what in state.wrote)


def carry_out(
    look: Look,
    source: HasBlobs,
    *,
    now: int,
    say: Callable[[str], None] = lambda _: None,
    stopping: threading.Event | None = None,
) -> Pushed:
    """Brings what differs, and notes in the place what is there now."""
    done = push(
        look.channel,
        look.backend,
        look.releases,
        source,
        observed=look.observed,
        before=look.before,
        evidence=look.evidence,
        now=now,
        say=say,
        stopping=stopping,
    )
    after = replace(done.after, lost={}, wrote=_wrote(look, done.after))
    if after != look.state:
        look.backend.write_state(observation_bytes(after))
    return done


def _wrote(look: Look, after: Observation) -> dict[str, Digest]:
    """Returns what ssds wrote and others changed: so that it stays known as theirs."""
    found: dict[str, Digest] = {}
    for change in look.changes:
        if change.verb != "x" or "drift" not in change.marks or look.before is None:
            continue
        wrote = look.before.wrote.get(change.what) or look.before.tags.get(change.what)
        if wrote is not None and after.tags.get(change.what) != wrote:
            found[change.what] = wrote
    return found
