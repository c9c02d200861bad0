"""Reads and writes the file of a saved plan. What comes from a file is hostile until checked."""

from __future__ import annotations

import json
import os
import re
import stat
from functools import cache
from typing import Any, NoReturn

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, Refused, SsdsError, UsageError
from ssds.host.files import atomic_write
from ssds.lock.schema import schema_bytes
from ssds.saved.form import FORMAT, from_dict, id_of, to_dict
from ssds.saved.model import SavedPlan

SUFFIX = ".plan.json"
SIZE_LIMIT_BYTES = 256 << 20
DEPTH_LIMIT = 16
SCHEMA = "saved-plan.schema.json"
AGAIN = "Make the plan again: `ssds plan --out FILE`."
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def names_plan(text: str) -> bool:
    """Whether a word of the command line means a saved plan: by its suffix, or what it names.

    Without the suffix it is a plan when it is a file that begins as JSON does. So a selector keeps
    its meaning in a folder that has a program of that name.
    """
    if text.endswith(SUFFIX):
        return True
    try:
        if not stat.S_ISREG(os.stat(text).st_mode):
            return False
        with open(text, "rb") as file:
            return file.read(1) == b"{"
    except (OSError, ValueError):
        return False


def encoded(plan: SavedPlan) -> tuple[Digest, bytes]:
    """Returns the plan's id and the bytes of its file.

    Raises:
        Refused: E127, it is larger than what is read again.
    """
    document = to_dict(plan)
    plan_id = id_of(document)
    data = canonical_bytes({**document, "plan_id": str(plan_id)}) + b"\n"
    if len(data) > SIZE_LIMIT_BYTES:
        raise Refused(
            f"a plan of {len(plan.steps)} steps is too large to be saved",
            hint="Plan less at a time: name selectors, or leave --full out.",
            code="E127",
        )
    return plan_id, data


def write_saved(path: str, data: bytes) -> None:
    """Puts the bytes of a saved plan at ``path``, whole and durable.

    Raises:
        UsageError: E120, there is a folder.
        EnvironmentProblem: the file cannot be written.
    """
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder", hint="Name a file.", code="E120")
    atomic_write(path, data, point="saved-plan")


def read_saved(path: str) -> tuple[SavedPlan, Digest]:
    """Returns the plan in the file ``path`` and its id.

    Raises:
        UsageError: E120 there is no such file; E121 it is no saved plan; E122 of another version.
        IntegrityError: E123 it is cut off or was edited.
        EnvironmentProblem: it cannot be read.
    """
    shown = os.path.basename(path) or path
    return parse_saved(_read(path, shown), shown)


def _read(path: str, shown: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{shown} is not a file", hint=AGAIN, code="E120")
            if status.st_size > SIZE_LIMIT_BYTES:
                _foreign(shown, f"it has more than {SIZE_LIMIT_BYTES >> 20} MiB")
            return file.read(SIZE_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError) as error:
        if isinstance(error, SsdsError):
            raise
        raise UsageError(
            f"there is no file {shown}", hint=f"`ssds plan --out {shown}` makes one.", code="E120"
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot read {shown}: {error.strerror}", hint="Check its owner and permissions."
        ) from error


def parse_saved(data: bytes, shown: str = "the plan") -> tuple[SavedPlan, Digest]:
    """Returns the plan in ``data`` and its id; raises as ``read_saved``."""
    document = _document(data, shown)
    _check_version(document, shown)
    stated = document.get("plan_id")
    try:
        plan_id = id_of(document)
    except SsdsError as error:
        _foreign(shown, error.message)
    if stated != plan_id:
        raise IntegrityError(
            f"{shown} was changed after it was written: its content does not have its plan id",
            hint=f"{AGAIN} A plan is never edited by hand.",
            code="E123",
        )
    fault = next(iter(_validator().iter_errors(document)), None)
    if fault is not None:
        _foreign(shown, f"{fault.json_path}: {str(fault.message)[:200]}")
    try:
        return from_dict(document), plan_id
    except SsdsError as error:
        _foreign(shown, error.message)


def _document(data: bytes, shown: str) -> dict[str, Any]:
    """Returns the JSON object: no key twice, no float, no null, nothing deep, whole numbers."""
    if len(data) > SIZE_LIMIT_BYTES:
        _foreign(shown, f"it has more than {SIZE_LIMIT_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        _foreign(shown, "it is not UTF-8 text")
    _check_depth(text, shown)
    try:
        found = json.loads(
            text, object_pairs_hook=_pairs, parse_float=_no_float, parse_constant=_no_float,
            parse_int=_integer,
        )  # fmt: skip
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and '"format":"' + FORMAT in text:
            raise IntegrityError(
                f"{shown} is cut off or damaged, at byte {error.pos} of {len(data)}",
                hint=f"Copy it again, or make it anew. {AGAIN}",
                code="E123",
            ) from error
        _foreign(shown, "it is not JSON")
    except (_BadValueError, RecursionError) as error:
        _foreign(shown, str(error)[:200])
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        _foreign(shown, f'it has no "format": "{FORMAT}"')
    return found


class _BadValueError(Exception):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _BadValueError("a key appears twice")
    return found


def _no_float(text: str) -> NoReturn:
    raise _BadValueError(f"{text[:20]} is not a whole number")


def _integer(text: str) -> int:
    if len(text) > 18:
        raise _BadValueError(f"the number {text[:20]}… is too large")
    return int(text)


_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+"|["\[\]{}]', re.DOTALL)


def _check_depth(text: str, shown: str) -> None:
    depth = 0
    for match in _NESTING.finditer(text):
        sign = match[0]
        if sign in "[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                _foreign(shown, "it is nested too deeply")
        elif sign in "]}":
            depth -= 1
        elif sign == '"':
            return  # the text ends within a string; the parser says so


def _check_version(document: dict[str, Any], shown: str) -> None:
    text = document.get("format_version")
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        _foreign(shown, "its format_version is not MAJOR.MINOR")
    if match[1] != "1" or match[2] != "0":
        newer = (int(match[1]), int(match[2])) > (1, 0)
        raise UsageError(
            f"{shown} has the format {match[0]}, and this ssds reads 1.0",
            hint="Use the newer ssds that made it, or make the plan again with this one."
            if newer
            else AGAIN,
            code="E122",
        )


def _foreign(shown: str, why: str) -> NoReturn:
    raise UsageError(f"{shown} is not a saved plan of ssds: {why}", hint=AGAIN, code="E121")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    schema = json.loads(schema_bytes(SCHEMA))
    return Draft202012Validator(_inlined(schema, schema["$defs"]))


def _inlined(value: Any, parts: dict[str, Any]) -> Any:
    """Returns the schema with its parts put in place; looking them up took most of the time."""
    if isinstance(value, list):
        return [_inlined(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    found = {k: _inlined(v, parts) for k, v in value.items() if k not in ("$ref", "$defs")}
    if isinstance(value.get("$ref"), str):
        found |= _inlined(parts[value["$ref"].rpartition("/")[2]], parts)
    return found
