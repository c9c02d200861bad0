"""The setting ``trust``: whose signatures count, and the key that signs what is released."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ssds.recipe.formats.scope import Report
from ssds.recipe.settings import SETTINGS_FILE, TrustSetting


def trust_setting(
    item: Mapping[str, Any], absolute: Callable[[str], str], report: Report
) -> TrustSetting:
    """Returns what a file says of trust, paths made absolute.

    A workspace comes from others: it may name whose signatures count where the person's own
    settings name nobody, and never the key that signs in their name.
    """
    keys = {name: absolute(path) for name, path in item.get("keys", {}).items()}
    for name, path in keys.items():
        if not os.path.isfile(path):
            report("W023", ("trust", "keys", name), ("found", path))
    sign = item.get("sign", "")
    if sign and report.document.path == SETTINGS_FILE:
        report("W022", ("trust", "sign"))
    is_path = ":" not in sign.partition("/")[0]
    return TrustSetting(
        keys=keys,
        sign=absolute(sign) if sign and is_path else sign,
        signed_advisories=item.get("advisories") == "signed",
    )
