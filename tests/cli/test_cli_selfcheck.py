"""``ssds selfcheck``: it tells a wrong index, and leaves workspace and store as they were."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import index_bench
import pytest
from e2e_workspace import Ended, Site, check_error

from ssds.graph.index.edit import Editor
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import NOTHING_TO_DO, SLOT_BYTES, open_index, pack
from ssds.graph.index.rows import look
from ssds.graph.index.table import SETTLED, Documents, Table
from ssds.host.edits import EDITS
from ssds.host.scratch import Editing, copy_workspace


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    index_bench.make(folder)
    return folder


@pytest.fixture
def site(released: Path, tmp_path: Path) -> Site:
    """A copy with an index."""
    index_bench.copy(released, tmp_path / "site")
    site = Site(tmp_path / "site")
    site.good("plan")
    site.good("plan")
    return site


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Returns path → mtime and content, of everything but what every look at a store touches."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "claims.sqlite" not in path.name and "guards" not in path.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = (path.stat().st_mtime_ns, digest)
    return found


def test_a_sound_index_passes_and_nothing_is_touched(site: Site) -> None:
    before = contents(site.folder)
    ended = site.good("selfcheck", "--edits", "12", "--seed", "5")
    assert re.fullmatch(r"\d+ comparisons in .* s: every plan is the same\.\n", ended.out)
    assert "Tries 12 edits in a copy, seed 5: about" in ended.err
    assert contents(site.folder) == before
    assert not (site.workspace / ".ssds/selfcheck").exists()


def test_one_seed_gives_the_same_edits_again(site: Site) -> None:
    def told(seed: str) -> list[str]:
        ended = site.good("selfcheck", "--edits", "6", "--seed", seed)
        return [line for line in ended.err.splitlines() if line.startswith("  ")]

    assert told("7") == told("7") != told("8")


def test_its_json_is_one_object(site: Site) -> None:
    told = json.loads(site.good("selfcheck", "--edits", "2", "--seed", "1", "--json").out)
    assert told["same"] is True
    assert told["checks"] >= 4
    assert told["differences"] == []
    assert told["seed"] == 1


def test_without_an_index_or_a_release_or_a_store_it_works(site: Site) -> None:
    site.good("index", "clear")
    assert "there is no index yet" in site.good("selfcheck", "--edits", "0").err
    for path in (site.workspace / "lockfiles").glob("*"):
        path.unlink()
    shutil.rmtree(site.store)
    site.good("selfcheck", "--edits", "5", "--seed", "2")
    assert not site.store.exists(), "a check makes no store"


def test_the_store_does_not_learn_of_the_copy(site: Site) -> None:
    site.good("selfcheck", "--edits", "1")
    for path in site.store.rglob("*"):
        assert "selfcheck" not in path.name
        if path.is_file() and path.suffix == ".json":
            assert b"selfcheck" not in path.read_bytes()


def test_a_broken_catalog_is_compared_too(site: Site) -> None:
    (site.workspace / "catalog/dcm/recipe.yaml").write_text("{")
    ended = site.good("selfcheck", "--edits", "3", "--seed", "4")
    assert "every plan is the same" in ended.out
    assert "(a problem, told by both)" in ended.err


# An index that is wrong on purpose.


def rewritten(site: Site, change: Callable[[Editor], None], flags: int | None = None) -> None:
    """Changes the index behind its back, as a fault of ours would."""
    path = site.workspace / ".ssds/plan.index"
    file = open_index(str(path))
    assert file is not None
    editor = Editor(Groups.load(file), Table.load(file))
    documents = Documents(file)
    documents.keep({bytes(d) for part in [documents] for d in _digests(editor)})
    change(editor)
    printed = bytes(file.section("printed"))
    sections = [("printed", printed), *editor.groups.sections(), *editor.table.sections()]
    head = (*file.head[:3], file.head[3] if flags is None else flags)
    pieces, slot = pack([*sections, *documents.sections()], head, unchecked=("recipes",))
    path.write_bytes(slot + bytes(SLOT_BYTES) + b"".join(pieces))


def _digests(editor: Editor) -> list[bytes]:
    text = bytes(editor.table.digests)
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def a_count_too_many(editor: Editor) -> None:
    editor.table.own[0] += 3


def a_change_not_seen(site: Site, name: str) -> Callable[[Editor], None]:
    """Gives the index the row of a file as it is now, with the plan of before."""

    def change(editor: Editor) -> None:
        groups = editor.groups
        wanted = os.fsencode(name.partition("/")[2])
        base = groups.bases.index("catalog")
        at = groups.paths[base].index(wanted)
        editor.set_row(base, at, look(site.workspace / name))

    return change


def check_told(ended: Ended, *words: str) -> None:
    check_error(ended, "E162", "ssds index clear", "--no-index", "--seed")
    for word in words:
        assert word in ended.out, ended.text


def test_counts_that_are_wrong_are_told(site: Site) -> None:
    rewritten(site, a_count_too_many, flags=0)
    check_told(
        site.run("selfcheck", "--edits", "0"),
        "only with the index: counts:",
        "only without it: counts:",
    )


def test_an_edit_that_the_index_missed_is_told_row_by_row(site: Site) -> None:
    site.edit("catalog/bwa/recipe.yaml", "script: make", "script: all")
    rewritten(site, a_change_not_seen(site, "catalog/bwa/recipe.yaml"))
    assert site.good("plan").out.startswith("Nothing to do"), "the index is wrong enough"
    before = (site.workspace / ".ssds/plan.index").read_bytes()
    ended = site.run("selfcheck", "--edits", "3")
    check_told(ended, "only without it: run bwa@1.0:build linux/amd64 (changed: ")
    assert (site.workspace / ".ssds/plan.index").read_bytes() == before, "the evidence is kept"
    told = json.loads(site.run("selfcheck", "--json").out)
    assert (told["same"], told["after"]) == (False, "with the index as it is")
    site.good("index", "clear")
    site.good("selfcheck", "--edits", "0")


def test_words_that_the_index_keeps_and_are_wrong_are_told(site: Site) -> None:
    path = site.workspace / ".ssds/plan.index"
    file = open_index(str(path))
    assert file is not None
    assert file.head[3] == NOTHING_TO_DO

    def change(editor: Editor) -> None:
        editor.table.flags[0] |= SETTLED

    rewritten(site, change)
    data = path.read_bytes()
    found = re.search(rb'"reuse": ([0-9]+)', data)
    assert found is not None
    count = int(found[1])
    # The sum of the changed words is made right again by packing once more.
    sections = {
        name: bytes(part)
        for name in dict.fromkeys(entry[0] for entry in file.entries)
        for part in [b"".join(file.parts(name, checked=False))]
    }
    sections["printed"] = sections["printed"].replace(found[0], b'"reuse": %d' % (count + 1))
    pieces, slot = pack(list(sections.items()), file.head, unchecked=("recipes",))
    path.write_bytes(slot + bytes(SLOT_BYTES) + b"".join(pieces))
    check_told(site.run("selfcheck", "--edits", "0"), f"{count + 1} reuse", f"{count} reuse")


# What it does to a copy.


def test_edits_never_leave_the_copy(released: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(released / "workspace", outside, symlinks=True)
    for name in ("lockfiles/link@1.lock.json", "catalog/ants/link", "catalog/link.yaml"):
        (outside / name).symlink_to(tmp_path / "precious")
    (outside / "catalog/linked").symlink_to(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/recipe.yaml").write_text("name: linked\n")
    (tmp_path / "precious").write_text("precious")
    before = contents(tmp_path)
    copy = tmp_path / "copy"
    copy_workspace(str(outside), str(copy), ("ssds.yaml", "catalog", "lockfiles"))
    editing = Editing(str(copy), "catalog", "lockfiles", Random(3))
    kinds = set()
    for _ in range(300):
        told = editing.step(EDITS)
        assert told
        kinds.add(re.sub(r"(catalog|lockfiles)/\S+|ssds.yaml|\d+", "…", told))
        editing.undo()
    assert len(kinds) > 25, sorted(kinds)
    after = contents(tmp_path)
    assert {k: v for k, v in after.items() if not k.startswith("copy")} == before


def test_undoing_gives_back_what_was_there(released: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_workspace(str(released / "workspace"), str(copy), ("ssds.yaml", "catalog", "lockfiles"))
    editing = Editing(str(copy), "catalog", "lockfiles", Random(9))
    before = {name: digest for name, (_, digest) in contents(copy).items()}
    for _ in range(200):
        editing.step(EDITS)
        editing.undo()
        assert {name: digest for name, (_, digest) in contents(copy).items()} == before


# Places.


def test_two_at_once_are_refused_with_a_hint(site: Site) -> None:
    first = site.start("selfcheck", "--edits", "40", "--seed", "1")
    try:
        for line in first.stderr:
            if line.startswith("  2:"):
                break
        check_error(site.run("selfcheck", "--edits", "1"), "E161", "Wait")
    finally:
        first.kill()
        first.communicate()
    site.good("selfcheck", "--edits", "0")
    assert not (site.workspace / ".ssds/selfcheck").exists(), "what a killed one left is removed"


def test_where_nothing_can_be_written_it_says_what_still_works(site: Site) -> None:
    shutil.rmtree(site.workspace / ".ssds")
    (site.workspace / ".ssds").write_text("no folder")
    check_error(site.run("selfcheck"), "E160", "`ssds selfcheck --edits 0` needs no scratch copy")
    assert "every plan is the same" in site.good("selfcheck", "--edits", "0").out
