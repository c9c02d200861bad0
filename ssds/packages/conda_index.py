"""The index of a conda channel: one ``repodata.json`` per subdirectory, fetched once.

A recipe names channels (``conda-forge``, ``bioconda/label/main``); the settings say where they are.
Sources: conda-build's channel layout; CEP 16 for the compressed form.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.host import local
from ssds.host.fetch import Fetcher
from ssds.host.files import locked
from ssds.host.mirrors import Mirrors, join, redacted
from ssds.host.streams import damage_explained, decompressed

LIMIT_BYTES = 1024**3
"""The largest index that is fetched; it may hold three times as much when it is unpacked."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelIndex:
    """A fetched index.

    Attributes:
        channel, subdir: what it is the index of (``conda-forge``, ``linux-64``).
        path: its ``repodata.json``.
    """

    channel: str
    subdir: str
    path: str


def open_indexes(
    cache: str, mirrors: Mirrors, channels: Sequence[str], subdirs: Sequence[str]
) -> list[ChannelIndex]:
    """Returns the indexes of the channels, in their order; fetches each once per ``cache`` folder.

    A channel may lack some subdirectories, not all of them.

    Raises:
        UnavailableError: no mirror gave a channel (F052, F075); no mirror is known (F051).
        IntegrityError: an index that is damaged or too large.
    """
    wanted = [(channel, subdir) for channel in channels for subdir in subdirs]
    with (
        Fetcher(ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy) as fetcher,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        paths = list(pool.map(lambda pair: _index(cache, mirrors, fetcher, *pair), wanted))
    found = [
        ChannelIndex(channel=channel, subdir=subdir, path=path)
        for (channel, subdir), path in zip(wanted, paths, strict=True)
        if path
    ]
    for channel in channels:
        if all(index.channel != channel for index in found):
            roots = ", ".join(redacted(root) for root in mirrors.archive("conda"))
            raise UnavailableError(
                f"there is no channel {channel!r} at {roots}",
                code="F075",
                hint="Check its name, and mirrors.conda in ssds.yaml.",
            )
    return found


def _index(cache: str, mirrors: Mirrors, fetcher: Fetcher, channel: str, subdir: str) -> str:
    """Returns the path of one index, or the empty string where no mirror has it."""
    folder = os.path.join(os.path.abspath(cache), "conda", channel.replace("/", "@"), subdir)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "repodata.json")
    with locked(os.path.join(folder, "lock")):
        if os.path.exists(path):
            return path
        problems: list[SsdsError] = []
        for root in mirrors.archive("conda"):
            for name in ("repodata.json.zst", "repodata.json"):
                url = join(root, f"{channel}/{subdir}/{name}")
                try:
                    data, _ = fetcher.read(url, limit_bytes=LIMIT_BYTES, local=True)
                except UnavailableError as error:
                    if error.code != "F053":
                        problems.append(error)
                        break
                    continue
                _unpack(data, name, url, path)
                return path
    if problems:
        raise problems[0]
    return ""


def _unpack(data: bytes, name: str, url: str, path: str) -> None:
    beside = os.path.join(os.path.dirname(path), name)
    local.write(beside, data)
    if beside == path:
        return
    count = 0
    with (
        damage_explained(redacted(url)),
        open(beside, "rb") as file,
        decompressed(file, name) as stream,
        open(f"{path}.part", "wb") as out,
    ):
        while chunk := stream.read(_CHUNK):
            count += len(chunk)
            if count > 3 * LIMIT_BYTES:
                raise IntegrityError(
                    f"{redacted(url)} is too large when it is unpacked", code="F043"
                )
            out.write(chunk)
    os.unlink(beside)
    os.rename(f"{path}.part", path)
