"""Public names of images in a tree: as DUCC's users find them; only ours are ever touched."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ship_makers import AMD64, image, release, script, site, small_tar

from ssds.core.errors import Refused
from ssds.core.platform import Platform
from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy
from ssds.ship.links import link_steps, owned_paths
from ssds.ship.rollback import rollback
from ssds.ship.tree import image_path

ARM = Platform("linux/arm64")
HUB = Channel(name="hub", kind="registry", location="registry.example.org:5000/lab/tools")


def lock(blobs: Blobs, text: str = "one", name: str = "tool", **options: object) -> Lock:
    half = image(blobs, [small_tar({"usr/bin/tool": script(f"echo {text}")})], ["tool"], {})
    return release(blobs, half, name=name, **options)  # type: ignore[arg-type]


def links(tree: str) -> dict[str, str]:
    """Public links and manifests by path; without ours."""
    found = {}
    for base, folders, files in os.walk(tree):
        folders[:] = [f for f in folders if f not in (".ssds", ".flat", "sites")]
        for name in (*folders, *files):
            path = f"{base}/{name}"
            if os.path.islink(path):
                found[os.path.relpath(path, tree)] = os.readlink(path)
            elif os.path.isfile(path):
                found[os.path.relpath(path, tree)] = Path(path).read_text()
    return found


def test_images_have_public_names_as_ducc_gives_them(tmp_path: Path) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    made = lock(blobs)
    half = made.variants[""].platforms[AMD64].release
    assert half is not None
    deploy(site(), [made], blobs, tree, channels=[HUB])
    found = links(tree)
    base = "registry.example.org:5000/lab/tools/tool"
    tags = ("1.0", "1.0-r1", "latest", f"sha256:{half.manifest.digest.hex}")
    image_folder = f".flat/{half.config.digest.hex[:2]}/{half.config.digest.hex}"
    for tag in tags:
        assert found[f"{base}:{tag}"] == f"../../../{image_folder}"
        assert found[f".multiarch/amd64/{base}:{tag}"] == f"../../../../../{image_folder}"
        manifest = found[f".metadata/{base}:{tag}/manifest.json"].encode()
        assert manifest == blobs.read(half.manifest.digest)
        assert os.path.isdir(f"{tree}/.multiarch/x86_64/{base}:{tag}/usr/bin")
    assert {p for p in found if p.count("/") == 1} == {".multiarch/x86_64", ".multiarch/x86-64"}
    assert not deploy(site(), [made], blobs, tree, channels=[HUB]).written


def test_other_architectures_have_their_own_names(tmp_path: Path) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    half = image(blobs, [small_tar({"usr/bin/tool": script("echo")})], ["tool"], {}, ARM)
    other = image(blobs, [small_tar({"usr/bin/tool": script("echo x")})], ["tool"], {})
    made = release(blobs, other, others={ARM: half})
    deploy(site(platforms=(ARM,)), [made], blobs, tree, channels=[HUB])
    found = links(tree)
    assert found[".multiarch/aarch64"] == found[".multiarch/arm64"] == "arm64:v8"
    assert any(path.startswith(".multiarch/arm64:v8/registry") for path in found)


def test_names_that_nobody_wants_go_and_two_sites_keep_each_other_s(tmp_path: Path) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    one, other = lock(blobs), lock(blobs, "other", name="other")
    deploy(site(), [one, other], blobs, tree, channels=[HUB])
    deploy(site(name="second"), [other], blobs, tree, channels=[HUB])
    deploy(site(), [one], blobs, tree, channels=[HUB])
    assert any("/other:" in path for path in links(tree))
    deploy(site(name="second"), [one], blobs, tree, channels=[HUB])
    assert not any("other" in path for path in links(tree))
    assert not os.path.exists(f"{tree}/.metadata/registry.example.org:5000/lab/tools/other:1.0")


def test_a_name_that_was_damaged_is_made_again(tmp_path: Path) -> None:
    blobs, tree = Blobs(f"{tmp_path}/blobs"), f"{tmp_path}/tree"
    made = lock(blobs)
    deploy(site(), [made], blobs, tree, channels=[HUB])
    before = links(tree)
    for path in list(before)[::2]:
        os.unlink(f"{tree}/{path}")
    assert deploy(site(), [made], blobs, tree, channels=[HUB]).generation == 1
    assert links(tree) == before


def replaced(tree: str, path: str, kind: str) -> str:
    """Puts something of others where ssds had a name; returns what tells whether it is there."""
    os.unlink(f"{tree}/{path}")
    if kind == "folder":
        os.mkdir(f"{tree}/{path}")
        Path(f"{tree}/{path}/data").write_text("theirs")
        return f"{tree}/{path}/data"
    if kind == "file":
        Path(f"{tree}/{path}").write_text("theirs")
    else:
        os.symlink("/elsewhere", f"{tree}/{path}")
    return f"{tree}/{path}"


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
@pytest.mark.parametrize("wanted", [True, False])
def test_what_others_put_in_the_place_of_a_name_stays_and_is_told(
    in_memory: str, kind: str, wanted: bool
) -> None:
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    one, other = lock(blobs), lock(blobs, "other", name="other")
    deploy(site(), [one], blobs, tree, channels=[HUB])
    base = "registry.example.org:5000/lab/tools/tool"
    paths = (f"{base}:1.0", f".metadata/{base}:latest/manifest.json")
    theirs = [replaced(tree, path, kind) for path in paths]
    for _ in range(2):
        deploy(site(), [one, other] if wanted else [other], blobs, tree, channels=[HUB])
    rollback("example", tree)
    assert all(map(os.path.lexists, theirs))
    told = {problem.partition(": others wrote it")[0] for problem in check_tree(tree).problems}
    assert told == set(paths)
    assert not set(paths) & set(owned_paths(tree))


def test_a_link_of_others_that_says_the_same_is_never_adopted(in_memory: str) -> None:
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    one = lock(blobs)
    half = one.variants[""].platforms[AMD64].release
    assert half is not None
    path = f"{tree}/registry.example.org:5000/lab/tools/tool:1.0"
    deploy(site(), [], blobs, tree)
    os.makedirs(os.path.dirname(path))
    os.symlink(f"../../../{image_path(half.config.digest)}", path)
    deploy(site(), [one], blobs, tree, channels=[HUB])
    assert check_tree(tree).problems == ()
    deploy(site(), [], blobs, tree, channels=[HUB])
    assert os.path.islink(path)


@pytest.mark.parametrize("link", ["registry.example.org:5000", ".metadata", "sites"])
def test_no_name_is_written_or_removed_through_a_link_that_leads_out_of_the_tree(
    in_memory: str, link: str
) -> None:
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    one, other = lock(blobs), lock(blobs, "other", name="other")
    deploy(site(), [one], blobs, tree, channels=[HUB])
    os.rename(f"{tree}/{link}", f"{in_memory}/outside")
    os.symlink(f"{in_memory}/outside", f"{tree}/{link}")
    before = links(f"{in_memory}/outside")
    with contextlib.suppress(Refused):
        deploy(site(name="second"), [other], blobs, tree, channels=[HUB])
    deploy(site(), [], blobs, tree, channels=[HUB])
    assert links(f"{in_memory}/outside") == before


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Blobs, list[Lock]]:
    blobs = Blobs(str(tmp_path_factory.mktemp("blobs")))
    return blobs, [lock(blobs, str(n), name=f"t{n}") for n in range(3)]


NAMES = st.sampled_from(["notes", ".flat/zz/x", "registry.example.org:5000/mine", "sites/mine",
    "registry.example.org:5000/lab/tools/t0:1.0", ".multiarch/mine", ".metadata/mine/x",
    ".ssds/images/mine", "registry.example.org:5000/lab/tools/t1:mine", ".ssds/mine"])  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=3), theirs=st.sets(NAMES))
def test_what_ssds_did_not_write_is_never_changed(
    stock: tuple[Blobs, list[Lock]],
    tmp_path_factory: pytest.TempPathFactory,
    chosen: list[set[int]],
    theirs: set[str],
) -> None:
    """C14, over random deployments of a tree in which others keep files too."""
    from ssds.ship.prune import prune

    blobs, locks = stock
    tree = str(tmp_path_factory.mktemp("tree")) + "/t"
    deploy(site(), [], blobs, tree)
    for path in theirs:
        os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
        Path(f"{tree}/{path}").write_text("theirs")
    for numbers in chosen:
        deploy(site(), [locks[n] for n in sorted(numbers)], blobs, tree, channels=[HUB])
    prune(tree, keep=1, grace_s=0, now_s=0)
    for path in theirs:
        assert Path(f"{tree}/{path}").read_text() == "theirs"
    steps = link_steps(tree, "example")
    assert steps.empty
    assert set(steps.strange) <= theirs
