"""The tags of a name in an object store: one OCI index that several writers may change at once.

It is read, merged and put back on the condition that it is still the one that was read
(``If-Match``, where the store has it), then read again: an index that lacks a tag because another
writer was quicker is merged anew. It is never removed, and entries that are not ours stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from ssds.core.errors import IntegrityError
from ssds.core.records import dataclass, replace
from ssds.objects.plug import ObjectStore
from ssds.oci import types
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.types import REF_NAME, Descriptor

PAUSE_S = 0.5
ROUNDS = 5
"""So often an index is read, merged and put before somebody is told that it keeps changing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What an index holds.

    Attributes:
        tags: tag → what it names; others: entries without a tag.
    """

    tags: dict[str, Descriptor]
    others: tuple[Descriptor, ...] = ()

    def names(self, wanted: Mapping[str, Descriptor]) -> bool:
        """Whether every one of these tags names what it should."""
        return all(t in self.tags and self.tags[t].digest == e.digest for t, e in wanted.items())


def index_key(name: str) -> str:
    """Returns the key of a name's index."""
    return f"{name}/index.json"


def read_tags(store: ObjectStore, name: str) -> tuple[Tags, str | None]:
    """Returns a name's index and its mark; None for a mark where there is no index.

    Raises:
        IntegrityError: it is none; it is left as it is.
    """
    key = index_key(name)
    found = store.look(key)
    if found is None:
        return Tags(tags={}), None
    data = limited_bytes(found[0], key, store.host, DOCUMENT_LIMIT_BYTES)
    entries = types.parse_index(data, f"{key} of {store.host}").manifests
    tags = {e.annotations[REF_NAME]: e for e in entries if REF_NAME in e.annotations}
    others = tuple(e for e in entries if REF_NAME not in e.annotations)
    return Tags(tags=tags, others=others), found[1]


def set_tags(store: ObjectStore, name: str, tags: Mapping[str, Descriptor]) -> None:
    """Sets tags, all at once, and reads them back; all other entries stay.

    Raises:
        IntegrityError: O208, the index does not show them, however often it is written.
    """
    key = index_key(name)
    refused: str | None = ""
    for round_number in range(ROUNDS):
        there, mark = read_tags(store, name)
        if there.names(tags):
            return
        known = {**there.tags, **tags}
        entries = [
            replace(entry, annotations={**entry.annotations, REF_NAME: tag})
            for tag, entry in sorted(known.items())
        ]
        # the same object again as the one that is refused: a store that cannot compare marks
        condition = "" if mark and mark == refused else mark
        if not store.swap(key, types.index_bytes([*entries, *there.others]), condition):
            refused = mark
        if round_number:
            time.sleep(PAUSE_S)
    if read_tags(store, name)[0].names(tags):
        return
    raise IntegrityError(
        f"{store.host} does not show the tags {', '.join(tags)} in {key}, which were written",
        hint="Another writer is at work, or a cache answers; run it again. Nothing was removed.",
        code="O208",
    )


def limited_bytes(pieces: Iterable[bytes], key: str, host: str, limit_bytes: int) -> bytes:
    """Returns pieces as one, up to a limit; raises IntegrityError (O001) beyond it."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > limit_bytes:
            raise IntegrityError(
                f"{key} of {host} is larger than {limit_bytes} bytes",
                hint="It is not what ssds puts there.",
                code="O001",
            )
    return bytes(data)
