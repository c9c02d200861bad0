"""Source request and pin to node. Pure."""

from __future__ import annotations

from ssds.core.canonical import Json
from ssds.core.model import Node, NodeId
from ssds.core.pins import SourcePin
from ssds.packages.wire import file_to_json
from ssds.recipe.steps import SourceRequest

KIND_VERSION = 1


def request_text(request: SourceRequest) -> str:
    """Returns the request as people know it."""
    if request.deb_src:
        return f"deb-src:{request.deb_src}" + (f"/{request.file}" if request.file else "")
    if request.pypi:
        return f"pypi:{request.pypi}" + (f"/{request.file}" if request.file else "")
    if request.git:
        folder = f"/{request.folder}" if request.folder else ""
        return f"git:{request.git}@{request.ref}{folder}"
    return request.url


def node(request: SourceRequest, pin: SourcePin | None) -> Node:
    """Returns the node of a source; the same bytes are the same node, whoever asks for them.

    Its key holds the sha256 and nothing of the address. Without a pin the node is "not locked"
    (C10) and its key is over the request's text.
    """
    if pin is None:
        text = request_text(request)
        return Node(
            id=NodeId(owner=text, kind="source"),
            kind_version=KIND_VERSION,
            slice={"request": text},
            unpinned=(f"source {request.name}",),
        )
    urls = dict.fromkeys((*pin.file.urls, request.url, request.git, *request.mirrors))
    file = pin.file
    hints: dict[str, Json] = {"file": {**file_to_json(file), "urls": [u for u in urls if u]}}
    if pin.git is not None:
        hints["git"] = {
            "commit": pin.git.commit,
            "tree": pin.git.tree,
            "folder": pin.git.folder,
            "empty_submodules": pin.git.empty_submodules,
        }
    return Node(
        id=NodeId(owner=file.name, kind="source", part=file.digest.short),
        kind_version=KIND_VERSION,
        slice={"sha256": str(file.digest)},
        fixed={"file": file.digest},
        hints=hints,
    )
