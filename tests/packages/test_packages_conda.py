from __future__ import annotations

import functools
import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator

import pytest
from conda_channel import Conda, write_channel

from ssds.core.errors import IntegrityError, InvalidValue, SsdsError, UnavailableError
from ssds.core.pins import PackageSet
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors, conda_roots, machine_mirrors
from ssds.packages import conda
from ssds.packages.conda import CondaRequest

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
TOOLS = (
    Conda(name="tool", version="1.20", depends=["libz <2"]),
    Conda(name="tool", version="1.21", depends=["libz >=2", "__glibc >=2.17"], build="h1_0"),
    Conda(name="libz", version="1.3", ending=".tar.bz2"),
    Conda(name="libz", version="2.0", stamp_ms=1_700_000_000_000),
    Conda(name="pure", subdir="noarch", python=True, depends=["tool"], build="pyh_0"),
)


class Place:
    """A folder of channels, and questions to it."""

    def __init__(self, folder: str) -> None:
        self.root = os.path.join(folder, "channels")
        self.mirrors = Mirrors(conda=(f"file://{self.root}",))
        self.count = 0

    def publish(self, *packages: Conda, channel: str = "forge", **more) -> None:
        write_channel(self.root, packages, channel=channel, **more)

    def ask(self, *packages: str, channels=("forge",), platform=AMD64, glibc="2.36", **more):
        self.count += 1
        request = CondaRequest(channels=channels, packages=packages, platform=platform, glibc=glibc)
        cache = f"{self.root}-cache{self.count}"
        return conda.resolve(request, more.pop("mirrors", self.mirrors), cache, **more)

    def repodata(self, text: str, subdir: str = "linux-64") -> None:
        with open(f"{self.root}/forge/{subdir}/repodata.json", "w", encoding="utf-8") as file:
            file.write(text)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(str(tmp_path))


def named(found: PackageSet) -> dict[str, str]:
    return {p.name: p.version for p in found.packages}


def test_a_request_becomes_the_exact_set(place):
    place.publish(*TOOLS)
    found = place.ask("pure")
    assert [(p.name, p.version, p.build, p.architecture) for p in found.packages] == [
        ("libz", "2.0", "h0_0", "linux-64"),
        ("pure", "1.0", "pyh_0", "noarch"),
        ("tool", "1.21", "h1_0", "linux-64"),
    ]
    file = found.packages[-1].file
    assert (file.archive, file.path) == ("conda", "forge/linux-64/tool-1.21-h1_0.conda")
    assert file.size_bytes == os.path.getsize(f"{place.root}/{file.path}")
    assert found.epoch == 1_700_000_000
    assert found == place.ask("pure")


@pytest.mark.parametrize(
    "text", ["tool=1.20=h0_0", "tool=1.20", "tool ==1.20", "tool>=1.2,<1.21", "tool 1.20.* h0_*"]
)
def test_versions_and_builds_are_asked_for_as_conda_does(place, text):
    place.publish(*TOOLS)
    assert named(place.ask(text))["tool"] == "1.20"


def test_older_archives_and_compressed_indexes_serve_too(place):
    place.publish(*TOOLS, compressed=True)
    found = place.ask("tool=1.20")
    assert named(found) == {"tool": "1.20", "libz": "1.3"}
    assert found.packages[0].file.name == "libz-1.3-h0_0.tar.bz2"


def test_the_set_of_another_architecture_is_resolved_here(place):
    place.publish(*TOOLS, Conda(name="tool", version="9", subdir="linux-aarch64"))
    assert named(place.ask("tool", platform=ARM64)) == {"tool": "9"}
    assert named(place.ask("tool")) == {"tool": "1.21", "libz": "2.0"}


def test_the_system_is_that_of_the_image_and_not_of_this_machine(place):
    place.publish(
        Conda(name="new", depends=["__glibc >=2.39"]),
        Conda(name="level", depends=["__archspec 1 x86_64_v3"]),
        Conda(name="kernel", depends=["__linux >=4.18"]),
        Conda(name="cuda", depends=["__cuda"]),
    )
    assert place.ask("new", glibc="2.39")
    assert place.ask("level", platform=Platform("linux/amd64/v3"))
    assert place.ask("kernel")
    for name in ("new", "level", "cuda"):
        with pytest.raises(UnavailableError, match="__") as caught:
            place.ask(name)
        assert (caught.value.code, "2.36" in caught.value.hint) == ("F067", True)
    with pytest.raises(UnavailableError):
        place.ask("new", glibc="")


def test_levels_and_processors_have_the_names_that_conda_gives_them():
    def processor(text: str) -> str:
        return conda.virtual_packages(Platform(text), "2.36")["__archspec"][1]

    assert processor("linux/amd64") == "x86_64"
    assert processor("linux/amd64/v4") == "x86_64_v4"
    assert processor("linux/amd64/zen3") == "zen3"
    assert processor("linux/arm64") == "aarch64"


def test_the_first_channel_that_has_a_package_gives_it(place):
    place.publish(Conda(name="tool", version="1"), channel="forge")
    place.publish(Conda(name="tool", version="2"), Conda(name="more"), channel="bio/label/main")
    found = place.ask("tool", "more", channels=("forge", "bio/label/main"))
    assert [(p.name, p.version, p.channel) for p in found.packages] == [
        ("more", "1.0", "bio/label/main"),
        ("tool", "1", "forge"),
    ]
    assert named(place.ask("tool", channels=("bio/label/main", "forge"))) == {"tool": "2"}


def test_one_package_is_renewed_and_the_rest_stays(place):
    place.publish(Conda(name="a"), Conda(name="b"))
    held = place.ask("a", "b")
    place.publish(*(Conda(name=n, version=v) for n in "ab" for v in ("1.0", "2.0")))
    assert named(place.ask("a", "b", held=held, renew=["a"])) == {"a": "2.0", "b": "1.0"}
    assert place.ask("a", "b", held=held) == held
    assert named(place.ask("a", "b")) == {"a": "2.0", "b": "2.0"}


# --- what goes wrong ------------------------------------------------------------------------------


def refused(place: Place, *packages: str, **more) -> SsdsError:
    with pytest.raises(SsdsError) as caught:
        place.ask(*packages, **more)
    return caught.value


def test_missing_packages_and_versions_are_all_named_with_what_there_is(place):
    place.publish(*TOOLS)
    error = refused(place, "toool", "tool=9", "libz")
    assert error.code == "F057"
    assert error.message == (
        "there is no package 'toool' in forge (linux-64); "
        "tool has no version 9.* in forge (linux-64)"
    )
    assert error.hint == "Did you mean tool? Known there: 1.21, 1.20."


def test_a_set_that_cannot_be_is_explained_as_the_solver_does(place):
    place.publish(*TOOLS, Conda(name="old", depends=["tool 1.20.*"]))
    error = refused(place, "old", "libz=2.0")
    assert error.code == "F067"
    assert "tool 1.20.*" in error.message
    assert "libz" in error.message


def test_constraints_hold_though_they_install_nothing(place):
    place.publish(Conda(name="strict", constrains=["libz <2"]), *TOOLS)
    assert named(place.ask("strict")) == {"strict": "1.0"}
    assert named(place.ask("strict", "libz")) == {"strict": "1.0", "libz": "1.3"}
    assert refused(place, "strict", "tool=1.21").code == "F067"


@pytest.mark.parametrize(
    "text", ["", "a b c d", "forge::tool", "tool[channel=x]", "https://example.org/a.conda", "../a"]
)
def test_what_is_no_package_never_reaches_the_solver(place, text):
    place.publish(*TOOLS)
    with pytest.raises(InvalidValue):
        place.ask(text)


def test_a_file_without_sha256_is_refused(place):
    place.publish(*TOOLS, without=["sha256"])
    error = refused(place, "tool")
    assert (error.code, "md5" in error.hint) == ("F068", True)


def test_a_channel_that_is_nowhere_is_named(place):
    place.publish(*TOOLS)
    error = refused(place, "tool", channels=("forge", "froge"))
    assert error.code == "F075"
    assert "'froge'" in error.message
    assert refused(place, "tool", mirrors=Mirrors()).code == "F051"


ROW = TOOLS[0].record | {"sha256": "ab" * 32, "size": 1, "depends": []}
NAME = TOOLS[0].file_name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "<html>",
        '{"packages": []}',
        '{"packages.conda": {"a": {}}}',
        json.dumps({"packages.conda": {NAME: ROW | {"version": ".."}}}),
        json.dumps({"packages.conda": {NAME: ROW | {"depends": ["((("]}}}),
        json.dumps({"packages.conda": {NAME: ROW | {"subdir": "../../etc"}}}),
        json.dumps({"packages.conda": {NAME: ROW | {"build": "a/b"}}}),
        json.dumps({"packages.conda": {NAME: ROW | {"sha256": "zz"}}}),
        json.dumps({"packages.conda": {NAME: ROW | {"name": "../tool"}}}),
        json.dumps({"packages.conda": {f"../../{NAME}": ROW}}),
        json.dumps({"packages.conda": {NAME: ROW}, "info": {"base_url": "https://example.org/"}}),
    ],
)
def test_an_index_of_a_wrong_form_is_an_error_with_a_remedy(place, text):
    place.publish()
    place.repodata(text)
    error = refused(place, "tool")
    assert isinstance(error, IntegrityError | UnavailableError)
    assert error.hint


def test_a_damaged_compressed_index_is_refused(place):
    place.publish(*TOOLS, compressed=True)
    path = f"{place.root}/forge/linux-64/repodata.json.zst"
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 20)
    assert refused(place, "tool").code == "F042"


def test_without_the_solver_the_way_to_it_is_said(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "rattler", None)
    error = refused(place, "tool")
    assert (error.code, "ssds[conda]" in error.hint) == ("F064", True)


# --- where channels are ---------------------------------------------------------------------------


@pytest.fixture
def served(place) -> Iterator[str]:
    """The channels over HTTP."""
    os.makedirs(place.root, exist_ok=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=place.root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_mirrors_are_tried_in_turn_and_leave_no_trace_in_the_set(place, served, tmp_path):
    place.publish(*TOOLS)
    (tmp_path / "empty").mkdir()
    mirrors = Mirrors(conda=(f"file://{tmp_path}/empty", served))
    assert place.ask("tool", mirrors=mirrors) == place.ask("tool")


def test_the_machines_own_conda_settings_are_asked_last(tmp_path):
    home = {"HOME": str(tmp_path)}
    assert conda_roots(home) == ()
    (tmp_path / ".condarc").write_text("channels: [x]\nchannel_alias: 'https://example.org/c/'\n")
    assert conda_roots(home) == ("https://example.org/c",)
    assert conda_roots({**home, "CONDA_CHANNEL_ALIAS": "https://b.example.org"}) == (
        "https://b.example.org",
    )
    found = machine_mirrors(pypi=["https://x/"], conda=["https://a.example.org"], environment=home)
    assert found.archive("conda") == ("https://a.example.org",)


def test_the_newest_versions_are_told_without_resolving(place):
    place.publish(*TOOLS)
    place.publish(Conda(name="tool", version="7"), channel="bio")
    request = CondaRequest(
        channels=("forge", "bio"), packages=("tool=1.20",), platform=AMD64, glibc="2.36"
    )
    pinned = [("tool", "1.20"), ("libz", "2.0"), ("gone", "1")]
    found = conda.newest(request, pinned, place.mirrors, f"{place.root}-newest")
    assert found == {"tool": ("1.21", True), "libz": ("2.0", False)}
    ahead = conda.newest(request, [("tool", "1.22")], place.mirrors, f"{place.root}-ahead")
    assert ahead == {"tool": ("1.22", False)}
