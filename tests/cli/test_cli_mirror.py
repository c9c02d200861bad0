"""A lock still builds after its upstream has deleted a package, a wheel and a source."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from e2e_workspace import Ended, Site, assert_no_traceback, check_error
from package_archives import (
    Deb,
    Signer,
    end_signer,
    make_signer,
    wheel_bytes,
    write_archive,
    write_index,
)

from ssds.cli.resolving import lock_all
from ssds.core.digest import sha256_of
from ssds.workspace import Workspace

CODE = b"the source of a program\n"
WHEEL = "thing-1.0-py3-none-any.whl"
DEB = Deb(name="mytool", version="1-1", files={"./usr/share/mytool": b"hello\n"})
FILES = {"code.txt": CODE, WHEEL: wheel_bytes("thing", "1.0"), "mytool_1-1_amd64.deb": DEB.data}
BUILD = f"""\
sources:
  code: {{url: "https://example.org/code.txt", sha256: {sha256_of(CODE).hex}}}
  wheel: {{pypi: thing/1.0, file: {WHEEL}}}
build:
  - apt: [mytool]
  - copy: {{source: code, to: /opt/code.txt}}
  - copy: {{source: wheel, to: /opt/{WHEEL}}}
"""


class Upstream:
    """An archive, an index and a web site in a folder, and who signs the archive."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder, self.signer = folder, signer
        write_archive(str(folder / "debian"), [DEB], signer=signer)
        write_index(str(folder / "simple"), {"thing": {WHEEL: FILES[WHEEL]}})
        (folder / "web").mkdir()
        (folder / "web/code.txt").write_bytes(CODE)

    @property
    def environment(self) -> dict[str, str]:
        names = {"SSDS_MIRROR_DEBIAN": "debian", "SSDS_MIRROR_PYPI": "simple"}
        return {name: f"file://{self.folder}/{place}" for name, place in names.items()}

    def forget(self) -> None:
        """Deletes what is pinned, as mirrors do."""
        shutil.rmtree(self.folder / "debian/pool")
        shutil.rmtree(self.folder / "simple")
        shutil.rmtree(self.folder / "web")


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    signer = make_signer(str(tmp_path))
    yield Upstream(tmp_path / "upstream", signer)
    end_signer(signer)


@pytest.fixture
def locked(site: Site, upstream: Upstream) -> Site:
    """``tiny`` with a package, a wheel and a source, locked; its files are not in the store."""
    site.edit("catalog/tiny/recipe.yaml", "build:\n", BUILD)
    web = f"upstream: {{'https://example.org/': 'file://{upstream.folder}/web/'}}\n"
    (site.workspace / "ssds.yaml").write_text((site.workspace / "ssds.yaml").read_text() + web)
    site.environment |= upstream.environment
    _lock(site, upstream)
    return site


def _lock(site: Site, upstream: Upstream) -> None:
    """Locks as the command does, with the key of the test's own archive."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**site.environment, "SSDS_USER_SETTINGS": "/dev/null"}.items():
            patch.setenv(name, value)
        workspace = Workspace.open(str(site.workspace))
        mirrors = replace(workspace.mirrors, keyring=upstream.signer.keyring)
        workspace.__dict__["mirrors"] = mirrors
        try:
            assert lock_all(workspace, ("tiny",), ())
        finally:
            workspace.close()


def without_files(site: Site) -> None:
    """Takes the pinned files out of the store."""
    for data in FILES.values():
        site.blob(sha256_of(data)).unlink(missing_ok=True)


def built(ended: Ended) -> None:
    assert_no_traceback(ended)
    assert ended.code == 0, ended.text


@pytest.mark.component("apt")
@pytest.mark.component("sandbox")
def test_what_upstream_deleted_comes_from_the_store_or_the_blob_mirror(
    locked: Site, upstream: Upstream, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    locked.good("mirror", "push", "tiny", "--to", str(mirror))
    for data in FILES.values():
        assert (mirror / "blobs/sha256" / sha256_of(data).hex).read_bytes() == data
    again = locked.good("mirror", "push", "--to", str(mirror))
    assert again.out.startswith("0 files written, "), again.out
    upstream.forget()
    empty = locked.copy(tmp_path / "empty")
    without_files(empty)

    ended = empty.run("apply", "--yes", "tiny")
    check_error(ended, "F065", "3 pinned files cannot be had; what needs them fails:")
    assert ended.err.index("F065") < ended.err.index("FAILED ")
    for name, data in FILES.items():
        assert f"{name} ({sha256_of(data)}), for " in ended.err
    assert b'"release"' not in empty.locks()["tiny@1.0.lock.json"]

    built(locked.run("apply", "--yes", "tiny"))  # from the store
    built(empty.run("apply", "--yes", "tiny", SSDS_MIRROR_BLOBS=f"file://{mirror}"))
    assert empty.locks() == locked.locks()

    good = locked.good("mirror", "verify", "--from", str(mirror))
    count = len(list((mirror / "blobs/sha256").iterdir()))
    assert good.out == f"{count} of {count} files are there and whole: {mirror}\n"
    wrong = mirror / "blobs/sha256" / sha256_of(CODE).hex
    wrong.chmod(0o644)
    wrong.write_bytes(b"other bytes, with care\n\n")
    (mirror / "blobs/sha256" / sha256_of(FILES[WHEEL]).hex).unlink()
    bad = locked.run("mirror", "verify", SSDS_MIRROR_BLOBS=f"file://{mirror}")
    check_error(bad, "F044", "code.txt was answered with other bytes", f"{WHEEL} has left")
    assert bad.out.startswith(f"{count - 2} of {count} files are there and whole")


def test_a_mirror_must_be_named(plain: Site) -> None:
    check_error(plain.run("mirror", "push"), "E202")
    check_error(plain.run("mirror", "verify"), "E202")
    check_error(plain.run("mirror", "push", "--to", "https://mirror.example.org/x"), "E203")
