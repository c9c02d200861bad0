"""``hpccm``, ``spack`` and ``easybuild`` steps are written out while a recipe is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from generator_steps import problems, steps, target

from ssds.recipe.generators import easybuild
from ssds.recipe.generators.model import Request
from ssds.recipe.steps import AptStep, CopyStep, EnvStep, FileStep, RunStep, Step

SOURCE = """
sources:
  archive: {url: "https://example.org/openmpi-4.1.6.tar.bz2", sha256: "%s"}
""" % ("0a" * 32)
MPI = """- hpccm:
      blocks:
        - gnu: {fortran: false}
        - openmpi: {version: 4.1.6, cuda: false, infiniband: false, toolchain: gnu, source: archive}
"""


def run_of(found: tuple[Step, ...]) -> RunStep:
    return [step for step in found if isinstance(step, RunStep)][-1]


def test_building_blocks_become_packages_scripts_and_variables(tmp_path: Path) -> None:
    compilers, needs, run, env = steps(tmp_path, MPI, SOURCE)
    assert isinstance(compilers, AptStep)
    assert compilers.packages == ("g++", "gcc")
    assert isinstance(needs, AptStep)
    assert "libnuma-dev" in needs.packages
    assert isinstance(run, RunStep)
    lines = run.script.splitlines()
    assert "cp /run/ssds/sources/archive/openmpi-4.1.6.tar.bz2 /var/tmp/" in run.script
    assert "CC=gcc CXX=g++ ./configure --prefix=/usr/local/openmpi" in run.script
    assert "--without-cuda --without-verbs" in run.script
    assert lines[-1].startswith("rm -rf /var/tmp/openmpi-4.1.6")
    assert (run.sources, run.network) == (("archive",), False)
    assert isinstance(env, EnvStep)
    assert env.expand
    assert env.values["PATH"] == "/usr/local/openmpi/bin:$PATH"


def test_without_a_source_a_block_fetches_and_is_impure(tmp_path: Path) -> None:
    assert run_of(steps(tmp_path, "- hpccm: {blocks: [{fftw: {version: 3.3.10}}]}")).network


def test_the_processor_is_the_platforms_and_not_this_machines(tmp_path: Path) -> None:
    own = "- hpccm: {blocks: [{cmake: {version: 3.28.1, eula: true}}]}"
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        assert machine in run_of(steps(tmp_path / machine, own, platform=platform)).script


WRONG_BLOCKS = [
    ("{openmp: {}}", "R111", 'Did you mean "openmpi"?'),
    ("{openmpi: {verson: '4'}}", "R114", 'Did you mean "version"?'),
    ("{openmpi: {prefix: '/opt/$(id)'}}", "R116", "$(id)"),
    ("{openmpi: {configure_opts: ['--x; reboot']}}", "R116", "reboot"),
    ("{generic_build: {repository: x, verify: true}}", "R114", "verify"),
    ("{openmpi: {toolchain: gnu}}", "R111", "toolchain of"),
    ("{openmpi: {source: archiv}}", "R020", 'Did you mean "archive"?'),
    ("{gnu: {source: archive}}", "R114", "source"),
    ("{julia: {source: archive}}", "R114", "source"),
    ("{scif: {}}", "R111", ""),
    ("{intel_mpi: {}}", "R117", "EULA"),
    ("{openmpi: {}, gnu: {}}", "R006", ""),
]


@pytest.mark.parametrize(("block", "code", "told"), WRONG_BLOCKS)
def test_a_wrong_block_is_told_at_its_place(
    block: str, code: str, told: str, tmp_path: Path
) -> None:
    found = problems(tmp_path, f"- hpccm: {{blocks: [{block}]}}", SOURCE)
    assert [d.code for d in found if d.code != "R021"] == [code]
    assert told in str(found[0])
    assert found[0].span.line == 13


def test_expanding_leaves_no_trace_in_the_process(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = ['tests']\n"
        "import logging\nfrom pathlib import Path; from generator_steps import steps\n"
        "own = '- hpccm: {blocks: [{gnu: {}}], distro: ubuntu24}'\n"
        f"steps(Path({str(tmp_path)!r}), own)\n"
        "import hpccm.config as c; print(c.g_linux_version, logging.root.handlers)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "16.4 []\n"
    assert done.stderr == ""


# -- spack --------------------------------------------------------------------------------------

SPACK = "- spack: {specs: ['zlib@1.3.1 +shared', 'samtools@1.19 ^htslib'], ref: v0.23.1}"


def test_specs_become_an_environment_file_and_steps_with_a_pinned_spack(tmp_path: Path) -> None:
    found = target(tmp_path, SPACK)
    libraries, file, run, env = found.steps
    assert isinstance(libraries, AptStep)
    assert isinstance(file, FileStep)
    described = yaml.safe_load(file.content)["spack"]
    assert described["specs"] == ["zlib@1.3.1 +shared", "samtools@1.19 ^htslib"]
    assert described["view"] == "/opt/spack/view"
    assert described["packages"]["all"]["require"] == "target=x86_64"
    assert isinstance(run, RunStep)
    assert "gcc" in run.tools
    assert run.network
    assert found.sources["spack"].ref == "v0.23.1"
    assert isinstance(env, EnvStep)
    assert env.values["PATH"] == "/opt/spack/view/bin:$PATH"


def test_the_target_of_spack_is_the_platforms(tmp_path: Path) -> None:
    file = steps(tmp_path, SPACK, platform="linux/arm64")[1]
    assert isinstance(file, FileStep)
    assert "require: target=aarch64\n" in file.content


WRONG = [
    ("spack: {specs: ['zlib; reboot'], ref: v1}", "R120", "reboot"),
    ("spack: {specs: ['zlib$(id)'], ref: v1}", "R120", ""),
    ("spack: {specs: ['-e /etc'], ref: v1}", "R120", ""),
    ('spack: {specs: ["a\\nb"], ref: v1}', "R120", ""),
    ("spack: {specs: [zlib], ref: 'v1..2'}", "R080", ""),
    ("spack: {specs: [zlib], ref: v1, git: 'http://example.org/s.git'}", "R015", ""),
    ("spack: {specs: [zlib], ref: v1, git: 'ext::sh -c id'}", "R017", ""),
    ("spack: {specs: [zlib], ref: v1, prefix: '/opt/a b'}", "R116", ""),
    ("spack: {specs: [zlib], ref: v1, prefix: /tmp/x}", "R116", ""),
    ("spack: {specs: [zlib], ref: v1, prefix: /opt/../etc}", "R116", ""),
    ("spack: {specs: [zlib], ref: v1, mirror: archiv}", "R020", 'mean "archive"'),
    ("spack: {specs: [zlib]}", "R002", "ref"),
    ("easybuild: {easyconfig: 'zlib;x.eb', version: 5.4.1}", "R116", ""),
    ("easybuild: {easyconfig: ../zlib.eb, version: 5.4.1}", "R116", ""),
    ("easybuild: {easyconfig: zlib-1.3.1.eb, version: '5; x'}", "R116", ""),
    ("easybuild: {easyconfig: zlib-1.3.1.eb, version: 5.4.1, sources: [archiv]}", "R020", ""),
    ("easybuild: {version: 5.4.1}", "R121", ""),
    ("easybuild: {file: missing.eb, version: 5.4.1}", "R026", ""),
    ("easybuild: {file: recipe.yaml, version: 5.4.1}", "R116", ""),
]


@pytest.mark.parametrize(("own", "code", "told"), WRONG)
def test_a_wrong_word_is_told(own: str, code: str, told: str, tmp_path: Path) -> None:
    found = [d for d in problems(tmp_path, f"- {own}", SOURCE) if d.code != "R021"]
    assert [d.code for d in found] == [code]
    assert told in str(found[0])


def test_a_source_of_ones_own_may_not_have_the_name_of_one_that_a_step_brings(
    tmp_path: Path,
) -> None:
    own = SOURCE.replace("archive:", "spack:")
    assert [d.code for d in problems(tmp_path, SPACK, own)] == ["R119"]


# -- easybuild ----------------------------------------------------------------------------------


def test_an_easyconfig_becomes_steps_with_easybuild_of_one_version(tmp_path: Path) -> None:
    found = target(tmp_path, "- easybuild: {easyconfig: zlib-1.3.1.eb, version: 5.4.1}")
    run, env = found.steps
    assert isinstance(run, RunStep)
    assert "--tmpdir=/tmp \\\n    --optarch=GENERIC zlib-1.3.1.eb\n" in run.script
    assert run.network
    names = [f"easybuild-{part}-5.4.1" for part in ("framework", "easyblocks", "easyconfigs")]
    assert list(run.sources) == names == list(found.sources)
    assert {s.pypi for s in found.sources.values()} == {
        f"easybuild-{part}/5.4.1" for part in ("framework", "easyblocks", "easyconfigs")
    }
    assert isinstance(env, EnvStep)
    assert env.values["PATH"] == "/opt/easybuild/view/bin:$PATH"


@pytest.mark.parametrize(
    ("platform", "option"),
    [
        ("linux/amd64", "GENERIC"),
        ("linux/arm64", "GENERIC"),
        ("linux/amd64/v3", "'GCC:march=x86-64-v3 -mtune=generic'"),
    ],
)
def test_easybuild_compiles_for_the_platform_never_for_the_host(platform: str, option: str) -> None:
    value = {"easyconfig": "zlib-1.3.1.eb", "version": "5.4.1"}
    request = Request(value=value, platform=platform, sources={}, common={"address": "build[0]"})
    run = easybuild.expand(request).steps[0]
    assert isinstance(run, RunStep)
    assert f"--optarch={option} zlib" in run.script


def test_an_easyconfig_beside_the_recipe_is_copied_in(tmp_path: Path) -> None:
    (tmp_path / "catalog/tool").mkdir(parents=True)
    (tmp_path / "catalog/tool/toy-1.0.eb").write_text("name = 'toy'\n")
    own = "- easybuild: {file: toy-1.0.eb, version: 5.4.1, sources: [archive]}"
    copy, run, _ = steps(tmp_path, own, SOURCE)
    assert isinstance(copy, CopyStep)
    assert copy.to == "/opt/easybuild/easyconfigs/toy-1.0.eb"
    assert isinstance(run, RunStep)
    assert not run.network
    assert "ln -s /run/ssds/sources/archive/* /tmp/archives/" in run.script
