"""SIF files from recipe to channel, by the real command line."""

from __future__ import annotations

import json

from e2e_workspace import Site

CHANNELS = "local: {kind: layout, location: dist, sif: true}\n"


def layout_tags(site: Site) -> dict[str, str]:
    index = json.loads((site.workspace / "dist/index.json").read_bytes())
    name = "org.opencontainers.image.ref.name"
    return {entry["annotations"][name]: entry["digest"] for entry in index["manifests"]}


def test_a_channel_that_asks_for_sif_files_gets_them_and_gives_them_back(site: Site) -> None:
    site.good("apply", "--yes", "tiny")
    before = site.lock("tiny")["variants"]["default"]
    site.write("catalog/channels.yaml", CHANNELS)
    site.edit("catalog/tiny/recipe.yaml", "summary:", "publish: [local]\nsummary:")
    assert site.plan("tiny")["tiny@1.0:sif"] == ("run", "no result for this key")

    site.good("apply", "--yes", "--refresh", "tiny")
    after = site.lock("tiny")["variants"]["default"]
    half = after["platforms"]["linux/amd64"]["release"]
    record, action = half.pop("sif"), half["actions"].pop("sif")
    assert after == before  # the image and its revision are what they were
    assert action["outputs"] == {n: record[p]["digest"] for n, p in
                                 (("sif", "file"), ("manifest", "manifest"))}  # fmt: skip
    tags = layout_tags(site)
    assert {t for t in tags if t.endswith("-sif")} == {
        f"tiny:{tag}-sif" for tag in ("1.0-r1", "1.0", "latest")
    }
    assert tags["tiny:1.0-sif"] == record["manifest"]["digest"]
    assert site.plan("--refresh", "tiny") == {}

    out = site.folder / "x.sif"
    told = json.loads(site.good("sif", "tiny", "--out", str(out), "--json").out)
    assert f"sha256:{told['sha256']}" == record["file"]["digest"]
    assert told["size"] == record["file"]["size"] == out.stat().st_size

    site.good("gc", "--keep-days", "0")
    assert site.blob(record["file"]["digest"]).exists()
    site.blob(record["file"]["digest"]).unlink()
    assert site.plan("tiny") == {}
    assert "tiny@1.0:fetch/local" in site.plan("--fetch", "tiny:sif")
    site.good("apply", "--yes", "--fetch", "tiny:sif")
    assert site.blob(record["file"]["digest"]).read_bytes() == out.read_bytes()
