"""Hostile trees and lists: each fault is told with its place, the sound rest is adopted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from old_places import Place
from old_tree import sif_bytes

from ssds.adopt.lists import read_lists
from ssds.adopt.memory import Memory
from ssds.adopt.model import BuildName, Listed, Reading, Seen, build_name, named_image
from ssds.adopt.plan import Chosen, plan_adoption
from ssds.adopt.trees import read_tree
from ssds.adopt.write import with_adoptions
from ssds.core.diagnostics import Span
from ssds.core.digest import sha256_of
from ssds.core.platform import Platform
from ssds.lock.model import AdoptedAbout, Lock, Locks


def found(reading: Reading) -> list[tuple[str, str, int]]:
    """Returns code, file name and line of each problem."""
    return [(p.code, os.path.basename(p.span.path), p.span.line) for p in reading.problems]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("{\n  'a': 1}", "A001", 2),
        ("[]", "A002", 1),
        ('{\n "a": [],\n "b": {"apps": {}}}', "A002", 2),
        ('{\n "a": {"apps": {"a 1": {"version": "x"}}}}', "A002", 2),
        ('{\n "a": {"apps":\n {"a 1": {"version": 20210101}}}}', "A002", 3),
        ('{"a": {"apps": {\n"../../a 1": {"version": "20210101"}}}}', "A002", 2),
        ('{"a": {"apps": {\n"x-a 1": {"version": "20210101", "exec": "x"}}}}', "A002", 1),
        ("[" * 100_000, "A001", 0),
    ],
    ids=["no-json", "list", "entry", "date", "number", "path", "window", "deep"],
)
def test_a_broken_list_is_told_with_its_line(
    tmp_path: Path, text: str, code: str, line: int
) -> None:
    (tmp_path / "apps.json").write_text(text)
    reading = read_lists(str(tmp_path / "apps.json"))
    assert found(reading) == [(code, "apps.json", line)]
    assert not reading.listed


def test_lines_of_a_log_that_are_none_are_told_and_the_others_are_read(tmp_path: Path) -> None:
    lines = ("fsl_6_20210101 categories:a b,c,", "../x_1_20210101", "", "a_b", "t_1_20210101")
    (tmp_path / "log.txt").write_text("\n".join(lines))
    reading = read_lists(str(tmp_path / "log.txt"))
    assert [str(entry.id) for entry in reading.listed] == ["fsl_6_20210101", "t_1_20210101"]
    assert reading.listed[0].about.categories == ("a b", "c")
    assert found(reading) == [("A002", "log.txt", 2), ("A002", "log.txt", 4)]
    (tmp_path / "log.txt").write_bytes(b"fsl_6_20210101\n\xff\n")
    assert found(read_lists(str(tmp_path / "log.txt"))) == [("A001", "log.txt", 2)]


def test_links_out_of_the_tree_pipes_and_bad_names_are_never_followed_or_opened(
    few: Place, tmp_path: Path
) -> None:
    containers = few.tree / "containers"
    outside = tmp_path / "outside" / "x_1_20210101"
    outside.mkdir(parents=True)
    (outside / "x_1_20210101.simg").write_text("secret")
    (containers / "x_1_20210101").symlink_to(outside)
    one, two, three, _ = few.releases
    image = containers / one.id / f"{one.id}.simg"
    image.rename(tmp_path / "elsewhere")
    image.symlink_to(tmp_path / "elsewhere")
    commands = containers / two.id / "commands.txt"
    commands.unlink()
    os.mkfifo(commands)
    (containers / three.id / "commands.txt").write_text("good\n../bad\nso bad\n-x\n")
    (containers / "Big_1_20210101").mkdir()
    (containers / f"{'a' * 200}_1_20210101").mkdir()
    reading = read_tree(str(few.tree), Memory())
    assert sorted(code for code, _, _ in found(reading)) == sorted(
        ["A003", "A003", "A004", "A004", "A006", "A006", "A006"]
    )
    assert [line for code, _, line in found(reading) if code == "A006"] == [2, 3, 4]
    seen = {str(s.id): s.commands for s in reading.seen}
    assert set(seen) == {r.id for r in few.releases} - {one.id}
    assert seen[two.id] == ()
    assert seen[three.id] == ("good",)


def test_an_image_that_is_a_pipe_or_cannot_be_read_is_told(few: Place) -> None:
    folder = next(few.tree.glob("containers/afni*"))
    image = folder / f"{folder.name}.simg"
    image.rename(folder / "away")
    os.mkfifo(image)
    reading = read_tree(str(few.tree), Memory())
    assert (str(folder), "it has no image: disabled, or not finished") in reading.unmanaged


def test_of_two_images_in_one_folder_none_is_guessed(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = few.releases[:2]
    for old, target in ((one, "x"), (other, f"{other.id}.simg")):
        folder = few.tree / "containers" / old.id
        if target == "x":
            (folder / f"{old.id}.sif").write_bytes(sif_bytes(old))
        else:
            (folder / f"{old.id}.sif").symlink_to(target)  # the same image by another name
    assert few.adopt() == 0
    assert "it has several images" in capsys.readouterr().out
    names = {p.name for p in (few.workspace / "lockfiles").iterdir()}
    assert f"{one.name}@{one.version}.lock.json" not in names
    assert f"{other.name}@{other.version}.lock.json" in names


def test_an_image_without_end_is_told_and_nothing_breaks(few: Place) -> None:
    folder = next(few.tree.glob("containers/afni*"))
    image = folder / f"{folder.name}.simg"
    handle = os.open(image, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    reading = read_tree(str(few.tree), Memory())
    assert [code for code, _, _ in found(reading)] == ["A005"]
    subprocess.run(["rm", "-rf", str(image)], check=True)  # pytest could not remove it


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("fsl_6.0.4_20210105", ("fsl", "6.0.4", "20210105")),
        ("neurodesktop-lite_arm64_20260428_20260813",
         ("neurodesktop-lite_arm64", "20260428", "20260813")),
        ("fsl_6.0.4", None), ("fsl__20210105", None), ("_6_20210105", None),
        ("fsl_6/4_20210105", None), ("Fsl_6_20210105", None), ("fsl_6_2021010", None),
    ],
)  # fmt: skip
def test_a_build_name_is_split_from_the_right(text: str, want: tuple[str, str, str] | None) -> None:
    made = build_name(text)
    assert (made and (made.name, made.version, made.built)) == want


def test_tags_of_a_registry_say_name_version_and_day_in_three_forms() -> None:
    forms = [("x/fsl_6.0.4", "20210105"), ("x/fsl", "6.0.4_20210105"), ("x/fsl", "6.0.4")]
    assert [str(named_image(*form)) for form in forms] == [
        "fsl_6.0.4_20210105", "fsl_6.0.4_20210105", "fsl_6.0.4",
    ]  # fmt: skip


DAYS = ("20200101", "20210101", "20220101")
AMD64 = Platform("linux/amd64")


def seen(name: str, built: str, content: str, *, chosen: bool) -> Seen:
    place = f"/tree/{name}_1_{built}"
    return Seen(
        id=BuildName(name=name, version="1", built=built),
        platforms={AMD64: sha256_of(content.encode())},
        place=place,
        span=Span(path=place),
        chosen=chosen,
    )


PLACES = st.builds(
    seen, st.sampled_from("ab"), st.sampled_from(DAYS), st.sampled_from("xy"), chosen=st.booleans()
)
ENTRIES = st.builds(
    lambda name, built: Listed(
        id=BuildName(name=name, version="1", built=built),
        about=AdoptedAbout(built=built),
        span=Span(path="log.txt"),
    ),
    st.sampled_from("ab"),
    st.sampled_from(DAYS),
)


@given(st.lists(PLACES, max_size=5), st.lists(ENTRIES, max_size=3), st.sampled_from(("", *DAYS)))
def test_one_name_is_never_guessed_among_builds_and_adopting_twice_is_adopting_once(
    places: list[Seen], entries: list[Listed], word: str
) -> None:
    reading = Reading(seen=tuple(places), listed=tuple(entries), lists=bool(entries))
    known = {one.id.name for one in (*places, *entries)}
    chosen = Chosen(builds={"a/1": word} if word and "a" in known else {})
    planned = plan_adoption([reading], Locks(), chosen=chosen)
    locks = {}
    for (name, version), platforms in planned.writes.items():
        (made,) = platforms.values()
        own = [p for p in places if p.id.name == name]
        days = {p.id.built for p in own}
        words = {p.id.built for p in own if p.chosen}
        words |= {e.about.built for e in entries if e.id.name == name}
        built = made.about.built
        assert (name == "a" and built == word) or days == {built} or words & days == {built}
        assert {p.platforms[AMD64] for p in own if p.id.built == built} == {made.digest}
        lock = with_adoptions(Lock(name=name, version=version), platforms)
        locks[name, version] = lock
    again = plan_adoption([reading], Locks(releases=locks), chosen=chosen)
    assert not again.writes
    assert again.held == planned.held
    other = plan_adoption(
        [Reading(seen=tuple(places[::-1]), listed=reading.listed, lists=reading.lists)],
        Locks(),
        chosen=chosen,
    )
    assert {k: {p: a.digest for p, a in v.items()} for k, v in other.writes.items()} == {
        k: {p: a.digest for p, a in v.items()} for k, v in planned.writes.items()
    }
