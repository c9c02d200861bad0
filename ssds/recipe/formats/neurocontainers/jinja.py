"""Jinja2 as their recipes use it: whole, but in a sandbox, with limits on time and size.

Statements are allowed; macros, blocks, imports and filters over bodies are not. Every attribute,
call, operator and loop passes a check here, so that a text can neither reach into Python nor run
for long. Texts with plain names only, the usual case, are filled in without jinja2; a property
test holds both ways to one result.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.recipe.templates import RESERVED, TemplateProblem

MAX_OUTPUT = 1 << 20
_MOST_NODES = 20_000
_MOST_ROUNDS = 5_000
_LARGEST = 1 << 62

_PLAIN = pattern(
    r"\{\{\s*(?:(context|local)\s*\.\s*)?([A-Za-z_][A-Za-z0-9_]*)\s*"
    r"(?:\(\s*(?:\"([^\"\\\n]*)\"|'([^'\\\n]*)')\s*\)\s*)?\}\}"
)
_MARKS = pattern(r"\{[{%#]")
_UNDEFINED = pattern(r"'([^']*)' is undefined")
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "reverse", "round", "select",
    "sort", "string", "title", "trim", "unique", "upper",
)  # fmt: skip
_TESTS = (
    "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge",
    "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping",
    "ne", "none", "number", "odd", "sequence", "string", "true", "undefined", "upper", "==", "!=",
    ">", ">=", "<", "<=",
)  # fmt: skip
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        (
            "capitalize", "count", "endswith", "find", "index", "isalpha", "isdecimal", "isdigit",
            "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace",
            "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
            "strip", "title", "upper",
        )
    ),
    dict: frozenset(("get", "items", "keys", "values")),
    list: frozenset(("count", "index")),
    tuple: frozenset(("count", "index")),
}  # fmt: skip
_LOOP = frozenset(("first", "index", "index0", "last", "length", "revindex", "revindex0"))


_PRINTED = (str, int, float, list, tuple, dict)


class Namespace:
    """What a template may look into, by ``name.part``.

    Attributes:
        find: gives the part; raises KeyError.
    """

    __slots__ = ("find",)

    def __init__(self, find: Callable[[str], Any]) -> None:
        self.find = find


class Function:
    """What a template may call."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


def render(text: str, names: Mapping[str, Any], *, strict: bool = True) -> str:
    """Returns ``text`` rendered; one newline at its end is lost, as Jinja has it.

    Args:
        names: name → value, Namespace or Function.
        strict: unknown names are errors; else they print nothing.

    Raises:
        TemplateProblem: R035 syntax, R036 unknown name, R037 not allowed, R038 too much or too
            long, R039 fails when evaluated.
    """
    if "{" not in text or not _MARKS.search(text):
        return _lines(text)
    plain = _plainly(text, names) if strict and "\r" not in text else None
    if plain is None:
        plain = slowly(text, names, strict=strict)
    if len(plain) > MAX_OUTPUT:
        raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    return plain


def _lines(text: str) -> str:
    """Returns a text without expressions as Jinja prints it."""
    if "\r" in text:
        text = re.sub("\r\n?", "\n", text)
    return text[:-1] if text[-1:] == "\n" else text


def _plainly(text: str, names: Mapping[str, Any]) -> str | None:
    """Returns the text where it has plain names and calls with one text only, else None."""
    if text[-1:] == "\n":
        text = text[:-1]
    pieces: list[str] = []
    at = 0
    for match in _PLAIN.finditer(text):
        before = text[at : match.start()]
        whole, name, *given = match.groups()
        if ("{" in before and _MARKS.search(before)) or (not whole and name in RESERVED):
            return None
        try:
            value = names[whole].find(name) if whole else names[name]
        except KeyError:
            return None
        argument = given[0] if given[0] is not None else given[1]
        if argument is not None:
            if not isinstance(value, Function):
                return None
            value = value.call(argument)
        if not isinstance(value, str | int | float):
            return None
        pieces += (before, str(value))
        at = match.end()
    rest = text[at:]
    if "{" in rest and _MARKS.search(rest):
        return None
    return "".join((*pieces, rest))


def slowly(text: str, names: Mapping[str, Any], *, strict: bool = True) -> str:
    """Returns what ``render`` does, by way of jinja2."""
    from jinja2 import TemplateError, UndefinedError
    from jinja2.exceptions import TemplateSyntaxError

    if len(text) > MAX_OUTPUT:
        raise TemplateProblem("R038", "template", f"{len(text)} characters")
    try:
        template = _compiled(text, strict)
        environment = _environment(strict)
        environment.rounds = _MOST_ROUNDS
        size, pieces = 0, []
        for piece in template.generate(**names):
            size += len(piece)
            if size > MAX_OUTPUT:
                raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
            pieces.append(piece)
        return "".join(pieces)
    except TemplateProblem as problem:
        if problem.offset < 0:
            problem.offset = _first(text)
        raise
    except TemplateSyntaxError as error:
        line = (error.lineno or 1) - 1
        offset = sum(len(part) + 1 for part in text.split("\n")[:line])
        found = text.find("{", offset)
        raise TemplateProblem(
            "R035", "reason", str(error.message)[:200], offset=max(found, 0)
        ) from error
    except UndefinedError as error:
        unknown = _UNDEFINED.fullmatch(str(error.message))
        code, label, fact = ("R036", "name", unknown[1]) if unknown else ("R039", "reason", "")
        fact = fact or str(error.message)[:200]
        offset = text.find(fact) if unknown else -1
        raise TemplateProblem(
            code, label, fact, offset=offset if offset >= 0 else _first(text)
        ) from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise TemplateProblem("R035", "reason", "nested too deeply", offset=_first(text)) from error
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = str(error)[:200] or type(error).__name__
        raise TemplateProblem("R039", "reason", reason, offset=_first(text)) from error


def _first(text: str) -> int:
    found = _MARKS.search(text)
    return found.start() if found else 0


@functools.lru_cache(maxsize=2048)
def _compiled(text: str, strict: bool) -> Any:
    """Returns the checked and compiled template."""
    from jinja2 import nodes

    environment = _environment(strict)
    tree = environment.parse(text)
    allowed: Any = _allowed_nodes()
    count = 0
    stack: list[Any] = [tree]
    while stack:
        node: Any = stack.pop()
        count += 1
        if count > _MOST_NODES:
            raise TemplateProblem("R037", "found", f"more than {_MOST_NODES} parts")
        if not isinstance(node, allowed):
            raise TemplateProblem("R037", "found", type(node).__name__)
        if isinstance(node, nodes.Filter) and node.name not in environment.filters:
            raise TemplateProblem("R037", "found", f"filter {node.name}")
        if isinstance(node, nodes.Test) and node.name not in environment.tests:
            raise TemplateProblem("R037", "found", f"test {node.name}")
        if isinstance(node, nodes.For) and node.recursive:
            raise TemplateProblem("R037", "found", "recursive loop")
        stack.extend(node.iter_child_nodes())
    return environment.from_string(_bounder().visit(tree))


@functools.cache
def _bounder() -> Any:
    """Returns what puts a count into loops, and a join in the place of the operator ``~``."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    class Bounder(NodeTransformer):
        def visit_For(self, node: Any) -> Any:  # noqa: N802 - the library's name
            self.generic_visit(node)
            node.iter = nodes.Filter(node.iter, "counted", [], [], None, None, lineno=node.lineno)
            return node

        def visit_Concat(self, node: Any) -> Any:  # noqa: N802 - the library's name
            self.generic_visit(node)
            parts = nodes.List(node.nodes, lineno=node.lineno)
            return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)

    return Bounder()


@functools.cache
def _allowed_nodes() -> tuple[type, ...]:
    from jinja2 import nodes

    return (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr,
        nodes.Getitem, nodes.Slice, nodes.Call, nodes.Filter, nodes.Test, nodes.If, nodes.For,
        nodes.Assign, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
        nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv,
        nodes.Mod, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
    )  # fmt: skip


@functools.cache
def _environment(strict: bool) -> Any:
    """Returns the sandbox, with unknown names as errors or as nothing."""
    from jinja2 import StrictUndefined, Undefined
    from jinja2.sandbox import SandboxedEnvironment

    class Sandbox(SandboxedEnvironment):
        intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))
        rounds = _MOST_ROUNDS

        def getattr(self, obj: Any, attribute: str) -> Any:
            return self._part(obj, attribute, methods=True)

        def getitem(self, obj: Any, argument: Any) -> Any:
            if isinstance(argument, str):
                return self._part(obj, argument, methods=False)
            try:
                return obj[argument]
            except (LookupError, TypeError, AttributeError):
                return self.undefined(obj=obj, name=argument)

        def _part(self, obj: Any, name: str, *, methods: bool) -> Any:
            if isinstance(obj, Namespace):
                try:
                    return obj.find(name)
                except KeyError:
                    return self.undefined(hint=f"'context.{name}' is undefined", name=name)
            if methods and name in _METHODS.get(type(obj), ()):
                return Function(functools.partial(_method, obj, name))
            if isinstance(obj, dict) and name in obj:
                return obj[name]
            if type(obj).__name__ == "LoopContext" and name in _LOOP:
                return getattr(obj, name)
            if name.startswith("_") or hasattr(obj, name):
                raise TemplateProblem("R037", "found", f".{name}")
            return self.undefined(obj=obj, name=name)

        def call(self, _context: Any, obj: Any, /, *args: Any, **named: Any) -> Any:
            if not isinstance(obj, Function):
                if isinstance(obj, Undefined):
                    obj()  # says what is not defined
                raise TemplateProblem("R037", "found", "a call")
            for own in ("_loop_vars", "_block_vars"):
                named.pop(own, None)
            return obj.call(*args, **named)

        def call_binop(self, _context: Any, operator: str, left: Any, right: Any) -> Any:
            return _operate(super().call_binop, _context, operator, left, right)

    environment = Sandbox(
        undefined=StrictUndefined if strict else Undefined,
        autoescape=False,
        finalize=_printed,
        optimized=False,  # folding constants at compile time would pass the limits by
        cache_size=0,
    )
    environment.globals.clear()
    environment.globals.update(range=Function(_range))
    filters = {name: environment.filters[name] for name in _FILTERS}
    environment.filters.clear()
    environment.filters.update(filters)

    def counted(values: Any) -> tuple[Any, ...]:
        found = []
        for value in values:
            environment.rounds -= 1
            if environment.rounds < 0:
                raise TemplateProblem("R038", "limit", f"{_MOST_ROUNDS} rounds of loops")
            found.append(value)
        return tuple(found)

    environment.filters.update(counted=counted, join=_join, replace=_replace)
    tests = {name: environment.tests[name] for name in _TESTS}
    environment.tests.clear()
    environment.tests.update(tests)
    return environment


def _printed(value: Any) -> Any:
    """Returns what an expression may print: nothing that shows an address of memory."""
    if value is None or isinstance(value, _PRINTED) or "Undefined" in type(value).__name__:
        return value
    raise TypeError("the expression gives neither text, a number nor a list")


def _method(obj: Any, name: str, *args: Any, **named: Any) -> Any:
    if name == "replace" and isinstance(obj, str):
        return _replace(obj, *args)
    if name == "join":
        return _join(args[0] if args else (), obj)
    found = getattr(obj, name)(*args, **named)
    return list(found) if name in ("items", "keys", "values") else found


def _operate(plain: Callable[..., Any], context: Any, operator: str, left: Any, right: Any) -> Any:
    sized = [side for side in (left, right) if isinstance(side, str | list | tuple | dict)]
    if operator == "*":
        counts = [side for side in (left, right) if isinstance(side, int)]
        if sized and counts and len(sized[0]) * counts[0] > MAX_OUTPUT:
            raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    elif operator == "%" and isinstance(left, str):
        raise TemplateProblem("R037", "found", "formatting by %")
    elif len(sized) == 2 and len(sized[0]) + len(sized[1]) > MAX_OUTPUT:
        raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    result = plain(context, operator, left, right)
    if isinstance(result, int) and abs(result) > _LARGEST:
        raise TemplateProblem("R038", "limit", "numbers of 62 bits")
    return result


def _range(*bounds: int) -> list[int]:
    found = range(*bounds)
    if len(found) > _MOST_ROUNDS:
        raise TemplateProblem("R038", "limit", f"{_MOST_ROUNDS} rounds of loops")
    return list(found)


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Returns ``value`` with ``old`` replaced; bounded before it is made."""
    text, old, new = str(value), str(old), str(new)
    if len(text) + text.count(old) * len(new) > MAX_OUTPUT:
        raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    return text.replace(old, new, -1 if count is None else count)


def _join(values: Any, separator: Any = "") -> str:
    """Returns the parts joined; bounded before it is made."""
    parts: list[str] = []
    size, separator = 0, str(separator)
    for value in values:
        parts.append(str(value))
        size += len(parts[-1]) + len(separator)
        if size > MAX_OUTPUT:
            raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    joined: str = separator.join(parts)
    return joined
