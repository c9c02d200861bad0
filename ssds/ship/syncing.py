"""Makes one channel agree with the locks: look, plan, push, note what was written (C14).

A place that is slow to look at keeps a document of ssds's own, the *state*: what ssds saw and
wrote there. While it is young and says what the locks say, nothing else is asked. It never decides
that something is written: whatever differs is looked at first. ``anew`` asks for every tag, and
``deep`` for every manifest and blob. See ``docs/decisions/a-channels-state-is-a-hint.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence

from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, replace
from ssds.lock.model import Released
from ssds.oci.copy import HasBlobs
from ssds.recipe.model import Channel
from ssds.ship.changes import DRIFT, Change
from ssds.ship.channels import Attachment, plan_channel
from ssds.ship.evidence import Read, evidence_of
from ssds.ship.looking import observe, subjects_of
from ssds.ship.observation import Observation, observation_bytes
from ssds.ship.plug import Backend
from ssds.ship.pushing import Pushed, push
from ssds.ship.signatures import Signing
from ssds.ship.state import read_state

TRUST_S = 7 * 24 * 3600
"""So long a state is believed; drift that others make is seen after this time at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A channel beside the locks.

    Attributes:
        only: the releases that are asked for; None for all.
        observed: what is there; before: what ssds knew or wrote there, if anything.
        evidence: index digest → what should be attached to its images.
        changes: what differs.
        state: what the state document said, if it was there.
    """

    channel: Channel
    backend: Backend
    releases: tuple[Released, ...]
    only: frozenset[ReleaseName] | None
    observed: Observation
    before: Observation | None
    state: Observation | None
    evidence: dict[Digest, list[Attachment]]
    changes: tuple[Change, ...]

    @property
    def chosen(self) -> tuple[Released, ...]:
        """The releases that are asked for."""
        return chosen(self.releases, self.only)

    def narrowed(self, only: frozenset[ReleaseName]) -> Look:
        """Returns the same for some of the releases."""
        changes = tuple(c for c in self.changes if c.release in only)
        return replace(self, only=only, changes=changes)

    def noted(self) -> Observation:
        """Returns what is there, with what ssds wrote where that differs: for the next look."""
        return replace(self.observed, wrote=_wrote(self, self.observed))


def chosen(
    releases: Sequence[Released], only: Container[ReleaseName] | None
) -> tuple[Released, ...]:
    """Returns the releases that are asked for."""
    return tuple(r for r in releases if only is None or r.id in only)


def look_at(
    channel: Channel,
    backend: Backend,
    releases: Sequence[Released],
    *,
    read: Read,
    now: int,
    remembered: Observation | None = None,
    only: frozenset[ReleaseName] | None = None,
    anew: bool = False,
    deep: bool = False,
    signing: Signing | None = None,
) -> Look:
    """Compares a channel with the locks' releases.

    Args:
        releases: all that the channel should have; only: those that are asked for.
        read: gives a blob's bytes where they are here.
        now: seconds since the Unix epoch.
        remembered: what this workspace saw the last time, for places without a state.
        anew: believe no state; deep: and ask for every manifest and blob.
        signing: signs what has no signature of its key; None for no signatures.

    Raises:
        UnavailableError: the place does not answer.
    """
    state = read_state(backend)
    before = state or remembered
    young = state is not None and not (anew or deep) and 0 <= now - state.at < TRUST_S
    if before is None or (only is None and not young):
        observed = observe(backend, releases, now, deep=deep)
    else:
        names = frozenset(r.id.name for r in chosen(releases, only))
        if young:
            names &= _differing(channel, releases, before, read, only, signing)
        asked = [r for r in releases if r.id.name in names]
        observed = before
        if asked:
            seen = observe(backend, asked, now, deep=deep)
            observed = before.with_names(names, subjects_of(asked), seen)
    evidence = evidence_for(chosen(releases, only), observed, read, signing)
    changes = plan_channel(channel, releases, observed, before=before, evidence=evidence, only=only)
    if channel.public:
        from ssds.ship.licences import withhold  # few channels ask for it

        changes = withhold(channel, changes, releases, read)
    return Look(
        channel=channel,
        backend=backend,
        releases=tuple(releases),
        only=only,
        observed=observed,
        before=before,
        state=state,
        evidence=evidence,
        changes=changes,
    )


def evidence_for(
    releases: Sequence[Released],
    observed: Observation,
    read: Read,
    signing: Signing | None = None,
) -> dict[Digest, list[Attachment]]:
    """Returns index digest → what should be attached to its images."""
    found = {r.index.digest: evidence_of(r, observed, read) for r in releases}
    if signing is not None:
        from ssds.ship.attestations import attestations

        for released in releases:
            mine = found[released.index.digest]
            mine += attestations(signing, released, list(mine), observed, read)
            mine += signing.attachments(released, observed)
    return {index: attachments for index, attachments in found.items() if attachments}


def _differing(
    channel: Channel,
    releases: Sequence[Released],
    state: Observation,
    read: Read,
    only: frozenset[ReleaseName] | None,
    signing: Signing | None,
) -> frozenset[str]:
    """Returns the repositories of which the state does not say what the locks say."""
    evidence = evidence_for(chosen(releases, only), state, read, signing)
    changes = plan_channel(channel, releases, state, evidence=evidence, only=only)
    return frozenset(
        c.what.partition(":")[0] for c in changes if c.verb not in ("=", "w", "unmanaged")
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
        changes=look.changes,
        observed=look.observed,
        before=look.before,
        evidence=look.evidence,
        now=now,
        say=say,
        stopping=stopping,
    )
    after = replace(done.after, wrote=_wrote(look, done.after))
    state = replace(after, lost={})
    if state != look.state:
        look.backend.write_state(observation_bytes(state))
    return replace(done, after=after)


def _wrote(look: Look, after: Observation) -> dict[str, Digest]:
    """Returns what ssds wrote and others changed: so that it stays known as theirs."""
    found: dict[str, Digest] = {}
    if look.before is None:
        return found
    if look.only is not None:  # what was not asked about stays as it was known
        mine = {change.what for change in look.changes}
        others = look.before.wrote.items()
        found |= {w: d for w, d in others if w not in mine and after.tags.get(w) != d}
    for change in look.changes:
        if not change.marks >= DRIFT:
            continue
        there = after.tags.get(change.what)
        wrote = look.before.wrote.get(change.what) or look.before.tags.get(change.what)
        if wrote is None or wrote == there or there != look.observed.tags.get(change.what):
            continue
        found[change.what] = wrote
    return found
