"""The 21 rules for an OCI image on CVMFS, by number, on images that were deployed.

``docs/explanation/images-on-cvmfs.md`` says each rule and why.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from ship_makers import image, release, script, site, small_tar

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, SsdsError
from ssds.lock.model import LayerRecord, ReleaseHalf
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.compress import decompress
from ssds.ship.deploy import DeployReport, deploy
from ssds.ship.images import image_problems
from ssds.ship.published import catalog_folders
from ssds.ship.tree import marker_path

TOOL = {"usr/bin/tool": script("echo one")}
Files = Mapping[str, bytes | str | tarfile.TarInfo]


class Deployed:
    """One image as it stands in a tree."""

    def __init__(self, folder: str, half: ReleaseHalf, blobs: Blobs) -> None:
        lock = release(blobs, half)
        self.tree = f"{folder}/tree"
        self.image = half.config.digest
        self.report: DeployReport = deploy(site(), [lock], blobs, self.tree)
        self.root = f"{self.tree}/.flat/{self.image.hex[:2]}/{self.image.hex}"
        assert image_problems(self.tree, self.image) == []

    def bytes_of(self, path: str) -> bytes:
        with open(f"{self.root}/{path}", "rb") as file:
            return file.read()

    def has(self, path: str) -> bool:
        return os.path.lexists(f"{self.root}/{path}")

    def mode(self, path: str) -> int:
        return os.lstat(f"{self.root}/{path}").st_mode & 0o7777

    def notes(self) -> dict[str, str]:
        return {path: text for _, path, text in self.report.notes}


class Maker:
    """Deploys images from layers that are given as files."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.blobs = Blobs(f"{folder}/blobs")

    def half(self, *layers: bytes) -> ReleaseHalf:
        return image(self.blobs, [small_tar(TOOL), *layers], ["tool"], {"PATH": "/usr/bin"})

    def __call__(self, *layers: Files | bytes) -> Deployed:
        tars = [layer if isinstance(layer, bytes) else small_tar(layer) for layer in layers]
        return Deployed(self.folder, self.half(*tars), self.blobs)

    def replaced(self, half: ReleaseHalf, number: int, blob: bytes, kind: str) -> ReleaseHalf:
        """The half with another compressed form of one layer."""
        digest = self.blobs.put(blob)
        layers = list(half.layers)
        layers[number] = LayerRecord(
            digest=digest, size_bytes=len(blob), diff_id=layers[number].diff_id
        )
        old = types.parse_manifest(self.blobs.read(half.manifest.digest))
        named = list(old.layers)
        named[number] = types.Descriptor(media_type=kind, digest=digest, size_bytes=len(blob))
        data = types.manifest_bytes(config=old.config, layers=named)
        self.blobs.put(data)
        manifest = replace(half.manifest, digest=sha256_of(data), size_bytes=len(data))
        return replace(half, layers=tuple(layers), manifest=manifest)


@pytest.fixture
def make(tmp_path: object) -> Maker:
    return Maker(str(tmp_path))


def info(name: str, kind: bytes, link: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def hard(name: str, target: str) -> dict[str, tarfile.TarInfo]:
    return {name: info(name, tarfile.LNKTYPE, target)}


def test_rule_01_a_layer_is_checked_by_blob_digest_and_by_diff_id(make: Maker) -> None:
    half = make.half(small_tar({"a": b"right"}))
    wrong = gzip.compress(small_tar({"a": b"wrong"}), 1, mtime=0)
    with pytest.raises(IntegrityError, match="unpacks to"):
        Deployed(make.folder, make.replaced(half, 1, wrong, types.LAYER_GZIP), make.blobs)
    assert not os.path.exists(f"{make.folder}/tree/sites")


def test_rule_02_layers_are_applied_base_first_and_a_missing_one_is_an_error(make: Maker) -> None:
    assert make({"x": b"lower"}, {"x": b"upper"}).bytes_of("x") == b"upper"
    half = make.half(small_tar({"y": b"1"}))
    make.blobs.remove(half.layers[1].digest)
    with pytest.raises(SsdsError, match="not here"):
        Deployed(make.folder, half, make.blobs)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(
            "zstd", marks=pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")
        ),
        "tar",
    ],
)
def test_rule_03_layers_are_uncompressed_by_media_type(make: Maker, form: str) -> None:
    tar = small_tar({"x": b"by type"})
    half = make.half(tar)
    kinds = {"zstd": types.LAYER_ZSTD, "tar": types.LAYER}
    blob = (
        tar
        if form == "tar"
        else subprocess.run(["zstd", "-qc"], input=tar, capture_output=True, check=True).stdout
    )
    made = Deployed(make.folder, make.replaced(half, 1, blob, kinds[form]), make.blobs)
    assert made.bytes_of("x") == b"by type"


def test_rule_04_a_whiteout_hides_lower_layers_only(make: Maker) -> None:
    made = make({"d/a": b"1", "d/b": b"1"}, {"d/b": b"2", "d/.wh.a": b"", "d/.wh.b": b""})
    assert (made.has("d/a"), made.bytes_of("d/b")) == (False, b"2")
    assert not made.has("d/.wh.a")


def test_rule_05_an_opaque_mark_hides_all_lower_children_wherever_it_stands(make: Maker) -> None:
    made = make({"d/a": b"1"}, {"d/new": b"2", "d/.wh..wh..opq": b""})
    assert sorted(os.listdir(f"{made.root}/d")) == ["new"]


def test_rule_06_marks_of_other_storage_drivers_are_ignored(make: Maker) -> None:
    made = make({"d/plnk": b"1"}, {"d/.wh..wh.plnk": b"", ".wh..wh.aufs": b""})
    assert made.bytes_of("d/plnk") == b"1"
    assert not made.has("d/.wh..wh.plnk")


def test_rule_07_a_change_of_type_replaces_the_whole_subtree(make: Maker) -> None:
    made = make({"d/a": b"1", "f": b"1", "l": "x"}, {"d": b"now a file", "f/a": b"2", "l": "y"})
    assert (made.bytes_of("d"), made.bytes_of("f/a")) == (b"now a file", b"2")
    assert os.readlink(f"{made.root}/l") == "y"


def test_rule_08_links_are_followed_inside_the_image_and_escapes_refused(make: Maker) -> None:
    made = make({"usr/lib/x": b"1", "lib": "usr/lib", "up": "/../../usr"}, {"lib/y": b"2"})
    assert made.bytes_of("usr/lib/y") == b"2"
    assert os.readlink(f"{made.root}/lib") == "usr/lib"
    with pytest.raises(IntegrityError):
        make({"../escape": b"x"})


def test_rule_09_a_hard_link_may_name_a_file_of_an_earlier_layer(make: Maker) -> None:
    made = make({"a": b"content"}, hard("b", "a"))
    assert made.bytes_of("b") == b"content"
    with pytest.raises(IntegrityError, match="does not exist"):
        make(hard("b", "nowhere"))


def test_rule_10_a_hard_link_keeps_the_content_that_it_named(make: Maker) -> None:
    made = make({"a": b"old"}, hard("b", "a"), {"a": b"new"}, {".wh.a": b""})
    assert (made.has("a"), made.bytes_of("b")) == (False, b"old")


def test_rule_11_devices_fifos_and_sockets_are_left_out_and_reported(make: Maker) -> None:
    odd = {n: info(n, k) for n, k in (("dev/x", tarfile.CHRTYPE), ("run/f", tarfile.FIFOTYPE))}
    made = make(odd)
    assert set(made.notes()) == {"dev/x", "run/f"}
    assert not made.has("dev/x")


def test_rule_12_setuid_setgid_and_sticky_go(make: Maker) -> None:
    names = {"su": 0o4755, "sg": 0o2755}
    made = make({n: info(n, tarfile.REGTYPE, mode=m) for n, m in names.items()})
    assert [made.mode(name) for name in ("su", "sg", "tmp")] == [0o755] * 3


def test_rule_13_everybody_may_read_what_is_no_secret(make: Maker) -> None:
    modes = {"opt/conda/x": 0o700, "data": 0o600, "etc/shadow": 0o640, "etc/gshadow": 0o644}
    closed = info("closed", tarfile.DIRTYPE, mode=0o700)
    made = make(
        {"closed": closed, **{n: info(n, tarfile.REGTYPE, mode=m) for n, m in modes.items()}}
    )
    assert [made.mode(n) for n in ("opt/conda/x", "data", "closed")] == [0o755, 0o644, 0o755]
    assert [made.mode(n) for n in ("etc/shadow", "etc/gshadow")] == [0o600, 0o600]


def test_rule_13_a_hard_link_to_a_secret_is_as_secret_and_its_tree_is_whole(make: Maker) -> None:
    link = info("a/plain", tarfile.LNKTYPE)
    link.linkname = "etc/shadow"
    made = make({"etc/shadow": b"secret", "a/plain": link, "other": b"x"})
    assert [made.mode(n) for n in ("a/plain", "etc/shadow", "other")] == [0o700, 0o700, 0o755]


def test_an_image_of_too_many_folders_for_a_marker_is_whole_and_a_change_is_seen(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssds.ship.images.MARKER_LIMIT_BYTES", 20_000)
    made = make({f"{number:0100}/x": b"" for number in range(200)})
    assert os.path.getsize(f"{made.tree}/{marker_path(made.image)}") < 20_000
    os.unlink(f"{made.root}/{0:0100}/x")
    (problem,) = image_problems(made.tree, made.image)
    assert "not as it was deployed (" in problem


def test_rule_14_and_15_owners_and_attributes_are_not_kept(make: Maker) -> None:
    made_info = info("x", tarfile.REGTYPE)
    made_info.uid, made_info.gid = 4711, 4712
    made_info.pax_headers = {"SCHILY.xattr.trusted.overlay.opaque": "y"}
    made = make({"x": made_info})
    status = os.stat(f"{made.root}/x")
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.stat(made.tree).st_gid)
    assert os.listxattr(f"{made.root}/x") == []


@pytest.mark.parametrize(("given", "wanted"), [(-5, 0), (1 << 40, 1 << 32), (1700000000,) * 2])
def test_rule_16_times_are_kept_within_bounds(make: Maker, given: int, wanted: int) -> None:
    timed = info("x", tarfile.REGTYPE)
    timed.mtime = given
    made = make({"x": timed})
    assert os.stat(f"{made.root}/x").st_mtime == wanted


def test_rule_17_names_that_cvmfs_reads_as_its_own_are_left_out_and_reported(make: Maker) -> None:
    names = (
        ".cvmfscatalog",
        "d/.cvmfscatalog",
        ".cvmfsdirtab",
        ".cvmfsautocatalog",
        ".cvmfsgraft-x",
    )
    made = make({**dict.fromkeys(names, b"x"), "l/.cvmfscatalog": "/etc", "d/mine": b"1"})
    assert set(made.notes()) == {*names, "l/.cvmfscatalog"}
    assert made.bytes_of(".cvmfscatalog") == b""
    assert not made.has("d/.cvmfscatalog")
    assert not os.path.islink(f"{made.root}/l/.cvmfscatalog")


def test_rule_18_case_long_names_and_strange_bytes_survive_and_variables_are_reported(
    make: Maker,
) -> None:
    long = "n" * 255
    names = ["Case", "case", long, "\udcff\udcfe", "new\nline", f"{'d/' * 60}deep"]
    made = make(
        {**{name: name.encode("utf-8", "surrogateescape") for name in names}, "v": "$(X)/y"}
    )
    for name in names:
        assert made.bytes_of(name) == name.encode("utf-8", "surrogateescape")
    assert "expands" in made.notes()["v"]


def test_rule_19_files_above_the_default_limit_are_reported(make: Maker) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        sparse = tarfile.TarInfo("large")
        sparse.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "large",
            "GNU.sparse.realsize": str(1 << 31),
        }
        body = b"0\n".ljust(512, b"\0")
        sparse.size = len(body)
        tar.addfile(sparse, io.BytesIO(body))
    made = make(out.getvalue())
    assert "1 GiB" in made.notes()["large"]
    assert os.stat(f"{made.root}/large").st_size == 1 << 31


def test_rule_20_double_entries_and_the_empty_layer(make: Maker) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for data in (b"first", b"last"):
            member = tarfile.TarInfo("x")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert make(out.getvalue(), bytes(1024)).bytes_of("x") == b"last"


def test_rule_21_bind_points_and_runtime_files_are_there_and_the_images_hosts_stay(
    make: Maker,
) -> None:
    made = make({"etc/hosts": b"10.0.0.1 mine\n"})
    folders = ("dev", "proc", "root", "var/tmp", "tmp", "etc", "sys", "home")
    assert all(os.path.isdir(f"{made.root}/{name}") for name in folders)
    assert (made.bytes_of("etc/hosts"), made.bytes_of("etc/resolv.conf")) == (
        b"10.0.0.1 mine\n",
        b"",
    )
    links = {
        name: os.readlink(f"{made.root}/{name}") for name in (".exec", ".run", ".shell", ".test")
    }
    assert links == {
        f".{n}": f".singularity.d/actions/{n}" for n in ("exec", "run", "shell", "test")
    }
    assert os.readlink(f"{made.root}/environment") == ".singularity.d/env/90-environment.sh"
    assert os.readlink(f"{made.root}/singularity") == ".singularity.d/runscript"
    for name in ("runscript", "startscript", "actions/start", "env/10-docker2singularity.sh"):
        assert made.mode(f".singularity.d/{name}") == 0o755


def test_the_environment_is_quoted_once(make: Maker) -> None:
    value = 'it\'s "quoted" \\ $HOME `x` $(y)'
    half = image(make.blobs, [small_tar(TOOL)], ["tool"], {"PATH": "/usr/bin", "V": value})
    made = Deployed(make.folder, half, make.blobs)
    text = made.bytes_of(".singularity.d/env/10-docker2singularity.sh").decode()
    shell = f'. "{made.root}/.singularity.d/env/10-docker2singularity.sh"; printf %s "$V"'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, check=True)
    assert done.stdout.decode() == value, text


# -- nested catalogs -------------------------------------------------------------------------------


def test_an_image_is_one_catalog_below_the_bucket_s(make: Maker) -> None:
    made = make({"d/x": b"1"})
    for folder in (".flat", f".flat/{made.image.hex[:2]}", os.path.relpath(made.root, made.tree)):
        assert os.path.isfile(f"{made.tree}/{folder}/.cvmfscatalog")


def tree_with(folder: str, files: Sequence[str]) -> list[str]:
    from ssds.oci.flatten import flatten

    path = f"{folder}/layer.tar"
    with open(path, "wb") as file:
        file.write(small_tar(dict.fromkeys(files, b"")))
    return catalog_folders(flatten([path]), limit=100, least=20)


def test_large_subtrees_are_split_and_small_ones_never(tmp_path: object) -> None:
    files = [f"opt/conda/pkgs/{n}/{m}" for n in range(3) for m in range(60)]
    files += [f"usr/share/{n}/x" for n in range(5)]
    folders = tree_with(str(tmp_path), files)
    assert folders[0] == ""
    assert len(folders) > 1
    assert all(folder.startswith("opt/conda/pkgs/") for folder in folders[1:])
    assert tree_with(str(tmp_path), list(reversed(files))) == folders


def test_a_flat_folder_that_cannot_be_split_stays_whole(tmp_path: object) -> None:
    assert tree_with(str(tmp_path), [f"d/{n}" for n in range(300)]) == ["", "d"]


def test_more_entries_than_the_limit_are_refused_by_name_and_nothing_stands(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssds.oci.tarindex.ENTRY_LIMIT", 50)
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    half = image(blobs, [small_tar({f"f{number}": b"" for number in range(60)})], ["f1"], {})
    with pytest.raises(IntegrityError, match="more than 50 entries") as caught:
        deploy(site(), [release(blobs, half)], blobs, tree)
    assert caught.value.code == "O033"
    assert not os.path.lexists(f"{tree}/sites/example")
    left = [name for _, folders, files in os.walk(tree) for name in (*folders, *files)]
    assert not any(len(name) >= 64 or name.startswith(".ssds-tmp") for name in left)


def test_a_bomb_is_refused_by_name_and_nothing_stands(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = functools.partial(decompress, limit_bytes=1_000_000)
    monkeypatch.setattr("ssds.ship.images.decompress", small)
    blobs, tree = Blobs(f"{in_memory}/blobs"), f"{in_memory}/tree"
    half = image(blobs, [small_tar({"usr/bin/tool": b"\0" * 5_000_000})], ["tool"], {})
    assert half.layers[0].size_bytes < 50_000
    with pytest.raises(IntegrityError) as caught:
        deploy(site(), [release(blobs, half)], blobs, tree)
    assert caught.value.code == "O022"
    left = [os.path.join(b, name) for b, _, files in os.walk(tree) for name in files]
    assert sum(os.path.getsize(path) for path in left) < 100_000
