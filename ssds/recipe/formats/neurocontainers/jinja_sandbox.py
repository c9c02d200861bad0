"""jinja2's sandbox with a price for everything that an expression does.

Every attribute, call, operator, filter, test, list, comparison and loop passes a check here. A
value has a greatest weight (``work.weigh``); doing something costs at least what its values weigh,
so that no text can run for long or fill the memory: what remains to be spent bounds both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from ssds.recipe.formats.neurocontainers.work import (
    HEAVIEST,
    Drawn,
    Function,
    Namespace,
    heavy,
    weigh,
)
from ssds.recipe.templates import TemplateProblem
from ssds.recipe.work import Work

WORK: ContextVar[Work] = ContextVar("work")
"""The budget of the text that is rendered; a render inside of a render pays from the same."""
STEP = 20
"""Units for one thing done, whatever it weighs."""
_NEEDLE = 16
"""Characters that a search compares in one unit."""
_SORTING = 20
_MOST_DIGITS = 15

INNER = frozenset(("weighed", "counted", "key"))
"""Filters that only ``pricer`` writes into a text."""

_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "reverse", "select",
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


@functools.cache
def pricer() -> Any:
    """Returns what puts prices into the tree of a text, and a join in the place of ``~``."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    def through(name: str, node: Any, *arguments: Any) -> Any:
        given = [nodes.Const(argument) for argument in arguments]
        return nodes.Filter(node, name, given, [], None, None, lineno=node.lineno)

    def visit_for(self: Any, node: Any) -> Any:
        body = sum(1 for part in (*node.body, *node.else_) for _ in part.find_all(nodes.Node))
        tested = sum(1 for _ in node.test.find_all(nodes.Node)) if node.test else 0
        self.generic_visit(node)
        node.iter = through("counted", node.iter, body + tested + 1)
        return node

    def visit_concat(self: Any, node: Any) -> Any:
        self.generic_visit(node)
        return through("join", nodes.List(node.nodes, lineno=node.lineno))

    def visit_compare(self: Any, node: Any) -> Any:
        self.generic_visit(node)
        node.expr = through("weighed", node.expr)
        for operand in node.ops:
            operand.expr = through("weighed", operand.expr)
        return node

    def visit_dict(self: Any, node: Any) -> Any:
        self.generic_visit(node)
        for pair in node.items:
            pair.key = through("key", pair.key)
        return through("weighed", node)

    def visit_getitem(self: Any, node: Any) -> Any:
        self.generic_visit(node)
        return through("weighed", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_list(self: Any, node: Any) -> Any:
        self.generic_visit(node)
        stored = isinstance(node, nodes.Tuple) and node.ctx == "store"
        return node if stored else through("weighed", node)

    visits = {
        "visit_For": visit_for,
        "visit_Concat": visit_concat,
        "visit_Compare": visit_compare,
        "visit_Dict": visit_dict,
        "visit_Getitem": visit_getitem,
        "visit_List": visit_list,
        "visit_Tuple": visit_list,
    }
    return type("Pricer", (NodeTransformer,), visits)()


@functools.cache
def environment(strict: bool) -> Any:
    """Returns the sandbox, with unknown names as errors or as nothing."""
    from jinja2 import StrictUndefined, Undefined
    from jinja2.sandbox import SandboxedEnvironment

    class Sandbox(SandboxedEnvironment):
        intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))

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
                    return _weighed(obj.find(name))
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
            for value in (*args, *named.values()):
                _weighed(value)
            return _weighed(obj.call(*args, **named))

        def call_binop(self, _context: Any, operator: str, left: Any, right: Any) -> Any:
            return _operate(super().call_binop, _context, operator, left, right)

    made = Sandbox(
        undefined=StrictUndefined if strict else Undefined,
        autoescape=False,
        finalize=_printed,
        optimized=False,  # folding constants at compile time would pass the limits by
        cache_size=0,
    )
    made.globals.clear()
    made.globals.update(range=Function(_range))
    plain: dict[str, Any] = {name: made.filters[name] for name in _FILTERS}
    made.filters.clear()
    made.filters.update({name: _priced(name, found) for name, found in plain.items()})
    made.filters["unique"] = _priced("unique", _unique(plain["unique"]))
    made.filters["round"] = _priced("round", _round)
    made.filters.update(weighed=_weighed, counted=_counted, key=_key, join=_join, replace=_replace)
    tests: dict[str, Any] = {name: made.tests[name] for name in _TESTS}
    made.tests.clear()
    made.tests.update({name: _priced(name, found) for name, found in tests.items()})
    return made


def _priced(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a filter or test that pays for what goes in and comes out."""
    own = 1 if hasattr(plain, "jinja_pass_arg") else 0
    factor = _SORTING if name in ("sort", "dictsort") else 1

    @functools.wraps(plain)
    def call(*args: Any, **named: Any) -> Any:
        _pay(args[own] if len(args) > own else None, (*args[own + 1 :], *named.values()), factor)
        found = plain(*args, **named)
        return _weighed(Drawn(found) if isinstance(found, Iterator) else found)

    return call


def _pay(value: Any, arguments: tuple[Any, ...], factor: int = 1) -> None:
    """Pays for a value, and for texts that are looked for at every place of it."""
    weight = weigh(value)
    texts = max((len(a) for a in arguments if isinstance(a, str)), default=0)
    more = sum(map(weigh, arguments))
    WORK.get().spend(STEP + weight * factor + weight * texts // _NEEDLE + more)


def _weighed(value: Any) -> Any:
    """Returns the value, paid for."""
    WORK.get().spend(STEP + weigh(value))
    return value


def _counted(values: Any, body: int) -> tuple[Any, ...]:
    """Returns what a loop goes through, with all of its rounds paid for: ``body`` parts each."""
    _weighed(values)
    found = tuple(values)
    WORK.get().spend(len(found) * body * STEP)
    return found


def _key(value: Any) -> Any:
    """Returns a key of a map, or an item that must be the only one: texts and numbers.

    Others can be made so that many of them have one hash, and are then slow to tell apart.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a {type(value).__name__} for a key; texts and numbers can be keys")


def _unique(plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def unique(environment: Any, values: Any, case_sensitive: bool = False) -> Any:
        return plain(environment, [_key(value) for value in values], case_sensitive)

    return unique


def _round(value: Any, precision: Any = 0, method: str = "common") -> Any:
    """Returns a number rounded as Jinja does, to a few digits."""
    from jinja2.filters import do_round

    if not isinstance(precision, int) or abs(precision) > _MOST_DIGITS:
        raise ValueError(f"a number is rounded to at most {_MOST_DIGITS} digits")
    if not isinstance(value, int | float):
        raise TypeError("what is rounded must be a number")
    chosen: Any = method
    return do_round(value, precision, chosen)


def _printed(value: Any) -> Any:
    """Returns what an expression may print: nothing that shows an address of memory."""
    if value is None or isinstance(value, _PRINTED) or "Undefined" in type(value).__name__:
        return _weighed(value)
    raise TypeError("the expression gives neither text, a number nor a list")


def _method(obj: Any, name: str, *args: Any, **named: Any) -> Any:
    _pay(obj, (*args, *named.values()))
    if name == "replace" and isinstance(obj, str):
        return _replace(obj, *args)
    if name == "join":
        return _join(args[0] if args else (), obj)
    found = getattr(obj, name)(*args, **named)
    return list(found) if name in ("items", "keys", "values") else found


def _operate(plain: Callable[..., Any], context: Any, operator: str, left: Any, right: Any) -> Any:
    weights = weigh(left), weigh(right)
    WORK.get().spend(STEP + sum(weights))
    if operator == "*":
        for side, weight, count in ((left, weights[0], right), (right, weights[1], left)):
            repeated = isinstance(count, int) and isinstance(side, str | list | tuple)
            if repeated and weight * count > HEAVIEST:
                raise heavy()
    elif operator == "%" and isinstance(left, str):
        raise TemplateProblem("R037", "found", "formatting by %")
    return _weighed(plain(context, operator, left, right))


def _range(*bounds: int) -> list[int]:
    found = range(*bounds)
    if len(found) > HEAVIEST // STEP:
        raise heavy()
    WORK.get().spend(STEP * len(found))
    return list(found)


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Returns ``value`` with ``old`` replaced; bounded before it is made."""
    _pay(value, (old, new))
    text, old, new = str(value), str(old), str(new)
    _pay(text, (old, new))
    if len(text) + (text.count(old) + 1) * len(new) > HEAVIEST:
        raise heavy()
    return text.replace(old, new, -1 if count is None else count)


def _join(values: Any, separator: Any = "") -> str:
    """Returns the parts joined; bounded before it is made."""
    _weighed(separator)
    _weighed(values)
    parts = [str(value) for value in values]
    separator = str(separator)
    if sum(map(len, parts)) + len(parts) * len(separator) > HEAVIEST:
        raise heavy()
    joined: str = separator.join(parts)
    return joined
