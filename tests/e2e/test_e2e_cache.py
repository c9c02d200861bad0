"""A fresh clone with a full remote cache builds nothing, and a bad cache costs only time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cache_places import web_server
from e2e_workspace import SETTINGS, Site
from registry_server import running_registry
from thorough import THOROUGH
from trust_makers import new_signer

from ssds.cli import channels, planning
from ssds.trust.keyfile import seal
from ssds.workspace import Workspace

NewSite = Callable[[], Site]


def use_cache(site: Site, location: str, **more: object) -> None:
    cache = {"name": "ci", "location": location, "trust": "unsigned", **more}
    site.write("ssds.yaml", f"{SETTINGS}cache: {json.dumps([cache])}\n")


def clone(site: Site, folder: Path) -> Site:
    """Returns a clone with an empty store, before anything was built: its locks hold only pins."""
    new = Site(folder)
    folder.mkdir()
    shutil.copytree(site.workspace, new.workspace, ignore=shutil.ignore_patterns(".ssds"))
    for path in (new.workspace / "lockfiles").glob("ground@*"):
        lock = json.loads(path.read_bytes())
        for variant in lock["variants"].values():
            for name in ("index", "revision", "metadata"):
                variant.pop(name, None)
            for section in variant["platforms"].values():
                section.pop("release", None)
                section.pop("latest", None)
        path.write_text(json.dumps(lock))
    return new


@contextmanager
def place(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Gives where to push to and where to read from."""
    if kind == "registry":
        with running_registry(folder) as host:
            yield f"oci://{host}/team/cache", f"oci://{host}/team/cache"
    elif kind == "web":
        folder.mkdir()
        with web_server(folder) as served:
            yield str(folder), served.reading
    else:
        yield str(folder), str(folder)


KINDS = ["folder", *(["web"] if THOROUGH else [])]


@pytest.mark.parametrize(
    "kind", [*KINDS, pytest.param("registry", marks=pytest.mark.component("registry"))]
)
def test_a_fresh_clone_with_a_full_cache_builds_nothing(
    site: Site, tmp_path: Path, kind: str
) -> None:
    with place(kind, tmp_path / "remote") as (writing, reading):
        use_cache(site, writing, insecure=True)
        site.good("cache", "push", "ground")
        new = clone(site, tmp_path / "clone")
        use_cache(new, reading, insecure=True)

        planned = new.good("plan", "ground", "--full", "--json")
        applied = new.good("apply", "--yes", "ground")
        fetched = new.good("apply", "--yes", "--fetch", "ground")

    steps = {s["node"]: s for s in json.loads(planned.out)["steps"]}
    assert steps["ground@1.0:build"]["verb"] == "reuse"
    assert steps["ground@1.0:build"]["reason"] == "claimed by the cache ci"
    assert "Applied: 10 reused." in applied.out, applied.text
    assert new.executed() == set()
    assert new.locks() == site.locks()
    assert "from caches" in fetched.err
    index = new.lock("ground")["variants"]["default"]["index"]
    assert new.blob(index["digest"]).exists()
    assert new.good("store", "verify").code == 0


def _edited(site: Site) -> None:
    """Changes ground's test: it must run again, and needs the image's bytes."""
    site.edit("catalog/ground/recipe.yaml", "prints its words", "prints all its words")


def test_what_a_damaged_cache_lacks_is_built_here_with_one_warning(
    site: Site, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    use_cache(site, str(remote))
    site.good("cache", "push", "ground")
    new = clone(site, tmp_path / "clone")
    _edited(new)
    layer = site.lock("ground")["variants"]["default"]["platforms"]["linux/amd64"]["release"]
    damaged = remote / "blobs/sha256" / layer["layers"][-1]["diff_id"].partition(":")[2]
    damaged.chmod(0o644)
    damaged.write_bytes(b"poison")

    applied = new.good("apply", "--yes", "ground")

    assert applied.err.count("warning: cache ci") == 1, applied.text
    assert new.executed() == {"ground@1.0:build", "ground@1.0:test"}
    assert new.blob(f"sha256:{damaged.name}").read_bytes() != b"poison"


def test_a_cache_that_is_down_costs_a_note_and_no_cache_says_nothing(site: Site) -> None:
    use_cache(site, "http://127.0.0.1:9")

    planned = site.good("plan", "tiny")
    quiet = site.good("plan", "tiny", "--no-cache")
    local = site.good("plan", "ground")

    assert planned.out.count("note: cache ci: does not answer") == 1
    assert "note:" not in quiet.out
    assert "note:" not in local.out, "nothing was lacking, so nobody was asked"


def looks(site: Site, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], tuple[str, ...]]:
    """Plans ground and tiny; gives what was done in which order, and the notes."""
    done: list[str] = []

    def spied(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*args: Any, **more: Any) -> Any:
            done.append(name)
            return real(*args, **more)

        return spy

    for where, name in ((planning, "make_plan"), (channels, "look")):
        monkeypatch.setattr(where, name, spied(name, getattr(where, name)))
    workspace = Workspace.open(str(site.workspace))
    asked = planning.Asked(selectors=("ground", "tiny"))
    return done, planning.make(workspace, asked).delivery.notes


def test_a_cache_that_never_answered_makes_no_second_plan(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cache(site, "http://127.0.0.1:9")
    done, notes = looks(site, monkeypatch)
    assert "does not answer" in str(notes)
    assert done == ["look", "make_plan"]


def test_what_a_cache_gave_and_lacks_makes_a_second_plan_and_no_second_look(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cache(site, str(tmp_path / "remote"))
    site.good("cache", "push", "ground")
    new = clone(site, tmp_path / "clone")
    shutil.rmtree(tmp_path / "remote/blobs")
    done, notes = looks(new, monkeypatch)
    assert "cannot be had" in str(notes)
    assert done[:3] == ["look", "make_plan", "make_plan"]
    assert done.count("look") == 1


def test_apply_sends_what_it_made_where_the_settings_say_so(site: Site, tmp_path: Path) -> None:
    use_cache(site, str(tmp_path / "remote"), push=True)

    applied = site.good("apply", "--yes", "tiny")

    assert "Sent to the cache ci: 10 claims" in applied.out
    assert _stats(site)["claims"] == 10


def _stats(site: Site) -> dict:
    (found,) = json.loads(site.good("cache", "stats", "--json").out)["caches"]
    return found


def test_pull_brings_claims_and_bytes_for_going_offline(site: Site, tmp_path: Path) -> None:
    use_cache(site, str(tmp_path / "remote"))
    site.good("cache", "push", "ground")
    new = clone(site, tmp_path / "clone")

    with web_server(tmp_path / "remote") as served:
        use_cache(new, served.reading)
        pulled = new.good("cache", "pull", "ground")

    assert "0 cannot be had" in pulled.out
    assert sum("cache.json" in line for line in served.asked) == 1
    assert new.good("log", "ground:test").out == site.good("log", "ground:test").out
    use_cache(new, "http://127.0.0.1:9")
    offline = new.good("plan", "ground")
    assert "9 claims" not in offline.out
    assert "does not answer" not in offline.out
    assert set(new.plan("ground", "--fetch")) == {"ground@1.0:lock"}


def test_who_takes_a_key_back_runs_again_what_it_signed_and_nothing_else(
    site: Site, tmp_path: Path
) -> None:
    lab, other = new_signer(name="lab"), new_signer(name="other")
    remote = str(tmp_path / "remote")

    def trust(where: Site, *names: str) -> None:
        for key in (lab, other):
            (where.workspace / f"{key.public.name}.pub").write_bytes(key.public.pem)
        use_cache(where, remote, trust="signed")
        keys = json.dumps({name: f"{name}.pub" for name in names})
        with (where.workspace / "ssds.yaml").open("a") as file:
            file.write(f"trust: {{keys: {keys}}}\n")

    secret = {"SSDS_KEY_PASSWORD": "", "SSDS_SIGNING_KEY": "env:LAB_KEY"}
    secret["LAB_KEY"] = seal(lab, b"").decode()
    trust(site, "lab")
    unsigned = site.run("cache", "push", "ground")
    sent = site.good("cache", "push", "ground", **secret)
    new = clone(site, tmp_path / "clone")
    trust(new, "lab", "other")
    new.good("cache", "pull", "ground")
    (Path(remote) / "claims").rename(tmp_path / "away")
    (Path(remote) / "claims").mkdir()
    pulled = new.plan("ground")
    new.good("apply", "--yes", "ground")
    locked = new.plan("ground")
    whole = new.good("plan", "--json").out

    trust(new, "other")
    distrusted = new.plan("ground")
    shown = {s["node"]: s for s in json.loads(new.good("plan", "--json").out)["steps"]}

    assert "T035" in unsigned.err
    assert "of them signed" in sent.out
    assert set(pulled) == {"ground@1.0:lock"}
    assert locked == {}
    assert "ground@1.0:build" in distrusted, "a lock that was written from it does not save it"
    assert shown["ground@1.0:build"]["reason_code"] == "distrust"
    assert new.plan("ground", "--no-cache") == distrusted
    applied = new.good("apply", "--yes", "ground")
    assert "ground@1.0:build" in new.executed(), applied.text
    assert new.plan("ground") == {}, "what was made here counts"
    trust(new, "lab", "other")
    assert json.loads(whole)["steps"]
    assert new.plan("ground") == {}
