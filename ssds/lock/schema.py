"""The JSON Schemas of locks; they serve editors and other programs.

The reader itself is ``parse``, which is faster and says more; a test gives both the same files and
demands one opinion.
"""

from __future__ import annotations

import importlib.resources
import json
import os
from functools import cache
from typing import Any

from ssds.core.errors import UnavailableError

LOCK = "lock.schema.json"
CATALOG_LOCK = "catalog-lock.schema.json"


def schema_faults(name: str, data: object) -> list[tuple[str, str]]:
    """Returns (JSON path, message) of everything in ``data`` that the schema ``name`` forbids."""
    errors = _validator(name).iter_errors(data)
    return sorted((str(e.json_path), str(e.message)[:300]) for e in errors)


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema_bytes(name)))


def schema_bytes(name: str) -> bytes:
    """Returns the bytes of a schema file, from the package or from the checkout."""
    try:
        return importlib.resources.files("ssds.schemas").joinpath(name).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        path = os.path.join(root, "schemas", name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UnavailableError(
            f"the schema {name} is not installed", hint="Install ssds again."
        ) from error
