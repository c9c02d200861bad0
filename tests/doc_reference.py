"""Makes the reference pages that follow from the source: the command line, and the error codes.

``SSDS_UPDATE_DOCS=1 python -m pytest tests/docs/test_docs_reference.py`` writes them anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"[A-Z][0-9]{2}[0-9A]")

SAID = {
    "D014": "an image lacks a command that its lock offers",
    "O004": "a document of an image or registry does not have the form that it must have",
    "O083": "the registry's token cannot be read",
    "O085": "the registry refused: not logged in (status 401)",
    "O086": "the registry refused: no right to do this (status 403)",
    "O087": "the registry does not have it (status 404)",
    "O088": "the registry asks to slow down (status 429)",
    "O089": "the registry's certificate is not trusted",
    "O079": "the registry cannot be reached",
}
"""What is said where the source puts the words together somewhere else than the code."""

_CLI_HEAD = """\
# The command line

This page is made from the program (`ssds VERB --help` says the same); a test compares them.

A workspace is a folder with `ssds.yaml`, `catalog/` and `lockfiles/`; ssds works in the current
folder, or the nearest one above that has `ssds.yaml`, or the one that `-C DIR` names.

**Selectors.** `samtools` is every release of that name, `samtools@1.16.1` one version,
`samtools@1.16.1+variant` one variant; `samtools:build` one kind of node. Kinds: {kinds}.

**Output.** Results go to stdout, progress and diagnostics to stderr. With `--json` stdout holds one
JSON value and nothing else.

**Exit codes.** 0 done, 1 an error, a failed step or a stale one of a saved plan, 3 something is
held, 130 stopped by Ctrl-C.
`plan --detailed-exitcode`: 0 nothing to do, 1 an error, 2 something to do, 3 nothing can run but
something is held, or a required platform waits. `run` and `shell` end as their program does.
"""

_ERRORS_HEAD = """\
# Errors

An error looks like this; the code is stable, one cause with its own remedy:

```
error[E032]: "samtols" names no release of this catalog
  Did you mean "samtools"?
```

Findings about your own files (recipes, sites, settings: letters {letters}) are in
[diagnostics](diagnostics.md); they also have a place. This page has the others; it is made from the
source, and `…` stands for names and numbers.

| first letter | about |
|---|---|
| E | using ssds, the machine, steps |
| L | lock files |
| F | archives, mirrors, apt and pip |
| T | the store, remote caches |
| O | images, layouts, registries |
| D | deployments and channels |
| A | what others deployed and `ssds adopt` reads; these have a place |
| V | advisory sets |
| H | the builders `docker` and `buildah` |
| X | keys and signatures |
"""


def _command_text(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"## `{path}`\n\n```\n{path} {pieces}\n```\n"
    yield re.sub(r"``([^`]*)``", r"`\1`", (command.help or "").strip()) + "\n"
    rows = [
        p.get_help_record(context)
        for p in command.get_params(context)
        if isinstance(p, click.Option) and "--help" not in p.opts
    ]
    shown = [row for row in rows if row]
    if shown:
        yield "| option | |\n|---|---|"
        yield "\n".join(f"| `{name}` | {_cell(text)} |" for name, text in shown) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _command_text(child, f"{path} {name}", context)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def cli_page() -> str:
    """Returns docs/reference/cli.md."""
    from ssds.cli.app import VERBS, ssds
    from ssds.core.model import KINDS

    context = click.Context(ssds, info_name="ssds")
    parts = [_CLI_HEAD.format(kinds=", ".join(f"`{kind}`" for kind in KINDS))]
    parts.append("| verb | what it does |\n|---|---|")
    parts.append("\n".join(f"| [`{v}`](#ssds-{v}) | {text} |" for v, text in VERBS.items()) + "\n")
    for verb in VERBS:
        command = ssds.get_command(context, verb)
        assert command is not None
        parts += _command_text(command, f"ssds {verb}", context)
    return "\n".join(parts).rstrip() + "\n"


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One place of the source that raises an error code."""

    code: str
    message: str
    hint: str
    module: str


def _text(node: ast.expr | None) -> str:
    """Returns the text of an expression; what is known at run time only becomes ``…``."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return _text(node.body)
    if isinstance(node, ast.BoolOp):
        return _text(node.values[-1])
    return "…"


def _calls(tree: ast.AST, module: str) -> Iterator[Found]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keys = {k.arg: k.value for k in node.keywords if k.arg}
            coded = [a for a in [*node.args, *keys.values()] if _is_code(a)]
            if not coded:
                continue
            texts = [a for a in node.args if not _is_code(a)]
            message = _text(keys.get("message") or (texts[0] if texts else None))
            hint = _text(keys.get("hint") or (texts[1] if len(texts) > 1 else None))
            for code in coded:
                yield Found(_text(code), message, hint, module)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and _is_code(line.value):
                    about = (ast.get_docstring(node) or "").split("\n")[0]
                    yield Found(_text(line.value), about, "", module)


def _is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(
        isinstance(node.value, str) and CODE.fullmatch(node.value)
    )


def all_codes() -> dict[str, set[str]]:
    """Returns every code that stands anywhere in the source: code → modules."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "ssds").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for code in CODE.findall(node.value) if CODE.fullmatch(node.value) else ():
                    found.setdefault(code, set()).add(str(path.relative_to(ROOT)))
    return found


def found_errors() -> dict[str, list[Found]]:
    """Returns the errors of the source by code, diagnostics of the user's files aside."""
    from ssds.adopt.codes import CODES as ADOPT_CODES
    from ssds.lock.codes import CODES as LOCK_CODES
    from ssds.recipe.codes import every_code

    by_code: dict[str, list[Found]] = {}
    for path in sorted((ROOT / "ssds").rglob("*.py")):
        module = str(path.relative_to(ROOT))
        if module == "ssds/recipe/codes.py":
            continue
        for found in _calls(ast.parse(path.read_text()), module):
            if found.code in {*LOCK_CODES, *ADOPT_CODES} or (
                found.code in every_code() and "scan" not in module
            ):
                continue
            by_code.setdefault(found.code, []).append(found)
    for code, said in SAID.items():
        hints = [p.hint for p in by_code.get(code, []) if p.hint]
        by_code[code] = [Found(code, said, hints[0] if hints else "", "")]
    for code, (summary, hint) in LOCK_CODES.items():
        by_code[code] = [Found(code, summary, hint, "ssds/lock/codes.py")]
    for code, (summary, hint) in ADOPT_CODES.items():
        by_code[code] = [Found(code, summary, hint, "ssds/adopt/codes.py")]
    return dict(sorted(by_code.items()))


def errors_page() -> str:
    """Returns docs/reference/errors.md."""
    from ssds.recipe.codes import every_code

    letters = " ".join(sorted({code[0] for code in every_code()}))
    parts = [_ERRORS_HEAD.format(letters=letters)]
    parts.append("| code | what it says | what to do |\n|---|---|---|")
    for code, places in found_errors().items():
        messages = list(dict.fromkeys(_short(p.message) for p in places if p.message.strip("… ")))
        hints = list(dict.fromkeys(_short(p.hint) for p in places if p.hint.strip("… ")))
        parts.append(f"| {code} | {' / '.join(messages[:3])} | {' / '.join(hints[:3])} |")
    return "\n".join(parts).rstrip() + "\n"


def _short(text: str) -> str:
    clean = re.sub(r"(…[\s:,]*)+$", "…", " ".join(text.split()))
    return re.sub(r"([|<>*_])", r"\\\1", clean)


def diagnostics_page() -> str:
    """Returns the reference page of all codes of the recipe room."""
    from ssds.recipe.codes import every_code

    lines = [
        "# Diagnostics",
        "",
        "Each code is one cause with one remedy. Errors stop the work; warnings and notes do not.",
        "This page is made from `ssds/recipe/codes.py` and its neighbours.",
        "",
        "| code | | summary | what to do |",
        "|---|---|---|---|",
    ]
    order = {letter: index for index, letter in enumerate("YRBPUCSVKWNG")}
    for code, row in sorted(every_code().items(), key=lambda item: (order[item[0][0]], item[0])):
        hint = row.hint.replace("|", "\\|")
        lines.append(f"| {code} | {row.severity.value} | {row.summary} | {hint} |")
    return "\n".join(lines) + "\n"


PAGES = {
    "docs/reference/cli.md": cli_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/diagnostics.md": diagnostics_page,
}
