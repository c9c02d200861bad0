"""Images that no lock names are scanned now, and a policy judges them as it does a release's."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from laws_catalogs import SET_PATH, advisory_set, dump, write_shared

from ssds.cli import main

TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder of an unpacked Debian 12 with one package."""
    image = tmp_path / "image"
    (image / "var/lib/dpkg").mkdir(parents=True)
    (image / "etc").mkdir()
    (image / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (image / "var/lib/dpkg/status").write_text(
        "Package: dash\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\n"
    )
    return image


@pytest.mark.parametrize(
    ("date", "code", "why"),
    [
        ((TODAY - dt.timedelta(days=29)).isoformat(), 0, ""),
        ((TODAY - dt.timedelta(days=40)).isoformat(), 3, "is older than 30 days"),
        ((TODAY + dt.timedelta(days=9)).isoformat(), 3, "is of a day that is still to come"),
    ],
    ids=["fresh", "old", "future"],
)
def test_an_image_is_not_passed_by_advisories_of_any_age(
    tmp_path: Path,
    image: Path,
    date: str,
    code: int,
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "workspace"
    write_shared(root)
    dump(root / SET_PATH, advisory_set(date, "other"))
    dump(root / "catalog/policies.yaml", {"aged": {"fail_on": ["critical"], "max_age_days": 30}})
    assert main(["-C", str(root), "scan", str(image), "--policy", "aged"]) == code
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--policy", "--advisories"])
def test_what_is_asked_of_an_image_without_a_place_is_refused(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "workspace"
    write_shared(root)
    assert main(["-C", str(root), "scan", option, "default"]) == 1
    assert "error[E291]" in capsys.readouterr().err


def test_an_earlier_report_is_asked_for_what_the_new_one_is_asked(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, last = tmp_path / "workspace", tmp_path / "last.json"
    write_shared(root)
    netrc = image / "root/.netrc"
    netrc.parent.mkdir()
    netrc.write_text("machine a login b password cccccccc\n")
    scan = ("-C", str(root), "scan", str(image))
    assert main([*scan, "--format", "json", "--out", str(last)]) == 0
    since = (*scan, "--since", str(last), "--format", "json")
    netrc.unlink()

    def told(*more: str) -> tuple[object, object]:
        capsys.readouterr()
        assert main([*since, *more]) == 0
        found = json.loads(capsys.readouterr().out)
        return [row["id"] for row in found["gone"]], found["unseen"]

    assert told() == (["secret"], [])
    assert told("--cve", "CVE-2026-1") == ([], [])
