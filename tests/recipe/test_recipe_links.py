"""Links in a clone: nothing of the machine is read into a report, nothing is written elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssds.core.diagnostics import Collector
from ssds.core.errors import InputError, Refused, UsageError
from ssds.lock.read import read_locks
from ssds.recipe.catalog import read_catalog
from ssds.recipe.model import Channel
from ssds.recipe.settings import read_settings
from ssds.ship.backends import open_channel
from ssds.workspace import Workspace

SECRET = "root:$y$secret: value\n"
ENVIRONMENT = {"HOME": "/nonexistent"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A workspace, beside a file that is none of its business."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "clone/catalog/sites").mkdir(parents=True)
    (tmp_path / "clone/lockfiles").mkdir()
    (tmp_path / "clone/ssds.yaml").write_text("")
    return tmp_path / "clone"


@pytest.mark.parametrize(
    "name",
    ["bases.yaml", "policies.yaml", "debts.yaml", "channels.yaml", "advisories.yaml",
     "sites/x.yaml"],
)  # fmt: skip
def test_a_shared_file_that_is_a_link_out_is_not_read(clone: Path, name: str) -> None:
    (clone / "catalog" / name).symlink_to(clone.parent / "secret")
    found = list(read_catalog(str(clone)).collector)
    assert [d.code for d in found] == ["R072"]
    assert "secret:" not in "".join(d.render() for d in found)


def test_a_folder_of_sites_that_is_a_link_out_is_not_read(clone: Path) -> None:
    (clone / "catalog/sites").rmdir()
    (clone.parent / "elsewhere").mkdir()
    (clone.parent / "elsewhere/x.yaml").write_text(SECRET)
    (clone / "catalog/sites").symlink_to(clone.parent / "elsewhere")
    assert [d.code for d in read_catalog(str(clone)).collector] == ["R072"]


def test_a_link_inside_the_catalog_is_followed(clone: Path) -> None:
    (clone / "catalog/sites/x.yaml").write_text("platforms: [linux/amd64]\n")
    (clone / "catalog/sites/y.yaml").symlink_to("x.yaml")
    reading = read_catalog(str(clone))
    assert not list(reading.collector)
    assert sorted(reading.catalog.sites) == ["x", "y"]


def test_a_catalog_that_is_a_link_as_a_whole_is_read(clone: Path) -> None:
    (clone / "catalog/set.json").write_text("{}")
    (clone / "catalog/advisories.yaml").write_text("set: catalog/set.json\n")
    (clone / "catalog").rename(clone.parent / "elsewhere")
    (clone / "catalog").symlink_to(clone.parent / "elsewhere")
    assert not list(read_catalog(str(clone)).collector)


def test_an_advisory_set_that_is_a_link_out_is_refused(clone: Path) -> None:
    (clone / "catalog/set.json").symlink_to(clone.parent / "secret")
    (clone / "catalog/advisories.yaml").write_text("set: catalog/set.json\n")
    assert [d.code for d in read_catalog(str(clone)).collector] == ["V011"]


def test_settings_that_are_a_link_out_are_not_read(clone: Path) -> None:
    (clone / "ssds.yaml").unlink()
    (clone / "ssds.yaml").symlink_to(clone.parent / "secret")
    with pytest.raises(InputError) as told:
        read_settings(str(clone), ENVIRONMENT)
    assert [d.code for d in told.value.diagnostics] == ["Y001"]  # type: ignore[attr-defined]


def test_a_lock_that_is_a_link_is_not_read(clone: Path) -> None:
    (clone / "lockfiles/x@1.lock.json").symlink_to(clone.parent / "secret")
    collector = Collector()
    read_locks(str(clone / "lockfiles"), collector=collector)
    assert [d.code for d in collector] == ["L001"]


@pytest.mark.parametrize("name", ["lockfiles", ".ssds"])
def test_a_folder_that_is_written_to_may_not_be_a_link_out(clone: Path, name: str) -> None:
    if name == "lockfiles":
        (clone / name).rmdir()
    (clone.parent / "elsewhere").mkdir()
    (clone / name).symlink_to(clone.parent / "elsewhere")
    with pytest.raises(UsageError, match="link out of the workspace"):
        Workspace.open(str(clone))


def test_a_channel_behind_a_link_is_refused(clone: Path) -> None:
    (clone.parent / "elsewhere").mkdir()
    (clone / "out").symlink_to(clone.parent / "elsewhere")
    with pytest.raises(Refused, match="behind a link"):
        open_channel(Channel(name="c", kind="layout", location="out/layout"), str(clone))
    open_channel(Channel(name="c", kind="layout", location="in/layout"), str(clone))
