from __future__ import annotations

import gzip
import itertools
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from package_archives import Deb, ar_bytes, tar_bytes

from ssds.core.errors import IntegrityError, InvalidValue
from ssds.packages import debian

VERSIONS = [
    "0",
    "00",
    "0-0",
    "1",
    "1.0",
    "1.0-0",
    "1.0-1",
    "1.0~rc1-1",
    "1.0~~-1",
    "1.0+b1",
    "1.0a",
    "1.0-1+deb12u1",
    "1.0-1~bpo12+1",
    "1:0.1",
    "10:0",
    "2.36-9+deb12u14",
    "2.36-9",
    "2.4-10",
    "2.4-9",
    "1.2-3-4",
    "20200101",
    "1.0.",
    "1.0.1",
    "3.11.2-6+deb12u8",
]
alphabet = st.text("019.+~-ab", min_size=1, max_size=8).map(lambda text: "1" + text)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
def test_versions_sort_as_dpkg_sorts_them():
    script = "".join(
        f"dpkg --compare-versions '{a}' lt '{b}' && echo lt || "
        f"{{ dpkg --compare-versions '{a}' eq '{b}' && echo eq || echo gt; }}\n"
        for a, b in itertools.combinations(VERSIONS, 2)
    )
    told = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)
    ours = [
        {-1: "lt", 0: "eq", 1: "gt"}[debian.compare(a, b)]
        for a, b in itertools.combinations(VERSIONS, 2)
    ]
    assert ours == told.stdout.split()


@settings(max_examples=300)
@given(alphabet, alphabet, alphabet)
def test_the_order_of_versions_is_an_order(a, b, c):
    assert debian.compare(a, a) == 0
    assert debian.compare(a, b) == -debian.compare(b, a)
    low, middle, high = sorted((a, b, c), key=debian.version_key)
    assert debian.compare(low, high) <= 0
    assert debian.compare(low, middle) <= 0


@pytest.mark.parametrize("text", ["", "a b", "1\n", "é", "1" * 300, "x:1", "1;2"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(InvalidValue):
        debian.Version(text)


def test_the_parts_of_a_version():
    version = debian.Version("2:1.5-rc-1")
    assert (version.epoch, version.upstream, version.revision) == (2, "1.5-rc", "1")


fields = st.dictionaries(
    st.from_regex(r"[A-Z][a-z-]{0,10}", fullmatch=True),
    st.lists(st.text("abc .:#é", max_size=10).map(lambda t: t.strip() or "x"), min_size=1),
    min_size=1,
    max_size=5,
)


@given(fields)
def test_a_paragraph_survives_writing_and_reading(value):
    value = {name: "\n".join(lines) for name, lines in value.items()}
    assert debian.paragraph(debian.render(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "no colon here", " continuation first", "A: 1\nA: 2\n", "A: 1\n\nB: 2\n", "A b: 1"],
)
def test_what_is_no_paragraph_is_refused(text):
    with pytest.raises(IntegrityError):
        debian.paragraph(text)


def test_comments_and_continuations_are_read():
    text = "# remark\nPackage: x\nDescription: short\n long\n .\n more\n\n\nPackage: y\n"
    first, second = debian.paragraphs(text)
    assert first == {"Package": "x", "Description": "short\nlong\n.\nmore"}
    assert second == {"Package": "y"}


CHANGELOG = """\
tool (1.0-2) bookworm; urgency=high

  * Fix overflow (CVE-2024-0001, CVE-2024-0002).
    Closes: #1

 -- Nobody <nobody@example.org>  Sat, 14 Mar 2020 15:09:26 +0000

tool (1.0-1) unstable; urgency=low

  * Initial.

 -- Nobody <nobody@example.org>  Fri, 13 Mar 2020 15:09:26 +0000
"""


def test_control_file_and_changelog_are_read_out_of_a_deb(tmp_path):
    packed = gzip.compress(CHANGELOG.encode())
    deb = Deb(name="tool", files={"./usr/share/doc/tool/changelog.Debian.gz": packed})
    path = tmp_path / "tool.deb"
    path.write_bytes(deb.data)
    assert debian.paragraph(debian.control_text(str(path)))["Package"] == "tool"
    entries = list(debian.changelog_entries(debian.changelog_text(str(path))))
    assert [e.version for e in entries] == ["1.0-2", "1.0-1"]
    assert "CVE-2024-0002" in entries[0].text
    assert entries[0].suites == ("bookworm",)
    assert entries[1].date == "Fri, 13 Mar 2020 15:09:26 +0000"


def test_a_deb_without_changelog_has_none(tmp_path):
    path = tmp_path / "tool.deb"
    path.write_bytes(Deb(name="tool").data)
    assert debian.changelog_text(str(path)) == ""


BAD = {
    "no ar": b"something else entirely",
    "empty": b"",
    "no control": ar_bytes([("control.tar", tar_bytes({"./other": b""}))]),
    "two paragraphs": ar_bytes([("control.tar", tar_bytes({"./control": b"A: 1\n\nB: 2\n"}))]),
    "no text": ar_bytes([("control.tar", tar_bytes({"./control": b"A: \xff\n"}))]),
    "huge": ar_bytes([("control.tar", tar_bytes({"./control": b"A: " + b"x" * 5_000_000}))]),
    "damaged": ar_bytes([("control.tar.xz", b"\xfd7zXZ\x00 broken")]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_deb_is_refused(case, tmp_path):
    path = tmp_path / "x.deb"
    path.write_bytes(BAD[case])
    with pytest.raises(IntegrityError):
        debian.control_text(str(path))
