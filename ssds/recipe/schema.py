"""Schema checks: one source of truth, ``schemas/*.schema.json``, read in two ways.

``Schema.accepts`` is the schema compiled to closures: the fast way, which says only yes or no.
On a no, ``Schema.problems`` asks jsonschema (JSON Schema draft 2020-12) for every error and turns
each into a diagnostic with its place. A test feeds both the same files and demands one opinion.

``x-code`` in a schema names the code of the failures there: a text for all of them, or a map from
the keyword (``pattern``) to the code.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ssds.core.diagnostics import Collector, Diagnostic
from ssds.recipe.address import Path, format_address
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.yamlmarks import Document

Check = Callable[[Any], bool]
Facts = tuple[tuple[str, str], ...]
Problem = tuple[str, Path, Facts, str]
"""Code, path, facts, "did you mean"."""

_TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": float,
    "null": type(None),
}
"""``number`` is one with a fraction here: ``integer`` is named beside it."""
_WORDS = {
    dict: "a map",
    list: "a list",
    str: "text",
    int: "a number",
    bool: "true or false",
    float: "a number with a fraction",
    type(None): "nothing",
}
_NOTES = frozenset({"$schema", "$id", "$defs", "title", "description", "x-code"})
_KEYWORDS = {
    "type": "003", "enum": "004", "pattern": "005", "required": "002", "dependentRequired": "002",
    "additionalProperties": "001", "oneOf": "007", "uniqueItems": "008",
}  # fmt: skip


def schema_bytes(name: str) -> bytes:
    """Returns the file ``<name>.schema.json``, from the wheel or the checkout."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        with open(os.path.join(folder, "schemas", f"{name}.schema.json"), "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):  # in a zip file
        from importlib import resources

        return resources.files("ssds").joinpath("schemas", f"{name}.schema.json").read_bytes()


@functools.cache
def schema(name: str, letter: str) -> Schema:
    """Returns the schema ``name``; ``letter`` begins the codes of its problems (``R``)."""
    return Schema(json.loads(schema_bytes(name)), letter)


class Schema:
    """One JSON Schema, compiled once."""

    def __init__(self, document: Mapping[str, Any], letter: str) -> None:
        self.document = document
        self.letter = letter
        self._references: dict[str, Check] = {}
        self.accepts: Check = self._compile(document)
        self._validator: Any = None

    def check(self, document: Document, collector: Collector) -> Any:
        """Returns the data to read on, or None when too little is left of it.

        Where there are problems they go to ``collector``, and the data comes back without the
        parts that have them, so that a reader may find the other problems.
        """
        data = document.data
        if self.accepts(data):
            return data
        problems = self.problems(data)
        known = {d.span for d in collector if d.span.path == document.path}
        found = [self._diagnostic(document, *problem) for problem in problems]
        collector.extend(d for d in found if d.span not in known)
        rest = _without(data, [(code, path) for code, path, _, _ in problems])
        return rest if self.accepts(rest) else None

    # -- the slow way: every problem ----------------------------------------------------------

    def problems(self, data: Any) -> list[Problem]:
        """Returns (code, path, facts, "did you mean") of each problem; [] for valid data."""
        if self._validator is None:
            from jsonschema import Draft202012Validator

            self._validator = Draft202012Validator(self.document)
        errors = list(self._validator.iter_errors(data))
        unknown = {tuple(e.absolute_path) for e in errors if e.validator == "additionalProperties"}
        found: dict[tuple[str, Path], tuple[Facts, str]] = {}
        for error in errors:
            path: Path = tuple(error.absolute_path)
            if error.validator == "oneOf" and (
                path in unknown or not isinstance(error.instance, dict)
            ):
                continue  # the misspelt key, or the wrong type, is the cause
            for code, place, facts, first in self._explain(error, path):
                found.setdefault((code, place), (facts, first))
        return [(code, path, facts, first) for (code, path), (facts, first) in found.items()]

    def _explain(self, error: Any, path: Path) -> list[Problem]:
        keyword, value, instance = error.validator, error.validator_value, error.instance
        note = error.schema.get("x-code", "")
        code = note if isinstance(note, str) else note.get(keyword, "")
        code = code or self.letter + _KEYWORDS.get(keyword, "006")
        facts: Facts
        wanted = str(error.schema.get("description", ""))
        more = (("wanted", wanted),) if wanted else ()
        if "propertyNames" in error.absolute_schema_path:
            return [(code, (*path, instance), (("key", str(instance)),), "")]
        if keyword == "additionalProperties":
            known = sorted(error.schema.get("properties", ()))
            keys = [key for key in instance if key not in known]
            facts = (("known", ", ".join(known)),)
            return [(code, (*path, k), (("key", k), *facts), near(k, known)) for k in keys]
        if keyword == "required":
            missing = [key for key in value if key not in instance]
            return [(code, (*path, key), (("key", key),), "") for key in missing]
        if keyword == "dependentRequired":
            return [
                (code, (*path, need), (("key", need), ("goes with", key)), "")
                for key, needs in value.items()
                for need in needs
                if key in instance and need not in instance
            ]
        if keyword == "oneOf":
            choices = [name for branch in value for name in branch["required"]]
            present = [name for name in choices if name in instance]
            if not present and not isinstance(note, str):
                code = self.letter + "002"
            facts = (("found", ", ".join(present) or "none"), ("one of", ", ".join(choices)))
            return [(code, path, facts, "")]
        if keyword == "type":
            kinds = [value] if isinstance(value, str) else value
            names = " or ".join(_WORDS[_TYPES[kind]] for kind in kinds)
            shown = f"{_WORDS.get(type(instance), 'nothing')}: {_short(instance)}"
            return [(code, path, (("found", shown), ("wanted", names)), "")]
        if keyword == "enum":
            facts = (("found", _short(instance)), ("allowed", ", ".join(map(str, value))))
            return [(code, path, facts, near(str(instance), value))]
        limit = () if keyword in ("pattern", "uniqueItems") else ((keyword, str(value)),)
        return [(code, path, (("found", _short(instance)), *limit, *more), "")]

    def _diagnostic(
        self,
        document: Document,
        code: str,
        path: Path,
        facts: Facts,
        first: str,
    ) -> Diagnostic:
        key = bool(facts) and facts[0][0] == "key"
        return diagnostic(
            code, document.span(path, key=key), format_address(path), facts, first=first
        )

    # -- the fast way: yes or no --------------------------------------------------------------

    def _compile(self, schema: Mapping[str, Any]) -> Check:
        """Returns the check of one subschema; a keyword that it does not know is refused."""
        checks: list[Check] = []
        todo = {key: value for key, value in schema.items() if key not in _NOTES}
        if "$ref" in todo:
            checks.append(self._reference(todo.pop("$ref")))
        kinds = todo.pop("type", None)
        if kinds is not None:
            allowed = frozenset(_TYPES[k] for k in ([kinds] if isinstance(kinds, str) else kinds))
            if allowed == {str} and not todo.keys() - {"minLength", "maxLength"}:
                return _plain_text(todo)
            checks.append(lambda v: type(v) in allowed)
        if "enum" in todo:
            values = frozenset(todo.pop("enum"))
            checks.append(lambda v: type(v) is str and v in values)
        checks.extend(self._compile(part) for part in todo.pop("allOf", ()))
        for keyword, maker in (("text", _text), ("number", _number), ("list", self._list)):
            names = _GROUPS[keyword]
            given = {name: todo.pop(name) for name in names if name in todo}
            if given:
                checks.append(maker(given))
        given = {name: todo.pop(name) for name in _GROUPS["map"] if name in todo}
        if given:
            checks.append(self._map(given))
        if todo:
            # Only our own schemas come here: a keyword new to them must get its check above.
            raise AssertionError(f"schema keywords {sorted(todo)} have no fast check")
        if len(checks) == 1:
            return checks[0]
        return _both(checks)

    def _reference(self, name: str) -> Check:
        if name not in self._references:
            self._references[name] = functools.partial(self._later, name)
            target: Any = self.document
            for part in name.removeprefix("#/").split("/"):
                target = target[part]
            self._references[name] = self._compile(target)
        return self._references[name]

    def _later(self, name: str, value: Any) -> bool:
        """Checks ``value``; stands for a part that refers to itself while that is compiled."""
        return self._references[name](value)

    def _list(self, given: Mapping[str, Any]) -> Check:
        item = self._compile(given["items"]) if "items" in given else None
        low, high = given.get("minItems", 0), given.get("maxItems", 1 << 30)
        unique = given.get("uniqueItems", False)

        def check(value: Any) -> bool:
            if type(value) is not list:
                return True
            if not low <= len(value) <= high:
                return False
            if unique and len({repr(v) for v in value}) != len(value):
                return False
            return item is None or all(map(item, value))

        return check

    def _map(self, given: Mapping[str, Any]) -> Check:
        known = {name: self._compile(s) for name, s in given.get("properties", {}).items()}
        other = given.get("additionalProperties", True)
        rest: Check | None = self._compile(other) if isinstance(other, dict) else None
        names = self._compile(given["propertyNames"]) if "propertyNames" in given else None
        required = frozenset(given.get("required", ()))
        together = tuple(given.get("dependentRequired", {}).items())
        low, high = given.get("minProperties", 0), given.get("maxProperties", 1 << 30)
        alternatives = frozenset(name for b in given.get("oneOf", ()) for name in b["required"])

        def check(value: Any) -> bool:
            if type(value) is not dict:
                return True
            for key, item in value.items():
                inner = known.get(key, rest)
                if inner is None:
                    if not other:
                        return False
                elif not inner(item):
                    return False
            if required and not required <= value.keys():
                return False
            if not low <= len(value) <= high or (names and not all(map(names, value))):
                return False
            if alternatives and len(alternatives & value.keys()) != 1:
                return False
            return not together or all(
                key not in value or all(need in value for need in needs) for key, needs in together
            )

        return check


_GROUPS = {
    "text": ("pattern", "minLength", "maxLength"),
    "number": ("minimum", "maximum"),
    "list": ("items", "minItems", "maxItems", "uniqueItems"),
    "map": (
        "properties", "additionalProperties", "propertyNames", "required", "dependentRequired",
        "minProperties", "maxProperties", "oneOf",
    ),
}  # fmt: skip


def _both(checks: list[Check]) -> Check:
    """Returns the check that all of ``checks`` hold."""
    if len(checks) == 2:
        first, second = checks
        return lambda v: first(v) and second(v)
    if len(checks) == 3:
        one, two, three = checks
        return lambda v: one(v) and two(v) and three(v)
    return lambda v: all(check(v) for check in checks)


def _plain_text(given: Mapping[str, Any]) -> Check:
    """Returns the check of a text with at most a length, the most frequent one."""
    low, high = given.get("minLength", 0), given.get("maxLength", 1 << 30)
    return lambda value: type(value) is str and low <= len(value) <= high


def _text(given: Mapping[str, Any]) -> Check:
    low, high = given.get("minLength", 0), given.get("maxLength", 1 << 30)
    if "pattern" not in given:
        return lambda value: type(value) is not str or low <= len(value) <= high
    search: Callable[[str], object] | None = None

    def check(value: Any) -> bool:
        nonlocal search
        if type(value) is not str:
            return True
        if search is None:  # compiling takes longer than reading a recipe that never needs it
            search = re.compile(given["pattern"]).search
        return low <= len(value) <= high and search(value) is not None

    return check


def _number(given: Mapping[str, Any]) -> Check:
    low, high = given.get("minimum", -(1 << 62)), given.get("maximum", 1 << 62)
    return lambda value: type(value) is not int or low <= value <= high


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 80 else text[:77] + "..."


def _without(data: Any, problems: list[tuple[str, Path]]) -> Any:
    """Returns ``data`` without unknown keys and without the top-level parts that have problems."""
    if not isinstance(data, dict):
        return data
    gone = {path[0] for code, path in problems if path and not code.endswith("001")}
    rest = {key: value for key, value in data.items() if key not in gone}
    for code, path in problems:
        if code.endswith("001") and path[0] in rest:
            rest = _removed(rest, path)
    return rest


def _removed(value: Any, path: Path) -> Any:
    """Returns a copy of ``value`` without the key at ``path``."""
    head, tail = path[0], path[1:]
    if isinstance(value, dict) and head in value:
        if not tail:
            return {key: item for key, item in value.items() if key != head}
        return {key: _removed(item, tail) if key == head else item for key, item in value.items()}
    if isinstance(value, list) and isinstance(head, int) and tail and head < len(value):
        return [_removed(item, tail) if at == head else item for at, item in enumerate(value)]
    return value
