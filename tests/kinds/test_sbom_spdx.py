"""The SBOM as SPDX 2.3; the SPDX project's own validator judges it."""

from __future__ import annotations

import json

import pytest
from package_databases import alpine_files, language_files
from sbom_images import Workshop, debian_layer, layer, target

from ssds.core.canonical import canonical_bytes
from ssds.core.errors import IntegrityError
from ssds.core.model import Input
from ssds.kinds.sbom import spec
from ssds.kinds.sbom.run import run
from ssds.kinds.sbom.spdx import spdx

SOFTWARE = {"name": "tool", "version": "1.0", "licenses": ["MIT", "GPL-2.0-only OR BSD-3-Clause"]}


def sbom(folder, *layers):
    workshop = Workshop(str(folder))
    config = workshop.image(*layers)
    node = spec.node(target(), SOFTWARE, Input(role="config", digest=config))
    outcome = run(workshop.bench(node, {"config": config}))
    return workshop.store.blobs.read(outcome.outputs["sbom"])


@pytest.mark.parametrize(
    "files", [debian_layer(), layer({**alpine_files(), **language_files()}), layer({"a": "x"})],
    ids=["debian", "alpine", "empty"],
)  # fmt: skip
def test_the_spdx_project_finds_no_fault(tmp_path, files):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    path = tmp_path / "sbom.spdx.json"
    path.write_bytes(canonical_bytes(spdx(sbom(tmp_path, files))))

    assert validate_full_spdx_document(parse_file(str(path))) == []


def test_every_component_is_a_package_with_purl_source_and_licence(tmp_path):
    data = sbom(tmp_path, debian_layer())
    document = spdx(data)

    packages = {p["name"]: p for p in document["packages"]}
    components = json.loads(data)["components"]
    assert len(document["packages"]) == len(components) + 1
    assert packages["libssl3"]["sourceInfo"] == "built from openssl 3.0.15-1~deb12u1"
    purls = {r["referenceLocator"] for p in packages.values() for r in p.get("externalRefs", ())}
    assert purls == {c["purl"] for c in components if "purl" in c}
    assert packages["joblib"]["licenseDeclared"] == "BSD-3-Clause"
    contained = [r for r in document["relationships"] if r["relationshipType"] == "CONTAINS"]
    assert len(contained) == len(components)


def test_a_licence_that_is_no_expression_keeps_its_text(tmp_path):
    files = language_files()
    document = spdx(sbom(tmp_path, layer(files)))

    (rcpp,) = [p for p in document["packages"] if p["name"] == "Rcpp"]
    texts = {e["licenseId"]: e["extractedText"] for e in document["hasExtractedLicensingInfos"]}
    assert texts[rcpp["licenseDeclared"]] == "GPL (>= 2)"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"metadata": {}}', b"[" * 9999])
def test_what_is_no_sbom_is_refused(data):
    with pytest.raises(IntegrityError):
        spdx(data)
