"""What a change in a NeuroDesk recipe re-runs: only what reaches the image builds it again.

Each field of ``schemas/neurocontainers.schema.json`` has an edit here, and each file that a recipe
reads; the row says which kinds see something else.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from neurocontainers_checkout import MACRO, TEMPLATE, read, write_checkout
from slices import WHEN, Sights, differing, fields_of, sights

from ssds.core.pins import SharedPins
from ssds.graph.compile import compile_graph
from ssds.recipe.schema import schema_bytes

FULL = """\
name: small
version: "1.0"
architectures: [x86_64]
icon: "data:image/png;base64,AAAA"
categories: [programming]
copyright: [{license: MIT, url: https://example.org/licence}]
readme: A tool.
readme_url: https://example.org/readme
structured_readme: {description: d, example: e, documentation: o, citation: c}
gui_apps: [{name: Tool, exec: tool}]
apptainer_args: [--nv]
show_in_menu: true
show_in_applist: true
auto_update: {method: github_release, repo: a/b}
epoch: 1
draft: false
description: A tool.
tests: [{name: t, script: x}]
options:
  fast: {description: d, default: false, version_suffix: ""}
variants:
  gpu: {architecture: x86_64, description: d, options: {fast: true}}
variables: {stem: tool}
files:
  - name: got
    url: https://example.org/got
    executable: false
    retry: 1
    insecure: false
    refresh: false
  - {name: given, filename: given.txt}
  - {name: inline, contents: text, condition: arch == 'x86_64'}
build:
  kind: neurodocker
  base-image: debian:12
  pkg-manager: apt
  add-default-template: true
  add-tzdata: true
  fix-locale-def: false
  directives:
    - install: [curl]
    - run: ["use {{ get_file('got') }} {{ get_file('given') }} {{ get_file('inline') }}"]
    - run: ["fast {{ stem }}"]
      condition: context.options.fast
    - workdir: /opt
    - user: neuro
    - entrypoint: bash
    - environment: {A: b}
    - copy: [folder, /opt/folder]
    - variables: {more: x}
    - group:
        - run: ["echo {{ more }} {{ inner }}"]
      with: {inner: y}
    - include: macros/flavours/base.yaml
    - file: {name: late, contents: text}
    - copy: [late, /opt/late]
    - deploy: {bins: [tool], path: [/opt/bin], webapp: {title: T, startup_command: t, port: 1}}
    - template: {name: tool, version: '2.0'}
    - boutique: {name: small}
    - test: {name: t, script: x}
deploy: {bins: [tool], path: [/opt/bin], webapp: {title: T, startup_command: t, port: 1}}
"""

BUILD, NOTHING, TOLD, NAMED = (
    "build",
    "",
    "metadata",
    "build deploytest gate index metadata publish sbom scan",
)
# field → (what stands in FULL, what stands there instead, the kinds that see something else)
ROWS: dict[str, tuple[str, str, str]] = {
    "version": ('version: "1.0"', 'version: "1.1"', NAMED),
    "architectures": ("[x86_64]", "[x86_64, amd64]", NOTHING),
    "icon": ("AAAA", "BBBB", TOLD),
    "categories": ("[programming]", "[spine]", TOLD),
    "copyright": ("license: MIT", "license: ISC", "metadata sbom"),
    "readme": ("readme: A tool.", "readme: Another.", TOLD),
    "readme_url": ("org/readme", "org/other", TOLD),
    "structured_readme": ("citation: c", "citation: d", TOLD),
    "gui_apps": ("exec: tool", "exec: other", TOLD),
    "apptainer_args": ("[--nv]", "[--rocm]", TOLD),
    "show_in_menu": ("show_in_menu: true", "show_in_menu: false", TOLD),
    "show_in_applist": ("applist: true", "applist: false", TOLD),
    "auto_update": ("repo: a/b", "repo: a/c", TOLD),
    "epoch": ("epoch: 1", "epoch: 2", TOLD),
    "draft": ("draft: false", "draft: true", TOLD),
    "description": ("description: A tool.", "description: Another.", TOLD),
    "tests": ("tests: [{name: t, script: x}]", "tests: [{name: t, script: y}]", NOTHING),
    "options.*.description": ("{description: d, default", "{description: e, default", TOLD),
    "options.*.default": ("default: false", "default: true", f"{BUILD} metadata"),
    "options.*.version_suffix": ('suffix: ""', "suffix: .x", NAMED),
    "variants.*.architecture": ("{architecture: x86_64", "{architectures: [x86_64]", TOLD),
    "variants.*.description": ("x86_64, description: d", "x86_64, description: e", TOLD),
    "variants.*.options.*": ("{fast: true}", "{fast: false}", f"{BUILD} metadata"),
    "variables": ("stem: tool", "stem: new", BUILD),
    "files[].url": ("org/got", "org/new", "build source"),
    "files[].executable": ("executable: false", "executable: true", BUILD),
    "files[].retry": ("retry: 1", "retry: 2", NOTHING),
    "files[].insecure": ("insecure: false", "insecure: true", NOTHING),
    "files[].refresh": ("refresh: false", "refresh: true", NOTHING),
    "files[].contents": ("contents: text, cond", "contents: new, cond", BUILD),
    "files[].condition": ("arch == 'x86_64'", "'True'", NOTHING),
    "build.kind": ("kind: neurodocker", "kind: 'neurodocker'", NOTHING),
    "build.base-image": ("debian:12", "debian:13", "base build"),
    "build.pkg-manager": ("manager: apt", "manager: yum", BUILD),
    "build.add-default-template": ("template: true", "template: false", BUILD),
    "build.add-tzdata": ("tzdata: true", "tzdata: false", BUILD),
    "build.directives[].install": ("[curl]", "[wget]", BUILD),
    "build.directives[].run": ('["use', '["take', BUILD),
    "build.directives[].condition": ("condition: context.options.fast", "condition: 1 == 2", BUILD),
    "build.directives[].workdir": ("workdir: /opt", "workdir: /srv", BUILD),
    "build.directives[].user": ("user: neuro", "user: other", BUILD),
    "build.directives[].entrypoint": ("entrypoint: bash", "entrypoint: sh", BUILD),
    "build.directives[].environment": ("{A: b}", "{A: c}", BUILD),
    "build.directives[].copy": ("[folder, /opt/folder]", "[folder, /opt/f]", BUILD),
    "build.directives[].variables": ("{more: x}", "{more: z}", BUILD),
    "build.directives[].with": ("{inner: y}", "{inner: z}", BUILD),
    "build.directives[].file": ("late, contents: text", "late, contents: new", BUILD),
    "build.directives[].deploy": ("{bins: [tool]", "{bins: [more]", "build deploytest sbom"),
    "build.directives[].template": ("version: '2.0'", "version: '2.0', extra: a", BUILD),
    "build.directives[].boutique": ("{name: small}", "{name: small, x: 1}", BUILD),
    "build.directives[].test": ("test: {name: t,", "test: {name: u,", NOTHING),
}  # fmt: skip
WITH_OTHERS = {
    "name": "a recipe of another name is another recipe",
    "files[].name": "what asks for a file names it too",
    "files[].filename": "a file has a row of its own",
    "build.fix-locale-def": "tests/recipe says what it does with yum",
    "build.directives[].group": "its parts have rows",
    "build.directives[].include": "a macro has a row of its own",
    "variants.*.architectures": "a form of architecture",
}
SUITE = 'name: small\nversion: "1.0"\ntests: [{name: t, command: say 1}]\n'
FILES: dict[str, tuple[str, str, str]] = {
    "recipes/small/given.txt": ("1", "2", BUILD),
    "recipes/small/folder/a": ("1", "2", BUILD),
    "recipes/small/README.md": ("# x", "# y", NOTHING),
    "recipes/small/fulltest.yaml": (SUITE, SUITE.replace("say 1", "say 2"), "test"),
    "recipes/small/notes.txt": ("1", "2", NOTHING),
    "macros/flavours/base.yaml": (MACRO, MACRO.replace("/opt/macro", "/opt/m"), BUILD),
    "builder/templates/tool.yaml": (TEMPLATE, TEMPLATE.replace("done", "end"), BUILD),
    "builder/templates/other.yaml": ("name: other", "name: new", NOTHING),
}
SIDE = {path.removeprefix("recipes/small/"): old for path, (old, _, _) in FILES.items()}
del SIDE["fulltest.yaml"]  # it asks for the recipe's version


def seen(folder: Path, text: str) -> Sights:
    """Gives what every kind sees of a checkout; nothing is locked."""
    files = {path: old for path, old in SIDE.items() if "/" not in path or path == "folder/a"}
    checkout = write_checkout(folder, text, files=files)
    (checkout / "builder/templates/other.yaml").write_text("name: other")
    return looked(checkout)


def looked(checkout: Path) -> Sights:
    reading = read(checkout)
    assert not reading.collector.failed, list(reading.collector)
    return sights(compile_graph(reading.catalog, SharedPins(), {}, WHEN))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Sights:
    return seen(tmp_path_factory.mktemp("before"), FULL)


def test_every_field_has_a_row() -> None:
    document = json.loads(schema_bytes("neurocontainers"))
    fields = set(fields_of(document, document))
    leaves = {
        f for f in fields if not any(o.startswith((f"{f}.", f"{f}[", f"{f}.*")) for o in fields)
    }
    leaves = {f for f in leaves if not f.startswith(("deploy.", "build.directives[].deploy."))}
    leaves = {f for f in leaves if not f.startswith("build.directives[].file.")}
    leaves |= {"build.directives[].deploy", "build.directives[].file"}
    known = {*ROWS, *WITH_OTHERS}
    assert leaves == known, (leaves - known, known - leaves)


@pytest.mark.parametrize("field", ROWS)
def test_a_field_re_runs_exactly_the_kinds_of_its_row(
    field: str, tmp_path: Path, before: Sights
) -> None:
    old, new, kinds = ROWS[field]
    assert FULL.count(old) >= 1
    found = differing(before, seen(tmp_path / "after", FULL.replace(old, new, 1)))
    assert set(found) == set(kinds.split())


@pytest.mark.parametrize("path", FILES)
def test_a_file_re_runs_exactly_the_kinds_of_its_row(path: str, tmp_path: Path) -> None:
    old, new, kinds = FILES[path]
    seen(tmp_path / "checkout", FULL)
    (tmp_path / "checkout" / path).write_text(old)
    first = looked(tmp_path / "checkout")
    (tmp_path / "checkout" / path).write_text(new)
    assert (tmp_path / "checkout" / path).read_text() != old
    assert set(differing(first, looked(tmp_path / "checkout"))) == set(kinds.split())


_FILES = FULL.index("files:")
FORMS: dict[str, Callable[[str], str]] = {
    "a comment": lambda text: f"# a comment\n{text}",
    "another order of keys": lambda text: text[_FILES:] + text[:_FILES],
    "another indentation": lambda text: textwrap.indent(text, "  "),
    "other quotes": lambda text: text.replace('"1.0"', "'1.0'").replace("[curl]", '["curl"]'),
    "a block for a list": lambda text: text.replace("[curl]", "\n        - curl"),
    "a text for a list": lambda text: text.replace("[curl]", "curl"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_a_text_re_runs_nothing(name: str, tmp_path: Path, before: Sights) -> None:
    assert differing(before, seen(tmp_path / "after", FORMS[name](FULL))) == {}
