"""Module files in Tcl: their text, hostile texts, and real Environment Modules."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from module_systems import FACTS, HOSTILE, shell_in
from ship_makers import run

from ssds.core.text import blanked
from ssds.ship.tcl import module_text, modulerc_text, tcl_text

GOLDEN = f"""\
#%Module1.0
# samtools 1.16.1-r3, sha256:{"a" * 64}; made by ssds, do not edit
set root [string range $ModulesCurrentModulefile 0 end-24]
proc ModulesHelp {{}} {{
    puts stderr "samtools 1.16.1\\n\\nReads alignments\\n\\nLong text.\\n\\nExample:\\nsamtools \
view x.bam\\n\\nCommands: ace2sam samtools\\n\\nPlease cite: https://doi.org/10.1093/x\\n\\nMore: \
https://example.org"
}}
module-whatis "Name: samtools"
module-whatis "Version: 1.16.1-r3"
module-whatis "Description: Reads alignments"
module-whatis "URL: https://example.org"
module-whatis "Category: genomics, imaging"
module-whatis "License: MIT"
module-whatis "DOI: 10.1093/x"
module-whatis "rrid: RRID:SCR_002105"
module-whatis "Image: sha256:{"a" * 64}"
module-whatis "Commands: ace2sam, samtools"
conflict "samtools"
if {{[info commands depends-on] ne ""}} {{
    depends-on "apptainer/1.3"
}} else {{
    module load "apptainer/1.3"
}}
prepend-path PATH $root/wrappers/samtools/1.16.1-r3/bin
setenv SAMTOOLS_DATA "/opt/data"
"""


def test_a_module_is_this_text() -> None:
    assert module_text(replace(FACTS, needs="apptainer/1.3"), hidden=False).decode() == GOLDEN


def test_a_modulerc_is_this_text() -> None:
    assert modulerc_text(["2.0-r1", "1.0-r2"], "x", "2.0").decode() == (
        "#%Module1.0\n"
        'module-version "x/2.0" default\n'
        'if {[info commands module-hide] ne ""} {\n'
        '    module-hide "x/1.0-r2" "x/2.0-r1"\n'
        "} else {\n"
        '    foreach version [list "x/1.0-r2" "x/2.0-r1"] { hide-version $version }\n'
        "}\n"
    )


@pytest.mark.component("environment-modules")
def test_tcl_reads_every_text_as_it_is(tmp_path: Path) -> None:
    """One Tcl for all texts: starting it costs more than reading them."""
    texts: list[str] = []

    @settings(max_examples=200, database=None)
    @given(st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=40))
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    texts += HOSTILE

    expected = [blanked(text).replace("\t", " ").replace("\n", " ") for text in texts]
    rows = ["fconfigure stdout -encoding utf-8", "proc Show {} {"]
    rows += [f"puts {tcl_text(text)}" for text in texts]
    script = tmp_path / "show.tcl"
    script.write_text("\n".join([*rows, "}", "Show"]), encoding="ascii")
    done = run(["tclsh", str(script)])
    assert done.stderr == b""
    assert done.stdout.decode().split("\n")[:-1] == expected


@pytest.mark.component("environment-modules")
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_module_whose_every_text_is_hostile_loads(number: int, tmp_path: Path) -> None:
    text = HOSTILE[number] + "}{[exec touch /tmp/pwned-tcl]$env(HOME)"
    facts = replace(
        FACTS,
        description={**dict.fromkeys(("summary", "description", "homepage"), text)},
        identifiers={"rrid": text},
        environment={"GOOD": text, "bad name": text},
    )
    folder = tmp_path / "modules/samtools"
    os.makedirs(folder)
    (folder / "1.16.1").write_bytes(module_text(facts, hidden=False))
    text = 'module load samtools; echo "$PATH"; module help samtools; module whatis samtools'
    done = shell_in("tcl", f"{tmp_path}/modules", text)
    assert b"wrappers/samtools/1.16.1-r3/bin" in done.stdout, done.stderr
    assert b"ERROR" not in done.stderr
    assert not os.path.exists("/tmp/pwned-tcl")
