"""Parts: a deployment writes what differs, and generations share the rest."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from kill_points import KILLED, forked
from ship_makers import AMD64, digest_of, image, release, run, script, site, small_tar

from ssds.core.digest import sha256_of
from ssds.core.records import replace
from ssds.lock.model import Lock, VariantLock
from ssds.oci.blobs import Blobs
from ssds.ship.checking import check_tree
from ssds.ship.composing import Current, compose
from ssds.ship.deploy import deploy, plan_deploy, read_deployed
from ssds.ship.generation import Entry
from ssds.ship.modules import ModuleFacts
from ssds.ship.prune import prune
from ssds.ship.rollback import rollback
from ssds.ship.wrappers import ImageFacts, release_facts

NAMES = ("alpha", "beta", "gamma")


def lock(blobs: Blobs, name: str, text: str = "one", before: Lock | None = None) -> Lock:
    half = image(blobs, [small_tar({f"usr/bin/{name}": script(f"echo {text}")})], [name], {})
    return release(blobs, half, name=name, before=before)


@pytest.fixture
def blobs(in_memory: str) -> Blobs:
    return Blobs(f"{in_memory}/blobs")


@pytest.fixture
def locks(blobs: Blobs) -> list[Lock]:
    return [lock(blobs, name) for name in NAMES]


@pytest.fixture
def tree(in_memory: str, blobs: Blobs, locks: list[Lock]) -> str:
    deploy(site(), locks, blobs, f"{in_memory}/tree")
    return f"{in_memory}/tree"


def parts(tree: str) -> set[str]:
    return set(os.listdir(f"{tree}/.ssds/sites/example/parts"))


def part_of(tree: str, name: str) -> str:
    return read_deployed(tree, "example").shares[name].part


def test_one_changed_release_writes_one_part(tree: str, blobs: Blobs, locks: list[Lock]) -> None:
    before, alpha = parts(tree), part_of(tree, "alpha")
    inode = os.stat(f"{tree}/sites/example/modules/beta/1.0.lua").st_ino
    changed = [lock(blobs, "alpha", "two", locks[0]), *locks[1:]]
    assert deploy(site(), changed, blobs, tree).generation == 2
    assert len(parts(tree) - before) == 1
    assert part_of(tree, "alpha") != alpha
    assert os.stat(f"{tree}/sites/example/modules/beta/1.0.lua").st_ino == inode
    assert check_tree(tree).problems == ()


def test_what_was_shared_is_what_composing_it_anew_gives(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    changed = [lock(blobs, "alpha", "two", locks[0]), *locks[1:]]
    deploy(site(), changed, blobs, tree)
    deploy(site(), changed[:2], blobs, tree)
    assert not deploy(site(), changed[:2], blobs, tree, repair=True).written


def test_a_word_of_the_site_reaches_every_part(tree: str, blobs: Blobs, locks: list[Lock]) -> None:
    before = parts(tree)
    deploy(site(gpu="none"), locks, blobs, tree)
    assert len(parts(tree) - before) == len(NAMES) + 1
    for name in NAMES:
        facts = f"{tree}/sites/example/wrappers/{name}/../.ssds/site"
        assert b"ssds_site_gpu='none'" in Path(facts).read_bytes()


def test_parts_go_with_the_last_generation_that_has_them(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    first, alpha = parts(tree), part_of(tree, "alpha")
    changed = [lock(blobs, "alpha", "two", locks[0]), *locks[1:]]
    deploy(site(), changed, blobs, tree)
    prune(tree, keep=2, grace_s=0, now_s=0)
    assert parts(tree) > first
    rollback("example", tree, to=1)
    assert check_tree(tree).problems == ()
    rollback("example", tree, to=2)
    prune(tree, keep=1, grace_s=0, now_s=0)
    assert first - parts(tree) == {alpha}
    assert check_tree(tree).problems == ()


def test_a_part_that_was_lost_is_refused_by_a_rollback_and_made_anew_by_a_deployment(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    deploy(site(), locks[1:], blobs, tree)
    name = part_of(tree, "beta")
    os.rename(f"{tree}/.ssds/sites/example/parts/{name}", f"{tree}/gone")
    with pytest.raises(Exception, match="gone") as caught:
        rollback("example", tree, to=1)
    assert getattr(caught.value, "code", "") == "D026"
    deploy(site(), locks[1:], blobs, tree, repair=True)
    assert check_tree(tree).problems == ()


def test_a_generation_of_an_earlier_ssds_is_followed_by_one_of_parts(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    record = Path(f"{tree}/.ssds/sites/example/1/deployment.json")
    told = json.loads(record.read_bytes())
    del told["parts"]
    record.write_text(json.dumps(told))
    assert deploy(site(), locks[1:], blobs, tree).generation == 2
    assert check_tree(tree).problems == ()


def test_the_bytes_of_a_part_change_with_its_form_only() -> None:
    """Where they change, raise ``ssds.ship.releases.FORM``: trees keep parts of the same form."""
    digest = digest_of("image")
    facts = ImageFacts(folder=f".flat/{digest.hex}", programs={"tool": "/usr/bin/tool"})
    entry = Entry(
        name="tool",
        version="1.0",
        variant="",
        revision=1,
        module="1.0",
        images={"linux/amd64": digest},
        commands=("tool",),
    )
    release = Current(
        entry=entry,
        facts=ModuleFacts(
            name="tool", version="1.0", revision=1, image=str(digest), commands=("tool",)
        ),
        wrapper=release_facts(release="tool@1.0-r1", images={AMD64: facts}, defaults={"A": "b"}),
    )
    made = compose(site(modules="both"), [release])
    part = made.parts[made.shares["tool"].part]
    del part.links["wrappers/.ssds"]  # the scripts, which the record names too
    assert part.name[:16] == "95fb7453dd430c5c"


def test_wrappers_and_modules_of_a_moved_tree_find_their_part(tree: str, in_memory: str) -> None:
    moved = f"{in_memory}/moved"
    os.rename(tree, moved)
    done = run([f"{moved}/sites/example/bin/beta"], SSDS_RUNTIME="none")
    assert b"SSDS_RUNTIME is 'none'" in done.stderr  # its facts, its site and its image were found


@pytest.mark.parametrize("name", ["beta", ".ssds"])
def test_a_part_that_was_lost_is_written_by_the_next_deployment(
    tree: str, blobs: Blobs, locks: list[Lock], name: str
) -> None:
    shutil.rmtree(f"{tree}/.ssds/sites/example/parts/{part_of(tree, name)}")
    assert plan_deploy(site(), locks, blobs, tree).rewritten
    assert deploy(site(), locks, blobs, tree).written
    assert check_tree(tree).problems == ()
    assert not plan_deploy(site(), locks, blobs, tree).rewritten
    assert not deploy(site(), locks, blobs, tree).written


def damage(tree: str, name: str) -> str:
    module = os.path.realpath(f"{tree}/sites/example/modules/{name}/1.0.lua")
    with open(module, "ab") as file:
        file.write(b" ")
    return module


HOW = ("changed", "gone", "strange", "hostile", "no list", "nothing", "pipe", "pipe for the list")


@pytest.mark.parametrize("how", [*HOW, "another list", "deep"])
def test_copies_of_locks_are_compared_and_repaired(
    tree: str, blobs: Blobs, locks: list[Lock], how: str
) -> None:
    part = Path(tree, ".ssds/sites/example/parts", part_of(tree, "beta"))
    copy = part / "locks/beta@1.0.lock.json"
    assert b"beta" in copy.read_bytes()
    if how == "changed":
        copy.write_bytes(copy.read_bytes() + b" ")
    elif how == "gone":
        copy.unlink()
    elif how == "strange":
        (part / "locks/more.json").write_text("{}")
    elif how == "pipe":
        copy.unlink()
        os.mkfifo(copy)
    else:
        listed = part / "locks.json"
        listed.unlink()
        if how == "nothing":
            shutil.rmtree(part / "locks")
        elif how == "pipe for the list":
            os.mkfifo(listed)
        elif how == "another list":
            copy.write_text("{}")
            listed.write_text(json.dumps({f"locks/{copy.name}": str(sha256_of(b"{}"))}))
        elif how == "deep":
            listed.write_text("[" * 200_000)
        elif how == "hostile":
            listed.write_text('{"locks/../../../../tree.json": "sha256:0"}')
    (problem,) = check_tree(tree).problems
    assert part.name in problem or problem.startswith(".ssds/sites/example/1/locks")
    assert deploy(site(), locks, blobs, tree, repair=True).written
    assert check_tree(tree).problems == ()


def test_a_list_of_copies_that_no_record_told_of_is_compared_as_far_as_it_goes(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    part = Path(tree, ".ssds/sites/example/parts", part_of(tree, "beta"))
    record = Path(tree, ".ssds/sites/example/1/deployment.json")
    told = json.loads(record.read_bytes())
    assert part.name in told.pop("copies")
    record.write_text(json.dumps(told))
    for text, problem in (("[" * 200_000, "cannot be read"), ('{"a": ""}', "is no copy"), ("", "")):
        (part / "locks.json").write_text(text or "{}")
        (found,) = check_tree(tree).problems
        assert (problem or "nobody deployed it") in found
    (part / "locks.json").unlink()
    assert check_tree(tree).problems == ()  # as an earlier ssds left it


def test_a_rollback_after_a_repair_finds_the_copies_that_the_repair_wrote(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    part = Path(tree, ".ssds/sites/example/parts", part_of(tree, "beta"))
    before = (part / "locks.json").read_bytes()
    shutil.rmtree(part / "locks")
    later = replace(locks[1], variants={**locks[1].variants, "mpich": VariantLock()})
    deploy(site(), [locks[0], later, locks[2]], blobs, tree, repair=True)
    assert (part / "locks.json").read_bytes() != before
    assert check_tree(tree).problems == ()
    rollback("example", tree, to=1)
    assert check_tree(tree).problems == ()


@pytest.mark.parametrize(
    "path",
    ["listing.json", "deployment.json", "lmod.json", "modules/beta/1.0.lua", "links.json"],
)
def test_a_pipe_where_a_file_belongs_is_told_and_never_waited_for(tree: str, path: str) -> None:
    place = os.path.realpath(f"{tree}/sites/example/{path}")
    Path(place).unlink(missing_ok=True)
    os.mkfifo(place)
    assert check_tree(tree).problems != ()


def test_a_repair_does_not_touch_parts_of_other_generations(
    tree: str, blobs: Blobs, locks: list[Lock]
) -> None:
    damage(tree, "beta")
    changed = [locks[0], lock(blobs, "beta", "two", locks[1]), locks[2]]
    assert deploy(site(), changed, blobs, tree, repair=True).generation == 2
    assert check_tree(tree).problems == ()
    rollback("example", tree, to=1)
    assert os.path.exists(f"{tree}/sites/example/modules/beta/1.0.lua")
    assert check_tree(tree).problems != ()  # it is as it was
    assert deploy(site(), locks, blobs, tree, repair=True).written
    assert check_tree(tree).problems == ()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_repair_that_is_killed_leaves_each_part_where_it_is_or_the_next_run_makes_it(
    tree: str, blobs: Blobs, locks: list[Lock], exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:  # a file system that cannot let two folders change places
        monkeypatch.setattr("ssds.host.folders._exchange", lambda *_: False)
    module = damage(tree, "beta")
    for point in ("open", "synced", "renamed"):
        assert (
            forked(
                lambda: deploy(site(), locks, blobs, tree, repair=True),
                kill=f"deploy.parts.{point}:1",
            )
            == KILLED
        )
        assert os.path.isfile(module)
    deploy(site(), locks, blobs, tree, repair=True)
    assert check_tree(tree).problems == ()
    assert [n for n in parts(tree) if n.startswith(".")] == []
