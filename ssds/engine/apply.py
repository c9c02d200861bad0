"""Runs a plan: in topological order, several nodes at once, going on past failures.

Apply does at most what its plan says. Keys of ``?`` nodes are resolved as their inputs become
known; a claim for the resolved key ends the node there (early cut-off).
"""

from __future__ import annotations

import concurrent.futures as cf
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.core.model import Action, Claim, Node, NodeId
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew, execute, still_good
from ssds.engine.states import ENDED, USABLE, Record, State, set_state
from ssds.graph.plan import Facts, Plan, PlanStep, Verb, choose, needs_bytes

_PASSED_ON = frozenset({State.WAITING, State.HELD, State.STALE})
"""What a node ends with when an input of it did."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What an apply did.

    Attributes:
        records: by node, all in an end state.
        stopped: the user stopped it.
    """

    records: Mapping[NodeId, Record]
    stopped: bool = False

    def count(self, state: State) -> int:
        """How many nodes ended in that state."""
        return sum(1 for r in self.records.values() if r.state is state)

    @property
    def failures(self) -> list[Record]:
        """The nodes that failed."""
        return [r for r in self.records.values() if r.state is State.FAILED]


@dataclass(slots=True)
class _Run:
    plan: Plan
    facts: Facts
    crew: Crew
    reporter: Reporter
    records: dict[NodeId, Record] = field(default_factory=dict)
    consumers: dict[NodeId, list[tuple[PlanStep, str]]] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)


def apply(plan: Plan, facts: Facts, crew: Crew, reporter: Reporter) -> Result:
    """Runs the plan and returns how every node ended; a failure of one node raises nothing."""
    run = _Run(plan, facts, crew, reporter)
    run.records = {name: Record(name) for name in plan.steps}
    for step in plan.steps.values():
        for item in step.node.inputs:
            if item.node is not None and step.runs:
                run.consumers.setdefault(item.node, []).append((step, item.role))
    reporter.began(sum(1 for s in plan.steps.values() if s.runs))
    with cf.ThreadPoolExecutor(max_workers=max(1, crew.jobs)) as pool:
        running: dict[cf.Future[None], NodeId] = {}
        try:
            _drive(run, pool, running)
        except KeyboardInterrupt:
            run.stopping.set()
            reporter.note("stopping: running steps are ended, everything finished is kept")
            cf.wait(running)
            for future in running:
                future.exception()
    for record in run.records.values():
        if record.state not in ENDED:
            set_state(record, State.STOPPED)
    reporter.ended()
    return Result(records=run.records, stopped=run.stopping.is_set())


def _drive(run: _Run, pool: cf.ThreadPoolExecutor, running: dict[cf.Future[None], NodeId]) -> None:
    """Starts what is ready until nothing is left."""
    waiting = list(run.plan.steps.values())
    while waiting or running:
        rest = []
        for step in waiting:
            action = _advance(run, step)
            record = run.records[step.node.id]
            if action is not None:
                future = pool.submit(_run_one, run, step, action, record)
                running[future] = step.node.id
            elif record.state is State.PENDING:
                rest.append(step)
        progressed = len(rest) < len(waiting)
        waiting = rest
        if running:
            done, _ = cf.wait(running, return_when=cf.FIRST_COMPLETED)
            for future in done:
                running.pop(future)
                future.result()
        elif waiting and not progressed:
            raise AssertionError(f"nothing can run, but {waiting[0].node.id} is left")


def _advance(run: _Run, step: PlanStep) -> Action | None:
    """Moves a pending node as far as its inputs allow; returns the action when it must run."""
    record = run.records[step.node.id]
    if step.verb is Verb.WAIT and step.claim is None:
        _end(run, record, State.WAITING, why=step.text)
    elif step.verb is Verb.HELD:
        state = State.STALE if step.reason == "stale" else State.HELD
        _end(run, record, state, why=step.text)
    elif step.reason == "unlocked":
        _end(run, record, State.SKIPPED, why=step.text)
    elif step.verb is Verb.REUSE or (step.verb is Verb.WAIT and step.claim is not None):
        return _reuse(run, step, record)
    else:
        return _resolve(run, step, record)
    return None


def _reuse(run: _Run, step: PlanStep, record: Record) -> Action | None:
    """Takes the plan's claim; under ``--accept`` only where the inputs came out as planned.

    What was made again and accepted with other bytes is a new input: its tests and gates count
    anew, though the plan took them for known.
    """
    assert step.claim is not None  # where only its bytes wait, its outputs are known
    above = [run.records[i.node] for i in step.node.inputs if i.node is not None]
    if run.crew.accept and above:
        if any(source.state not in ENDED for source in above):
            return None
        if all(source.state in USABLE for source in above):
            inputs = _inputs(run, step.node, record)
            if inputs is None or step.node.resolve(inputs, run.plan.salt).key != step.claim.key:
                return _resolve(run, step, record) if record.state is State.PENDING else None
    set_state(record, State.REUSED, claim=step.claim)
    return None


def _resolve(run: _Run, step: PlanStep, record: Record) -> Action | None:
    inputs = _inputs(run, step.node, record)
    if inputs is None:
        return None
    action = step.node.resolve(inputs, run.plan.salt)
    forced = step.reason in ("bytes", "rerun", "retry")
    if not forced:
        known = (*run.facts.believed(action.key), *run.crew.store.claims.find(action.key))
        claim = choose(known, step.node.kind, native=step.node.native) or choose(
            run.facts.cached(action.key), step.node.kind, native=step.node.native
        )
        if claim is not None and not _bytes_wanted(run, step, claim):
            set_state(record, State.REUSED, claim=claim, why="its inputs came out as before")
            run.reporter.finished(record.node, "reused", 0, claim)
            return None
    set_state(record, State.READY)
    set_state(record, State.RUNNING)
    return action


def _bytes_wanted(run: _Run, step: PlanStep, claim: Claim) -> bool:
    """Whether a node that may run needs bytes that only the claim's node can make (C2)."""
    missing = [d for d in claim.outputs.values() if not run.crew.store.blobs.has(d)]
    wanted = any(
        needs_bytes(consumer.node, role, digest, run.facts)
        for consumer, role in run.consumers.get(step.node.id, ())
        for digest in missing
    )
    return wanted and not run.crew.bring(missing)


def _inputs(run: _Run, node: Node, record: Record) -> dict[str, Digest] | None:
    """Returns role → digest when all inputs have ended well; ends the node when one did not."""
    inputs: dict[str, Digest] = {}
    for item in node.inputs:
        if item.digest is not None:
            inputs[item.role] = item.digest
            continue
        assert item.node is not None
        source = run.records[item.node]
        if source.state not in ENDED:
            return None
        if source.state not in USABLE:
            if item.optional:
                continue
            state = source.state if source.state in _PASSED_ON else State.SKIPPED
            _end(run, record, state, why=f"{item.node.label}: {source.state.value}")
            return None
        if item.gate and source.claim is not None and source.claim.verdict == "fail":
            _end(run, record, State.HELD, why=f"{item.node.label} failed")
            return None
        inputs[item.role] = source.outputs[item.output]
    if node.inputs and not inputs:
        _end(run, record, State.WAITING, why="no platform is there yet")
        return None
    return inputs


def _end(run: _Run, record: Record, state: State, *, why: str) -> None:
    set_state(record, state, why=why)
    run.reporter.finished(record.node, state.value, 0, None)


def _run_one(run: _Run, step: PlanStep, action: Action, record: Record) -> None:
    """Runs one node in a worker thread, under the lease of its key (C20)."""
    run.reporter.started(record.node, step.text)
    try:
        if run.stopping.is_set():
            set_state(record, State.STOPPED)
            return
        with run.crew.store.lease(action.key):
            found = still_good(run.crew, step, action)
            if found is not None:
                set_state(record, State.REUSED, claim=found, why="another process did it")
            else:
                claim = execute(run.crew, run.facts, step, action, run.reporter, run.stopping)
                record.duration_ms = claim.duration_ms
                set_state(record, State.DONE, claim=claim)
    except SsdsError as error:
        if run.stopping.is_set():
            set_state(record, State.STOPPED, error=error)
        else:
            set_state(record, State.FAILED, error=error, why=error.message)
            run.reporter.failed(record.node, error)
    except OSError as error:
        problem = run.crew.explain_os_error(error)
        set_state(record, State.FAILED, error=problem, why=problem.message)
        run.reporter.failed(record.node, problem)
    except Exception as error:  # one node's fault must not end the others
        problem = SsdsError(
            f"{type(error).__name__}: {str(error)[:300]}",
            hint="This is a fault of ssds; please report it.",
            code="E001",
        )
        problem.__cause__ = error
        set_state(record, State.FAILED, error=problem, why=problem.message)
        run.reporter.failed(record.node, problem)
    finally:
        run.reporter.finished(record.node, record.state.value, record.duration_ms, record.claim)
