"""Reference data: pinned, unpacked, indexed in a recipe's image and locked, with real programs."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from e2e_workspace import Site, check_error

from ssds.graph.index.layout import NOTHING_TO_DO, open_index

GENOME = b">one\nACGT\n>two\nGGCC\n"
SET = """\
title: Two short sequences
licenses: [CC0-1.0]
homepage: https://example.org/words
citations: [{doi: 10.1000/words}]
sources:
  archive: {url: "%s/genome.tar.gz", unpack: true, insecure: true}
  table: {url: "%s/names.tsv", insecure: true}
unpack:
  - {source: archive, path: genome/all.fa, to: genome.fa}
  - {source: table, to: more/names.tsv}
index:
  - name: names
    with: ground@1.0
    run: |
      grep '^>' genome.fa > genome.fa.names
      echo left > /opt/elsewhere
      test ! -e genome.fa.words
  - {name: words, with: ground@1.0, run: ground > genome.fa.words}
environment: {GENOME: "{path}/genome.fa"}
loc:
  fasta_indexes: [{value: two, dbkey: two, name: Two, path: "{path}/genome.fa"}]
"""
NODES = {"data/files", "data/index/names", "data/index/words", "dataset"}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A web server with an archive and a table; gives its address and its folder."""
    folder = tmp_path_factory.mktemp("web")
    with tarfile.open(folder / "genome.tar.gz", "w:gz") as archive:
        for name, data in (("genome/all.fa", GENOME), ("genome/other", b"not wanted")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("genome/nowhere")
        link.type, link.linkname = tarfile.SYMTYPE, "missing"
        archive.addfile(link)
    (folder / "names.tsv").write_text("one\ttwo\n")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def with_set(site: Site, web: tuple[str, Path], old: str = "", new: str = "") -> Site:
    text = SET.replace("%s", web[0])
    assert old in text
    site.write("catalog/data/two/1.0.yaml", text.replace(old, new) if old else text)
    return site


def lock_of(site: Site) -> dict:
    return json.loads((site.workspace / "lockfiles/data/two@1.0.lock.json").read_text())


def made(site: Site) -> set[str]:
    return {n.removeprefix("two@1.0:") for n in site.executed() if n.startswith("two@1.0:")}


def says_the_same_with_the_index(site: Site) -> bool:
    """Asserts the index law; gives whether the index alone can answer the next plan."""
    answers = {site.run("plan", "--json", *more).out for more in ((), (), ("--no-index",))}
    assert len(answers) == 1
    found = open_index(f"{site.workspace}/.ssds/plan.index")
    return found is not None and bool(found.head[3] & NOTHING_TO_DO)


def test_a_set_is_pinned_made_once_and_has_one_digest_in_every_store(
    new_site: Callable[[], Site], web: tuple[str, Path]
) -> None:
    site = with_set(new_site(), web)
    lacking = site.run("lock", "--check", "two")
    check_error(lacking, "L032", "catalog/data/two/1.0.yaml:6:", code=2)
    site.good("lock", "two")
    site.good("lock", "--locked", "two")
    pinned = lock_of(site)
    sha256 = hashlib.sha256((web[1] / "genome.tar.gz").read_bytes()).hexdigest()
    assert pinned["sources"]["archive"]["sha256"] == sha256
    site.good("apply", "--yes", "--no-push", "two")
    assert made(site) == NODES
    locked = lock_of(site)
    listing = json.loads(site.blob(locked["made"]["digest"]).read_bytes())
    files = {f["path"]: f for f in listing["files"]}
    assert set(files) == {"genome.fa", "genome.fa.names", "genome.fa.words", "more/names.tsv"}
    assert files["genome.fa"]["sha256"] == hashlib.sha256(GENOME).hexdigest()
    assert files["genome.fa.words"]["size"] == len("one\nground\n")
    assert locked["made"]["size"] == sum(f["size"] for f in listing["files"])
    assert site.plan("two") == {}
    shutil.rmtree(site.workspace / "catalog/tiny")
    (site.workspace / "lockfiles/tiny@1.0.lock.json").unlink(missing_ok=True)
    assert says_the_same_with_the_index(site)
    (site.workspace / "catalog/data/two/1.1.yaml").write_text("title: wrong\n")
    assert site.run("plan", "--json").code == 1
    (site.workspace / "catalog/data/two/1.1.yaml").unlink()
    lock = site.workspace / "lockfiles/data/two@1.0.lock.json"
    kept = lock.read_bytes()
    lock.unlink()
    assert not says_the_same_with_the_index(site)
    lock.write_bytes(kept)
    assert says_the_same_with_the_index(site)
    (told,) = [e for e in json.loads(site.good("status", "--json").out) if "data" in e]
    assert (told["data"], told["state"], told["files"]) == ("two@1.0", "locked", 4)
    assert told["digest"] in site.good("status").out.replace(" ", "")

    other = with_set(new_site(), web)
    other.write("lockfiles/data/two@1.0.lock.json", json.dumps(pinned))
    other.good("apply", "--yes", "--no-push", "two")
    assert lock_of(other) == locked

    with_set(site, web, "ground > genome.fa.words", "ground | tac > genome.fa.words")
    (why,) = json.loads(site.good("explain", "two@1.0:data/index/words", "--json").out)
    places = [(d["place"].partition(" ")[0], d["file"], d["line"]) for d in why["differences"]]
    assert places == [("index[1].run", "catalog/data/two/1.0.yaml", 18)]
    site.good("apply", "--yes", "--no-push", "two")
    assert made(site) == {"data/index/words", "dataset"}
    site.write("catalog/sites/lab.yaml", "platforms: [linux/amd64]\ndata: [two]\nexclude: ['*']\n")
    tree = str(site.folder / "tree")
    told = json.loads(site.good("deploy", "--site", "lab", "--to", tree, "--json").out)
    assert (told["data_written"], told["images_written"]) == (1, 0)
    placed = Path(tree, "sites/lab/data/two/current/genome.fa.words")
    assert placed.read_text() == "ground\none\n"
    assert "1 data set" in site.good("deploy", "--check", "--to", tree).out
    assert lock_of(site)["made"]["digest"] != locked["made"]["digest"]

    with_set(site, web, "Two short sequences", "Two sequences")
    site.good("apply", "--yes", "--no-push", "two")
    assert "lock" not in str(site.plan("two"))
    assert lock_of(site)["about"]["title"] == "Two sequences"


def test_what_a_set_cannot_hold_is_told_and_leaves_its_lock_as_it_is(
    site: Site, web: tuple[str, Path]
) -> None:
    with_set(site, web).good("lock", "two")
    before = lock_of(site)
    for old, new, code in (
        ("genome/all.fa", "genome/some.fa", "E240"),
        ("to: more/names.tsv", "to: genome.fa", "E241"),
        ("ground > genome.fa.words", "ground > /opt/words", "E242"),
        ("ground > genome.fa.words", "ln -s /etc/passwd out", "E248"),
    ):
        with_set(site, web, old, new)
        check_error(site.run("apply", "--yes", "--no-push", "two"), code)
        assert lock_of(site) == before


def test_a_set_that_leaves_the_catalog_takes_its_lock_along(
    site: Site, web: tuple[str, Path]
) -> None:
    with_set(site, web).good("lock", "two")
    for name in ("catalog/data/two/1.0.yaml", "catalog/tiny/recipe.yaml"):
        (site.workspace / name).unlink()
    (site.workspace / "catalog/tiny").rmdir()
    (site.workspace / "lockfiles/tiny@1.0.lock.json").unlink()
    assert site.plan()["two@1.0:lock"][0] == "remove"
    site.good("apply", "--yes", "--no-push", "--allow-remove", "1")
    assert list((site.workspace / "lockfiles/data").iterdir()) == []
