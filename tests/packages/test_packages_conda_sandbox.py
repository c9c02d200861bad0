"""A linked environment is installed in the sandbox: with byte code, scripts, and the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from conda_channel import PLACEHOLDER, Conda
from rootfs import EPOCH, base_folder, modes, scratch, shell, trees

from ssds.core.digest import sha256_of
from ssds.core.pins import PinnedFile, PinnedPackage
from ssds.host.sandbox import Bind
from ssds.oci.flatten import flatten
from ssds.packages.conda_install import PACKAGES, install_script, write_environment

pytestmark = pytest.mark.component("sandbox")
P = PLACEHOLDER.encode()
PREFIX = "/opt/env"
PYTHON = Conda(
    name="python",
    version="3.11.2",
    files={
        "bin/python3.11": b'#!/bin/sh\nexport PYTHONPATH=@/s\nexec python3 "$@"\n'.replace(
            b"@/s", P + b"/lib/python3.11/site-packages"
        )
    },
)
PURE = Conda(
    name="pure",
    subdir="noarch",
    python=True,
    depends=["python"],
    files={
        "site-packages/pure.py": b"def main():\n    print({'a', 'b'} == {'b', 'a'}, __cached__)\n",
        "site-packages/template.py": b"this is {{ no }} Python\n",
    },
    entry_points=["pure = pure:main"],
)
SCRIPT = (
    b'#!/bin/sh\necho "$PKG_NAME $PKG_VERSION $PKG_BUILDNUM" > "$PREFIX/post"\n'
    b'pure >> "$PREFIX/post"\necho read me > "$PREFIX/.messages.txt"\n'
)
POST = Conda(name="post", depends=["pure"], files={"bin/.post-post-link.sh": SCRIPT})


def installed(*packages: Conda, before: str = "") -> tuple[str, str, str]:
    """Installs; returns the layer's diffID, its tar and the output."""
    mode = modes()[0]
    folder = tempfile.mkdtemp(prefix="conda-", dir=scratch())
    out, unpacked = Path(folder, "out"), Path(folder, "unpacked")
    out.mkdir()
    unpacked.mkdir()
    Path(folder).chmod(0o755)
    pairs = []
    for package in packages:
        archive = Path(folder, package.file_name)
        archive.write_bytes(package.data())
        path = f"forge/{package.subdir}/{package.file_name}"
        digest = sha256_of(archive.read_bytes())
        file = PinnedFile(name=package.file_name, digest=digest, archive="conda", path=path)
        pin = PinnedPackage(
            name=package.name,
            version=package.version,
            architecture=package.subdir,
            build=package.build,
            file=file,
        )
        pairs.append((pin, str(archive)))
    staged = write_environment(str(out), str(unpacked), pairs, PREFIX)
    upper = trees(mode).new_upper()
    try:
        script = before + install_script(staged, PREFIX)
        binds = (Bind(source=str(out), target=PACKAGES),)
        result, output = shell(mode, script, upper=upper, binds=binds)
        if result.exit_code != 0:
            return "", "", output
        tar = f"{folder}/layer.tar"
        exported = trees(mode).export(upper, [base_folder(mode)], EPOCH, tar)
        return str(exported.diff_id), tar, output
    finally:
        trees(mode).discard(upper)


def test_python_packages_are_compiled_and_scripts_run_with_the_same_bytes_each_time():
    digest, tar, output = installed(PYTHON, PURE, POST)
    tree = flatten([tar])
    cached = f"{PREFIX}/lib/python3.11/site-packages/__pycache__/pure.cpython-311.pyc"
    assert "post-link script of post 1.0" in output
    assert "read me" in output
    assert tree.read("opt/env/post", 1000).decode() == f"post 1.0 0\nTrue {cached}\n"
    assert tree.read(cached.lstrip("/"), 10_000)[4:8] == b"\1\0\0\0"
    assert "opt/env/.messages.txt" not in tree.entries
    assert tree.get("opt/env/bin/pure").mode & 0o777 == 0o755
    assert {p.split("/")[0] for p in tree.entries if p} == {"opt"}
    assert installed(POST, PURE, PYTHON)[0] == digest


def test_an_environment_needs_an_empty_folder():
    digest, _, output = installed(PYTHON, before=f"mkdir -p {PREFIX}/x; ")
    assert not digest
    assert f"{PREFIX} is not empty" in output


def test_a_script_that_fails_ends_the_step():
    bad = Conda(name="bad", files={"bin/.bad-post-link.sh": b"#!/bin/sh\necho no >&2\nexit 3\n"})
    digest, _, output = installed(bad)
    assert not digest
    assert "no" in output
