"""Data set and pins to nodes: one for the files of the sources, one for each index step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ssds.core.canonical import Json
from ssds.core.model import Input, Node, NodeId
from ssds.core.platform import Platform
from ssds.oci.normal import NORMAL_VERSION
from ssds.recipe.data_model import DataSet, IndexStep

KIND_VERSION = 1
FILES = "files"


def files_node(
    data: DataSet, *, sources: Mapping[str, Input], seen: Mapping[str, bool | str], epoch: int
) -> Node:
    """Returns the node that lays out what the sources give.

    Args:
        sources: name → input, of the sources that are placed.
        seen: name → True where it is unpacked, else its file name.
        epoch: of the newest source.
    """
    placed = [p for p in data.unpack if p.source in sources]
    place: list[Json] = [{"source": p.source, "path": p.path, "to": p.to} for p in placed]
    return Node(
        id=NodeId(str(data.id), "data", part=FILES),
        kind_version=KIND_VERSION,
        slice={"unpack": place, "sources": dict(seen), "normal": NORMAL_VERSION},
        inputs=tuple(sources[name] for name in sorted(sources)),
        epoch=epoch,
        origin={f"slice.unpack[{i}]": p.address for i, p in enumerate(placed) if p.address},
        recipe_path=data.path,
    )


def index_node(
    data: DataSet, step: IndexStep, *, files: Input, config: Input, platform: Platform, epoch: int
) -> Node:
    """Returns the node of an index step: the files, and an image that has the program.

    It sees the files of the sources and not what other index steps make.
    """
    return Node(
        id=NodeId(str(data.id), "data", str(platform), part=f"index/{step.name}"),
        kind_version=KIND_VERSION,
        slice={"script": step.script, "normal": NORMAL_VERSION},
        inputs=(files, config),
        epoch=epoch,
        hints={
            "time_limit_s": step.time_limit_s,
            "resources": cast(Mapping[str, Json], data.resources),
        },
        origin={"slice.script": f"index[{data.index.index(step)}].run"},
        recipe_path=data.path,
    )
