"""What all tests share: components are probed once; a missing one skips, or fails where required.

``SSDS_REQUIRE=registry,sandbox,…`` names the components whose absence is a failure (CI names all).
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import shutil
import subprocess

import pytest
from e2e_workspace import Site, make_warm, once
from hypothesis import HealthCheck, settings

os.environ.setdefault("SSDS_USER_SETTINGS", os.devnull)
# A busy machine makes no law untrue.
settings.register_profile("ssds", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ssds")


def _has(*programs: str) -> bool:
    return all(shutil.which(program) or os.path.exists(program) for program in programs)


@functools.cache
def _apt() -> bool:
    if not _has("apt-get", "mmdebstrap"):
        return False
    listed = subprocess.run(["apt-get", "indextargets"], capture_output=True, check=False)
    return b"Packages" in listed.stdout


@functools.cache
def _pip() -> bool:
    import sys

    asked = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", "/dev/null/x", "six"],
        capture_output=True,
        check=False,
    )
    return b"No matching distribution" not in asked.stderr


@functools.cache
def _sandbox() -> bool:
    import tempfile

    from ssds.host.probe import probe

    with tempfile.TemporaryDirectory() as folder:
        return bool(probe(folder).mode)


@functools.cache
def _apptainer() -> bool:
    from apptainer_box import available

    return available()


def _environment_modules() -> bool:
    from module_systems import modulecmd

    return bool(modulecmd()) and _has("tclsh")


TRIXIE = "/usr/local/lib/ssds-test/trixie/bin"
"""cosign and a skopeo that verifies: Debian 12 has neither (.ci/packages test)."""

COMPONENTS = {
    "apt": _apt,
    "pip": _pip,
    "sandbox": _sandbox,
    "registry": lambda: _has("docker-registry"),
    "skopeo": lambda: _has("skopeo"),
    "podman": lambda: _has("podman", "runc"),
    "docker": lambda: _has("dockerd", "runc") and os.geteuid() == 0,
    "buildah": lambda: _has("buildah", "runc", "setpriv"),
    "lmod": lambda: os.path.exists("/usr/share/lmod/lmod/libexec/lmod"),
    "environment-modules": _environment_modules,
    "slurm": lambda: _has("srun", "slurmctld", "slurmd", "munged") and os.geteuid() == 0,
    "desktop-file-validate": lambda: _has("desktop-file-validate"),
    "xvfb": lambda: _has("Xvfb", "xlogo", "xwd"),
    "shpc": lambda: importlib.util.find_spec("shpc") is not None,
    "shellcheck": lambda: _has("shellcheck"),
    "mmdebstrap": lambda: _has("mmdebstrap"),
    "dpkg": lambda: _has("dpkg"),
    "graphviz": lambda: _has("dot"),
    "syft": lambda: _has("syft"),
    "debsecan": lambda: _has("debsecan"),
    "vdb": lambda: importlib.util.find_spec("vdb") is not None,
    "rpm": lambda: _has("rpm", "rpmbuild"),
    "root": lambda: os.geteuid() == 0,
    "squashfs": lambda: _has("unsquashfs", "mksquashfs"),
    "apptainer": _apptainer,
    "cosign": lambda: _has(f"{TRIXIE}/cosign", f"{TRIXIE}/skopeo"),
    "binfmt": lambda: os.path.exists("/proc/sys/fs/binfmt_misc/qemu-aarch64"),
}


FIRST = "test_e2e_crashes.py"
"""Makes the warm start of tests/cli and tests/e2e while others do what needs none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != FIRST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What collecting has made stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = set(filter(None, os.environ.get("SSDS_REQUIRE", "").split(",")))
    for mark in item.iter_markers("component"):
        name = mark.args[0]
        if COMPONENTS[name]():
            continue
        if name in required:
            pytest.fail(f"the component {name} is required here (SSDS_REQUIRE) and missing")
        pytest.skip(f"the component {name} is not on this machine")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A store with a bootstrapped base and one release; all workers share it, none changes it."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    folder = base / "ssds-warm"
    with once(folder) as first:
        return make_warm(folder / "site") if first else Site(folder / "site")


@pytest.fixture(scope="session")
def warm_here(request: pytest.FixtureRequest) -> Site | None:
    """The same, or None on a machine that cannot make it."""
    able = all(COMPONENTS[name]() for name in ("apt", "sandbox", "mmdebstrap"))
    return request.getfixturevalue("warm") if able else None
