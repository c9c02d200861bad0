"""Jinja2 as their recipes use it: whole, but in a sandbox, with limits on time and size.

Statements are allowed; macros, blocks, imports and filters over bodies are not. What a text may do
is in ``jinja_sandbox``, what it costs in ``work``. Texts with plain names only, the usual case, are
filled in without jinja2; a property test holds both ways to one result.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.recipe.formats.neurocontainers.work import HEAVIEST, Function, heavy
from ssds.recipe.templates import RESERVED, TemplateProblem
from ssds.recipe.work import Work, inside

_MOST_NODES = 20_000
_READ = 10
_EXPRESSION = 100
"""Units for a character of a text, and of an expression in it, that jinja2 reads."""
_PART = 400
"""Units for a part of a text that jinja2 compiles."""

_PLAIN = pattern(
    r"(?<!\{)\{\{\s*(?:(context|local)\s*\.\s*)?([A-Za-z_][A-Za-z0-9_]*)\s*"
    r"(?:\(\s*(?:\"([^\"\\\n]*)\"|'([^'\\\n]*)')\s*\)\s*)?\}\}"
)
_MARKS = pattern(r"\{[{%#]")
_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""What expressions raise when they are wrong, beside the library's own errors."""
_UNDEFINED = pattern(r"'([^']*)' is undefined")


def render(
    text: str, names: Mapping[str, Any], *, strict: bool = True, work: Work | None = None
) -> str:
    """Returns ``text`` rendered; one newline at its end is lost, as Jinja has it.

    Args:
        names: name → value, Namespace or Function.
        strict: unknown names are errors; else they print nothing.
        work: pays for it; a budget of its own without.

    Raises:
        TemplateProblem: R035 syntax, R036 unknown name, R037 not allowed, R038 too much or too
            long, R039 fails when evaluated.
        TooMuch: the budget does not suffice.
    """
    work = work or Work()
    work.spend(len(text))
    if "{" not in text or not _MARKS.search(text):
        return _lines(text)
    plain = _plainly(text, names, work) if strict and "\r" not in text else None
    return slowly(text, names, strict=strict, work=work) if plain is None else plain


def _lines(text: str) -> str:
    """Returns a text without expressions as Jinja prints it."""
    if "\r" in text:
        text = re.sub("\r\n?", "\n", text)
    return text[:-1] if text[-1:] == "\n" else text


def _plainly(text: str, names: Mapping[str, Any], work: Work) -> str | None:
    """Returns the text where it has plain names and calls with one text only, else None."""
    if text[-1:] == "\n":
        text = text[:-1]
    pieces: list[str] = []
    size = at = 0
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
        size += len(before) + len(pieces[-1])
        if size > HEAVIEST:
            raise heavy()
        at = match.end()
    rest = text[at:]
    if "{" in rest and _MARKS.search(rest):
        return None
    if size + len(rest) > HEAVIEST:
        raise heavy()
    work.spend(size)
    return "".join((*pieces, rest))


def slowly(
    text: str, names: Mapping[str, Any], *, strict: bool = True, work: Work | None = None
) -> str:
    """Returns what ``render`` does, by way of jinja2."""
    from ssds.recipe.formats.neurocontainers.jinja_sandbox import WORK

    token = WORK.set(work or Work())
    try:
        return _evaluated(text, names, strict, WORK.get())
    finally:
        WORK.reset(token)


def _evaluated(text: str, names: Mapping[str, Any], strict: bool, work: Work) -> str:
    from jinja2 import TemplateError, UndefinedError
    from jinja2.exceptions import TemplateSyntaxError

    if len(text) > HEAVIEST:
        raise TemplateProblem("R038", "template", f"{len(text)} characters")
    work.spend(_READ * len(text) + _EXPRESSION * inside(text))
    try:
        template, parts = _compiled(text, strict)
        work.spend(_PART * parts + len(names))
        size, pieces = 0, []
        for piece in template.generate(**names):
            size += len(piece)
            if size > HEAVIEST:
                raise heavy()
            work.spend(len(piece))
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
        fact = fact[:200]
        fact = fact or str(error.message)[:200]
        offset = text.find(fact) if unknown else -1
        raise TemplateProblem(
            code, label, fact, offset=offset if offset >= 0 else _first(text)
        ) from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise TemplateProblem("R035", "reason", "nested too deeply", offset=_first(text)) from error
    except (*_FAILURES, TemplateError) as error:
        reason = str(error)[:200] or type(error).__name__
        raise TemplateProblem("R039", "reason", reason, offset=_first(text)) from error


def _first(text: str) -> int:
    found = _MARKS.search(text)
    return found.start() if found else 0


@functools.lru_cache(maxsize=2048)
def _compiled(text: str, strict: bool) -> tuple[Any, int]:
    """Returns the checked and compiled template, and how many parts it has."""
    from jinja2 import nodes

    from ssds.recipe.formats.neurocontainers.jinja_sandbox import INNER, environment, pricer

    box = environment(strict)
    tree = box.parse(text)
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
        if isinstance(node, nodes.Filter) and node.name not in box.filters.keys() - INNER:
            raise TemplateProblem("R037", "found", f"filter {node.name}")
        if isinstance(node, nodes.Test) and node.name not in box.tests:
            raise TemplateProblem("R037", "found", f"test {node.name}")
        if isinstance(node, nodes.For) and node.recursive:
            raise TemplateProblem("R037", "found", "recursive loop")
        stack.extend(node.iter_child_nodes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's compiler has its own opinion of {{ 1[0] }}
        return box.from_string(pricer().visit(tree)), count


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
