"""Where credentials come from."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from ssds.core.errors import IntegrityError, SsdsError
from ssds.oci.credentials import find_credentials

HOST = "registry.example.org:5000"


def pair(environment: dict[str, str], host: str = HOST) -> tuple[str, str] | None:
    found = find_credentials(host, environment)
    return (found.user, found.password) if found else None


def configured(folder: Path, value: object) -> dict[str, str]:
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / "config.json").write_text(text)
    return {"DOCKER_CONFIG": str(folder)}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_environment_comes_first_and_can_name_its_host(tmp_path: Path) -> None:
    env = configured(tmp_path, {"auths": {HOST: {"auth": encoded("d:w")}}})
    env |= {"SSDS_REGISTRY_USER": "e", "SSDS_REGISTRY_PASSWORD": "x"}
    assert pair(env) == ("e", "x")
    assert pair({**env, "SSDS_REGISTRY_HOST": "other.example.org"}) == ("d", "w")
    assert pair({**env, "SSDS_REGISTRY_HOST": HOST}) == ("e", "x")


def test_dockers_configuration_is_read_for_the_exact_host(tmp_path: Path) -> None:
    env = configured(
        tmp_path,
        {
            "auths": {
                HOST: {"auth": encoded("a:b:c")},
                "https://second.example.org": {"username": "s", "password": "t"},
                "third.example.org": {},
            }
        },
    )
    assert pair(env) == ("a", "b:c")
    assert pair(env, "second.example.org") == ("s", "t")
    assert pair(env, "third.example.org") is None
    assert pair(env, "registry.example.org") is None


def test_without_any_configuration_there_are_none(tmp_path: Path) -> None:
    assert pair({"HOME": str(tmp_path)}) is None
    assert pair({}) is None


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[]",
        {"auths": []},
        {"auths": {HOST: 3}},
        {"auths": {HOST: {"auth": "%%%"}}},
        {"auths": {HOST: {"auth": encoded("nocolon")}}},
        {"credHelpers": {HOST: "../evil"}},
    ],
)
def test_a_damaged_configuration_is_refused_without_showing_it(
    tmp_path: Path, value: object
) -> None:
    with pytest.raises(IntegrityError) as caught:
        pair(configured(tmp_path, value))
    assert "nocolon" not in str(caught.value)
    assert "%%%" not in str(caught.value)


def helper(folder: Path, name: str, script: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(
        tmp_path,
        "probe",
        'read host; test "$1 $host" = "get ' + HOST + '" || exit 1\n'
        'echo \'{"Username":"h","Secret":"z"}\'',
    )
    helper(tmp_path, "empty", "echo none; exit 1")
    helper(tmp_path, "odd", "echo what")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pair(configured(tmp_path, {"credHelpers": {HOST: "probe"}})) == ("h", "z")
    assert pair(configured(tmp_path, {"credsStore": "probe"})) == ("h", "z")
    assert pair(configured(tmp_path, {"credsStore": "empty"})) is None
    with pytest.raises(SsdsError, match="no credential"):
        pair(configured(tmp_path, {"credsStore": "odd"}))
    with pytest.raises(SsdsError, match="not installed"):
        pair(configured(tmp_path, {"credsStore": "missing"}))
