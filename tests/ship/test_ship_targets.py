"""The conformance of deploy targets, and what the CVMFS driver makes of each failure of its server.

``SSDS_CVMFS_REPO=NAME`` runs the conformance tests on that real repository too (its content goes).
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cvmfs_place import NAME, Server
from kill_points import KILLED, forked, points_of
from ship_makers import first_image, image, release, script, site, small_tar
from thorough import THOROUGH, some

from ssds.core.errors import EnvironmentProblem, Refused, SsdsError, UsageError
from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy, plan_deploy, read_deployed
from ssds.ship.prune import prune
from ssds.ship.rollback import rollback
from ssds.ship.targets.cvmfs import CvmfsRepository
from ssds.ship.targets.cvmfs_settings import CvmfsSettings
from ssds.ship.targets.ingest import CvmfsIngest, IngestDraft
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target
from ssds.ship.tree import image_path, marker_path

HUB = Channel(name="hub", kind="registry", location="registry.example.org/lab")


def lock(blobs: Blobs, text: str, before: Lock | None = None, name: str = "tool") -> Lock:
    half = image(blobs, [small_tar({"usr/bin/tool": script(f"echo {text}")})], ["tool"], {})
    return release(blobs, half, name=name, before=before)


@pytest.fixture
def server(in_memory: str) -> Server:
    return Server(f"{in_memory}/server")


@pytest.fixture
def blobs(in_memory: str) -> Blobs:
    return Blobs(f"{in_memory}/blobs")


def real(kind: type[CvmfsRepository]) -> Target:
    name = os.environ.get("SSDS_CVMFS_REPO", "")
    if not name:
        pytest.skip("no real repository: SSDS_CVMFS_REPO")
    target = CvmfsRepository(name, CvmfsSettings.of(os.environ))
    with target.locked(), target.change("empty it for a test") as draft:
        for path in os.listdir(target.folder):
            draft.remove(path)
    return kind(name, CvmfsSettings.of(os.environ))


@pytest.fixture(params=["plain", "cvmfs", "ingest", "real cvmfs", "real ingest"])
def target(request: pytest.FixtureRequest, in_memory: str) -> Target:
    if request.param == "plain":
        return PlainTree(f"{in_memory}/tree")
    kind = CvmfsIngest if "ingest" in request.param else CvmfsRepository
    return real(kind) if "real" in request.param else Server(f"{in_memory}/server", kind).target()


# -- every target ----------------------------------------------------------------------------------


def test_a_deployment_is_whole_and_a_second_one_does_nothing(target: Target, blobs: Blobs) -> None:
    one = lock(blobs, "one")
    first = deploy(site(), [one], blobs, target, channels=[HUB])
    assert (first.generation, first.images_written) == (1, 1)
    assert check_tree(target.folder).problems == ()
    assert not deploy(site(), [one], blobs, target, channels=[HUB]).written


@pytest.mark.parametrize("kind", [CvmfsRepository, CvmfsIngest])
def test_lists_for_clients_begin_at_the_root_of_the_repository(
    kind: type[CvmfsRepository], in_memory: str, blobs: Blobs
) -> None:
    made = Server(f"{in_memory}/server", kind)
    target = made.target("/lab/soft")
    deploy(site(), [lock(blobs, "one")], blobs, target)
    assert not deploy(site(), [lock(blobs, "one")], blobs, target).written
    assert not plan_deploy(site(), [lock(blobs, "one")], blobs, target).rewritten
    lists = f"{target.folder}/sites/example/cvmfs"
    preloaded = Path(f"{lists}/preload.txt").read_text().splitlines()
    exported = Path(f"{lists}/shrinkwrap.spec").read_text().splitlines()
    assert exported == [*preloaded, "/lab/soft/sites/example"]
    for line in exported:
        assert os.path.exists(f"{made.home}/cvmfs/{NAME}{line.removesuffix('/*')}")


def test_it_goes_on_and_back_and_removes(target: Target, blobs: Blobs) -> None:
    one = lock(blobs, "one")
    two = lock(blobs, "two", one)
    other = lock(blobs, "other", name="other")
    deploy(site(), [one, other], blobs, target, channels=[HUB])
    gone = first_image(read_deployed(target.folder, "example").entries[0])
    deploy(site(), [two], blobs, target, channels=[HUB])
    assert rollback("example", target) == (2, 1)
    assert check_tree(target.folder).problems == ()
    assert rollback("example", target, to=2) == (1, 2)
    removed = prune(target, keep=1, grace_s=0, now_s=0)
    assert any(gone.hex in path for path in removed)
    assert check_tree(target.folder).problems == ()


def test_more_than_a_command_line_takes_is_removed_in_several_ingests(
    in_memory: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(f"{in_memory}/server", CvmfsIngest)
    names = ("one", "two", "three")
    deploy(site(), [lock(blobs, name, name=name) for name in names], blobs, server.target())
    deploy(site(), [lock(blobs, "one", name="one")], blobs, server.target())
    monkeypatch.setattr("ssds.ship.targets.ingest._TOO_LONG", 300)
    before = server.target().revision()
    removed = prune(server.target(), keep=1, grace_s=0, now_s=0)
    assert server.target().revision() - before == 3
    assert not any(server.public(path) for path in removed)
    assert check_tree(server.target().folder).problems == ()
    assert prune(server.target(), keep=1, grace_s=0, now_s=0) == ()


def test_a_failed_deployment_changes_nothing(target: Target, blobs: Blobs) -> None:
    one = lock(blobs, "one")
    deploy(site(), [one], blobs, target)
    ghost = image(blobs, [small_tar({"usr/bin/x": b"x"})], ["ghost"], {})
    with pytest.raises(Refused, match="ghost"):
        deploy(site(), [one, release(blobs, ghost, name="new")], blobs, target)
    assert read_deployed(target.folder, "example").number == 1
    assert not deploy(site(), [one], blobs, target).written


def test_a_hostile_layer_changes_nothing(target: Target, blobs: Blobs) -> None:
    one = lock(blobs, "one")
    deploy(site(), [one], blobs, target)
    bad = image(blobs, [small_tar({"usr/bin/tool": b"x", "../escape": b"x"})], ["tool"], {})
    with pytest.raises(SsdsError, match="leaves the image"):
        deploy(site(), [one, release(blobs, bad, name="bad")], blobs, target)
    assert check_tree(target.folder).problems == ()
    assert not os.path.exists(f"{target.folder}/../escape")


# -- the CVMFS driver ------------------------------------------------------------------------------


def test_a_deployment_is_one_transaction_and_no_news_is_none(server: Server, blobs: Blobs) -> None:
    locks = [lock(blobs, "one"), lock(blobs, "other", name="other")]
    deploy(site(), locks, blobs, server.target(), channels=[HUB])
    deploy(site(), locks, blobs, server.target(), channels=[HUB])
    assert server.log == ["transaction", "publish"]
    assert not os.listdir(f"{server.home}/spool/{NAME}/scratch/current")
    assert [n for n in os.listdir(f"{server.home}/state") if not n.endswith(".lock")] == []


@dataclass(frozen=True)
class Case:
    """A failure, and the right verdict.

    Attributes:
        ends: what the deployment says: empty for done, else a part of the error.
        transaction: whether it stays open.
        public: whether readers see the deployment.
        said: a part of what people are told.
    """

    ends: str = ""
    transaction: bool = False
    public: bool = True
    said: str = ""
    times: dict[str, float] = field(default_factory=dict)


CASES = {
    "hang": Case(said="but the new revision is public", times={"publish_s": 1.0}),
    "killed-signed": Case(said="but the new revision is public"),
    "killed-syncing": Case(),
    "lost-mounts": Case(),
    "lost-mounts mount-busy": Case(),
    "orphan-sync": Case(times={"wait_s": 20.0}),
    "readers": Case(),
    "busy-publish": Case(times={"wait_s": 1.0}),
    "publishing": Case(times={"wait_s": 3.0}),
    "disk-full": Case("its storage is full", transaction=True, public=False),
    "writers": Case("a program writes below it", transaction=True, public=False),
    "web-server": Case("its web server does not answer", transaction=True, public=False),
    "whitelist": Case("its whitelist has expired", public=False),
}


@pytest.mark.parametrize("faults", sorted(CASES))
def test_after_every_failure_the_verdict_is_right_and_the_next_run_completes(
    server: Server, blobs: Blobs, faults: str
) -> None:
    case, one = CASES[faults], lock(blobs, "one")
    server.fault(*faults.split())
    act = functools.partial(deploy, site(), [one], blobs, channels=[HUB])
    if case.ends:
        with pytest.raises(EnvironmentProblem, match=case.ends):
            act(server.target(**case.times))
    else:
        act(server.target(**case.times))
    assert server.in_transaction == case.transaction
    assert server.public("sites/example") == case.public
    assert case.said in " ".join(server.said)
    assert act(server.target()).generation == 1
    assert not server.in_transaction
    assert check_tree(server.target().folder).problems == ()
    revision = server.target().revision()
    assert not act(server.target()).written
    assert server.target().revision() == revision == 2


def test_another_s_transaction_is_waited_for_and_never_touched(
    server: Server, blobs: Blobs
) -> None:
    target = server.target()
    target._run("transaction", NAME)
    os.makedirs(f"{target.folder}/sites")
    Path(f"{target.folder}/.ssds").mkdir()
    Path(f"{target.folder}/.ssds/tree.json").write_text('{"tree_version": 1}')
    Path(f"{target.folder}/theirs").write_text("x")
    with pytest.raises(EnvironmentProblem, match="another transaction"):
        deploy(site(), [lock(blobs, "one")], blobs, target)
    assert server.in_transaction
    assert Path(f"{target.folder}/theirs").read_text() == "x"


def admin_opens(server: Server) -> Path:
    """Somebody opens a transaction by hand and writes a file there."""
    target = server.target()
    if server.in_transaction:
        target._run("abort", "-f", NAME)
    assert target._run("transaction", NAME).returncode == 0
    path = Path(f"{target.folder}/theirs")
    path.write_text("half of it")
    return path


@pytest.mark.parametrize("kind", [CvmfsRepository, CvmfsIngest])
def test_killed_while_another_s_transaction_is_open_the_next_run_leaves_that_alone(
    in_memory: str, blobs: Blobs, kind: type[CvmfsRepository]
) -> None:
    server, one = Server(f"{in_memory}/server", kind), lock(blobs, "one")
    act = functools.partial(deploy, site(), [one], blobs)
    deploy(site(), [], blobs, server.target())
    theirs = admin_opens(server)
    for point in ("cvmfs.opening.durable:1", "cvmfs.ingest:1"):
        forked(lambda: act(server.target()), kill=point)
        with pytest.raises(EnvironmentProblem, match="another transaction"):
            act(server.target())
        assert theirs.read_text() == "half of it"
    assert not server.public("theirs")
    assert [n for n in os.listdir(f"{server.home}/state") if not n.endswith(".lock")] == []


@pytest.mark.parametrize(
    "point", ["cvmfs.publish:1", "cvmfs.writing.durable:1", "cvmfs.published:1"]
)
def test_what_an_admin_opened_after_a_killed_run_is_neither_published_nor_aborted(
    server: Server, blobs: Blobs, point: str
) -> None:
    one = lock(blobs, "one")
    deploy(site(), [], blobs, server.target())
    forked(lambda: deploy(site(), [one], blobs, server.target()), kill=point)
    theirs = admin_opens(server)
    revision = server.target().revision()
    for _ in range(2):
        with contextlib.suppress(EnvironmentProblem):
            deploy(site(), [one], blobs, server.target())
        assert (server.in_transaction, theirs.read_text()) == (True, "half of it")
    assert server.target().revision() == revision
    assert "the open transaction is another's and stays open" in " ".join(server.said)
    server.target()._run("abort", "-f", NAME)
    assert deploy(site(), [one], blobs, server.target()).generation == 2
    assert check_tree(server.target().folder).problems == ()


def test_an_admin_s_transaction_in_place_of_ours_is_not_published(
    server: Server, blobs: Blobs
) -> None:
    with (
        pytest.raises(EnvironmentProblem, match="others ended the transaction"),
        server.target().change("x"),
    ):
        theirs = admin_opens(server)
    assert (server.in_transaction, theirs.read_text()) == (True, "half of it")
    assert not server.public("theirs")


def test_an_ingest_that_fails_leaves_what_another_opened_meanwhile(
    in_memory: str, blobs: Blobs
) -> None:
    server = Server(f"{in_memory}/server", CvmfsIngest)
    server.fault("overtaken")
    with pytest.raises(EnvironmentProblem, match="nothing was published"):
        deploy(site(), [lock(blobs, "one")], blobs, server.target())
    assert Path(f"{server.target().folder}/theirs").read_text() == "half of it"
    assert server.in_transaction


def test_with_a_damaged_journal_an_open_transaction_is_left_and_said(
    server: Server, blobs: Blobs
) -> None:
    one = lock(blobs, "one")
    theirs = admin_opens(server)
    os.makedirs(f"{server.home}/state")
    for text in ("{", '{"phase": "publishing", "before": 1}'):  # the second: of an earlier ssds
        Path(f"{server.home}/state/{NAME}.json").write_text(text)
        with pytest.raises(EnvironmentProblem, match="nothing proves that ssds opened it"):
            deploy(site(), [one], blobs, server.target())
        assert theirs.read_text() == "half of it"
    server.target()._run("abort", "-f", NAME)
    assert deploy(site(), [one], blobs, server.target()).generation == 1


def test_an_abort_that_fails_is_done_by_the_next_run(server: Server, blobs: Blobs) -> None:
    ghost = image(blobs, [small_tar({"usr/bin/x": b"x"})], ["ghost"], {})
    server.fault("abort-fails")
    with pytest.raises(Refused, match="ghost"):
        deploy(site(), [release(blobs, ghost)], blobs, server.target())
    assert server.in_transaction
    assert "could not be aborted" in server.said[0]
    deploy(site(), [lock(blobs, "one")], blobs, server.target())
    assert not server.in_transaction


def test_garbage_is_collected_after_content_was_removed(server: Server, blobs: Blobs) -> None:
    one, other = lock(blobs, "one"), lock(blobs, "other", name="other")
    for locks in ([one, other], [one]):
        deploy(site(), locks, blobs, server.target())
    prune(server.target(), keep=1, grace_s=0, now_s=0)
    assert server.log[-1] == "gc -f"
    assert server.said == []


def test_a_name_that_is_no_repository_is_refused(server: Server) -> None:
    for name in ("", "../x", "A_B", f"{NAME}/../x", f"{NAME}/.ssds"):
        with pytest.raises(SsdsError, match="no name of a CVMFS repository"):
            CvmfsRepository(name, CvmfsSettings(state=server.home))
    missing = CvmfsRepository("none.example.org", server.target().settings)
    for act in (missing.revision, lambda: prune(missing, now_s=0)):
        with pytest.raises(EnvironmentProblem, match="manifest"):
            act()
    with pytest.raises(UsageError, match="no number of seconds"):
        CvmfsSettings.of({"SSDS_CVMFS_WAIT_S": "soon"})


# -- as one tar ------------------------------------------------------------------------------------


def test_a_tar_gives_the_tree_that_a_folder_gets(in_memory: str, blobs: Blobs) -> None:
    odd = {"usr/bin/tool": script("echo"), "d/\udcff": b"x", "l": "usr", "n" * 250: b"y", "e": b""}
    secret = tarfile.TarInfo("d/plain")
    secret.type, secret.linkname = tarfile.LNKTYPE, "etc/shadow"
    layers = [
        small_tar(odd),
        small_tar({"z": b"z" * 3_000_000, "etc/shadow": b"", "d/plain": secret}),
    ]
    half = image(blobs, layers, ["tool"], {})
    server = Server(f"{in_memory}/server", CvmfsIngest)
    made = release(blobs, half)
    for target in (PlainTree(f"{in_memory}/plain"), server.target()):
        deploy(site(), [made], blobs, target, channels=[HUB])
    assert server.log == ["ingest -t -b"]
    assert server.said == []

    def seen(folder: str) -> dict[str, tuple[int, bytes]]:
        found = {}
        for base, folders, files in os.walk(folder):
            for name in (*folders, *files):
                path = os.path.join(base, name)
                is_file = os.path.isfile(path) and not os.path.islink(path)
                data = Path(path).read_bytes() if is_file else b""
                found[os.path.relpath(path, folder)] = (os.lstat(path).st_mode, data)
        return found

    ignored = {".ssds/lock", "new_repository"}
    one, other = seen(f"{in_memory}/plain"), seen(server.target().folder)
    assert {p: v for p, v in one.items() if p not in ignored} == {
        p: v for p, v in other.items() if p not in ignored
    }


def test_the_tar_of_an_image_is_the_same_each_time(in_memory: str, blobs: Blobs) -> None:
    half = image(blobs, [small_tar({"usr/bin/tool": script("echo"), "b": b"b"})], ["tool"], {})
    tars = []
    for _ in range(2):
        stream = io.BytesIO()
        draft = IngestDraft(f"{in_memory}/nothing", stream, in_memory)
        draft.image(half, blobs)
        draft.finish()
        tars.append(stream.getvalue())
    assert tars[0] == tars[1]


@pytest.mark.parametrize("kind", [CvmfsRepository, CvmfsIngest])
@pytest.mark.parametrize("marker", [True, False])
def test_a_damaged_image_is_made_anew_and_nothing_of_the_old_stays(
    in_memory: str, blobs: Blobs, kind: type[CvmfsRepository], marker: bool
) -> None:
    server, one = Server(f"{in_memory}/server", kind), lock(blobs, "one")
    deploy(site(), [one], blobs, server.target())
    digest = first_image(read_deployed(server.target().folder, "example").entries[0])
    root = f"{server.target().folder}/{image_path(digest)}"
    os.unlink(f"{root}/usr/bin/tool")
    Path(f"{root}/usr/strange").write_text("x")
    if not marker:
        os.unlink(f"{server.target().folder}/{marker_path(digest)}")
    assert check_tree(server.target().folder).problems
    report = deploy(site(), [one], blobs, server.target(), repair=marker)
    assert report.images_written == 1
    assert check_tree(server.target().folder).problems == ()
    assert not deploy(site(), [one], blobs, server.target(), repair=True).written


INGEST_CASES = {
    "killed-signed": Case(said="the revision is public"),
    "killed-syncing": Case("nothing was published", public=False),
    "busy-ingest": Case(times={"wait_s": 1.0}),
}


@pytest.mark.parametrize("faults", sorted(INGEST_CASES))
def test_after_a_failed_ingest_the_verdict_is_right_and_the_next_run_completes(
    in_memory: str, blobs: Blobs, faults: str
) -> None:
    case, one = INGEST_CASES[faults], lock(blobs, "one")
    server = Server(f"{in_memory}/server", CvmfsIngest)
    server.fault(faults)
    act = functools.partial(deploy, site(), [one], blobs, channels=[HUB])
    if case.ends:
        with pytest.raises(EnvironmentProblem, match=case.ends):
            act(server.target(**case.times))
    else:
        act(server.target(**case.times))
    assert (server.in_transaction, server.public("sites/example")) == (False, case.public)
    assert case.said in " ".join(server.said)
    assert act(server.target()).generation == 1
    assert check_tree(server.target().folder).problems == ()
    assert [n for n in os.listdir(f"{server.home}/state") if not n.endswith(".lock")] == []


VERBS = ["deploy", "prune", "ingest", *(["rollback"] if THOROUGH else [])]


@pytest.mark.parametrize("verb", VERBS)
def test_killed_anywhere_nothing_half_is_public_and_the_next_run_completes(
    in_memory: str, blobs: Blobs, verb: str
) -> None:
    one = lock(blobs, "one")
    two = lock(blobs, "two", one)
    base = Server(f"{in_memory}/server", CvmfsIngest if verb == "ingest" else CvmfsRepository)
    for found in (one, two):
        deploy(site(), [found], blobs, base.target(), channels=[HUB])
    more = [two, lock(blobs, "other", name="other")]
    acts: dict[str, Callable[[], object]] = {
        "deploy": lambda: deploy(site(), more, blobs, base.target(), channels=[HUB]),
        "rollback": lambda: rollback("example", base.target(), to=1),
        "prune": lambda: prune(base.target(), keep=1, grace_s=0, now_s=0),
    }
    act = acts["deploy" if verb == "ingest" else verb]
    shutil.copytree(base.home, f"{in_memory}/kept", symlinks=True)

    def restored() -> None:
        shutil.rmtree(base.home)
        shutil.copytree(f"{in_memory}/kept", base.home, symlinks=True)

    found_points = points_of(act, f"{in_memory}/trace", "cvmfs", "deploy.image", "deploy.switch")
    within = (".open", ".synced", ".durable", ".linked", ".remove")  # of one small file
    points = [p for p in found_points if not p.partition(":")[0].endswith(within)]
    always = [p for p in points if p.startswith("deploy.")]
    points = sorted({*always, *some(points, 6)}, key=points.index)
    wanted = read_deployed(base.target().folder, "example").number
    assert len(points) > 3
    for point in points:
        restored()
        assert forked(act, kill=point) == KILLED
        revision = base.target().revision()
        reader = f"{base.home}/spool/{NAME}/revisions/{revision}"
        assert check_tree(reader).problems == (), point
        act()
        assert not base.in_transaction
        assert check_tree(base.target().folder).problems == (), point
        assert read_deployed(base.target().folder, "example").number == wanted
