"""What a site chooses: releases, platforms, names of modules, who has a command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from module_systems import shell_in
from ship_makers import AMD64, image, release, root_tar, run, script, site, small_tar

from ssds.core.errors import UnavailableError
from ssds.core.levels import features, vendor
from ssds.core.platform import Platform
from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs
from ssds.recipe.model import CvmfsClient
from ssds.ship.deploy import deploy, read_deployed
from ssds.ship.releases import look_with
from ssds.ship.selector import selector_text
from ssds.ship.sites import select

ZEN3, ZEN2, V4, V3 = (Platform(f"linux/amd64/{level}") for level in ("zen3", "zen2", "v4", "v3"))
ARM64, V1 = Platform("linux/arm64"), Platform("linux/arm64/neoverse_v1")
PATH = {"PATH": "/usr/bin:/bin"}


def small(
    blobs: Blobs,
    name: str,
    version: str = "1.0",
    commands: tuple[str, ...] = ("tool",),
    category: str = "Structural Imaging",
    licence: str = "MIT",
    **options: object,
) -> Lock:
    tar = small_tar({f"usr/bin/{c}": script(f"echo {name} {version} {c}") for c in commands})
    about = {"fields": {"categories": [category], "licenses": [licence], "summary": name}}
    made = image(blobs, [tar], commands, PATH)
    return release(blobs, made, name=name, version=version, about=about, **options)  # type: ignore[arg-type]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"))


def picked(blobs: Blobs, locks: list[Lock], **more: object) -> list[str]:
    found = select(site(**more), locks, look_with(blobs))
    return [str(pick.released.id) for pick in found.picks]


# -- which releases --------------------------------------------------------------------------------


def test_a_site_selects_by_glob_category_and_licence(blobs: Blobs) -> None:
    locks = [
        small(blobs, "fsl", category="imaging"),
        small(blobs, "fslview", category="viewers", licence="GPL-3.0-only"),
        small(blobs, "bwa", category="genomics", licence="MIT OR Apache-2.0"),
    ]
    assert picked(blobs, locks, include=("fsl*",)) == ["fsl@1.0", "fslview@1.0"]
    assert picked(blobs, locks, include=("category:genomics",)) == ["bwa@1.0"]
    assert picked(blobs, locks, include=("licence:MIT",)) == ["bwa@1.0", "fsl@1.0"]
    assert picked(blobs, locks, exclude=("licence:GPL-3.0-only", "bwa")) == ["fsl@1.0"]
    assert picked(blobs, locks, include=("label:gpu",)) == []


def test_nothing_is_selected_by_facts_that_are_not_here(blobs: Blobs, tmp_path: Path) -> None:
    locks = [small(blobs, "fsl")]
    empty = Blobs(str(tmp_path / "empty"))
    assert picked(empty, locks, include=("fsl",)) == ["fsl@1.0"]
    with pytest.raises(UnavailableError, match="not here") as caught:
        picked(empty, locks, exclude=("category:imaging",))
    assert caught.value.code == "D028"


# -- which platform --------------------------------------------------------------------------------


def cpuinfo(level: Platform, *without: str) -> str:
    """The text of /proc/cpuinfo on a machine of a level."""
    flags = sorted((features(level.architecture, level.variant) or frozenset()) - {*without})
    maker = vendor(level.architecture, level.variant)
    if level.architecture == "amd64":
        rows = [f"vendor_id\t: {maker or 'GenuineIntel'}", f"flags\t\t: fpu {' '.join(flags)} x"]
    else:
        rows = [f"Features\t: fp {' '.join(flags)} x", f"CPU implementer\t: {maker or '0x41'}"]
    return "processor\t: 0\n" + "\n".join(rows) + "\nbugs\t\t:\n\nprocessor\t: 1\n"


def choice(folder: Path, machine: str, offered: list[Platform], **env: str) -> str:
    (folder / "select").write_bytes(selector_text([*offered, AMD64, ARM64, V3]))
    (folder / "cpuinfo").write_text(machine)
    words = " ".join(platform.partition("/")[2] for platform in offered)
    text = f'ssds_cpuinfo=cpuinfo ssds_platforms="{words}"; . ./select; ssds_select; '
    done = run(["sh", "-ec", text + 'echo "$ssds_platform"'], cwd=str(folder), **env)
    return done.stdout.decode().strip() or done.stderr.decode()


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (ZEN3, "amd64/zen3"),
        (ZEN2, "amd64/v3"),
        (V4, "amd64/v3"),
        (Platform("linux/amd64/v2"), "amd64"),
        (Platform("linux/amd64/haswell"), "amd64/v3"),
        (V1, "arm64/neoverse_v1"),
        (Platform("linux/arm64/neoverse_n1"), "arm64"),
    ],
)
def test_the_machine_takes_the_first_platform_that_it_runs(
    tmp_path: Path, machine: Platform, expected: str
) -> None:
    offered = [ZEN3, V3, AMD64, V1, ARM64]
    assert choice(tmp_path, cpuinfo(machine), offered) == expected


def test_a_machine_that_hides_one_flag_takes_what_is_below(tmp_path: Path) -> None:
    offered = [ZEN3, V3, AMD64]
    assert choice(tmp_path, cpuinfo(ZEN3, "pku"), offered) == "amd64/v3"
    assert choice(tmp_path, cpuinfo(ZEN3).replace("AuthenticAMD", "Other"), offered) == "amd64/v3"
    assert choice(tmp_path, "", offered) == ""


def test_the_user_may_name_the_level(tmp_path: Path) -> None:
    offered, machine = [ZEN3, V3, AMD64], cpuinfo(ZEN3)
    assert choice(tmp_path, machine, offered, SSDS_ARCH="v3") == "amd64/v3"
    assert choice(tmp_path, machine, offered, SSDS_ARCH="linux/amd64/generic") == "amd64"
    assert choice(tmp_path, cpuinfo(ARM64), [V3, ARM64], SSDS_ARCH="v3") == "arm64"
    said = choice(tmp_path, machine, offered, SSDS_ARCH="zen9")
    assert said == "ssds: SSDS_ARCH is 'zen9'; this site has v3, zen3, generic\n"


@pytest.mark.component("shellcheck")
def test_shellcheck_has_nothing_to_say_of_a_selector(tmp_path: Path) -> None:
    (tmp_path / "select").write_bytes(selector_text([ZEN3, V3, V1, AMD64, ARM64]))
    done = run(["shellcheck", "-s", "sh", "-e", "SC2154,SC2034", str(tmp_path / "select")])
    assert done.stdout == b""


@pytest.mark.component("sandbox")
def test_a_wrapper_starts_the_image_of_its_machine(blobs: Blobs, tmp_path: Path) -> None:
    wanted = {AMD64: "generic", Platform("linux/amd64/v2"): "v2", V4: "v4", ARM64: "arm"}
    halves = {}
    for platform, word in wanted.items():
        tars = [root_tar(), small_tar({"usr/bin/tool": script(f"echo {word}")})]
        halves[platform] = image(blobs, tars, ["tool"], PATH, platform)
    lock = release(blobs, halves.pop(AMD64), others=halves)
    asked = site(platforms=(V4, Platform("linux/amd64/v2"), ARM64), runtimes=("plain",))
    tree = f"{tmp_path}/tree"
    report = deploy(asked, [lock], blobs, tree)
    assert report.images_written == 4
    assert len(read_deployed(tree, "example").entries[0].images) == 4
    tool = f"{tree}/sites/example/bin/tool"
    assert run([tool]).stdout in (b"v4\n", b"v2\n")
    assert run([tool], SSDS_ARCH="generic").stdout == b"generic\n"
    assert run([tool], SSDS_ARCH="v2").stdout == b"v2\n"
    done = run([tool], SSDS_ARCH="mips")
    assert done.returncode == 127
    assert b"this site has v2, v4, generic" in done.stderr


# -- who has a command -----------------------------------------------------------------------------


def owner(blobs: Blobs, tmp_path: Path, locks: list[Lock], **more: object) -> tuple[str, str]:
    report = deploy(site(**more), locks, blobs, f"{tmp_path}/tree")
    link = os.readlink(f"{tmp_path}/tree/sites/example/bin/tool")
    rule = report.collisions[0].rule if report.collisions else ""
    return link.split("/")[2], rule


def found(lock: Lock) -> Lock:
    """The lock as it is where nobody declared the commands."""
    from dataclasses import replace

    variant = lock.variants[""]
    section = variant.platforms[AMD64]
    assert section.release is not None
    half = replace(section.release, commands=(), found=section.release.commands)
    sections = {AMD64: replace(section, release=half)}
    return replace(lock, variants={"": replace(variant, platforms=sections)})


def test_of_two_releases_with_one_command_the_rule_says_who_has_it(
    blobs: Blobs, tmp_path: Path
) -> None:
    first, second = small(blobs, "a"), small(blobs, "b")
    assert owner(blobs, tmp_path, [second]) == ("b", "")
    assert owner(blobs, tmp_path, [first, second]) == ("a", "name")
    assert owner(blobs, tmp_path, [first, second], prefer=("b",)) == ("b", "prefer")
    assert owner(blobs, tmp_path, [found(first), second]) == ("b", "declared")
    assert owner(blobs, tmp_path, [found(first), second], prefer=("a",)) == ("b", "declared")


def test_the_commands_of_the_default_version_are_in_bin(blobs: Blobs, tmp_path: Path) -> None:
    locks = [small(blobs, "a", "1.9"), small(blobs, "a", "1.10", ("tool", "new"))]
    for more, version in (({}, "1.10-r1"), ({"defaults": {"a": "1.9"}}, "1.9-r1")):
        deploy(site(**more), locks, blobs, f"{tmp_path}/tree")
        link = os.readlink(f"{tmp_path}/tree/sites/example/bin/tool")
        assert link == f"../wrappers/a/{version}/bin/tool"
    assert os.listdir(f"{tmp_path}/tree/sites/example/bin") == ["tool"]


# -- files for clients of CVMFS --------------------------------------------------------------------


def test_what_a_client_preloads_are_real_folders_and_no_links(blobs: Blobs, tmp_path: Path) -> None:
    client = CvmfsClient(
        repository="software.example.org",
        servers=("http://s1.example.org/cvmfs", "http://s2.example.org/cvmfs/"),
        proxies=("http://proxy.example.org:3128",),
        cache_mib=20000,
    )
    tree = f"{tmp_path}/tree"
    deploy(site(cvmfs=client), [small(blobs, "a"), small(blobs, "b")], blobs, tree)
    folder = f"{tree}/sites/example/cvmfs"
    lines = Path(f"{folder}/preload.txt").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.endswith("/*")
        path = tree + line[:-2]
        assert os.path.isdir(path)
        assert os.path.realpath(path) == path
    assert Path(f"{folder}/shrinkwrap.spec").read_text().splitlines() == [*lines, "/sites/example"]
    assert Path(f"{folder}/client.conf").read_text() == (
        "# Save as /etc/cvmfs/config.d/software.example.org.local, then: cvmfs_config reload\n"
        "# and add software.example.org to CVMFS_REPOSITORIES in /etc/cvmfs/default.local.\n"
        'CVMFS_SERVER_URL="http://s1.example.org/cvmfs/@fqrn@;http://s2.example.org/cvmfs/@fqrn@"\n'
        'CVMFS_HTTP_PROXY="http://proxy.example.org:3128"\n'
        "CVMFS_QUOTA_LIMIT=20000\n"
    )


# -- names, in real module systems -----------------------------------------------------------------

SYSTEMS = [
    pytest.param("lmod", marks=pytest.mark.component("lmod")),
    pytest.param("tcl", marks=pytest.mark.component("environment-modules")),
]
NAMINGS: Mapping[str, tuple[str, str]] = {
    "flat": ("", ""),
    "category": ("", "structural-imaging/"),
    "hierarchy": ("module load structural-imaging;", ""),
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tree with a site for each naming, for both module systems."""
    folder = str(tmp_path_factory.mktemp("named-sites"))
    blobs = Blobs(f"{folder}/blobs")
    before = small(blobs, "tool", "1.9", ("tool", "helper"))
    locks = [before, small(blobs, "tool", "1.10", ("tool", "helper")), small(blobs, "secret", "1")]
    for naming in NAMINGS:
        asked = site(name=naming, naming=naming, modules="both", hidden=("secret",))
        deploy(asked, locks, blobs, f"{folder}/tree")
    again = small(blobs, "tool", "1.9", ("tool", "more"), before=before)
    deploy(
        site(name="flat", modules="both", hidden=("secret",)),
        [again, *locks[1:]],
        blobs,
        f"{folder}/tree",
    )
    return f"{folder}/tree/sites"


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("naming", list(NAMINGS))
def test_modules_load_by_name_version_and_revision(named: str, system: str, naming: str) -> None:
    opening, prefix = NAMINGS[naming]
    newest = "1.9-r2" if naming == "flat" else "1.9-r1"
    for name, expected in (
        ("tool", "1.10-r1"),
        ("tool/1.9", newest),
        ("tool/1.9-r1", "1.9-r1"),
        ("tool/1.10", "1.10-r1"),
        ("secret/1", ""),
    ):
        text = f"{opening} module load {prefix}{name}; command -v tool"
        done = shell_in(system, f"{named}/{naming}/modules", text)
        folder = f"tool/{expected}" if expected else "secret/1-r1"
        wanted = f"{named}/{naming}/wrappers/{folder}/bin/tool\n"
        assert done.stdout.decode() == wanted, done.stderr.decode()


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("naming", list(NAMINGS))
def test_hidden_modules_and_revisions_are_not_listed(named: str, system: str, naming: str) -> None:
    opening, prefix = NAMINGS[naming]
    text = f"{opening} module -t avail"
    done = shell_in(system, f"{named}/{naming}/modules", text)
    listed = re.findall(r"^\S+(?=\(default\)|$)", done.stderr.decode(), re.MULTILINE)
    names = {line.partition("(")[0] for line in listed}
    assert f"{prefix}tool/1.9" in names
    assert f"{prefix}tool/1.10" in names
    assert not [name for name in names if "-r" in name.rpartition("/")[2] or "secret" in name]


def test_no_module_or_wrapper_holds_the_path_of_its_tree(named: str) -> None:
    top = os.path.realpath(os.path.join(named, ".."))
    for folder, _, files in os.walk(os.path.join(top, ".ssds")):
        for name in files:
            if "/lmod/" not in f"{folder}/":
                data = Path(folder, name).read_bytes()
                assert top.encode() not in data
