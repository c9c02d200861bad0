"""Keys: made, kept, opened and refused; cosign and openssl read ours and we theirs."""

from __future__ import annotations

import pickle
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from trust_makers import cosign, new_signer, openssl_key

from ssds.cli.app import Context
from ssds.cli.verb_key import command
from ssds.core.errors import SsdsError
from ssds.trust import open as opening
from ssds.trust.keyfile import SEALED, read_private_key, seal
from ssds.trust.keys import KINDS, PublicKey, new_key, read_public_key
from ssds.trust.open import open_signer, read_public_file


def no_password() -> bytes:
    raise AssertionError("no password is needed here")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_key_signs_is_verified_by_its_public_half_and_by_no_other(kind: str) -> None:
    mine, other = new_key(kind), new_key(kind)
    signature = mine.sign(b"words")
    assert mine.public.signed(b"words", signature)
    assert not mine.public.signed(b"word", signature)
    assert not other.public.signed(b"words", signature)
    assert not mine.public.signed(b"words", signature * 50)
    assert mine.sign(b"words") == signature  # RFC 6979: no chance


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_verifies_what_ssds_signs(kind: str, tmp_path: Path) -> None:
    mine = new_key(kind)
    (tmp_path / "file").write_bytes(b"words")
    (tmp_path / "sig").write_bytes(mine.sign(b"words"))
    (tmp_path / "pub").write_bytes(mine.public.pem)
    how = ["-rawin"] + (["-digest", "sha256"] if kind == "ecdsa-p256" else [])
    argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-sigfile", "sig", *how]
    done = subprocess.run([*argv, "-in", "file"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_sealed_key_opens_with_its_password_only() -> None:
    mine = new_signer()
    sealed = seal(mine, b"secret")
    assert read_private_key(sealed, lambda: b"secret").public == mine.public
    with pytest.raises(SsdsError, match="the password does not open") as refused:
        read_private_key(sealed, lambda: b"Secret")
    assert refused.value.code == "X006"


@pytest.mark.component("cosign")
def test_cosign_opens_our_key_files_and_we_open_its(tmp_path: Path) -> None:
    mine = new_signer()
    (tmp_path / "mine.key").write_bytes(seal(mine, b"secret"))
    shown = cosign(tmp_path, "public-key", "--key", "mine.key", password="secret")
    assert shown.stdout.encode() == mine.public.pem
    cosign(tmp_path, "generate-key-pair", "--output-key-prefix", "their", password="x y")
    theirs = open_signer(str(tmp_path / "their.key"), {}, lambda: b"x y")
    assert theirs.public == read_public_file(str(tmp_path / "their.pub"))


def test_a_plain_key_of_openssl_is_read_where_nobody_else_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(openssl_key(tmp_path, "-algorithm", "ed25519"))
    file.chmod(0o640)
    with pytest.raises(SsdsError, match="others may read it"):
        open_signer(str(file), {}, no_password)
    file.chmod(0o600)
    assert open_signer(str(file), {}, no_password).public.kind == "ed25519"
    text = file.read_text()
    assert open_signer("env:KEY", {"KEY": text}, no_password).public.kind == "ed25519"


REFUSED_KEYS = {
    "no pem": (b"hello", "X005"),
    "empty": (b"", "X005"),
    "too large": (b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 70_000, "X005"),
    "public": (new_key().public.pem, "X005"),
    "cut": (seal(new_key(), b"")[:200], "X005"),
    "not base64": (
        b"-----BEGIN {0}-----\n!\n-----END {0}-----\n".replace(b"{0}", SEALED[0].encode()),
        "X005",
    ),
}


@pytest.mark.parametrize("case", REFUSED_KEYS)
def test_what_is_no_private_key_is_refused_without_showing_it(case: str) -> None:
    data, code = REFUSED_KEYS[case]
    with pytest.raises(SsdsError) as refused:
        read_private_key(data, lambda: b"")
    assert refused.value.code == code
    assert "AAAA" not in str(refused.value)


@pytest.mark.parametrize(
    ("part", "value"),
    [("N", 1 << 24), ("N", 65535), ("r", 1 << 20), ("p", 99)],
)
def test_a_key_file_that_asks_for_more_memory_than_it_may_is_refused(part: str, value: int) -> None:
    import base64
    import json

    lines = seal(new_signer(), b"").decode().splitlines()
    document = json.loads(base64.b64decode("".join(lines[1:-1])))
    document["kdf"]["params"][part] = value
    inner = base64.b64encode(json.dumps(document).encode()).decode()
    with pytest.raises(SsdsError):
        read_private_key(f"{lines[0]}\n{inner}\n{lines[-1]}\n".encode(), no_password)


REFUSED_PUBLIC = {
    "private": ("-algorithm", "ed25519"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "p-384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
}


def test_public_keys_of_other_kinds_and_private_ones_are_refused(tmp_path: Path) -> None:
    codes = []
    for name, how in REFUSED_PUBLIC.items():
        data = openssl_key(tmp_path, *how)
        if name != "private":
            argv = ["openssl", "pkey", "-pubout"]
            data = subprocess.run(argv, input=data, capture_output=True, check=True).stdout
        with pytest.raises(SsdsError) as refused:
            read_public_key(data)
        codes.append(refused.value.code)
    with pytest.raises(SsdsError) as refused:
        read_public_key(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    assert [*codes, refused.value.code] == ["X004", "X002", "X002", "X003"]


def test_a_scheme_without_its_package_is_told_and_one_with_it_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SsdsError, match="nothing here opens keys of the kind pkcs11:") as refused:
        open_signer("pkcs11:token=lab;object=key", {}, no_password)
    assert refused.value.code == "X008"
    card = new_signer()

    class Entry:
        name = "card"

        def load(self) -> object:
            def opened(address: str) -> object:
                if "broken" in address:
                    raise ValueError("pin 1234 is wrong")
                return card

            return opened

    def entry_points(group: str) -> list[Entry]:
        assert group == opening.GROUP
        return [Entry()]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert open_signer("card:lab", {}, no_password).public == card.public
    with pytest.raises(SsdsError) as refused:
        open_signer("card:broken", {}, no_password)
    assert refused.value.code == "X009"
    assert "1234" not in str(refused.value) + refused.value.hint


def test_a_signer_shows_no_secret_and_is_not_pickled() -> None:
    mine = new_signer()
    assert repr(mine) == "LocalSigner(lab)"
    with pytest.raises(TypeError):
        pickle.dumps(mine)


def test_key_new_writes_two_files_once_and_key_show_prints_the_public_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSDS_KEY_PASSWORD", "secret")
    path = tmp_path / "lab"
    assert CliRunner().invoke(command, ["new", str(path)]).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    shown = CliRunner().invoke(command, ["show", str(path)], obj=Context(folder=""))
    assert shown.output == (tmp_path / "lab.pub").read_text()
    again = CliRunner().invoke(command, ["new", str(path)])
    assert isinstance(again.exception, SsdsError)
    assert again.exception.code == "X012"


def test_the_label_of_a_key_is_its_name_or_the_beginning_of_its_id() -> None:
    key = new_signer().public
    assert key.label == "lab"
    assert PublicKey(kind=key.kind, der=key.der).label == f"sha256:{key.id.short}…"
