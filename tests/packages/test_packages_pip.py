from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from package_archives import wheel_bytes, write_index

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors, machine_mirrors
from ssds.packages import pip

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
PIP = "pip-24.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path):
    """A local index with a few wheels."""
    folder = tmp_path / "simple"

    def publish(files: dict[str, dict[str, bytes]]) -> Mirrors:
        shutil.rmtree(folder, ignore_errors=True)
        write_index(str(folder), {"pip": {PIP: wheel_bytes("pip", "24.0")}, **files})
        return Mirrors(own_pypi=(f"file://{folder}",))

    return publish


def wheel(name: str, version: str, requires=(), tag: str = "py3-none-any") -> dict[str, bytes]:
    return {f"{name}-{version}-{tag}.whl": wheel_bytes(name, version, requires)}


def test_a_requirement_becomes_the_exact_set_and_brings_its_pip(index):
    mirrors = index(
        {
            "thing": {**wheel("thing", "1.0", ["Helper_Lib>=2"]), **wheel("thing", "2.0")},
            "helper-lib": wheel("helper_lib", "2.1"),
        }
    )
    found = pip.resolve(["thing<2"], AMD64, "3.11", mirrors)
    assert [(p.name, p.version, p.architecture) for p in found.packages] == [
        ("helper-lib", "2.1", "any"),
        ("pip", "24.0", pip.TOOL),
        ("thing", "1.0", "any"),
    ]
    file = found.packages[0].file
    data = wheel_bytes("helper_lib", "2.1")
    assert (file.archive, file.path) == ("pypi", "helper-lib/helper_lib-2.1-py3-none-any.whl")
    assert (file.digest, file.size_bytes) == (sha256_of(data), len(data))
    assert found == pip.resolve(["thing<2"], AMD64, "3.11", mirrors)


def test_markers_are_those_of_the_image_and_not_of_this_machine(index):
    requires = [
        "on-arm; platform_machine == 'aarch64'",
        "on-intel; platform_machine == 'x86_64'",
        "old-python; python_full_version < '3.11.3'",
    ]
    mirrors = index(
        {
            "thing": wheel("thing", "1.0", requires),
            "on-arm": wheel("on_arm", "1"),
            "on-intel": wheel("on_intel", "1"),
            "old-python": wheel("old_python", "1"),
        }
    )

    def names(platform: Platform, python: str) -> set[str]:
        found = pip.resolve(["thing"], platform, python, mirrors)
        return {p.name for p in found.packages} - {"pip", "thing"}

    assert names(ARM64, "3.11.2") == {"on-arm", "old-python"}
    assert names(AMD64, "3.11.9") == {"on-intel"}


def test_the_wheel_of_the_platform_is_chosen(index):
    mirrors = index(
        {
            "thing": {
                **wheel("thing", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64"),
                **wheel("thing", "1.0", tag="cp311-cp311-manylinux_2_17_aarch64"),
                **wheel("thing", "1.0", tag="cp312-cp312-manylinux_2_17_x86_64"),
            },
            "stable": wheel("stable", "1.0", tag="cp38-abi3-manylinux2014_x86_64"),
            "modern": wheel("modern", "1.0", tag="cp311-cp311-manylinux_2_38_x86_64"),
        }
    )
    arm = pip.resolve(["thing"], ARM64, "3.11", mirrors).packages[-1]
    assert arm.architecture == "manylinux_2_17_aarch64"
    assert pip.resolve(["stable"], AMD64, "3.11", mirrors)
    with pytest.raises(UnavailableError):
        pip.resolve(["modern"], AMD64, "3.11", mirrors)
    assert pip.resolve(["modern"], AMD64, "3.11", mirrors, glibc=(2, 38))


def test_pip_itself_is_installed_when_something_asks_for_it(index):
    mirrors = index({"needs": wheel("needs", "1", ["pip>=20"])})
    for asked in (["pip"], ["needs"]):
        found = pip.resolve(asked, AMD64, "3.11", mirrors)
        assert {p.name: p.architecture for p in found.packages}["pip"] == "any"


def test_a_missing_version_shows_the_known_ones(index):
    mirrors = index({"thing": {**wheel("thing", "1.0"), **wheel("thing", "2.0")}})
    with pytest.raises(UnavailableError, match=r"thing==9.*1\.0, 2\.0"):
        pip.resolve(["thing==9"], AMD64, "3.11", mirrors)


def test_requirements_that_do_not_go_together_are_explained(index):
    mirrors = index(
        {
            "one": wheel("one", "1", ["shared==1"]),
            "two": wheel("two", "1", ["shared==2"]),
            "shared": {**wheel("shared", "1"), **wheel("shared", "2")},
        }
    )
    with pytest.raises(UnavailableError, match="shared==1"):
        pip.resolve(["one", "two"], AMD64, "3.11", mirrors)


def test_source_archives_are_never_built(index, tmp_path):
    mirrors = index({"thing": {"thing-1.0.tar.gz": b"no wheel"}})
    with pytest.raises(UnavailableError, match="no wheel of thing"):
        pip.resolve(["thing"], AMD64, "3.11", mirrors)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-r file",
        "--index-url=x",
        "a @ https://example.org/a.whl",
        "a b",
        "../a",
        "a; import",
        ".",
    ],
)
def test_what_is_no_requirement_never_reaches_pip(text):
    with pytest.raises(InvalidValue):
        pip.resolve([text], AMD64, "3.11", Mirrors())


@pytest.mark.parametrize("python", ["", "2.7", "3", "3.11; x"])
def test_an_image_without_python_is_refused(python):
    with pytest.raises(UnavailableError) as caught:
        pip.resolve(["a"], AMD64, python, Mirrors())
    assert "python3" in caught.value.hint


def test_the_users_pip_settings_play_no_part(index, monkeypatch):
    mirrors = index({"thing": wheel("thing", "1.0")})
    monkeypatch.setenv("PIP_INDEX_URL", "http://example.invalid/simple")
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    assert pip.resolve(["thing"], AMD64, "3.11", mirrors).packages


def test_the_wheel_folder_names_each_hash_and_not_the_tool(index, tmp_path):
    mirrors = index({"thing": wheel("thing", "1.0")})
    found = pip.resolve(["thing"], AMD64, "3.11", mirrors)
    blob = tmp_path / "blob"
    blob.write_bytes(b"x")
    folder = tmp_path / "wheels"
    folder.mkdir()
    pip.write_wheel_folder(str(folder), [(p, str(blob)) for p in found.packages])
    thing = found.packages[-1]
    text = (folder / "requirements.txt").read_text()
    assert text == f"thing==1.0 --hash={thing.file.digest}\n"
    assert sorted(os.listdir(folder)) == [PIP, "requirements.txt", "thing-1.0-py3-none-any.whl"]
    assert PIP in pip.install_script(found.packages)


def test_a_set_without_pip_is_refused():
    with pytest.raises(IntegrityError):
        pip.install_script([])


@pytest.mark.component("pip")
def test_the_real_index_answers_for_both_architectures(tmp_path):
    mirrors = machine_mirrors()
    for platform in (AMD64, ARM64):
        found = pip.resolve(["numpy<2"], platform, "3.11", mirrors)
        numpy = next(p for p in found.packages if p.name == "numpy")
        assert platform.machine in numpy.architecture
        assert numpy.file.size_bytes > 1_000_000
        assert "://" not in numpy.file.path


@pytest.mark.component("pip")
def test_the_pinned_pip_runs_from_its_wheel(tmp_path):
    from ssds.store.fetch import fetch_files
    from ssds.store.store import Store

    mirrors = machine_mirrors()
    found = pip.resolve(["six"], AMD64, "3.11", mirrors)
    store = Store(str(tmp_path / "store"))
    paths = fetch_files(store, [p.file for p in found.packages], mirrors, lambda _: None)
    folder = tmp_path / "wheels"
    folder.mkdir()
    pip.write_wheel_folder(str(folder), [(p, paths[p.file.digest]) for p in found.packages])
    tool = next(p for p in found.packages if p.name == "pip")
    argv = [sys.executable, str(folder / tool.file.name / "pip"), "install", "--no-index", "-q"]
    argv += ["--find-links", str(folder), "--require-hashes", "--no-deps", "--target"]
    argv += [str(tmp_path / "site"), "-r", str(folder / "requirements.txt")]
    subprocess.run(argv, check=True, env={"PIP_CONFIG_FILE": "/dev/null", "PATH": "/usr/bin"})
    assert (tmp_path / "site" / "six.py").exists()
