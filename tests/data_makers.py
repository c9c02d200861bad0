"""Makers of reference data sets without a build: layers, the list of files, a lock."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence

from ship_makers import key, small_tar

from ssds.core.model import Claim, ReleaseName
from ssds.lock.data import DataLock, made_of
from ssds.oci.blobs import Blobs
from ssds.oci.file_list import file_list, list_bytes
from ssds.oci.flatten import flatten

ABOUT = {
    "title": "Two short sequences",
    "licenses": ["CC0-1.0"],
    "categories": ["genomics"],
    "citations": [{"doi": "10.1000/words"}],
}
GENOME = b">one\nACGT\n>two\nGGCC\n"
FILES: Mapping[str, bytes | str] = {"genome.fa": GENOME, "more/names.tsv": b"one\ttwo\n"}
INDEX: Mapping[str, bytes | str] = {"genome.fa.fai": b"one\t4\n", "newest.fa": "genome.fa"}


def data_layer(files: Mapping[str, bytes | str | tarfile.TarInfo]) -> bytes:
    return small_tar({f"data/{path}": content for path, content in files.items()})


def data_lock(
    blobs: Blobs,
    *layers: bytes,
    name: str = "words",
    version: str = "1.0",
    environment: Mapping[str, str] | None = None,
    loc: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    about: Mapping[str, object] = ABOUT,
) -> DataLock:
    """Keeps a set's layers and its list; two layers with small files where none are given."""
    tars = layers or (data_layer(FILES), data_layer(INDEX))
    digests = [(blobs.put(tar), len(tar)) for tar in tars]
    tree = flatten([blobs.path(digest) for digest, _ in digests])
    listed = list_bytes(digests, file_list(tree, "data"))
    content = blobs.put(listed)
    row = {"value": name, "dbkey": name, "path": "{path}/genome.fa"}
    return DataLock(
        id=ReleaseName(name, version),
        about=about,  # type: ignore[arg-type]
        environment={"GENOME": "{path}/genome.fa"} if environment is None else environment,
        loc={"fasta_indexes": [row]} if loc is None else loc,  # type: ignore[arg-type]
        actions={"dataset": Claim(key=key(str(content)), kind="dataset", outputs={"set": content})},
        made=made_of(listed, content),
    )
