"""``fulltest.yaml``: every key, what is refused, and, where a checkout is given, all of it."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from ssds.core.diagnostics import Collector
from ssds.recipe.formats.neurocontainers.fulltest import read_fulltest
from ssds.recipe.formats.neurocontainers.fulltest_texts import TooLong, Variables
from ssds.recipe.suite import Check, SuiteData

WHOLE = """\
name: tool
version: 1.10
description: what it is
mitk_path: /opt/mitk
default_timeout: 60
test_data:
  t1: data/ds1/t1.nii.gz
  t1w: data/ds1/t1w.nii.gz
  output_dir: out
required_files:
  - dataset: ds000999
    files: [sub-01/anat/t1.nii.gz, sub-01/func/b.nii.gz]
env: {THREADS: 1}
env_setup: export HERE=${output_dir}
setup:
  script: mkdir -p ${output_dir}/a
cleanup:
  script: rm -rf ${output_dir}
tests:
  - name: plain
    description: no more than a command
    command: $mitk_path/run ${t1} $t1w $HOME
  - name: all of it
    command: tool -o $output_dir/x.nii
    expected_exit_code: 3
    expected_output_contains: [done, "in $mitk_path"]
    validate:
      - output_exists: ${output_dir}/x.nii
      - same_dimensions: ["${output_dir}/x.nii", "${t1}"]
    depends_on: plain
    timeout: 5
    tags: [slow]
  - name: a script
    script: |
      #!/usr/bin/env python3
      print(1)
    ignore_exit_code: true
    depends_on: [plain, all of it]
    env_setup: ""
  - {name: not two, command: "false", expected_exit_code_not: 2}
"""


def read(text, **more):
    """Returns the suite and code → address of what was found."""
    collector = Collector()
    found = read_fulltest(text.encode(), "recipes/tool/fulltest.yaml", collector, **more)
    return found, [(d.code, d.address, d.span.line, d.severity.value) for d in collector]


def test_every_key_is_understood():
    found, told = read(WHOLE, version="1.1")
    assert told == []
    suite = found.suite
    plain, full, script, banned = suite.tests
    work = "/run/ssds/work"
    before = f'export THREADS="1"\nexport HERE={work}/out\n'
    data = f"{work}/tool/data/ds1"
    assert plain.script == f"{before}/opt/mitk/run {data}/t1.nii.gz {data}/t1w.nii.gz $HOME\n"
    assert (plain.exit_code, plain.time_limit_s, plain.output) == (0, 60, ())
    assert full.exit_code == 3
    assert full.output == ("done", "in /opt/mitk")
    assert full.checks == (
        Check(kind="output_exists", paths=("out/x.nii",)),
        Check(kind="same_dimensions", paths=("out/x.nii", "tool/data/ds1/t1.nii.gz")),
    )
    assert (full.depends_on, full.time_limit_s, full.tags) == (("plain",), 5, ("slow",))
    assert script.script == "/run/ssds/test/script.sh\n"
    assert script.files == (("script.sh", "#!/usr/bin/env python3\nprint(1)\n"),)
    assert (script.exit_code, script.exit_code_not) == (None, None)
    assert (banned.exit_code, banned.exit_code_not) == (None, 2)
    assert (suite.setup, suite.folders) == (f"mkdir -p {work}/out/a", ("out",))


def test_files_of_data_sets_become_sources_that_suites_share():
    found, _ = read(WHOLE)
    again, _ = read(WHOLE.replace("name: tool", "name: other"))
    assert set(found.sources) == set(again.sources)
    assert found.suite.data[0] == SuiteData(
        source=next(iter(found.sources)), path="tool/ds000999/sub-01/anat/t1.nii.gz"
    )
    assert all(s.url.endswith(d.path[5:]) for s, d in zip(
        found.sources.values(), found.suite.data, strict=True))  # fmt: skip


def test_runners_of_scripts():
    head = "name: a\nversion: '1'\ntests: [{name: x, script: disp(1)}]\n"
    for more, command, name in (
        ("script_runner: octave -q\nscript_ext: .m\n", "octave -q /run/ssds/test/script.m", ".m"),
        ("matlab_runtime: {runner: /opt/run.sh, path: /opt/v99}\n",
         "/opt/run.sh /opt/v99 /run/ssds/test/script.m", ".m"),
    ):  # fmt: skip
        (test,) = read(head + more)[0].suite.tests
        assert test.script == f"{command}\n"
        assert test.files == ((f"script{name}", "disp(1)"),)


HEAD = "name: tool\nversion: '1'\n"
BAD = {
    "no map": ("[1]", "N060", 1),
    "no tests": (HEAD, "N061", 1),
    "no name": ("version: '1'\ntests: []", "N061", 1),
    "unknown validator": (
        HEAD + "tests:\n- name: x\n  command: y\n  validate:\n  - output_exist: z",
        "N064",
        7,
    ),
    "validator of a wrong shape": (
        HEAD + "tests:\n- name: x\n  command: y\n  validate:\n  - same_dimensions: z",
        "N066",
        7,
    ),
    "validator of no map": (HEAD + "tests: [{name: x, command: y, validate: [z]}]", "N060", 3),
    "file elsewhere": (
        HEAD + "tests: [{name: x, command: y, validate: [{output_exists: ../../etc/passwd}]}]",
        "N066",
        3,
    ),
    "a name that leaves": (HEAD.replace("tool", "../tool") + "tests: []", "N066", 1),
    "no command": (HEAD + "tests: [{name: x}]", "N061", 3),
    "no name of a test": (HEAD + "tests: [{command: x}]", "N061", 3),
    "a test of text": (HEAD + "tests: [x]", "N060", 3),
    "text for a number": (HEAD + "tests: [{name: x, command: y, timeout: soon}]", "N060", 3),
    "no time": (HEAD + "tests: [{name: x, command: y, timeout: 0}]", "N060", 3),
    "a flag as number": (
        HEAD + "tests: [{name: x, command: y, expected_exit_code: true}]",
        "N060",
        3,
    ),
    "data outside": (
        HEAD + "tests: []\nrequired_files: [{dataset: ds1, files: [../x]}]",
        "N066",
        4,
    ),
    "a data set that leaves": (
        HEAD + "tests: []\nrequired_files: [{dataset: ../ds1, files: [x]}]",
        "N066",
        4,
    ),
    "data without files": (HEAD + "tests: []\nrequired_files: [{dataset: ds1}]", "N060", 4),
    "an ending with a slash": (
        HEAD + "script_ext: /../x\ntests: [{name: x, script: y}]",
        "N060",
        3,
    ),
    "a circle that grows": (
        HEAD + "a: $b$b$b$b$b$b$b$b$b$b\nb: $a$a$a$a$a$a$a$a$a$a\n"
        "tests: [{name: x, command: $a$a$a$a}]",
        "N067",
        5,
    ),
    "no test at all": (HEAD + "tests: []", "N054", 3),
    "an alias": (HEAD + "tests: &a [*a]", "Y009", 3),
}


@pytest.mark.parametrize(("text", "code", "line"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_told_with_its_line(text, code, line):
    found, told = read(text, version="1")
    assert found is None
    assert (code, line, "error") in [(c, n, s) for c, _, n, s in told]


WARNED = {
    "key of a test": ("tests: [{name: x, command: y, colour: red}]", "N063"),
    "key of the file": ("tests: [{name: x, command: y}]\npaths: {a: b}", "N063"),
    "key of setup": ("tests: [{name: x, command: y}]\nsetup: {scripts: a}", "N063"),
    "depends on nothing": ("tests: [{name: x, command: y, depends_on: z}]", "N065"),
    "two of one name": ("tests: [{name: x, command: y}, {name: x, command: y}]", "N069"),
    "the host's hands": ("tests: [{name: x, command: y}]\nsetup: {host_script: curl z}", "N068"),
}


@pytest.mark.parametrize(("text", "code"), WARNED.values(), ids=WARNED)
def test_what_is_odd_is_warned_of(text, code):
    found, told = read(HEAD + text)
    assert [(c, s) for c, _, _, s in told] == [(code, "warning")]
    assert bool(found.suite.skipped) == (code == "N068")
    assert len({t.name for t in found.suite.tests}) == len(found.suite.tests)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$t1w", "/w"), ("$t1", "/t"), ("${t1}w", "/tw"), ("$t1x", "$t1x"), ("$t1/x", "/t/x"),
        ("$t1.gz", "/t.gz"), ("$nested", "/t/n"), ("$HOME ${HOME} $$ $1", "$HOME ${HOME} $$ $1"),
    ],
)  # fmt: skip
def test_a_variable_ends_where_its_word_ends(text, expected):
    assert Variables({"t1": "/t", "t1w": "/w", "nested": "$t1/n"})(text) == expected


def test_variables_that_grow_are_stopped():
    with pytest.raises(TooLong):
        Variables({"a": "$a$a$a$a$a$a$a$a$a$a" * 10})("$a" * 100)


def test_a_text_bomb_is_refused_before_it_is_made():
    """A megabyte for each of 300,000 words would be 300 GB."""
    began = time.monotonic()
    with pytest.raises(TooLong):
        Variables({"a": "x" * 1_000_000})("$a " * 300_000)
    assert time.monotonic() - began < 10


def test_many_long_texts_are_too_much_for_one_suite():
    tests = "".join(f"  - {{name: t{n}, command: {'$a ' * 200}}}\n" for n in range(200))
    found, told = read(f"{HEAD}a: {'x' * 5000}\ntests:\n{tests}")
    assert found is None
    assert {c for c, *_ in told} == {"N067"}
    assert 10 < len(told) < 200


def test_many_names_do_not_make_many_words_slow():
    values = {f"name{n}": "x" for n in range(50_000)}
    began = time.monotonic()
    assert Variables(values)("$none " * 100_000) == "$none " * 100_000
    assert time.monotonic() - began < 10


def test_a_number_in_base_60_of_a_megabyte_is_text():
    began = time.monotonic()
    found, told = read(f"{HEAD}long: 1{':1' * 400_000}\ntests: [{{name: x, command: $long}}]")
    assert time.monotonic() - began < 10
    assert told == []
    assert len(found.suite.tests[0].script) > 800_000


def test_all_suites_of_a_checkout_are_read(capsys):
    place = os.environ.get("SSDS_NEUROCONTAINERS")
    if not place:
        pytest.skip("SSDS_NEUROCONTAINERS names no checkout")
    files = sorted(Path(place).glob("recipes/*/fulltest.yaml"))
    codes, failed, counts = Counter(), [], Counter()
    for path in files:
        collector = Collector()
        found = read_fulltest(path.read_bytes(), str(path), collector)
        codes.update(d.code for d in collector)
        if found is None:
            failed.append((path.parent.name, [d.render() for d in collector]))
            continue
        counts["tests"] += len(found.suite.tests)
        counts["skipped suites"] += bool(found.suite.skipped)
        counts["files of data sets"] += len(found.suite.data)
        for test in found.suite.tests:
            counts["scripts"] += bool(test.files)
            counts["expected outputs"] += len(test.output)
            counts["dependencies"] += len(test.depends_on)
            counts.update(check.kind for check in test.checks)
    with capsys.disabled():
        print(f"\n  {len(files)} suites")
        for name, count in [*sorted(counts.items()), *sorted(codes.items())]:
            print(f"  {name:<24}{count:>7}")
    assert failed == []
    assert counts["tests"] >= 12_000


def test_the_version_may_be_a_variable():
    text = (
        "name: tool\nv: '2.1'\nversion: ${v}\ntests: [{name: x, command: y, depends_on: setup}]\n"
    )
    found, told = read(text, version="2.1")
    assert (found.version, told) == ("2.1", [])
