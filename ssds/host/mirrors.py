"""Where archives are: the machine's own apt, pip and conda configuration, or the settings.

Locks name an archive and a path below it, never a host (C19); this is where a host comes from.
"""

from __future__ import annotations

import functools
import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, SsdsError, UnavailableError

KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg",
)
_PIP_PROGRAM = """
import json
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
configuration = Configuration(isolated=False)
configuration.load()
print(json.dumps({"default": PyPI.simple_url, "values": dict(configuration.items())}))
"""
_LOCAL = ("file", "copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipAnswer:
    """What pip's own configuration says: indexes, places of wheels, a file of certificates."""

    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Where each archive can be had, best first.

    Attributes:
        debian, debian_security: addresses of the archive roots, without a final slash.
        own_pypi, own_find_links, own_ca_bundle: what is known without pip: see the properties.
        pip: asks pip, which takes a third of a second: only where something is to be fetched.
        blobs: addresses below which pinned files lie by digest: ``blobs/sha256/HEX``.
        conda: addresses below which the channels are, without a final slash.
        proxy: address of an http proxy, or the empty string for the environment's.
        url_prefixes: address prefix → another prefix that is tried before it.
        images: beginning of an image's full name → the layout or registry that has it
            (``oci.upstream``).
        suites: the suites of the archive ``debian`` that this machine's apt names.
        keyring: the file of the Debian archive's keys, or the empty string where missing.
    """

    debian: tuple[str, ...] = ()
    debian_security: tuple[str, ...] = ()
    own_pypi: tuple[str, ...] = ()
    own_find_links: tuple[str, ...] = ()
    own_ca_bundle: str = ""
    pip: Callable[[], PipAnswer] = field(default=PipAnswer, compare=False, repr=False)
    blobs: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    proxy: str = ""
    url_prefixes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    suites: tuple[str, ...] = ()
    keyring: str = ""

    @property
    def pypi(self) -> tuple[str, ...]:
        """Addresses of simple indexes (PEP 503, PEP 691), without a final slash."""
        return self.own_pypi or self.pip().indexes

    @property
    def find_links(self) -> tuple[str, ...]:
        """Folders or pages with wheels, as pip has them."""
        return self.own_find_links or self.pip().find_links

    @property
    def ca_bundle(self) -> str:
        """A file of certificates, or the empty string for the system's."""
        return self.own_ca_bundle or self.pip().certificate

    def archive(self, name: str) -> tuple[str, ...]:
        """Returns the roots of ``debian``, ``debian-security`` or ``conda``.

        Raises:
            UnavailableError: this machine knows none.
        """
        known = {"debian": self.debian, "debian-security": self.debian_security}
        roots = (known | {"conda": self.conda}).get(name)
        if roots is None:
            raise InvalidValue(f"{name[:60]!r} is not an archive that ssds knows")
        if not roots:
            raise UnavailableError(
                f"no mirror of the archive {name!r} is known",
                code="F051",
                hint=f"Set mirrors.{name} in ssds.yaml, or "
                + (
                    "channel_alias in this machine's condarc."
                    if name == "conda"
                    else "add it to this machine's apt sources."
                ),
            )
        return roots

    def indexes(self) -> tuple[str, ...]:
        """Returns the simple indexes; raises UnavailableError where none is known."""
        if not self.pypi:
            raise UnavailableError(
                "no Python package index is known",
                code="F051",
                hint="Set mirrors.pypi in ssds.yaml, or install pip: its configuration is used.",
            )
        return self.pypi

    def blob(self, digest: Digest) -> tuple[str, ...]:
        """Returns the addresses of a file in the blob mirrors."""
        path = f"blobs/{digest.algorithm}/{digest.hex}"
        return tuple(join(root, path) for root in self.blobs)

    def rewritten(self, url: str) -> tuple[str, ...]:
        """Returns the addresses to try for an upstream ``url``: by prefix, then itself."""
        found = [
            to + url.removeprefix(prefix)
            for prefix, to in sorted(self.url_prefixes.items(), key=lambda pair: -len(pair[0]))
            if url.startswith(prefix)
        ]
        return (*found, url)


def join(root: str, path: str) -> str:
    """Returns the address of ``path`` (not escaped) below ``root``.

    Raises:
        InvalidValue: the path is absolute, leads upwards or holds control characters.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or not path.isprintable() or "\\" in path:
        raise InvalidValue(f"{path[:120]!r} is not a path inside an archive")
    return f"{root.rstrip('/')}/{quote(path, safe='/+~:')}"


def redacted(url: str) -> str:
    """Returns ``url`` without user name and password, for messages and logs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<an address that cannot be read>"
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))


def is_local(url: str) -> bool:
    """Whether an address is a file of this machine."""
    return url.startswith("/") or scheme_of(url) in _LOCAL


def scheme_of(url: str) -> str:
    """Returns the scheme of an address, or the empty string where it cannot be read."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def local_path(url: str) -> str:
    """Returns the path of a local address."""
    from urllib.parse import unquote

    return url if url.startswith("/") else unquote(urlsplit(url).path)


def machine_mirrors(
    *,
    debian: Iterable[str] = (),
    debian_security: Iterable[str] = (),
    pypi: Iterable[str] = (),
    blobs: Iterable[str] = (),
    conda: Iterable[str] = (),
    ca_bundle: str = "",
    proxy: str = "",
    url_prefixes: Mapping[str, str] | None = None,
    images: Mapping[str, str] | None = None,
    apt_folder: str = "/etc/apt",
    environment: Mapping[str, str] | None = None,
) -> Mirrors:
    """Returns what the settings say, and for the rest what this machine's programs use.

    Args:
        debian, debian_security, pypi, blobs, conda, ca_bundle, proxy, url_prefixes, images:
            settings; empty means "ask the machine".
        apt_folder: where apt's sources are.
        environment: the environment, ``os.environ`` by default.
    """
    env = os.environ if environment is None else environment
    found = apt_archives(apt_folder)

    @functools.cache
    def pip() -> PipAnswer:
        answer = PipAnswer() if pypi else pip_indexes(env)
        named = (answer.certificate, env.get("SSL_CERT_FILE"), env.get("REQUESTS_CA_BUNDLE"))
        certificate = next(filter(None, named), "")
        return replace(answer, certificate=certificate if os.path.isfile(certificate) else "")

    return Mirrors(
        debian=_cleaned(debian) or found["debian"],
        debian_security=_cleaned(debian_security) or found["debian-security"],
        own_pypi=_cleaned(pypi),
        own_ca_bundle=ca_bundle,
        pip=pip,
        blobs=_cleaned(blobs),
        conda=_cleaned(conda) or conda_roots(env),
        proxy=proxy,
        url_prefixes=dict(url_prefixes or {}),
        images=dict(images or {}),
        suites=found["suites"],
        keyring=next((path for path in KEYRINGS if os.path.isfile(path)), ""),
    )


def _cleaned(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url.rstrip("/") for url in urls if url))


# --- apt -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One entry of apt's sources: an address, a suite, and who signs it."""

    uri: str
    suite: str
    signed_by: str = ""


def apt_archives(folder: str) -> dict[str, tuple[str, ...]]:
    """Returns archive name → roots, and ``suites`` → suites of ``debian`` (sources.list(5))."""
    found: dict[str, list[str]] = {"debian": [], "debian-security": [], "suites": []}
    for source in apt_sources(folder):
        if source.signed_by and "debian-archive" not in source.signed_by:
            continue
        uri = source.uri.rstrip("/")
        last = uri.rpartition("/")[2]
        security = source.suite.endswith(("-security", "/updates")) or last == "debian-security"
        if not security and last != "debian" and not source.signed_by:
            continue
        found["debian-security" if security else "debian"].append(uri)
        if not security:
            found["suites"].append(source.suite)
    return {name: _cleaned(uris) for name, uris in found.items()}


def apt_sources(folder: str) -> list[AptSource]:
    """Returns every binary entry of apt's sources, in apt's order; passes over unreadable files."""
    found: list[AptSource] = []
    parts = os.path.join(folder, "sources.list.d")
    paths = sorted(glob.glob(parts + "/*.list") + glob.glob(parts + "/*.sources"))
    for path in [os.path.join(folder, "sources.list"), *paths]:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(1024 * 1024)
        except OSError:
            continue
        found += _stanzas(text) if path.endswith(".sources") else _lines(text)
    return [s for s in found if scheme_of(s.uri) in ("http", "https", *_LOCAL)]


def _lines(text: str) -> list[AptSource]:
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)", line)
        if match:
            options = dict(o.partition("=")[::2] for o in (match[1] or "").split())
            signed = options.get("signed-by", "")
            found.append(AptSource(uri=match[2], suite=match[3], signed_by=signed))
    return found


def _stanzas(text: str) -> list[AptSource]:
    found = []
    uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", uncommented):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        disabled = fields.get("enabled", "yes").lower() in ("no", "false", "0", "off")
        if disabled or "deb" not in fields.get("types", "").split():
            continue
        found += [
            AptSource(uri=uri, suite=suite, signed_by=fields.get("signed-by", ""))
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


# --- pip -----------------------------------------------------------------------------------------


def pip_indexes(env: Mapping[str, str]) -> PipAnswer:
    """Returns pip's own indexes, find-links and certificate file, as pip itself reads them."""
    import json

    from ssds.host.process import run

    told: Any = {}
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            answer = run([python, "-c", _PIP_PROGRAM], env=dict(env), timeout_s=60)
            told = json.loads(answer.stdout) if answer.returncode == 0 else {}
        except (SsdsError, ValueError):
            continue
        if told:
            break
    values = told.get("values", {}) if isinstance(told, dict) else {}

    def value(name: str) -> str:
        for section in (":env:", "install", "global"):
            text = values.get(f"{section}.{name}", "")
            if text:
                return str(text)
        return ""

    index = value("index-url") or str(told.get("default", ""))
    indexes = _cleaned([index, *value("extra-index-url").split()])
    no_index = value("no-index").lower() in ("1", "true", "yes", "on")
    return PipAnswer(
        indexes=() if no_index else indexes,
        find_links=_cleaned(value("find-links").split()),
        certificate=value("cert"),
    )


# --- conda ---------------------------------------------------------------------------------------


def conda_roots(env: Mapping[str, str]) -> tuple[str, ...]:
    """Returns conda's own ``channel_alias``: below it every channel has its folder.

    Looked for where conda does: its environment variable, the user's condarc, the machine's.
    """
    home = env.get("HOME", "")
    files = [env.get("CONDARC", ""), *(home and f"{home}/{n}" for n in (".condarc", ".mambarc"))]
    found = [env.get("CONDA_CHANNEL_ALIAS", "")]
    for path in (*files, "/etc/conda/.condarc", "/etc/conda/condarc"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(1024 * 1024)
        except (OSError, ValueError):
            continue
        match = re.search(r"^channel_alias:[ \t]*[\"']?([^\s\"'#]+)", text, re.MULTILINE)
        found.append(match[1] if match else "")
    alias = next((text for text in found if text), "")
    return _cleaned([alias]) if scheme_of(alias) in ("http", "https", *_LOCAL) else ()
