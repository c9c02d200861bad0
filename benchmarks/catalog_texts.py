"""The texts of a made catalog: recipes that look like real ones, local files, shared parts.

Everything follows from the recipe's number: the same number, the same bytes.
"""

from __future__ import annotations

PLATFORMS = ("linux/amd64", "linux/arm64")
BASE = "debian-12"
FAMILY = 10
"""So many recipes are made from one source archive."""

ADVISORIES_PATH = "catalog/advisories/debian-12.json"
ADVISORIES = """\
{"basis":{"Debian:12":"made for benchmarks"},"date":"2025-01-01","ecosystems":["Debian:12"],\
"name":"debian-12","provenance":{},"records":[]}
"""
SHARED = {
    "catalog/bases.yaml": f"""\
{BASE}:
  suite: bookworm
  components: [main]
  include: [ca-certificates]
  platforms: [{", ".join(PLATFORMS)}]
  advisories: debian-12
""",
    "catalog/policies.yaml": """\
default:
  description: Holds a release for critical findings, and when nobody has looked.
  fail_on: [critical]
  unscanned: fail
strict:
  description: For software that opens files of strangers; high findings hold it as well.
  fail_on: [critical, high]
  unscanned: fail
""",
    "catalog/advisories.yaml": f"debian-12: {ADVISORIES_PATH}\n",
    ADVISORIES_PATH: ADVISORIES,
    "ssds.yaml": "# Made by benchmarks/make_catalog.py.\ncatalog: catalog\nstore: {path: store}\n",
}
"""The files that all recipes share, by path below the workspace."""

_VERBS = ("sort", "align", "call", "merge", "fold", "segment", "register", "count", "denoise")
_THINGS = ("bam", "vcf", "nifti", "dicom", "reads", "spectra", "surface", "tract", "voxel", "graph")
_LICENCES = ("MIT", "GPL-3.0-only", "BSD-3-Clause", "Apache-2.0", "LGPL-2.1-or-later")
_TOPICS = ("0622", "0102", "3384", "3444", "0199", "3382", "0121")
_OPERATIONS = ("3802", "0227", "3695", "2238", "3198", "0491", "3434", "1812")
_CATEGORIES = ("genomics", "neuroimaging", "proteomics", "programming", "statistics")
_LIBRARIES = ("zlib1g", "libbz2-1.0", "liblzma5", "libcurl4", "libfftw3-double3", "libgsl27")
_TOOLS = ("gcc", "make", "libc6-dev", "zlib1g-dev", "cmake")
_FORMATS = ("SAM, BAM and CRAM", "NIfTI and MGH", "VCF and BCF", "DICOM and PAR/REC", "mzML")


def _pick(choices: tuple[str, ...], number: int, step: int = 1) -> str:
    return choices[number * step % len(choices)]


def name_of(number: int) -> str:
    """Returns the recipe's name."""
    return f"{_pick(_THINGS, number)}-{_pick(_VERBS, number, 7)}-{number:06d}"


def version_of(number: int) -> str:
    """Returns the recipe's version."""
    return f"{1 + number % 4}.{number % 20}.{number % 7}"


def base_of(number: int) -> str:
    """Returns the YAML value of ``base``: now and then another recipe, or a range of it."""
    if number % 100 == 13:
        major = 1 + (number - 2) % 4
        below = f'"{name_of(number - 2)}", version: ">={major},<{major + 1}"'
        return f"{{recipe: {below}}}"
    if number % 50 == 7:
        return f'{{recipe: "{name_of(number - 1)}", version: "{version_of(number - 1)}"}}'
    return BASE


def _waivers(number: int) -> str:
    if number % 40 != 5:
        return ""
    return f"""
  waivers:
    - id: CVE-2024-{1000 + number % 9000}
      package: zlib1g
      reason: The function in question is never called with data of strangers.
      owner: {_pick(_THINGS, number)} working group
      until: 2199-12-31"""


def recipe_text(number: int) -> str:
    """Returns ``recipe.yaml`` of about 2 KB."""
    name, version = name_of(number), version_of(number)
    family = number // FAMILY
    thing, verb = _pick(_THINGS, number), _pick(_VERBS, number, 7)
    formats = _pick(_FORMATS, number)
    return f"""\
name: {name}
version: "{version}"
summary: Programs that {verb} {thing} data, number {number} of a large catalog.
description: |
  {name} works on files in the {formats} formats. It can {verb} them one by one or in batches,
  keeps to a fixed amount of memory, and writes a report of what was done to each of its inputs.
  Results are the same on every machine, whatever the number of threads.
homepage: https://{name}.example.org/
licenses: [{_pick(_LICENCES, number)}]
citations:
  - doi: "10.1093/example/{number:06d}"
    title: "{name}: to {verb} {thing} data at scale"
  - doi: "10.1016/j.example.{2000 + number % 26}.{number:06d}"
    title: Twelve years of {thing} tools
identifiers: {{biotools: {thing}{verb}, rrid: SCR_{number:06d}}}
edam:
  topics: [topic_{_pick(_TOPICS, number)}, topic_{_pick(_TOPICS, number + 1)}]
  operations: [operation_{_pick(_OPERATIONS, number)}, operation_{_pick(_OPERATIONS, number + 3)}]
categories: [{_pick(_CATEGORIES, number)}]
maintainers:
  - {{name: {thing.title()} working group, github: {thing}-{verb}}}
platforms: {{linux/amd64: required, linux/arm64: required}}
base: {base_of(number)}
variables:
  prefix: "/opt/{{{{ name }}}}"
sources:
  # The archive holds the sources of the whole family of programs.
  archive:
    url: "https://example.org/{thing}/family-{family:05d}.tar.gz"
    sha256: "{archive_digest(number)}"
    unpack: true
build:
  - apt: [{_pick(_LIBRARIES, number)}, {_pick(_LIBRARIES, number + 1)}]
  - copy: {{local: settings.conf, to: "{{{{ prefix }}}}/etc/"}}
  - run:
      tools: [{_pick(_TOOLS, number)}, {_pick(_TOOLS, number + 1)}]
      sources: [archive]
      script: |
        cd /run/ssds/sources/archive/{thing}
        make -j 2 {verb} PREFIX={{{{ prefix }}}} LEVEL={number % 9}
        make install PREFIX={{{{ prefix }}}} DESTDIR=/
  - env: {{{thing.upper()}_HOME: "{{{{ prefix }}}}"}}
deploy:
  commands: [{name}]
tests:
  - name: says its version
    run: {name} --version
    stdout: ["{version}"]
  - name: finds what is in the example
    run: |
      {name} {verb} --threads 2 /opt/{name}/share/example > found.txt
      wc -l < found.txt
    stdout_equals: "{number % 977}"
    time_limit_s: 60
scan:
  policy: {"strict" if number % 3 == 0 else "default"}{_waivers(number)}
"""


def archive_bytes(number: int) -> bytes:
    """Returns the bytes that stand for the source archive of a recipe's family."""
    return f"family {number // FAMILY}\n".encode()


def archive_digest(number: int) -> str:
    """Returns the sha256 in hex of the family's archive."""
    import hashlib

    return hashlib.sha256(archive_bytes(number)).hexdigest()


def local_text(number: int) -> str:
    """Returns ``settings.conf``, the local file of about 260 bytes."""
    return f"""\
# Settings of {name_of(number)}, copied into the image by a build step.
threads = {1 + number % 16}
memory_mib = {512 * (1 + number % 8)}
precision = {"double" if number % 2 else "single"}
report = {name_of(number)}-report.txt
seed = {number * 2654435761 % 4294967296}
keep_temporary = false
colours = never
compression = {"zstd" if number % 3 else "gzip"}, level {number % 9}
on_error = stop
"""
