"""Which commands an image has, found without running any."""

from __future__ import annotations

from sbom_images import AMD64, Workshop, debian_layer, elf, layer, target

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


def test_what_is_declared_and_cannot_run_is_left_to_the_deploy_test(tmp_path):
    tree = tree_of(tmp_path, {"usr/bin/ok": elf(), "usr/bin/arm": elf(183)})
    found = list_commands(tree, wanted("ok", "arm", "absent", paths=["/opt/none"]))
    assert found["declared"] == ["ok"]


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


def test_names_that_no_wrapper_can_have_are_left_out(tmp_path):
    files = {"opt/bin/[": elf(), "opt/bin/a b": elf(), "opt/bin/\udcff": elf(), "opt/bin/ok": elf()}
    tree = tree_of(tmp_path, files)
    assert list_commands(tree, wanted("[", paths=["/opt/bin"]))["declared"] == ["/opt/bin/ok"]


def test_a_command_in_path_comes_before_one_of_the_same_name_in_a_declared_folder(tmp_path):
    tree = tree_of(tmp_path, {"usr/bin/x": elf(), "opt/bin/x": elf()})
    assert list_commands(tree, wanted("x", paths=["/opt/bin"]))["declared"] == ["x"]


BASE = {"usr/bin/ls": elf(), "usr/bin/basetool": elf()}


def found_in(tmp_path, *layers, **deploy):
    workshop = Workshop(str(tmp_path))
    base, image = workshop.image(layers[0]), workshop.image(*layers)
    node = spec.node(
        target(**deploy),
        {},
        Input(role="config", digest=image),
        base=Input(role="base", digest=base, output="config"),
    )
    inputs = {"config": image, "base": base}
    outcome = run(workshop.bench(node, {i.role: inputs[i.role] for i in node.inputs}))
    return workshop.json(outcome.outputs["commands"])


def test_without_declared_commands_those_that_the_base_has_not_are_found(tmp_path):
    more = {"usr/bin/tool": elf(), "usr/bin/arm": elf(183), "usr/bin/basetool": elf()}
    mine = layer(more, executable=tuple(more), links={"usr/bin/alias": "tool"})
    found = found_in(tmp_path, layer(BASE, executable=tuple(BASE)), mine)
    assert found["declared"] == []
    assert found["found"] == ["alias", "tool"]
    assert found["paths"] == {"alias": "/usr/bin/alias", "tool": "/usr/bin/tool"}


def test_shells_and_the_tools_of_every_system_are_not_found(tmp_path):
    names = ["bash", "ls", "gawk", "python3.11", "pip3", "perl5.36.0", "tool", "samtools.pl"]
    files = {f"usr/local/bin/{name}": elf() for name in names}
    mine = layer(files, executable=tuple(files))
    found = found_in(tmp_path, layer(BASE, executable=tuple(BASE)), mine)
    assert found["found"] == ["samtools.pl", "tool"]


def test_a_recipe_that_declares_commands_offers_them_and_looks_at_no_base(tmp_path):
    mine = layer({"usr/bin/bash": elf(), "usr/bin/x": elf()}, executable=("usr/bin/bash",))
    base = layer(BASE, executable=tuple(BASE))
    found = found_in(tmp_path, base, mine, commands=("bash",))
    assert found["declared"] == ["bash"]
    assert "found" not in found


def test_an_image_that_adds_nothing_offers_what_is_above_its_first_layer(tmp_path):
    mine = layer({"usr/bin/tool": elf()}, executable=("usr/bin/tool",))
    workshop = Workshop(str(tmp_path))
    image = workshop.image(layer(BASE, executable=tuple(BASE)), mine)
    node = spec.node(
        target(),
        {},
        Input(role="config", digest=image),
        base=Input(role="base", digest=image, output="config"),
    )
    outcome = run(workshop.bench(node, {"config": image, "base": image}))
    assert workshop.json(outcome.outputs["commands"])["found"] == ["tool"]
