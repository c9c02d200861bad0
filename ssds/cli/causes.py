"""Every reason of a plan's row as a sentence, with what to do next; for ``ssds explain``."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ssds.cli.cause import Cause, Known
from ssds.cli.output import counted
from ssds.cli.reasons import Neighbour, moment
from ssds.cli.refusals import refusals
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.core.model import OUTPUTS, Claim
from ssds.graph.plan import PlanStep, Verb

_REPORT_LIMIT_BYTES = 64 << 20
_SHOWN = 5
_OURSELVES = {"kind_version"}


def causes(known: Known, step: PlanStep, near: Neighbour | None) -> tuple[Cause, ...]:
    """Returns why a step has its verb, the nearest reason first."""
    tell = _BY_REASON.get(step.reason)
    found = list(tell(known, step, near) if tell else ())
    for text, remedy in refusals(known.workspace, step):
        found.append(Cause(code="refused", text=text, next=remedy))
    return tuple(found)


def _new(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    yield from _unusable(known, step)
    owner = step.node.id.owner
    if near is None:
        if step.reason == "changed":
            yield Cause(
                code="lock",
                text="A release has this node under another key, and what that key was made of is "
                "not known here.",
                next="Compare the recipe and its lock with the released ones: "
                f"`ssds diff --since REV {owner}`.",
            )
        else:
            yield Cause(code="new", text="Nothing like it is remembered here.")
        return
    other = near.nearest.of_another(step.node)
    if other:
        yield Cause(
            code="neighbour",
            text=f"Nothing of {step.node.id.label} is remembered; the nearest key is of {other}.",
        )
    fields = {difference.path for difference in near.nearest.differences}
    if fields and fields <= _OURSELVES:
        yield Cause(
            code="ssds",
            text="Only ssds itself differs: a newer version makes this kind of result anew.",
            next="If the same bytes come out, all that follows is reused.",
        )
    if "salt" in fields:
        yield Cause(
            code="salt",
            text="The catalog's salt differs: it disowns every result that was made before.",
            next=f"It stands in {known.workspace.settings.catalog}/catalog.yaml.",
        )


def _unusable(known: Known, step: PlanStep) -> Iterator[Cause]:
    """Tells of claims for this very key that do not count."""
    store = known.workspace.store_if_there
    if store is None or step.action is None:
        return
    accepted = known.facts.claims(step.action.key)
    for claim in store.claims.find(step.action.key):
        if not claim.is_whole(step.node.kind):
            lacking = [n for n in OUTPUTS.get(step.node.kind, ()) if n not in claim.outputs]
            yield Cause(
                code="incomplete",
                text=f"A result for this key was remembered {known.made(claim)} and does not "
                f"count: it lacks {', '.join(lacking) or 'the form of its kind'}.",
                next="It is made again; nothing is to do.",
            )
        elif not any(claim.same_outputs(other) for other in accepted):
            yield Cause(
                code="untrusted",
                text=f"A result for this key was remembered {known.made(claim)} and does not "
                "count: this workspace does not trust who made it.",
                next="It is made again, or you add its maker to those that you trust.",
            )


def _claim(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    claim = step.claim
    if claim is None:
        return
    if claim.origin == "pin":
        yield Cause(code="pinned", text="Its output is fixed by a pin, so nothing has to run.")
    else:
        when = known.made(claim)
        told = f"A result for this key was made {when}." if when else "Its lock has its result."
        yield Cause(code="known", text=told)
    if claim.verdict == "fail":
        yield from _failed(known, step)
    if step.node.id in known.plan.brought:
        yield Cause(code="brought", text="Its bytes are wanted; a channel or a cache has them.")
        return
    missing = _missing(known, claim)
    if missing:
        yield Cause(
            code="absent",
            text=f"{_absent(known, claim, missing)} Nothing that is to run needs them.",
            next=_how_to_bring(step),
        )


def _how_to_bring(step: PlanStep) -> str:
    """Returns what brings the bytes of a reused node; ``--fetch`` wants those of releases only."""
    if step.node.kind in ("source", "base"):
        return "They come when something needs them."
    if step.node.kind == "build":
        return f"`ssds apply --rerun {step.node.id}` makes them again."
    return f"`ssds apply --fetch {step.node.id}` brings or makes them."


def _missing(known: Known, claim: Claim) -> list[Digest]:
    return [digest for digest in claim.outputs.values() if digest not in known.facts.has]


def _absent(known: Known, claim: Claim, missing: list[Digest]) -> str:
    """Says which bytes are not here, and since when."""
    store = known.workspace.store_if_there
    gone = store.claims.collected_at(missing) if store else {}
    count = f"{len(missing)} of its {counted(len(set(claim.outputs.values())), 'blob')}"
    if not gone:
        return f"{count} {_are(missing)} not in the store: only {_names(claim)} here."
    when = moment(max(gone.values()))
    return (
        f"{count} {_are(missing)} not in the store: `ssds gc` removed {_them(missing)} on {when}."
    )


def _are(things: list[Digest]) -> str:
    return "is" if len(things) == 1 else "are"


def _them(things: list[Digest]) -> str:
    return "it" if len(things) == 1 else "them"


def _names(claim: Claim) -> str:
    return "its lock is" if claim.origin == "lock" else "what it gave is known"


def _bytes(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    if step.claim is None:
        return
    missing = _missing(known, step.claim)
    told = _absent(known, step.claim, missing) if missing else "Its bytes are not here."
    yield Cause(
        code="bytes",
        text=f"Its result is known; {told[0].lower()}{told[1:]} Those bytes "
        f"are {step.text.partition(';')[0].removeprefix('bytes ')}, and no channel that was looked "
        "at has them.",
        next="`ssds plan --refresh` looks at the channels anew; else it runs again and must give "
        "the same bytes.",
    )
    if step.verb is Verb.WAIT:
        yield from _builder(known, step, near)


def _unlocked(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    owner = step.node.id.owner
    asked = ", ".join(step.node.unpinned)
    yield Cause(
        code="unlocked",
        text=f"No pin answers what it asks for: {asked}. Its key is known once that is locked.",
        next="Run `ssds lock`." if "@" not in owner else f"Run `ssds lock {owner}`.",
    )


def _input(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    chain = _chain(known, step)
    last = chain[-1]
    if step.verb is Verb.UNKNOWN:
        if len(chain) > 1:
            path = " → ".join(s.node.id.label for s in reversed(chain[1:-1]))
            word = "runs first" if last.verb is Verb.RUN else "must be locked first"
            why = last.text.partition("; nearest ")[0]
            yield Cause(
                code="chain",
                text=f"{last.node.id.label} {word} ({why})" + (f", then {path}." if path else "."),
                next=f"`ssds explain {last.node.id}` tells more of it.",
            )
        yield Cause(
            code="cutoff",
            text="It may turn into reuse: when its inputs come out as before, its key is a known "
            "one and it does not run.",
        )
        return
    if len(chain) > 1:
        word = "waits" if step.verb is Verb.WAIT else "is held"
        yield Cause(code="chain", text=f"It {word} because of {last.node.id.label}: {last.text}.")
        yield from causes(known, last, None)
    elif step.verb is Verb.WAIT:
        yield Cause(code="waiting", text="None of the platforms that it joins has a result yet.")


def _chain(known: Known, step: PlanStep) -> list[PlanStep]:
    """Returns the shortest way from a step to the input that is the reason for its verb."""
    came: dict[str, PlanStep | None] = {step.node.id.label: None}
    queue = deque([step])
    while queue:
        now = queue.popleft()
        if now is not step and now.reason != "input":
            chain = [now]
            while (before := came[chain[-1].node.id.label]) is not None:
                chain.append(before)
            return list(reversed(chain))
        for source in known.pending(now):
            if source.node.id.label not in came:
                came[source.node.id.label] = now
                queue.append(source)
    return [step]


def _builder(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    platform = step.node.id.platform
    if step.node.unpinned and "only waiting platforms" in step.text:
        asked = ", ".join(step.node.unpinned)
        yield Cause(
            code="unused", text=f"It is not locked ({asked}), and nothing that runs uses it."
        )
        return
    if "was not selected" in step.text:
        yield Cause(
            code="unselected",
            text=f"{platform} was left out, by `--platform` or by the settings.",
            next=f"`--platform {platform}` selects it.",
        )
        return
    what = f"Programs of {platform}" if platform else "The sandbox"
    yield Cause(
        code="builder",
        text=f"{what} cannot run here: {_no_builder(step.text)}.",
        next="`ssds doctor` says what is missing; apply on a machine that can, then merge its "
        "lock.",
    )


def _no_builder(text: str) -> str:
    """Returns the reason after ``no builder here:``, which may follow on what wants the bytes."""
    return text.rpartition("; ")[2].partition(": ")[2] or text


def _gate(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    for item in step.node.inputs:
        source = known.plan.steps.get(item.node) if item.gate and item.node else None
        if source is not None and source.claim is not None and source.claim.verdict == "fail":
            yield Cause(code="held", text=f"It is held by {source.node.id.label}, which failed.")
            yield from _failed(known, source)


def _withdrawn(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    yield Cause(
        code="held",
        text=f"It contains what is not to be used any more: {step.text}.",
        next="Build it on another version, or take that back: `ssds withdraw … --undo`.",
    )


def _failed(known: Known, step: PlanStep) -> Iterator[Cause]:
    """Says which tests or findings failed, from the report, and since when that is remembered."""
    claim = step.claim
    assert claim is not None
    when = known.made(claim) or "before; only its lock is here"
    node = step.node.id
    lines = _report(known, claim)
    test, deploy = step.node.kind == "test", step.node.kind == "deploytest"
    told = "; ".join(lines[:_SHOWN])
    if len(lines) > _SHOWN:
        told += f"; and {len(lines) - _SHOWN} more"
    names = {"test": "The test", "deploytest": "The deploy test"}
    what = f"{names.get(step.node.kind, 'The gate')} failed"
    if test:
        todo = (
            f"`ssds log {node}` shows its output; it is tested again when the image or the test "
            "changes, or with `ssds apply --retry`."
        )
    elif deploy:
        todo = (
            "Mend the build, or correct deploy.commands and deploy.paths; it is judged again when "
            "the image or these change."
        )
    else:
        todo = (
            "Take a version that is fixed, or write a waiver with a date; it is judged again when "
            "findings, policy, waivers or debts change."
        )
    yield Cause(
        code="failed",
        text=f"{what} {when}: {told or 'its report is not here'}.",
        next=todo,
    )


def _report(known: Known, claim: Claim) -> list[str]:
    """Returns the sentences of a test's or a gate's report; none where it is not here."""
    store, digest = known.workspace.store_if_there, claim.outputs.get("report")
    if store is None or digest is None or not store.blobs.has(digest):
        return []
    try:
        report: Any = json.loads(store.blobs.read(digest, _REPORT_LIMIT_BYTES))
    except (SsdsError, ValueError, RecursionError):
        return []
    if not isinstance(report, Mapping):
        return []
    lines = [str(line) for line in _list(report.get("why"))]
    for entry in _list(report.get("tests")):
        if isinstance(entry, Mapping) and entry.get("result") == "fail":
            problems = ", ".join(str(p) for p in _list(entry.get("problems")))
            lines.append(f'"{entry.get("name", "")}": {problems or "failed"}')
    return [line if len(line) <= 300 else line[:299] + "…" for line in lines]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _asked(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    option, what = ("--rerun", "a result") if step.reason == "rerun" else ("--retry", "a failure")
    yield Cause(
        code=step.reason,
        text=f"You asked with {option}: {what} for this key is remembered and would count.",
    )


def _emulated(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    where = step.node.id.platform
    yield Cause(
        code="emulated",
        text="A result for this key is remembered and does not count: emulation made it, and the "
        "policy says `allow_emulated: false`.",
        next=f"It is made again on a {where} machine.",
    )


def _distrust(known: Known, step: PlanStep, near: Neighbour | None) -> Iterator[Cause]:
    yield Cause(
        code="distrust",
        text="The lock has a result for this key, which came from a cache of which only signed "
        "claims count; no key that signed it is trusted now.",
        next="It is made again and compared with the lock; or you add the key to trust.keys.",
    )


_Tell = Callable[[Known, PlanStep, Neighbour | None], Iterator[Cause]]
_BY_REASON: Mapping[str, _Tell] = {
    "new": _new,
    "changed": _new,
    "incomplete": _new,
    "emulated": _emulated,
    "distrust": _distrust,
    "claim": _claim,
    "bytes": _bytes,
    "unlocked": _unlocked,
    "input": _input,
    "builder": _builder,
    "gate": _gate,
    "withdrawn": _withdrawn,
    "rerun": _asked,
    "retry": _asked,
}
