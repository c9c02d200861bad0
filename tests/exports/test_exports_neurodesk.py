"""NeuroDesk's lists: what they say of a release, and that their own tools say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from neurocontainers_checkout import corpus, read
from ship_makers import digest_of, image, key, release, small_tar

from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.exports.folder import keep_export
from ssds.exports.neurodesk import export_neurodesk, release_document
from ssds.exports.offers import Offer, build_date, offers
from ssds.lock.model import IndexRecord, Released, ReleaseHalf, SizedBlob
from ssds.oci.blobs import Blobs

AMD64 = Platform("linux/amd64")
DAY = 1_767_225_600  # 2026-01-01
ABOUT = {
    "fields": {
        "categories": ["diffusion", "workflows"],
        "gui": [{"name": "viewer", "command": "viewer --all"}],
        "runtime": {"arguments": ["--fakeroot"]},
        "menu": {"show": False},
    }
}
THEIRS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from builder.release import release_data
from pathlib import Path
import yaml
out = {}
for name in json.load(sys.stdin):
    recipe = yaml.safe_load(Path(sys.argv[1], "recipes", name, "build.yaml").read_text())
    out[name] = release_data(name, "VERSION", recipe, "20260101")
print(json.dumps(out))
"""


def offer(name: str, version: str, about: dict[str, object], *, variant: str = "") -> Offer:
    blob = SizedBlob(digest=digest_of(name), size_bytes=1)
    index = IndexRecord(
        digest=digest_of(version), size_bytes=1, key=key(name), platforms={AMD64: blob.digest}
    )
    half = ReleaseHalf(actions={}, manifest=blob, config=blob, layers=())
    released = Released(
        id=ReleaseName(name, version, variant),
        revision=1,
        index=index,
        metadata=None,
        identifiers={},
        platforms={AMD64: half},
    )
    fields = about["fields"]
    assert isinstance(fields, dict)
    released = replace(released, epoch=DAY)
    return Offer(released=released, repository="", about=fields, commands=())


def dateless(found: Offer) -> Offer:
    return replace(found, released=replace(found.released, epoch=0))


def test_a_release_is_named_by_the_day_of_its_newest_input_and_its_applications() -> None:
    export = export_neurodesk([offer("tool", "1.0", ABOUT)])
    app = {"version": "20260101", "exec": "", "apptainer_args": ["--fakeroot"]}
    assert json.loads(export.files["apps.json"]) == {
        "tool": {
            "show_in_menu": False,
            "apps": {"tool 1.0": app, "viewer-tool 1.0": {**app, "exec": "viewer --all"}},
            "categories": ["diffusion", "workflows"],
        }
    }
    assert export.files["log.txt"] == b"tool_1.0_20260101 categories:diffusion,workflows,\n"


def test_another_revision_of_a_version_has_another_name() -> None:
    first = offer("tool", "1.0", ABOUT)
    second = replace(first, released=replace(first.released, revision=2))
    assert build_date(first) != build_date(second)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (offer("my_tool", "1.0", ABOUT), "split names at '_'"),
        (offer("tool", "1_0", ABOUT), "split names at '_'"),
        (dateless(offer("tool", "1.0", ABOUT)), "no date"),
    ],
    ids=["name", "version", "date"],
)
def test_what_their_names_cannot_say_is_left_out_with_a_reason(found: Offer, reason: str) -> None:
    export = export_neurodesk([found])
    assert reason in export.notes[0][1]
    assert export.files["log.txt"] == b""


def test_two_recipes_with_one_application_are_not_both_listed() -> None:
    about = {"fields": {"gui": [{"name": "a-b", "command": "x"}]}}
    other = {"fields": {"gui": [{"name": "a", "command": "x"}]}}
    export = export_neurodesk([offer("b-c", "1", other), offer("c", "1", about)])
    assert list(json.loads(export.files["apps.json"])) == ["b-c"]
    assert "one of b-c too" in export.notes[0][1]


def test_descriptions_come_from_the_blob_that_the_lock_names(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    half = image(blobs, [small_tar({"a": b""})], ("tool",), {})
    found = offers([release(blobs, half, about=ABOUT)], blobs, {})
    assert found[0].texts("categories") == ["diffusion", "workflows"]
    assert offers([release(blobs, half, about=ABOUT)], None, {})[0].about == {}


@pytest.mark.skipif(not corpus(), reason="SSDS_NEUROCONTAINERS names no checkout")
def test_their_own_tools_give_the_same_lists_for_all_their_recipes(tmp_path: Path) -> None:
    checkout = Path(corpus())
    reading = read(checkout)
    names = sorted(p.parent.name for p in checkout.glob("recipes/*/build.yaml"))
    done = subprocess.run(
        [sys.executable, "-c", THEIRS, str(checkout)],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    found = {}
    for name, entry in sorted(reading.catalog.releases.items()):
        if not name.variant:
            found[name.name] = offer(name.name, "VERSION", {"fields": entry.metadata})
    different = [n for n, o in found.items() if release_document(o) != theirs[n]]
    unrendered = [n for n in found if "{{" in json.dumps(theirs[n])]  # we gave it raw recipes
    assert len(found) > 200
    assert different == unrendered
    export = export_neurodesk([*found.values()])
    keep_export(str(tmp_path / "out"), "neurodesk", export)
    subprocess.run(
        [
            *(sys.executable, checkout / "tools/generate_apps_json.py"),
            *("--releases-dir", tmp_path / "out/releases", "--output", tmp_path / "apps.json"),
        ],
        capture_output=True,
        check=True,
    )
    assert json.loads((tmp_path / "apps.json").read_text()) == json.loads(export.files["apps.json"])
    assert yaml.safe_load(export.files["apps.json"])
    subprocess.run(
        [
            *(sys.executable, checkout / "tools/generate_webapps_json.py"),
            *("--recipes-dir", checkout / "recipes", "--releases-dir", tmp_path / "out/releases"),
            *("--output", tmp_path / "webapps.json"),
        ],
        capture_output=True,
        check=True,
    )
    pages = [(tmp_path / "webapps.json").read_bytes(), export.files["webapps.json"]]
    told, ours = (json.loads(page)["webapps"] for page in pages)
    assert len(told) > 3
    for page in [*told.values(), *ours.values()]:
        page.pop("icon", None)  # theirs is an address of their repository, ours a file beside
        page.pop("version")  # we gave it none
    assert ours == told
