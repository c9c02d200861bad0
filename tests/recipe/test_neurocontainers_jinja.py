"""Their template language: the quick way gives what jinja2 gives; nothing reaches out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.recipe.formats.neurocontainers import jinja
from ssds.recipe.formats.neurocontainers.jinja import Function, Namespace, render
from ssds.recipe.templates import TemplateProblem

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
        ("{% for a in range(4000) %}{% for b in range(4000) %}{% endfor %}{% endfor %}", "R038"),
        ("{% for a in 'x' * 999999 %}{% endfor %}", "R038"),
        ("{% for a in range(4999) %}" + "x" * 999 + "{% endfor %}", "R038"),
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


def test_the_templates_way_prints_nothing_for_unknown_names() -> None:
    assert render("a{{ nothing }}b", {}, strict=False) == "ab"
