"""Secrets in layers: private keys, tokens, passwords in the files that programs keep them in.

Only forms that are hardly anything else: a key's armour, a token with its maker's prefix, a
credential in the file of a known program. Test keys of packages are ``negligible``; a token or a
password is none of a test by its place. What is found is named, never shown.
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from ssds.core.errors import UnavailableError
from ssds.core.patterns import pattern
from ssds.kinds.inspect.remark import CONFIG, RULES, Remark, of_file
from ssds.oci.content import Content, Entry, entry_of
from ssds.oci.flatten import FlatTree
from ssds.oci.tarindex import Member, index_tar

FILE_LIMIT_BYTES = 256 * 1024
# Every pattern below takes time in proportion to the file, whatever that holds: two repeats that
# may take the same bytes never meet, and what is repeated cannot run over the next place where the
# pattern may begin.
_KEY = pattern(
    rb"-----BEGIN (?:RSA |EC |DSA |OPENSSH |PGP )?PRIVATE KEY(?: BLOCK)?-----[\r\n]+"
    rb"[A-Za-z0-9+/=:\r\n]"
)
_TOKENS = (
    ("a GitHub token", pattern(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})\b")),
    ("a GitLab token", pattern(rb"\bglpat-[A-Za-z0-9_-]{20,}\b")),
    ("a Slack token", pattern(rb"\bxox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}")),
    ("a PyPI token", pattern(rb"\bpypi-AgE[A-Za-z0-9_-]{50,}")),
    ("an npm token", pattern(rb"\bnpm_[A-Za-z0-9]{36}\b")),
    ("a Hugging Face token", pattern(rb"\bhf_[A-Za-z]{34}\b")),
    (
        "a Zenodo or DataCite credential",
        pattern(
            rb"(?i)\b(?:zenodo_(?:access_)?token|datacite_password)\s*[=:]\s*[\"']?[A-Za-z0-9]{20,}"
        ),
    ),
)
_AWS = pattern(rb"(?i)aws_secret_access_key\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}\b")
_URL = rb"https?://[^\s:/@]+:[^\s/@]+@"
_VALUE = rb"[ \t]*[=:][ \t]*[\"']?(?!\$|<|\{|changeme|example|xxx)[^\s\"'#]{8,}"
_SETTING = pattern(
    rb"(?im)^[ \t]*(?:export[ \t]+)?[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)"
    + _VALUE
)
_NAMED: tuple[tuple[str, str, bytes], ...] = (
    (".netrc", "a password for a server", rb"(?i)\bpassword\s+\S+"),
    ("_netrc", "a password for a server", rb"(?i)\bpassword\s+\S+"),
    (".git-credentials", "a password for a Git server", _URL),
    (".pypirc", "a password for a package index", rb"(?im)^[ \t]*password[ \t]*[=:][ \t]*\S+"),
    (".npmrc", "a token for a package index", rb"_(?:authToken|auth|password)\s*=\s*[^\s$]+"),
    (".condarc", "a token for a channel", _URL + rb"|/t/[a-z0-9-]{20,}/"),
    ("pip.conf", "a password for a package index", rb"https?://[^\s:/@]+:[^\s/@$]+@"),
    (".docker/config.json", "a registry's password", rb"\"auth\"\s*:\s*\"[A-Za-z0-9+/=]{8,}\""),
    (".dockercfg", "a registry's password", rb"\"auth\"\s*:\s*\"[A-Za-z0-9+/=]{8,}\""),
    (".kube/config", "a cluster's key", rb"client-key-data:\s*\S{20,}|\btoken:\s*\S{20,}"),
    (".vault-token", "a Vault token", rb"\S{20,}"),
    (".pgpass", "a database's password", rb"(?m)^[^#\s:]+:[^:\n]*:[^:\n]*:[^:\n]*:\S+"),
    (".my.cnf", "a database's password", rb"(?im)^[ \t]*password[ \t]*=[ \t]*\S+"),
    (".aws/credentials", "an AWS key", rb"(?i)aws_secret_access_key\s*=\s*\S{20,}"),
    (
        "application_default_credentials.json",
        "a Google credential",
        rb"\"(?:refresh_token|private_key)\"",
    ),
)
_NAMES = tuple((name, what, pattern(text)) for name, what, text in _NAMED)
_KEY_NAMES = ("*.pem", "*.key", "*.ppk", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.asc")
_SETTINGS_NAMES = (".env", ".env.*", "*.env")
_HOMES = ("root/", "home/")
_TEXTS = ("*.json", "*.yaml", "*.yml", "*.toml", "*.ini", "*.cfg", "*.conf", "*.sh", "*.txt", "*rc")
_TEXTS_FOLDERS = ("root/", "home/", "etc/", "opt/", "srv/", "app/", "tmp/", "var/tmp/")
_PACKAGES = pattern(
    r"^(?:usr|lib|lib32|lib64|opt/[^/]+)/|/(?:site-packages|dist-packages|node_modules|pkg/mod)/"
)
"""Where packages lie, and not what somebody put there."""
_TEST = pattern(
    r"(?:^|/)(?:tests?|testing|test[-_]?data|fixtures?|examples?|demos?|docs?|samples?|dummyserver)(?:/|$)"
    r"|(?:^|/)(?:snakeoil|example|sample|test)[^/]*$"
)
_SNAKEOIL = "etc/ssl/private/ssl-cert-snakeoil.key"
"""Of Debian's ssl-cert: for servers that nobody has set up yet."""
_PRIVATE_KEY = "a private key"
_SECRET_NAME = pattern(
    r"(?i)(?:^|_)(?:password|passwd|secret|token|api_?key|private_key|secret_access_key)$"
)


def in_layers(layers: Sequence[str]) -> Iterator[Remark]:
    """Gives a remark for each file of a layer that holds a secret.

    Args:
        layers: paths of uncompressed tars, base first.
    """
    for number, layer in enumerate(layers):
        for member in index_tar(layer, what=f"layer {number + 1}"):
            if member.type == "file":
                read = partial(_content, layer, member)
                yield from _in_file(member.path, number, member.size_bytes, read)


def in_folder(tree: FlatTree, closed: set[str]) -> Iterator[Remark]:
    """Gives a remark for each file of an unpacked image that holds a secret.

    Args:
        closed: gets the paths of files that should be read and cannot.
    """
    for entry in tree.walk():
        if entry.type == "file":
            try:
                yield from _in_file(entry.path, 0, entry.size_bytes, partial(_read, tree, entry))
            except UnavailableError:
                closed.add(entry.path)


def _in_file(path: str, layer: int, size_bytes: int, read: Callable[[], bytes]) -> Iterator[Remark]:
    looks = _looks(path) if 0 < size_bytes <= FILE_LIMIT_BYTES else []
    data = read() if looks else b""
    found = [what for look in looks if (what := look(data))]
    if found:
        yield _remark(path, layer, min(found, key=_PRIVATE_KEY.__eq__))  # a key after all others


def _read(tree: FlatTree, entry: Entry) -> bytes:
    with tree.open_entry(entry) as file:
        return file.read(FILE_LIMIT_BYTES)


def in_config(environment: Mapping[str, str]) -> Iterator[Remark]:
    """Gives a remark for each variable of the image's environment that looks like a secret."""
    for name, value in environment.items():
        text = f"{name}={value}".encode("utf-8", "surrogateescape")
        token = _token(text)
        if token or (_SECRET_NAME.search(name) and len(value) >= 8 and not value.startswith("/")):
            yield Remark(
                path=f"config: {name[:100]}",
                layer=CONFIG,
                rule="secret",
                severity=RULES["secret"],
                what=f"{token or 'a secret'} in the image's environment",
            )


def _remark(path: str, layer: int, what: str) -> Remark:
    known = what == _PRIVATE_KEY and _of_a_test(path.lower())
    told = f"{what}{', of a test or an example by its place' if known else ''}"
    return of_file("secret", path, layer, told, usual=known)


def _of_a_test(path: str) -> bool:
    package = _PACKAGES.search(path)
    return path == _SNAKEOIL or (
        package is not None and _TEST.search(path, package.end()) is not None
    )


_Look = Callable[[bytes], str]


def _looks(path: str) -> list[_Look]:
    """Returns what a file of this name is looked through for; most for nothing."""
    name = path.rpartition("/")[2]
    looks: list[_Look] = []
    for ending, what, found in _NAMES:
        if path == ending or path.endswith(f"/{ending}"):
            looks.append(partial(_named, what, found))
    if _like(name, _KEY_NAMES) and not name.endswith(".pub"):
        looks.append(_key)
    if _like(name, _SETTINGS_NAMES):
        looks += [_setting, _token]
    elif path.startswith(_HOMES) or (path.startswith(_TEXTS_FOLDERS) and _like(name, _TEXTS)):
        looks += [_key, _token]
    return looks


def _like(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _content(layer: str, member: Member) -> bytes:
    with io.BufferedReader(Content(layer, entry_of(member, member.path))) as file:
        return file.read(FILE_LIMIT_BYTES)


def _named(what: str, found: re.Pattern[bytes], data: bytes) -> str:
    return what if found.search(data) else ""


def _key(data: bytes) -> str:
    found = _KEY.search(data)
    if not found or b"ENCRYPTED" in data[found.start() : found.start() + 200]:
        return ""
    return _PRIVATE_KEY


def _token(data: bytes) -> str:
    for what, found in _TOKENS:
        if found.search(data):
            return what
    return "an AWS key" if _AWS.search(data) else ""


def _setting(data: bytes) -> str:
    return "a password or token" if _SETTING.search(data) else ""
