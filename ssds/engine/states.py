"""The states of a node during apply, and the one function that changes them.

::

    PENDING ──► READY ──► RUNNING ──► DONE       it ran; its claim is in the store
       │          │          ├──────► REUSED     another process did it meanwhile
       │          │          └──────► FAILED     no claim; the log says why
       │          └──► REUSED                    early cut-off: a claim for the resolved key
       ├──► REUSED                               the plan says ``=``
       ├──► WAITING                              no builder here, or not selected
       ├──► HELD                                 a gate failed
       ├──► SKIPPED                              an input failed or was skipped
       ├──► STALE                                what a saved plan rests on changed
       └──► STOPPED                              the user stopped the apply

Preconditions: READY needs every input in DONE or REUSED (optional ones may be left out);
RUNNING holds the lease of its key; DONE and REUSED have a claim.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ssds.core.digest import Digest
from ssds.core.model import Claim, NodeId


class State(enum.Enum):
    """See the module's picture."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    REUSED = "reused"
    FAILED = "failed"
    HELD = "held"
    WAITING = "waiting"
    SKIPPED = "skipped"
    STALE = "stale"
    STOPPED = "stopped"


_ALLOWED = {
    State.PENDING: {
        State.READY,
        State.REUSED,
        State.WAITING,
        State.HELD,
        State.SKIPPED,
        State.STALE,
        State.STOPPED,
    },
    State.READY: {State.RUNNING, State.REUSED, State.FAILED, State.STOPPED},
    State.RUNNING: {State.DONE, State.REUSED, State.FAILED, State.STOPPED},
}
ENDED = frozenset(State) - frozenset(_ALLOWED)
USABLE = frozenset({State.DONE, State.REUSED})


@dataclass(slots=True)
class Record:
    """What is known of one node during and after apply.

    Attributes:
        outputs: the digests that later nodes take; set in DONE and REUSED.
        duration_ms: how long it ran; 0 when it did not.
        executed: whether its runner was called and succeeded.
    """

    node: NodeId
    state: State = State.PENDING
    claim: Claim | None = None
    outputs: dict[str, Digest] = field(default_factory=dict)
    error: Exception | None = None
    duration_ms: int = 0
    why: str = ""


def set_state(
    record: Record,
    state: State,
    *,
    claim: Claim | None = None,
    error: Exception | None = None,
    why: str = "",
) -> None:
    """Moves a record to ``state``; the only place that does.

    Raises:
        AssertionError: the picture has no such arrow, or a precondition is missing.
    """
    assert state in _ALLOWED.get(record.state, set()), f"{record.state} → {state}"
    assert (state in USABLE) == (claim is not None), f"{state} and its claim"
    record.state = state
    record.error = error
    record.why = why or record.why
    if claim is not None:
        record.claim = claim
        record.outputs = dict(claim.outputs)
