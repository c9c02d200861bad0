"""Makes real conda packages and channels by hand, for tests without network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PLACEHOLDER = "/home/builder/" + "placehold_" * 20
STAMP_MS = 1_600_000_000_000
MEMBERS = 1_600_000_000


@dataclass(frozen=True, kw_only=True)
class Conda:
    """A package to be made.

    ``files`` hold PLACEHOLDER where the prefix shall be; ``binary`` names those of them in which
    it is padded with NULs. ``links`` are symbolic ones.
    """

    name: str
    version: str = "1.0"
    build: str = "h0_0"
    subdir: str = "linux-64"
    depends: Sequence[str] = ()
    constrains: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    binary: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    python: bool = False
    entry_points: Sequence[str] = ()
    ending: str = ".conda"
    index: Mapping[str, Any] = field(default_factory=dict)
    more_info: Mapping[str, bytes] = field(default_factory=dict)
    members: Sequence[tuple[tarfile.TarInfo, bytes]] = ()
    stamp_ms: int = STAMP_MS

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.build}{self.ending}"

    @property
    def record(self) -> dict[str, Any]:
        noarch = {"noarch": "python"} if self.python else {}
        noarch = noarch or ({"noarch": "generic"} if self.subdir == "noarch" else {})
        return {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": 0,
            "depends": list(self.depends),
            "constrains": list(self.constrains),
            "subdir": self.subdir,
            "license": "MIT",
            "timestamp": self.stamp_ms,
            **noarch,
            **self.index,
        }

    def info(self) -> dict[str, bytes]:
        rows = [self._row(path, data) for path, data in self.files.items()]
        rows += [{"_path": path, "path_type": "softlink"} for path in self.links]
        found = {
            "info/index.json": json.dumps(self.record).encode(),
            "info/paths.json": json.dumps({"paths": rows, "paths_version": 1}).encode(),
        }
        if self.python:
            link = {"noarch": {"type": "python", "entry_points": list(self.entry_points)}}
            found["info/link.json"] = json.dumps({**link, "package_metadata_version": 1}).encode()
        return {**found, **self.more_info}

    def _row(self, path: str, data: bytes) -> dict[str, Any]:
        sha = hashlib.sha256(data).hexdigest()
        row = {"_path": path, "path_type": "hardlink", "sha256": sha, "size_in_bytes": len(data)}
        if PLACEHOLDER.encode() in data:
            mode = "binary" if path in self.binary else "text"
            row |= {"prefix_placeholder": PLACEHOLDER, "file_mode": mode}
        return row

    def payload(self) -> bytes:
        return _tar(self.files, self.links, self.members)

    def data(self) -> bytes:
        info = _tar(self.info(), {}, ())
        if self.ending == ".tar.bz2":
            import bz2

            both = _tar({**self.info(), **self.files}, self.links, self.members)
            return bz2.compress(both)
        stem = self.file_name.removesuffix(self.ending)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in (
                ("metadata.json", b'{"conda_pkg_format_version": 2}'),
                (f"pkg-{stem}.tar.zst", zstd(self.payload())),
                (f"info-{stem}.tar.zst", zstd(info)),
            ):
                archive.writestr(zipfile.ZipInfo(name), content)
        return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def _tar(
    files: Mapping[str, bytes],
    links: Mapping[str, str],
    members: Iterable[tuple[tarfile.TarInfo, bytes]],
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), MEMBERS
            info.mode = 0o755 if content.startswith(b"#!") else 0o644
            archive.addfile(info, io.BytesIO(content))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_channel(
    root: str,
    packages: Iterable[Conda],
    *,
    channel: str = "forge",
    compressed: bool = False,
    without: Sequence[str] = (),
) -> None:
    """Writes a channel below ``root`` as an indexer does; ``without`` are keys left out."""
    tables: dict[str, dict[str, dict[str, Any]]] = {"noarch": {}, "linux-64": {}}
    for package in packages:
        folder = os.path.join(root, channel, package.subdir)
        os.makedirs(folder, exist_ok=True)
        data = package.data()
        with open(os.path.join(folder, package.file_name), "wb") as file:
            file.write(data)
        row = {
            **package.record,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "md5": hashlib.md5(data).hexdigest(),
        }
        row = {key: value for key, value in row.items() if key not in without}
        tables.setdefault(package.subdir, {})[package.file_name] = row
    for subdir, rows in tables.items():
        folder = os.path.join(root, channel, subdir)
        os.makedirs(folder, exist_ok=True)
        index = {
            "info": {"subdir": subdir},
            "packages": {n: r for n, r in rows.items() if n.endswith(".bz2")},
            "packages.conda": {n: r for n, r in rows.items() if n.endswith(".conda")},
            "repodata_version": 1,
        }
        text = json.dumps(index).encode()
        name = "repodata.json.zst" if compressed else "repodata.json"
        with open(os.path.join(folder, name), "wb") as file:
            file.write(zstd(text) if compressed else text)
