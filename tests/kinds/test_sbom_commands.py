"""Which commands an image has, found without running any."""

from __future__ import annotations

import pytest
from sbom_images import AMD64, Workshop, debian_layer, elf, layer, target

from ssds.core.errors import StepFailed
from ssds.core.model import Input
from ssds.core.platform import Platform
from ssds.kinds.sbom import spec
from ssds.kinds.sbom.commands import Wanted, list_commands
from ssds.kinds.sbom.run import run
from ssds.oci.flatten import flatten


def tree_of(tmp_path, files, **more):
    path = tmp_path / "layer.tar"
    path.write_bytes(layer(files, **{"executable": tuple(files), **more}))
    return flatten([str(path)])


def wanted(*commands, paths=(), platform=AMD64):
    return Wanted(platform=platform, commands=commands, paths=tuple(paths))


def test_commands_come_from_path_folders_and_declared_folders(tmp_path):
    workshop = Workshop(str(tmp_path))
    config = workshop.image(debian_layer())
    node = spec.node(
        target(commands=("python3",), paths=("/opt/tool/bin",)),
        {},
        Input(role="config", digest=config),
    )
    outcome = run(workshop.bench(node, {"config": config}))
    assert workshop.json(outcome.outputs["commands"]) == {
        "all": ["env", "joblib-tool", "python3", "python3.11", "tool"],
        "declared": ["/opt/tool/bin/tool", "python3"],
        "paths": {"python3": "/usr/bin/python3", "tool": "/opt/tool/bin/tool"},
    }


def test_the_images_own_path_is_searched(tmp_path):
    workshop = Workshop(str(tmp_path))
    config = workshop.image(debian_layer(), path="/opt//tool/bin/:relative:/nowhere")
    node = spec.node(target(commands=("tool",)), {}, Input(role="config", digest=config))
    outcome = run(workshop.bench(node, {"config": config}))
    found = workshop.json(outcome.outputs["commands"])
    assert found["all"] == ["tool"]
    assert found["declared"] == ["tool"]


PROBLEMS = [
    ("nothing there", {}, {}, "x \\(not found\\)"),
    ("no execute bit", {"usr/bin/x": elf()}, {"executable": ()}, "not found"),
    ("a folder", {"usr/bin/x/y": "z"}, {}, "not found"),
    ("a dangling link", {"a": "b"}, {"links": {"usr/bin/x": "y"}}, "not found"),
    ("a link that leads round", {"a": "b"}, {"links": {"usr/bin/x": "x"}}, "not found"),
    ("arm64 program", {"usr/bin/x": elf(183)}, {}, "built for arm64, not for amd64"),
    ("unknown machine", {"usr/bin/x": elf(999)}, {}, "built for machine 999"),
    ("cut ELF header", {"usr/bin/x": b"\x7fELF\x02\x01"}, {}, "header is damaged"),
    ("no loader", {"usr/bin/x": elf(loader="/lib/ld.so")}, {}, "its loader /lib/ld.so is not"),
    ("no interpreter", {"usr/bin/x": "#!/usr/bin/python3\n"}, {}, "/usr/bin/python3 is not in"),
    ("relative one", {"usr/bin/x": "#! python3 -E\n"}, {}, "'python3' is not an absolute"),
    ("empty script line", {"usr/bin/x": "#!"}, {}, "'' is not an absolute"),
    (
        "env without the program",
        {"usr/bin/x": "#!/usr/bin/env -S A=b python3 -E\n", "usr/bin/env": elf()},
        {},
        "python3 is not in the image",
    ),
    ("text without a first line", {"usr/bin/x": "echo hello\n"}, {}, "neither an ELF"),
    ("an empty file", {"usr/bin/x": ""}, {}, "neither an ELF"),
]


@pytest.mark.parametrize(
    ("files", "more", "message"), [p[1:] for p in PROBLEMS], ids=[p[0] for p in PROBLEMS]
)
def test_a_declared_command_that_cannot_run_fails_the_step(tmp_path, files, more, message):
    with pytest.raises(StepFailed, match=message) as caught:
        list_commands(tree_of(tmp_path, files, **more), wanted("x"))
    assert caught.value.code == "V010"
    assert "/usr/bin" in caught.value.hint


def test_every_broken_command_is_named_at_once(tmp_path):
    with pytest.raises(StepFailed, match="a \\(not found\\), b \\(not found\\)"):
        list_commands(tree_of(tmp_path, {"usr/bin/c": elf()}), wanted("a", "b"))


def test_a_missing_declared_folder_fails_the_step(tmp_path):
    with pytest.raises(StepFailed, match="/opt/x is not in the image") as caught:
        list_commands(tree_of(tmp_path, {"a": "b"}), wanted(paths=["/opt/x"]))
    assert caught.value.code == "V011"


def test_an_undeclared_broken_program_is_left_out_without_failing(tmp_path):
    found = list_commands(
        tree_of(tmp_path, {"usr/bin/ok": elf(), "usr/bin/arm": elf(183)}), wanted()
    )
    assert found["all"] == ["ok"]


def test_an_arm64_image_wants_arm64_programs(tmp_path):
    tree = tree_of(tmp_path, {"usr/bin/x": elf(183)})
    found = list_commands(tree, wanted("x", platform=Platform("linux/arm64")))
    assert found["declared"] == ["x"]


def test_absolute_links_are_followed_inside_the_image(tmp_path):
    tree = tree_of(
        tmp_path,
        {"opt/x-1.0/bin/x": "#!/bin/sh\n", "usr/bin/dash": elf()},
        links={"usr/bin/x": "/etc/alternatives/x", "etc/alternatives/x": "/opt/x-1.0/bin/x",
               "bin": "usr/bin", "usr/bin/sh": "dash"},
    )  # fmt: skip
    assert list_commands(tree, wanted("x"))["paths"] == {"x": "/usr/bin/x"}


def test_the_first_folder_in_path_wins_unless_its_program_cannot_run(tmp_path):
    tree = tree_of(
        tmp_path,
        {"usr/local/bin/x": elf(), "usr/bin/x": elf(), "usr/local/bin/y": elf(183),
         "usr/bin/y": elf()},
    )  # fmt: skip
    found = list_commands(tree, wanted("x", "y"))
    assert found["paths"] == {"x": "/usr/local/bin/x", "y": "/usr/bin/y"}


def test_names_that_no_wrapper_can_have_are_left_out_or_refused(tmp_path):
    files = {"opt/bin/[": elf(), "opt/bin/a b": elf(), "opt/bin/\udcff": elf(), "opt/bin/ok": elf()}
    tree = tree_of(tmp_path, files)
    assert list_commands(tree, wanted(paths=["/opt/bin"]))["declared"] == ["/opt/bin/ok"]
    with pytest.raises(StepFailed, match="not a name that a wrapper can have"):
        list_commands(tree, wanted("[", paths=["/opt/bin"]))


def test_a_command_in_path_comes_before_one_of_the_same_name_in_a_declared_folder(tmp_path):
    tree = tree_of(tmp_path, {"usr/bin/x": elf(), "opt/bin/x": elf()})
    assert list_commands(tree, wanted("x", paths=["/opt/bin"]))["declared"] == ["x"]
