"""Files of sites with errors: only their own site stops; and what verbs over a tree ask and say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from e2e_workspace import Ended, Site
from ship_makers import image, release, script, small_tar
from ship_makers import site as ship_site

from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

GOOD = "platforms: [linux/amd64]\ninclude: [tiny]\n"
NOTE = "catalog/sites/bad.yaml has 1 error; its site is not deployed, all else goes on: ssds check"


@pytest.fixture
def here(plain: Site) -> Site:
    plain.write("catalog/sites/good.yaml", GOOD)
    plain.write("catalog/sites/bad.yaml", GOOD.replace("tiny", "tyni"))
    return plain


def folded(ended: Ended) -> str:
    return " ".join((ended.out + ended.err).split())


def test_a_plan_goes_on_and_says_so_until_the_file_is_mended(here: Site) -> None:
    for _ in range(2):  # the second from the index
        assert NOTE in folded(here.good("plan"))
    here.write("catalog/tiny/more.txt", "x")
    assert NOTE in folded(here.good("plan"))
    here.write("catalog/sites/bad.yaml", GOOD)
    assert "bad.yaml" not in folded(here.good("plan"))
    here.write("catalog/sites/bad.yaml", "platforms: [")
    assert "bad.yaml has 1 error" in folded(here.good("plan"))


def test_only_the_site_with_errors_is_not_deployed(here: Site, tmp_path: Path) -> None:
    tree = f"{tmp_path}/tree"
    refused = here.run("deploy", "--site", "bad", "--to", tree)
    assert refused.code == 1
    assert "S011" in refused.err
    assert not os.path.lexists(tree)
    assert NOTE in folded(here.good("deploy", "--site", "good", "--to", tree))
    assert os.path.isdir(f"{tree}/sites/good/modules")
    assert here.run("check").code == 1
    mistyped = here.run("deploy", "--site", "godo", "--to", tree)
    assert 'Did you mean "good"?' in mistyped.err
    here.write("catalog/tiny/recipe.yaml", "name: [")
    both = here.run("plan")
    assert both.code == 1
    assert "S011" in both.err


def test_prune_asks_before_it_removes(tmp_path: Path, plain: Site) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    before = None
    for text in ("one", "two"):
        half = image(blobs, [small_tar({"usr/bin/tool": script(text)})], ["tool"], {})
        before = release(blobs, half, before=before)
        deploy(ship_site(), [before], blobs, tree)
    words = ("prune", "--tree", tree, "--keep", "1")
    asked = plain.run(*words)
    assert (asked.code, "E176" in asked.err) == (1, True)
    assert ".ssds/sites/example/1" in asked.err
    assert os.path.isdir(f"{tree}/.ssds/sites/example/1")
    assert "would go" in plain.good(*words, "--dry-run").out
    assert "removed" in plain.good(*words, "--yes").out
    assert not os.path.exists(f"{tree}/.ssds/sites/example/1")
    assert "Nothing to remove" in plain.good(*words).out


@pytest.mark.parametrize(
    ("text", "meant"),
    [("linux/amd46", "linux/amd64"), ("x86_64", "linux/amd64"), ("aarch64", "linux/arm64")],
)
def test_a_platform_that_is_none_is_told_the_near_one(text: str, meant: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Platform(text)
    assert f'Did you mean "{meant}"?' in caught.value.hint
