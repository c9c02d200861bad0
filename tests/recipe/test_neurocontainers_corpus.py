"""The whole of NeuroDesk's recipes, beside their own builder; where a checkout is given.

``SSDS_NEUROCONTAINERS=FOLDER`` names it. Both sides' Dockerfiles are compared instruction by
instruction, after: continuation lines are folded and comments dropped, as a reader of Dockerfiles
does; white space is collapsed; references of images get their full form; the folder of mounted
files is called FILES on both sides, marks of clashing names there MARK; folders before the name of
what is copied go, as they are those of a build context; quotes inside of an ENV or WORKDIR word go,
as that reader takes them away. Their copies of README.md and build.yaml and their
``.reproenv.json`` are left out: ours has none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from neurocontainers_checkout import corpus, read

from ssds.oci.image_name import parse_image_name
from ssds.recipe.catalog import CatalogReading, read_catalog
from ssds.recipe.rules import RESERVED_TAG
from ssds.render.plain import is_plain, plain_dockerfile

pytestmark = pytest.mark.skipif(not corpus(), reason="SSDS_NEUROCONTAINERS names no checkout")

PLATFORMS = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
CONTINUED = re.compile(r"(?:^|[^\\])\\[ \t]*$")
THEIR_FILES = re.compile(r"/\.neurocontainer-cache(?:/h[0-9a-f]{8})?")
THEIR_MOUNT = re.compile(
    r"--mount=type=bind,from=neurocontainer-cache,source=/(h[0-9a-f]{8}),"
    r"target=/\.neurocontainer-cache/\1,readonly"
)
OUR_MOUNT = re.compile(
    r"--mount=type=bind,source=steps/[0-9]+/files,target=/run/ssds/files,readonly"
)


def folded(text: str) -> list[str]:
    found: list[str] = []
    waiting = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        waiting += line
        if CONTINUED.search(waiting):
            waiting = waiting[: waiting.rindex("\\")]
            continue
        found.append(waiting)
        waiting = ""
    return found


def normal(instruction: str) -> str:
    text = THEIR_MOUNT.sub("--mount=FILES", OUR_MOUNT.sub("--mount=FILES", instruction))
    text = THEIR_FILES.sub("FILES", text).replace("/run/ssds/files", "FILES")
    text = re.sub(r"(FILES/[^\s\"']*?)_[0-9a-f]{12}", r"\1_MARK", text)
    if text.startswith("FROM "):
        text = f"FROM {parse_image_name(text[5:])}"
    if text.startswith("COPY "):
        text = re.sub(r'^COPY \["[^"]*/', 'COPY ["', text)
    if text.startswith(("ENV ", "WORKDIR ")):
        text = text.replace('"', "")
    return " ".join(text.split())


def theirs(text: str) -> list[str]:
    found = [normal(line) for line in folded(text)]
    saved = next(i for i, line in enumerate(found) if line.endswith("> /.reproenv.json"))
    head, tail = found[:saved], found[saved + 1 :]
    if tail:  # it was saved as root
        head.pop()
    copies = max(i for i, line in enumerate(head) if line == 'COPY ["build.yaml", "/build.yaml"]')
    assert head[copies - 1] == 'COPY ["README.md", "/README.md"]'
    return head[: copies - 1] + head[copies + 1 :]


@pytest.fixture(scope="module")
def reading() -> CatalogReading:
    return read(Path(corpus()))


@pytest.fixture(scope="module")
def dockerfiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    program = Path(__file__).parent / "neurocontainers_theirs.py"
    home = str(tmp_path_factory.mktemp("home"))  # leftovers there change their names of files
    ran = subprocess.run(
        [sys.executable, program, corpus()],
        env={**os.environ, "HOME": home},
        check=True,
        capture_output=True,
    )
    found: dict[str, str] = json.loads(ran.stdout)["dockerfiles"]
    return found


def test_every_recipe_is_accepted(reading: CatalogReading) -> None:
    recipes = {path.parent.name for path in Path(corpus()).glob("recipes/*/build.yaml")}
    assert not reading.collector.failed, list(reading.collector)
    assert {name.name for name in reading.catalog.releases} == recipes


def test_every_target_has_the_instructions_of_their_builder(
    reading: CatalogReading, dockerfiles: dict[str, str]
) -> None:
    table: Counter[tuple[str, bool]] = Counter()
    wrong: list[str] = []
    targets = {
        (release.id.name, release.id.version, str(target.platform)): target
        for release in reading.catalog.releases.values()
        for target in release.targets.values()
    }
    for key, text in dockerfiles.items():
        name, version, architecture = key.split(" ")
        version += ".0" if RESERVED_TAG.fullmatch(version) else ""
        found = targets[name, version, PLATFORMS[architecture]]
        assert is_plain(found)
        ours = [normal(line) for line in folded(plain_dockerfile(found, found.base))]
        wanted = theirs(text)
        for index, line in enumerate(wanted):
            same = index < len(ours) and ours[index] == line
            table[line.split(" ")[0], same] += 1
            if not same:
                wrong.append(f"{key}:\n  theirs {line}\n  ours   {ours[index:][:1]}")
                break
        if len(ours) > len(wanted):
            wrong.append(f"{key}: more than theirs: {ours[len(wanted) :]}")
    rows = sorted({word for word, _ in table})
    print(f"\n{'instruction':12} {'equal':>7} {'other':>7}")
    for word in rows:
        print(f"{word:12} {table[word, True]:7} {table[word, False]:7}")
    print(f"{len(dockerfiles)} targets, {len(wrong)} with a difference")
    assert not wrong, "\n".join(wrong[:5])


def test_every_recipe_that_is_written_as_ours_gives_the_same_instructions(
    reading: CatalogReading, tmp_path: Path
) -> None:
    (tmp_path / "ssds.yaml").write_text("catalog: catalog\n")
    (tmp_path / "catalog").mkdir()
    command = [sys.executable, "-m", "ssds", "-C", str(tmp_path), "import", "neurocontainers"]
    ended = subprocess.run([*command, corpus()], capture_output=True, text=True, check=False)
    refused = re.findall(r"^error\[E010\]: (\S+): \S+ is not there$", ended.stderr, re.MULTILINE)
    after = read_catalog(str(tmp_path))
    assert not after.collector.failed, list(after.collector)
    wrong, same = [], 0
    for name, release in reading.catalog.releases.items():
        if name.name in refused:
            continue
        for platform, target in release.targets.items():
            moved = after.catalog.releases[name].targets[platform]
            texts = [
                [normal(line) for line in folded(plain_dockerfile(t, t.base))]
                for t in (target, moved)
            ]
            same += texts[0] == texts[1]
            wrong += [] if texts[0] == texts[1] else [f"{name} [{platform}]"]
            assert set(moved.deploy.paths) >= set(target.deploy.paths)
    print(f"{same} targets written as ours, {len(wrong)} with a difference, refused: {refused}")
    assert not wrong
    fields = {path.parent.name: path for path in Path(corpus()).glob("recipes/*/build.yaml")}
    for name in fields.keys() - {*refused}:
        kept = (tmp_path / "catalog" / name / "recipe.yaml").read_text()
        theirs_ = yaml.safe_load(fields[name].read_text())
        for key in theirs_.keys() - OURS.keys():
            assert f"    {key}:" in kept, f"{name}: {key}"
        for key in theirs_.keys() & OURS.keys():
            if theirs_[key] not in (None, "", [], {}) and OURS[key]:
                assert re.search(OURS[key], kept, re.MULTILINE), f"{name}: {key}"


OURS = {
    "name": "^name:", "version": "^versions?:", "architectures": "^platforms:",
    "build": "^build:", "files": "", "variables": "", "tests": "",
    "deploy": "^deploy:|DEPLOY_BINS: /",
    "readme": "^help:", "structured_readme": "^help:|^    structured_readme:",
    "categories": "^categories:", "icon": "^icon:|^    icon:",
    "gui_apps": "^gui:|^    gui_apps:", "apptainer_args": "^runtime:",
    "show_in_menu": "^menu:", "show_in_applist": "^menu:", "description": "^description:|^help:",
    "copyright": "^licenses:",
}  # fmt: skip
"""Their field → what stands for it in ours; the files and variables are those of the steps."""
