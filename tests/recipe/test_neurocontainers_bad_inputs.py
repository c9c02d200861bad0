"""Broken recipes of NeuroDesk's format: each is refused with a code at its line, never a traceback.

A line that must be named ends with ``# HERE``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from neurocontainers_checkout import BUILD, HEAD, read, recipe, write_checkout

from ssds.core.diagnostics import Severity
from ssds.recipe.codes import row_of

STEPS = "- run: [x]\n"
ROUNDS = "{% for a in range(4000) %}"


def built(directives: str) -> str:
    return recipe(directives)


def headed(line: str, *, without: str = "") -> str:
    head = "".join(part for part in HEAD.splitlines(True) if not without or without not in part)
    return recipe(STEPS, head=head + line + "\n")


BAD: dict[str, tuple[str, str]] = {
    # YAML
    "not YAML": ("Y006", HEAD + "build: [ # \n}  # HERE\n"),
    "a bomb of aliases": ("Y009", headed("description: &a [x, x]  # HERE\nicon2: [*a, *a]")),
    "a merge": ("Y009", headed("<<: {a: 1}  # HERE")),
    "a tag": ("Y010", headed("description: !!python/object:os.system x  # HERE")),
    "two documents": ("Y011", recipe(STEPS) + "---  # HERE\na: 1\n"),
    "an empty file": ("Y012", ""),
    "deep nesting": ("Y013", headed("variables: {a: " + "[" * 40 + "]" * 40 + "}  # HERE")),
    "a key twice": ("Y008", headed("name: small  # HERE")),
    "a control character": ("Y005", headed('description: "a\x01b"  # HERE')),
    "not UTF-8": ("Y003", headed("description: \udcff  # HERE")),
    "too long": ("Y002", headed("description: " + "x" * (1 << 20))),
    # shape
    "a list for a recipe": ("N003", "- a\n- b\n"),
    "an unknown key": ("N001", headed("colour: red  # HERE")),
    "no version": ("N002", headed("", without="version")),
    "no build": ("N002", HEAD),
    "architectures as text": (
        "N003",
        headed("architectures: x86_64  # HERE", without="architectures"),
    ),
    "an unknown architecture": (
        "N004",
        headed("architectures: [riscv64]  # HERE", without="architectures"),
    ),
    "no architecture": ("N006", headed("architectures: []  # HERE", without="architectures")),
    "another kind of build": (
        "N004",
        recipe(STEPS, build=BUILD.replace("neurodocker", "conda  # HERE")),
    ),
    "an unknown key of build": (
        "N001",
        recipe(STEPS, build=BUILD.replace("  dir", "  shell: sh  # HERE\n  dir")),
    ),
    "a directive as text": ("N003", built("- make  # HERE")),
    "a map for run": ("N003", built("- run: {a: b}  # HERE")),
    "a list for environment": ("N003", built("- environment: [A=1]  # HERE")),
    "a template without a name": ("N002", built("- template: {version: 1}  # HERE")),
    "a file with an unknown key": (
        "N001",
        built("- file: {name: a, contents: b, sha256: c}  # HERE"),
    ),
    # names
    "an underscore in the name": ("N010", headed("name: big_small  # HERE", without="name")),
    "a name in capitals": ("N010", headed("name: Small  # HERE", without="name")),
    "another name than the folder's": (
        "R075",
        headed("name: other  # HERE", without="name: small"),
    ),
    "a blank in the version": ("N011", headed("version: 1 0  # HERE", without="version")),
    "a variant called arm64": (
        "N014",
        headed("variants:\n  arm64: {architecture: aarch64}  # HERE"),
    ),
    "a variant of an unknown option": (
        "N017",
        headed("variants:\n  gpu: {options: {cuda: true}}  # HERE"),
    ),
    "two variants of one name": ("N015", headed("variants:\n  a_b: {}\n  a-b: {}  # HERE")),
    "a variant elsewhere": (
        "N016",
        headed(
            "architectures: [x86_64]\nvariants:\n  gpu: {architecture: aarch64}  # HERE",
            without="architectures",
        ),
    ),
    # directives
    "an unknown directive": ("N018", built("- instal: [a]  # HERE")),
    "an unknown directive in a group": ("N018", built("- group:\n    - runn: [a]  # HERE")),
    "an include outside of the tree": ("N025", built("- include: ../../etc/passwd  # HERE")),
    "an absolute include": ("N025", built("- include: /etc/passwd  # HERE")),
    "an include that is not there": ("N025", built("- include: macros/none.yaml  # HERE")),
    "an include of a recipe": ("N025", built("- include: recipes/small/build.yaml  # HERE")),
    "an unknown template": ("N026", built("- template: {name: too1, version: 1}  # HERE")),
    "a template's path": ("N026", built("- template: {name: ../../x, version: 1}  # HERE")),
    "an unknown method": (
        "N026",
        built("- template: {name: tool, method: magic, version: 1}  # HERE"),
    ),
    "a missing argument": ("N026", built("- template: {name: tool}  # HERE")),
    "an unknown user": ("R071", built("- user: 'a; rm -rf /'  # HERE")),
    "a variable of two lines": ("N021", built('- environment: {A: "x\\ny"}  # HERE')),
    "a bad variable name": ("R033", built("- environment: {A-B: x}  # HERE")),
    "an entry point with quotes": ("N023", built("- entrypoint: 'bash -c \"x\"'  # HERE")),
    "a copy of nothing": ("N029", built("- copy: [x]  # HERE")),
    "a copy to nowhere": ("N030", built("- copy: [small.txt, etc/x]  # HERE")),
    "a copy from outside": ("R027", built("- copy: [../../../etc/passwd, /x]  # HERE")),
    "an absolute copy": ("R027", built("- copy: [/etc/passwd, /x]  # HERE")),
    "a copy through a link": ("R027", built("- copy: [link, /x]  # HERE")),
    "quotes that do not close": ("N022", built('- install: "a \'b"  # HERE')),
    "an empty run": ("N044", built('- run: [""]  # HERE')),
    # files
    "a file without origin": ("N028", built("- file: {name: a}  # HERE")),
    "a file twice": (
        "N027",
        built("- file: {name: a, contents: x}\n- file: {name: a, contents: y}  # HERE"),
    ),
    "a file called as a path": ("R025", built("- file: {name: ../a, contents: x}  # HERE")),
    "a file from outside": ("R027", built("- file: {name: a, filename: ../../x}  # HERE")),
    "a folder as a file": ("R028", built("- file: {name: a, filename: folder}  # HERE")),
    "an address of another scheme": (
        "R017",
        built("- file: {name: a, url: 'file:///etc/passwd'}  # HERE"),
    ),
    "a file that is not declared": ("R039", built("- run: [\"{{ get_file('b') }}\"]  # HERE")),
    # images
    "no image": ("N013", recipe(STEPS, build=BUILD.replace("debian:12", "'debian 12'  # HERE"))),
    "an unknown package manager": (
        "N012",
        recipe(STEPS, build=BUILD.replace("apt", "zypper  # HERE")),
    ),
    # templates in text
    "an undefined variable": ("R036", built("- run: [make, '{{ nowhere }}']  # HERE")),
    "an undefined part": ("R036", built("- run: ['{{ context.nowhere }}']  # HERE")),
    "a broken expression": ("R035", built("- run: ['{{ context.version']  # HERE")),
    "a broken condition": ("R035", built("- run: [x]\n  condition: arch ==  # HERE")),
    "a reach for attributes": ("R037", built("- run: [\"{{ ''.__class__.__mro__ }}\"]  # HERE")),
    "an endless loop": (
        "N053",
        built(f"- run: ['{ROUNDS}{ROUNDS}{{% endfor %}}{{% endfor %}}']  # HERE"),
    ),
    "a huge text": ("R038", built("- run: [\"{{ 'x' * 99999999 }}\"]  # HERE")),
    "a number rounded to a hundred million digits": (
        "R039",
        built('- run: ["{{ 1|round(-100000000) }}"]  # HERE'),
    ),
    "a map's filter on a text": ("R039", built("- run: [\"{{ 'a'|dictsort }}\"]  # HERE")),
    "an undefined name in a condition": (
        "R036",
        built("- run: [x]\n  condition: nowhere == 1  # HERE"),
    ),
    "a try that decides nothing": (
        "N020",
        headed("variables:\n  a: {try: [{value: 1, condition: arch == 'x'}]}  # HERE"),
    ),
    "a local folder": ("R039", built("- run: [\"{{ get_local('src') }}\"]  # HERE")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_recipe_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    code, text = BAD[name]
    files = {"small.txt": "x", "folder/a": "", "folder/b": ""}
    checkout = write_checkout(tmp_path / "checkout", "x: 1\n", files=files)
    (checkout / "recipes/small/link").symlink_to("/etc/passwd")
    path = checkout / "recipes/small/build.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    reading = read(checkout)
    found = [d for d in reading.collector if d.severity is Severity.ERROR]
    assert code in [d.code for d in found], found
    assert not reading.catalog.releases
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# HERE")]
    for diagnostic in found:
        assert diagnostic.span.path == str(path)
        assert diagnostic.hint
        if diagnostic.code == code and lines:
            assert diagnostic.span.line == lines[0], diagnostic


def test_many_cheap_texts_are_too_much_for_one_recipe_and_it_is_said_once(tmp_path: Path) -> None:
    loop = "{% for a in range(3000) %}{% for b in [1, 2] %}{{ a }}{% endfor %}{% endfor %}"
    text = built("".join(f"- run: ['{loop}{number}']\n" for number in range(99)))
    found = list(read(write_checkout(tmp_path / "c", text)).collector)
    assert [d.code for d in found] == ["N053"]
    assert found[0].span.line > 20


def test_macros_that_include_macros_are_too_much_in_the_end(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "c", built("- include: macros/many.yaml"))
    (checkout / "macros/many.yaml").write_text(
        "directives:\n" + "- include: macros/many.yaml\n" * 200
    )
    assert "N053" in [d.code for d in read(checkout).collector]


def test_a_call_inside_of_a_template_pays_from_the_same_budget(tmp_path: Path) -> None:
    text = built("- template: {name: tool, version: '2.0', install_path: /x}")
    checkout = write_checkout(tmp_path / "c", text)
    (checkout / "builder/templates/tool.yaml").write_text(
        "binaries:\n  arguments: {required: [version]}\n"
        "  dependencies: {apt: ['{{ 1 }}{% for a in range(900) %}{% endfor %}x']}\n"
        '  directives:\n  - run: "{% for a in range(4000) %}'
        '{% set b = self.install_dependencies() %}{% endfor %}{{ 1 }}"\n'
    )
    assert [d.code for d in read(checkout).collector] == ["N053"]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = built(
        "- run: ['{{ one }}']\n- copy: [../x, /x]\n- template: {name: none, version: 1}\n"
        "- environment: {A-B: x}\n"
    )
    found = [d.code for d in read(write_checkout(tmp_path / "c", text)).collector]
    assert found == ["R036", "R027", "N026", "R033"]


def test_one_bad_recipe_hides_no_other(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "c", built("- runn: [x]"))
    good = recipe(STEPS, head=HEAD.replace("name: small", "name: good"))
    write_checkout(checkout, good, name="good")
    reading = read(checkout)
    assert [str(name) for name in reading.catalog.releases] == ["good@1.0"]


WARNED: dict[str, tuple[str, str]] = {
    "a version that is a number": ("N042", headed("version: 1.10", without="version")),
    "a file that is missing": ("N040", built("- copy: [none, /x]")),
    "a declared file that is missing": ("N040", built("- file: {name: a, filename: none}")),
    "a command that is a path": ("N041", built("- deploy: {bins: [/opt/x]}")),
    "two kinds in one directive": ("N043", built("- run: [x]\n  workdir: /x")),
    "a key that nothing reads": ("N043", built("- run: [x]\n  comment: why")),
    "variables for an include": (
        "N043",
        built("- include: macros/flavours/base.yaml\n  with: {flavour: sour}"),
    ),
    "a file that no run mounts": (
        "N045",
        built("- file: {name: a, contents: x}\n- environment: {A: \"{{ get_file('a') }}\"}"),
    ),
    "no readme": ("N046", headed("", without="readme")),
    "a here-document": ("N047", built("- run:\n    - |\n      cat <<EOF\n      x\n      EOF")),
    "an address over http": ("N049", built("- file: {name: a, url: 'http://example.org/a'}")),
    "a base that is the newest": (
        "N050",
        recipe(STEPS, build=BUILD.replace("debian:12", "debian:latest")),
    ),
    "a base without a tag": ("N050", recipe(STEPS, build=BUILD.replace("debian:12", "debian"))),
    "the newest version": ("N051", built("- template: {name: tool, version: latest}")),
    "a licence of no list": ("N052", recipe(STEPS).replace("license: MIT", "license: custom")),
    "a line that goes on": ("N048", built("- run: ['make \\']")),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_their_builder_takes_is_taken_with_a_warning(tmp_path: Path, name: str) -> None:
    code, text = WARNED[name]
    reading = read(write_checkout(tmp_path / "c", text))
    assert [d.code for d in reading.collector] == [code]
    assert row_of(code).severity is Severity.WARNING
    assert reading.catalog.releases


def test_a_folder_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    assert [d.code for d in read(tmp_path / "nothing").collector] == ["K011"]


def test_a_name_stands_once_in_all_catalogs(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "c", recipe(STEPS))
    own = tmp_path / "catalog" / "small" / "recipe.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("name: small\nversion: '1'\nbase: d\n")
    assert "K012" in [d.code for d in read(checkout).collector]


@pytest.mark.parametrize("name", ["../../../../tmp/x", "/tmp/x", "a/b", ".."])
def test_a_boutique_descriptor_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    reading = read(write_checkout(tmp_path / "c", built(f"- boutique: {{name: '{name}'}}")))
    assert "R025" in [d.code for d in reading.collector]
    assert not reading.catalog.releases


@pytest.mark.parametrize(
    ("directive", "code"),
    [
        ("variables: 5", "N003"),
        ("deploy: x", "N003"),
        ("file: x", "N003"),
        ("group: 5", "N003"),
        ("run: 5", "N003"),
        ("instal: [a]", "N018"),
    ],
)
def test_a_wrong_directive_of_a_macro_is_told_at_its_line(
    tmp_path: Path, directive: str, code: str
) -> None:
    checkout = write_checkout(tmp_path / "c", built("- include: macros/flavours/base.yaml"))
    (checkout / "macros/flavours/base.yaml").write_text(f"directives:\n  - {directive}\n")
    found = {(d.code, d.span.line) for d in read(checkout).collector}
    assert (code, 2) in found
    assert "N025" in {c for c, _ in found}
