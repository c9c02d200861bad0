"""The template language of recipes: ``{{ expression }}`` in text, nothing else.

It is jinja2 in its sandbox with an allow-list over the parsed expression, undefined names as
errors, no statements, no comments (shell writes ``${#list}`` and ``{%`` on purpose), and limits
on what comes out. Text with plain names only, the usual case, is filled in without jinja2; a
property test holds both ways to one result.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from ssds.core.patterns import pattern
from ssds.recipe.work import Work, inside

MAX_OUTPUT = 262_144
MAX_TEMPLATE = 262_144
_MAX_NODES = 400

_TEXT = 20
_READ = 10
_EXPRESSION = 100
_PART = 1000
"""Units of work for a text, for a character that jinja2 reads, for one of these in an expression,
and for a part of an expression."""
_AT_ONCE = 4
"""Characters that one unit of work handles."""
_WORK: ContextVar[tuple[Work, int]] = ContextVar("work")
"""The budget of the text that is evaluated, and how many parts its expressions have."""

Value = str | int

NAMES = ("name", "version", "variant", "platform", "arch", "machine", "cpu_flags")
"""Names that every template of a target knows, beside the recipe's variables."""

_SIMPLE = pattern(r"(?<!\{)\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_STATEMENT = pattern(
    r"\{%-?\s*(?:if|elif|else|endif|for|endfor|set|macro|call|include|import|from|extends|block|"
    r"raw|endraw|filter|with|do|autoescape)\b"
)
_FILTERS = (
    "lower",
    "upper",
    "trim",
    "replace",
    "default",
    "join",
    "first",
    "last",
    "length",
    "int",
)
_METHODS = (
    "split", "startswith", "endswith", "removeprefix", "removesuffix", "lower", "upper", "strip",
)  # fmt: skip
RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "and", "or", "not", "if", "else", "in", "is"}
)
"""Words of the template language: no variable can have these names."""


class TemplateProblem(Exception):
    """A template is wrong; the reader turns it into a diagnostic.

    Attributes:
        code: of the table in codes.py.
        what: (label, text) facts.
        offset: index of the character in the text where it is, or -1.
        name: the unknown name, for R036.
    """

    def __init__(self, code: str, label: str, text: str, *, offset: int = -1) -> None:
        super().__init__(f"{code}: {label} {text}")
        self.code = code
        self.facts = ((label, text),)
        self.offset = offset
        self.name = text if code == "R036" else ""


def render(
    text: str, names: Mapping[str, Value], *, limit: int = MAX_OUTPUT, work: Work | None = None
) -> str:
    """Returns ``text`` with its expressions filled in from ``names``.

    Args:
        text: what a recipe says.
        names: what it may name.
        limit: the most characters that may come out.
        work: pays for it; a budget of its own without.

    Raises:
        TemplateProblem: R035 syntax, R036 unknown name, R037 not allowed, R038 too much text,
            R039 fails when evaluated.
        TooMuch: the budget does not suffice.
    """
    work = work or Work()
    work.spend(len(text) + _TEXT)
    if "{{" not in text:
        statement = _STATEMENT.search(text) if "{%" in text else None
        if statement:
            raise TemplateProblem("R037", "found", statement[0], offset=statement.start())
        return text
    if len(text) > MAX_TEMPLATE:
        raise TemplateProblem("R038", "template", f"{len(text)} characters")
    statement = _STATEMENT.search(text)
    if statement:
        raise TemplateProblem("R037", "found", statement[0], offset=statement.start())
    pieces = _SIMPLE.split(text)
    if "{{" in "".join(pieces[::2]) or not RESERVED.isdisjoint(pieces[1::2]):
        return _render_with_jinja(text, names, limit, work)
    size = 0
    for index in range(len(pieces)):
        if index % 2:
            word = pieces[index]
            if word not in names:
                raise TemplateProblem("R036", "name", word, offset=_offset(text, word))
            pieces[index] = str(names[word])
        size += len(pieces[index])
        if size > limit:
            raise TemplateProblem("R038", "limit", f"{limit} characters")
    work.spend(size)
    return "".join(pieces)


def _offset(text: str, word: str) -> int:
    found = re.search(r"\{\{[^}]{0,300}?(?<![A-Za-z0-9_.'\"])(" + re.escape(word) + r")\b", text)
    return found.start(1) if found else text.find("{{")


def _render_with_jinja(text: str, names: Mapping[str, Value], limit: int, work: Work) -> str:
    """Returns what ``render`` does, by way of jinja2."""
    from jinja2 import TemplateError, UndefinedError
    from jinja2.exceptions import TemplateSyntaxError

    work.spend(len(names) + _READ * len(text) + _EXPRESSION * inside(text))
    token = _WORK.set((work, _MAX_NODES))
    try:
        template, parts, handled, named = _compiled(text)
        for name in named:
            if name not in names:
                raise TemplateProblem("R036", "name", name, offset=_offset(text, name))
            handled += len(str(names[name]))
        work.spend(parts * (_PART + handled // _AT_ONCE))
        _WORK.set((work, parts))
        result: str = template.render(names)
    except TemplateSyntaxError as error:
        line = (error.lineno or 1) - 1
        offset = sum(len(part) + 1 for part in text.split("\n")[:line])
        found = text.find("{{", offset)
        raise TemplateProblem(
            "R035", "reason", str(error.message), offset=found if found >= 0 else offset
        ) from error
    except UndefinedError as error:
        raise TemplateProblem(
            "R039", "reason", str(error.message), offset=text.find("{{")
        ) from error
    except TemplateProblem:
        raise
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise TemplateProblem("R039", "reason", f"{error}"[:200], offset=text.find("{{")) from error
    except RecursionError as error:
        raise TemplateProblem("R035", "reason", "nested too deeply") from error
    finally:
        _WORK.reset(token)
    work.spend(len(result))
    if len(result) > limit:
        raise TemplateProblem("R038", "limit", f"{limit} characters")
    return result


@functools.cache
def _environment() -> Any:
    """Returns the sandbox: no statements, no comments, few filters, no globals."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        def call(self, context: Any, obj: Any, /, *args: Any, **named: Any) -> Any:
            _pay(getattr(obj, "__self__", ""), (*args, *named.values()))
            return super().call(context, obj, *args, **named)

    environment = Sandbox(
        block_start_string="\x00{%",
        block_end_string="%}\x00",
        comment_start_string="\x00{#",
        comment_end_string="#}\x00",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=_printed,
        optimized=False,  # folding constants at compile time would pass the limits by
        cache_size=200,
    )
    environment.globals.clear()
    environment.tests.clear()
    filters = {name: environment.filters[name] for name in _FILTERS}
    environment.filters.clear()
    environment.filters.update(filters)
    environment.filters.update(replace=_replace, join=_join, int=_int)
    return environment


def _printed(value: object) -> object:
    """Returns what an expression may print: text or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"the expression gives {type(value).__name__}, not text or a number")
    return value


def _pay(value: object, arguments: tuple[object, ...]) -> None:
    """Pays for looking for the arguments at every place of the value."""
    given = sum(len(str(argument)) for argument in arguments)
    _WORK.get()[0].spend(_TEXT + len(str(value)) * (1 + given) // _AT_ONCE)


def _made(text: str) -> str:
    """Returns a text that a filter made, paid for as often as the other parts may handle it."""
    work, parts = _WORK.get()
    work.spend(len(text) * parts // _AT_ONCE)
    return text


def _replace(value: object, old: str, new: str) -> str:
    """Returns ``value`` with ``old`` replaced; bounded before it is made."""
    text, old, new = str(value), str(old), str(new)
    _pay(text, (old,))
    if not old:
        raise ValueError("replace needs a text to look for")
    if len(text) + text.count(old) * len(new) > MAX_OUTPUT:
        raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    return _made(text.replace(old, new))


def _join(values: object, separator: str = "") -> str:
    """Returns the parts joined; bounded before it is made."""
    if not isinstance(values, list | tuple):
        raise TypeError("join needs a list, as split gives it")
    parts = [str(value) for value in values]
    if sum(map(len, parts)) + len(parts) * len(str(separator)) > MAX_OUTPUT:
        raise TemplateProblem("R038", "limit", f"{MAX_OUTPUT} characters")
    return _made(str(separator).join(parts))


def _int(value: object) -> int:
    """Returns the whole number in a text of at most 15 digits."""
    text = str(value)
    if not re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        raise ValueError(f"{text[:40]!r} is not a whole number of at most 15 digits")
    return int(text)


@functools.lru_cache(maxsize=2048)
def _compiled(text: str) -> tuple[Any, int, int, tuple[str, ...]]:
    """Checks every part of every expression against the allow-list.

    Returns:
        The compiled template, how many parts its expressions have, how many characters stand in
        their values, and which names they have, each as often as it stands there.
    """
    from jinja2 import nodes

    plain = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Concat, nodes.Add,
        nodes.Sub, nodes.Compare, nodes.Operand, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not,
        nodes.Slice, nodes.Neg, nodes.List, nodes.Tuple, nodes.Getitem, nodes.Keyword,
    )  # fmt: skip
    tree = _environment().parse(text)
    count = parts = size = 0
    stack = [tree]
    called: set[int] = set()
    names: list[str] = []
    while stack:
        node = stack.pop()
        stack.extend(node.iter_child_nodes())
        count += 1
        parts += not isinstance(node, nodes.TemplateData)
        if count > _MAX_NODES and not isinstance(node, nodes.TemplateData):
            raise TemplateProblem("R037", "found", f"more than {_MAX_NODES} parts")
        if isinstance(node, nodes.Name):
            names.append(node.name)
        elif isinstance(node, nodes.Filter):
            if node.name not in _FILTERS:
                raise _refused(text, f"filter {node.name}")
        elif isinstance(node, nodes.Call):
            method = node.node
            if not isinstance(method, nodes.Getattr) or method.attr not in _METHODS:
                raise _refused(text, "a call")
            called.add(id(method))
        elif isinstance(node, nodes.Getattr):
            if id(node) not in called:
                raise _refused(text, f".{node.attr}")
        elif not isinstance(node, plain):
            raise _refused(text, type(node).__name__)
        elif isinstance(node, nodes.Const):
            size += len(str(node.value))
    return _environment().from_string(tree), parts, size, tuple(names)


def _refused(text: str, what: str) -> TemplateProblem:
    return TemplateProblem("R037", "found", what, offset=text.find("{{"))
