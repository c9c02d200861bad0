"""``ssds sync`` as people run it, from locks and blobs only; killed, refused, with a place down."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from e2e_workspace import Ended, Site, assert_no_traceback
from fault_registry import FaultRegistry, fault_registry
from object_servers import upload_servers
from registry_server import free_port
from ship_makers import AMD64, image, key, release, script, small_tar
from thorough import cases

from ssds.cli import main
from ssds.core.canonical import canonical_bytes
from ssds.core.model import Claim
from ssds.lock.write import lock_bytes
from ssds.oci.blobs import Blobs

NAMES = ("alpha", "beta")


@pytest.fixture
def server() -> Iterator[FaultRegistry]:
    with fault_registry() as made:
        yield made


@dataclass
class Near(Site):
    """A workspace whose commands run in this process: they start no Python."""

    def run(self, *arguments: str, timeout_s: float = 120, **environment: str) -> Ended:
        if environment:
            return super().run(*arguments, timeout_s=timeout_s, **environment)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["-C", str(self.workspace), *arguments])
        return Ended(code=code, out=out.getvalue(), err=err.getvalue())


def make_site(where: Path, **channels: str) -> Site:
    """A workspace with channels and locks, no recipe, and a store with the blobs."""
    site = Near(folder=where)
    site.write("ssds.yaml", "store: {path: ../store}\n")
    site.write("catalog/channels.yaml", "".join(f"{n}: {{{t}}}\n" for n, t in channels.items()))
    blobs = Blobs(str(site.store / "blobs"))
    for name in NAMES:
        tars = [small_tar({"base": bytes(5000)}), small_tar({f"bin/{name}": script(name)})]
        half = image(blobs, tars, [name], {})
        sbom = blobs.put(canonical_bytes({"image": str(half.config.digest)}))
        claim = Claim(key=key(name), kind="sbom", outputs={"sbom": sbom, "commands": sbom})
        lock = release(blobs, half, name=name)
        variant = lock.variants[""]
        sections = {AMD64: replace(variant.platforms[AMD64], latest={"sbom": claim})}
        lock = replace(lock, variants={"": replace(variant, platforms=sections)})
        site.write(f"lockfiles/{lock.file_name}", lock_bytes(lock).decode())
    return site


def registry(host: str) -> str:
    return f'kind: registry, location: "{host}/lab", insecure: true'


FOLDER = "kind: layout, location: out"


def test_who_has_only_locks_and_blobs_syncs_all_channels(
    tmp_path: Path, server: FaultRegistry
) -> None:
    site = make_site(tmp_path, team=registry(server.host), folder=FOLDER)
    shown = site.good("sync", "--dry-run")
    assert "  +  alpha:1.0-r1 sbom [linux/amd64]  new, " in shown.out
    assert server.tags == {}
    asked = site.run("sync")
    assert (asked.code, "Pass --yes" in asked.err) == (1, True)
    done = site.good("sync", "--yes")
    assert "Synced team: 12 changes" in done.out
    assert "Synced folder: 12 changes" in done.out
    assert set(server.tags["lab/alpha"]) == {"1.0-r1", "1.0", "latest"}
    again = site.good("sync")
    assert "Nothing to do on team.\n" in again.out
    told = json.loads(site.good("sync", "--json", "--to", "team").out)
    assert told["channels"]["team"]["kept"] == 12
    assert told["channels"]["team"]["changes"] == []


def test_bytes_that_the_store_lacks_come_from_another_channel(
    tmp_path: Path, server: FaultRegistry
) -> None:
    site = make_site(tmp_path, team=registry(server.host), folder=FOLDER)
    site.good("sync", "--yes", "--to", "folder")
    (site.store).rename(tmp_path / "gone")
    site.good("sync", "--yes", "--to", "team")
    assert set(server.tags["lab/beta"]) == {"1.0-r1", "1.0", "latest"}


def test_evidence_that_is_not_here_is_told_and_stays_open_work(tmp_path: Path) -> None:
    site = make_site(tmp_path, folder=FOLDER)
    lock = json.loads((site.workspace / "lockfiles/alpha@1.0.lock.json").read_text())
    section = lock["variants"]["default"]["platforms"]["linux/amd64"]
    sbom = section["latest"]["sbom"]["outputs"]["sbom"].partition(":")[2]
    (site.store / "blobs/sha256" / sbom).rename(tmp_path / "sbom")
    done = site.good("sync", "--yes")
    assert "  w  alpha:1.0-r1 sbom [linux/amd64]  " in done.out
    assert "NOT BROUGHT alpha@1.0 on folder: its sbom [linux/amd64], which are not" in done.err
    assert "open on folder, alpha:1.0-r1: without evidence that is" in site.good("status").err
    (tmp_path / "sbom").rename(site.store / "blobs/sha256" / sbom)
    assert "Synced folder: 1 change, " in site.good("sync", "--yes").out
    assert site.good("status", "--fail-on-alert").err == ""


def test_a_place_that_is_down_blocks_no_other_and_stays_open_work(
    tmp_path: Path, server: FaultRegistry
) -> None:
    port = free_port()
    down = registry(f"127.0.0.1:{port}")
    site = make_site(tmp_path, down=down, team=registry(server.host))
    ended = site.run("sync", "--yes")
    assert ended.code == 1
    assert "FAILED channel down\nerror[O079]: " in ended.err
    assert set(server.tags["lab/beta"]) == {"1.0-r1", "1.0", "latest"}
    shown = site.run("status", "--fail-on-alert")
    assert shown.code == 3
    assert "open on down: " in shown.err
    site.edit("catalog/channels.yaml", f"127.0.0.1:{port}/lab", f"{server.host}/other")
    site.good("sync", "--yes")
    assert site.good("status", "--fail-on-alert").err == ""


def test_open_work_of_a_channel_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    down = registry(f"127.0.0.1:{free_port()}")
    site = make_site(tmp_path, down=down, folder=FOLDER)
    assert site.run("sync", "--yes").code == 1
    assert site.run("status", "--fail-on-alert").code == 3
    site.write("catalog/channels.yaml", f"folder: {{{FOLDER}}}\n")
    shown = site.good("status", "--fail-on-alert")
    assert "open on" not in shown.err
    note = site.workspace / ".ssds/open/down.json"
    assert note.exists()  # who only looks removes nothing
    site.good("sync", "--yes", "--refresh")
    assert not note.exists()


def test_replicas_get_the_same_and_one_that_is_down_is_open_work(tmp_path: Path) -> None:
    with upload_servers() as up:
        down = f"http://127.0.0.1:{free_port()}/b"
        place = (
            f'kind: objects, insecure: true, location: "http://{up.host}/a", replicas: ["{down}"]'
        )
        site = make_site(tmp_path, depot=place)
        ended = site.run("sync", "--yes")
        assert ended.code == 1
        assert "FAILED channel depot.2\n" in ended.err
        assert "/a/alpha/index.json" in up.objects
        site.edit("catalog/channels.yaml", down, f"http://{up.host}/b")
        site.good("sync", "--yes")
        assert {p.replace("/b/", "/a/") for p in up.objects} == {
            p for p in up.objects if p.startswith("/a/")
        }
        up.asked.clear()
        assert "Nothing to do on depot.2." in site.good("sync", "--to", "depot").out
        assert sorted(up.asked) == ["GET /a/ssds-state.json", "GET /b/ssds-state.json"]


def test_what_others_moved_is_refused_until_somebody_says_repair(
    tmp_path: Path, server: FaultRegistry
) -> None:
    site = make_site(tmp_path, team=registry(server.host))
    site.good("sync", "--yes")
    tags = server.tags["lab/alpha"]
    ours, tags["1.0"] = tags["1.0"], next(iter(server.manifests["lab/alpha"]))
    refused = site.run("sync", "--yes", "--refresh")
    assert refused.code == 3
    assert "x  alpha:1.0  drift: somebody moved it from" in refused.out
    assert site.run("sync", "--yes").code == 3
    assert "open on team, alpha:1.0: drift" in site.good("status").err
    site.good("sync", "--yes", "--repair")
    assert tags["1.0"] == ours


def test_selectors_choose_releases_and_the_rest_stays_open(
    tmp_path: Path, server: FaultRegistry
) -> None:
    site = make_site(tmp_path, team=registry(server.host))
    refused = ("/alpha/blobs/uploads", "/beta/blobs/uploads")
    server.fault = lambda method, path: "403" if any(r in path for r in refused) else ""
    assert site.run("sync", "--yes").code == 1
    server.fault = lambda method, path: ""
    assert "Synced team: 6 changes" in site.good("sync", "alpha", "--yes").out
    assert set(server.tags["lab/alpha"]) == {"1.0-r1", "1.0", "latest"}
    assert "lab/beta" not in server.tags
    left = site.good("status").err
    assert ("beta@1.0" in left, "alpha@1.0" in left) == (True, False)
    site.good("sync", "beta@1.0", "--yes")
    assert site.good("status", "--fail-on-alert").err == ""
    assert 'error[E032]: "alfa" names no release' in site.run("sync", "alfa").err


def test_an_unknown_channel_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    ended = make_site(tmp_path, folder=FOLDER).run("sync", "--to", "folded")
    assert ended.code == 1
    assert 'error[E230]: there is no channel "folded"' in ended.err
    assert "Known: folder;" in ended.err


def test_a_sync_that_is_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, server: FaultRegistry
) -> None:
    site = make_site(tmp_path, team=registry(server.host), folder=FOLDER)
    trace = tmp_path / "trace"
    site.good("sync", "--yes", SSDS_FAULT_TRACE=str(trace))
    points = trace.read_text().split()
    assert {p.partition(":")[0] for p in points} >= {"sync.sent", "sync.tagged", "sync.attached"}
    chosen = random.Random(7).sample(points, cases(3, 100))
    for number, point in enumerate(chosen):
        site.write(
            "catalog/channels.yaml",
            f"team: {{kind: registry, location: '{server.host}/n{number}', insecure: true}}\n"
            f"folder: {{kind: layout, location: out{number}}}\n",
        )
        ended = site.run("sync", "--yes", SSDS_FAULT_KILL=point)
        assert ended.code in (-signal.SIGKILL, 0), point  # threads may pass fewer of a point
        for name in NAMES:
            for digest in server.tags.get(f"n{number}/{name}", {}).values():
                assert whole(server, f"n{number}/{name}", digest), point
        assert_layout_is_whole(site.workspace / f"out{number}", point)
        done = site.good("sync", "--yes")
        assert_no_traceback(done)
        assert "Nothing to do on team." in site.good("sync").out
        assert set(server.tags[f"n{number}/beta"]) == {"1.0-r1", "1.0", "latest"}


def assert_layout_is_whole(folder: Path, point: str) -> None:
    """All behind every name of a layout is there, with the bytes that its digest says."""
    if not (folder / "index.json").exists():
        return
    waiting = json.loads((folder / "index.json").read_bytes())["manifests"]
    while waiting:
        item = waiting.pop()
        data = (folder / "blobs" / item["digest"].replace(":", "/")).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == item["digest"], point
        if item["mediaType"].endswith(("index.v1+json", "manifest.v1+json")):
            document = json.loads(data)
            waiting += document.get("manifests", []) + document.get("layers", [])
            waiting += [document["config"]] if "config" in document else []


def whole(server: FaultRegistry, name: str, digest: str) -> bool:
    """Whether all behind a manifest is there."""
    document = json.loads(server.manifests[name][digest][1])
    parts = [*document.get("layers", []), *filter(None, [document.get("config")])]
    return all(p["digest"] in server.blobs[name] for p in parts) and all(
        whole(server, name, entry["digest"]) for entry in document.get("manifests", [])
    )


def test_what_could_not_be_written_is_not_counted_and_its_cause_is_told_once(
    tmp_path: Path,
) -> None:
    site = make_site(tmp_path, folder=FOLDER)
    lock = json.loads((site.workspace / "lockfiles/beta@1.0.lock.json").read_text())
    layers = lock["variants"]["default"]["platforms"]["linux/amd64"]["release"]["layers"]
    (site.store / "blobs/sha256" / layers[1]["digest"].partition(":")[2]).unlink()
    ended = site.run("sync", "--yes")
    assert ended.code == 1
    assert ended.err.count("FAILED") == 1
    assert "Synced folder: 6 changes, " in ended.out
    assert "; 1 release left." in ended.out
    again = site.run("sync", "--yes")
    assert "Synced folder: 0 changes, " in again.out
