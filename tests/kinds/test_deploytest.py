"""The deploy test: what an image offers can be used by everybody; nothing is run."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile
from xml.etree import ElementTree as ET

import pytest
from sbom_images import AMD64, Workshop, debian_layer, elf, layer, target

from ssds.core.model import Input
from ssds.core.platform import Platform
from ssds.kinds.deploytest import spec
from ssds.kinds.deploytest.run import judge, run
from ssds.oci.flatten import flatten
from ssds.oci.programs import interpreters

LOADER = "/lib64/ld-linux-x86-64.so.2"


def a_tar(entries):
    """Returns a layer: path → bytes of an executable, a ``-> target`` link, or a folder's mode."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in entries.items():
            info = tarfile.TarInfo(path)
            info.mode = 0o755
            if isinstance(content, tuple):
                content, info.mode = content
            if isinstance(content, int):
                info.type, info.mode, content = tarfile.DIRTYPE, content, b""
            elif isinstance(content, str):
                info.type, info.linkname, content = tarfile.SYMTYPE, content[3:], b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def dynamic(*needed, soname="", rpath="", runpath="", loader="", machine=62):
    """Returns a 64-bit ELF file with a dynamic section, laid out by hand."""
    strings, tags = b"\0", []
    texts = [(1, n) for n in needed] + [(14, soname), (15, rpath), (29, runpath)]
    for tag, text in texts:
        if text:
            tags.append((tag, len(strings)))
            strings += text.encode() + b"\0"
    count = 3 if loader else 2
    start = 64 + 56 * count
    table = start + 16 * (len(tags) + 2)
    interp = table + len(strings)
    base = 0x400000
    section = b"".join(struct.pack("<QQ", *t) for t in [*tags, (5, base + table), (0, 0)])
    size = interp + len(loader) + 1
    heads = [(1, 0, base, size), (2, start, base + start, len(section))]
    if loader:
        heads.append((3, interp, base + interp, len(loader) + 1))
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    for kind, offset, address, length in heads:
        head += struct.pack("<IIQQQQQQ", kind, 4, offset, address, 0, length, length, 1)
    return head + section + strings + loader.encode() + b"\0"


def judged(tmp_path, entries, *commands, paths=(), environment=None, architecture="amd64"):
    """Returns name → problems of what fails."""
    path = tmp_path / "layer.tar"
    path.write_bytes(a_tar(entries))
    found = judge(
        flatten([str(path)]),
        architecture,
        commands=commands,
        paths=paths,
        environment=environment or {},
    )
    return {r.name: r.problems for r in found if r.result == "fail"}


def program(*needed, **more):
    """Returns entries of a program ``x`` with its loader."""
    return {
        "usr/bin/x": dynamic(*needed, loader=LOADER, **more),
        "lib64/ld-linux-x86-64.so.2": dynamic(soname="ld-linux-x86-64.so.2"),
    }


def test_one_report_names_all_that_is_wrong(tmp_path):
    workshop = Workshop(str(tmp_path))
    config = workshop.image(debian_layer(), layer({"usr/bin/odd": "#!/usr/bin/perl\n"}))
    deploy = {
        "commands": ("python3", "odd", "absent", "a/b"),
        "paths": ("/opt/none", "/opt/tool/bin"),
    }
    node = spec.node(target(**deploy), Input(role="config", digest=config))
    outcome = run(workshop.bench(node, {"config": config}))
    assert outcome.verdict == "fail"
    report = workshop.json(outcome.outputs["report"])
    assert report["suite"] == "deploy"
    assert {t["name"]: t["result"] for t in report["tests"]} == {
        "a/b": "fail", "absent": "fail", "odd": "fail", "python3": "pass", "/opt/none": "fail",
        "/opt/tool/bin": "pass", "/opt/tool/bin/tool": "pass",
    }  # fmt: skip
    junit = ET.fromstring(workshop.store.blobs.read(outcome.logs["junit"]))
    assert (junit.get("tests"), junit.get("failures")) == ("7", "4")


def test_it_judges_the_image_of_another_platform(tmp_path):
    workshop = Workshop(str(tmp_path))
    arm = Platform("linux/arm64")
    config = workshop.image(a_tar({"usr/bin/x": elf(183), "usr/bin/y": elf()}), platform=arm)
    node = spec.node(target(commands=("x", "y"), platform=arm), Input(role="config", digest=config))
    report = workshop.json(run(workshop.bench(node, {"config": config})).outputs["report"])
    assert [(t["name"], t["problems"]) for t in report["tests"]] == [
        ("x", []),
        ("y", ["built for amd64, not for arm64"]),
    ]


PROBLEMS = {
    "nothing there": ({}, "not found in"),
    "no execute bit": ({"usr/bin/x": (elf(), 0o644)}, "not an executable file"),
    "a dangling link": ({"usr/bin/x": "-> ../lib/x"}, "leads to /usr/lib, which is not in"),
    "a link round": ({"usr/bin/x": "-> x"}, "goes round"),
    "a link that leaves": (
        {"usr/bin/x": "-> ../../../../opt/x", "opt/x": elf()},
        "leaves the image",
    ),
    "others cannot read": ({"usr/bin/x": (elf(), 0o711)}, "others cannot read /usr/bin/x (mode"),
    "others cannot run": ({"usr/bin/x": (elf(), 0o744)}, "others cannot execute"),
    "others cannot enter": (
        {"root": 0o700, "root/x": elf(), "usr/bin/x": "-> /root/x"},
        "others cannot enter the folder /root (mode 0700)",
    ),
    "hidden by the host": ({"tmp/x": elf(), "usr/bin/x": "-> /tmp/x"}, "stands in /tmp, which"),
    "foreign": ({"usr/bin/x": elf(183)}, "built for arm64, not for amd64"),
    "cut": ({"usr/bin/x": b"\x7fELF\x02\x01"}, "header is damaged"),
    "no loader": ({"usr/bin/x": elf(loader="/lib/ld.so")}, "its loader /lib/ld.so is not in"),
    "no interpreter": ({"usr/bin/x": b"#!/bin/perl -w\n"}, "its interpreter /bin/perl is not in"),
    "relative": ({"usr/bin/x": b"#! python3 -E\n"}, "'python3' is not an absolute path"),
    "empty first line": ({"usr/bin/x": b"#!"}, "'' is not an absolute path"),
    "env without it": (
        {"usr/bin/x": b"#!/usr/bin/env -S A=b python3 -E\n", "usr/bin/env": elf()},
        "its interpreter python3 is not in the image",
    ),
    "interpreter closed": (
        {"usr/bin/x": b"#!/opt/sh\n", "opt/sh": (elf(), 0o750)},
        "its interpreter /opt/sh: others cannot read or execute /opt/sh",
    ),
    "no format": ({"usr/bin/x": b"echo hello\n"}, "neither an ELF"),
}


@pytest.mark.parametrize(("entries", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_command_that_others_cannot_use_fails(tmp_path, entries, message):
    assert message in "; ".join(judged(tmp_path, entries, "x")["x"])


FIRST = {
    "foreign": elf(183),
    "damaged": b"\x7fELF\x02\x01",
    "its library is missing": dynamic("liba.so", loader=LOADER),
    "its interpreter is missing": b"#!/bin/perl\n",
    "no program": b"echo hello\n",
}


@pytest.mark.parametrize("content", FIRST.values(), ids=FIRST)
def test_the_first_file_that_others_may_run_is_the_command_whatever_it_lacks(tmp_path, content):
    loader = {"lib64/ld-linux-x86-64.so.2": dynamic(soname="ld-linux-x86-64.so.2")}
    entries = {"usr/local/bin/x": content, "usr/bin/x": elf(), **loader}
    assert "x" in judged(tmp_path, entries, "x")


PASSED = {
    "no execute bit": {"usr/local/bin/x": (elf(183), 0o644)},
    "not for others": {"usr/local/bin/x": (elf(183), 0o750)},
    "in a closed folder": {"usr/local/bin": 0o700, "usr/local/bin/x": elf(183)},
    "a dangling link": {"usr/local/bin/x": "-> nowhere"},
    "a folder": {"usr/local/bin/x": 0o755},
}


@pytest.mark.parametrize("entries", PASSED.values(), ids=PASSED)
def test_what_is_not_there_or_closed_is_passed_over_along_the_path(tmp_path, entries):
    assert judged(tmp_path, {**entries, "usr/bin/x": elf()}, "x") == {}


def scripts(count):
    """Returns that many scripts in a row, ``s1`` of a program, each the next one's interpreter."""
    chain = {f"usr/bin/s{n + 1}": f"#!/usr/bin/s{n}\n".encode() for n in range(count)}
    return {**chain, "usr/bin/s0": elf()}


def test_five_scripts_in_a_row_start_and_six_do_not(tmp_path):
    """As on Linux: execv of the sixth gives ELOOP."""
    message = "a script of scripts: the kernel follows 5 in a row"
    assert judged(tmp_path, scripts(5), "s5") == {}
    assert judged(tmp_path, scripts(6), "s6") == {"s6": (message,)}


def test_a_thousand_scripts_of_scripts_are_told_and_so_is_a_script_of_itself(tmp_path):
    entries = {**scripts(1200), "usr/bin/own": b"#!/usr/bin/own\n"}
    found = judged(tmp_path, entries, "s1200", "own", "s5")
    assert list(found) == ["s1200", "own"]
    assert "the kernel follows 5 in a row" in "; ".join(found["own"])


def test_scripts_that_env_finds_are_followed_but_not_for_ever(tmp_path):
    chain = {f"usr/bin/e{n + 1}": f"#!/usr/bin/env e{n}\n".encode() for n in range(300)}
    entries = {**chain, "usr/bin/e0": elf(183), "usr/bin/env": elf()}
    found = judged(tmp_path, entries, "e20", "e300")
    assert found["e20"] == ("its interpreter e0: built for arm64, not for amd64",)
    assert found["e300"] == ("it needs more than 64 interpreters",)


def test_the_looks_for_libraries_have_a_bound(tmp_path):
    folders = ":".join(f"/a{n}" for n in range(600))
    names = [f"lib{n}.so" for n in range(300)]
    (problem,) = judged(tmp_path, program(*names, runpath=folders), "x")["x"][-1:]
    assert "more than 100000 looks" in problem
    first, second = (":".join(f"/{n}" for n in range(at, at + 700)) for at in (0, 700))
    library = {"0/liba.so": dynamic("libb.so", rpath=second)}
    (problem,) = judged(tmp_path, {**program("liba.so", rpath=first), **library}, "x")["x"]
    assert "/0/liba.so and what asks for it name more than 1024 folders" in problem


def test_declared_folders_are_judged_whole_but_what_nobody_calls(tmp_path):
    entries = {
        "opt/bin/fine": elf(),
        "opt/bin/data.txt": (b"text", 0o644),
        "opt/bin/notes": b"no program",
        "opt/bin/a b": elf(183),
        "opt/bin/sub/x": elf(183),
        "opt/bin/arm": elf(183),
        "opt/bin/dangles": "-> nowhere",
    }
    assert set(judged(tmp_path, entries, paths=["/opt/bin"])) == {
        "/opt/bin/arm",
        "/opt/bin/dangles",
    }


def test_a_declared_folder_that_others_cannot_enter_fails(tmp_path):
    entries = {"opt/bin": 0o700, "opt/bin/x": elf()}
    assert set(judged(tmp_path, entries, paths=["/opt/bin"])) == {"/opt/bin", "/opt/bin/x"}


def test_an_image_that_offers_nothing_passes(tmp_path):
    assert judged(tmp_path, {"etc/x": elf(183)}) == {}


FOUND = {
    "default folder": ({}, {"usr/lib/liba.so": dynamic()}, {}),
    "multiarch folder": ({}, {"usr/lib/x86_64-linux-gnu/liba.so": dynamic()}, {}),
    "rpath with origin": (
        {"rpath": "$ORIGIN/../../opt/lib"},
        {"opt/lib/liba.so": dynamic()},
        {},
    ),
    "runpath": ({"runpath": "/nowhere:${ORIGIN}/lib"}, {"usr/bin/lib/liba.so": dynamic()}, {}),
    "the image's variable": (
        {},
        {"opt/lib/liba.so": dynamic()},
        {"LD_LIBRARY_PATH": "/nowhere:/opt/lib"},
    ),
    "a link to it": (
        {},
        {"usr/lib/liba.so": "-> /opt/liba.so.1", "opt/liba.so.1": dynamic(soname="liba.so")},
        {},
    ),
    "a foreign one before it": (
        {"runpath": "/opt"},
        {"opt/liba.so": dynamic(machine=183), "usr/lib/liba.so": dynamic()},
        {},
    ),
    "configured": (
        {},
        {
            "opt/lib/liba.so": dynamic(),
            "etc/ld.so.conf": b"include ld.so.conf.d/*.conf\n",
            "etc/ld.so.conf.d/a.conf": b"# mine\n/opt/lib\n",
            "etc/ld.so.cache": b"glibc-ld.so.cache1.1\0liba.so\0/opt/lib/liba.so\0",
        },
        {},
    ),
}


@pytest.mark.parametrize(("how", "entries", "environment"), FOUND.values(), ids=FOUND)
def test_a_library_is_found_as_the_loader_finds_it(tmp_path, how, entries, environment):
    whole = {**program("liba.so", **how), **entries}
    assert judged(tmp_path, whole, "x", environment=environment) == {}
    without = {k: v for k, v in whole.items() if "liba.so" not in k}
    (problem,) = judged(tmp_path, without, "x", environment=environment)["x"]
    assert problem.startswith("its library liba.so ")


MISSING = {
    "of a library": (
        {"usr/lib/liba.so": dynamic("libb.so")},
        "its loader looks (needed by /usr/lib/liba.so)",
    ),
    "configured but not in the cache": (
        {"opt/liba.so": dynamic(), "etc/ld.so.conf": b"/opt\n"},
        "is in /opt, but not in /etc/ld.so.cache: run ldconfig",
    ),
    "closed to others": (
        {"usr/lib/liba.so": (dynamic(), 0o640)},
        "others cannot read /usr/lib/liba.so (mode 0640)",
    ),
    "a program's RUNPATH is not its libraries'": (
        {"opt/liba.so": dynamic("libb.so"), "opt/libb.so": dynamic()},
        "its library libb.so is in none",
    ),
}


@pytest.mark.parametrize(("entries", "message"), MISSING.values(), ids=MISSING)
def test_a_missing_or_closed_library_is_named(tmp_path, entries, message):
    whole = {**program("liba.so", runpath="/opt"), **entries}
    if "etc/ld.so.conf" in entries:
        whole |= program("liba.so")
    (problem,) = judged(tmp_path, whole, "x")["x"]
    assert message in problem


def test_a_programs_rpath_is_its_libraries_too(tmp_path):
    whole = {
        **program("liba.so", rpath="/opt"),
        "opt/liba.so": dynamic("libb.so", "liba.so"),
        "opt/libb.so": dynamic("liba.so"),
    }
    assert judged(tmp_path, whole, "x") == {}


def test_musl_looks_in_its_own_folders(tmp_path):
    whole = {
        "usr/bin/x": dynamic("liba.so", "libb.so", loader="/lib/ld-musl-x86_64.so.1"),
        "lib/ld-musl-x86_64.so.1": dynamic(),
        "usr/local/lib/liba.so": dynamic(),
        "usr/lib/x86_64-linux-gnu/libb.so": dynamic(),
    }
    (problem,) = judged(tmp_path, whole, "x")["x"]
    assert problem == "its library libb.so is not in the image's library folders"


def test_real_programs_of_this_machine_are_whole_and_each_library_counts(tmp_path):
    """The host's own loader is the judge: what ldd lists is needed and is enough."""
    wanted = [p for p in ("/bin/ls", "/usr/bin/git", "/bin/bash") if os.path.exists(p)]
    entries = {}
    for path in wanted:
        text = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        libraries = [w for line in text.splitlines() for w in line.split() if w.startswith("/")]
        for place in (path, *libraries):
            with open(place, "rb") as file:
                entries[place.lstrip("/")] = file.read()
    names = [os.path.basename(p) for p in wanted]
    machine = struct.unpack_from("<H", entries[wanted[0].lstrip("/")], 18)[0]
    here = "arm64" if machine == 183 else "amd64"
    assert names
    assert judged(tmp_path, entries, *names, architecture=here) == {}
    for path in [p for p in entries if "libc.so" in p or "libtinfo" in p]:
        fewer = {k: v for k, v in entries.items() if k != path}
        told = judged(tmp_path, fewer, *names, architecture=here)
        assert any(os.path.basename(path) in p for problems in told.values() for p in problems)


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_damaged_program_never_breaks_the_test(tmp_path, cut):
    data = dynamic("liba.so", rpath="/opt", loader=LOADER)
    for damaged in (data[:cut], data[:cut] + b"\xff" * 9 + data[cut + 9 :]):
        judged(tmp_path, {**program(), "usr/bin/x": damaged}, "x")


def test_it_runs_on_no_machine_in_particular():
    node = spec.node(target(commands=("b", "a", "a")), Input(role="config"))
    assert node.slice == {"commands": ["a", "b"], "paths": []}
    assert node.id.platform == str(AMD64)


def test_a_carriage_return_is_part_of_an_interpreter_name() -> None:
    assert interpreters(b"#!/bin/sh\r\n")[0].name == "/bin/sh\r"
    assert [i.name for i in interpreters(b"#! /usr/bin/env\tpython3 -u\n")] == [
        "/usr/bin/env",
        "python3",
    ]
