"""Signed deployments: a changed module, another site's record, another key are refused."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from data_makers import data_lock
from ship_makers import image, release, script, site, small_tar
from trust_makers import new_signer

from ssds.cli.app import Context
from ssds.cli.verb_verify import command
from ssds.core.errors import SsdsError
from ssds.oci.blobs import Blobs
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy
from ssds.trust.bundle import sign_bytes
from ssds.trust.report import Report
from ssds.verify.sites import NO_DATA, verify_site

LAB = new_signer()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tree with a signed site and one that is not."""
    folder = tmp_path_factory.mktemp("signed-site")
    os.chmod(folder, 0o755)
    blobs = Blobs(str(folder / "blobs"))
    tars = [small_tar({"bin/tool": script("tool"), "usr/bin/x": script("x")})]
    lock = release(blobs, image(blobs, tars, ["tool"], {"PATH": "/bin"}))
    tree = str(folder / "tree")
    seal = partial(sign_bytes, signer=LAB)
    deploy(site(runtimes=("plain",)), [lock], blobs, tree, seal=seal)
    deploy(site(name="plain", runtimes=("plain",)), [lock], blobs, tree)
    return tree


@pytest.fixture
def tree(deployed: str, tmp_path: Path) -> str:
    shutil.copytree(deployed, tmp_path / "tree", symlinks=True)
    os.chmod(tmp_path, 0o755)
    return str(tmp_path / "tree")


def verify(tree: str, name: str = "example") -> Report:
    return verify_site(f"{tree}/sites/{name}", (LAB.public,))


def test_a_signed_site_says_what_it_serves_and_what_is_not_covered(tree: str) -> None:
    report = verify(tree)
    assert report.good, report.wrong
    assert "  tool/1.0 r1" in report.proven
    assert any("a rollback is no forgery" in text for text in report.unproven)
    assert NO_DATA not in report.unproven
    assert check_tree(tree).problems == ()


def test_a_site_that_nobody_signed_or_another_key_is_refused(tree: str) -> None:
    assert "is not signed" in verify(tree, "plain").wrong[0]
    other = verify_site(f"{tree}/sites/example", (new_signer().public,))
    assert "none of the trusted keys" in other.wrong[0]


def test_a_changed_module_is_refused(tree: str) -> None:
    place = next(Path(tree, ".ssds").rglob("*.lua"))
    place.chmod(0o644)
    place.write_text(place.read_text() + "\n-- one line more\n")
    assert not verify(tree).good


def test_a_changed_record_and_the_record_of_another_site_are_refused(tree: str) -> None:
    home = Path(tree, ".ssds/sites")
    record = next(home.glob("example/*/deployment.json"))
    text = record.read_bytes()
    record.chmod(0o644)
    record.write_bytes(text.replace(b'"revision":1', b'"revision":2'))
    assert "changed after it was signed" in verify(tree).wrong[0]
    record.write_bytes(text)
    assert verify(tree).good
    shutil.rmtree(home / "plain")
    shutil.copytree(home / "example", home / "plain", symlinks=True)
    assert "the record is that of the site example" in verify(tree, "plain").wrong


def test_a_site_with_reference_data_says_that_its_bytes_are_not_read(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    blobs, tree = Blobs(str(tmp_path / "blobs")), str(tmp_path / "tree")
    lock = release(blobs, image(blobs, [small_tar({"bin/tool": script("tool")})], ["tool"], {}))
    wanted = site(runtimes=("plain",), data=("words",))
    seal = partial(sign_bytes, signer=LAB)
    deploy(wanted, [lock], blobs, tree, seal=seal, data=[data_lock(blobs)])
    report = verify(tree)
    assert report.good, report.wrong
    assert NO_DATA in report.unproven


def test_a_bundle_for_a_site_is_refused(tree: str) -> None:
    arguments = [f"{tree}/sites/example", "--bundle", "x", "--key", f"{tree}/lab.pub"]
    Path(tree, "lab.pub").write_bytes(LAB.public.pem)
    done = CliRunner().invoke(command, arguments, obj=Context(folder=tree), standalone_mode=False)
    assert isinstance(done.exception, SsdsError)
    assert done.exception.code == "E247"


@pytest.mark.parametrize("path", ["", "sites", "sites/none", ".ssds"])
def test_what_is_no_site_is_refused(path: str, tree: str) -> None:
    with pytest.raises(SsdsError) as refused:
        verify_site(os.path.join(tree, path), (LAB.public,))
    assert refused.value.code == "E264"
