"""Runs an inspect node: an image config in, what its layers should not hold out."""

from __future__ import annotations

from ssds.core.canonical import canonical_bytes
from ssds.core.text import shown
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.inspect.image import document, inspect
from ssds.oci.flatten import flatten
from ssds.oci.types import parse_config


def run(bench: Bench) -> Outcome:
    """Returns the output ``inspection`` (canonical JSON, see ``image.document``).

    Raises:
        IntegrityError: a layer is damaged.
    """
    blobs = bench.store.blobs
    config = parse_config(blobs.read(bench.action.inputs["config"]))
    layers = [blobs.path(layer) for layer in config.diff_ids]
    found = inspect(flatten(layers), config.environment)
    for item in found:
        bench.log(f"{shown(item.sentence)}\n".encode())
    bench.say(f"{len(found)} remark{'' if len(found) == 1 else 's'} on the image's files")
    return Outcome(outputs={"inspection": blobs.put(canonical_bytes(document(found)))})
