"""One person installs tools: from a layout, from a web server, from a real registry."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from registry_server import running_registry
from ship_makers import (
    AMD64,
    image,
    release,
    root_tar,
    run,
    script,
    site,
    small_tar,
    tool_lock,
)

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, Refused, SsdsError, UsageError
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.install.install import Done, install, uninstall
from ssds.install.records import read_installed
from ssds.install.source import Source
from ssds.lock.model import Lock, Released, releasable
from ssds.oci import types
from ssds.oci.copy import Repository, copy_release
from ssds.oci.layout import Layout
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.backends import open_channel
from ssds.ship.deploy import deploy
from ssds.ship.record import RECORD_TYPE, read_record, record_fields, release_record
from ssds.ship.syncing import carry_out, look_at

SITE = "sites/local"


def descriptor(released: Released) -> types.Descriptor:
    index = released.index
    return types.Descriptor(
        media_type=types.INDEX, digest=index.digest, size_bytes=index.size_bytes
    )


def add(layout: Layout, lock: Lock, *tags: str, record: bytes | None = None) -> Released:
    """Names a release in a layout, with its record where one is given."""
    (released,) = releasable(lock)
    found = descriptor(released)
    names = {f"{released.id.name}:{tag}": found for tag in tags or (released.tag,)}
    layout.set_tags(names)
    if record is not None:
        blob = types.Descriptor(
            media_type=RECORD_TYPE, digest=layout.put_blob(record), size_bytes=len(record)
        )
        layout.put_blob(types.EMPTY_BYTES)
        data = types.manifest_bytes(
            config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY),
            layers=[blob],
            subject=found,
            artifact_type=RECORD_TYPE,
        )
        layout.put_blob(data)
        listed = types.index_bytes(
            [types.descriptor_of(data, types.MANIFEST, artifact_type=RECORD_TYPE)]
        )
        layout.put_blob(listed)
        entry = types.descriptor_of(listed, types.INDEX)
        name = f"{released.id.name}:{str(found.digest).replace(':', '-')}"
        layout.set_tags({name: entry})
    return released


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A layout with a tool that says what it offers, an older one, and an image of strangers."""
    made = Layout(str(tmp_path_factory.mktemp("layouts") / "out"))
    lock = tool_lock(made.blobs)
    (released,) = releasable(lock)
    add(made, lock, "1.0", "1.0-r1", "latest", record=release_record(released))
    add(made, tool_lock(made.blobs, small_tar({"x": b"1"}), version="0.9"))
    stranger = small_tar({"usr/bin/theirs": script("echo theirs"), "usr/bin/ls": script("echo no")})
    half = image(made.blobs, [root_tar(), stranger], (), {"PATH": "/usr/bin:/bin"})
    add(made, release(made.blobs, half, name="stranger", version="2.1"), "2.1--h1_0")
    return made


def bring(place: str, folder: Path, name: str = "tool", version: str = "", **more: object) -> Done:
    source = Source(place, Mirrors(), plain_http=place.startswith("oci://"))
    return install(str(folder), name, version, AMD64, source, **more)  # type: ignore[arg-type]


def call(folder: Path, command: str, *words: str, module: str = "tool/1.0") -> str:
    done = run([str(folder / SITE / "wrappers" / module / "bin" / command), *words])
    return done.stdout.decode() + done.stderr.decode()


def test_the_newest_version_is_installed_with_the_commands_that_its_record_names(
    layout: Layout, tmp_path: Path
) -> None:
    done = bring(layout.path, tmp_path)
    assert done.entry.released.id.version == "1.0"
    assert done.entry.released.revision == 1
    assert "/opt/x/bin/aside" in done.commands
    assert "cat" in done.commands  # declared, though every system has it
    assert (tmp_path / SITE / "modules/tool/1.0.lua").exists()


@pytest.mark.component("sandbox")
def test_an_installed_tool_runs(layout: Layout, tmp_path: Path) -> None:
    bring(layout.path, tmp_path)
    assert call(tmp_path, "tool", "a", "b c") == "a\nb c\n"


def test_installing_again_changes_nothing(layout: Layout, tmp_path: Path) -> None:
    bring(layout.path, tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    again = bring(layout.path, tmp_path)
    assert not again.written
    assert again.fetched_bytes == 0
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


@pytest.mark.component("sandbox")
def test_an_image_of_strangers_offers_what_its_first_layer_and_systems_have_not(
    layout: Layout, tmp_path: Path
) -> None:
    done = bring(layout.path, tmp_path, "stranger")
    assert done.commands == ("theirs",)
    assert call(tmp_path, "theirs", module="stranger/2.1--h1_0") == "theirs\n"


def test_commands_may_be_named(layout: Layout, tmp_path: Path) -> None:
    done = bring(layout.path, tmp_path, "stranger", commands=["ls", "/usr/bin/theirs"])
    assert done.commands == ("/usr/bin/theirs", "ls")


def test_several_tools_share_a_folder_and_leave_one_by_one(layout: Layout, tmp_path: Path) -> None:
    bring(layout.path, tmp_path)
    bring(layout.path, tmp_path, "tool", "0.9")
    bring(layout.path, tmp_path, "stranger")
    assert [str(e.released.id) for e in read_installed(str(tmp_path))] == [
        "stranger@2.1--h1_0",
        "tool@0.9",
        "tool@1.0",
    ]
    uninstall(str(tmp_path), "tool", "1.0")
    assert sorted(os.listdir(tmp_path / SITE / "modules/tool")) != []
    assert not (tmp_path / SITE / "modules/tool/1.0.lua").exists()
    uninstall(str(tmp_path), "tool", "")
    assert [e.released.id.name for e in read_installed(str(tmp_path))] == ["stranger"]
    assert (tmp_path / SITE / "modules/stranger/2.1--h1_0.lua").exists()
    uninstall(str(tmp_path), "stranger", "")
    images = [p for p in tmp_path.glob(".flat/??/*") if p.is_dir()]
    assert images == []
    assert list((tmp_path / ".ssds/installed/blobs/sha256").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [("tool", "2", "It has 1.0, 0.9"), ("toll", "", "has no toll"), ("tool", "1.1", 'mean "1.0"')],
)
def test_what_is_not_there_is_told_with_what_is(
    layout: Layout, tmp_path: Path, name: str, version: str, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        bring(layout.path, tmp_path, name, version)
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_cannot_be_removed(layout: Layout, tmp_path: Path) -> None:
    bring(layout.path, tmp_path)
    with pytest.raises(UsageError, match=r"tool@3 is not installed"):
        uninstall(str(tmp_path), "tool", "3")


def test_another_platform_is_refused_before_anything_is_written(
    layout: Layout, tmp_path: Path
) -> None:
    with pytest.raises(SsdsError, match=r"/out: tool:1.0 has no image for linux/arm64"):
        install(str(tmp_path), "tool", "", Platform("linux/arm64"), Source(layout.path, Mirrors()))
    assert not list(tmp_path.iterdir())


def test_a_tree_of_sites_is_no_folder_of_tools(layout: Layout, tmp_path: Path) -> None:
    deploy(site(name="local"), [tool_lock(layout.blobs)], layout.blobs, str(tmp_path))
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with pytest.raises(Refused, match="deployed tree of the sites local"):
        bring(layout.path, tmp_path, "stranger")
    with pytest.raises(Refused, match="deployed tree of the sites local"):
        uninstall(str(tmp_path), "tool", "")
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_uninstalling_leaves_the_generations_and_images_of_other_sites(
    layout: Layout, tmp_path: Path
) -> None:
    bring(layout.path, tmp_path, "stranger")
    first, second = tool_lock(layout.blobs), tool_lock(layout.blobs, small_tar({"q": b"2"}))
    hpc = site(name="hpc")
    deploy(hpc, [first], layout.blobs, str(tmp_path))
    deploy(hpc, [second], layout.blobs, str(tmp_path))
    uninstall(str(tmp_path), "stranger", "")
    assert (tmp_path / ".ssds/sites/hpc/1/modules").is_dir()
    assert len([p for p in tmp_path.glob(".flat/??/*") if p.is_dir()]) == 2


@pytest.mark.parametrize("command", ["../../opt/x/bin/aside", "/usr/bin/[", "a b", "/x/../y"])
def test_a_command_that_no_record_could_hold_is_refused_first(
    layout: Layout, tmp_path: Path, command: str
) -> None:
    with pytest.raises(UsageError, match="cannot be a command"):
        bring(layout.path, tmp_path, "stranger", commands=[command])
    assert not list(tmp_path.iterdir())


def test_a_record_with_other_layers_is_not_believed(layout: Layout, tmp_path: Path) -> None:
    other = copy_of(layout, tmp_path / "copy")
    lock = tool_lock(other.blobs, small_tar({"z": b"1"}), version="1.7")
    (released,) = releasable(lock)
    half = released.platforms[AMD64]
    fewer = replace(released, platforms={AMD64: replace(half, layers=half.layers[:1])})
    add(other, lock, record=release_record(fewer))
    assert bring(other.path, tmp_path / "tools", "tool", "1.7").entry.released.revision == 0


def test_what_others_attached_and_lost_does_no_harm(layout: Layout, tmp_path: Path) -> None:
    other = copy_of(layout, tmp_path / "copy")
    name = next(n for n in other.tags() if ":sha256-" in n)
    listed = types.parse_index(other.read(other.tags()[name].digest)).manifests
    gone = [
        types.Descriptor(
            media_type=media_type, digest=sha256_of(kind.encode()), size_bytes=9, artifact_type=kind
        )
        for media_type in (types.MANIFEST, types.INDEX)
        for kind in (RECORD_TYPE, "application/x")
    ]
    data = types.index_bytes([*gone, *listed])
    other.put_blob(data)
    other.set_tags({name: types.descriptor_of(data, types.INDEX)})
    assert bring(other.path, tmp_path / "tools", "tool", "1.0").entry.released.revision == 1


def test_a_folder_of_somebody_else_is_refused(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Refused):
        bring(layout.path, tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def copy_of(layout: Layout, folder: Path) -> Layout:
    subprocess.run(["cp", "-a", layout.path, str(folder)], check=True)
    return Layout(str(folder))


def spoil(layout: Layout, digest: Digest) -> None:
    path = Path(layout.blobs.path(digest))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_wrong_bytes_are_never_installed(layout: Layout, tmp_path: Path) -> None:
    other = copy_of(layout, tmp_path / "copy")
    entry = bring(layout.path, tmp_path / "good").entry
    spoil(other, entry.pick.halves[0].layers[1].digest)
    with pytest.raises(IntegrityError):
        bring(other.path, tmp_path / "bad")
    assert read_installed(str(tmp_path / "bad")) == []
    assert not (tmp_path / "bad" / SITE).exists()


@pytest.mark.parametrize(
    "command",
    ["../../../bin/sh", "/../bin/sh", "a b", "$(id)", "/opt/x/../../etc/passwd", "a\nb", ""],
)
def test_a_record_that_names_what_is_no_command_is_refused(
    layout: Layout, tmp_path: Path, command: str
) -> None:
    (released,) = releasable(tool_lock(layout.blobs))
    fields = record_fields(released)
    fields["platforms"]["linux/amd64"]["commands"] = [command]  # type: ignore[index,call-overload]
    with pytest.raises(IntegrityError, match="cannot be a command"):
        read_record(canonical_bytes(fields))


def test_a_record_of_another_image_is_not_believed(layout: Layout, tmp_path: Path) -> None:
    other = copy_of(layout, tmp_path / "copy")
    lock = tool_lock(other.blobs, small_tar({"y": b"1"}), version="1.5")
    (released,) = releasable(lock)
    (wrong,) = releasable(tool_lock(other.blobs))
    add(other, lock, record=release_record(replace(wrong, id=released.id)))
    done = bring(other.path, tmp_path / "tools", "tool", "1.5")
    assert done.entry.released.revision == 0
    assert "cat" not in done.commands


def test_a_record_says_what_the_lock_says(layout: Layout) -> None:
    (released,) = releasable(tool_lock(layout.blobs))
    again = read_record(release_record(released))
    assert record_fields(again) == record_fields(released)


def test_a_damaged_record_of_an_installed_tool_is_named(layout: Layout, tmp_path: Path) -> None:
    bring(layout.path, tmp_path)
    path = tmp_path / ".ssds/installed/tool@1.0.json"
    path.write_text('{"installed_version": 1}')
    with pytest.raises(IntegrityError, match=r"tool@1\.0\.json is damaged"):
        read_installed(str(tmp_path))


@contextlib.contextmanager
def served(folder: str, handler: type[http.server.SimpleHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=folder)
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


class Short(Quiet):
    """Ends every blob of a layer in its middle."""

    def copyfile(self, source: object, outputfile: object) -> None:
        data = source.read()  # type: ignore[attr-defined]
        outputfile.write(data if len(data) < 4096 else data[:4000])  # type: ignore[attr-defined]


def test_a_layout_on_a_web_server_is_as_good_as_its_folder(layout: Layout, tmp_path: Path) -> None:
    with served(layout.path, Quiet) as url:
        done = bring(url, tmp_path, "tool", "1.0")
    assert done.entry.released.revision == 1
    assert (tmp_path / SITE / "modules/tool/1.0.lua").exists()


def test_a_web_server_that_breaks_off_leaves_nothing(layout: Layout, tmp_path: Path) -> None:
    with (
        served(layout.path, Short) as url,
        pytest.raises(SsdsError, match="broke off in the middle"),
    ):
        bring(url, tmp_path, "tool", "1.0")
    assert read_installed(str(tmp_path)) == []


@pytest.mark.component("registry")
def test_a_registry_gives_what_a_layout_gives(layout: Layout, tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry") as host:
        registry = Registry(host, insecure=True)
        for name, tag in (("tool", "1.0"), ("tool", "0.9"), ("stranger", "2.1--h1_0")):
            found = layout.tags()[f"{name}:{tag}"]
            copy_release(layout, Repository(registry, f"lab/{name}"), found)
            registry.push_manifest(f"lab/{name}", tag, types.INDEX, layout.read(found.digest))
        done = bring(f"oci://{host}/lab", tmp_path / "tools")
        assert done.entry.released.id.version == "1.0"
        assert bring(f"oci://{host}/lab", tmp_path / "tools", "stranger").commands == ("theirs",)
        with pytest.raises(UsageError, match="has no absent"):
            bring(f"oci://{host}/lab", tmp_path / "tools", "absent")


def test_plain_http_to_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="another machine"):
        Source("http://layouts.example.org/out", Mirrors())
    with pytest.raises(UsageError, match="another machine"):
        Source("oci://registry.example.org/lab", Mirrors(), plain_http=True)


CODE = """
import sys
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.install.install import install, uninstall
from ssds.install.source import Source
what, layout, folder = sys.argv[1:4]
if what == "install":
    install(folder, "tool", "1.0", Platform("linux/amd64"), Source(layout, Mirrors()))
else:
    uninstall(folder, "tool", "1.0")
"""


@pytest.mark.parametrize("what", ["install", "uninstall"])
def test_killed_at_any_point_the_next_run_completes(
    layout: Layout, tmp_path: Path, what: str
) -> None:
    start = tmp_path / "start"
    bring(layout.path, start, "tool", "0.9")
    if what == "uninstall":
        bring(layout.path, start, "tool", "1.0")
    argv = [sys.executable, "-c", CODE, what, layout.path]
    trace = tmp_path / "trace"
    subprocess.run(["cp", "-a", start, tmp_path / "traced"], check=True)
    environment = {**os.environ, "SSDS_FAULT_TRACE": str(trace)}
    subprocess.run([*argv, tmp_path / "traced"], env=environment, check=True)
    points = trace.read_text().split()
    for number, point in enumerate(points[:: max(1, len(points) // 5)]):
        folder = tmp_path / f"{what}-{number}"
        subprocess.run(["cp", "-a", start, folder], check=True)
        environment = {**os.environ, "SSDS_FAULT_KILL": point}
        killed = subprocess.run([*argv, folder], env=environment, check=False, capture_output=True)
        assert killed.returncode == -9, point
        assert (folder / SITE / "modules/tool/0.9.lua").exists(), point
        done = subprocess.run([*argv, folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or (what == "uninstall" and "is not installed" in done.stderr)
        left = json.loads((folder / SITE / "deployment.json").read_text())
        versions = sorted(e["version"] for e in left["releases"])
        assert versions == (["0.9", "1.0"] if what == "install" else ["0.9"]), point
        assert [e.released.id.version for e in read_installed(str(folder))] == versions


@pytest.mark.component("registry")
@pytest.mark.parametrize("kind", ["layout", "registry"])
def test_what_sync_brought_to_a_channel_can_be_installed_with_all_that_the_lock_says(
    layout: Layout, tmp_path: Path, kind: str
) -> None:
    released = releasable(tool_lock(layout.blobs))
    with running_registry(tmp_path / "registry") as host:
        location = f"{host}/lab" if kind == "registry" else str(tmp_path / "out")
        channel = Channel(name="x", kind=kind, location=location, insecure=kind == "registry")
        backend = open_channel(channel, str(tmp_path), ca_bundle="", proxy="")
        seen = look_at(channel, backend, released, read=layout.blobs.read, now=7)
        carry_out(seen, layout, now=7)
        place = f"oci://{location}" if kind == "registry" else location
        done = bring(place, tmp_path / "tools")
    assert done.entry.released.revision == 1
    assert "cat" in done.commands
    module = (tmp_path / "tools" / SITE / "modules/tool/1.0.lua").read_text()
    assert "Reads and writes alignments." in module
