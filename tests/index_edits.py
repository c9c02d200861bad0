"""Named edits of a recipe's files and folders, for the tests of what the plan index notices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import index_bench
from index_bench import Bench
from laws_catalogs import dump, load

Edit = Callable[[Bench], None]
EDITS: dict[str, Edit] = {}
SAME = set[str]()
"""Edits after which the plan says what it said before."""


def edit(function: Edit) -> Edit:
    EDITS[function.__name__] = function
    return function


def same(function: Edit) -> Edit:
    SAME.add(function.__name__)
    return edit(function)


def put_in_place(path: Path, data: bytes) -> None:
    """Writes over a file and sets its mtime back, as ``touch -r`` does."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# A recipe's own file.


@same
def touched(bench: Bench) -> None:
    os.utime(bench.path("catalog/ants/recipe.yaml"))


@same
def touched_into_the_past(bench: Bench) -> None:
    os.utime(bench.path("catalog/ants/recipe.yaml"), ns=(10**18, 10**18))


@same
def touched_into_the_future(bench: Bench) -> None:
    os.utime(bench.path("catalog/ants/recipe.yaml"), (4e9, 4e9))


@same
def touched_before_1970(bench: Bench) -> None:
    os.utime(bench.path("catalog/ants/recipe.yaml"), (-5.5, -5.5))


@same
def written_again(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    path.write_bytes(path.read_bytes())


@edit
def edited(bench: Bench) -> None:
    change(bench.path("catalog/bwa/recipe.yaml"), "script: make", "script: make all")


@edit
def edited_in_place_with_the_old_mtime(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    put_in_place(path, path.read_bytes().replace(b"script: make", b"script: mkdi"))


@edit
def replaced_with_the_old_times_and_size(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    before = path.stat()
    fresh = path.with_name("fresh")
    fresh.write_bytes(path.read_bytes().replace(b"script: make", b"script: mkdi"))
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(fresh, path)


@edit
def hard_links_swapped(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    other, aside = path.with_name("other.yaml"), path.with_name("aside.yaml")
    other.write_bytes(path.read_bytes().replace(b"script: make", b"script: mkdi"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.link(path, aside)
    os.replace(other, path)


@edit
def written_through_another_hard_link(bench: Bench) -> None:
    path, other = bench.path("catalog/cat12/one.conf"), bench.folder / "elsewhere"
    os.link(path, other)
    bench.check_calm()
    put_in_place(other, b"a = 2\n")


@same
def crlf(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@same
def a_comment(bench: Bench) -> None:
    path = bench.path("catalog/ants/recipe.yaml")
    path.write_text(path.read_text() + "# a comment\n")


@edit
def broken(bench: Bench) -> None:
    bench.path("catalog/dcm/recipe.yaml").write_text("{")


@edit
def broken_and_mended(bench: Bench) -> None:
    path = bench.path("catalog/ants/recipe.yaml")
    data = path.read_bytes()
    path.write_text("name: [")
    bench.check_calm()
    path.write_bytes(data.replace(b"summary: words", b"summary: other"))


@edit
def unreadable_as_text(bench: Bench) -> None:
    bench.path("catalog/dcm/recipe.yaml").write_bytes(b"name: \xff\xfe\n")


@edit
def another_name_inside(bench: Bench) -> None:
    change(bench.path("catalog/dcm/recipe.yaml"), "name: dcm", "name: other")


@edit
def a_version_less_that_another_holds(bench: Bench) -> None:
    path = bench.path("catalog/ants/recipe.yaml")
    value = load(path)
    value["versions"] = {"2.0": {}}
    dump(path, value)


@edit
def the_recipe_below_another(bench: Bench) -> None:
    change(bench.path("catalog/cat12/recipe.yaml"), "version: '1.0'", "version: '1.1'")


@edit
def emptied(bench: Bench) -> None:
    bench.path("catalog/dcm/recipe.yaml").write_bytes(b"")


# Its folder.


@edit
def recipe_removed(bench: Bench) -> None:
    bench.path("catalog/dcm/recipe.yaml").unlink()


@edit
def folder_removed(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog/dcm"))


@edit
def folder_of_a_recipe_that_others_need_removed(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog/cat12"))


@edit
def folder_renamed(bench: Bench) -> None:
    os.replace(bench.path("catalog/dcm"), bench.path("catalog/dcm2"))


@edit
def two_folders_swapped(bench: Bench) -> None:
    one, two, aside = (bench.path(f"catalog/{n}") for n in ("ants", "dcm", ".aside"))
    os.replace(one, aside)
    os.replace(two, one)
    os.replace(aside, two)


@edit
def folder_becomes_a_file(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog/dcm"))
    bench.path("catalog/dcm").write_text("no folder")


@edit
def recipe_becomes_a_folder(bench: Bench) -> None:
    bench.path("catalog/dcm/recipe.yaml").unlink()
    bench.path("catalog/dcm/recipe.yaml").mkdir()


@edit
def recipe_becomes_a_pipe(bench: Bench) -> None:
    bench.path("catalog/dcm/recipe.yaml").unlink()
    os.mkfifo(bench.path("catalog/dcm/recipe.yaml"))


@edit
def a_new_recipe(bench: Bench) -> None:
    dump(bench.path("catalog/new/recipe.yaml"), index_bench.recipe("new"))


@edit
def an_empty_folder_gets_a_recipe(bench: Bench) -> None:
    bench.path("catalog/later").mkdir()
    bench.check_calm()
    dump(bench.path("catalog/later/recipe.yaml"), index_bench.recipe("later"))


@edit
def a_recipe_removed_and_put_back_otherwise(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    data = path.read_bytes()
    path.unlink()
    bench.check_calm()
    path.write_bytes(data.replace(b"script: make", b"script: mkdi"))


@same
def a_recipe_removed_and_put_back(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    data = path.read_bytes()
    path.unlink()
    bench.check_calm()
    path.write_bytes(data)


@same
def a_hidden_folder(bench: Bench) -> None:
    shutil.copytree(bench.path("catalog/dcm"), bench.path("catalog/.dcm"))


@same
def stray_files(bench: Bench) -> None:
    for name in ("catalog/note.txt", "lockfiles/note.txt", "catalog/ants/note.txt"):
        bench.path(name).write_text("stray")


@edit
def a_folder_with_odd_bytes(bench: Bench) -> None:
    folder = os.fsencode(bench.path("catalog")) + b"/odd\xff\n\x01"
    os.mkdir(folder)
    with open(folder + b"/recipe.yaml", "wb") as file:
        file.write(b"name: odd\n")


@same
def an_empty_folder_with_odd_bytes(bench: Bench) -> None:
    os.mkdir(os.fsencode(bench.path("catalog")) + b"/odd\xff= \n\x01")


@same
def a_file_with_odd_bytes_in_a_copied_place(bench: Bench) -> None:
    os.mkdir(os.fsencode(bench.path("lockfiles")) + b"/odd\xff@1.lock.json.d")


@edit
def an_odd_name_in_a_copied_folder(bench: Bench) -> None:
    with open(os.fsencode(bench.path("catalog/dcm/files/deep")) + b"/odd\xff", "wb"):
        pass


@edit
def a_new_line_in_a_copied_folder(bench: Bench) -> None:
    bench.path("catalog/dcm/files/deep/odd\nname").write_text("x")
    bench.check_calm()
    bench.path("catalog/dcm/files/deep/odd\nname").write_text("y")


@edit
def recipe_folder_becomes_a_link(bench: Bench) -> None:
    os.replace(bench.path("catalog/bwa"), bench.path("catalog/.bwa"))
    bench.path("catalog/bwa").symlink_to(".bwa")
    bench.check_calm()
    change(bench.path("catalog/.bwa/recipe.yaml"), "script: make", "script: make all")


@edit
def recipe_becomes_a_link(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    os.replace(path, path.with_name("real.yaml"))
    path.symlink_to("real.yaml")
    bench.check_calm()
    put_in_place(
        path.with_name("real.yaml"),
        path.read_bytes().replace(b"script: make", b"script: mkdi"),
    )


@edit
def a_link_to_another_recipe_is_turned(bench: Bench) -> None:
    one, two = bench.path("catalog/.one"), bench.path("catalog/.two")
    os.replace(bench.path("catalog/bwa"), one)
    shutil.copytree(one, two)
    change(two / "recipe.yaml", "script: make", "script: mkdi")
    bench.path("catalog/bwa").symlink_to(".one")
    bench.check_calm()
    bench.path("catalog/bwa").unlink()
    bench.path("catalog/bwa").symlink_to(".two")


@edit
def recipe_links_out_of_the_catalog(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    os.replace(path, bench.folder / "outside.yaml")
    path.symlink_to(bench.folder / "outside.yaml")
