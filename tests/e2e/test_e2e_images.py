"""Bases that are images of registries, end to end: locked, built on, moved, lost, hostile."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_workspace import Site, check_error
from image_bases import NAME, add_image, base_layer, older, status_of
from registry_server import running_registry

from ssds.core.digest import Digest
from ssds.oci.copy import Repository, copy_release
from ssds.oci.layout import Layout
from ssds.oci.registry import Registry

RECIPE = """\
name: app
version: "1.0"
summary: A tool on an image of others.
licenses: [MIT]
base: {image: "debian:12"}
build:
  - run: |
      test "$(id -un)" = nobody
      test "$PWD" = /opt/their
      test "$THEIR_HOME" = /opt/their
      test "$(their-command)" = theirs
      test ! -e /etc/issue.net
      test -z "$(ls /usr/share/common-licenses)"
  - file: {path: /opt/app, content: "app\\n"}
deploy: {commands: [their-command]}
tests: [{name: runs, run: their-command, stdout_equals: theirs}]
"""
APT = """\
name: apt
version: "1.0"
summary: A library on an image of others.
licenses: [MIT]
base: {image: "debian:12"}
build: [{apt: [zlib1g-dev]}]
deploy: {commands: [bash]}
tests: [{name: newer, run: "dpkg-query -Wf '${Version}' zlib1g", stdout: ["1:1.2.13"]}]
"""


def settings(site: Site, to: str, name: str = NAME, more: str = "") -> None:
    site.write(
        "ssds.yaml", f'store: {{path: ../store}}\njobs: 1\nimages: {{"{name}": "{to}"}}\n{more}'
    )


def bases(site: Site) -> dict[str, dict]:
    """Returns the pins of images: identity → platform → section."""
    shared = json.loads((site.workspace / "lockfiles/catalog.lock.json").read_text())
    return {n: b["platforms"] for n, b in shared["bases"].items() if n.startswith(NAME)}


def prepared(site: Site, recipe: str = RECIPE, **image: object) -> Layout:
    """Gives the site a layout that stands for the registry, and a recipe on its image."""
    layout = Layout(str(site.folder / "upstream"))
    add_image(layout, site, **{"settings": {"User": "nobody"}, **image})  # type: ignore[arg-type]
    settings(site, "oci:../upstream")
    name = re.findall("^name: (.*)", recipe)[0]
    site.write(f"catalog/{name}/recipe.yaml", recipe)
    return layout


@pytest.fixture(scope="module")
def built(warm: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = warm.copy(tmp_path_factory.mktemp("images") / "site")
    prepared(site)
    assert "not locked: base docker.io/library/debian:12" in site.good("plan", "app").out
    site.good("lock", "app")
    site.good("apply", "--yes", "app")
    return site


def test_an_image_is_pinned_by_all_its_digests(built: Site) -> None:
    ((identity, platforms),) = bases(built).items()
    (section,) = platforms.values()
    image = section["image"]
    assert image["reference"] == NAME
    assert identity == f"{NAME}@{image['digest'].removeprefix('sha256:')[:16]}"
    assert next(layer["diff_id"] for layer in image["layers"]) == base_layer(built)
    assert section["epoch"] == 1784541600
    assert "installed" not in section
    for data in built.locks().values():
        assert b"upstream" not in data


def test_the_image_stands_on_the_layers_and_settings_below(built: Site) -> None:
    half = built.lock("app")["variants"]["default"]["platforms"]["linux/amd64"]["release"]
    config = json.loads(built.blob(half["config"]["digest"]).read_bytes())
    (section,) = next(iter(bases(built).values())).values()
    below = [layer["diff_id"] for layer in section["image"]["layers"]]
    assert config["rootfs"]["diff_ids"][:2] == below
    assert len(config["rootfs"]["diff_ids"]) == 3
    said = config["config"]
    assert said["Env"] == [
        "PATH=/opt/their/bin:/usr/local/bin:/usr/bin:/bin",
        "THEIR_HOME=/opt/their",
    ]
    assert (said["User"], said["WorkingDir"], said["Cmd"]) == (
        "nobody",
        "/opt/their",
        ["their-command"],
    )
    assert said["Labels"]["org.example.kept"] == "yes"
    assert said["Labels"]["org.opencontainers.image.version"] == "1.0"
    assert built.plan("app") == {}


def test_the_parts_of_the_product_know_such_a_base(built: Site) -> None:
    (section,) = next(iter(bases(built).values())).values()
    manifest = section["image"]["manifest"]
    text = built.good("render", "app").out
    assert f"FROM {NAME}@{manifest}\n" in text
    assert 'CMD ["their-command"]' in text
    assert text.index("their-command") < text.index("USER root") < text.index("USER nobody")
    assert f"From: {NAME}@{manifest}\n" in built.good("render", "app", "--format", "apptainer").out
    assert "output layer/1" in built.good("explain", f"{NAME}:base").out
    assert NAME in built.good("why", "app", NAME).out


@pytest.mark.parametrize("words", [("run", "app", "--", "sh"), ("shell", "app:build")])
def test_programs_and_a_shell_find_what_the_image_below_says(
    built: Site, words: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as here:  # not in /dev, which images have
        done = subprocess.run(
            built._arguments(words),
            input=b'echo "$THEIR_HOME"; their-command; cat /opt/app\n',
            capture_output=True,
            env=built._environment({}),
            cwd=here,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, b"/opt/their\ntheirs\napp\n"), done.stderr


def test_a_tag_that_moved_is_told_and_moves_only_when_asked(built: Site, tmp_path: Path) -> None:
    site = built.copy(tmp_path / "site")
    (old,) = bases(site)
    new = add_image(Layout(str(built.folder / "upstream")), built, text="newer")
    settings(site, f"oci:{built.folder}/upstream")
    told = site.run("outdated", "app").out
    assert re.search(rf"base +{NAME} +{old} +{NAME}@{new.hex[:16]} +lock", told)
    site.good("lock", "--check", "app")
    site.good("lock", "app")
    assert [*bases(site)] == [old]
    before = tmp_path / "before.json"
    before.write_bytes((site.workspace / "lockfiles/app@1.0.lock.json").read_bytes())
    site.good("lock", "--upgrade", NAME, "app")
    (current,) = bases(site)
    assert current == f"{NAME}@{new.hex[:16]}"
    changed = site.run("diff", str(before), str(site.workspace / "lockfiles/app@1.0.lock.json")).out
    assert f"base: {old} -> {current}" in changed


def test_check_pins_a_base_by_the_digest_that_the_lock_holds(built: Site, tmp_path: Path) -> None:
    site = built.copy(tmp_path / "site")
    settings(site, f"oci:{built.folder}/upstream")
    ((_, platforms),) = bases(site).items()
    digest = platforms["linux/amd64"]["image"]["digest"]
    assert "note[R087]" in site.good("check").err
    place = "catalog/app/recipe.yaml:5:15"
    assert f"fixed {place}: base image by a tag" in site.good("check", "--fix").err
    text = (site.workspace / "catalog/app/recipe.yaml").read_text()
    assert text == RECIPE.replace("debian:12", f"debian:12@{digest}")
    assert "R087" not in site.good("check").err
    site.good("lock", "app")
    ((_, again),) = ((n, p) for n, p in bases(site).items() if "@sha256" in n)
    assert (
        again["linux/amd64"]["image"]["manifest"] == platforms["linux/amd64"]["image"]["manifest"]
    )
    assert not [n for n in site.plan("app") if ":build" in n]


def test_a_registry_gives_the_pins_and_the_bytes_that_a_layout_gives(
    built: Site, new_site: Callable[[], Site], tmp_path: Path
) -> None:
    site = new_site()
    layout = prepared(site)
    with running_registry(tmp_path / "registry") as host:
        registry = Registry(host, insecure=True, anonymous=True)
        place = Repository(registry, "hub/library/debian")
        copy_release(layout, place, layout.tags()[NAME])
        place.set_tag("12", layout.tags()[NAME])
        settings(site, f"http://{host}/hub", "docker.io")
        site.good("lock", "app")
        assert host not in (site.workspace / "lockfiles/catalog.lock.json").read_text()
        assert next(iter(bases(site).values()))["linux/amd64"]["image"]["reference"] == NAME
        lost = bases(site).popitem()[1]["linux/amd64"]["image"]["layers"][1]
        site.good("apply", "--yes", "app")
        assert site.blob(lost["diff_id"]).exists()


def test_what_the_registry_lost_is_built_from_a_mirror_of_blobs(
    built: Site, tmp_path: Path, warm: Site
) -> None:
    mirror = tmp_path / "mirror"
    built.good("mirror", "push", "--to", str(mirror), "app")
    site = warm.copy(tmp_path / "site")
    for name in (
        "catalog/app/recipe.yaml",
        "lockfiles/app@1.0.lock.json",
        "lockfiles/catalog.lock.json",
    ):
        site.write(name, (built.workspace / name).read_text())
    settings(site, f"oci:{tmp_path}/nowhere")
    lost = site.run("apply", "--yes", "--rerun", "app:build", "app")
    check_error(lost, "F065", "cannot be had")
    settings(site, f"oci:{tmp_path}/nowhere", more=f"mirrors: {{blobs: file://{mirror}}}\n")
    site.good("apply", "--yes", "--rerun", "app:build", "app")


def test_packages_of_the_image_are_upgraded_where_a_set_needs_it(site: Site) -> None:
    status = older(status_of(site), "zlib1g", "1:1.2.11")
    prepared(site, APT, more={"var/lib/dpkg/status": status})
    site.good("lock", "apt")
    section = bases(site).popitem()[1]["linux/amd64"]
    assert section["image"]["system"] == "debian bookworm"
    assert "zlib1g 1:1.2.11 amd64" in section["installed"]
    pins = site.lock("apt")["variants"]["default"]["platforms"]["linux/amd64"]["pins"]
    packages = {p["name"]: p["version"] for p in pins["packages"]["build/0"]["packages"]}
    assert packages["zlib1g"].startswith("1:1.2.13")
    assert "libc6" not in packages
    site.good("lock", "--check", "apt")
    site.good("apply", "--yes", "apt")
    assert site.plan("apt") == {}


def test_packages_of_another_system_cannot_be_pinned(site: Site) -> None:
    release = "ID=ubuntu\nVERSION_CODENAME=noble\n"
    prepared(site, APT, more={"etc/os-release": release, "usr/lib/os-release": release})
    refused = site.run("lock", "apt")
    check_error(refused, "E210", "ubuntu noble", "catalog/apt/recipe.yaml:6", "network: true")


BAD: dict[str, tuple[dict[str, object], str]] = {
    "another diffID": ({"diff_ids": ["sha256:" + "0" * 64, "sha256:" + "1" * 64]}, "O135"),
    "too few diffIDs": ({"diff_ids": ["sha256:" + "0" * 64]}, "O132"),
    "no user": ({"settings": {"User": ["x"]}}, "O004"),
    "no tag": ({"tag": "docker.io/library/debian:11"}, "O134"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_hostile_image_is_refused_and_nothing_is_kept_of_it(case: str, site: Site) -> None:
    image, code = BAD[case]
    prepared(site, **image)
    ended = site.run("lock", "app")
    if ended.code == 0:
        ended = site.run("apply", "--yes", "app")
    check_error(ended, code)


def test_bytes_with_another_digest_are_refused(site: Site) -> None:
    layout = prepared(site)
    site.good("lock", "app")
    layer = bases(site).popitem()[1]["linux/amd64"]["image"]["layers"][1]["digest"]
    path = Path(layout.blobs.path(Digest(layer)))
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    check_error(site.run("apply", "--yes", "app"), "F065")
    assert not site.blob(layer).exists()


def test_a_platform_that_the_image_lacks_is_told(site: Site) -> None:
    prepared(site, RECIPE.replace("base:", "platforms: {linux/arm64: required}\nbase:"))
    ended = site.run("lock", "app")
    check_error(ended, "O131", "no image for linux/arm64; it has linux/amd64")
