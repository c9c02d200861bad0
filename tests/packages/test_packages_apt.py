from __future__ import annotations

import os
import shutil

import pytest
from package_archives import Deb, Signer, end_signer, make_signer, write_archive

from ssds.core.errors import (
    IntegrityError,
    InvalidValue,
    SsdsError,
    UnavailableError,
)
from ssds.core.pins import PackageSet
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors, machine_mirrors
from ssds.packages import apt, debian
from ssds.packages.apt_index import open_index

AMD64 = Platform("linux/amd64")
ESSENTIAL = {"Essential": "yes", "Priority": "required"}

has_tools = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("apt-get", "gpg", "gpgv")), reason="needs apt and gpg"
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    made = make_signer(str(tmp_path_factory.mktemp("key")))
    yield made
    end_signer(made)


class Archive:
    """A local mirror that a test can change."""

    def __init__(self, folder, signer: Signer) -> None:
        self.root = os.path.join(folder, "debian")
        self.signer = signer
        self.folder = folder
        self.count = 0

    def publish(self, *debs: Deb) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        write_archive(self.root, debs, signer=self.signer)

    @property
    def mirrors(self) -> Mirrors:
        return Mirrors(debian=(f"file://{self.root}",), keyring=self.signer.keyring)

    def cache(self) -> str:
        self.count += 1
        return os.path.join(self.folder, f"cache{self.count}")

    def ask(self, *packages: str, installed=(), cache: str = "", **more) -> PackageSet:
        request = apt.AptRequest(
            packages=packages, platform=AMD64, suite="bookworm", installed=tuple(installed)
        )
        return apt.resolve(request, self.mirrors, cache or self.cache(), **more)

    def base(self, *include: str) -> PackageSet:
        request = apt.AptRequest(packages=include, platform=AMD64, suite="bookworm")
        return apt.resolve_base_packages(request, self.mirrors, self.cache())


@pytest.fixture
def archive(tmp_path, signer):
    return Archive(str(tmp_path), signer)


SYSTEM = (
    Deb(name="basis", fields=ESSENTIAL),
    Deb(name="apt", depends="basis"),
)


def names(found: PackageSet) -> list[str]:
    return [f"{p.name}={p.version}" for p in found.packages]


@has_tools
def test_a_request_becomes_the_exact_set_of_what_is_missing(archive):
    archive.publish(
        *SYSTEM,
        Deb(name="tool", version="2:1.5~rc1-1", depends="libtool-x (>= 2), basis"),
        Deb(name="libtool-x", version="2.1-1"),
        Deb(name="other"),
    )
    base = archive.base()
    found = archive.ask("tool", installed=[base])
    assert names(base) == ["apt=1.0-1", "basis=1.0-1"]
    assert names(found) == ["libtool-x=2.1-1", "tool=2:1.5~rc1-1"]
    tool = found.packages[1]
    assert tool.file.archive == "debian"
    assert tool.file.path == "pool/main/t/tool/tool_1.5~rc1-1_amd64.deb"
    assert "example" not in tool.file.path
    assert found.epoch == 1584198566


@has_tools
def test_the_same_request_gives_the_same_pin(archive):
    archive.publish(*SYSTEM, Deb(name="tool"))
    assert archive.ask("tool") == archive.ask("tool")


@has_tools
def test_an_exact_version_can_be_asked_for(archive):
    archive.publish(Deb(name="tool", version="1-1"), Deb(name="tool", version="2-1"))
    assert names(archive.ask("tool=1-1")) == ["tool=1-1"]


@has_tools
def test_recommended_packages_are_left_out(archive):
    archive.publish(Deb(name="tool", fields={"Recommends": "extra"}), Deb(name="extra"))
    assert names(archive.ask("tool")) == ["tool=1.0-1"]


@has_tools
def test_what_is_installed_is_upgraded_where_it_must_be(archive):
    archive.publish(*SYSTEM, Deb(name="libx", version="1-1"))
    base = archive.base("libx")
    # libx 1-1 has left the index and the mirror: its description comes from the pin's .deb
    archive.publish(
        *SYSTEM, Deb(name="libx", version="2-1"), Deb(name="tool", depends="libx (>= 2)")
    )
    pool = os.path.join(archive.root, os.path.dirname(Deb(name="libx").pool_path))
    with open(os.path.join(pool, "libx_1-1_amd64.deb"), "wb") as file:
        file.write(Deb(name="libx", version="1-1").data)
    found = archive.ask("tool", installed=[base])
    assert names(found) == ["libx=2-1", "tool=1.0-1"]
    assert archive.ask("tool", installed=[base, found]).packages == ()


@has_tools
def test_a_removal_of_what_is_installed_is_refused(archive):
    archive.publish(*SYSTEM, Deb(name="old"), Deb(name="new", fields={"Conflicts": "old"}))
    base = archive.base("old")
    with pytest.raises(SsdsError) as caught:
        archive.ask("new", installed=[base])
    assert "old" in caught.value.message


@has_tools
def test_what_a_set_upgraded_of_its_base_stays_the_bases_when_one_package_is_renewed(archive):
    archive.publish(*SYSTEM, Deb(name="libx", version="1-1"))
    base = archive.base("libx")
    old = Deb(name="libx", version="1-1")

    def publish(*debs: Deb) -> None:
        archive.publish(*SYSTEM, Deb(name="libx", version="2-1"), *debs)
        pool = os.path.join(archive.root, os.path.dirname(old.pool_path))
        with open(os.path.join(pool, "libx_1-1_amd64.deb"), "wb") as file:
            file.write(old.data)

    tool = Deb(name="tool", version="1-1", depends="libx (>= 2)")
    publish(tool)
    held = archive.ask("tool", installed=[base])
    more = {"installed": [base], "held": held, "renew": ["tool"]}
    publish(Deb(name="tool", version="2-1"), tool)
    assert names(archive.ask("tool", **more)) == ["libx=2-1", "tool=2-1"]
    publish(Deb(name="tool", version="3-1", fields={"Conflicts": "libx"}), tool)
    with pytest.raises(SsdsError, match="would remove libx"):
        archive.ask("tool", **more)


@has_tools
def test_a_package_that_does_not_exist_is_named_with_a_near_one(archive):
    archive.publish(*SYSTEM, Deb(name="samtools"))
    with pytest.raises(UnavailableError, match="no package 'samtoolz'") as caught:
        archive.ask("samtoolz")
    assert "samtools" in caught.value.hint


@has_tools
def test_a_version_that_does_not_exist_shows_the_known_ones(archive):
    archive.publish(*SYSTEM, Deb(name="tool", version="1-1"))
    with pytest.raises(UnavailableError, match="no version 9") as caught:
        archive.ask("tool=9")
    assert "1-1" in caught.value.hint


@has_tools
def test_packages_that_do_not_go_together_are_explained(archive):
    archive.publish(Deb(name="tool", depends="missing-thing (>= 3)"))
    with pytest.raises(UnavailableError, match="missing-thing"):
        archive.ask("tool")


@pytest.mark.parametrize("text", ["-o", "tool-", "a b", "tool/sid", "Tool", "$(x)", "tool=", "?x"])
def test_what_is_no_package_name_never_reaches_apt(text, tmp_path):
    request = apt.AptRequest(packages=(text,), platform=AMD64, suite="bookworm")
    with pytest.raises(InvalidValue):
        apt.resolve(request, Mirrors(), str(tmp_path))


@has_tools
@pytest.mark.parametrize("name", ["samtool.*", "sam.ools"])
def test_a_name_is_never_taken_as_a_pattern(name, archive):
    archive.publish(Deb(name="samtools"))
    with pytest.raises(SsdsError):
        archive.ask(name)


@has_tools
def test_the_index_is_fetched_once_per_cache_folder(archive):
    archive.publish(Deb(name="tool"))
    cache = archive.cache()
    archive.ask("tool", cache=cache)
    shutil.rmtree(archive.root)
    assert names(archive.ask("tool", cache=cache)) == ["tool=1.0-1"]
    with pytest.raises(UnavailableError, match="cannot be had"):
        archive.ask("tool")


@has_tools
def test_an_unsigned_archive_is_refused(archive):
    archive.publish(Deb(name="tool"))
    os.unlink(os.path.join(archive.root, "dists/bookworm/InRelease"))
    with pytest.raises(UnavailableError, match="cannot be had"):
        archive.ask("tool")


@has_tools
def test_an_archive_signed_by_another_key_is_refused(archive, tmp_path):
    stranger = make_signer(str(tmp_path))
    try:
        write_archive(archive.root, [Deb(name="tool")], signer=stranger)
    finally:
        end_signer(stranger)
    with pytest.raises(UnavailableError, match="cannot be had"):
        archive.ask("tool")


@has_tools
def test_an_index_that_was_changed_after_signing_is_refused(archive):
    archive.publish(Deb(name="tool"))
    for name in ("Packages", "Packages.gz"):
        path = os.path.join(archive.root, "dists/bookworm/main/binary-amd64", name)
        with open(path, "ab") as file:
            file.write(b"\n")
    with pytest.raises(UnavailableError, match="cannot be had"):
        archive.ask("tool")


@has_tools
def test_the_next_mirror_is_asked_when_the_first_is_gone(archive):
    archive.publish(Deb(name="tool"))
    mirrors = Mirrors(
        debian=("file:///nonexistent/debian", f"file://{archive.root}"),
        keyring=archive.signer.keyring,
    )
    request = apt.AptRequest(packages=("tool",), platform=AMD64, suite="bookworm")
    assert names(apt.resolve(request, mirrors, archive.cache())) == ["tool=1.0-1"]


def test_without_the_archives_keys_nothing_is_fetched(tmp_path):
    with pytest.raises(UnavailableError, match="keys are missing"):
        open_index(
            str(tmp_path),
            Mirrors(debian=("http://example.invalid/debian",)),
            suite="bookworm",
            components=("main",),
            architecture="amd64",
        )


@pytest.mark.parametrize("suite", ["../x", "a b", "x]", "", "-x"])
def test_a_suite_that_is_no_word_is_refused(suite, tmp_path):
    with pytest.raises(IntegrityError):
        open_index(
            str(tmp_path),
            Mirrors(debian=("http://example.invalid",)),
            suite=suite,
            components=("main",),
            architecture="amd64",
        )


def test_the_flat_repository_describes_exactly_its_packages(tmp_path):
    deb = Deb(name="tool", version="2:1.5~rc1-1", depends="libx")
    path = tmp_path / "blob"
    path.write_bytes(deb.data)
    package = _pin(deb)
    folder = tmp_path / "repository"
    folder.mkdir()
    apt.write_flat_repository(str(folder), [(package, str(path))])
    fields = debian.paragraph((folder / "Packages").read_text())
    assert fields["Depends"] == "libx"
    assert fields["SHA256"] == package.file.digest.hex
    assert (folder / fields["Filename"]).read_bytes() == deb.data


def test_a_deb_that_is_another_package_than_its_pin_says_is_refused(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(Deb(name="evil").data)
    with pytest.raises(IntegrityError, match="evil"):
        apt.write_flat_repository(str(tmp_path), [(_pin(Deb(name="tool")), str(path))])


def test_the_install_script_quotes_every_word():
    script = apt.install_script([_pin(Deb(name="tool", version="1.0'; reboot"))])
    assert "'tool=1.0'\"'\"'; reboot'" in script


def _pin(deb: Deb):
    from ssds.core.digest import sha256_of
    from ssds.core.pins import PinnedFile, PinnedPackage

    return PinnedPackage(
        name=deb.name,
        version=deb.version,
        architecture=deb.architecture,
        file=PinnedFile(
            name=os.path.basename(deb.pool_path),
            digest=sha256_of(deb.data),
            size_bytes=len(deb.data),
            archive="debian",
            path=deb.pool_path,
        ),
    )


@pytest.mark.component("apt")
def test_the_real_archive_answers_for_both_architectures_and_the_hosts_apt_is_untouched(tmp_path):
    before = _apt_state()
    mirrors = machine_mirrors()
    suite = mirrors.suites[0]
    for text in ("linux/amd64", "linux/arm64"):
        platform = Platform(text)
        request = apt.AptRequest(packages=(), platform=platform, suite=suite)
        base = apt.resolve_base_packages(request, mirrors, str(tmp_path))
        found = apt.resolve(
            apt.AptRequest(
                packages=("samtools",), platform=platform, suite=suite, installed=(base,)
            ),
            mirrors,
            str(tmp_path),
        )
        assert {"libc6", "dpkg", "apt"} <= {p.name for p in base.packages}
        assert {p.architecture for p in found.packages} <= {platform.debian, "all"}
        assert "samtools" in {p.name for p in found.packages}
        assert not {p.name for p in found.packages} & {p.name for p in base.packages}
        assert all("://" not in p.file.path for p in (*base.packages, *found.packages))
    assert _apt_state() == before


def _apt_state() -> list[tuple[str, int, int]]:
    found = []
    for top in ("/var/lib/apt", "/var/cache/apt", "/etc/apt", "/var/lib/dpkg/status"):
        for folder, _, files in os.walk(top):
            for name in files:
                state = os.stat(os.path.join(folder, name))
                found.append((os.path.join(folder, name), state.st_size, state.st_mtime_ns))
    return sorted(found)
