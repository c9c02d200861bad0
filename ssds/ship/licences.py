"""Whether everybody may be given a release: a channel that is public asks before it is pushed.

What the recipe says of its own software must be known and redistributable. A package in the image
whose database states a licence must not have one that is known to be none for everybody. Both stand
in the SBOM of the released image; a data set's licences in its record. Categories of licences are
those of ScanCode's LicenseDB, which the library license-expression brings.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.model import ReleaseName
from ssds.core.records import replace
from ssds.core.text import shown
from ssds.lock.model import Released, ReleaseHalf
from ssds.oci.document import Place, load_document
from ssds.recipe.model import Channel
from ssds.ship.changes import IRREVERSIBLE, Change

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_COMPONENTS = 200_000
SHOWN = 3
"""How many packages a reason names."""
FREE = frozenset({"Permissive", "Copyleft", "Copyleft Limited", "Public Domain"})
"""Categories whose licences let everybody pass copies on."""
_DECLARED = "ssds:declared"
_GOOD, _UNKNOWN, _BAD = "", "unknown", "not redistributable"

Read = Callable[[Digest], bytes | None]


def withhold(
    channel: Channel, changes: Sequence[Change], releases: Sequence[Released], read: Read
) -> tuple[Change, ...]:
    """Returns the changes; those that would bring what a public channel may not have are refused.

    Args:
        read: gives a blob's bytes where they are here.
    """
    if not channel.public:
        return tuple(changes)
    by_name = {released.id: released for released in releases}
    reasons: dict[ReleaseName, str] = {}
    found = []
    for change in changes:
        name = change.release
        if change.verb == "+" and name in by_name and name is not None:
            if name not in reasons:
                reasons[name] = withheld(channel, by_name[name], read)
            if reasons[name]:
                marks = change.marks - IRREVERSIBLE
                found.append(replace(change, verb="x", reason=reasons[name], marks=marks))
                continue
        found.append(change)
    return tuple(found)


def withheld(channel: Channel, released: Released, read: Read) -> str:
    """Returns why a release is not for everybody, or the empty string."""
    allowed = frozenset(channel.licences)
    if released.dataset is not None:
        return _of_data(released.dataset.record, allowed)
    problems: dict[str, None] = {}
    for platform, half in released.platforms.items():
        claim = released.evidence.get(platform, {}).get("sbom")
        data = read(claim.outputs["sbom"]) if claim is not None else None
        if data is None:
            remedy = f"bring the SBOM (ssds apply --fetch {released.id})"
            return f"its licences are not known here: {remedy}"
        try:
            problems.update(dict.fromkeys(_problems(data, half, allowed)))
        except IntegrityError as error:
            return f"its licences cannot be read: {error.message}"
    names = list(problems)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more


def _of_data(record: bytes, allowed: frozenset[str]) -> str:
    """Returns why a reference data set is not for everybody; its lock says its licences."""
    top = load_document(record, "the data set's record", limit_bytes=LIMIT_BYTES)
    about = top.child("about") if top.has("about") else top
    text = " AND ".join(f"({t})" for t in about.texts("licenses", limit=100))
    if verdict := judged(text, allowed):
        return f"the licence of the data set is {shown(text) or 'not stated'}, {verdict}"
    return ""


def _problems(data: bytes, half: ReleaseHalf, allowed: frozenset[str]) -> Iterator[str]:
    if f'"{half.config.digest}"'.encode() not in data:
        yield "its SBOM is of another build"
        return
    top = load_document(data, "SBOM", limit_bytes=LIMIT_BYTES)
    own = False
    for item in top.items("components", limit=LIMIT_COMPONENTS):
        said = ((p.text("name"), p.text("value", "")) for p in item.items("properties", limit=1000))
        declared = (_DECLARED, "recipe") in said
        own = own or declared
        text = _stated(item)
        verdict = judged(text, allowed)
        if verdict == _BAD or (verdict == _UNKNOWN and declared):
            what = f"the licence of {shown(item.text('name'))[:60]} is"
            yield f"{what} {shown(text)[:80]}, {verdict}" if text else f"{what} not stated"
    if not own:
        yield "the recipe states no licence of its software"


def _stated(item: Place) -> str:
    """Returns the licences of a component as one expression; all of several hold."""
    texts = []
    for entry in item.items("licenses", limit=100):
        text = entry.text("expression", "")
        if not text:
            inner = entry.child("license")
            text = inner.text("id", "") or inner.text("name", "")
        texts.append(text)
    return " AND ".join(f"({t})" if len(texts) > 1 else t for t in texts)


def judged(text: str, allowed: frozenset[str] = frozenset()) -> str:
    """Returns the empty string where everybody may have it, else ``unknown`` or why not.

    Of ``A OR B`` one is enough, of ``A AND B`` both count, an exception (``WITH``) only widens.

    Args:
        text: an SPDX expression; anything else is unknown.
        allowed: what is fine besides, whole texts or licences as they stand in the expression.
    """
    from license_expression import ExpressionError

    if text in allowed:
        return _GOOD
    if not text or len(text) > 2000:
        return _UNKNOWN
    try:
        parsed = _licensing().parse(text)
    except (ExpressionError, ValueError, AttributeError, RecursionError):
        return _UNKNOWN
    return _of(parsed, allowed) if parsed is not None else _UNKNOWN


def _of(parsed: Any, allowed: frozenset[str]) -> str:
    name = type(parsed).__name__
    if name in ("AND", "OR"):
        parts = [_of(part, allowed) for part in parsed.args]
        rank = (_GOOD, _UNKNOWN, _BAD).index
        return max(parts, key=rank) if name == "AND" else min(parts, key=rank)
    if str(parsed) in allowed:
        return _GOOD
    licence = getattr(parsed, "license_symbol", parsed)
    key = str(licence.key)
    if key in allowed:
        return _GOOD
    category = _categories().get(key.lower(), "")
    return _GOOD if category in FREE else _BAD if category else _UNKNOWN


@functools.cache
def _licensing() -> Any:
    from license_expression import Licensing

    return Licensing()


@functools.cache
def _categories() -> Mapping[str, str]:
    """Returns SPDX identifier in small letters → category; ``Unstated License`` is none."""
    place = importlib.resources.files("license_expression")
    text = (place / "data" / "scancode-licensedb-index.json").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for item in json.loads(text):
        names = [item.get("spdx_license_key"), *(item.get("other_spdx_license_keys") or ())]
        if not item.get("is_exception") and item.get("category") != "Unstated License":
            found.update((name.lower(), item["category"]) for name in names if name)
    return found
