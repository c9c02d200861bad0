"""Going back, checking, repairing and removing: what happens to a tree after its deployments."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_points import KILLED, forked, points_of
from ship_makers import AMD64, first_image, image, release, script, site, small_tar

from ssds.core.errors import IntegrityError, InvalidValue, Refused
from ssds.lock.model import Lock
from ssds.lock.write import lock_bytes
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy, read_deployed
from ssds.ship.prune import prune
from ssds.ship.rollback import rollback
from ssds.ship.targets.plain import PlainDraft, PlainTree

HUB = Channel(name="hub", kind="registry", location="registry.example.org/lab")


def lock(blobs: Blobs, text: str, before: Lock | None = None, name: str = "tool") -> Lock:
    half = image(blobs, [small_tar({"usr/bin/tool": script(f"echo {text}")})], ["tool"], {})
    return release(blobs, half, name=name, before=before)


@pytest.fixture
def blobs(in_memory: str) -> Blobs:
    return Blobs(f"{in_memory}/blobs")


@pytest.fixture
def tree(in_memory: str, blobs: Blobs) -> str:
    """A tree with three deployments: tool r1, tool r2, tool r2 with another."""
    one = lock(blobs, "one")
    two = lock(blobs, "two", one)
    for locks in ([one], [two], [two, lock(blobs, "other", name="other")]):
        deploy(site(), locks, blobs, f"{in_memory}/tree", channels=[HUB])
    return f"{in_memory}/tree"


def now(tree: str) -> int:
    return read_deployed(tree, "example").number


def sound(tree: str) -> bool:
    return check_tree(tree).problems == ()


def test_a_rollback_switches_one_link_and_its_names_and_can_go_forward_again(tree: str) -> None:
    inodes = os.stat(f"{tree}/.ssds/sites/example/3").st_ino
    assert rollback("example", tree) == (3, 2)
    assert (now(tree), sound(tree)) == (2, True)
    assert not os.path.lexists(f"{tree}/registry.example.org/lab/other:1.0")
    assert rollback("example", tree, to=1) == (2, 1)
    assert os.readlink(f"{tree}/sites/example/wrappers/tool/1.0") == "1.0-r1"
    assert rollback("example", tree, to=3) == (1, 3)
    assert os.path.exists(f"{tree}/registry.example.org/lab/other:1.0/usr/bin/tool")
    assert sound(tree)
    assert os.stat(f"{tree}/.ssds/sites/example/3").st_ino == inodes


def test_a_generation_holds_copies_of_the_locks_that_it_was_made_from(
    tree: str, blobs: Blobs
) -> None:
    two = lock(blobs, "two", lock(blobs, "one"))
    part = read_deployed(tree, "example").shares["tool"].part
    path = f"{tree}/.ssds/sites/example/parts/{part}/locks/tool@1.0.lock.json"
    assert Path(path).read_bytes() == lock_bytes(two)
    other = lock(blobs, "other", name="other")
    assert not deploy(site(), [two, other], blobs, tree, channels=[HUB]).written


def test_the_deployment_after_a_rollback_is_numbered_after_the_newest(
    tree: str, blobs: Blobs
) -> None:
    rollback("example", tree, to=1)
    assert deploy(site(), [lock(blobs, "new")], blobs, tree, channels=[HUB]).generation == 4
    assert rollback("example", tree, to=3) == (4, 3)


def test_a_generation_that_is_not_there_is_refused_with_those_that_are(tree: str) -> None:
    for number, text in ((9, "has no generation 9"), (0, "has no earlier generation")):
        if not number:
            rollback("example", tree, to=1)
        with pytest.raises(Refused, match=text) as caught:
            rollback("example", tree, to=number)
        assert "1, 2, 3" in caught.value.hint
    with pytest.raises(Refused, match="holds no site"):
        rollback("nobody", tree)


def test_a_check_says_by_path_what_is_wrong_and_repair_makes_it_good(
    tree: str, blobs: Blobs
) -> None:
    entry = read_deployed(tree, "example").entries[-1]
    root = f".flat/{first_image(entry).hex[:2]}/{first_image(entry).hex}"
    os.unlink(f"{tree}/{root}/usr/bin/tool")
    os.chmod(f"{tree}/.ssds/sites/example/3/modules/tool/1.0.lua", 0o644)
    Path(f"{tree}/.ssds/sites/example/3/modules/tool/1.0.lua").write_text("x")
    os.unlink(f"{tree}/registry.example.org/lab/tool:1.0")
    problems = check_tree(tree, ["example"]).problems
    assert {p.partition(":")[0] for p in problems[:1]} == {
        ".ssds/sites/example/3/modules/tool/1.0.lua"
    }
    assert any(p.startswith(f"{root}/usr/bin: not as it was deployed") for p in problems)
    assert any(p.startswith("registry.example.org/lab/tool:1.0: ") for p in problems)
    locks = [lock(blobs, "two", lock(blobs, "one")), lock(blobs, "other", name="other")]
    report = deploy(site(), locks, blobs, tree, channels=[HUB], repair=True)
    assert (report.images_written, sound(tree)) == (1, True)


@pytest.mark.parametrize(
    ("path", "mode", "text"),
    [
        (".flat", 0o700, "users cannot enter it"),
        (".ssds/sites/example/parts", 0o750, "users cannot enter it"),
        ("sites/example/modules/tool/1.0.lua", 0o600, "cannot be read by everybody"),
        ("sites/example/wrappers/.ssds/wrapper", 0o644, "cannot be run by everybody"),
        ("sites/example/wrappers/tool/1.0-r2/bin", 0o711, "users cannot enter it"),
        ("sites/example/modules", 0o700, "users cannot enter it"),
    ],
)
def test_a_check_sees_modes_that_lock_users_out(tree: str, path: str, mode: int, text: str) -> None:
    real = os.path.realpath(f"{tree}/{path}")
    os.chmod(real, mode)
    (problem,) = check_tree(tree).problems
    assert text in problem
    assert os.path.basename(path) in problem


def test_a_check_sees_what_was_added_and_repair_takes_it_away(tree: str, blobs: Blobs) -> None:
    for path in ("modules/tool/evil.lua", "wrappers/tool/1.0-r2/bin/evil", "bin/evil"):
        Path(f"{tree}/sites/example/{path}").write_text("x")
    os.mkdir(f"{tree}/sites/example/wrappers/tool/more")
    told = check_tree(tree).problems
    assert len(told) == 4
    assert all("nobody deployed it" in problem for problem in told)
    locks = [lock(blobs, "two", lock(blobs, "one")), lock(blobs, "other", name="other")]
    deploy(site(), locks, blobs, tree, channels=[HUB], repair=True)
    assert sound(tree)


def test_a_check_sees_that_the_empty_folder_of_the_plain_runtime_is_lost(
    tree: str, blobs: Blobs
) -> None:
    os.rmdir(f"{tree}/sites/example/wrappers/.ssds/root")
    (problem,) = check_tree(tree).problems
    assert problem.endswith("wrappers/.ssds/root: not there")
    locks = [lock(blobs, "two", lock(blobs, "one")), lock(blobs, "other", name="other")]
    deploy(site(), locks, blobs, tree, channels=[HUB], repair=True)
    assert os.path.isdir(f"{tree}/sites/example/wrappers/.ssds/root")
    assert sound(tree)


def test_a_damaged_record_is_made_good_by_a_repair(tree: str, blobs: Blobs) -> None:
    Path(f"{tree}/.ssds/sites/example/3/deployment.json").write_text("{")
    locks = [lock(blobs, "two", lock(blobs, "one")), lock(blobs, "other", name="other")]
    with pytest.raises(InvalidValue, match="damaged") as caught:
        deploy(site(), locks, blobs, tree, channels=[HUB])
    assert "--repair" in caught.value.hint
    assert deploy(site(), locks, blobs, tree, channels=[HUB], repair=True).generation == 4
    assert now(tree) == 4
    assert not deploy(site(), locks, blobs, tree, channels=[HUB]).written


def test_newest_is_there_only_while_the_current_one_is_older(tree: str, blobs: Blobs) -> None:
    newest = f"{tree}/.ssds/sites/example/newest"
    rollback("example", tree, to=1)
    assert os.readlink(newest) == "3"
    rollback("example", tree, to=3)
    assert not os.path.lexists(newest)
    rollback("example", tree, to=1)
    deploy(site(), [lock(blobs, "new")], blobs, tree, channels=[HUB])
    assert not os.path.lexists(newest)
    assert now(tree) == 4


class Careless(PlainTree):
    """A folder on a disk that loses what was written."""

    @contextlib.contextmanager
    def change(self, reason: str) -> Iterator[PlainDraft]:
        with super().change(reason) as draft:
            yield draft
        Path(f"{self.folder}/sites/example/modules/tool/1.0.lua").write_bytes(b"")


def test_what_was_written_is_looked_at_after_a_deployment(in_memory: str, blobs: Blobs) -> None:
    with pytest.raises(IntegrityError, match=r"modules/tool/1\.0\.lua: other bytes") as caught:
        deploy(site(), [lock(blobs, "one")], blobs, Careless(f"{in_memory}/tree"))
    assert caught.value.code == "D046"


def test_a_check_refuses_what_is_no_tree_and_unknown_sites(tree: str, in_memory: str) -> None:
    with pytest.raises(Refused, match="no site"):
        check_tree(f"{in_memory}/nothing")
    with pytest.raises(Refused, match="nobody"):
        check_tree(tree, ["nobody"])
    with pytest.raises(Refused, match="exampel") as caught:
        check_tree(tree, ["exampel"])
    assert 'Did you mean "example"?' in caught.value.hint
    with pytest.raises(Refused) as caught:
        rollback("exampel", tree)
    assert 'Did you mean "example"?' in caught.value.hint


def test_an_image_goes_after_its_grace_period_and_not_when_it_is_wanted_again(
    tree: str, blobs: Blobs
) -> None:
    old = first_image(read_deployed(tree, "example").entries[0])
    fresh = lock(blobs, "fresh")
    deploy(site(), [fresh], blobs, tree, channels=[HUB])
    removed = prune(tree, keep=1, grace_s=100, now_s=1000)
    assert removed[:3] == tuple(f".ssds/sites/example/{n}" for n in (1, 2, 3))
    assert all(path.startswith(".ssds/sites/example/parts/") for path in removed[3:])
    assert prune(tree, keep=1, grace_s=100, now_s=1099) == ()
    assert os.path.isdir(f"{tree}/.flat/{old.hex[:2]}/{old.hex}")
    back = [fresh, lock(blobs, "other", name="other")]
    deploy(site(), back, blobs, tree, channels=[HUB])
    removed = prune(tree, keep=1, grace_s=100, now_s=1100)
    assert any(old.hex in path for path in removed) == (old not in living(tree))
    assert sound(tree)


def living(tree: str) -> set[str]:
    return {str(first_image(entry)) for entry in read_deployed(tree, "example").entries}


def test_with_a_damaged_record_nothing_is_removed(tree: str) -> None:
    Path(f"{tree}/.ssds/sites/example/2/deployment.json").write_text("{")
    before = sorted(os.listdir(f"{tree}/.ssds/sites/example"))
    with pytest.raises(Exception, match="damaged"):
        prune(tree, keep=2, grace_s=0, now_s=0)
    assert sorted(os.listdir(f"{tree}/.ssds/sites/example")) == before


@pytest.mark.parametrize("harm", ["lost", "a folder", "no number", "generation lost"])
def test_without_a_readable_current_generation_nothing_is_removed(
    tree: str, blobs: Blobs, harm: str
) -> None:
    root = f"{tree}/.ssds/sites/example"
    if harm == "generation lost":
        shutil.rmtree(f"{root}/3")
    else:
        os.unlink(f"{root}/current")
    if harm == "a folder":
        os.mkdir(f"{root}/current")
    if harm == "no number":
        os.symlink("elsewhere", f"{root}/current")

    def everything() -> set[str]:
        return {os.path.join(b, n) for b, d, f in os.walk(tree) for n in (*d, *f)}

    before = everything()
    for act in (
        lambda: prune(tree, keep=1, grace_s=0, now_s=0),
        lambda: deploy(site(), [lock(blobs, "new")], blobs, tree, channels=[HUB]),
        lambda: deploy(site(name="second"), [], blobs, tree, channels=[HUB]),
    ):
        with pytest.raises(InvalidValue) as caught:
            act()
        assert caught.value.code in ("D012", "D019")
        assert caught.value.hint
        assert before <= everything()
    assert any(p.startswith(".ssds/sites/example") for p in check_tree(tree).problems)


def test_what_must_live_is_checked_after_a_removal(tree: str) -> None:
    entry = read_deployed(tree, "example").entries[0]
    os.unlink(f"{tree}/.flat/{first_image(entry).hex[:2]}/{first_image(entry).hex}/usr/bin/tool")
    with pytest.raises(IntegrityError, match="after the removal"):
        prune(tree, keep=1, grace_s=0, now_s=0)


@pytest.mark.parametrize("verb", ["rollback", "prune"])
def test_killed_anywhere_the_tree_is_sound_and_the_next_run_completes(
    tree: str, in_memory: str, verb: str
) -> None:
    acts = {
        "rollback": lambda where: rollback("example", where, to=1),
        "prune": lambda where: prune(where, keep=1, grace_s=0, now_s=0),
    }
    shutil.copytree(tree, f"{in_memory}/whole", symlinks=True)
    act = acts[verb]
    points = points_of(functools.partial(act, f"{in_memory}/whole"), f"{in_memory}/trace", "deploy")
    assert len(points) > 3
    for point in points:
        where = f"{in_memory}/at"
        shutil.copytree(tree, where, symlinks=True)
        assert forked(functools.partial(act, where), kill=point) == KILLED
        for entry in read_deployed(where, "example").entries:
            path = f"{where}/sites/example/wrappers/{entry.name}/{entry.full}/bin/tool"
            assert os.access(path, os.X_OK)
        act(where)
        assert sound(where), point
        assert now(where) == (1 if verb == "rollback" else 3)
        left = [n for _, d, f in os.walk(where) for n in (*d, *f) if n.startswith(".ssds-tmp")]
        assert left == []
        shutil.rmtree(where)


def test_a_repair_that_cannot_end_leaves_a_damaged_image_to_who_uses_it(
    in_memory: str, blobs: Blobs
) -> None:
    made = lock(blobs, "one")
    tree = f"{in_memory}/tree"
    deploy(site(), [made], blobs, tree)
    image_of = first_image(read_deployed(tree, "example").entries[0])
    root = f"{tree}/.flat/{image_of.hex[:2]}/{image_of.hex}"
    Path(f"{root}/usr/bin/more").write_text("x")
    half = made.variants[""].platforms[AMD64].release
    assert half is not None
    layer = half.layers[0]
    places = [blobs.path(d) for d in (layer.diff_id, layer.digest) if blobs.has(d)]
    kept = {place: Path(place).read_bytes() for place in places}
    for place, data in kept.items():
        os.chmod(place, 0o644)
        Path(place).write_bytes(data[:-1] + b"!")
    with pytest.raises(IntegrityError):
        deploy(site(), [made], blobs, tree, repair=True)
    assert os.access(f"{tree}/sites/example/wrappers/tool/1.0/bin/tool", os.X_OK)
    assert os.path.isfile(f"{root}/usr/bin/tool")
    assert os.path.isfile(f"{tree}/.ssds/images/{image_of.hex[:2]}/{image_of.hex}.json")
    for place, data in kept.items():
        Path(place).write_bytes(data)
    assert deploy(site(), [made], blobs, tree, repair=True).images_written == 1
    assert sound(tree)
