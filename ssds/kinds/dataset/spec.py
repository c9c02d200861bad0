"""A data set's layers to the node that lists what it holds. Pure."""

from __future__ import annotations

from ssds.core.model import Input, Node, NodeId
from ssds.recipe.data_model import DataSet

KIND_VERSION = 1


def node(data: DataSet, *, layers: tuple[Input, ...]) -> Node:
    """Returns the node of the whole set; roles are ``layer/000`` and so on, lowest first."""
    return Node(
        id=NodeId(str(data.id), "dataset"),
        kind_version=KIND_VERSION,
        slice={},
        inputs=layers,
        recipe_path=data.path,
    )
