"""A saved plan as immutable values, and its JSON form (``schemas/saved-plan.schema.json``).

It says which nodes may run and with which slice, and for each what it rests on. What is reused is
only a count and one digest, so that the plan of a large catalog stays small. No secret is in it:
slices are recipe text, and of those only fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.digest import ActionKey, Digest
from ssds.core.model import NodeId, ReleaseName
from ssds.delivery import Delivery, Row
from ssds.graph.plan import Plan, Verb

VERBS = {verb.word: verb for verb in Verb}
RUNNING = (Verb.RUN, Verb.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The wishes that the plan was made with; ``apply`` takes no others.

    Attributes:
        as_of: the date that was asked for, or the empty string for the day when it was made.
        platforms: those that were selected; empty means all.
    """

    selectors: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    as_of: str = ""
    fetch: bool = False
    rerun: tuple[str, ...] = ()
    retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Where the plan comes from.

    Attributes:
        at: seconds since the Unix epoch, UTC.
        ssds: the program's version.
        workspace: the name of the workspace's folder, without its path.
        catalog: the name of the catalog's folder below it.
        commit: the commit that was checked out, or the empty string outside of git.
        dirty: catalog, locks or settings had changes that were not committed.
    """

    at: int
    ssds: str
    workspace: str
    catalog: str = "catalog"
    commit: str = ""
    dirty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedInput:
    """One input of a step.

    Attributes:
        node: the label of the node that gives it, or the empty string for a fixed digest.
        digest: what it is; None means that it is known after ``node``.
    """

    role: str
    node: str = ""
    output: str = ""
    digest: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a node is, apart from its inputs' digests: the part of the key that a recipe decides.

    Attributes:
        slice: the fingerprint of the whole slice.
        fields: path in the slice → the start of the fingerprint of what stands there; it tells
            which field changed.
        edges: the fingerprint of the inputs: role, node, output, optional, gate.
        fixed: outputs that are known before it runs.
    """

    kind_version: int
    slice: Digest
    edges: Digest
    fields: Mapping[str, str] = field(default_factory=dict)
    epoch: int | None = None
    fixed: Mapping[str, Digest] = field(default_factory=dict)
    unpinned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedStep:
    """One node of the graph that is not reused, with what its row rests on.

    Attributes:
        key: the resolved key, where all inputs were known.
        claim: the fingerprint of the outputs that were claimed for that key, or None where no
            claim counted.
    """

    node: NodeId
    verb: Verb
    reason: str
    text: str
    marks: tuple[str, ...] = ()
    definition: Definition
    inputs: tuple[SavedInput, ...] = ()
    key: ActionKey | None = None
    claim: Digest | None = None

    @property
    def runs(self) -> bool:
        """Whether apply may run it."""
        return self.verb in RUNNING

    @property
    def row(self) -> Row:
        """The row that people see."""
        return Row(
            node=str(self.node),
            kind=self.node.kind,
            platform=self.node.platform,
            verb=self.verb,
            reason=self.reason,
            text=self.text,
            marks=self.marks,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LockState:
    """The part of a release's lock that a row replaces."""

    release: ReleaseName
    revision: int
    index: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRow:
    """A row that is no node: a lock, a push, bytes from a channel; with the lock it rests on."""

    row: Row
    lock: LockState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """What a channel held of a release when the plan was made; only such pairs are pushed."""

    channel: str
    release: ReleaseName
    observed: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusedNode:
    """One reused node; only a full plan lists them."""

    node: str
    platform: str
    key: str
    outputs: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """What is reused: how many, and one digest over all (node, key, outputs)."""

    count: int
    root: Digest
    nodes: tuple[ReusedNode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A whole saved plan.

    Attributes:
        as_of: the date on which waivers were judged, YYYY-MM-DD.
        salt: the catalog's salt as a fingerprint.
        steps: in topological order.
    """

    made: Made
    as_of: str
    options: Options
    salt: Digest
    steps: tuple[SavedStep, ...]
    rows: tuple[SavedRow, ...]
    channels: tuple[ChannelState, ...]
    reused: Reused
    notes: tuple[str, ...] = ()
    required_waits: tuple[str, ...] = ()

    @property
    def delivery(self) -> Delivery:
        """The plan as ``ssds plan`` shows it."""
        return Delivery(
            plan=Plan(steps={}),
            rows=(*(s.row for s in self.steps), *(r.row for r in self.rows)),
            notes=self.notes,
            required_waits=self.required_waits,
            rowless=self.reused.count,
        )
