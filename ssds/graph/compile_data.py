"""Compiles the reference data sets to nodes. Pure; imported only where there are any."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ssds.core.model import Input, Node, NodeId
from ssds.core.pins import SourcePin
from ssds.core.records import replace
from ssds.kinds.data import spec as data_spec
from ssds.kinds.dataset import spec as dataset_spec
from ssds.kinds.source import spec as source_spec
from ssds.recipe.data_model import DataSet
from ssds.recipe.model import Target


def compile_data(
    data: DataSet,
    pins: Mapping[str, SourcePin],
    *,
    target_of: Callable[[str], Target],
    asked: Callable[[str], str],
    add: Callable[[Node], NodeId],
) -> tuple[NodeId, ...]:
    """Adds the nodes of one data set; returns their ids, that of the whole set last.

    Args:
        pins: source name → pin, as far as there are any.
        target_of: the text of ``with`` → the target whose image a step runs in.
        asked: source name → the fingerprint of what the catalog asks for.
        add: adds a node to the graph.
    """
    placed = {p.source for p in data.unpack}
    inputs: dict[str, Input] = {}
    seen: dict[str, bool | str] = {}
    missing: list[str] = []
    epoch = 0
    for name in sorted(placed):
        request, pin = data.sources[name], pins.get(name)
        if pin is not None and str(pin.request) != asked(name):
            pin = None
        if pin is None:
            missing.append(f"source {name}")
        else:
            epoch = max(epoch, pin.epoch)
        node = add(source_spec.node(request, pin))
        inputs[name] = Input(role=f"source/{name}", node=node, output="file")
        seen[name] = True if request.unpack else (pin.file.name if pin else "")
    files = data_spec.files_node(data, sources=inputs, seen=seen, epoch=epoch)
    made = [add(replace(files, unpinned=tuple(missing)))]
    below = Input(role="files", node=made[0], output="layer")
    for step in data.index:
        target = target_of(step.recipe)
        config = NodeId(str(target.release), "build", str(target.platform))
        node_ = data_spec.index_node(
            data,
            step,
            files=below,
            config=Input(role="config", node=config, output="config"),
            platform=target.platform,
            epoch=epoch,
        )
        made.append(add(node_))
    layers = tuple(
        Input(role=f"layer/{number:03}", node=node, output="layer")
        for number, node in enumerate(made)
    )
    return (*made, add(dataset_spec.node(data, layers=layers)))
