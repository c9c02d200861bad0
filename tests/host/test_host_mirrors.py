from __future__ import annotations

import pytest

from ssds.core.errors import InvalidValue, UnavailableError
from ssds.host.mirrors import Mirrors, apt_archives, join, machine_mirrors, redacted

SOURCES = """\
Types: deb deb-src
# a remark inside
URIs: http://mirror.example.org/debian/ https://second.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm

Types: deb
URIs: https://foreign.example.org/linux/debian
Suites: bookworm
Components: stable
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""
LINES = """\
# deb http://commented.example.org/debian bookworm main
deb-src http://source.example.org/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/other.gpg] http://foreign.example.org/debian bookworm x
deb [arch=amd64,arm64] http://plain.example.org/debian bookworm main contrib
deb http://plain.example.org/debian-security bookworm-security main
deb cdrom:[Debian]/ bookworm main
deb http://third.example.org/tools stable main
"""


def test_both_forms_of_apts_sources_are_read(tmp_path):
    (tmp_path / "sources.list").write_text(LINES)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(SOURCES)
    found = apt_archives(str(tmp_path))
    assert found["debian"] == (
        "http://plain.example.org/debian",
        "http://mirror.example.org/debian",
        "https://second.example.org/debian",
    )
    assert found["debian-security"] == (
        "http://plain.example.org/debian-security",
        "http://mirror.example.org/debian-security",
    )
    assert found["suites"] == ("bookworm", "bookworm-updates")


def test_a_machine_without_apt_has_no_mirror_and_says_what_to_set(tmp_path):
    mirrors = machine_mirrors(pypi=["http://example.org/simple"], apt_folder=str(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        mirrors.archive("debian")
    assert "mirrors.debian" in caught.value.hint


def test_settings_come_before_the_machine(tmp_path):
    (tmp_path / "sources.list").write_text(LINES)
    mirrors = machine_mirrors(
        debian=["http://set.example.org/debian/"],
        pypi=["http://set.example.org/simple/"],
        apt_folder=str(tmp_path),
        environment={},
    )
    assert mirrors.debian == ("http://set.example.org/debian",)
    assert mirrors.debian_security == ("http://plain.example.org/debian-security",)
    assert mirrors.pypi == ("http://set.example.org/simple",)


def test_pips_own_configuration_is_read_by_pip(tmp_path):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://one.example.org/simple/\n")
    environment = {
        "PIP_CONFIG_FILE": str(config),
        "PIP_EXTRA_INDEX_URL": "http://two.example.org/simple file:///three",
        "HOME": str(tmp_path),
    }
    mirrors = machine_mirrors(apt_folder=str(tmp_path), environment=environment)
    assert mirrors.pypi[0] == "http://one.example.org/simple"
    assert set(mirrors.pypi[1:]) >= {"http://two.example.org/simple", "file:///three"}


def test_without_configuration_pips_built_in_index_is_used(tmp_path):
    environment = {"PIP_CONFIG_FILE": "/dev/null", "HOME": str(tmp_path)}
    mirrors = machine_mirrors(apt_folder=str(tmp_path), environment=environment)
    assert mirrors.pypi[0].startswith("https://")


@pytest.mark.parametrize(
    "path", ["", "/a", "../a", "a/../../b", "a//b", "a/./b", "a\nb", "a\\..\\b", "a/"]
)
def test_a_path_never_leaves_its_archive(path):
    with pytest.raises(InvalidValue):
        join("http://example.org/debian", path)


def test_a_path_is_escaped():
    url = join("http://example.org/debian/", "pool/main/g/g++/g++_1.0~rc#1 ?x_amd64.deb")
    assert url == "http://example.org/debian/pool/main/g/g++/g++_1.0~rc%231%20%3Fx_amd64.deb"


def test_credentials_are_not_shown():
    assert redacted("https://me:secret@example.org/x?y") == "https://***@example.org/x?y"
    assert redacted("https://example.org/x") == "https://example.org/x"


def test_prefixes_in_the_settings_are_tried_first():
    mirrors = Mirrors(url_prefixes={"https://example.org/": "http://near.example.org/copy/"})
    assert mirrors.rewritten("https://example.org/a/b") == (
        "http://near.example.org/copy/a/b",
        "https://example.org/a/b",
    )
    assert mirrors.rewritten("https://other.example.org/a") == ("https://other.example.org/a",)
