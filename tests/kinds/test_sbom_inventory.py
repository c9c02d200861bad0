"""What the SBOM says of an image, and that it is CycloneDX by the standard's own schema."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from sbom_images import LINKS, Workshop, debian_files, debian_layer, layer, target

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError
from ssds.core.model import Input
from ssds.core.platform import Platform
from ssds.kinds.sbom import spec
from ssds.kinds.sbom.document import Subject, document
from ssds.kinds.sbom.inventory import Distribution, Inventory, take
from ssds.kinds.sbom.package import Package
from ssds.kinds.sbom.run import run
from ssds.kinds.scan.components import read_packages, read_sbom
from ssds.oci.flatten import flatten
from ssds.oci.types import parse_config
from ssds.recipe.steps import CopyStep, RunStep, SourceRequest

SOFTWARE = {
    "name": "tool",
    "version": "1.0",
    "licenses": ["MIT", "GPL-2.0-only OR BSD-3-Clause"],
    "homepage": "https://example.org/tool",
    "identifiers": {"biotools": "tool"},
}
SHA = sha256_of(b"source")


@pytest.fixture
def workshop(tmp_path):
    return Workshop(str(tmp_path))


def make(workshop, *layers, software=SOFTWARE, **more):
    config = workshop.image(*layers)
    node = spec.node(target(**more), software, Input(role="config", digest=config))
    return run(workshop.bench(node, {"config": config}))


def by_name(sbom):
    return {c["name"]: c for c in sbom["components"]}


def properties(component):
    return {p["name"]: p["value"] for p in component["properties"]}


def test_the_sbom_passes_the_strict_schema_of_cyclonedx(workshop):
    outcome = make(workshop, debian_layer())
    text = workshop.store.blobs.read(outcome.outputs["sbom"]).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert outcome.verdict == ""


def test_an_image_without_any_database_still_has_a_valid_sbom(workshop):
    outcome = make(workshop, layer({"a": "x"}), software={})
    text = workshop.store.blobs.read(outcome.outputs["sbom"]).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.loads(text)["components"] == []


def test_debian_packages_carry_source_name_and_source_version_twice(workshop):
    sbom = workshop.json(make(workshop, debian_layer()).outputs["sbom"])
    package = by_name(sbom)["postgresql"]
    assert package["purl"] == (
        "pkg:deb/debian/postgresql@15%2B248?arch=all&distro=debian-12&upstream=postgresql-common%40248"
    )
    assert properties(package)["aquasecurity:trivy:SrcName"] == "postgresql-common"
    assert properties(package)["aquasecurity:trivy:SrcVersion"] == "248"
    assert "upstream=openssl" in by_name(sbom)["libssl3"]["purl"]


def test_removed_packages_are_not_in_the_sbom(workshop):
    sbom = workshop.json(make(workshop, debian_layer()).outputs["sbom"])
    assert "gone" not in by_name(sbom)


def test_the_operating_system_and_the_image_are_named(workshop):
    sbom = workshop.json(make(workshop, debian_layer()).outputs["sbom"])
    system = by_name(sbom)["debian"]
    assert (system["type"], system["version"]) == ("operating-system", "12")
    image = sbom["metadata"]["component"]
    assert (image["type"], image["name"], image["version"]) == ("container", "tool", "1.0")
    assert sbom["metadata"]["timestamp"] == "2026-01-01T00:00:00Z"


def test_a_language_package_of_a_distribution_package_names_its_owner(workshop):
    sbom = workshop.json(make(workshop, debian_layer()).outputs["sbom"])
    assert properties(by_name(sbom)["urllib3"])["ssds:owned-by"] == "python3-urllib3"
    joblib = by_name(sbom)["joblib"]
    assert "ssds:owned-by" not in properties(joblib)
    assert joblib["licenses"] == [{"expression": "BSD-3-Clause"}]


def test_conda_packages_are_found_without_their_channel_host(workshop):
    sbom = workshop.json(make(workshop, debian_layer()).outputs["sbom"])
    zlib = by_name(sbom)["zlib"]
    assert zlib["purl"] == ("pkg:conda/zlib@1.2.13?build=h_0&channel=conda-forge&subdir=linux-64")


def test_the_recipes_own_software_is_declared_with_its_sources(workshop):
    sources = {
        "archive": SourceRequest(name="archive", url="https://example.org/x", sha256=SHA),
        "data": SourceRequest(name="data", url="https://example.org/y", sha256=SHA),
    }
    steps = (RunStep(address="build[0]", script="make", sources=("archive",)),)
    sbom = workshop.json(
        make(workshop, debian_layer(), sources=sources, steps=steps).outputs["sbom"]
    )
    tool = by_name(sbom)["tool"]
    assert tool["purl"].startswith("pkg:generic/tool@1.0?checksum=sha256:")
    assert tool["licenses"] == [{"expression": "MIT AND (GPL-2.0-only OR BSD-3-Clause)"}]
    assert properties(tool)["ssds:source:archive:sha256"] == SHA.hex
    assert "ssds:source:data:sha256" not in properties(tool)


def test_files_that_no_package_knows_are_counted(tmp_path):
    path = tmp_path / "layer.tar"
    path.write_bytes(debian_layer())
    found = take(flatten([str(path)]))
    # the link /lib, libssl.so.3 through it, urllib3's source, its bytecode and its metadata
    assert found.owned == {"deb": 5, "pypi": 4, "conda": 1}
    files = len([p for p in (*debian_files(), *LINKS) if not p.startswith("var/lib/dpkg")])
    assert found.files == files
    assert found.unowned == files - 10


def test_a_file_that_an_upper_layer_removed_is_not_counted_nor_its_package(tmp_path):
    lower, upper = tmp_path / "lower.tar", tmp_path / "upper.tar"
    lower.write_bytes(debian_layer())
    upper.write_bytes(
        layer({"usr/local/lib/python3.11/site-packages/.wh.joblib-1.1.0.dist-info": ""})
    )
    names = {p.name for p in take(flatten([str(lower), str(upper)])).packages}
    assert "joblib" not in names
    assert "libssl3" in names


def test_the_same_image_gives_the_same_bytes_anywhere(tmp_path):
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        digests.add(make(Workshop(str(tmp_path / name)), debian_layer()).outputs["sbom"])
    assert len(digests) == 1


def test_another_image_has_another_serial_number(workshop):
    one = workshop.json(make(workshop, debian_layer()).outputs["sbom"])
    two = workshop.json(make(workshop, debian_layer(), layer({"b": "x"})).outputs["sbom"])
    assert one["serialNumber"] != two["serialNumber"]


def test_packages_of_distroless_images_are_found(tmp_path):
    path = tmp_path / "layer.tar"
    record = "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n"
    path.write_bytes(
        layer(
            {
                "var/lib/dpkg/status.d/tzdata": record,
                "var/lib/dpkg/status.d/tzdata.md5sums": "0123  usr/share/zoneinfo/UTC\n",
                "usr/share/zoneinfo/UTC": "x",
            }
        )
    )
    found = take(flatten([str(path)]))
    assert [(p.name, p.source_version) for p in found.packages] == [("tzdata", "2024a-0+deb12u1")]
    assert found.owned == {"deb": 1}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("x/a-1.dist-info/METADATA", "Name: ../../etc\nVersion: 1\n"),
        ("x/a-1.dist-info/METADATA", "Name: a\n\nVersion: 1\n"),
        ("x/a-1.dist-info/METADATA", b"\xff\xfe\x00"),
        ("x/a.egg-info/PKG-INFO", "Name: a\nVersion: 1 2\n"),
        ("x/conda-meta/a.json", '{"name": "a"'),
        ("x/conda-meta/a.json", '{"name": "a", "name": "b", "version": "1"}'),
        ("x/conda-meta/a.json", "[" * 100_000),
        ("x/conda-meta/a.json", '{"name": 1, "version": "1"}'),
        ("x/conda-meta/a.json", '{"name": "a", "version": "1", "files": [1]}'),
    ],
)
def test_a_hostile_language_record_is_reported_and_harms_nothing(tmp_path, path, content):
    tar = tmp_path / "layer.tar"
    tar.write_bytes(layer({path: content}))
    found = take(flatten([str(tar)]))
    assert found.packages == ()
    assert found.unreadable == (path,)


@pytest.mark.parametrize(
    ("path", "system"),
    [("var/lib/rpm/Packages", "rpm"), ("var/lib/pacman/local/a-1/desc", "pacman")],
)
def test_a_database_that_cannot_be_read_is_not_passed_over(workshop, path, system):
    outcome = make(workshop, layer({path: "x"}))
    contents = read_sbom(workshop.store.blobs.read(outcome.outputs["sbom"]))
    assert contents.unread == (system,)
    text = workshop.store.blobs.read(outcome.outputs["sbom"]).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize(
    "status", ["Package: a\nPackage: b\n", "no field at all\n", " continuation first\n"]
)
def test_a_damaged_package_database_is_an_error(workshop, status):
    with pytest.raises(IntegrityError, match="package database /var/lib/dpkg/status") as caught:
        make(workshop, layer({"var/lib/dpkg/status": status}))
    assert caught.value.code == "V005"
    assert caught.value.hint


def test_a_record_that_is_a_link_out_of_the_image_reads_nothing(tmp_path):
    tar = tmp_path / "layer.tar"
    tar.write_bytes(
        layer(
            {"a": "x"},
            links={
                "var/lib/dpkg/status": "../../../../../../../../var/lib/dpkg/status",
                "etc/os-release": "/etc/os-release",
            },
        )
    )
    with pytest.raises(IntegrityError, match="links"):
        take(flatten([str(tar)]))


def test_names_that_are_not_utf8_are_written_as_escapes(workshop):
    site = "opt/\udcff/site-packages/a-1.dist-info/METADATA"
    sbom = workshop.json(make(workshop, layer({site: "Name: a\nVersion: 1\n"})).outputs["sbom"])
    place = by_name(sbom)["a"]["evidence"]["occurrences"][0]["location"]
    assert place == "/opt/\\xff/site-packages/a-1.dist-info/METADATA"


def test_an_image_for_another_platform_is_refused(workshop):
    config = workshop.image(layer({"a": "x"}), platform=Platform("linux/arm64"))
    node = spec.node(target(), {}, Input(role="config", digest=config))
    with pytest.raises(IntegrityError, match="linux/arm64"):
        run(workshop.bench(node, {"config": config}))


def test_the_matcher_reads_back_what_the_inventory_wrote(workshop):
    outcome = make(workshop, debian_layer())
    packages = {
        p.name: p for p in read_packages(workshop.store.blobs.read(outcome.outputs["sbom"]))
    }
    ssl = packages["libssl3"]
    assert (ssl.ecosystem, ssl.source, ssl.source_version) == (
        "Debian:12",
        "openssl",
        "3.0.15-1~deb12u1",
    )
    assert packages["postgresql"].source_version == "248"
    assert packages["urllib3"].owner == "python3-urllib3"
    assert packages["zlib"].ecosystem == ""


def test_the_order_of_commands_and_test_data_are_in_no_key():
    sources = {"data": SourceRequest(name="data", sha256=SHA, url="https://example.org/y")}
    config = Input(role="config", digest=SHA)
    one = spec.node(target(commands=("b", "a"), sources=sources), SOFTWARE, config)
    two = spec.node(target(commands=("a", "b")), {**SOFTWARE, "summary": "x"}, config)
    assert one.slice == two.slice


def test_a_copied_source_is_part_of_the_software():
    sources = {"a": SourceRequest(name="a", deb_src="tool/1.0-1")}
    node = spec.node(
        target(sources=sources, steps=(CopyStep(address="build[0]", to="/opt/", source="a"),)),
        SOFTWARE,
        Input(role="config", digest=SHA),
    )
    assert node.slice["sources"] == [{"name": "a", "deb_src": "tool/1.0-1"}]


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,20}", fullmatch=True)
VERSIONS = st.from_regex(
    r"(?:[0-9]:)?[0-9][A-Za-z0-9.+~]{0,12}(?:-[A-Za-z0-9.+~]{1,6})?", fullmatch=True
)


@given(st.lists(st.tuples(NAMES, VERSIONS, NAMES, VERSIONS), max_size=6, unique_by=lambda t: t[0]))
def test_every_package_survives_the_way_through_the_sbom(rows):
    packages = [
        Package(type="deb", name=n, version=v, architecture="amd64", source=s, source_version=w)
        for n, v, s, w in rows
    ]
    inventory = Inventory(
        distribution=Distribution(id="debian", version="12"), packages=tuple(packages), files=0
    )
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    node = spec.node(target(), SOFTWARE, Input(role="config", digest=SHA))
    subject = Subject(digest=SHA, config=parse_config(config), slice=node.slice)
    found = read_packages(canonical_bytes(document(inventory, subject)))
    assert sorted(
        (p.name, p.version, p.source, p.source_version) for p in found if p.ecosystem
    ) == (sorted(rows))
