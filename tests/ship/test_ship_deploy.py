"""Deployments: whole generations, shared images, crashes, strangers' files, hostile images."""

from __future__ import annotations

import functools
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kill_points import KILLED, forked, points_of
from ship_makers import (
    ABOUT,
    AMD64,
    first_image,
    image,
    release,
    root_tar,
    run,
    script,
    site,
    small_tar,
    tool_layer,
    tool_lock,
)

from ssds.core.errors import IntegrityError, InvalidValue, Refused, SsdsError, UnavailableError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.lock.model import Lock, releasable
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship import tree
from ssds.ship.deploy import deploy, plan_deploy, read_deployed
from ssds.ship.images import find_program, image_problems, inside
from ssds.ship.links import link_steps
from ssds.ship.prune import prune
from ssds.ship.sites import select, wanted

TOOL = small_tar({"usr/bin/tool": script("echo one"), "etc/x": b"x"})


@pytest.fixture
def blobs(tmp_path: object) -> Blobs:
    return Blobs(f"{tmp_path}/blobs")


@pytest.fixture
def target(tmp_path: object) -> str:
    return f"{tmp_path}/tree"


def small(blobs: Blobs, *layers: bytes, **options: object) -> Lock:
    half = image(blobs, layers or [TOOL], ["tool"], {"PATH": "/usr/bin"})
    return release(blobs, half, **options)  # type: ignore[arg-type]


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def listing(folder: str) -> dict[str, tuple[int, int]]:
    found = {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(f"{base}/{name}")
            found[f"{base}/{name}"] = (status.st_ino, status.st_mtime_ns)
    return found


def verbs(report_changes: object) -> list[str]:
    return [c.verb for c in report_changes]  # type: ignore[attr-defined]


def test_a_second_deploy_writes_nothing_and_says_so(blobs: Blobs, target: str) -> None:
    lock = small(blobs)
    first = deploy(site(), [lock], blobs, target)
    assert (first.written, first.generation, first.images_written) == (True, 1, 1)
    before = listing(target)
    again = deploy(site(), [lock], blobs, target)
    assert (again.written, again.generation, again.images_written) == (False, 1, 0)
    assert verbs(again.changes) == ["="]
    assert listing(target) == before


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o777])
def test_a_strict_umask_makes_no_tree_that_only_its_maker_can_read(
    blobs: Blobs, target: str, umask: int
) -> None:
    lock = small(blobs)
    before = os.umask(umask)
    try:
        deploy(site(), [lock], blobs, f"{target}/below")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    for base, folders, files in os.walk(target):
        for name in (*folders, *files, "."):
            mode = os.stat(f"{base}/{name}").st_mode
            wanted = 0o555 if os.path.isdir(f"{base}/{name}") else 0o444
            assert mode & 0o777 & wanted == wanted, f"{base}/{name} has the mode {mode:o}"
            assert not mode & 0o022


def test_a_plan_of_a_deployment_reads_only(blobs: Blobs, target: str) -> None:
    assert verbs(plan_deploy(site(), [small(blobs)], blobs, target).changes) == ["+"]
    assert not os.path.exists(target)


def test_a_new_revision_takes_the_public_name_and_the_old_one_stays(
    blobs: Blobs, target: str
) -> None:
    one = small(blobs)
    deploy(site(), [one], blobs, target)
    old_module = content(f"{target}/sites/example/modules/tool/1.0-r1.lua")
    two = small(blobs, TOOL, small_tar({"usr/bin/tool": script("echo two")}), before=one)
    report = deploy(site(), [two], blobs, target)
    assert [(c.verb, c.reason) for c in report.changes] == [("+", "r1 becomes r2")]
    assert sorted(os.listdir(f"{target}/sites/example/modules/tool")) == [
        ".modulerc.lua", "1.0-r1.lua", "1.0-r2.lua", "1.0.lua",
    ]  # fmt: skip
    assert content(f"{target}/sites/example/modules/tool/1.0-r1.lua") == old_module
    assert b"1.0-r2/bin" in content(f"{target}/sites/example/modules/tool/1.0.lua")
    assert os.readlink(f"{target}/sites/example/wrappers/tool/1.0") == "1.0-r2"
    third = deploy(site(), [two], blobs, target)
    assert not third.written
    assert len(read_deployed(target, "example").entries) == 2


def test_a_rollback_is_a_deploy_of_the_older_lock(blobs: Blobs, target: str) -> None:
    one = small(blobs)
    two = small(blobs, small_tar({"usr/bin/tool": script("echo two")}), before=one)
    for lock in (one, two, one):
        deploy(site(), [lock], blobs, target)
    assert os.readlink(f"{target}/sites/example/wrappers/tool/1.0") == "1.0-r1"
    assert os.path.exists(f"{target}/sites/example/modules/tool/1.0-r2.lua")


def test_a_metadata_change_replaces_the_module_and_keeps_the_revision(
    blobs: Blobs, target: str
) -> None:
    one = small(blobs)
    deploy(site(), [one], blobs, target)
    about = {"fields": {**ABOUT["fields"], "summary": "New words"}}  # type: ignore[dict-item]
    changed = small(blobs, before=one, about=about)
    report = deploy(site(), [changed], blobs, target)
    assert report.written
    assert report.images_written == 0
    assert b"New words" in content(f"{target}/sites/example/modules/tool/1.0.lua")
    assert not os.path.exists(f"{target}/sites/example/modules/tool/1.0-r2.lua")


def test_two_releases_share_one_image(blobs: Blobs, target: str) -> None:
    half = image(blobs, [TOOL], ["tool"], {})
    locks = [release(blobs, half), release(blobs, half, name="twin")]
    assert deploy(site(), locks, blobs, target).images_written == 1


def test_uncompressed_layers_serve_when_the_compressed_are_not_here(
    blobs: Blobs, target: str
) -> None:
    lock = small(blobs)
    layer = lock.variants[""].platforms[AMD64].release.layers[0]  # type: ignore[union-attr]
    blobs.put(TOOL)
    blobs.remove(layer.digest)
    deploy(site(), [lock], blobs, target)
    assert find_program(_image(target), "tool", "/usr/bin") == "/usr/bin/tool"


def _image(target: str) -> str:
    (entry,) = read_deployed(target, "example").entries
    return f"{target}/.flat/{first_image(entry).hex[:2]}/{first_image(entry).hex}"


def test_missing_bytes_are_named_and_nothing_appears(blobs: Blobs, target: str) -> None:
    lock = small(blobs)
    layer = lock.variants[""].platforms[AMD64].release.layers[0]  # type: ignore[union-attr]
    blobs.remove(layer.digest)
    with pytest.raises(UnavailableError, match=layer.digest.hex[:12]):
        deploy(site(), [lock], blobs, target)
    assert not os.path.lexists(f"{target}/sites/example/modules")


@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_layer_is_refused(blobs: Blobs, target: str, packed: bool) -> None:
    lock = small(blobs)
    layer = lock.variants[""].platforms[AMD64].release.layers[0]  # type: ignore[union-attr]
    digest = layer.digest
    if not packed:
        digest = blobs.put(TOOL)
    path = blobs.path(digest)
    data = bytearray(content(path))
    data[len(data) // 2] ^= 1
    os.chmod(path, 0o644)
    with open(path, "wb") as file:
        file.write(data)
    with pytest.raises(IntegrityError):
        deploy(site(), [lock], blobs, target)
    assert not os.path.lexists(f"{target}/sites/example/modules")
    assert not any(len(name) >= 64 for _, d, f in os.walk(target) for name in (*d, *f))


def test_strangers_files_are_never_touched(blobs: Blobs, target: str) -> None:
    os.makedirs(target)
    with open(f"{target}/mine", "w") as file:
        file.write("x")
    with pytest.raises(Refused, match="not made by ssds"):
        deploy(site(), [small(blobs)], blobs, target)
    assert os.listdir(target) == ["mine"]


def test_files_that_appear_in_our_tree_stay(blobs: Blobs, target: str) -> None:
    lock = small(blobs)
    deploy(site(), [lock], blobs, target)
    for path in ("notes", ".flat/notes", ".flat/zz", ".ssds/images/zz"):
        os.makedirs(f"{target}/{path}")
    two = small(blobs, small_tar({"usr/bin/tool": script("echo two")}), before=lock)
    deploy(site(), [two], blobs, target)
    prune(target, keep=1, grace_s=0, now_s=0)
    assert os.path.isdir(f"{target}/notes")
    assert os.path.isdir(f"{target}/.flat/notes")


def test_two_sites_share_images_and_each_has_its_own_generations(blobs: Blobs, target: str) -> None:
    one = small(blobs)
    assert deploy(site(), [one], blobs, target).images_written == 1
    report = deploy(site(name="other"), [one], blobs, target)
    assert (report.generation, report.images_written) == (1, 0)
    two = small(blobs, small_tar({"usr/bin/tool": script("echo two")}), before=one)
    assert deploy(site(), [two], blobs, target).generation == 2
    assert os.readlink(f"{target}/sites/example/wrappers/tool/1.0") == "1.0-r2"
    assert os.readlink(f"{target}/sites/other/wrappers/tool/1.0") == "1.0-r1"
    prune(target, keep=1, grace_s=0, now_s=0)
    for name in ("example", "other"):
        for entry in read_deployed(target, name).entries:
            assert entry.current is False or image_problems(target, first_image(entry)) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".ssds-site.json", '{"site_version": 1, "site": "example"}'),
        (".ssds/tree.json", '{"tree_version": 99}'),
    ],
)
def test_a_tree_of_another_form_is_refused(blobs: Blobs, target: str, path: str, text: str) -> None:
    os.makedirs(os.path.dirname(f"{target}/{path}"))
    with open(f"{target}/{path}", "w") as file:
        file.write(text)
    before = listing(target)
    with pytest.raises(Refused, match="this ssds writes the form 1") as caught:
        deploy(site(), [small(blobs)], blobs, target)
    assert caught.value.code == "D017"
    assert listing(target) == before


def test_more_removals_than_allowed_are_refused(blobs: Blobs, target: str) -> None:
    locks = [small(blobs, name=f"tool{n}") for n in range(4)]
    deploy(site(), locks, blobs, target)
    before = listing(target)
    with pytest.raises(Refused, match="would remove 3"):
        deploy(site(), locks[:1], blobs, target, allow_remove=2)
    assert listing(target) == before
    report = deploy(site(), locks[:1], blobs, target, allow_remove=3)
    assert verbs(report.changes) == ["=", "-", "-", "-"]
    assert os.listdir(f"{target}/sites/example/modules") == ["tool0"]


def test_a_command_that_the_image_lacks_is_refused(blobs: Blobs, target: str) -> None:
    half = image(blobs, [TOOL], ["tool", "ghost"], {"PATH": "/usr/bin"})
    with pytest.raises(Refused, match="ghost"):
        deploy(site(), [release(blobs, half)], blobs, target)
    assert not os.path.lexists(f"{target}/sites/example/modules")


def test_prune_removes_old_generations_and_images_that_none_names(
    blobs: Blobs, target: str
) -> None:
    one, other = small(blobs), small(blobs, small_tar({"usr/bin/tool": b"y"}), name="other")
    deploy(site(), [one, other], blobs, target)
    image_of_other = other.variants[""].platforms[AMD64].release.config.digest  # type: ignore[union-attr]
    deploy(site(), [one], blobs, target)
    removed = prune(target, keep=1, grace_s=0, now_s=0)
    assert ".ssds/sites/example/1" in removed
    assert any(image_of_other.hex in path for path in removed)
    assert image_problems(target, first_image(read_deployed(target, "example").entries[0])) == []
    assert not deploy(site(), [one], blobs, target).written


def test_a_prune_of_one_site_removes_later_what_only_its_generations_had(
    blobs: Blobs, target: str
) -> None:
    one, other = small(blobs), small(blobs, small_tar({"usr/bin/tool": b"y"}), name="other")
    deploy(site(), [one, other], blobs, target)
    deploy(site(name="second"), [one], blobs, target)
    gone = other.variants[""].platforms[AMD64].release.config.digest  # type: ignore[union-attr]
    deploy(site(), [one], blobs, target)

    def pruned(only: str, now_s: float) -> tuple[str, ...]:
        return prune(target, keep=1, grace_s=100, now_s=now_s, only=only)

    assert ".ssds/sites/example/1" in pruned("example", 0)  # its image waits
    assert pruned("second", 200) == ()
    assert any(gone.hex in path for path in pruned("example", 200))
    assert gone.hex not in Path(target, ".ssds/unused.json").read_text()


def test_an_image_that_lost_files_is_found(blobs: Blobs, target: str) -> None:
    deploy(site(), [small(blobs)], blobs, target)
    digest = first_image(read_deployed(target, "example").entries[0])
    os.unlink(f"{_image(target)}/usr/bin/tool")
    assert "files" in image_problems(target, digest)[0]


def test_a_damaged_record_is_said(blobs: Blobs, target: str) -> None:
    deploy(site(), [small(blobs)], blobs, target)
    for text in ("{", "[]", '{"deployment_version": 9}', '{"deployment_version": 1}'):
        with open(f"{target}/.ssds/sites/example/1/deployment.json", "w") as file:
            file.write(text)
        with pytest.raises(SsdsError, match="damaged"):
            deploy(site(), [small(blobs)], blobs, target)


def test_a_tree_that_another_run_makes_meanwhile_is_ours(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = tree._strange

    def late(folder: str, names: list[str]) -> bool:
        Path(f"{folder}/{tree.TREE_FILE}").write_bytes(tree.tree_file())
        return strange(folder, names)

    os.makedirs(f"{target}/{tree.OURS}")
    monkeypatch.setattr(tree, "_strange", late)
    assert tree.check_owner(target)


def test_two_deploys_at_once_end_with_one_sound_tree(blobs: Blobs, target: str) -> None:
    lock = tool_lock(blobs)
    errors: list[BaseException] = []

    def go() -> None:
        try:
            deploy(site(), [lock], blobs, target)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read_deployed(target, "example").number == 1


# -- hostile images ------------------------------------------------------------------------------


def info(name: str, kind: bytes, link: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


HOSTILE: list[Callable[[str], bytes]] = [
    lambda out: small_tar({"../escape": b"x"}),
    lambda out: small_tar({f"{out}/escape": b"x"}),
    lambda out: small_tar({"l": out, "l/escape": b"x"}),
    lambda out: small_tar({"a/../../escape": b"x"}),
    lambda out: small_tar({"h": info("h", tarfile.LNKTYPE, f"{out}/secret")}),
    lambda out: small_tar({"h": info("h", tarfile.LNKTYPE, "../../../../secret")}),
    lambda out: small_tar({"etc": out, "etc/.wh.secret": b""}),
    lambda out: b"not a tar" * 200,
    lambda out: TOOL[:-1500],
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_layer_writes_nothing_outside(
    number: int, blobs: Blobs, target: str, tmp_path: object
) -> None:
    outside = f"{tmp_path}/outside"
    os.mkdir(outside)
    with open(f"{outside}/secret", "w") as file:
        file.write("s")
    lock = small(blobs, TOOL, HOSTILE[number](outside))
    try:
        deploy(site(), [lock], blobs, target)
    except SsdsError:
        assert not os.path.lexists(f"{target}/sites/example/modules")
    assert os.listdir(outside) == ["secret"]
    assert content(f"{outside}/secret").decode() == "s"
    assert sorted(os.listdir(str(tmp_path))) in (
        ["blobs", "outside", "tree"], ["blobs", "outside"],
    )  # fmt: skip


def test_bind_points_are_not_made_through_links(
    blobs: Blobs, target: str, tmp_path: object
) -> None:
    outside = f"{tmp_path}/outside"
    os.mkdir(outside)
    links = small_tar({"usr/bin/tool": b"x", "etc": outside, "var": outside, "tmp": outside})
    deploy(site(), [small(blobs, links)], blobs, target)
    assert os.listdir(outside) == []


def test_devices_are_dropped_and_reported_and_setuid_is_lost(blobs: Blobs, target: str) -> None:
    odd = small_tar(
        {
            "dev/x": info("dev/x", tarfile.CHRTYPE),
            "run/f": info("run/f", tarfile.FIFOTYPE),
            "su": info("su", tarfile.REGTYPE, mode=0o4700),
        }
    )
    report = deploy(site(), [small(blobs, TOOL, odd)], blobs, target)
    assert [path for _, path, _ in report.notes] == ["dev/x", "run/f"]
    assert os.stat(f"{_image(target)}/su").st_mode & 0o7777 == 0o755


def test_programs_are_found_inside_the_image_only(tmp_path: object) -> None:
    root = f"{tmp_path}/root"
    os.makedirs(f"{root}/usr/bin")
    with open(f"{root}/usr/bin/real", "w") as file:
        os.fchmod(file.fileno(), 0o755)
    for name, link in {
        "absolute": "/usr/bin/real", "relative": "real", "up": "../../../../usr/bin/real",
        "host": "/bin/true", "loop": "loop", "folder": "/usr",
    }.items():  # fmt: skip
        os.symlink(link, f"{root}/usr/bin/{name}")
    os.symlink("usr/bin", f"{root}/bin")
    found = {n for n in os.listdir(f"{root}/usr/bin") if find_program(root, n, "/x:bin:/bin")}
    assert found == {"real", "absolute", "relative", "up"}
    assert inside(root, "/bin/absolute") == f"{root}/usr/bin/real"


# -- what a site gets ------------------------------------------------------------------------------


def test_a_site_takes_and_leaves_by_selectors(blobs: Blobs) -> None:
    locks = [small(blobs, name=n, version=v) for n, v in (("a", "1"), ("a", "2"), ("b", "1"))]
    picked = select(site(include=("a", "b@1"), exclude=("a@2",)), locks)
    assert [str(p.released.id) for p in picked.picks] == ["a@1", "b@1"]
    assert wanted(site(include=("a@1",)), ReleaseName("a", "1", "mpi"))
    assert not wanted(site(exclude=("a@1+mpi",)), ReleaseName("a", "1", "mpi"))
    only_arm = select(site(platforms=(Platform("linux/arm64"),)), locks)
    assert only_arm.picks == ()
    assert only_arm.left_out[0] == ("a@1", "built for linux/amd64 only")


def test_two_releases_with_one_module_name_are_refused(blobs: Blobs) -> None:
    locks = [small(blobs, version="1-mpi"), small(blobs, version="1", variant="mpi")]
    with pytest.raises(InvalidValue, match="both be the module"):
        select(site(), locks)


# -- crashes -------------------------------------------------------------------------------------

HUB = Channel(name="hub", kind="registry", location="registry.example.org/lab")


def test_killed_at_any_write_point_readers_see_the_old_tree_or_the_new(
    blobs: Blobs, in_memory: str
) -> None:
    one = small(blobs)
    two = small(blobs, TOOL, small_tar({"usr/bin/tool": script("echo two")}), before=one)
    for start in (False, True):
        base = f"{in_memory}/base-{start}"
        if start:
            deploy(site(), [one], blobs, base, channels=[HUB])

        def act(target: str, lock: Lock = two if start else one) -> None:
            deploy(site(), [lock], blobs, target, channels=[HUB])

        def copied(name: str, base: str = base, start: bool = start) -> str:
            if start:
                shutil.copytree(base, f"{base}-{name}", symlinks=True)
            return f"{base}-{name}"

        whole = copied("whole")
        points = points_of(functools.partial(act, whole), f"{in_memory}/trace", "deploy")
        assert len(points) > 20
        for point in points:
            target = copied(point)
            assert forked(functools.partial(act, target), kill=point) == KILLED
            check_whole(target, start)
            act(target)
            assert read_deployed(target, "example").number == 1 + start
            check_whole(target, True)
            assert link_steps(target, "example").empty
            left = [n for _, d, f in os.walk(target) for n in (*d, *f) if n.startswith(".ssds-tmp")]
            assert left == []
            shutil.rmtree(target)


def check_whole(target: str, must: bool) -> None:
    """What a reader finds is whole: each module's commands are there, each image complete."""
    found = read_deployed(target, "example")
    assert found.number or not must
    for entry in found.entries:
        assert image_problems(target, first_image(entry)) == []
        generation = f"{target}/.ssds/sites/example/current"
        assert os.path.exists(f"{generation}/modules/{entry.name}/{entry.full}.lua")
        for command in entry.commands:
            path = f"{generation}/wrappers/{entry.name}/{entry.full}/bin/{command}"
            assert os.access(path, os.X_OK)
    for name in ("modules", "wrappers"):
        if os.path.lexists(f"{target}/sites/example"):
            assert os.path.isdir(f"{target}/sites/example/{name}/")


@pytest.mark.component("sandbox")
def test_a_tree_needs_neither_python_nor_ssds(blobs: Blobs, tmp_path: object) -> None:
    target = f"{tmp_path}/tree"
    half = image(blobs, [root_tar(), tool_layer()], ["tool"], {"PATH": "/usr/bin"})
    deploy(site(runtimes=("plain",)), [release(blobs, half)], blobs, target)
    found = json.dumps(list(listing(target)))
    assert ".py" not in found
    done = run([f"{target}/sites/example/wrappers/tool/1.0/bin/tool", "x"], PATH="/nonexistent")
    assert done.stdout == b"x\n"


def test_a_plan_says_what_a_deployment_of_the_same_releases_would_write_anew(
    tmp_path: Path,
) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    target, locks = str(tmp_path / "tree"), [small(blobs)]
    assert plan_deploy(site(), locks, blobs, target).rewritten
    deploy(site(), locks, blobs, target)
    assert not plan_deploy(site(), locks, blobs, target).rewritten
    for changed in (site(naming="category"), site(binds=("/data",))):
        planned = plan_deploy(changed, locks, blobs, target)
        assert verbs(planned.changes) == ["="]
        assert planned.rewritten
        deploy(changed, locks, blobs, target)
        assert not plan_deploy(changed, locks, blobs, target).rewritten


def test_a_plan_names_the_bytes_that_a_deployment_would_lack_and_writes_nothing(
    tmp_path: Path,
) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    lock = small(blobs)
    (released,) = releasable(lock)
    (half,) = released.platforms.values()
    blobs.remove(half.layers[0].digest)
    planned = plan_deploy(site(), [lock], blobs, str(tmp_path / "tree"))
    assert [digest for _, digest in planned.missing] == [half.layers[0].digest]
    assert not (tmp_path / "tree").exists()
