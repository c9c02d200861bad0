"""A base is made for real from the machine's own Debian mirror, in every mode the same bytes."""

from __future__ import annotations

import os
import tarfile
import tempfile

import pytest
from as_user import ordinary_user, reason_against, run_as
from package_archives import Deb

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import StepFailed, UnavailableError
from ssds.core.model import Node
from ssds.core.pins import BasePin, PackageSet, PinnedFile, PinnedPackage
from ssds.core.platform import Platform
from ssds.host.machine import native_platform
from ssds.host.mirrors import machine_mirrors
from ssds.host.probe import probe
from ssds.host.sandbox import Bind, Job, Sandbox, fixed_environment
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.base.resolve import resolve_base
from ssds.kinds.base.run import run, write_repository
from ssds.kinds.base.spec import node
from ssds.packages import apt, pip
from ssds.recipe.model import Base
from ssds.store.fetch import fetch_files
from ssds.store.store import Store

AMD64 = Platform("linux/amd64")


def package(deb: Deb) -> PinnedPackage:
    return PinnedPackage(
        name=deb.name,
        version=deb.version,
        architecture=deb.architecture,
        file=PinnedFile(
            name=os.path.basename(deb.pool_path),
            digest=sha256_of(deb.data),
            size_bytes=len(deb.data),
            archive="debian",
            path=deb.pool_path,
        ),
    )


def base_pin(*debs: Deb, diff_id: Digest | None = None) -> BasePin:
    packages = PackageSet(
        manager="apt",
        request=sha256_of(b"request"),
        packages=tuple(package(deb) for deb in debs),
        epoch=1584198566,
    )
    return BasePin(
        name="debian-12",
        date="20200314",
        request=packages.request,
        packages=packages,
        epoch=packages.epoch,
        diff_id=diff_id,
    )


BASE = Base(name="debian-12", suite="bookworm", platforms=(AMD64,))


def test_a_pinned_base_knows_its_layer_and_its_key_knows_no_place():
    pin = base_pin(Deb(name="basis"), diff_id=sha256_of(b"layer"))
    made = node(BASE, AMD64, pin)
    assert made.fixed == {"layer": sha256_of(b"layer")}
    assert str(made.id) == "debian-12:base/20200314"
    assert "pool/" not in str(made.slice)
    assert made.epoch == 1584198566
    assert node(BASE, AMD64, base_pin(Deb(name="basis"))).resolve({}).key == made.resolve({}).key


def test_another_package_is_another_key():
    one = node(BASE, AMD64, base_pin(Deb(name="basis"))).resolve({}).key
    other = node(BASE, AMD64, base_pin(Deb(name="basis", version="2"))).resolve({}).key
    assert one != other


def test_without_a_pin_the_base_is_not_locked():
    assert node(BASE, AMD64, None).unpinned == ("base debian-12",)


def test_the_repository_has_the_suite_by_which_essential_packages_are_found(tmp_path):
    deb = Deb(name="basis", fields={"Essential": "yes"})
    path = tmp_path / "blob"
    path.write_bytes(deb.data)
    folder = tmp_path / "repository"
    write_repository(str(folder), "bookworm", "amd64", [(package(deb), str(path))], 1584198566)
    index = (folder / "dists/bookworm/main/binary-amd64/Packages").read_text()
    assert "Essential: yes" in index
    release = (folder / "dists/bookworm/Release").read_text()
    assert sha256_of(index.encode()).hex in release
    assert "Sat, 14 Mar 2020 15:09:26 GMT" in release


def bench(tmp_path, made: Node, sandbox: Sandbox | None, log: bytearray, mirrors=None) -> Bench:
    folder = tmp_path / "bench"
    folder.mkdir()
    return Bench(
        action=made.resolve({}),
        store=Store(str(tmp_path / "store")),
        sandbox=sandbox,
        mirrors=mirrors or machine_mirrors(),
        folder=str(folder),
        workspace=str(tmp_path),
        say=lambda _: None,
        log=log.extend,
    )


def test_without_a_sandbox_nothing_is_bootstrapped(tmp_path):
    with pytest.raises(UnavailableError):
        run(bench(tmp_path, node(BASE, AMD64, base_pin(Deb(name="basis"))), None, bytearray()))


@pytest.mark.component("apt")
@pytest.mark.component("sandbox")
def test_a_system_without_its_essential_packages_is_refused(tmp_path):
    """mmdebstrap calls it a success; the count of packages does not."""
    deb = Deb(name="lonely", architecture=native_platform().debian)
    made = node(BASE, native_platform(), base_pin(deb))
    asked = bench(tmp_path, made, sandbox(tmp_path), bytearray())
    asked.store.blobs.put(deb.data)
    with pytest.raises(StepFailed):
        run(asked)


def sandbox(tmp_path) -> Sandbox:
    found = probe(str(tmp_path))
    return Sandbox(found.mode, str(tmp_path / "sandbox"))


def bootstrap(tmp_path) -> tuple[Outcome, BasePin, str]:
    """Makes the machine's own suite; returns outcome, pin and the layer's path."""
    mirrors = machine_mirrors()
    base = Base(name="debian", suite=mirrors.suites[0])
    pin = resolve_base(base, native_platform(), mirrors, str(tmp_path / "cache"))
    made = node(base, native_platform(), pin)
    asked = bench(tmp_path, made, sandbox(tmp_path), bytearray(), mirrors)
    outcome = run(asked)
    assert "root" not in os.listdir(asked.folder)
    return outcome, pin, asked.store.blobs.path(outcome.outputs["layer"])


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return bootstrap(tmp_path_factory.mktemp("system"))


@pytest.mark.slow
@pytest.mark.component("apt")
@pytest.mark.component("sandbox")
def test_a_base_holds_exactly_its_packages_and_nothing_of_this_machine(system):
    outcome, pin, path = system
    assert outcome.mode
    assert outcome.tools["mmdebstrap"]
    with tarfile.open(path) as layer:
        names = set(layer.getnames())
        absent = {"etc/hostname", "etc/resolv.conf", "proc", "dev", "var/log/bootstrap.log"}
        assert not names & absent
        assert layer.getmember("etc/apt/sources.list").size == 0
        assert not any(name.startswith("var/lib/apt/lists/") for name in names)
        assert not any(name.startswith("usr/share/man/man1/") for name in names)
        assert "usr/share/doc/apt/copyright" in names
        status = layer.extractfile("var/lib/dpkg/status").read().decode()
        assert max(member.mtime for member in layer) <= pin.epoch
    assert status.count("\nStatus: install ok installed\n") == len(pin.packages.packages)


@pytest.mark.slow
@pytest.mark.component("apt")
@pytest.mark.component("sandbox")
@pytest.mark.skipif(bool(reason_against()), reason=reason_against() or "-")
def test_an_ordinary_user_makes_the_same_base(system):
    code = (
        "import sys, os, pathlib; sys.path[:0] = ['tests', 'tests/kinds'];"
        "from test_base_bootstrap import bootstrap;"
        "print(bootstrap(pathlib.Path(os.environ['SSDS_TEST_FOLDER']))[0].outputs['layer'])"
    )
    with ordinary_user() as name:
        exit_code, output = run_as(name, ["-c", code])
    assert exit_code == 0, output[-3000:]
    assert output.splitlines()[-1] == system[0].outputs["layer"]


class Room:
    """Installs sets on the bootstrapped system, as a build does."""

    def __init__(self, folder: str, layer: str) -> None:
        self.folder = folder
        self.sandbox = Sandbox(probe(folder).mode, os.path.join(folder, "sandbox"))
        self.lowers = [os.path.join(folder, "base")]
        self.sandbox.call("ssds.oci.layers:unpack_layer", tar=layer, folder=self.lowers[0])
        self.store = Store(os.path.join(folder, "store"))

    def fetched(self, found: PackageSet) -> list[tuple[PinnedPackage, str]]:
        files = [p.file for p in found.packages]
        paths = fetch_files(self.store, files, machine_mirrors(), lambda _: None)
        return [(p, paths[p.file.digest]) for p in found.packages]

    def run(self, script: str, packages: str = "", *, keep: bool = False) -> tuple[int, str, str]:
        """Runs a script; returns exit code, output and the folder of changes."""
        upper = tempfile.mkdtemp(dir=self.folder)
        os.chmod(upper, 0o755)
        log = bytearray()
        result = self.sandbox.run(
            Job(
                lowers=tuple(self.lowers),
                argv=("/bin/sh", "-eu", "-c", script),
                environment=fixed_environment(1584198566),
                binds=(Bind(source=packages, target="/run/ssds/packages"),) if packages else (),
                upper=upper,
                log=log.extend,
            )
        )
        if keep:
            self.lowers.append(upper)
        return result.exit_code, log.decode(), upper

    def layer(self, upper: str) -> str:
        exported = self.sandbox.call(
            "ssds.oci.layers:export_layer",
            upper=upper,
            lowers=self.lowers,
            epoch=1584198566,
            out=os.path.join(self.folder, "out.tar"),
        )
        return str(exported["diff_id"])


@pytest.mark.slow
@pytest.mark.component("apt")
@pytest.mark.component("pip")
@pytest.mark.component("sandbox")
def test_sets_are_installed_offline_to_the_same_bytes_and_damage_is_refused(system, tmp_path):
    _, pin, layer = system
    room = Room(str(tmp_path), layer)
    platform, mirrors = native_platform(), machine_mirrors()
    request = apt.AptRequest(
        packages=("python3", "seqtk"),
        platform=platform,
        suite=mirrors.suites[0],
        installed=(pin.packages,),
    )
    found = apt.resolve(request, mirrors, str(tmp_path / "cache"))
    repository = tmp_path / "repository"
    repository.mkdir()
    apt.write_flat_repository(str(repository), room.fetched(found))
    script = apt.install_script(found.packages)

    results = [room.run(script, str(repository)) for _ in range(2)]
    assert [code for code, _, _ in results] == [0, 0], results[0][1][-2000:]
    assert room.layer(results[0][2]) == room.layer(results[1][2])
    room.lowers.append(results[0][2])
    assert not os.path.exists(f"{results[0][2]}/usr/sbin/policy-rc.d")
    assert room.run('seqtk 2>&1 | grep Version; dpkg --audit; test -z "$(ls -A /run)"')[0] == 0

    wheels = pip.resolve(["six", "packaging"], platform, "3.11", mirrors)
    folder = tmp_path / "wheels"
    folder.mkdir()
    pip.write_wheel_folder(str(folder), room.fetched(wheels))
    script = pip.install_script(wheels.packages)
    results = [room.run(script, str(folder)) for _ in range(2)]
    assert [code for code, _, _ in results] == [0, 0], results[0][1][-2000:]
    assert room.layer(results[0][2]) == room.layer(results[1][2])
    room.lowers.append(results[0][2])
    assert room.run("python3 -c 'import six, packaging'; ! python3 -c 'import pip' 2>&1")[0] == 0

    request = apt.AptRequest(
        packages=("bwa",),
        platform=platform,
        suite=mirrors.suites[0],
        installed=(pin.packages, found),
    )
    more = apt.resolve(request, mirrors, str(tmp_path / "cache"))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    apt.write_flat_repository(str(damaged), room.fetched(more))
    for name in os.listdir(damaged):
        if name.endswith(".deb"):
            data = (damaged / name).read_bytes()
            (damaged / name).unlink()
            (damaged / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    code, output, upper = room.run(apt.install_script(more.packages), str(damaged))
    assert code != 0
    assert "mismatch" in output
    assert not os.path.exists(f"{upper}/usr/bin")
    for name in os.listdir(tmp_path):
        if os.path.isdir(tmp_path / name) and name not in ("cache", "store", "sandbox"):
            room.sandbox.remove(str(tmp_path / name))
