"""Killed at any write point of any verb on any target: readers see one state, the next run ends."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable

import pytest
from cvmfs_place import NAME, Server
from kill_points import KILLED, forked
from ship_makers import image, release, script, site, small_tar
from thorough import cases

from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy, read_deployed
from ssds.ship.prune import prune
from ssds.ship.rollback import rollback
from ssds.ship.targets.cvmfs import CvmfsRepository
from ssds.ship.targets.ingest import CvmfsIngest
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target

HUB = Channel(name="hub", kind="registry", location="registry.example.org/lab")
VERBS = ("deploy", "rollback", "prune")
SEED = 20261127


def lock(blobs: Blobs, name: str, text: str, before: Lock | None = None) -> Lock:
    half = image(blobs, [small_tar({"usr/bin/tool": script(f"echo {text}")})], ["tool"], {})
    return release(blobs, half, name=name, before=before)


class Place:
    """A target with two deployments, which can be had again and again."""

    def __init__(self, kind: str, folder: str, blobs: Blobs) -> None:
        one = lock(blobs, "tool", "one")
        two = lock(blobs, "tool", "two", one)
        self.home, self.kept = f"{folder}/home", f"{folder}/kept"
        self.server: Server | None = None
        if kind != "plain":
            self.server = Server(self.home, CvmfsIngest if kind == "ingest" else CvmfsRepository)
        for found in (one, two):
            deploy(site(), [found], blobs, self.target(), channels=[HUB])
        shutil.copytree(self.home, self.kept, symlinks=True)
        more = [two, lock(blobs, "other", "other")]
        self.acts: dict[str, Callable[[], object]] = {
            "deploy": lambda: deploy(site(), more, blobs, self.target(), channels=[HUB]),
            "rollback": lambda: rollback("example", self.target(), to=1),
            "prune": lambda: prune(self.target(), keep=1, grace_s=0, now_s=0),
        }
        self._known: dict[str, tuple[list[str], int]] = {}

    def target(self) -> Target:
        return self.server.target() if self.server else PlainTree(self.home)

    def seen(self) -> str:
        """The tree as its readers see it."""
        if self.server is None:
            return self.home
        return f"{self.home}/spool/{NAME}/revisions/{self.server.target().revision()}"

    def restored(self) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.kept, self.home, symlinks=True)

    def points(self, verb: str) -> tuple[list[str], int]:
        """All write points of a verb, and the generation that it ends with."""
        if verb not in self._known:
            self.restored()
            trace = f"{self.kept}.trace"
            assert forked(self.acts[verb], trace=trace) == 0
            with open(trace, encoding="utf-8") as file:
                self._known[verb] = file.read().split(), self.generation()
            os.unlink(trace)
        return self._known[verb]

    def generation(self) -> int:
        return read_deployed(self.target().folder, "example").number


@pytest.mark.parametrize("kind", ["plain", "cvmfs", "ingest"])
def test_killed_at_random_points_nothing_is_half_visible_and_the_next_run_completes(
    in_memory: str, kind: str
) -> None:
    place = Place(kind, in_memory, Blobs(f"{in_memory}/blobs"))
    chance = random.Random(f"{SEED} {kind}")
    for _ in range(cases(2, 100)):
        verb = chance.choice(VERBS)
        points, ended = place.points(verb)
        point = chance.choice(points)
        case = f"{kind} {verb} {point}"
        place.restored()
        assert forked(place.acts[verb], kill=point) == KILLED, case
        seen = place.seen()
        deployed = read_deployed(seen, "example")
        assert deployed.number in (2, ended), case
        for entry in deployed.entries:
            path = f"{seen}/sites/example/wrappers/{entry.name}/{entry.full}/bin/tool"
            assert os.access(path, os.X_OK), case
        if place.server:
            assert check_tree(seen).problems == (), case
        place.acts[verb]()
        assert check_tree(place.target().folder).problems == (), case
        assert place.generation() == ended, case
        left = [n for _, d, f in os.walk(place.home) for n in (*d, *f) if ".ssds-tmp" in n]
        assert left == [], case
