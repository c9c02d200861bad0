"""A recipe of NeuroDesk's format from a checkout to an image: locked, built, kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_workspace import Site
from image_bases import NAME, add_image

from ssds.oci.flatten import FlatTree, flatten
from ssds.oci.layout import Layout

RECIPE = """\
name: hello
version: "1.0"
architectures: [x86_64]
categories: [programming]
icon: "data:image/png;base64,AAAA"
readme: Says hello.
variables: {home: "/opt/hello-{{ context.version }}"}
files:
  - {name: archive, url: "https://example.org/d/data-{{ context.version }}.txt"}
  - {name: script, filename: beside.sh, executable: true}
build:
  kind: neurodocker
  base-image: debian:12
  pkg-manager: apt
  add-default-template: false
  directives:
    - environment: {HELLO: "$THEIR_HOME/x", PATH: "{{ home }}/bin:$PATH"}
    - file: {name: inline, contents: "inline {{ arch }}"}
    - run:
        - mkdir -p {{ home }}/bin
        - "cp {{ get_file('archive') }} {{ get_file('inline') }} {{ home }}"
        - "{{ get_file('script') }} > {{ home }}/said"
        - "false; echo $UNSET$HELLO > {{ home }}/plain"
    - copy: [folder, /opt/folder]
    - copy: [inline, /opt/folder]
    - workdir: "{{ home }}"
    - user: nobody
    - workdir: more
    - run: ["test $(id -un) = nobody && test $PWD = {{ home }}/more"]
    - deploy: {bins: [their-command]}
"""


@pytest.fixture(scope="module")
def built(warm: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = warm.copy(tmp_path_factory.mktemp("neurocontainers") / "site")
    add_image(Layout(str(site.folder / "upstream")), site)
    (site.folder / "served/d").mkdir(parents=True)
    (site.folder / "served/d/data-1.0.txt").write_text("data\n")
    checkout = site.folder / "checkout/recipes/hello"
    (checkout / "folder").mkdir(parents=True)
    (checkout / "folder/a").write_text("a\n")
    (checkout / "beside.sh").write_text("#!/bin/sh\necho said\n")
    (checkout / "build.yaml").write_text(RECIPE)
    site.write(
        "ssds.yaml",
        "store: {path: ../store}\njobs: 1\n"
        "catalog: {ssds: catalog, neurocontainers: ../checkout}\n"
        f'images: {{"{NAME}": "oci:../upstream"}}\n'
        f'upstream: {{"https://example.org/": "file://{site.folder}/served/"}}\n',
    )
    site.good("lock", "hello")
    site.good("apply", "--yes", "hello")
    return site


@pytest.fixture(scope="module")
def image(built: Site) -> tuple[dict, FlatTree]:
    half = built.lock("hello")["variants"]["default"]["platforms"]["linux/amd64"]["release"]
    config = json.loads(built.blob(half["config"]["digest"]).read_bytes())
    return config["config"], flatten([str(built.blob(d)) for d in config["rootfs"]["diff_ids"]])


def test_the_steps_did_what_a_dockerfile_would(image: tuple[dict, FlatTree]) -> None:
    config, tree = image
    texts = {
        "opt/hello-1.0/data-1.0.txt": "data\n",
        "opt/hello-1.0/inline": "inline x86_64",
        "opt/hello-1.0/said": "said\n",
        "opt/hello-1.0/plain": "/opt/their/x\n",
        "opt/folder/a": "a\n",
        "opt/folder/inline": "inline x86_64",
    }
    assert {path: tree.read(path, 1 << 10).decode() for path in texts} == texts
    assert config["User"] == "nobody"
    assert config["WorkingDir"] == "/opt/hello-1.0/more"
    assert "PATH=/opt/hello-1.0/bin:/opt/their/bin:/usr/local/bin:/usr/bin:/bin" in config["Env"]
    assert "DEPLOY_BINS=their-command" in config["Env"]


def test_it_is_rendered_with_its_files_on_the_pinned_image(built: Site) -> None:
    out = built.folder / "out"
    built.good("render", "hello", "--out", str(out))
    text = (out / "Dockerfile").read_text()
    assert f"\nFROM {NAME}@sha256:" in text
    assert '\nCOPY ["steps/4/copy/folder", "/opt/folder"]\n' in text
    assert (out / "steps/4/copy/folder/a").read_text() == "a\n"
    assert (out / "steps/3/files/data-1.0.txt").read_text() == "data\n"


def test_nothing_is_to_do_again_until_something_that_is_built_changes(built: Site) -> None:
    assert "0 run" in built.good("plan", "hello").out
    recipe = built.folder / "checkout/recipes/hello/build.yaml"
    recipe.write_text(RECIPE.replace("AAAA", "BBBB"))
    assert "hello@1.0:build" not in built.good("plan", "hello").out
    recipe.write_text(RECIPE.replace("inline {{", "changed {{"))
    assert "hello@1.0:build" in built.good("plan", "hello").out
    recipe.write_text(RECIPE)


def test_an_emptied_checkout_is_an_error_not_a_removal(built: Site) -> None:
    folder = Path(built.folder / "checkout/recipes")
    folder.rename(folder.with_name("gone"))
    assert "K011" in built.run("plan").err
    folder.with_name("gone").rename(folder)
