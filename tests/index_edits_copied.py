"""Named edits of the files that a recipe copies; see ``index_edits``."""

from __future__ import annotations

import os
import shutil

from index_bench import Bench
from index_edits import edit, put_in_place, same

# What it copies.


@edit
def made_executable(bench: Bench) -> None:
    bench.path("catalog/cat12/one.conf").chmod(0o755)


@edit
def execute_bit_taken(bench: Bench) -> None:
    bench.path("catalog/ants/files/tool.sh").chmod(0o644)


@same
def other_rights(bench: Bench) -> None:
    bench.path("catalog/cat12/one.conf").chmod(0o600)


@edit
def an_edit_of_the_same_size_and_mtime(bench: Bench) -> None:
    put_in_place(bench.path("catalog/cat12/one.conf"), b"a = 2\n")


@edit
def an_edit_deep_in_a_copied_folder(bench: Bench) -> None:
    put_in_place(bench.path("catalog/ants/files/deep/er/data"), b"9876543210")


@edit
def a_file_more_in_a_copied_folder(bench: Bench) -> None:
    folder = bench.path("catalog/ants/files/deep")
    before = folder.stat()
    (folder / "more").write_text("more")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


@edit
def an_empty_folder_more(bench: Bench) -> None:
    bench.path("catalog/ants/files/empty/one").mkdir()


@edit
def a_file_less_in_a_copied_folder(bench: Bench) -> None:
    bench.path("catalog/ants/files/deep/er/data").unlink()


@edit
def a_rename_in_a_copied_folder(bench: Bench) -> None:
    folder = bench.path("catalog/ants/files")
    os.replace(folder / "plain.txt", folder / "other.txt")


@edit
def two_files_of_one_size_swapped(bench: Bench) -> None:
    folder = bench.path("catalog/dcm/files/deep")
    (folder / "one").write_text("1")
    (folder / "two").write_text("2")
    bench.check_calm()
    os.replace(folder / "one", folder / "aside")
    os.replace(folder / "two", folder / "one")
    os.replace(folder / "aside", folder / "two")


@edit
def a_copied_folder_becomes_a_link(bench: Bench) -> None:
    folder = bench.path("catalog/dcm/files")
    os.replace(folder / "deep", folder / "hidden")
    (folder / "deep").symlink_to("hidden")
    bench.check_calm()
    put_in_place(folder / "hidden/er/data", b"9876543210")


@edit
def a_copied_file_becomes_a_link(bench: Bench) -> None:
    path = bench.path("catalog/cat12/one.conf")
    os.replace(path, path.with_name("real.conf"))
    path.symlink_to("real.conf")
    bench.check_calm()
    put_in_place(path.with_name("real.conf"), b"a = 2\n")


@edit
def a_copied_folder_links_out(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog/dcm/files/deep"))
    bench.path("catalog/dcm/files/deep").symlink_to("/usr/share")


@edit
def a_link_inside_is_turned(bench: Bench) -> None:
    path = bench.path("catalog/ants/files/link")
    path.symlink_to("plain.txt")
    bench.check_calm()
    path.unlink()
    path.symlink_to("tool.sh")


@edit
def a_link_inside_becomes_the_file_that_it_showed(bench: Bench) -> None:
    path = bench.path("catalog/ants/files/link")
    path.symlink_to("plain.txt")
    bench.check_calm()
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


@edit
def what_a_link_inside_shows_leads_out(bench: Bench) -> None:
    bench.path("catalog/dcm/files/deep/link").symlink_to("../../shown")
    bench.path("catalog/dcm/shown").write_text("shown")
    bench.check_calm()
    bench.path("catalog/dcm/shown").unlink()
    bench.path("catalog/dcm/shown").symlink_to("/etc/hostname")


@edit
def a_copied_file_is_missing(bench: Bench) -> None:
    bench.path("catalog/cat12/one.conf").unlink()


@edit
def a_copied_file_is_missing_and_comes_back_otherwise(bench: Bench) -> None:
    bench.path("catalog/cat12/one.conf").unlink()
    bench.check_calm()
    bench.path("catalog/cat12/one.conf").write_text("a = 2\n")


@edit
def a_folder_above_what_is_copied_is_replaced(bench: Bench) -> None:
    folder = bench.path("catalog/dcm/files")
    shutil.copytree(folder, folder.with_name("files2"), symlinks=True)
    (folder.with_name("files2") / "deep/er/data").write_text("other")
    os.replace(folder, folder.with_name("files1"))
    os.replace(folder.with_name("files2"), folder)


@edit
def the_icon(bench: Bench) -> None:
    bench.path("catalog/ants/icon.svg").write_text("<svg></svg>")
