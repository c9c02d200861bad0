"""Every kind of wrong input gives its diagnostic, at its place, and nothing else happens."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ssds.core.diagnostics import Collector
from ssds.recipe.catalog import read_catalog
from ssds.recipe.codes import every_code
from ssds.recipe.settings import read_settings

RECIPE = "catalog/tool/recipe.yaml"
GOOD = """\
name: tool
version: "1.0"
summary: A tool
licenses: [MIT]
maintainers: [{name: A Person, orcid: 0000-0002-1825-0097}]
platforms: {linux/amd64: required, linux/arm64: optional}
base: debian-12
variables: {prefix: "/opt/{{ name }}"}
sources:
  archive: {url: "https://example.org/tool.tar.gz", sha256: DIGEST}
build:
  - apt: [zlib1g]
  - run: {script: "make -C {{ prefix }}", sources: [archive], tools: [gcc]}
  - copy: {local: files/x.sh, to: /usr/local/bin/, executable: true}
  - env: {A: b}
deploy: {commands: [tool]}
tests:
  - name: works
    run: tool --version
    stdout: ["1.0"]
scan:
  policy: strict
  waivers: [{id: CVE-2023-1, package: zlib, reason: not reached, owner: me, until: 2031-12-31}]
publish: [local]
""".replace("DIGEST", "0a" * 32)
OTHER = """\
name: other
version: "2.0"
summary: Another tool
licenses: [MIT]
base: {recipe: tool, version: "1.0"}
build: []
tests: [{name: works, run: "other", stdout: [x]}]
"""
BASES = (
    "debian-12:\n  suite: bookworm\n  platforms: [linux/amd64, linux/arm64]\n  advisories: deb\n"
)
CHANNELS = "local: {kind: layout, location: dist}\n"
SITE = "platforms: [linux/amd64]\ninclude: [tool]\n"

DEBTS = """\
tool:
  findings:
    reason: came with the old catalog
    owner: me
    owed: [{id: CVE-1, package: zlib, until: 2031-12-31}]
  tests: [{test: works, reason: r, owner: me, until: 2031-12-31}]
"""
WORKSPACE: dict[str, str | bytes] = {
    "ssds.yaml": "catalog: catalog\n",
    "catalog/bases.yaml": BASES,
    "catalog/policies.yaml": "strict: {fail_on: [critical, high]}\n",
    "catalog/channels.yaml": CHANNELS,
    "catalog/advisories.yaml": "deb: catalog/advisories/deb.json\n",
    "catalog/advisories/deb.json": "{}\n",
    "catalog/catalog.yaml": 'salt: ""\n',
    "catalog/sites/hpc.yaml": SITE,
    RECIPE: GOOD,
    "catalog/tool/files/x.sh": "#!/bin/sh\n",
    "catalog/other/recipe.yaml": OTHER,
}


ALONE = {"catalog/other/recipe.yaml": OTHER.replace('{recipe: tool, version: "1.0"}', "debian-12")}


def recipe(
    old: str, new: str, more: Mapping[str, str | bytes] | None = None
) -> dict[str, str | bytes]:
    """The good recipe with one change."""
    assert GOOD.count(old) >= 1, old
    return {RECIPE: GOOD.replace(old, new, 1), **(more or {})}


def raw(data: str | bytes) -> dict[str, str | bytes]:
    return {RECIPE: data}


def file(path: str, data: str | bytes) -> dict[str, str | bytes]:
    return {path: data}


# libyaml 0.2.6 looks at all open brackets before it gives the first, and refuses the thousandth.
FLOW_COLUMN = 1001 if yaml._yaml.get_version() >= (0, 2, 6) else 33
DEEP = "a: " + "[" * 40 + "]" * 40
ROWS: list[tuple[str, Mapping[str, str | bytes], str, str]] = [
    # YAML itself
    ("too large", raw(GOOD + "#" * (1 << 20)), "Y002", RECIPE),
    ("latin-1", raw(GOOD.replace("A tool", "caf\xe9").encode("latin-1")), "Y003", RECIPE + ":3:13"),
    ("utf-16", raw(GOOD.encode("utf-16")), "Y003", RECIPE + ":1:1"),
    ("byte order mark", raw(b"\xef\xbb\xbf" + GOOD.encode()), "Y004", RECIPE + ":1:1"),
    ("control character", recipe("A tool", "A\x07tool"), "Y005", RECIPE + ":3:11"),
    ("escaped NUL", recipe("A tool", '"a\\0b"'), "Y005", RECIPE + ":3:10"),
    ("open bracket", recipe("[MIT]", "[MIT"), "Y006", RECIPE + ":5:12"),
    ("truncated", raw(GOOD[: GOOD.index("archive]") + 4]), "Y006", RECIPE + ":14:1"),
    ("a tab", recipe("  - apt", "\t- apt"), "Y007", RECIPE + ":12:1"),
    ("key twice", recipe("summary:", 'version: "1.1"\nsummary:'), "Y008", RECIPE + ":3:1"),
    ("alias bomb", raw("a: &a [x, x]\nb: &b [*a, *a]\n"), "Y009", RECIPE + ":1:4"),
    ("alias", recipe("[MIT]", "*x"), "Y009", RECIPE + ":4:11"),
    ("python tag", recipe("A tool", "!!python/name:os.system x"), "Y010", RECIPE + ":3:10"),
    ("directive", raw("%YAML 1.1\n---\n" + GOOD), "Y010", RECIPE + ":1:1"),
    ("two documents", raw(GOOD + "---\na: b\n"), "Y011", RECIPE + ":25:1"),
    ("empty", raw(""), "Y012", RECIPE + ":1:1"),
    ("only a comment", raw("# nothing\n"), "Y012", RECIPE + ":1:1"),
    ("nested deeply", raw(DEEP), "Y013", RECIPE + ":1:35"),
    ("brackets without end", raw("[" * 500_000), "Y013", f"{RECIPE}:1:{FLOW_COLUMN}"),
    ("float version", recipe('"1.0"', "1.0"), "Y014", RECIPE + ":2:10"),
    ("no value", recipe("summary: A tool", "summary:"), "Y015", RECIPE + ":3:9"),
    ("null", recipe("A tool", "null"), "Y015", RECIPE + ":3:10"),
    ("number as key", recipe("{A: b}", "{1: b}"), "Y016", RECIPE + ":15:11"),
    ("list as key", recipe("{A: b}", "{[a]: b}"), "Y016", RECIPE + ":15:11"),
    ("octal", recipe("A: b", "A: 0644"), "Y017", RECIPE + ":15:14"),
    ("huge number", recipe("A: b", "A: " + "9" * 400), "Y017", RECIPE + ":15:14"),
    ("text direction", recipe("A tool", "A \u202etool"), "Y018", RECIPE + ":3:12"),
    ("too many values", raw("a: [" + "x, " * 60_000 + "x]"), "Y019", RECIPE + ":1:149999"),
    # shape
    ("top is a list", raw("- a\n"), "R003", RECIPE + ":1:1"),
    ("unknown key", recipe("summary:", "sumary: x\nsummary:"), "R001", RECIPE + ":3:1"),
    ("unknown step key", recipe("{A: b}", "{A: b}\n    tiem: 3"), "R001", RECIPE + ":16:5"),
    ("missing key", recipe("summary: A tool\n", ""), "R002", RECIPE + ":1:1"),
    ("no version", recipe('version: "1.0"\n', ""), "R002", RECIPE + ":1:1"),
    ("type of build", recipe("summary:", "menu: x\nsummary:"), "R003", RECIPE + ":3:7"),
    ("bad choice", recipe("required", "needed"), "R004", RECIPE + ":6:26"),
    ("newline in a line", recipe("name: works", 'name: "a\\nb"'), "R005", RECIPE + ":18:11"),
    ("out of range", recipe("run: tool", "time_limit_s: 0\n    run: tool"), "R006",
     RECIPE + ":19:19"),
    ("channel twice", recipe("[local]", "[local, local]"), "R008", RECIPE + ":24:10"),
    # recipes
    ("folder differs", recipe("name: tool", "name: tool2"), "R075", RECIPE + ":1:7"),
    ("bad name", recipe("name: tool", "name: Tool_"), "R009", RECIPE + ":1:7"),
    ("integer version", recipe('"1.0"', "2"), "R010", RECIPE + ":2:10"),
    ("bad version", recipe('"1.0"', '"1/0"'), "R010", RECIPE + ":2:10"),
    ("both versions", recipe("summary:", 'versions: {"2": {}}\nsummary:'), "R011", RECIPE + ":1:1"),
    ("unknown base", recipe("debian-12", "debian-21"), "R012", RECIPE + ":7:7"),
    ("licence", recipe("[MIT]", "[GPL3]"), "R013", RECIPE + ":4:12"),
    ("licence syntax", recipe("[MIT]", '["MIT AND"]'), "R013", RECIPE + ":4:12"),
    ("sha256", recipe("0a0a0a", "zz"), "R014", RECIPE + ":10:61"),
    ("http without sum", recipe(f'"https://example.org/tool.tar.gz", sha256: {"0a" * 32}',
                                '"http://example.org/t"'), "R015", RECIPE + ":10:18"),
    ("no address", recipe("https://example", "ftp://example"), "R017", RECIPE + ":10:18"),
    ("password", recipe("https://example", "https://me:x@example"), "R074", RECIPE + ":10:18"),
    ("two origins", recipe("{url:", "{pypi: a/1, url:"), "R018", RECIPE + ":10:12"),
    ("package without version",
     recipe(f'url: "https://example.org/tool.tar.gz", sha256: {"0a" * 32}', "deb-src: x"),
     "R019", RECIPE + ":10:22"),
    ("unknown source", recipe("[archive]", "[archiv]"), "R020", RECIPE + ":13:53"),
    ("two kinds in a step", recipe("{A: b}", "{A: b}\n    user: x"), "R022", RECIPE + ":15:5"),
    ("conda as a list", recipe("env: {A: b}", "conda: [x]"), "R003", RECIPE + ":15:12"),
    ("conda without channels", recipe("env: {A: b}", "conda: {packages: [x]}"), "R002",
     RECIPE + ":15:5"),
    ("conda package", recipe("env: {A: b}", "conda: {channels: [c], packages: [c::x]}"), "R090",
     RECIPE + ":15:39"),
    ("conda package twice", recipe("env: {A: b}", "conda: {channels: [c], packages: [x, x=1]}"),
     "R073", RECIPE + ":15:42"),
    ("conda channel", recipe("env: {A: b}", "conda: {channels: ['https://x/'], packages: [x]}"),
     "R091", RECIPE + ":15:24"),
    ("conda prefix", recipe("env: {A: b}", "conda: {channels: [c], packages: [x], prefix: /tmp/x}"),
     "R092", RECIPE + ":15:51"),
    ("conda prefix twice", recipe("env: {A: b}", "conda: {channels: [c], packages: [x]}\n"
     "  - conda: {channels: [c], packages: [y]}"), "R093", RECIPE + ":16:12"),
    ("relative path", recipe("to: /usr", "to: usr"), "R024", RECIPE + ":14:35"),
    ("path with ..", recipe("/usr/local", "/usr/../local"), "R025", RECIPE + ":14:35"),
    ("local file missing", recipe("files/x.sh", "files/y.sh"), "R026", RECIPE + ":14:19"),
    ("local file outside", recipe("files/x.sh", "../other/recipe.yaml"), "R027", RECIPE + ":14:19"),
    ("local file absolute", recipe("files/x.sh", "/etc/passwd"), "R027", RECIPE + ":14:19"),
    ("two copy origins", recipe("local:", "source: archive, local:"), "R029", RECIPE + ":14:11"),
    ("package name", recipe("[zlib1g]", '["-o=x"]'), "R030", RECIPE + ":12:11"),
    ("package removal", recipe("[zlib1g]", '["zlib1g-"]'), "R030", RECIPE + ":12:11"),
    ("requirement", recipe("apt: [zlib1g]", 'pip: ["--index-url x"]'), "R031", RECIPE + ":12:11"),
    ("requirement url", recipe("apt: [zlib1g]", 'pip: ["a @ https://example.org/a.whl"]'), "R032",
     RECIPE + ":12:11"),
    ("environment name", recipe("{A: b}", "{A-B: b}"), "R033", RECIPE + ":15:11"),
    ("reserved environment", recipe("{A: b}", "{SOURCE_DATE_EPOCH: b}"), "R034", RECIPE + ":15:11"),
    ("template syntax", recipe("{{ prefix }}", "{{ prefix"), "R035", RECIPE + ":13:28"),
    ("template name", recipe("{{ prefix }}", "{{ prefx }}"), "R036", RECIPE + ":13:31"),
    ("template call", recipe("{{ prefix }}", "{{ prefix.__class__ }}"), "R037", RECIPE + ":13:28"),
    ("template statement", recipe("{{ prefix }}", "{% for x in y %}"), "R037", RECIPE + ":13:28"),
    ("template bomb", recipe('{prefix: "/opt/{{ name }}"}',
                             f'{{a: "{"x" * 99}", prefix: "{"{{ a }}" * 999}"}}'),
     "R038", RECIPE + ":8:127"),
    ("template type", recipe("{{ prefix }}", "{{ prefix + 1 }}"), "R039", RECIPE + ":13:28"),
    ("reserved variable", recipe("{prefix:", "{name: x, prefix:"), "R040", RECIPE + ":8:13"),
    ("variable name", recipe("{prefix:", "{a-b: x, prefix:"), "R040", RECIPE + ":8:13"),
    ("test name twice", recipe("scan:", "  - {name: works, run: x, stdout: [x]}\nscan:"), "R041",
     RECIPE + ":21:12"),
    ("command twice", recipe("[tool]", "[tool, tool]"), "R042", RECIPE + ":16:27"),
    ("waiver date", recipe("2031-12-31", "2031-02-30"), "R044", RECIPE + ":23:84"),
    ("waiver twice", recipe("[{id", "[{id: CVE-2023-1, package: zlib, reason: r, owner: o, "
                            "until: 2031-01-01}, {id"), "R045", RECIPE + ":23:86"),
    ("policy", recipe("strict", "strikt"), "R046", RECIPE + ":22:11"),
    ("channel", recipe("[local]", "[remote]"), "R047", RECIPE + ":24:11"),
    ("recipe", file("catalog/other/recipe.yaml", OTHER.replace("recipe: tool", "recipe: tol")),
     "R048", "catalog/other/recipe.yaml:5:16"),
    ("recipe version", file("catalog/other/recipe.yaml", OTHER.replace('"1.0"', '"1.1"')),
     "R049", "catalog/other/recipe.yaml:5:31"),
    ("recipe range", file("catalog/other/recipe.yaml", OTHER.replace('"1.0"', '">=1.0 <2"')),
     "R077", "catalog/other/recipe.yaml:5:31"),
    ("recipe range without version",
     file("catalog/other/recipe.yaml", OTHER.replace('"1.0"', '">1.0,<2"')),
     "R078", "catalog/other/recipe.yaml:5:31"),
    ("recipe platform", recipe("linux/amd64: required, linux/arm64: optional",
                               "linux/arm64: required"), "R050", "catalog/other/recipe.yaml:5:7"),
    ("level", recipe("linux/arm64: optional", "linux/amd64/zen33: optional"), "R083",
     RECIPE + ":6:36"),
    ("base platform", file("catalog/bases.yaml", BASES.replace(", linux/arm64", "")), "R051",
     RECIPE + ":7:7"),
    ("circle", recipe(", linux/arm64: optional}\nbase: debian-12",
                      '}\nbase: {recipe: other, version: "2.0"}'), "R052",
     "catalog/other/recipe.yaml:5:7"),
    ("one tag", recipe('version: "1.0"', 'versions: {"1+a": {}, "1~a": {}}', ALONE), "R053",
     RECIPE + ":2:23"),
    ("reserved tag", recipe('"1.0"', '"1.0-r2"', ALONE), "R054", RECIPE + ":2:10"),
    ("none required", recipe("required", "optional"), "R055", RECIPE + ":6:1"),
    ("condition", recipe("{A: b}", "{A: b}\n    platforms: [linux/amd64/v3]"), "R058",
     RECIPE + ":16:17"),
    ("command", recipe("[tool]", "[bin/tool]"), "R059", RECIPE + ":16:21"),
    ("orcid", recipe("0097", "0098"), "R060", RECIPE + ":5:39"),
    ("icon", recipe("summary:", "icon: files/x.sh\nsummary:"), "R065", RECIPE + ":3:7"),
    ("platform", recipe("linux/arm64", "linux/riscv64"), "R066", RECIPE + ":6:36"),
    ("variant", recipe("summary:", "variants: {MPI: {}}\nsummary:"), "R067", RECIPE + ":3:12"),
    ("nothing left", recipe("/usr/local/bin/", '"{{ variant }}"'), "R069", RECIPE + ":14:35"),
    ("file in a folder", recipe("{url:", "{file: a/b, url:"), "R070", RECIPE + ":10:19"),
    ("user", recipe("env: {A: b}", "user: a b"), "R071", RECIPE + ":15:11"),
    ("package twice", recipe("[zlib1g]", "[zlib1g, zlib1g]"), "R073", RECIPE + ":12:19"),
    # shared files
    ("base key", file("catalog/bases.yaml", BASES + "  mirror: x\n"), "B001",
     "catalog/bases.yaml:5:3"),
    ("base advisories", file("catalog/bases.yaml", BASES.replace(": deb", ": dab")), "B010",
     "catalog/bases.yaml:4:15"),
    ("base package", file("catalog/bases.yaml", BASES + "  include: [A_b]\n"), "B011",
     "catalog/bases.yaml:5:13"),
    ("base platform name", file("catalog/bases.yaml", BASES.replace("linux/amd64", "linux/x86")),
     "B012", "catalog/bases.yaml:3:15"),
    ("policy severity", file("catalog/policies.yaml", "strict: {fail_on: [severe]}\n"), "P004",
     "catalog/policies.yaml:1:20"),
    ("policy epss", file("catalog/policies.yaml", "strict: {epss_at_least: '1.5'}\n"), "P005",
     "catalog/policies.yaml:1:25"),
    ("policy end of life", file("catalog/policies.yaml", "strict: {end_of_life: ignore}\n"), "P004",
     "catalog/policies.yaml:1:23"),
    ("debt key", file("catalog/debts.yaml", DEBTS.replace("until:", "upto: 1, until:", 1)), "U001",
     "catalog/debts.yaml:5:39"),
    ("debt day", file("catalog/debts.yaml", DEBTS.replace("2031-12-31", "2031-13-31", 1)), "U011",
     "catalog/debts.yaml:5:46"),
    ("debt day form", file("catalog/debts.yaml", DEBTS.replace("e, until: 2", "e, until: x2")),
     "U011", "catalog/debts.yaml:6:54"),
    ("debt twice", file("catalog/debts.yaml", DEBTS.replace(
        "}]", "}, {id: CVE-1, package: zlib, until: 2032-01-01}]", 1)),
     "U010", "catalog/debts.yaml:5:59"),
    ("debt of nobody", file("catalog/debts.yaml", DEBTS.replace("tool:", "toll:")), "U012",
     "catalog/debts.yaml:1:1"),
    ("debt of no test", file("catalog/debts.yaml", DEBTS.replace("test: works", "test: wrks")),
     "U013", "catalog/debts.yaml:6:18"),
    ("channel kind", file("catalog/channels.yaml", CHANNELS.replace("layout", "ftp")), "C004",
     "catalog/channels.yaml:1:15"),
    ("channel folder", file("catalog/channels.yaml", CHANNELS.replace("dist", "../dist")), "C010",
     "catalog/channels.yaml:1:33"),
    ("channel registry", file("catalog/channels.yaml",
                              CHANNELS + "r: {kind: registry, location: 'https://example.org'}\n"),
     "C011", "catalog/channels.yaml:2:31"),
    ("channel place twice", file("catalog/channels.yaml",
                                 CHANNELS + "two: {kind: layout, location: dist}\n"),
     "C013", "catalog/channels.yaml:2:31"),
    ("brackets", file("catalog/channels.yaml",
     CHANNELS + "two: {kind: objects, location: 's3+https://[x/b'}\n"),
     "C014", "catalog/channels.yaml:2:32"),
    ("site name", file("catalog/sites/HPC.yaml", SITE), "S010", "catalog/sites/HPC.yaml:1:1"),
    ("site takes nothing", file("catalog/sites/hpc.yaml",
                                "platforms: [linux/amd64]\ninclude: []\n"),
     "S006", "catalog/sites/hpc.yaml:2:10"),
    ("site selector", file("catalog/sites/hpc.yaml", SITE.replace("tool", "tol")), "S011",
     "catalog/sites/hpc.yaml:2:11"),
    ("site bind", file("catalog/sites/hpc.yaml", SITE + "binds: [/data/../etc]\n"), "S012",
     "catalog/sites/hpc.yaml:3:9"),
    ("site bind mode", file("catalog/sites/hpc.yaml", SITE + "binds: ['/a:/b:rx']\n"), "S012",
     "catalog/sites/hpc.yaml:3:9"),
    ("site bind relative", file("catalog/sites/hpc.yaml", SITE + "binds: ['/a:b']\n"), "S012",
     "catalog/sites/hpc.yaml:3:9"),
    ("site binds to one target", file("catalog/sites/hpc.yaml",
     SITE + "binds: ['/a:/b:ro', '/b']\n"), "S019", "catalog/sites/hpc.yaml:3:21"),
    ("site platform", file("catalog/sites/hpc.yaml", SITE.replace("amd64", "mips")), "S013",
     "catalog/sites/hpc.yaml:1:13"),
    ("site level", file("catalog/sites/hpc.yaml", SITE.replace("amd64", "amd64/zen33")), "S014",
     "catalog/sites/hpc.yaml:1:13"),
    ("site hook", file("catalog/sites/hpc.yaml", SITE + "hook: mpi.sh\n"), "S015",
     "catalog/sites/hpc.yaml:3:7"),
    ("site runtime module", file("catalog/sites/hpc.yaml",
                                 SITE + "runtimes: [plain]\nruntime_modules: {podman: x}\n"),
     "S016", "catalog/sites/hpc.yaml:4:27"),
    ("site default", file("catalog/sites/hpc.yaml", SITE + 'defaults: {tool: "9"}\n'), "S017",
     "catalog/sites/hpc.yaml:3:18"),
    ("site selector's sort", file("catalog/sites/hpc.yaml", SITE.replace("tool", "licens:MIT")),
     "S018", "catalog/sites/hpc.yaml:2:11"),
    ("site category", file("catalog/sites/hpc.yaml", SITE.replace("tool", "category:genomicz")),
     "S011", "catalog/sites/hpc.yaml:2:11"),
    ("site glob", file("catalog/sites/hpc.yaml", SITE.replace("tool", "'tol*'")),
     "S011", "catalog/sites/hpc.yaml:2:11"),
    ("site data", file("catalog/sites/hpc.yaml", SITE + "data: [blastdb]\n"),
     "S020", "catalog/sites/hpc.yaml:3:8"),
    ("site data label", file("catalog/sites/hpc.yaml", SITE + "data: ['label:x']\n"),
     "S020", "catalog/sites/hpc.yaml:3:8"),
    ("site runtime", file("catalog/sites/hpc.yaml", SITE + "runtimes: [docker]\n"), "S004",
     "catalog/sites/hpc.yaml:3:12"),
    ("advisories missing", file("catalog/advisories.yaml", "deb: catalog/none.json\n"), "V010",
     "catalog/advisories.yaml:1:6"),
    ("advisories outside", file("catalog/advisories.yaml", "deb: ../none.json\n"), "V011",
     "catalog/advisories.yaml:1:6"),
    ("catalog key", file("catalog/catalog.yaml", "slat: x\n"), "K001", "catalog/catalog.yaml:1:1"),
    ("catalog salt", file("catalog/catalog.yaml", "salt: [x]\n"), "K003",
     "catalog/catalog.yaml:1:7"),
    # settings
    ("settings key", file("ssds.yaml", "stroe: x\n"), "W001", "ssds.yaml:1:1"),
    ("settings type", file("ssds.yaml", "jobs: many\n"), "W003", "ssds.yaml:1:7"),
    ("settings jobs", file("ssds.yaml", "jobs: 0\n"), "W006", "ssds.yaml:1:7"),
    ("settings trusted", file("ssds.yaml", "sandbox: trusted\n"), "W010", "ssds.yaml:1:10"),
    ("settings mirror", file("ssds.yaml", "mirrors: {debian: gopher}\n"), "W012", "ssds.yaml:1:19"),
    ("settings image", file("ssds.yaml", "images: {ubuntu: 'oci:x'}\n"), "W017", "ssds.yaml:1:10"),
    ("settings image short", file("ssds.yaml", "images: {docker.io/ubuntu: 'oci:x'}\n"), "W017",
     "ssds.yaml:1:10"),
    ("settings images", file("ssds.yaml", "images: {docker.io: 'http://example.org/x'}\n"), "W018",
     "ssds.yaml:1:21"),
    ("cache trust", file("ssds.yaml", "cache: [{name: a, location: x}]\n"), "W002",
     "ssds.yaml:1:9"),
    ("cache place", file("ssds.yaml", "cache: [{name: a, location: 'ftp://x', trust: unsigned}]\n"),
     "W019", "ssds.yaml:1:29"),
    ("cache host", file("ssds.yaml", "cache: [{name: a, location: 'oci://x', trust: unsigned}]\n"),
     "W019", "ssds.yaml:1:29"),
    ("cache password",
     file("ssds.yaml", "cache: [{name: a, location: 'https://u:p@x', trust: unsigned}]\n"),
     "W016", "ssds.yaml:1:29"),
    ("cache twice",
     file("ssds.yaml", "cache: [{name: a, location: x, trust: unsigned}, "
          "{name: a, location: y, trust: unsigned}]\n"), "W021", "ssds.yaml:1:57"),
    ("trust sign", file("ssds.yaml", "trust: {sign: lab.key}\n"), "W022", "ssds.yaml:1:15"),
    ("trust key", file("ssds.yaml", "trust: {keys: {lab: no.pub}}\n"), "W023", "ssds.yaml:1:21"),
    ("settings bundle", file("ssds.yaml", "ca_bundle: none.pem\n"), "W013", "ssds.yaml:1:12"),
    ("settings platform", file("ssds.yaml", "platforms: [x]\n"), "W014", "ssds.yaml:1:13"),
    ("settings catalog", file("ssds.yaml", "catalog: ../x\n"), "W015", "ssds.yaml:1:10"),
    ("settings password", file("ssds.yaml", "proxy: 'http://a:b@example.org:3'\n"), "W016",
     "ssds.yaml:1:8"),
    # warnings
    ("address without sum", recipe(f', sha256: {"0a" * 32}', ""), "R016", RECIPE + ":10:18"),
    ("source unused", recipe("[archive]", "[]"), "R021", RECIPE + ":10:3"),
    ("test asserts nothing", recipe('    stdout: ["1.0"]\n', ""), "R043", RECIPE + ":18:5"),
    ("not NFC", recipe("A tool", "cafe\u0301"), "R056", RECIPE + ":3:1"),
    ("no tests", raw(GOOD[: GOOD.index("tests:")]), "R064", RECIPE + ":1:1"),
    ("folder without recipe", file("catalog/empty/x", ""), "R062", "catalog/empty"),
    ("insecure far away", file("catalog/channels.yaml", CHANNELS +
                               "r: {kind: registry, location: example.org/x, insecure: true}\n"),
     "C012", "catalog/channels.yaml:2:56"),
]  # fmt: skip


def fill(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, data in {**WORKSPACE, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_all(folder: Path) -> Collector:
    collector = Collector()
    environment = {"HOME": str(folder / "nobody"), "PATH": os.environ["PATH"]}
    read_settings(str(folder), environment, collector)
    read_catalog(str(folder), collector=collector)
    return collector


def test_the_good_workspace_has_no_problem(tmp_path: Path) -> None:
    fill(tmp_path, {})
    assert [d.render() for d in read_all(tmp_path)] == []


@pytest.mark.parametrize(
    ("files", "code", "place"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_bad_input_is_named_at_its_place(
    tmp_path: Path, files: Mapping[str, str | bytes], code: str, place: str
) -> None:
    fill(tmp_path, files)
    before = fingerprint(tmp_path)
    found = list(read_all(tmp_path))
    assert (code, place) in [(d.code, str(d.span)) for d in found], [
        (d.code, str(d.span), d.facts) for d in found
    ]
    assert {d.code for d in found} == {code}
    assert all(d.summary and d.hint for d in found)
    assert fingerprint(tmp_path) == before


def test_the_table_is_large_and_every_row_has_a_known_code() -> None:
    codes = {row[2] for row in ROWS}
    assert len(ROWS) >= 60
    assert len(codes) >= 45
    assert codes <= set(every_code())


def test_one_bad_recipe_hides_nothing_in_the_others(tmp_path: Path) -> None:
    fill(tmp_path, {RECIPE: "a: [", "catalog/other/recipe.yaml": OTHER.replace("MIT", "MITT")})
    assert {d.code for d in read_all(tmp_path)} == {"Y006", "R013"}


def test_all_problems_of_one_file_are_found_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("debian-12", "debian-13").replace("summary:", "extras: 1\nsummary:")
    text = text.replace("[MIT]", "[MITT]").replace("required", "needed").replace("[zlib1g]", "[A]")
    fill(tmp_path, {RECIPE: text})
    found = {d.code for d in read_all(tmp_path)}
    assert {"R001", "R004", "R012", "R013", "R030"} <= found


@pytest.mark.parametrize("special", ["pipe", "folder", "link out", "folder link out"])
def test_special_files_are_refused_without_waiting(tmp_path: Path, special: str) -> None:
    fill(tmp_path, {})
    path = tmp_path / RECIPE
    path.unlink()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "recipe.yaml").write_text(GOOD)
    if special == "pipe":
        os.mkfifo(path)
    elif special == "folder":
        path.mkdir()
    elif special == "link out":
        path.symlink_to(outside / "recipe.yaml")
    else:
        for item in sorted((tmp_path / "catalog/tool").rglob("*"), reverse=True):
            item.unlink() if item.is_file() else item.rmdir()
        (tmp_path / "catalog/tool").rmdir()
        (tmp_path / "catalog/tool").symlink_to(outside)
    assert {d.code for d in read_all(tmp_path)} & {"Y001", "R072"}


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SSDS_JOBS", "-1"),
        ("SSDS_SANDBOX", "none"),
        ("SSDS_STORE", "relative"),
        ("SSDS_PLATFORMS", "linux/vax"),
        ("SSDS_MIRROR_DEBIAN", "x"),
        ("SSDS_CA_BUNDLE", "/no/such"),
        ("SSDS_PROXY", "x"),
    ],
)
def test_a_wrong_environment_variable_is_named(tmp_path: Path, variable: str, text: str) -> None:
    collector = Collector()
    read_settings(str(tmp_path), {"HOME": str(tmp_path), variable: text}, collector)
    assert [(d.code, d.address) for d in collector] == [("W011", variable)]


def test_a_missing_catalog_is_one_clear_error(tmp_path: Path) -> None:
    assert [d.code for d in read_all(tmp_path)] == ["K010"]


LONG = "x" * 8000
PRODUCTS = "(v|replace('x', 'yx')).strip(v|replace('x', 'zx'))"
TOO_MUCH = {
    "long texts for each of many targets": (
        f"variables: {{v: '{LONG}'",
        "".join(f"  - run: 'echo {n} {{{{ v }}}}'\n" for n in range(490)),
    ),
    "searches for long texts in long texts": (
        f"variables: {{v: '{LONG}'",
        f'  - run: "{{{{ {PRODUCTS} }}}}"\n',
    ),
}


@pytest.mark.parametrize("case", sorted(TOO_MUCH))
def test_a_recipe_that_is_much_work_is_refused_at_a_line(case: str, tmp_path: Path) -> None:
    variables, steps = TOO_MUCH[case]
    versions = "".join(f"  '{n}': {{}}\n" for n in range(90))
    recipe = GOOD.replace('version: "1.0"\n', "versions:\n" + versions, 1)
    recipe = recipe.replace("variables: {", variables + ", ").replace(
        "build:\n", "build:\n" + steps
    )
    fill(tmp_path, {RECIPE: recipe})
    found = [d for d in read_all(tmp_path) if d.code == "R123"]
    assert len(found) == 1
    assert found[0].span.line > 3
