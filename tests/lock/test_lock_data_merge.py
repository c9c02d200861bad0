"""Joining and comparing locks of reference data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_makers import ABOUT, data_layer, data_lock

from ssds.core.errors import Refused
from ssds.core.records import replace
from ssds.lock.data import DataLock, data_lock_bytes
from ssds.lock.data_merge import diff_data, merge_data
from ssds.lock.merge import merge_files
from ssds.oci.blobs import Blobs

NAME = "lockfiles/data/words@1.0.lock.json"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"{tmp_path}/blobs")


def unmade(lock: DataLock) -> DataLock:
    return replace(lock, actions={}, made=None)


def test_the_side_that_made_a_set_gives_it_and_words_of_the_other_stay(blobs: Blobs) -> None:
    made = data_lock(blobs)
    base = unmade(made)
    other = replace(base, about={**ABOUT, "title": "new"})
    for ours, theirs in ((made, other), (other, made)):
        joined = merge_data(base, ours, theirs)
        assert joined.made == made.made
        assert joined.actions == made.actions
        assert joined.about["title"] == "new"
    assert merge_data(base, made, made) == made


def test_two_contents_leave_the_set_to_the_next_apply_and_two_titles_are_refused(
    blobs: Blobs,
) -> None:
    one, two = data_lock(blobs), data_lock(blobs, data_layer({"other": b"x"}))
    joined = merge_data(unmade(one), one, two)
    assert (joined.made, dict(joined.actions)) == (None, {})
    sides = [replace(one, about={"title": text}) for text in ("a", "b")]
    with pytest.raises(Refused, match="both sides changed about"):
        merge_data(one, *sides)
    with pytest.raises(Refused, match="different data sets"):
        merge_data(None, one, data_lock(blobs, name="others"))


def test_git_merges_files_of_sets_by_their_name_in_the_tree(blobs: Blobs, tmp_path: Path) -> None:
    made = data_lock(blobs)
    paths = [tmp_path / name for name in ("base", "ours", "theirs")]
    for path, lock in zip(paths, (unmade(made), unmade(made), made), strict=True):
        path.write_bytes(data_lock_bytes(lock))
    assert merge_files(*map(str, paths), name=NAME) == data_lock_bytes(made)
    paths[0].write_bytes(b"")  # git's "no common ancestor"
    assert merge_files(*map(str, paths), name=NAME) == data_lock_bytes(made)


def test_a_difference_says_what_a_reviewer_asks(blobs: Blobs) -> None:
    old = data_lock(blobs)
    new = data_lock(
        blobs, data_layer({"a": b"xy"}), environment={"OTHER": "{path}"}, about={"title": "new"}
    )
    told = "\n".join(change.render() for change in diff_data(old, new))
    assert "~ words@1.0 set: " in told
    assert "(1 files, 0.0 MiB)" in told
    assert "~ words@1.0 title: Two short sequences -> new" in told
    assert "+ words@1.0 environment OTHER: {path}" in told
    assert "- words@1.0 environment GENOME" in told
    assert json.loads(data_lock_bytes(new))["made"]["files"] == 1
    assert diff_data(old, old) == ()
    assert len(diff_data(None, old)) > 3
