"""``ssds apply --builder``: the same release by another builder, and what is said without it."""

from __future__ import annotations

import json
import os
import sqlite3

import pytest


def test_a_missing_engine_is_waited_for_and_told(site) -> None:
    site.recipe("other")
    gone = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    ended = site.run("plan", "--builder", "docker", "other", **gone)
    assert "no builder here: no Docker Engine answers here" in ended.out
    ended = site.run("doctor", SSDS_BUILDER="docker", **gone)
    assert "builder  docker  unavailable: no Docker Engine answers here" in ended.out
    assert "apt-get install docker.io" in ended.out


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("docker", marks=pytest.mark.component("docker")),
        pytest.param("buildah", marks=pytest.mark.component("buildah")),
    ],
)
def test_another_builder_gives_the_locked_release_and_is_named_in_new_claims(site, name) -> None:
    more = {}
    if name == "docker":
        from docker_server import docker_host

        more = {"DOCKER_HOST": docker_host()}
    before = _outputs(site.lock("ground"))
    assert {"diff_id", "config", "index"} <= set(before)
    rerun = ("--rerun", "ground:build", "ground")
    site.good("apply", "--yes", "--builder", name, *rerun, timeout_s=200, **more)
    assert "ground@1.0:build" in site.executed()
    assert _outputs(site.lock("ground")) == before
    site.good("apply", "--yes", "--builder", name, "tiny", timeout_s=200, **more)
    with sqlite3.connect(os.path.join(site.store, "claims.sqlite")) as database:
        text = "\n".join(map(str, database.iterdump()))
    assert f'"builder":"{name}"' in text
    assert not (site.store / "scratch").exists() or not list((site.store / "scratch").iterdir())


def _outputs(value: object) -> dict[str, list[str]]:
    """The diffIDs, configs and indexes that a lock names, in its order."""
    found: dict[str, list[str]] = {}
    pairs = value.items() if isinstance(value, dict) else ()
    for key, entry in pairs:
        if key in ("diff_id", "config", "index"):
            found.setdefault(key, []).append(json.dumps(entry))
    for entry in value.values() if isinstance(value, dict) else value:
        if isinstance(entry, dict | list):
            for key, more in _outputs(entry).items():
                found.setdefault(key, []).extend(more)
    return found
