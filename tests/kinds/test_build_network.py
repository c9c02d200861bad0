"""Steps with network find the configured mirrors, and no secret (C18)."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from makers import a_catalog, a_release, pinned, shared_pins

from ssds.core.model import Node
from ssds.graph.compile import compile_graph
from ssds.host.mirrors import Mirrors
from ssds.kinds.build.network import write_aids
from ssds.recipe.steps import RunStep


def build_node(*, network: bool) -> Node:
    step = RunStep(address="build[0]", script="apt-get update", network=network)
    catalog = a_catalog(a_release(steps=(step,)))
    graph = compile_graph(catalog, shared_pins(catalog), pinned(catalog), dt.date(2023, 11, 14))
    return next(node for node in graph.nodes.values() if node.kind == "build")


MIRRORS = Mirrors(
    debian=("http://mirror.example.org/debian", "https://me:secret@example.org/debian"),
    own_pypi=("https://me:secret@example.org/simple", "https://pypi.example.org/simple"),
    proxy="http://proxy.example.org:3128",
)


def test_apt_and_pip_are_led_to_the_mirrors_without_their_passwords(tmp_path: Path) -> None:
    binds, environment = write_aids(str(tmp_path), build_node(network=True), MIRRORS)
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "deb http://mirror.example.org/debian bookworm main\n" in written
    assert [bind.target for bind in binds] == ["/run/ssds/apt"]
    assert environment == {
        "APT_CONFIG": "/run/ssds/apt/apt.conf",
        "PIP_INDEX_URL": "https://pypi.example.org/simple",
        "http_proxy": "http://proxy.example.org:3128",
        "https_proxy": "http://proxy.example.org:3128",
    }
    assert "secret" not in written + repr(environment)


@pytest.mark.parametrize("mirrors", [Mirrors(), replace(MIRRORS, debian=("file:///srv/debian",))])
def test_without_a_mirror_on_the_network_apt_is_told_of_none(
    tmp_path: Path, mirrors: Mirrors
) -> None:
    binds, environment = write_aids(str(tmp_path), build_node(network=True), mirrors)
    assert binds == []
    assert "APT_CONFIG" not in environment


def test_a_step_without_network_knows_no_archive() -> None:
    assert "archive" not in build_node(network=False).hints
