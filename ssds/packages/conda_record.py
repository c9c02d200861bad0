"""The record of an installed conda package (``conda-meta/NAME-VERSION-BUILD.json``).

It holds what the package says of itself, where it comes from, and what it installed; nothing of
the machine that linked it and no time. Source: conda's ``PrefixRecord``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ssds.core.canonical import Json
from ssds.core.pins import PinnedPackage

_OWN = (
    *("arch", "build", "build_number", "constrains", "depends", "features", "license"),
    *("license_family", "name", "noarch", "platform", "python_site_packages_path", "timestamp"),
    *("track_features", "version"),
)
"""What is taken from the package's ``index.json``."""
_COPY = 3


def record_bytes(pin: PinnedPackage, index: Mapping[str, Any], rows: Sequence[Json]) -> bytes:
    """Returns the record; ``rows`` are the installed paths as ``paths_data`` has them.

    The address is that of the channel without its host: which mirror gave the file is no part of
    an image (C18).
    """
    installed = [row for row in rows if isinstance(row, Mapping)]
    files = [str(row["_path"]) for row in installed if row["path_type"] != "directory"]
    record: dict[str, Any] = {
        "constrains": [],
        "build_number": 0,
        **{key: index[key] for key in _OWN if key in index},
        "channel": pin.channel,
        "subdir": pin.architecture,
        "fn": pin.file.name,
        "url": f"conda:{pin.file.path}",
        "sha256": pin.file.digest.hex,
        "size": pin.file.size_bytes,
        "files": files,
        "link": {"source": "", "type": _COPY},
        "paths_data": {"paths_version": 1, "paths": list(rows)},
        "extracted_package_dir": "",
        "package_tarball_full_path": "",
    }
    return (json.dumps(record, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()
