"""The module systems that tests load modules in: real Lmod and real Environment Modules."""

from __future__ import annotations

import glob
import subprocess

from ship_makers import run

from ssds.ship.modules import ModuleFacts

LMOD = "/usr/share/lmod/lmod/libexec/lmod"
UNPACKED = "/usr/local/lib/ssds-test/environment-modules"
"""Where .ci/packages unpacks it: as packages the two systems exclude each other."""

FACTS = ModuleFacts(
    name="samtools",
    version="1.16.1",
    revision=3,
    image="sha256:" + "a" * 64,
    commands=("samtools", "ace2sam"),
    environment={"SAMTOOLS_DATA": "/opt/data"},
    description={
        "summary": "Reads alignments",
        "description": "Long text.",
        "homepage": "https://example.org",
        "licenses": ["MIT"],
        "categories": ["genomics", "imaging"],
        "citations": [{"doi": "10.1093/x", "title": "T"}],
        "help": {"example": "samtools view x.bam"},
    },
    identifiers={"rrid": "RRID:SCR_002105"},
)
HOSTILE = (
    'x]=]) os.execute("touch /tmp/pwned") help([=[ ]==] ]===] "quoted" \\ \\n \x1b[31m\r\n\0',
    "ends with ]=",
    "]]",
    '") os.exit(3) --',
)


def modulecmd() -> str:
    """Returns the path of Environment Modules' program, or the empty string."""
    places = [f"{root}/usr/lib/*/modulecmd.tcl" for root in ("", UNPACKED)]
    return next((path for place in places for path in sorted(glob.glob(place))), "")


def shell_in(system: str, folder: str, text: str) -> subprocess.CompletedProcess[bytes]:
    """Runs text in a shell that has `module` and uses ``folder``; ``system``: lmod or tcl."""
    program = LMOD if system == "lmod" else f"tclsh {modulecmd()}"
    start = f'module() {{ eval "$({program} sh "$@")"; }}\n'
    return run(["sh", "-c", start + text], MODULEPATH=folder, LMOD_IGNORE_CACHE="1")
