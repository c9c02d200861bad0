"""``ssds index``: what is carried to other clones, what is refused, and that no plan is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import index_clones as clones
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_clones import RECIPE, ROOT, check_law, clone, git, good, import_json, ssds, swap

from ssds.core.digest import ActionKey
from ssds.core.model import Claim
from ssds.graph.index import hot
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import SLOT_BYTES, IndexFile, open_index, pack
from ssds.graph.index.portable import MAGIC, SUFFIX, read_portable
from ssds.graph.index.rows import ROW_BYTES, UNKNOWN
from ssds.store.store import Store

HEAD_BYTES = len(MAGIC) + 32


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository; never to be changed."""
    return clones.make(tmp_path_factory.mktemp("source") / "workspace")


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its exported index."""
    file = tmp_path_factory.mktemp("exported") / "plan.ssds-index"
    good(source, "index", "export", str(file))
    return file


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)


@pytest.fixture
def here(source: Path, tmp_path: Path) -> Path:
    """A fresh clone that a test may change."""
    return clone(source, tmp_path / "clone")


def index_of(folder: Path) -> Path:
    return folder / ".ssds/plan.index"


def call(folder: Path, *arguments: str) -> str:
    """Runs the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ssds", "-C", str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- what is carried -----------------------------------------------------------------------------


def test_a_fresh_clone_plans_as_a_warm_one(here: Path, exported: Path) -> None:
    plain = good(here, "plan", "--no-index").out
    import_json(here, exported)
    at_once = hot.printed(str(here), str(index_of(here)), as_json=False)
    assert at_once is not None
    assert at_once + "\n" == plain
    assert plain.startswith("Nothing to do: ")
    check_law(here)


def test_the_real_command_line_does_it_too(here: Path, exported: Path) -> None:
    said = call(here, "index", "import", str(exported))
    assert f"{clones.COUNT} recipes as there, 0 to be looked at" in said
    assert call(here, "plan") == call(here, "plan", "--no-index")
    assert call(here, "plan", "--json") == call(here, "plan", "--no-index", "--json")


def test_nothing_is_read_that_git_vouches_for_and_everything_with_read(
    here: Path, exported: Path
) -> None:
    by_git = import_json(here, exported)
    read = import_json(here, exported, "--read")
    assert (by_git["files_read"], read["files_known_by_git"]) == (0, 0)
    assert by_git["files_known_by_git"] == read["files_read"] > 2 * clones.COUNT
    assert by_git["different"] == read["different"] == []
    check_law(here)


def test_only_what_differs_is_planned_anew(here: Path, exported: Path) -> None:
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    shutil.rmtree(here / "catalog/nifti-segment-000002")
    (here / "lockfiles/bam-sort-000000@2.0.lock.json").write_text("{}")
    found = import_json(here, exported)
    assert found["different"] == ["bam-sort-000000", "nifti-segment-000002"]
    assert found["whole_catalog"] == ""
    check_law(here)


def test_a_new_recipe_and_a_new_lock_are_planned(here: Path, exported: Path) -> None:
    shutil.copytree(here / "catalog/bam-sort-000000", here / "catalog/added")
    swap(here / "catalog/added/recipe.yaml", "name: bam-sort-000000", "name: added          ")
    found = import_json(here, exported)
    assert found["different"] == ["added"]
    assert "added@" in check_law(here)


def test_what_all_recipes_share_makes_the_whole_plan(here: Path, exported: Path) -> None:
    with (here / "catalog/policies.yaml").open("a") as file:
        file.write("harsh: {fail_on: [low]}\n")
    found = import_json(here, exported)
    assert found["whole_catalog"] == "catalog/policies.yaml is not as it was there"
    check_law(here)
    (here / "catalog/sites").mkdir()
    (here / "catalog/sites/hpc.yaml").write_text("platforms: [linux/amd64]\n")
    assert import_json(here, exported)["whole_catalog"]
    check_law(here)


def test_parsed_recipes_serve_where_the_plan_is_of_the_whole(
    here: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssds.recipe import catalog

    with (here / "catalog/policies.yaml").open("a") as file:
        file.write("harsh: {fail_on: [low]}\n")
    import_json(here, exported)
    parsed: list[str] = []
    load = catalog.load

    def counted(data: bytes, path: str, collector: Any) -> Any:
        parsed.append(path)
        return load(data, path, collector)

    monkeypatch.setattr(catalog, "load", counted)
    good(here, "plan")
    assert parsed == []


def test_a_recipe_to_be_built_is_told_as_before(here: Path, tmp_path: Path) -> None:
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    clones.commit(here, "edit")
    file = tmp_path / "own.ssds-index"
    good(here, "index", "export", str(file))
    fresh = clone(here, tmp_path / "fresh")
    assert import_json(fresh, file)["different"] == []
    assert "bam-sort-000000" in check_law(fresh)


def test_importing_twice_and_over_an_index_is_harmless(
    source: Path, here: Path, exported: Path
) -> None:
    good(here, "plan")
    import_json(here, exported)
    import_json(here, exported)
    check_law(here)
    again = here.parent / "again.ssds-index"
    good(here, "index", "export", str(again))
    assert import_json(here, again)["different"] == []
    check_law(here)


def test_an_exported_index_names_no_place_of_its_machine(source: Path, exported: Path) -> None:
    data = exported.read_bytes()
    for place in (str(source), str(ROOT), sys.prefix, os.path.expanduser("~")):
        if len(place) > 1:
            assert place.encode() not in data


def test_a_file_that_was_just_written_is_looked_at_once_more(here: Path, exported: Path) -> None:
    for path in (*here.glob("catalog/*/*"), *here.glob("lockfiles/*")):
        path.touch()
    found = import_json(here, exported)
    assert found["different"] == []
    assert hot.printed(str(here), str(index_of(here)), as_json=False)
    check_law(here)


def test_an_edit_in_the_moment_of_the_import_is_seen(here: Path, exported: Path) -> None:
    import_json(here, exported)
    before = (here / RECIPE).stat()
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    clones.restore_times(here / RECIPE, before)
    assert "bam-sort-000000" in check_law(here)


# -- what is this machine's ----------------------------------------------------------------------


def test_another_store_is_looked_at(source: Path, here: Path, exported: Path) -> None:
    (here / "store").symlink_to(shutil.copytree(source / "store", here.parent / "store"))
    assert ", 0 to be looked at;" in call(here, "index", "import", str(exported))
    assert hot.printed(str(here), str(index_of(here)), as_json=False)
    check_law(here)


def shared_keys(folder: Path) -> list[str]:
    """Returns the keys of the sources and bases, as a plan with everything says."""
    from ssds.graph.index.table import Table

    file = open_index(str(index_of(folder)))
    assert file is not None
    text = bytes(Table.load(file).shared_keys)
    return [text[at : at + 32].hex() for at in range(0, len(text), 32)]


def test_a_claim_of_the_store_that_says_otherwise_is_not_missed(
    source: Path, here: Path, exported: Path
) -> None:
    store = Store.open(str(here / "store"))
    other = store.blobs.put(b"something else")
    for key in shared_keys(source):
        for kind, output in (("source", "file"), ("base", "layer")):
            claim = Claim(
                key=ActionKey(f"blake3:{key}"),
                kind=kind,
                outputs={output: other},
                origin="store",
            )
            store.claims.add(claim, b"{}")
    store.close()
    found = import_json(here, exported)
    assert len(found["different"]) == clones.COUNT
    check_law(here)


def test_observations_that_were_made_here_count(here: Path, exported: Path) -> None:
    (here / ".ssds/observed").mkdir(parents=True)
    (here / ".ssds/observed/lab.json").write_text("{}")
    found = import_json(here, exported)
    assert found["whole_catalog"] == ".ssds/observed/lab.json is an observation that was made here"
    check_law(here)


def test_observations_of_the_exporter_are_not_carried(
    source: Path, here: Path, tmp_path: Path
) -> None:
    (here / ".ssds/observed").mkdir(parents=True)
    (here / ".ssds/observed/lab.json").write_text("{}")
    file = tmp_path / "own.ssds-index"
    good(here, "index", "export", str(file))
    fresh = clone(source, tmp_path / "fresh")
    found = import_json(fresh, file)
    assert (found["whole_catalog"], found["different"]) == ("", [])
    assert b"observed" not in file.read_bytes()
    check_law(fresh)


def test_other_settings_are_those_of_this_machine(
    here: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSDS_PLATFORMS", "linux/arm64")
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    import_json(here, exported)
    check_law(here)


def test_shared_parts_behind_a_link_make_the_whole_plan(here: Path, tmp_path: Path) -> None:
    (here / "catalog/bases.yaml").rename(here / "catalog/real.yaml")
    (here / "catalog/bases.yaml").symlink_to("real.yaml")
    clones.commit(here, "a link")
    file = tmp_path / "own.ssds-index"
    ended = good(here, "index", "export", str(file))
    assert "is a link" in ended.err
    fresh = clone(here, tmp_path / "fresh")
    assert "is a link" in import_json(fresh, file)["whole_catalog"]
    check_law(fresh)


def test_a_recipe_with_a_link_is_always_planned(here: Path, tmp_path: Path) -> None:
    folder = here / "catalog/bam-sort-000000"
    (folder / "settings.conf").rename(folder / "real.conf")
    (folder / "settings.conf").symlink_to("real.conf")
    clones.commit(here, "a link")
    file = tmp_path / "own.ssds-index"
    good(here, "index", "export", str(file))
    fresh = clone(here, tmp_path / "fresh")
    assert "bam-sort-000000" in import_json(fresh, file)["different"]
    check_law(fresh)


@pytest.mark.parametrize("point", ["index.synced:1", "index.renamed:1", "index.grow.written:1"])
def test_an_import_that_is_killed_leaves_no_wrong_index(
    here: Path, exported: Path, point: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SSDS_FAULT_KILL": point}
    words = ("-C", str(here), "index", "import", str(exported))
    subprocess.run(
        [sys.executable, "-m", "ssds", *words],
        env=environment,
        cwd="/",
        capture_output=True,
        check=False,
    )
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    check_law(here)


# -- which file ----------------------------------------------------------------------------------


def test_a_folder_holds_a_file_for_each_tree(source: Path, here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    said = good(source, "index", "export", str(folder)).out
    trees = [git(source, "rev-parse", f"HEAD:{name}") for name in ("catalog", "lockfiles")]
    name = "-".join(trees) + SUFFIX
    assert [path.name for path in folder.iterdir()] == [name]
    assert said.startswith(f"{folder / name}: {clones.COUNT} recipes")
    assert import_json(here, folder)["path"] == str(folder / name)


def test_of_a_folder_the_own_tree_counts_and_then_the_newest_that_can_be_read(
    source: Path, here: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    good(source, "index", "export", str(folder))
    (own,) = folder.iterdir()
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    clones.commit(here, "edit")
    good(here, "index", "export", str(folder))
    (other,) = set(folder.iterdir()) - {own}
    for age_s, path in enumerate((own, other)):
        os.utime(path, (1_700_000_000 + age_s, 1_700_000_000 + age_s))
    assert import_json(clone(source, tmp_path / "a"), folder)["path"] == str(own)
    own.unlink()
    (folder / f"broken{SUFFIX}").write_bytes(b"no")
    assert import_json(clone(source, tmp_path / "b"), folder)["path"] == str(other)


def test_without_git_the_file_is_named_by_its_content(here: Path, tmp_path: Path) -> None:
    shutil.rmtree(here / ".git")
    folder = tmp_path / "cache"
    folder.mkdir()
    good(here, "index", "export", str(folder))
    (file,) = folder.iterdir()
    assert file.name.startswith("content-")
    assert import_json(here, folder)["different"] == []


def test_show_says_what_is_there_and_clear_removes_it(here: Path, exported: Path) -> None:
    assert "of use    no: there is none" in good(here, "index", "show").out
    import_json(here, exported)
    facts = json.loads(good(here, "index", "show", "--json").out)
    assert facts["recipes"] == facts["settled"] == clones.COUNT
    assert (facts["changed"], facts["miss"]) == (0, "")
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    shown = good(here, "index", "show").out
    assert ", 1 of them to be looked at" in shown
    assert "of use    yes" in shown
    index_of(here).write_bytes(b"?")
    assert "no: it is no plan index" in good(here, "index", "show").out
    assert good(here, "index", "clear").out == "Removed.\n"
    assert good(here, "index", "clear").out == "There was none.\n"


# -- what is refused -----------------------------------------------------------------------------


def check_refused(folder: Path, file: Path, code: str) -> str:
    """Checks that an import is refused with a hint, and that the index is untouched."""
    before = index_of(folder).read_bytes() if index_of(folder).exists() else None
    ended = ssds(folder, "index", "import", str(file))
    assert ended.code == 1
    assert f"error[{code}]: " in ended.err
    assert "\n  " in ended.err
    assert "Traceback" not in ended.err
    assert before == (index_of(folder).read_bytes() if index_of(folder).exists() else None)
    return ended.err


def test_what_is_not_there_or_no_file_is_refused(here: Path, tmp_path: Path) -> None:
    good(here, "plan")
    check_refused(here, tmp_path / "absent", "E155")
    empty = tmp_path / "empty"
    empty.mkdir()
    check_refused(here, empty, "E155")
    os.mkfifo(tmp_path / "pipe")
    check_refused(here, tmp_path / "pipe", "E155")
    (tmp_path / "loop").symlink_to("loop")
    check_refused(here, tmp_path / "loop", "E155")


def test_what_is_no_portable_index_is_refused(
    source: Path, here: Path, exported: Path, tmp_path: Path
) -> None:
    good(here, "plan")
    data = exported.read_bytes()
    newer = data.replace(MAGIC, MAGIC.replace(b"1", b"2"), 1)
    for bad in (b"", b"?", index_of(source).read_bytes(), data[:-1], data[:50], data + b"x", newer):
        (tmp_path / "bad").write_bytes(bad)
        check_refused(here, tmp_path / "bad", "E156")


def forged(data: bytes, **sections: bytes) -> bytes:
    """Returns a portable index with other sections and a right digest."""
    file = IndexFile(memoryview(data)[HEAD_BYTES:])
    found = [(name, bytes(file.parts(name, checked=False)[0])) for name, *_ in file.entries]
    changed = [(name, sections.get(name, old)) for name, old in found]
    pieces, slot = pack(changed, file.head, unchecked=("recipes",))
    return sealed(slot + bytes(SLOT_BYTES) + b"".join(pieces))


def sealed(inner: bytes) -> bytes:
    return MAGIC + hashlib.sha256(inner).digest() + inner


def section(data: bytes, name: str) -> bytes:
    return bytes(IndexFile(memoryview(data)[HEAD_BYTES:]).parts(name, checked=False)[0])


def test_another_version_of_ssds_is_refused(here: Path, exported: Path, tmp_path: Path) -> None:
    good(here, "plan")
    data = exported.read_bytes()
    about = json.loads(section(data, "about"))
    for more, code in (
        ({"code": "0" * 64, "version": "9.9"}, "E157"),
        ({"catalog": "recipes"}, "E156"),
        ({"form": 2}, "E156"),
        ({"catalog": "../catalog"}, "E156"),
        ({"code": 1}, "E156"),
        ({"made_s": True}, "E156"),
    ):
        (tmp_path / "bad").write_bytes(forged(data, about=json.dumps({**about, **more}).encode()))
        said = check_refused(here, tmp_path / "bad", code)
        assert code != "E157" or "another version of ssds (9.9)" in said
    for text in (b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"form": 1e999}'):
        (tmp_path / "bad").write_bytes(forged(data, about=text))
        check_refused(here, tmp_path / "bad", "E156")


def test_an_index_of_another_folder_is_refused(here: Path, exported: Path) -> None:
    git(here, "mv", "catalog", "recipes")
    swap(here / "ssds.yaml", "catalog: catalog", "catalog: recipes")
    said = check_refused(here, exported, "E158")
    assert "it is of a catalog in catalog, and here it is in recipes" in said


def test_paths_out_of_the_catalog_are_refused(here: Path, exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    paths = section(data, "paths")
    old = b"bam-sort-000000/recipe.yaml\0"
    assert old in paths
    for new in (
        b"../../etc/passwd",
        b"/etc/passwd",
        b"bam-sort-000000/../x",
        b"vcf-count-000001/recipe.yaml",
        b"bam-sort-000000/",
        b"",
        b".",
        b"bam-sort-000000/" + b"x" * 5000,
    ):
        (tmp_path / "bad").write_bytes(forged(data, paths=paths.replace(old, new + b"\0")))
        check_refused(here, tmp_path / "bad", "E156")
    groups = section(data, "groups")
    for new in (b"/", b"..", b"/etc", b""):
        bad = groups.replace(b" catalog\0", b" " + new + b"\0")
        (tmp_path / "bad").write_bytes(forged(data, groups=bad))
        check_refused(here, tmp_path / "bad", "E156")


def test_columns_that_do_not_agree_are_refused(here: Path, exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    first = section(data, "groups").split(b"\0")[0]
    count = int(first.split()[0])
    names = section(data, "names")
    twice = names.split(b"\0")
    twice[1] = twice[0]
    cases: list[dict[str, bytes]] = [
        {"kinds": b""},
        {"kinds": b"z" * len(section(data, "kinds"))},
        {"sizes": b"\xff" * 8},
        {"rows": section(data, "rows")[32:]},
        {"owners": b"\xff\xff\xff\x7f" * (len(section(data, "owners")) // 4)},
        {"owners": b"\xfa\xff\xff\xff" * (len(section(data, "owners")) // 4)},
        {"flags": b"\xff" * len(section(data, "flags"))},
        {"own": b"\xff" * len(section(data, "own"))},
        {"names": b"\0".join(twice)},
        {"names": names.replace(twice[2], b"../" + twice[2][3:])},
        {"groups": b"-5 catalog\0" + b"%d x\0" % (count + 5)},
        {"groups": b"%s catalog\0" % (b"9" * 5000)},
        {"edges": b"\xff\xff\xff\x7f"},
    ]
    for case in cases:
        (tmp_path / "bad").write_bytes(forged(data, **case))
        check_refused(here, tmp_path / "bad", "E156")


def test_recipes_in_it_that_are_none_are_left_out(
    here: Path, exported: Path, tmp_path: Path
) -> None:
    data = exported.read_bytes()
    recipes = section(data, "recipes")
    assert b'"name":' in recipes
    assert len(read_portable(str(exported)).documents.added) == clones.COUNT
    (tmp_path / "bad").write_bytes(forged(data, recipes=recipes.replace(b'"name":', b'"nome":')))
    assert not read_portable(str(tmp_path / "bad")).documents.added
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    assert import_json(here, tmp_path / "bad")["different"] == ["bam-sort-000000"]
    check_law(here)


def test_an_index_that_cannot_be_written_is_said(here: Path, exported: Path) -> None:
    index_of(here).mkdir(parents=True)
    ended = ssds(here, "index", "import", str(exported))
    assert ended.code == 1
    assert "error[E159]: " in ended.err


def test_without_an_index_there_is_nothing_to_export(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSDS_INDEX", "off")
    ended = ssds(here, "index", "export", str(tmp_path / "x"))
    assert ended.code == 1
    assert "error[E159]: there is no plan index to export" in ended.err
    assert not (tmp_path / "x").exists()


def test_a_broken_catalog_is_not_exported(here: Path, tmp_path: Path) -> None:
    (here / RECIPE).write_text("name: [\n")
    ended = ssds(here, "index", "export", str(tmp_path / "x"))
    assert ended.code == 1
    assert not (tmp_path / "x").exists()


_SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_SLOW
@given(data=st.data())
def test_a_damaged_file_is_refused(here: Path, exported: Path, data: st.DataObject) -> None:
    whole = bytearray(exported.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([len(whole), at]))
    (here / "bad").write_bytes(whole[:cut])
    check_refused(here, here / "bad", "E156")


@_SLOW
@given(data=st.data())
def test_a_forged_file_gives_an_error_or_an_answer(
    here: Path, exported: Path, data: st.DataObject
) -> None:
    whole = exported.read_bytes()
    names = [name for name, *_ in IndexFile(memoryview(whole)[HEAD_BYTES:]).entries]
    changes = {}
    for name in data.draw(st.lists(st.sampled_from(sorted(set(names))), min_size=1, max_size=3)):
        old = bytearray(section(whole, name))
        for _ in range(data.draw(st.integers(1, 4))):
            if old:
                at = data.draw(st.integers(0, len(old) - 1))
                old[at] = data.draw(st.sampled_from([0, 1, 0x2F, 0x7F, 0x80, 0xFF, old[at] ^ 1]))
        changes[name] = bytes(old)
    (here / "bad").write_bytes(forged(whole, **changes))
    for ended in (
        ssds(here, "index", "import", str(here / "bad")),
        ssds(here, "index", "show"),
        ssds(here, "plan"),
    ):
        assert ended.code in (0, 1)
        assert "E001" not in ended.err
        assert "Traceback" not in ended.err


@_SLOW
@given(data=st.data())
def test_forged_bytes_below_the_digest_give_an_error_or_an_answer(
    here: Path, exported: Path, data: st.DataObject
) -> None:
    inner = bytearray(exported.read_bytes()[HEAD_BYTES:])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(inner) - 1, 4096)))
        inner[at] = data.draw(st.integers(0, 255))
    (here / "bad").write_bytes(sealed(bytes(inner)))
    for ended in (ssds(here, "index", "import", str(here / "bad")), ssds(here, "plan")):
        assert ended.code in (0, 1)
        assert "E001" not in ended.err


def test_rows_that_nobody_vouches_for_are_unknown(here: Path, exported: Path) -> None:
    swap(here / RECIPE, "Programs that sort", "Programs that SORT")
    import_json(here, exported)
    file = open_index(str(index_of(here)))
    assert file is not None
    groups = Groups.load(file)
    group = groups.bases.index("catalog")
    at = groups.paths[group].index(b"bam-sort-000000/recipe.yaml")
    assert bytes(groups.rows[group][at * ROW_BYTES : (at + 1) * ROW_BYTES]) == UNKNOWN
