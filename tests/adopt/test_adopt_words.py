"""What people decide is taken, kept, and asked for in words that can be given."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from old_places import Place

from ssds.adopt.model import BuildName, Listed, Reading, Seen
from ssds.adopt.plan import Adoptions, Chosen, plan_adoption
from ssds.adopt.write import with_adoptions
from ssds.core.diagnostics import Span
from ssds.core.digest import Digest, sha256_of
from ssds.core.platform import Platform
from ssds.lock.model import AdoptedAbout, Lock, Locks

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
FOLDER, FILE, IMAGE = Digest("blake3:" + "1" * 64), sha256_of(b"file"), sha256_of(b"image")
KEY = ("afni", "1.0.0")


def seen(place: str, digest: Digest, built: str = "20200101", platform: Platform = AMD64) -> Seen:
    return Seen(
        id=BuildName(name="afni", version="1.0.0", built=built),
        platforms={platform: digest},
        place=place,
        span=Span(path=place),
        about=AdoptedAbout(built=built),
    )


def listed(built: str, *categories: str) -> Reading:
    entry = Listed(
        id=BuildName(name="afni", version="1.0.0", built=built),
        about=AdoptedAbout(built=built, categories=categories),
        span=Span(path="log.txt"),
    )
    return Reading(listed=(entry,), lists=True)


TREE, SIF = seen("/tree/afni", FOLDER), seen("/sifs/afni_1.0.0.sif", FILE, "")
PLAIN = seen("/sifs/afni_1.0.0_20200101.sif", FILE)
TAG = seen("example.org/afni:1.0.0", IMAGE, "")


def plan(
    *sources: Seen | Reading,
    locks: Locks | None = None,
    builds: Mapping[str, str] | None = None,
    accept: bool = False,
    fallbacks: tuple[str, ...] = (),
    gone: tuple[str, ...] = (),
) -> Adoptions:
    readings = [s if isinstance(s, Reading) else Reading(seen=(s,)) for s in sources]
    chosen = Chosen(builds=builds or {}, accept=accept, fallbacks=fallbacks)
    return plan_adoption(
        readings, locks or Locks(), chosen=chosen, stands=lambda place: place not in gone
    )


def locked(planned: Adoptions) -> Locks:
    lock = with_adoptions(Lock(name=KEY[0], version=KEY[1]), planned.writes[KEY])
    return Locks(releases={KEY: lock})


def verbs(planned: Adoptions) -> str:
    return " ".join(change.verb for change in planned.changes)


@pytest.mark.parametrize("other", [SIF, TAG], ids=["file", "tag"])
def test_a_build_without_a_day_can_be_chosen_by_the_word_that_the_hint_says(other: Seen) -> None:
    for sources in ((TREE, other), (other, listed("20200101"))):
        held = plan(*sources)
        (row,) = held.changes
        assert (row.verb, held.held) == ("x", 1)
        assert "--choose afni/1.0.0=none says which" in row.reason
        assert "none" in row.reason.partition("--choose")[0]
        made = plan(*sources, builds={"afni/1.0.0": ""})
        (adoption,) = made.writes[KEY].values()
        assert adoption.locations[0] == other.place
        again = plan(*sources, locks=locked(made))  # the word is kept
        assert not again.writes
        assert not again.held


def test_a_choice_is_kept_by_the_lock_until_something_contradicts_it() -> None:
    new = seen("/tree/new", sha256_of(b"new"), "20210101")
    made = plan(TREE, new, builds={"afni/1.0.0": "20200101"})
    again = plan(TREE, new, locks=locked(made))
    assert verbs(again) == "unmanaged ="
    contradicted = plan(TREE, new, listed("20210101"), locks=locked(made))
    assert contradicted.held == 1
    assert not contradicted.writes


def test_a_choice_that_names_nothing_is_refused(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert few.adopt("--choose", "nosuch/1=20200101") == 1
    assert "E219" in capsys.readouterr().err
    assert few.adopt("--choose", "afni/1.0.0=20201") == 1
    assert "E229" in capsys.readouterr().err
    assert not list((few.workspace / "lockfiles").iterdir())
    folder = few.workspace / "sifs"
    folder.mkdir()
    (folder / "afni_1.0.0.sif").write_bytes(b"hsqs" + bytes(92))
    assert few.adopt(f"sif={folder}", "--json", "--choose", "afni/1.0.0=none") == 0
    lock = json.loads((few.workspace / "lockfiles/afni@1.0.0.lock.json").read_text())
    (section,) = lock["variants"]["default"]["platforms"].values()
    assert section["release"]["locations"] == [str(folder / "afni_1.0.0.sif")]


def test_what_lists_said_stays_when_other_bytes_are_accepted() -> None:
    made = plan(TREE, listed("20200101", "functional imaging"))
    changed = seen("/tree/afni", Digest("blake3:" + "2" * 64))
    assert plan(changed, locks=locked(made)).held == 1
    accepted = plan(changed, locks=locked(made), accept=True)
    (adoption,) = accepted.writes[KEY].values()
    assert adoption.digest == changed.platforms[AMD64]
    assert adoption.locations == ("/tree/afni",)
    assert adoption.about == AdoptedAbout(built="20200101", categories=("functional imaging",))


def test_digests_of_other_kinds_are_not_compared_and_the_order_of_sources_holds_nothing() -> None:
    first = plan(TREE, PLAIN)
    (adoption,) = first.writes[KEY].values()
    assert (adoption.digest, adoption.locations) == (FOLDER, (TREE.place, PLAIN.place))
    for sources in ((PLAIN, TREE), (PLAIN,), (TREE,)):
        for accept in (False, True):
            again = plan(*sources, locks=locked(first), accept=accept)
            assert verbs(again) == "="
    only = plan(TREE)
    more = plan(PLAIN, locks=locked(only))
    assert locked(more) == locked(first)
    gone = plan(PLAIN, locks=locked(only), gone=(TREE.place,))
    assert (gone.held, gone.writes) == (1, {})
    instead = plan(PLAIN, locks=locked(only), gone=(TREE.place,), accept=True)
    (adoption,) = instead.writes[KEY].values()
    assert (adoption.digest, adoption.locations) == (FILE, (PLAIN.place,))


def test_a_place_that_may_be_of_another_build_is_added_where_somebody_says_so() -> None:
    only = locked(plan(TREE))
    other_day = seen("/sifs/afni_1.0.0_20210101.sif", FILE, "20210101")
    for other, word in ((other_day, "20210101"), (SIF, "none"), (TAG, "none")):
        held = plan(other, locks=only)
        (row,) = held.changes
        assert (row.verb, held.writes) == ("x", {})
        assert f"--choose afni/1.0.0={word} adds that place" in row.reason
        built = "" if word == "none" else word
        added = plan(other, locks=only, builds={"afni/1.0.0": built})
        (adoption,) = added.writes[KEY].values()
        assert (adoption.digest, adoption.locations) == (FOLDER, (TREE.place, other.place))
        assert adoption.about.built == "20200101"
        assert verbs(plan(other, locks=locked(added))) == "="
        (adoption,) = plan(other, locks=only, accept=True).writes[KEY].values()
        assert adoption.locations == (other.place,)


def test_a_fallback_that_needs_a_day_is_left_out_where_there_is_none() -> None:
    texts = ("docker://example.org/{name}_{version}:{built}", "docker://example.org/{name}")
    (adoption,) = plan(SIF, fallbacks=texts).writes[KEY].values()
    assert adoption.locations == (SIF.place, "docker://example.org/afni")
    (adoption,) = plan(TREE, fallbacks=texts).writes[KEY].values()
    assert adoption.locations[1] == "docker://example.org/afni_1.0.0:20200101"


def test_one_release_is_one_build_on_all_its_platforms() -> None:
    other = seen("/tree/arm", sha256_of(b"arm"), "20210101", ARM64)
    held = plan(TREE, other)
    assert verbs(held) == "x x"
    assert not held.writes
    made = plan(TREE, other, builds={"afni/1.0.0": "20210101"})
    assert verbs(made) == "unmanaged +"
    assert list(made.writes[KEY]) == [ARM64]
