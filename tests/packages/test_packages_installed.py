"""What an image says of itself: its system and its packages, whoever wrote the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci_makers import entry, link, write_tars

from ssds.core.errors import SsdsError
from ssds.oci.flatten import flatten
from ssds.packages.installed import installed_in, status_text, system_of

STATUS = """\
Package: aa
Status: install ok installed
Version: 1:1.0-1
Architecture: amd64
Depends: b (>= 1),
 c

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: Bad_Name
Status: install ok installed
Version: 1
Architecture: all

Package: held
Status: hold ok installed
Version: 2
Architecture: all
"""


def test_what_is_installed_is_listed_and_nothing_else() -> None:
    assert installed_in(STATUS) == [("aa", "1:1.0-1", "amd64"), ("held", "2", "all")]


def test_the_system_is_read_as_programs_in_the_image_would(tmp_path: Path) -> None:
    release = b'NAME="x"\nID=debian\nVERSION_CODENAME="bookworm"\n'
    layers = [
        [
            entry("usr/lib/os-release", content=release),
            link("etc/os-release", "../usr/lib/os-release"),
        ],
        [entry("var/lib/dpkg/status", content=STATUS.encode())],
    ]
    tree = flatten(write_tars(tmp_path, layers))
    assert system_of(tree) == "debian bookworm"
    assert status_text(tree) == STATUS


def test_an_image_without_these_files_says_nothing(tmp_path: Path) -> None:
    tree = flatten(write_tars(tmp_path, [[entry("etc/os-release", content=b"ID='a b'\n")]]))
    assert (system_of(tree), status_text(tree)) == ("", "")


@pytest.mark.parametrize("target", ["/proc/self/environ", "../../../../etc/passwd", "os-release"])
def test_a_link_out_of_the_image_leads_nowhere(target: str, tmp_path: Path) -> None:
    tree = flatten(write_tars(tmp_path, [[link("etc/os-release", target)]]))
    assert system_of(tree) == ""


@given(st.text(alphabet="Package:SttusVerionAch d12.\n\t #é", max_size=200))
def test_no_status_breaks_the_reader(text: str) -> None:
    try:
        for name, version, architecture in installed_in(text):
            assert " " not in name + version + architecture
    except SsdsError:
        pass
