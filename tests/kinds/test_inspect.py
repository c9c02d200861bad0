"""What an image should not hold is found in its layers, and a policy may hold a release for it."""

from __future__ import annotations

import datetime as dt
import io
import json
import tarfile
import time

import pytest
from sbom_images import Workshop, target

from ssds.core.model import Input
from ssds.kinds.gate import spec as gate_spec
from ssds.kinds.gate.findings import read_inspection
from ssds.kinds.gate.run import run as run_gate
from ssds.kinds.inspect import run, spec
from ssds.kinds.inspect.image import inspect
from ssds.kinds.inspect.secrets import FILE_LIMIT_BYTES, in_config, in_layers
from ssds.oci.flatten import flatten
from ssds.recipe.model import Policy, Waiver

DAY = dt.date(2026, 11, 27)
ARMOUR = "-----BEGIN {} KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END {} KEY-----\n"
KEY = ARMOUR.format("RSA PRIVATE", "RSA PRIVATE")
SECRETS = {
    "root/.ssh/id_ed25519": KEY,
    "etc/ssl/private/server.key": KEY,
    "root/.netrc": "machine example.org login me password hunter2hunter2\n",
    "home/me/.git-credentials": "https://me:hunter2@git.example.org\n",
    "root/.pypirc": "[pypi]\nusername = __token__\npassword = hunter2hunter2\n",
    "root/.docker/config.json": '{"auths": {"r.example.org": {"auth": "bWU6aHVudGVyMg=="}}}',
    "root/.aws/credentials": "[default]\naws_secret_access_key = " + "a" * 40,
    "root/.kube/config": "users:\n- user:\n    client-key-data: " + "Q" * 40,
    "opt/app/.env": "DB_PASSWORD=correcthorsebattery\n",
    "root/.bash_history": "git clone https://ghp_" + "a1" * 18 + "@example.org\n",
    "etc/job.conf": "token: glpat-" + "x" * 24,
    "root/.npmrc": "//r.example.org/:_authToken=abcdef0123456789",
}
HARMLESS = {
    "etc/ssl/certs/ca.pem": "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n",
    "root/.ssh/id_ed25519.pub": "ssh-ed25519 AAAA me\n",
    "etc/ssl/locked.key": ARMOUR.format("ENCRYPTED PRIVATE", "ENCRYPTED PRIVATE"),
    "etc/old.key": KEY.replace("\nMII", "\nProc-Type: 4,ENCRYPTED\nMII"),
    "root/.netrc.example": "machine example.org login me password\n",
    "opt/app/.env": "DB_PASSWORD=$DB_PASSWORD\nSECRET_KEY=changeme1234\nDEBUG=1\n",
    "opt/app/other.env": "PASSWORD_FILE=/run/secret\n",
    "root/.docker/config.json": '{"auths": {}, "credsStore": "pass"}',
    "root/.condarc": "channels: [https://conda.example.org/forge]\n",
    "usr/lib/python3/ssl.py": "BEGIN = '-----BEGIN RSA PRIVATE KEY-----'\n",
    "etc/pip.conf": "[global]\nindex-url = https://example.org/simple\n",
}


def tar(path, files, modes=None, owners=None, xattrs=None):
    """Writes a layer; a name that ends with ``/`` is a folder."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode = (modes or {}).get(name, 0o755 if name.endswith("/") else 0o644)
            info.uid = (owners or {}).get(name, 0)
            if xattrs and name in xattrs:
                info.pax_headers = {f"SCHILY.xattr.{k}": v for k, v in xattrs[name].items()}
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
    return str(path)


def remarks(*layers, environment=None):
    return [
        (r.rule, r.severity, r.path, r.layer) for r in inspect(flatten(layers), environment or {})
    ]


def test_each_form_of_a_secret_is_found_and_never_shown(tmp_path):
    found = list(in_layers([tar(tmp_path / "a", SECRETS)]))
    assert {r.path for r in found} == {f"/{name}" for name in SECRETS}
    assert {r.severity for r in found} == {"critical"}
    assert not [r for r in found if "hunter2" in r.sentence or "correcthorse" in r.sentence]


def test_what_only_looks_like_a_secret_is_none(tmp_path):
    assert list(in_layers([tar(tmp_path / "a", HARMLESS)])) == []


@pytest.mark.parametrize(
    ("name", "filling"),
    [
        ("opt/a.env", "\n"),
        ("root/.git-credentials", "http://a:"),
        ("root/.pypirc", "\n"),
        ("root/.my.cnf", " \n"),
        ("root/.condarc", "http://a:"),
        ("etc/pip.conf", "http://a:"),
        ("root/.pgpass", "a:\n"),
    ],
    ids=lambda text: repr(text),
)
def test_a_hostile_file_takes_no_longer_than_any_other(tmp_path, name, filling):
    text = (filling * FILE_LIMIT_BYTES)[:FILE_LIMIT_BYTES]
    layer = tar(tmp_path / "a", {name: text})
    began = time.process_time()  # in square time each takes more than five seconds
    assert list(in_layers([layer])) == []
    assert time.process_time() - began < 2


def test_a_secret_that_a_later_layer_removes_is_still_shipped(tmp_path):
    lower = tar(tmp_path / "a", {"root/.netrc": SECRETS["root/.netrc"]})
    upper = tar(tmp_path / "b", {"root/.wh..netrc": ""})
    assert remarks(lower, upper) == [("secret", "critical", "/root/.netrc", 1)]


def test_the_keys_of_a_packages_tests_are_negligible(tmp_path):
    place = "usr/lib/python3/site-packages/tornado/test/test.key"
    assert remarks(tar(tmp_path / "a", {place: KEY})) == [("secret", "negligible", f"/{place}", 1)]


@pytest.mark.parametrize(
    "place",
    ["home/test/.ssh/id_rsa", "root/docs/server.key", "etc/test/server.key", "opt/tests/prod.key"],
)
def test_a_key_is_of_a_test_only_below_a_package(tmp_path, place):
    assert remarks(tar(tmp_path / "a", {place: KEY})) == [("secret", "critical", f"/{place}", 1)]


@pytest.mark.parametrize(
    ("place", "like"),
    [
        ("home/demo/.aws/credentials", "root/.aws/credentials"),
        ("opt/tool/docs/.netrc", "root/.netrc"),
        ("opt/tool/tests/prod.env", "opt/app/.env"),
        ("opt/tool/tests/job.conf", "etc/job.conf"),
    ],
)
def test_a_password_or_token_is_of_no_test_by_its_place(tmp_path, place, like):
    files = {place: SECRETS[like], "opt/tool/tests/both.txt": KEY + SECRETS["etc/job.conf"]}
    found = inspect(flatten([tar(tmp_path / "a", files)]), {})
    assert [r.severity for r in found] == ["critical", "critical"]
    assert "a GitLab token" in {r.what for r in found}


def test_a_secret_in_the_images_environment_is_found():
    found = in_config({"API_TOKEN": "0123456789", "PATH": "/bin", "TOKEN": "", "SECRET_FILE": "/x"})
    assert [(r.path, r.layer) for r in found] == [("config: API_TOKEN", 0)]


def test_setuid_programs_are_named_and_those_of_every_system_are_negligible(tmp_path):
    files = dict.fromkeys(("usr/bin/su", "opt/tool/helper", "usr/bin/grouped", "usr/bin/note"), "x")
    modes = {
        "usr/bin/su": 0o4755, "opt/tool/helper": 0o4755, "usr/bin/grouped": 0o2755,
        "usr/bin/note": 0o4644,
    }  # fmt: skip
    assert remarks(tar(tmp_path / "a", files, modes)) == [
        ("setuid", "high", "/opt/tool/helper", 1),
        ("setgid", "medium", "/usr/bin/grouped", 1),
        ("setuid", "negligible", "/usr/bin/su", 1),
    ]


def test_a_program_of_a_usual_name_elsewhere_is_not_usual(tmp_path):
    layer = tar(tmp_path / "a", {"opt/bin/su": "x"}, {"opt/bin/su": 0o4755})
    assert remarks(layer) == [("setuid", "high", "/opt/bin/su", 1)]


def test_capabilities_count_as_rights_of_root(tmp_path):
    layer = tar(
        tmp_path / "a", {"opt/p": "x"}, xattrs={"opt/p": {"security.capability": "AQAAAgAgAAA="}}
    )
    assert remarks(layer) == [("capability", "medium", "/opt/p", 1)]


def test_what_everybody_may_write_to_is_named_but_for_sticky_folders(tmp_path):
    files = {"tmp/": "", "var/spool/open/": "", "opt/run.sh": "x", "srv/notes": "x", "dev/shm/": ""}
    modes = {
        "tmp/": 0o1777, "var/spool/open/": 0o777, "opt/run.sh": 0o777, "srv/notes": 0o666,
        "dev/shm/": 0o777,
    }  # fmt: skip
    assert [r[2] for r in remarks(tar(tmp_path / "a", files, modes))] == [
        "/opt/run.sh",
        "/srv/notes",
        "/var/spool/open",
    ]


def test_empty_passwords_and_second_roots_are_named(tmp_path):
    files = {
        "etc/passwd": "root:x:0:0:::/bin/sh\ntoor:x:0:0:::/bin/sh\nme::1000:1000:::/bin/sh\n",
        "etc/shadow": "root:*:19000:0:::::\nguest::19000:0:::::\nbroken\n",
    }
    assert remarks(tar(tmp_path / "a", files)) == [
        ("empty-password", "critical", "/etc/passwd", 1),
        ("second-root", "high", "/etc/passwd", 1),
        ("empty-password", "critical", "/etc/shadow", 1),
    ]


def test_names_that_are_no_text_are_written_so(tmp_path):
    name = b"opt/\xff\n.env".decode("utf-8", "surrogateescape")
    found = inspect(flatten([tar(tmp_path / "a", {name: "A_TOKEN=0123456789ab"})]), {})
    assert [r.path for r in found] == ["/opt/\\xff\n.env"]


def test_of_too_many_remarks_the_worst_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("ssds.kinds.inspect.image.LIMIT_REMARKS", 3)
    files = {**{f"a/open{n}": "x" for n in range(9)}, "root/.netrc": SECRETS["root/.netrc"]}
    found = remarks(tar(tmp_path / "a", files, {f"a/open{n}": 0o666 for n in range(9)}))
    assert [r[2] for r in found] == ["/a/open0", "/a/open1", "/root/.netrc"]


def gated(tmp_path, lint, waivers=()):
    workshop = Workshop(str(tmp_path / "shop"))
    data = (tmp_path / "a").read_bytes()
    config = workshop.image(data)
    node = spec.node(target(), Input(role="config", digest=config))
    inspection = run.run(workshop.bench(node, {"config": config})).outputs["inspection"]
    none = {"scanned": True, "uncovered": {}, "without_source": {}, "findings": []}
    inputs = {
        "findings": workshop.store.blobs.put(json.dumps(none).encode()),
        "inspection": inspection,
    }
    gate = gate_spec.node(
        target(waivers=waivers),
        Input(role="findings", digest=inputs["findings"]),
        Policy(name="p", lint=lint),
        DAY,
        inspection=Input(role="inspection", digest=inspection),
    )
    outcome = run_gate(workshop.bench(gate, inputs))
    return (
        outcome.verdict,
        workshop.json(outcome.outputs["report"]),
        read_inspection(workshop.store.blobs.read(inspection)),
    )


def test_a_policy_holds_a_release_for_what_its_files_show(tmp_path):
    tar(tmp_path / "a", {"opt/p": "x"}, {"opt/p": 0o4755})
    verdict, report, found = gated(tmp_path, ("high",))
    assert verdict == "fail"
    assert report["why"] == ["setuid (high): /opt/p (layer 1): who runs it becomes root"]
    assert report["counts"] == {}
    assert [f.id for f in found] == ["setuid"]
    assert gated(tmp_path, ("critical",))[0] == "pass"


@pytest.mark.parametrize(("path", "verdict"), [("/opt/p", "pass"), ("/opt/q", "fail")])
def test_a_waiver_names_rule_and_path(tmp_path, path, verdict):
    tar(tmp_path / "a", {"opt/p": "x"}, {"opt/p": 0o4755})
    waiver = Waiver(id="setuid", package=path, reason="r", owner="o", until="2030-01-01")
    assert gated(tmp_path, ("high",), (waiver,))[0] == verdict
