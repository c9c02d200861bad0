"""Their template language: the quick way gives what jinja2 gives; nothing reaches out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ssds.recipe.formats.neurocontainers import jinja, jinja_sandbox
from ssds.recipe.formats.neurocontainers.jinja import render
from ssds.recipe.formats.neurocontainers.work import Function, Namespace
from ssds.recipe.templates import TemplateProblem
from ssds.recipe.work import TooMuch, Work

PARTS = {"version": "1.2", "n": 3, "half": 0.5, "yes": True, "list": [1, "a"], "none": None}
PARTS["get_file"] = Function(lambda name: f"/files/{name}")
NAMES: dict[str, Any] = {
    "context": Namespace(PARTS.__getitem__),
    "local": Namespace(PARTS.__getitem__),
    "words": "a b c",
    "true": "a variable",
    "get_file": PARTS["get_file"],
}
PIECES = (
    "{{ context.version }}", "{{context.n}}", "{{ context . half }}", "{{ local.yes }}",
    "{{ words }}", "{{ true }}", "{{ get_file('a b') }}", '{{ context.get_file("x") }}',
    "{{ context.list }}", "{{ context.none }}", "{{ nothing }}", "{{ context.nothing }}",
    "{{- words }}", "{{ words -}}", "{{ words | upper }}", "{% if words %}", "{% endif %}",
    "{# c #}", "{{", "}}", "{", "}", "%", "$", "\\", '"', "'", "\n", " ", "x", "${x}", "{%",
    "{% raw %}", "{% endraw %}", "{{ words('a') }}", "{{ context }}", "\r\n",
)  # fmt: skip


def outcome(way: Any, text: str) -> str:
    try:
        return str(way(text, NAMES))
    except TemplateProblem as problem:
        return problem.code
    except TooMuch:
        return "too much"


@example("{{{ words }}")
@given(st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
def test_the_quick_way_gives_what_jinja_gives(text: str) -> None:
    assert outcome(render, text) == outcome(jinja.slowly, text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ words.split()[1] }}", "b"),
        ("{{ words.split() | join('-') }}{{ ','.join(words.split()) }}", "a-b-ca,b,c"),
        (
            "{% for w in words.split() %}{{ w }}{% if not loop.last %}+{% endif %}{% endfor %}",
            "a+b+c",
        ),
        ("{{ '6.0.7'.split('.') | map('int') | list >= [6, 0, 6] }}", "True"),
        ("{{ missing | default('x') }}{{ context.missing | default('y') }}", "xy"),
        ("{{ 'a' ~ context.n ~ words[0] }}{{ words.replace(' ', '') }}", "a3aabc"),
        ("{% set m = {'a': 'b'} %}{{ m['a'] }}{{ m.a }}{{ m.get('z', 'q') }}", "bbq"),
        ("{{ context.n + 1 }}{{ 'x' * 3 }}{{ -7 // 2 }}", "4xxx-4"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("a\n", "a"),
        ("a\n\n", "a\n"),
    ],
)
def test_what_recipes_and_templates_use_works(text: str, result: str) -> None:
    assert render(text, NAMES) == result


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ ''.__class__ }}", "R037"),
        ("{{ words['__class__'] }}", "R037"),
        ("{{ words | attr('__class__') }}", "R037"),
        ("{{ [words] | map(attribute='__class__') | list }}", "R037"),
        ("{{ get_file.__globals__ }}", "R037"),
        ("{{ get_file.call }}", "R037"),
        ("{{ context.find }}", "R036"),
        ("{{ '{0.__class__}'.format(words) }}", "R037"),
        ("{{ '%s' % words }}", "R037"),
        ("{{ lipsum }}", "R036"),
        ("{{ cycler.__init__ }}", "R037"),
        ("{{ self.__init__ }}", "R037"),
        ("{{ get_file }}", "R039"),
        ("{{ missing }}", "R036"),
        ("{{ missing.part }}", "R036"),
        ("{{ 1 / 0 }}", "R039"),
        ("{{ words", "R035"),
        ("{% for x in words %}", "R035"),
        ("{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}", "R035"),
        ("{% include 'x' %}", "R037"),
        ("{% import 'x' as y %}", "R037"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "R037"),
        ("{% set x %}a{% endset %}", "R037"),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "R037"),
        ("{{ 2 ** 9 ** 9 ** 9 }}", "R037"),
        ("{{ 'a' * 999999999 }}", "R038"),
        ("{{ [1] * 999999999 }}", "R038"),
        ("{{ 'a'.replace('', 'b' * 1000000) }}{{ ('a' * 9999).replace('a', 'b' * 9999) }}", "R038"),
        ("{{ 'a'.ljust(999999999) }}", "R037"),
        ("{{ 'a' | center(999999999) }}", "R037"),
        ("{{ range(999999999) | list }}", "R038"),
        ("{% for a in range(4000) %}{% for b in range(4000) %}x{% endfor %}{% endfor %}",
         "too much"),
        ("{% for a in 'x' * 999999 %}{% endfor %}", "R038"),
        ("{% for a in range(4999) %}" + "x" * 999 + "{% endfor %}", "R038"),
        ("{% for a in range(4999) %}" + "{{ a }}" * 999 + "{% endfor %}", "too much"),
        ("{{ 1|round(-100000000) }}", "R039"),
        ("{{ 1.5|round(100000000, 'floor') }}", "R039"),
        ("{{ ['x'*1000000]*1000000 }}", "R038"),
        ("{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a == a }}", "R038"),
        ("{% set a = {'b': 1} %}" + "{% set a = {'b': a, 'c': a} %}" * 40, "R038"),
        ("{{ ('a' * 500000).rfind('a' * 125000 + 'b' + 'a' * 125000) }}", "too much"),
        ("{{ ('a' * 500000).strip('b' * 400000 + 'a') }}", "too much"),
        ("{{ ('a' * 500000) | trim('b' * 400000) }}", "too much"),
        ("{% for a in range(900) %}{{ ('x' * 100000)[1:][1:][:1] }}{% endfor %}", "too much"),
        ("{% for a in range(900) %}{{ 'x' * 99999 == 'y' * 99999 }}{% endfor %}", "too much"),
        ("{{ [(1, 2)] | unique | list }}", "R039"),
        ("{{ {(1, 2): 3} }}", "R039"),
        ("{{ ('1' * 100000) | int(base=2) }}", "R038"),
        ("{{ 'a' | dictsort }}", "R039"),
        ("{{ 'x' | counted(-1000000000) }}", "R037"),
        ("{{ [1] | map('string') }}", "R039"),
        ("{{ 1[0] }}", "R039"),
        ("{% set a = 'x' * 9999 %}" + "{% set a = a ~ a %}" * 30, "R038"),
        ("{% set a = 'x' * 9999 %}" + "{% set a = a + a %}" * 30, "R038"),
        ("{% set a = [1] %}" + "{% set a = a + a %}" * 40, "R038"),
        ("{% set a = 9999999 %}" + "{% set a = a * a %}" * 40, "R038"),
    ],
)  # fmt: skip
def test_nothing_reaches_out_or_runs_on(text: str, code: str) -> None:
    began = time.monotonic()
    assert outcome(render, text) == code
    assert time.monotonic() - began < 20


def test_a_filter_of_ours_gives_no_budget_back() -> None:
    work = Work()
    render("{{ ['x'] | map('counted', -1000000000) | list }}", {}, work=work)
    assert work.left < Work().left


def test_reading_a_text_again_costs_what_it_cost_at_first() -> None:
    first, second = Work(), Work()
    text = "{{ 'never read before'.split() | join('-') }}"
    assert render(text, {}, work=first) == render(text, {}, work=second)
    assert first.left == second.left


VALUES = st.sampled_from(
    ("''", "'a b'", "0", "-1", "1.5", "[]", "[1, 'a']", "{}", "{'a': 1}", "none", "words",
     "context", "context.list", "get_file", "missing", "range(3)", "'%s{0}'",
     "99999999999999999999")
)  # fmt: skip
FORMS = (
    "({0} + {1})", "({0} * {1})", "({0} % {1})", "({0} ~ {1})", "({0} // {1})", "({0} < {1})",
    "({0} in {1})", "[{0}, {1}]", "({0})[{1}]", "({0})[{1}:]", "({0}).{2}({1})", "({0}).{2}()",
    "({0})|{3}", "({0})|{3}({1})", "({0})|map('{3}')|list", "({0} is {4})", "{{{0}: {1}}}",
    "({0} if {1} else {0})", "get_file({0})", "range({0})", "-({0})",
)  # fmt: skip


@st.composite
def expressions(draw: st.DrawFn) -> str:
    value = draw(VALUES)
    for _ in range(draw(st.integers(1, 4))):
        value = draw(st.sampled_from(FORMS)).format(
            value,
            draw(VALUES),
            draw(st.sampled_from(("split", "join", "replace", "items", "get", "index", "format"))),
            draw(st.sampled_from(sorted(jinja_sandbox.environment(True).filters))),
            draw(st.sampled_from(("defined", "even", "string", "mapping", "sequence"))),
        )
    return "{{ " + value + " }}"


@given(expressions())
def test_an_expression_gives_a_text_or_is_refused(text: str) -> None:
    assert isinstance(outcome(jinja.slowly, text), str)


def test_the_templates_way_prints_nothing_for_unknown_names() -> None:
    assert render("a{{ nothing }}b", {}, strict=False) == "ab"
