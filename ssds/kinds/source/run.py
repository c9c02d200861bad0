"""Brings a source's bytes into the store."""

from __future__ import annotations

from ssds.core.errors import InvalidValue
from ssds.kinds.api import Bench, Outcome
from ssds.packages.wire import file_from_json
from ssds.store.fetch import fetch_files


def run(bench: Bench) -> Outcome:
    """Fetches the file that the node's slice names by sha256.

    Raises:
        UnavailableError, IntegrityError: no place gives the bytes.
    """
    node = bench.action.node
    file = file_from_json(node.hints.get("file", {}))
    if str(file.digest) != node.slice.get("sha256"):
        raise InvalidValue(f"{node.id.label}: its hints name another file than its slice")
    fetch_files(bench.store, (file,), bench.mirrors, bench.say, stopping=bench.stopping)
    return Outcome(outputs={"file": file.digest})
