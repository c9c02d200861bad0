"""New releases beside what others deployed: old paths stay, and nothing of others is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kill_points import forked, points_of
from module_systems import LMOD, shell_in
from old_places import Place
from old_tree import make_lists, make_tree, old_releases, state_of
from ship_makers import AMD64, image, release, root_tar, run, script, site, small_tar

from ssds.core.errors import Refused
from ssds.core.model import ReleaseName
from ssds.lock.model import Adoption, Lock, PlatformLock, VariantLock, Withdrawal
from ssds.lock.write import with_variant
from ssds.oci.blobs import Blobs
from ssds.ship.checking import check_tree
from ssds.ship.deploy import DeployReport, deploy, plan_deploy
from ssds.ship.links import owned_paths
from ssds.ship.prune import prune
from ssds.ship.rollback import rollback
from ssds.ship.tree import image_path, read_deployed

EPOCH = 1767225600  # 2026-01-01
ABOUT = {
    "metadata_version": 1,
    "fields": {"summary": "FSL", "licenses": ["MIT"], "categories": ["functional imaging"]},
}
SITE = site(views=("neurodesk",), runtimes=("plain",))
NEW = "fsl_7.0_20260101"


def dated(lock: Lock, epoch: int = EPOCH) -> Lock:
    """The lock with a day of its pinned inputs."""
    name = ReleaseName("fsl", "7.0", "")
    variant = lock.variant(name)
    platforms = {
        p: replace(s, pins=replace(s.pins, epoch=epoch)) for p, s in variant.platforms.items()
    }
    return with_variant(lock, name, replace(variant, platforms=platforms))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Blobs, Lock, Lock]:
    """Blobs, and two revisions of a new release; the image runs."""
    blobs = Blobs(str(tmp_path_factory.mktemp("blobs")))
    found = []
    lock = None
    for mark in ("first", "second"):
        layer = small_tar({"usr/bin/fslmaths": script(f"echo {mark}"), "opt/fsl/data": b"x"})
        half = image(blobs, [root_tar(), layer], ("fslmaths",), {"PATH": "/usr/bin:/bin"})
        lock = release(blobs, half, name="fsl", version="7.0", about=ABOUT, before=lock)
        found.append(dated(lock))
    return blobs, found[0], found[1]


@pytest.fixture(scope="session")
def grown(
    made: tuple[Blobs, Lock, Lock], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, dict[str, tuple[int, int, int, int]], list[Lock], DeployReport]:
    """Sixty old releases that were adopted, with one new one beside them; never to be changed."""
    from old_places import new_workspace

    place = Place(tmp_path_factory.mktemp("grown"), tuple(old_releases(60)))
    make_tree(place.tree, place.releases)
    make_lists(place.lists, place.releases)
    (place.tree / "containers" / "theirs").mkdir()
    new_workspace(place.workspace)
    assert place.adopt() == 0
    before = state_of(place.tree)
    locks = place.locks()
    report = deploy(SITE, [*locks, made[1]], made[0], str(place.tree))
    return place, before, locks, report


Grown = tuple[Place, dict[str, tuple[int, int, int, int]], list[Lock], DeployReport]


def kept(before: dict[str, tuple[int, int, int, int]], tree: Path) -> list[str]:
    """Returns what of others is not as it was; folders may have got more entries."""
    now = state_of(tree)
    wrong = [path for path, row in before.items() if path not in now]
    for path, row in before.items():
        if path in now and now[path] != row and not os.path.isdir(tree / path):
            wrong.append(path)
    return wrong


def test_a_new_release_arrives_and_no_old_file_changes(
    made: tuple[Blobs, Lock, Lock], grown: Grown
) -> None:
    place, before, locks, report = grown
    assert kept(before, place.tree) == []
    verbs = [change.verb for change in report.changes]
    assert (verbs.count("="), verbs.count("+"), verbs.count("-")) == (60, 1, 0)
    assert [c.what for c in report.changes if c.verb == "unmanaged"] == ["containers/theirs"]
    assert not report.left_out
    after = state_of(place.tree)
    planned = plan_deploy(SITE, [*locks, made[1]], made[0], str(place.tree))
    assert not planned.rewritten
    assert {c.verb for c in planned.changes} == {"=", "unmanaged"}
    assert not deploy(SITE, [*locks, made[1]], made[0], str(place.tree)).written
    assert state_of(place.tree) == after
    assert check_tree(str(place.tree)).problems == ()
    assert place.adopt() == 0  # what is generated is never read back
    assert len(list((place.workspace / "lockfiles").iterdir())) == 60


def test_the_new_release_stands_under_paths_of_the_old_layout_and_runs(grown: Grown) -> None:
    containers = grown[0].tree / "containers"
    folder = containers / NEW
    assert (folder / f"{NEW}.simg" / "opt" / "fsl" / "data").read_bytes() == b"x"
    assert (folder / "commands.txt").read_text() == "fslmaths\n"
    done = run([str(folder / "fslmaths")])
    assert (done.returncode, done.stdout) == (0, b"first\n"), done.stderr


@pytest.mark.component("lmod")
def test_every_old_module_name_and_the_new_one_load_in_lmod(grown: Grown) -> None:
    place = grown[0]
    by_name = {one.name: one for one in place.releases}
    words = [f"{one.name}/{one.version}" for one in by_name.values()]
    modules = place.tree / "containers" / "modules"
    text = f"module load {' '.join(words)} && module load fsl/7.0 && "
    text += "; ".join(f"command -v {one.commands[0]}" for one in by_name.values())
    done = shell_in("lmod", str(modules), text + "; command -v fslmaths; echo $PATH")
    found = done.stdout.decode().splitlines()
    assert found[-2] == f"{place.tree}/containers/{NEW}/fslmaths", done.stderr
    expected = [f"{place.tree}/containers/{o.id}/{o.commands[0]}" for o in by_name.values()]
    assert [w for w in expected if w not in found and "/fsl_" not in w and "dcm2" not in w] == []
    assert found[-1].startswith(f"{place.tree}/containers/{NEW}:")  # as fetch_and_run.sh expects
    category = place.tree / "neurodesk-modules" / "functional_imaging"
    done = shell_in("lmod", str(category), "module load fsl/7.0 && command -v fslmaths")
    assert done.stdout.decode().strip() == f"{place.tree}/containers/{NEW}/fslmaths", done.stderr


def test_a_new_revision_moves_the_module_and_the_old_path_stays(
    made: tuple[Blobs, Lock, Lock], tmp_path: Path
) -> None:
    blobs, first, second = made
    tree = str(tmp_path / "tree")
    deploy(SITE, [first], blobs, tree)
    deploy(SITE, [second], blobs, tree)
    containers = tmp_path / "tree" / "containers"
    assert sorted(os.listdir(containers)) == [NEW, "fsl_7.0_20260102", "modules"]
    said = [run([str(containers / n / "fslmaths")]).stdout for n in (NEW, "fsl_7.0_20260102")]
    assert said == [b"first\n", b"second\n"]
    module = (containers / "modules" / "fsl" / "7.0.lua").read_text()
    assert "containers/fsl_7.0_20260102" in module
    rollback("example", tree)
    assert f"containers/{NEW}" in (containers / "modules" / "fsl" / "7.0.lua").read_text()
    deploy(site(runtimes=("plain",)), [second], blobs, tree)
    assert not containers.exists()  # who wants no view has none


@pytest.mark.parametrize(
    ("epoch", "day"),
    [(EPOCH - 86400, "20260102"), (EPOCH + 864000, "20260112"), (10**15, "99991231")],
    ids=["older inputs", "newer inputs", "no day at all"],
)
def test_another_revision_has_another_and_later_day_whatever_its_inputs_say(
    made: tuple[Blobs, Lock, Lock], tmp_path: Path, epoch: int, day: str
) -> None:
    blobs, first, second = made
    tree = str(tmp_path / "tree")
    deploy(SITE, [first], blobs, tree)
    for _ in range(2):
        deploy(SITE, [dated(second, epoch)], blobs, tree)
        names = (NEW, f"fsl_7.0_{day}")
        containers = tmp_path / "tree" / "containers"
        assert sorted(os.listdir(containers)) == [*names, "modules"]
        said = [run([str(containers / name / "fslmaths")]).stdout for name in names]
        assert said == [b"first\n", b"second\n"]


def test_a_folder_of_others_of_which_nothing_was_adopted_is_refused(
    made: tuple[Blobs, Lock, Lock], few: Place
) -> None:
    before = state_of(few.tree)
    with pytest.raises(Refused, match="holds files and was not made by ssds"):
        deploy(SITE, [made[1]], made[0], str(few.tree))
    assert state_of(few.tree) == before


@pytest.mark.parametrize("above", ["", "stuff", "stuff/containers"])
def test_a_folder_somewhere_above_what_was_adopted_is_no_tree_to_deploy_into(
    made: tuple[Blobs, Lock, Lock], tmp_path: Path, above: str
) -> None:
    place = tmp_path / "home" / above / "foo_1.0.sif"
    place.parent.mkdir(parents=True)
    place.write_text("theirs")
    (tmp_path / "home" / "passwd").write_text("theirs")
    before = state_of(tmp_path)
    for folder in (tmp_path, tmp_path / "home"):
        with pytest.raises(Refused, match="holds files and was not made by ssds"):
            deploy(SITE, [adopted("old", place), made[1]], made[0], str(folder))
    assert state_of(tmp_path) == before


def test_a_tree_is_theirs_whichever_of_an_adopted_releases_places_is_in_it(
    made: tuple[Blobs, Lock, Lock], few: Place
) -> None:
    one = few.releases[0]
    image = few.tree / "containers" / one.id / f"{one.id}.simg"
    lock = adopted("old", Path("/elsewhere/old_1.sif"), image)
    report = deploy(SITE, [lock, made[1]], made[0], str(few.tree))
    kept_row = [(c.what, c.reason) for c in report.changes if c.verb == "="]
    assert kept_row == [("old/1", f"adopted, at {image}")]


def adopted(name: str, *places: Path) -> Lock:
    from ssds.core.digest import sha256_of

    half = Adoption(digest=sha256_of(name.encode()), locations=tuple(map(str, places)))
    variant = VariantLock(origin="adopted", platforms={AMD64: PlatformLock(adopted=half)})
    return Lock(name=name, version="1", variants={"": variant})


def over(adopted: Lock, built: Lock) -> Lock:
    """A build of ours in the place of what was adopted, which stays beside it."""
    variant = built.variants[""]
    was = adopted.variants[""].platforms[AMD64].adopted
    sections = {AMD64: replace(variant.platforms[AMD64], adopted=was)}
    return replace(adopted, variants={"": replace(variant, platforms=sections)})


LISTED: list[str] = []


def listens(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("os.scandir", "os.listdir", "open") and LISTED[:1] == ["on"]:
        LISTED.append(str(arguments[0]))


def test_no_command_looks_into_an_adopted_image(
    made: tuple[Blobs, Lock, Lock], few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    few.adopt()
    locks = few.locks()
    sys.addaudithook(listens)
    LISTED.append("on")
    try:
        deploy(SITE, [*locks, made[1]], made[0], str(few.tree))
        plan_deploy(SITE, [*locks, made[2]], made[0], str(few.tree))
        check_tree(str(few.tree))
        assert few.run("plan", "--no-index") == 0
    finally:
        seen = LISTED[1:]
        LISTED.clear()
    assert len(seen) > 50
    assert [path for path in seen if f"{few.tree}/containers/" in path and ".simg/" in path] == []


STRANGERS = (
    f"containers/{NEW}/theirs",
    f"containers/{NEW}",
    "containers/modules/fsl/7.0.lua",
    "containers/modules/fsl/6.0.lua",
    "containers/modules",
    "neurodesk-modules",
    "neurodesk-modules/functional_imaging/fsl/7.0.lua",
    "sites/other",
    ".multiarch",
    "notes",
)
POINTS: list[str] = []


def points(blobs: Blobs, lock: Lock) -> list[str]:
    if not POINTS:
        with tempfile.TemporaryDirectory() as folder:
            tree = f"{folder}/tree"
            POINTS.extend(points_of(lambda: deploy(SITE, [lock], blobs, tree), f"{folder}/trace"))
    return POINTS


def strange(tree: Path, names: list[str], outside: Path) -> None:
    """Puts files, and links out of the tree, where ssds would write."""
    for number, name in enumerate(names):
        place = tree / name
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            if number % 3 == 2:
                place.symlink_to(outside)
            else:
                place.write_text(f"theirs {number}")


@settings(max_examples=6, deadline=None)
@given(
    names=st.lists(st.sampled_from(STRANGERS), unique=True, max_size=4),
    steps=st.lists(
        st.tuples(st.sampled_from("ARGDWB"), st.integers(0, 200)), min_size=1, max_size=4
    ),
)
def test_nothing_of_others_is_touched_and_nothing_live_is_removed_whatever_fails(
    made: tuple[Blobs, Lock, Lock], names: list[str], steps: list[tuple[str, int]]
) -> None:
    blobs, first, second = made
    with tempfile.TemporaryDirectory() as top:
        tree, outside = Path(top, "tree"), Path(top, "outside")
        place = tree / "containers" / "old_1_20200101" / "old_1_20200101.simg"
        place.mkdir(parents=True)
        (place / "program").write_text("theirs")
        outside.mkdir()
        strange(tree, names, outside)
        old = adopted("old", place)
        gone = replace(old.variants[""], withdrawn=Withdrawal(why="x", since="2026-11-01"))
        built = over(old, first)
        before, around = state_of(tree), state_of(outside)
        known = points(blobs, first)
        for what, number in steps:
            wanted = {
                "A": [old, first],
                "D": [old, second],
                "R": [old],
                "W": [replace(old, variants={"": gone}), first],
                "B": [built, first],
                "G": [],
            }[what]
            kill = known[number % len(known)] if number % 2 else ""

            def act(what: str = what, wanted: list[Lock] = wanted) -> None:
                if what == "G":
                    prune(str(tree), now_s=2e9, keep=1, grace_s=0)
                else:
                    deploy(SITE, wanted, blobs, str(tree))

            forked(act, kill=kill)
            assert kept(before, tree) == []
            assert state_of(outside) == around
            for entry in read_deployed(str(tree), "example").entries:
                for image_digest in entry.images.values():
                    assert (tree / image_path(image_digest) / "opt/fsl/data").exists()
                if entry.adopted:
                    wrappers = f"wrappers/{entry.name}/{entry.full}/bin"
                    current = tree / ".ssds/sites/example/current"  # switched before its link
                    assert (current / wrappers).samefile(place.parent)


def test_a_kill_a_rollback_and_a_return_to_the_old_scripts_lose_nothing(
    made: tuple[Blobs, Lock, Lock], few: Place, tmp_path: Path
) -> None:
    blobs, first, second = made
    before, tree = state_of(few.tree), str(few.tree)
    assert few.adopt() == 0
    locks = few.locks()
    known = points(blobs, first)
    forked(lambda: deploy(SITE, [*locks, first], blobs, tree), kill=known[len(known) // 2])
    assert kept(before, few.tree) == []
    deploy(SITE, [*locks, first], blobs, tree)
    deploy(SITE, [*locks, second], blobs, tree)
    rollback("example", tree)
    assert run([f"{tree}/containers/{NEW}/fslmaths"]).stdout == b"first\n"

    for path in (*owned_paths(tree), "sites", ".ssds", ".flat", ".multiarch", ".metadata"):
        place = few.tree / path
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else (
            place.unlink(missing_ok=True)
        )
    now = state_of(few.tree)
    assert kept(before, few.tree) == []
    assert {path for path in now if not (few.tree / path).is_dir()} == {
        path for path in before if not (few.tree / path).is_dir()
    }
    runtime = tmp_path / "bin" / "singularity"
    runtime.parent.mkdir()
    runtime.write_text(
        '#!/bin/sh\nfor word; do case "$word" in *.simg) echo "$word";; esac; done\n'
    )
    runtime.chmod(0o755)
    for one in few.releases:
        image = f"{tree}/containers/{one.id}/{one.id}.simg"
        wrapper = f"{tree}/containers/{one.id}/{one.commands[0]}"
        done = run([wrapper], PATH=f"{runtime.parent}:{os.environ['PATH']}")
        assert done.stdout.decode().split() == [image], done.stderr
        assert os.path.exists(image)
    assert few.adopt() == 0  # the old tree is what the locks say


# -- their own programs ---------------------------------------------------------------------------


@pytest.fixture
def neurocommand() -> Path:
    folder = os.environ.get("SSDS_NEUROCOMMAND", "")
    if not folder:
        pytest.skip("SSDS_NEUROCOMMAND names no checkout of neurocommand")
    return Path(folder)


def test_their_own_check_of_modules_finds_every_build_and_module(
    neurocommand: Path, grown: Grown, tmp_path: Path
) -> None:
    place = grown[0]
    log = tmp_path / "log.txt"
    lines = (place.lists / "cvmfs" / "log.txt").read_text()
    log.write_text(f"{lines}{NEW} categories:functional imaging,\n")
    program = neurocommand / "cvmfs" / "reconcile_module_files.py"
    words = ["--repo-root", str(place.tree), "--log", str(log), "--check"]
    done = subprocess.run(
        [sys.executable, str(program), *words], capture_output=True, text=True, check=False
    )
    changes = [line for line in done.stdout.splitlines() if "/fsl/7.0" in line]
    assert "Module reconciliation" in done.stdout, done.stderr
    assert changes == []


@pytest.mark.component("lmod")
def test_their_fetch_and_run_starts_the_new_release(
    neurocommand: Path, grown: Grown, tmp_path: Path
) -> None:
    base = tmp_path / "neurodesk"
    shutil.copytree(neurocommand / "neurodesk", base)
    (base / "config.ini").write_text(f"[neurodesk]\ninstalldir={base}\n")
    text = f'module() {{ eval "$({LMOD} bash "$@")"; }}; export -f module; '
    text += f"bash -i {base}/fetch_and_run.sh fsl 7.0 fslmaths"
    done = run(
        ["bash", "-c", text],
        CVMFS_DISABLE="true",
        NEURODESKTOP_LOCAL_CONTAINERS=str(grown[0].tree / "containers"),
        HOME=str(tmp_path),
        LMOD_IGNORE_CACHE="1",
    )
    said = done.stdout.decode()
    resolved = f"Container resolved to: {grown[0].tree}/containers/{NEW}/{NEW}.simg"
    assert resolved in said, said + done.stderr.decode()
    assert said.rstrip().endswith("first")
