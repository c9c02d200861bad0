"""Suites run in a real sandbox: one work folder, in order, with what they leave behind."""

from __future__ import annotations

import gzip
import shutil
import struct
from xml.etree import ElementTree as ET

import pytest
import rootfs
from sbom_images import Workshop, target

from ssds.core.errors import StepFailed
from ssds.core.model import Input, NodeId
from ssds.host.machine import native_platform
from ssds.host.sandbox import Sandbox
from ssds.kinds.test import spec
from ssds.kinds.test.nifti import shape
from ssds.kinds.test.run import run
from ssds.kinds.test.suite import check
from ssds.recipe.steps import SourceRequest
from ssds.recipe.suite import Check, Suite, SuiteData, SuiteTest

PROGRAMS = ("bash", "cat", "cp", "echo", "env", "false", "ln", "ls", "mkdir", "rm", "sh", "sleep",
            "true")  # fmt: skip


def nifti(*sizes, order="<"):
    """Returns the header of a NIfTI-1 image."""
    dims = (len(sizes), *sizes, *(1,) * (7 - len(sizes)))
    return struct.pack(f"{order}i36x8h", 348, *dims).ljust(352, b"\0")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A store with an image of bash and a few programs, and the sandbox."""
    folder = tmp_path_factory.mktemp("suite")
    trees = rootfs.trees(rootfs.modes()[0])
    root = rootfs.tiny_rootfs(str(folder / "root"), PROGRAMS)
    tar = str(folder / "layer.tar")
    trees.export_tree(root, rootfs.EPOCH, tar)
    shutil.rmtree(root)
    workshop = Workshop(str(folder))
    with open(tar, "rb") as file:
        config = workshop.image(file.read(), platform=native_platform())
    return workshop, config


@pytest.fixture
def tested(image, tmp_path):
    """Runs a suite; returns its outcome and name → (result, problems)."""
    from dataclasses import replace

    workshop, config = image

    def go(*tests, sources=None, failing=(), **more):
        suite = Suite(name="tool", tests=tests, **more)
        requests = {n: SourceRequest(name=n, url=f"https://example.org/{n}") for n in sources or {}}
        inputs = {"config": config}
        given = {}
        for name, data in (sources or {}).items():
            inputs[f"source/{name}"] = workshop.store.blobs.put(data)
            node = NodeId(owner=f"{name}.nii", kind="source")
            given[name] = Input(role=f"source/{name}", node=node, output="file")
        found = target(platform=native_platform())
        found = replace(found, suite=suite, sources=requests)
        node = spec.node(
            found, config=Input(role="config"), sources=given, unpinned=(), recipe_path="x",
            failing=failing,
        )  # fmt: skip
        log = go.log = bytearray()
        sandbox = Sandbox(rootfs.modes()[0], str(tmp_path / "sandbox"))
        bench = replace(
            workshop.bench(node, inputs), sandbox=sandbox, folder=str(tmp_path), log=log.extend
        )
        outcome = run(bench)
        report = workshop.json(outcome.outputs["report"])
        results = {t["name"]: (t["result"], t["problems"]) for t in report["tests"]}
        return outcome, results, log.decode()

    go.workshop = workshop
    return go


sandboxed = pytest.mark.component("sandbox")


@sandboxed
def test_a_suite_in_order_with_its_report(tested):
    image = nifti(4, 5, 6)
    outcome, results, log = tested(
        SuiteTest(name="writes", script="echo made; cp tool/in.nii out/x.nii; echo kept > /tmp/k\n",
                  output=("made",), checks=(Check(kind="output_exists", paths=("out/x.nii",)),)),
        SuiteTest(name="reads", script="cat /tmp/k; echo err >&2; exit 3\n", exit_code=3,
                  output=("kept", "err"), depends_on=("writes",),
                  checks=(Check(kind="same_dimensions", paths=("out/x.nii", "tool/in.nii")),
                          Check(kind="is_3d", paths=("out/x.nii",)))),
        SuiteTest(name="fails", script="exit 1\n", checks=(
            Check(kind="output_exists", paths=("out/none",)),)),
        SuiteTest(name="after it", script="true\n", depends_on=("fails",)),
        SuiteTest(name="after that", script="true\n", depends_on=("after it",)),
        SuiteTest(name="whatever", script="exit 77\n", exit_code=None),
        SuiteTest(name="not two", script="exit 2\n", exit_code=None, exit_code_not=2),
        SuiteTest(name="a script", script="/run/ssds/test/script.sh\n",
                  files=(("script.sh", "#!/usr/bin/env bash\necho $0\n"),), output=("script.sh",)),
        SuiteTest(name="no network", script="exec 3<>/dev/tcp/192.0.2.1/80\n", exit_code=1,
                  output=("unreachable",)),
        SuiteTest(name="its own root", script="ls /etc/mark || echo mark > /etc/mark\n"),
        SuiteTest(name="another root", script="ls /etc/mark\n", exit_code=2),
        setup="echo ready > state\n", folders=("out",),
        data=(SuiteData(source="in", path="tool/in.nii"),), sources={"in": image},
    )  # fmt: skip
    assert outcome.verdict == "fail"
    bad = {name: found for name, found in results.items() if found[0] != "pass"}
    assert bad == {
        "fails": ("fail", ["exit code 1, expected 0", "out/none was not made"]),
        "after it": ("skip", ["fails did not pass"]),
        "after that": ("skip", ["after it did not pass"]),
        "not two": ("fail", ["exit code 2, which it must not be"]),
    }
    assert list(results)[:3] == ["writes", "reads", "fails"]
    assert log.rstrip().endswith("7 pass, 2 fail, 2 skip")
    read = tested.workshop.store.blobs.read
    for digest, timed in ((outcome.outputs["junit"], False), (outcome.logs["junit"], True)):
        suite = ET.fromstring(read(digest))
        counts = [suite.get(k) for k in ("tests", "failures", "skipped")]
        assert counts == ["11", "2", "2"]
        assert all(("time" in case.attrib) is timed for case in suite)


@sandboxed
def test_the_same_image_gives_the_same_reports(tested):
    test = SuiteTest(name="x", script="echo $RANDOM\n")
    one, two = tested(test)[0], tested(test)[0]
    assert one.outputs == two.outputs
    assert one.verdict == "pass"


@sandboxed
def test_a_setup_that_fails_skips_all(tested):
    outcome, results, _ = tested(SuiteTest(name="x", script="true\n"), setup="exit 4\n")
    assert outcome.verdict == "fail"
    assert results == {
        "setup": ("fail", ["exit code 4, expected 0"]),
        "x": ("skip", ["the setup failed"]),
    }


@sandboxed
def test_a_suite_that_needs_the_host_runs_nothing_and_has_not_passed(tested):
    outcome, results, log = tested(SuiteTest(name="x", script="exit 1\n"), skipped="host")
    assert outcome.verdict == "fail"
    assert results == {
        "x": ("skip", ["host"]),
        "at least one test": ("fail", ["no test ran: host"]),
    }
    assert "0 pass, 1 fail, 1 skip" in log


@sandboxed
def test_a_suite_without_tests_has_not_passed(tested):
    outcome, results, _ = tested()
    assert outcome.verdict == "fail"
    assert results == {"at least one test": ("fail", ["no test ran: it has none that can"])}


@sandboxed
def test_a_suite_of_which_all_wait_for_others_has_not_passed(tested):
    outcome, results, _ = tested(SuiteTest(name="x", script="true\n", depends_on=("y",)))
    assert outcome.verdict == "fail"
    assert results["x"] == ("skip", ["y did not pass"])


@sandboxed
def test_after_a_time_out_the_other_tests_run_and_it_is_no_result(tested):
    with pytest.raises(StepFailed, match="test 'x' reached the time limit") as caught:
        tested(
            SuiteTest(name="x", script="echo began; sleep 30\n", time_limit_s=1),
            SuiteTest(name="waits for it", script="true\n", depends_on=("x",)),
            SuiteTest(name="another", script="echo here\n"),
        )
    assert caught.value.code == "E073"
    log = tested.log.decode()
    assert "fail     1" in log
    assert "(stopped after its time limit of 1 s)" in log
    assert "1 pass, 1 fail, 1 skip" in log


def test_time_limits_and_tags_are_in_no_key():
    def key(**more):
        suite = Suite(name="a", tests=(SuiteTest(name="x", script="y", **more),))
        from dataclasses import replace

        node = spec.node(
            replace(target(), suite=suite),
            config=Input(role="config"), sources={}, unpinned=(), recipe_path="",
        )  # fmt: skip
        return node.slice

    assert key() == key(time_limit_s=9, tags=("slow",))
    assert key() != key(exit_code=1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (nifti(4, 5, 6), (4, 5, 6)), (nifti(4, 5, order=">"), (4, 5)),
        (gzip.compress(nifti(1, 2, 3, 4), mtime=0), (1, 2, 3, 4)), (b"", None),
        (b"\x1f\x8bxx", None),
        (nifti(4)[:100], None), (b"x" * 600, None),
        (struct.pack("<i36x8h", 348, 9, *[1] * 7), None),
        (struct.pack("<i12x8q", 540, 2, 7, 8, *[1] * 5).ljust(540, b"\0"), (7, 8)),
    ],
)  # fmt: skip
def test_dimensions_are_read_from_headers(data, expected):
    assert shape(data) == expected


def test_checks_look_only_into_the_work_folder(tmp_path):
    work = tmp_path / "work"
    (work / "out").mkdir(parents=True)
    (work / "out/a.nii").write_bytes(nifti(2, 2, 2))
    (work / "b.nii").write_bytes(nifti(2, 3))
    (work / "empty").mkdir()
    (work / "in").symlink_to("out/a.nii")
    (work / "seen").symlink_to("/run/ssds/work/out/a.nii")
    (work / "leaves").symlink_to("/etc/passwd")
    (work / "climbs").symlink_to("../../etc")
    (work / "round").symlink_to("round")
    found = {
        (kind, *paths): check(str(work), kind, paths)
        for kind, *paths in (
            ("output_exists", "in"), ("output_exists", "seen"), ("output_exists", "leaves"),
            ("output_exists", "climbs"), ("output_exists", "round"),
            ("output_dir_not_empty", "out"), ("output_dir_not_empty", "empty"),
            ("same_dimensions", "in", "seen"), ("same_dimensions", "in", "b.nii"),
            ("is_3d", "b.nii"), ("is_3d", "out"),
        )
    }  # fmt: skip
    assert {k[0] + " " + " ".join(k[1:]): v for k, v in found.items() if v} == {
        "output_exists leaves": "leaves was not made",
        "output_exists climbs": "climbs was not made",
        "output_exists round": "round was not made",
        "output_dir_not_empty empty": "empty is an empty folder or none",
        "same_dimensions in b.nii": "in is 2 x 2 x 2, but b.nii is 2 x 3",
        "is_3d b.nii": "b.nii is 2 x 3, not 3D",
        "is_3d out": "out is no NIfTI image",
    }


def test_a_known_failure_passes_the_gate_and_one_that_passes_is_told(tested):
    tests = (
        SuiteTest(name="broken", script="false"),
        SuiteTest(name="after it", script="true", depends_on=("broken",)),
        SuiteTest(name="mended", script="true"),
        SuiteTest(name="hangs", script="sleep 60", time_limit_s=1),
    )
    outcome, results, log = tested(*tests, failing=("broken", "hangs", "mended"))
    assert outcome.verdict == "pass"
    assert {name: result for name, (result, _) in results.items()} == {
        "broken": "known", "after it": "skip", "mended": "pass", "hangs": "known",
    }  # fmt: skip
    assert results["mended"][1] == [
        "a known failure that passes: remove it from catalog/debts.yaml"
    ]
    assert "mended: a known failure that passes" in log
    assert "1 pass, 0 fail, 1 skip, 2 known" in log


def test_a_failure_that_nobody_knew_of_fails_beside_known_ones(tested):
    tests = (SuiteTest(name="broken", script="false"), SuiteTest(name="new", script="false"))
    outcome, results, _ = tested(*tests, failing=("broken",))
    assert outcome.verdict == "fail"
    assert [result for result, _ in results.values()] == ["known", "fail"]
