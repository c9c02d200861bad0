"""``ssds new --from``: what indexes and archives say of themselves is filled in."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from e2e_workspace import Site, check_error
from package_archives import write_index

from ssds.recipe.starter import (
    facts_of_debian,
    facts_of_wheel,
    licence_of_text,
    newest_tag,
    version_of_tag,
)

MIT = (
    "Permission is hereby granted, free of charge, to any person …\n"
    "THE SOFTWARE IS PROVIDED WITHOUT WARRANTIES OF MERCHANTABILITY …\n"
)


def archive(folder: str, files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def text_of(site: Site, name: str) -> str:
    return (site.workspace / f"catalog/{name}/recipe.yaml").read_text()


@pytest.fixture
def upstream(plain: Site) -> Path:
    """A folder that stands for the forge's web server, by the settings' upstream map."""
    folder = plain.folder / "forge"
    folder.mkdir()
    plain.edit(
        "ssds.yaml",
        "jobs: 1\n",
        f"jobs: 1\nupstream: {{'https://github.com/': 'file://{folder}/'}}\n",
    )
    return folder


def put(upstream: Path, path: str, data: bytes) -> str:
    (upstream / path).parent.mkdir(parents=True)
    (upstream / path).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_a_release_archive_of_a_forge_brings_checksum_licence_and_way(
    plain: Site, upstream: Path
) -> None:
    data = archive("tool-1.2", {"CMakeLists.txt": "project(tool)\n", "LICENSE": MIT})
    digest = put(upstream, "someone/tool/archive/refs/tags/v1.2.tar.gz", data)
    ended = plain.good("new", "tool", "--from", "github:someone/tool@v1.2")
    assert "To fill in: summary;" in ended.err
    assert "compare it with what its makers publish" in ended.err
    text = text_of(plain, "tool")
    assert 'version: "1.2"' in text
    assert 'licenses: ["MIT"]' in text
    assert 'homepage: "https://github.com/someone/tool"' in text
    assert f'sha256: "{digest}"' in text
    assert "cmake --install out" in text
    assert "warning" not in plain.good("check", "--strict").text


def test_a_wheel_says_summary_licence_and_commands(plain: Site) -> None:
    told = {
        "neat-1.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: neat\nVersion: 1.0\n"
        "Summary: does {{ neat }} things\nLicense-Expression: BSD-3-Clause\n"
        "Project-URL: Homepage, https://example.org/neat\n",
        "neat-1.0.dist-info/entry_points.txt": "[console_scripts]\nneat = neat:main\n",
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as wheel:
        for name, text in told.items():
            wheel.writestr(name, text)
    wheels = {"neat-1.0-py3-none-any.whl": data.getvalue()}
    write_index(str(plain.folder / "simple"), {"neat": wheels})
    mirrors = f"mirrors: {{pypi: 'file://{plain.folder}/simple'}}\n"
    plain.edit("ssds.yaml", "jobs: 1\n", f"jobs: 1\n{mirrors}")
    ended = plain.good("new", "neat", "--from", "pip:neat")
    assert "To fill in" not in ended.err
    text = text_of(plain, "neat")
    assert 'pip: ["neat==1.0"]' in text
    assert "Does {{ '{{' }} neat }} things" in text
    assert 'commands: ["neat"]' in text
    assert 'licenses: ["BSD-3-Clause"]' in text
    assert 'homepage: "https://example.org/neat"' in text
    assert "warning" not in plain.good("check", "--strict").text


def test_conda_packages_and_templates_become_steps(plain: Site, upstream: Path) -> None:
    plain.good("new", "htop", "--from", "conda:htop=3.3")
    assert 'packages: ["htop=3.3"]' in text_of(plain, "htop")
    put(upstream, "jqlang/jq/releases/download/jq-1.7/jq-linux64", b"#!/bin/sh\n")
    plain.good("new", "jq", "--from", "neurodocker:jq@1.7")
    text = text_of(plain, "jq")
    assert "source: download" in text
    plain.good("new", "converter", "--from", "neurodocker:dcm2niix@v1.0.20250506")
    plain.good("new", "mpi", "--from", "hpccm:openmpi@4.1.6", "--command", "mpirun")
    assert '{openmpi: {version: "{{ version }}", toolchain: gnu}}' in text_of(plain, "mpi")
    plain.good("new", "fftw", "--from", "hpccm:fftw")
    plain.good("new", "zlib", "--from", "spack:zlib@1.3.1 +shared")
    assert 'version: "1.3.1"' in text_of(plain, "zlib")
    plain.good("new", "pigz", "--from", "easybuild:pigz-2.8-GCCcore-13.2.0.eb")
    assert 'version: "2.8"' in text_of(plain, "pigz")
    ended = plain.good("check", "--strict")
    assert "warning" not in ended.text
    assert "catalog/jq/" not in ended.text  # pinned, so there is nothing to note


WRONG = [
    (["--from", "npm:x"], "nothing that a recipe starts from"),
    (["--from", "apt:"], "what does thing start from?"),
    (["--from", "apt:a1", "--from", "pip:b"], "what does thing start from?"),
    (["--from", "github:one"], "is no repository"),
    (["--from", "github:a/b@x..y"], "is not a tag"),
    (["--from", "url:ftp://example.org/x-1.tar.gz"], "is not a web address"),
    (["--from", "conda:htop"], "which version of htop?"),
    (["--from", "neurodocker:jqq"], 'Did you mean "jq"?'),
    (["--from", "neurodocker:jq@0.1"], "has no version 0.1"),
    (["--from", "hpccm:openmp"], 'Did you mean "openmpi"?'),
    (["--from", "spack:zlib; reboot", "--version", "1"], "not a Spack spec"),
    (["--from", "easybuild:pigz", "--version", "1"], "an argument"),
    (["--from", "spack:zlib"], "Give --version"),
    ([], "what does thing start from?"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_wrong_origins_write_nothing(words: list[str], told: str, plain: Site) -> None:
    check_error(plain.run("new", "thing", *words), told)
    assert not (plain.workspace / "catalog/thing").exists()


def test_facts_are_read_with_care() -> None:
    shown = (
        "Package: seqtk\nVersion: 1.3-2\nHomepage: https://x.org/\nDescription-en: fast tool\n .\n"
    )
    facts = facts_of_debian(shown)
    assert (facts.version, facts.homepage, facts.summary) == ("1.3", "https://x.org/", "Fast tool")
    wheel = facts_of_wheel(
        "License: a long\n text\nClassifier: License :: OSI Approved :: MIT License", ""
    )
    assert wheel.license_ == "MIT"
    assert facts_of_wheel("Summary: \x1b[31mred\nHome-page: javascript:x", "").homepage == ""
    assert "\x1b" not in facts_of_wheel("Summary: \x1b[31mred", "").summary
    assert licence_of_text(MIT) == "MIT"
    assert licence_of_text("GNU General Public License") == ""  # which versions, it does not say
    assert newest_tag(["v1.9", "v1.10", "v2.0-rc1", "nightly"]) == "v1.10"
    assert [version_of_tag(t) for t in ("v1.4", "tool-2.0", "latest")] == ["1.4", "2.0", ""]
