"""The JSON form of a saved plan (``schemas/saved-plan.schema.json``) and its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.canonical import Json, fingerprint
from ssds.core.digest import ActionKey, Digest
from ssds.core.model import NodeId, ReleaseName
from ssds.delivery import Row
from ssds.graph.plan import Verb
from ssds.saved.model import (
    VERBS,
    ChannelState,
    Definition,
    LockState,
    Made,
    Options,
    Reused,
    ReusedNode,
    SavedInput,
    SavedPlan,
    SavedRow,
    SavedStep,
)

FORMAT = "ssds saved plan"
FORMAT_VERSION = "1.0"


def id_of(content: Mapping[str, Json]) -> Digest:
    """Returns the plan id of a document's content; ``plan_id`` itself is left out."""
    return fingerprint({k: v for k, v in content.items() if k != "plan_id"}, "saved plan")


def to_dict(plan: SavedPlan) -> dict[str, Json]:
    """Returns the JSON form without the plan id."""
    options = plan.options
    reused: dict[str, Json] = {"count": plan.reused.count, "root": str(plan.reused.root)}
    if plan.reused.nodes:
        reused["nodes"] = [
            {"node": n.node, "platform": n.platform, "key": n.key, "outputs": str(n.outputs)}
            for n in plan.reused.nodes
        ]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "made": {name: getattr(plan.made, name) for name in Made.__slots__},
        "as_of": plan.as_of,
        "options": {
            "selectors": list(options.selectors),
            "platforms": list(options.platforms),
            "as_of": options.as_of,
            "fetch": options.fetch,
            "rerun": list(options.rerun),
            "retry": options.retry,
        },
        "salt": str(plan.salt),
        "summary": dict(plan.delivery.summary),
        "steps": [_step(step) for step in plan.steps],
        "rows": [_row(row) for row in plan.rows],
        "channels": [
            {"channel": c.channel, "release": _release(c.release), "observed": str(c.observed)}
            for c in plan.channels
        ],
        "reused": reused,
        "notes": list(plan.notes),
        "required_waits": list(plan.required_waits),
    }


def _release(name: ReleaseName) -> Json:
    return [name.name, name.version, name.variant]


def _step(step: SavedStep) -> dict[str, Json]:
    node, own = step.node, step.definition
    definition: dict[str, Json] = {
        "kind_version": own.kind_version,
        "slice": str(own.slice),
        "edges": str(own.edges),
        "fields": dict(own.fields),
    }
    if own.epoch is not None:
        definition["epoch"] = own.epoch
    if own.fixed:
        definition["fixed"] = {name: str(digest) for name, digest in own.fixed.items()}
    if own.unpinned:
        definition["unpinned"] = list(own.unpinned)
    entry: dict[str, Json] = {
        "node": str(node),
        "owner": node.owner,
        "kind": node.kind,
        "platform": node.platform,
        "part": node.part,
        **_words(step.verb, step.reason, step.text, step.marks),
        "definition": definition,
        "inputs": [_input(item) for item in step.inputs],
    }
    if step.key is not None:
        entry["key"] = str(step.key)
    if step.claim is not None:
        entry["claim"] = str(step.claim)
    return entry


def _words(verb: Verb, reason: str, text: str, marks: tuple[str, ...]) -> dict[str, Json]:
    return {"verb": verb.word, "reason_code": reason, "reason": text, "marks": list(marks)}


def _input(item: SavedInput) -> dict[str, Json]:
    entry: dict[str, Json] = {"role": item.role}
    if item.node:
        entry |= {"node": item.node, "output": item.output}
    if item.digest is not None:
        entry["digest"] = str(item.digest)
    return entry


def _row(saved: SavedRow) -> dict[str, Json]:
    row = saved.row
    entry: dict[str, Json] = {
        "node": row.node,
        "kind": row.kind,
        "platform": row.platform,
        **_words(row.verb, row.reason, row.text, row.marks),
    }
    if saved.lock is not None:
        lock = saved.lock
        entry["lock"] = {
            "release": _release(lock.release),
            "revision": lock.revision,
            "index": lock.index,
        }
    return entry


def from_dict(data: Mapping[str, Any]) -> SavedPlan:
    """Returns the plan of a document that obeys the schema.

    Raises:
        InvalidValue: a digest or key is none after all.
    """
    options, reused = data["options"], data["reused"]
    return SavedPlan(
        made=Made(**data["made"]),
        as_of=data["as_of"],
        options=Options(
            selectors=tuple(options["selectors"]),
            platforms=tuple(options["platforms"]),
            as_of=options["as_of"],
            fetch=options["fetch"],
            rerun=tuple(options["rerun"]),
            retry=options["retry"],
        ),
        salt=Digest(data["salt"]),
        steps=tuple(_read_step(entry) for entry in data["steps"]),
        rows=tuple(_read_row(entry) for entry in data["rows"]),
        channels=tuple(
            ChannelState(
                channel=entry["channel"],
                release=ReleaseName(*entry["release"]),
                observed=Digest(entry["observed"]),
            )
            for entry in data["channels"]
        ),
        reused=Reused(
            count=reused["count"],
            root=Digest(reused["root"]),
            nodes=tuple(
                ReusedNode(
                    node=n["node"],
                    platform=n["platform"],
                    key=n["key"],
                    outputs=Digest(n["outputs"]),
                )
                for n in reused.get("nodes", ())
            ),
        ),
        notes=tuple(data["notes"]),
        required_waits=tuple(data["required_waits"]),
    )


def _read_step(entry: Mapping[str, Any]) -> SavedStep:
    own = entry["definition"]
    return SavedStep(
        node=NodeId(entry["owner"], entry["kind"], entry["platform"], entry["part"]),
        verb=VERBS[entry["verb"]],
        reason=entry["reason_code"],
        text=entry["reason"],
        marks=tuple(entry["marks"]),
        definition=Definition(
            kind_version=own["kind_version"],
            slice=Digest(own["slice"]),
            edges=Digest(own["edges"]),
            fields=dict(own["fields"]),
            epoch=own.get("epoch"),
            fixed={name: Digest(digest) for name, digest in own.get("fixed", {}).items()},
            unpinned=tuple(own.get("unpinned", ())),
        ),
        inputs=tuple(
            SavedInput(
                role=item["role"],
                node=item.get("node", ""),
                output=item.get("output", ""),
                digest=Digest(item["digest"]) if "digest" in item else None,
            )
            for item in entry["inputs"]
        ),
        key=ActionKey(entry["key"]) if "key" in entry else None,
        claim=Digest(entry["claim"]) if "claim" in entry else None,
    )


def _read_row(entry: Mapping[str, Any]) -> SavedRow:
    lock = entry.get("lock")
    return SavedRow(
        row=Row(
            node=entry["node"],
            kind=entry["kind"],
            platform=entry["platform"],
            verb=VERBS[entry["verb"]],
            reason=entry["reason_code"],
            text=entry["reason"],
            marks=tuple(entry["marks"]),
        ),
        lock=lock
        and LockState(
            release=ReleaseName(*lock["release"]), revision=lock["revision"], index=lock["index"]
        ),
    )
