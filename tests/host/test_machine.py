"""What the machine is: platforms, emulation, tools."""

from __future__ import annotations

import os
import struct

import pytest
from rootfs import base_folder, modes, shell, trees

from ssds.core.levels import features
from ssds.core.platform import Platform
from ssds.host.machine import (
    best_platform,
    can_run,
    free_bytes,
    native_platform,
    tool_version,
    user_name,
)

FOREIGN = Platform("linux/arm64" if native_platform() == "linux/amd64" else "linux/amd64")
MAGIC = {
    "linux/arm64": "7f454c460201010000000000000000000200b700",
    "linux/amd64": "7f454c4602010100000000000000000002003e00",
}
MASK = "ffffffffffffff00fffffffffffffffffeffffff"


def _entries(tmp_path, **entries):
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").write_text("")
    for name, text in entries.items():
        (tmp_path / name).write_text(text)
    return str(tmp_path)


def _entry(flags="PF", state="enabled", magic=MAGIC[FOREIGN]):
    lines = (state, "interpreter /usr/libexec/qemu", f"flags: {flags}", "offset 0")
    return "\n".join((*lines, f"magic {magic}", f"mask {MASK}", ""))


def test_the_native_platform_runs_natively():
    assert can_run(native_platform()).kind == "native"


def test_an_entry_with_the_f_flag_emulates(tmp_path):
    found = can_run(FOREIGN, binfmt=_entries(tmp_path, qemu=_entry()))
    assert (found.kind, found.reason) == ("emulated", "by qemu")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({}, "no binfmt_misc entry"),
        ({"qemu": _entry(flags="P")}, "no F flag"),
        ({"qemu": _entry(state="disabled")}, "no binfmt_misc entry"),
        ({"qemu": _entry(magic=MAGIC[native_platform()])}, "no binfmt_misc entry"),
        ({"qemu": _entry(magic="zz")}, "no binfmt_misc entry"),
        ({"python": "enabled\ninterpreter /x\nflags: F\noffset 0\nmagic a70d0d0a\n"}, "no binfmt"),
    ],
)
def test_without_a_usable_entry_the_reason_and_a_remedy_are_told(tmp_path, entries, reason):
    found = can_run(FOREIGN, binfmt=_entries(tmp_path, **entries))
    assert found.kind == "unavailable"
    assert reason in found.reason
    assert "qemu-user-static" in found.hint


def test_binfmt_that_is_not_mounted_or_disabled_is_told(tmp_path):
    assert "not mounted" in can_run(FOREIGN, binfmt=str(tmp_path)).reason
    (tmp_path / "status").write_text("disabled\n")
    assert "disabled" in can_run(FOREIGN, binfmt=str(tmp_path)).reason


@pytest.mark.skipif(native_platform() != "linux/amd64", reason="levels of amd64")
def test_levels_are_read_from_the_processor(tmp_path):
    (tmp_path / "v2").write_text("flags\t\t: fpu cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3\n")
    cpuinfo = str(tmp_path / "v2")
    assert can_run(Platform("linux/amd64/v2"), cpuinfo=cpuinfo).kind == "native"
    found = can_run(Platform("linux/amd64/v3"), cpuinfo=cpuinfo)
    assert found.kind == "unavailable"
    assert "avx2" in found.reason
    assert can_run(Platform("linux/amd64/v9"), cpuinfo=cpuinfo).kind == "unavailable"


@pytest.mark.skipif(native_platform() != "linux/amd64", reason="levels of amd64")
def test_the_best_of_several_levels_is_the_one_that_the_processor_has(tmp_path):
    """Flags of an EPYC of the third generation, and of one that a cloud hides some of."""
    zen3 = sorted(features("amd64", "zen3") | features("amd64", "v3"))
    (tmp_path / "zen3").write_text(f"flags\t\t: {' '.join(zen3)}\n")
    (tmp_path / "hidden").write_text(f"flags\t\t: {' '.join(f for f in zen3 if f != 'pku')}\n")
    (tmp_path / "old").write_text("flags\t\t: fpu sse sse2\n")
    offered = [Platform(f"linux/amd64{x}") for x in ("", "/v2", "/v3", "/zen3", "/ivybridge")]
    offered.append(Platform("linux/arm64"))

    def best(name):
        return best_platform(offered, cpuinfo=str(tmp_path / name))

    assert (best("zen3"), best("hidden"), best("old")) == (
        "linux/amd64/zen3",
        "linux/amd64/v3",
        "linux/amd64",
    )
    assert best_platform([Platform("linux/arm64")], cpuinfo=str(tmp_path / "zen3")) is None


def test_tool_versions_are_found_and_missing_tools_have_none():
    assert tool_version("tar")[0].isdigit()
    assert tool_version("no-such-tool") == ""


def test_free_space_is_that_of_the_nearest_folder(tmp_path):
    assert free_bytes(str(tmp_path / "not/yet/made")) > 0
    assert user_name()


def _foreign_program():
    """A program of the foreign platform that exits with 42: header, one segment, three calls."""
    if FOREIGN == "linux/arm64":
        machine, code = 183, bytes.fromhex("400580d2a80b80d2010000d4")
    else:
        machine, code = 62, bytes.fromhex("bf2a000000b83c0000000f05")
    start = 0x400000
    size = 64 + 56 + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 4096) + code


@pytest.mark.component("sandbox")
@pytest.mark.parametrize("mode", modes())
def test_what_can_run_says_of_the_foreign_platform_is_true_in_the_sandbox(mode):
    base_folder(mode)
    upper = trees(mode).new_upper()
    try:
        with open(f"{upper}/foreign", "wb") as file:
            file.write(_foreign_program())
        os.chmod(f"{upper}/foreign", 0o755)
        result, output = shell(mode, "exec /foreign", lowers=(upper,))
    finally:
        trees(mode).discard(upper)
    assert (result.exit_code == 42) == can_run(FOREIGN).available, output
