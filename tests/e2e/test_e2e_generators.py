"""Steps of others' generators are built for real, from files that the test itself provides."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from e2e_workspace import Site
from git_server import commit, git, git_server
from thorough import THOROUGH

PROGRAM = "#!/bin/sh\necho jq-1.7 of the test\n"
SPACK = """\
#!/bin/sh
# A stand-in for Spack: it knows the commands of the step and installs a view.
set -eu
case "$*" in
    *install*)
        grep -q 'require: target=x86_64' spack.yaml
        mkdir -p /opt/spack/view/bin
        printf '#!/bin/sh\\necho from the view\\n' > /opt/spack/view/bin/viewed
        chmod 755 /opt/spack/view/bin/viewed
        echo '{}' > spack.lock ;;
esac
"""
RECIPE = """\
name: generated
version: "1.0"
summary: Built by steps of neurodocker, hpccm and Spack.
licenses: [MIT]
platforms: {linux/amd64: required}
base: debian-12
sources:
  program: {url: "https://downloads.example.org/jq/jq-linux64", sha256: "%s"}
  archive: {url: "https://downloads.example.org/jq/hpctool-1.0.tar.gz", sha256: "%s"}
build:
  - neurodocker: {template: jq, version: "1.7", source: program}
  - hpccm:
      blocks:
        - generic_build:
            source: archive
            directory: hpctool-1.0
            prefix: /usr/local
            install: ["install -D -m 755 hpctool /usr/local/bin/hpctool"]
            devel_environment: {HPCTOOL: "1"}
  - spack: {specs: [viewed], ref: "%s", git: "%s/spack", tools: [], libraries: [], network: false}
deploy: {commands: [jq, hpctool, viewed]}
tests:
  - {name: all three, run: "jq; hpctool; viewed; echo $HPCTOOL", stdout_equals: "%s"}
"""


def archive(folder: str, files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def serve(site: Site, files: dict[str, bytes]) -> list[str]:
    """Puts files where the settings look for upstream's; returns their digests."""
    folder = site.folder / "files" / "jq"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    upstream = f"upstream: {{'https://downloads.example.org/': 'file://{folder.parent}/'}}\n"
    site.edit("ssds.yaml", "jobs: 1\n", f"jobs: 1\n{upstream}")
    return [hashlib.sha256(data).hexdigest() for data in files.values()]


def a_spack(folder: Path) -> str:
    """Makes a repository with the stand-in; returns its commit."""
    (folder / "bin").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "bin" / "spack").write_text(SPACK)
    (folder / "bin" / "spack").chmod(0o755)
    return commit(folder)


def test_steps_of_neurodocker_hpccm_and_spack_build_from_declared_sources(site: Site) -> None:
    tool = archive("hpctool-1.0", {"hpctool": "#!/bin/sh\necho hpctool\n"})
    program, tarball = serve(site, {"jq-linux64": PROGRAM.encode(), "hpctool-1.0.tar.gz": tool})
    head = a_spack(site.folder / "git" / "spack")
    with git_server(site.folder / "git") as address:
        said = "jq-1.7 of the test\\nhpctool\\nfrom the view\\n1"
        text = RECIPE % (program, tarball, head, address, said)
        site.write("catalog/generated/recipe.yaml", text)
        site.good("lock", "generated", timeout_s=300)
    assert "impure" not in site.good("plan", "generated").out
    site.good("apply", "--yes", "generated", timeout_s=300)
    assert site.plan("generated") == {}
    shown = site.good("render", "generated").out
    assert "file:///run/ssds/sources/program/jq-linux64" in shown
    assert "cp /run/ssds/sources/archive/hpctool-1.0.tar.gz /var/tmp/" in shown


EASYCONFIG = """\
easyblock = 'Tarball'
name = 'toy'
version = '1.0'
homepage = 'https://example.org'
description = 'a toy'
toolchain = SYSTEM
sources = ['toy-1.0.tar.gz']
checksums = ['%s']
sanity_check_paths = {'files': ['bin/toy'], 'dirs': []}
moduleclass = 'tools'
"""
EASY = """\
name: easy
version: "1.0"
summary: Built by EasyBuild.
licenses: [MIT]
platforms: {linux/amd64: required}
base: debian-12
sources:
  toy: {url: "https://downloads.example.org/jq/toy-1.0.tar.gz", sha256: "%s"}
build:
  - easybuild: {file: toy-1.0.eb, version: 5.4.1, sources: [toy], tools: [lmod, python3]}
deploy: {commands: [toy]}
tests:
  - {name: is found without a module, run: toy, stdout_equals: toy works}
"""


@pytest.mark.skipif(not THOROUGH, reason="it installs EasyBuild, Lmod and Python: SSDS_THOROUGH")
@pytest.mark.component("pip")
def test_an_easyconfig_is_built_by_easybuild_itself(site: Site) -> None:
    toy = archive("toy-1.0", {"bin/toy": "#!/bin/sh\necho toy works\n", "README": "a toy\n"})
    digest = serve(site, {"toy-1.0.tar.gz": toy})[0]
    site.write("catalog/easy/recipe.yaml", EASY % digest)
    site.write("catalog/easy/toy-1.0.eb", EASYCONFIG % digest)
    site.good("lock", "easy", timeout_s=300)
    site.good("apply", "--yes", "easy", timeout_s=300)
    assert site.plan("easy") == {}
