"""What a step with ``network: true`` gets besides the network: the way to the configured mirrors.

Such a step is impure (C10), so nothing of this is in a key; none of it stays in the image (C18).
Addresses with a user or a password in them are left out: build steps get no secrets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from ssds.core.model import Node
from ssds.host.mirrors import Mirrors
from ssds.host.sandbox import Bind

APT = "/run/ssds/apt"
_CONFIG = f"""\
Dir::Etc::SourceList "{APT}/sources.list";
Dir::Etc::SourceParts "-";
"""


def write_aids(folder: str, node: Node, mirrors: Mirrors) -> tuple[list[Bind], dict[str, str]]:
    """Writes apt's sources into ``folder``; returns what is bound, and environment variables."""
    binds, environment = [], {}
    archive = cast(Mapping[str, Any], node.hints.get("archive", {}))
    roots = list(_usable(mirrors.debian))
    if archive and roots:
        rest = " ".join((archive["suite"], *archive["components"]))
        lines = "".join(f"deb {root} {rest}\n" for root in roots)
        for name, text in (("sources.list", lines), ("apt.conf", _CONFIG)):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o644)
        os.chmod(folder, 0o755)
        binds.append(Bind(source=folder, target=APT))
        environment["APT_CONFIG"] = f"{APT}/apt.conf"
    indexes = list(_usable(mirrors.pypi))
    if indexes:
        environment["PIP_INDEX_URL"] = indexes[0]
    for proxy in _usable([mirrors.proxy]):
        environment |= {"http_proxy": proxy, "https_proxy": proxy}
    return binds, environment


def _usable(addresses: Iterable[str]) -> Iterable[str]:
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and "@" not in parts.netloc:
            yield address
