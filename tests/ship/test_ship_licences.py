"""A public channel gets only what everybody may have; what holds a release says which licence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import Place, Source, sync
from ship_makers import AMD64, digest_of, image, key, release, script, small_tar

from ssds.core.model import Claim, ReleaseName
from ssds.lock.model import IndexRecord, Released, SizedBlob
from ssds.lock.sets import SetRecord
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship.backend_layout import LayoutChannel
from ssds.ship.licences import judged, withheld

PUBLIC = Channel(name="world", kind="layout", location="out", public=True)
DECLARED = {"name": "tool", "purl": "pkg:generic/tool@1", "properties": [
    {"name": "ssds:declared", "value": "recipe"}
]}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("MIT", ""),
        ("mit", ""),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ""),
        ("MIT AND GPL-3.0-or-later", ""),
        ("MIT AND CC-BY-NC-4.0", "not redistributable"),
        ("MIT OR CC-BY-NC-4.0", ""),
        ("(BUSL-1.1 OR LicenseRef-x) AND MIT", "unknown"),
        ("BUSL-1.1", "not redistributable"),
        ("BUSL-1.1 WITH Classpath-exception-2.0", "not redistributable"),
        ("LicenseRef-FreeSurfer", "unknown"),
        ("a licence of our own", "unknown"),
        ("MIT AND", "unknown"),
        ("(" * 500 + "MIT", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_expression_says_whether_everybody_may_have_it(text, verdict):
    assert judged(text) == verdict


def test_a_channel_may_allow_more():
    allowed = frozenset({"LicenseRef-fsl", "a licence of our own"})
    assert judged("MIT AND LicenseRef-fsl", allowed) == ""
    assert judged("a licence of our own", allowed) == ""
    assert judged("LicenseRef-other", allowed) == "unknown"


def reasons(tmp_path: Path, *components, channel=PUBLIC, sbom=True, config=None):
    """Returns why changes are refused, and the tags in the channel after a sync."""
    blobs = Blobs(str(tmp_path / "blobs"))
    half = image(blobs, [small_tar({"bin/tool": script("tool")})], ["tool"], {})
    lock = release(blobs, half)
    if sbom:
        document = {
            "bomFormat": "CycloneDX",
            "metadata": {"of": str(config or half.config.digest)},
            "components": components,
        }
        digest = blobs.put(json.dumps(document).encode())
        claim = Claim(key=key("s"), kind="sbom", outputs={"sbom": digest, "commands": digest})
        (variant,) = lock.variants.values()
        section = replace(variant.platforms[AMD64], latest={"sbom": claim})
        variant = replace(variant, platforms={AMD64: section})
        lock = replace(lock, variants=dict.fromkeys(lock.variants, variant))
    place = Place(LayoutChannel(str(tmp_path / "out")), channel, Source(blobs), blobs)
    done = sync(place, lock, kept=True)[1]
    for error in done.failed.values():
        raise error
    return {c.reason for c in done.changes if c.verb == "x"}, set(done.after.tags)


def component(name, licence):
    return {"name": name, "purl": f"pkg:pypi/{name}@1", "licenses": [{"expression": licence}]}


def own(licence):
    return {**DECLARED, "licenses": [{"expression": licence}]}


TAGS = {"tool:1.0-r1", "tool:1.0", "tool:latest"}


def test_what_everybody_may_have_is_pushed(tmp_path):
    parts = (
        own("MIT"),
        component("a", "GPL-3.0-only"),
        {"name": "b", "purl": "pkg:deb/debian/b@1"},
    )
    assert reasons(tmp_path, *parts) == (set(), TAGS)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((own("LicenseRef-FreeSurfer"),), "the licence of tool is LicenseRef-FreeSurfer, unknown"),
        ((DECLARED,), "the licence of tool is not stated"),
        ((), "the recipe states no licence of its software"),
        (
            (own("MIT"), component("solver", "BUSL-1.1")),
            "the licence of solver is BUSL-1.1, not redistributable",
        ),
        (
            (own("MIT"), *(component(n, "CC-BY-NC-4.0") for n in "abcde")),
            "; ".join(f"the licence of {n} is CC-BY-NC-4.0, not redistributable" for n in "abc")
            + " and 2 more",
        ),
    ],
    ids=["unknown", "unstated", "undeclared", "a package", "many packages"],
)
def test_what_not_everybody_may_have_is_refused_with_its_licence(tmp_path, parts, reason):
    assert reasons(tmp_path, *parts) == ({reason}, set())


def test_an_unknown_licence_of_a_package_holds_nothing(tmp_path):
    assert reasons(tmp_path, own("MIT"), component("a", "BSD-like, see file")) == (set(), TAGS)


def test_a_channel_that_is_not_public_takes_all(tmp_path):
    assert reasons(tmp_path, channel=replace(PUBLIC, public=False)) == (set(), TAGS)


def test_a_licence_that_the_channel_allows_is_fine(tmp_path):
    channel = replace(PUBLIC, licences=("LicenseRef-FreeSurfer",))
    assert reasons(tmp_path, own("LicenseRef-FreeSurfer"), channel=channel) == (set(), TAGS)


def test_without_the_sbom_of_the_image_nobody_can_say(tmp_path):
    why, tags = reasons(tmp_path, sbom=False)
    assert why == {"its licences are not known here: bring the SBOM (ssds apply --fetch tool@1.0)"}
    assert tags == set()


def test_the_sbom_of_another_build_says_nothing(tmp_path):
    assert reasons(tmp_path, own("MIT"), config="sha256:0")[0] == {"its SBOM is of another build"}


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"licenses": ["CC0-1.0", "CC-BY-4.0"]}, ""),
        (
            {"licenses": ["LicenseRef-agreement"]},
            "the licence of the data set is (LicenseRef-agreement), unknown",
        ),
        ({}, "the licence of the data set is not stated, unknown"),
    ],
    ids=["free", "by agreement", "unstated"],
)
def test_a_data_set_is_judged_by_its_own_licence(about, reason):
    record = SetRecord(
        content=digest_of("c"), blobs=(), manifest=SizedBlob(digest=digest_of("m"), size_bytes=1),
        documents=(), record=json.dumps({"about": about}).encode(),
    )  # fmt: skip
    index = IndexRecord(digest=digest_of("i"), size_bytes=1, key=key("i"), platforms={})
    released = Released(
        id=ReleaseName("genome", "1"), revision=0, index=index, metadata=None, identifiers={},
        platforms={}, dataset=record,
    )  # fmt: skip
    assert withheld(PUBLIC, released, lambda _: None) == reason
