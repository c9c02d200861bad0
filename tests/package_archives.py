"""Makes real .deb files, Debian archives and Python indexes by hand, for tests without network."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


def tar_bytes(files: Mapping[str, bytes], *, kind: str = "") -> bytes:
    buffer = io.BytesIO()
    mode = {"": "w", ".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}[kind]
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def ar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


@dataclass(frozen=True, kw_only=True)
class Deb:
    """A package to be made."""

    name: str
    version: str = "1.0-1"
    architecture: str = "amd64"
    depends: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def control(self) -> str:
        lines = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Nobody <nobody@example.org>",
            **({"Depends": self.depends} if self.depends else {}),
            **self.fields,
            "Description": f"the package {self.name}\n more about it",
        }
        return "".join(f"{name}: {value}\n" for name, value in lines.items())

    @property
    def data(self) -> bytes:
        control = tar_bytes({"./control": self.control.encode()}, kind=".xz")
        files = self.files or {f"./usr/share/{self.name}/hello": b"hello\n"}
        return ar_bytes(
            [
                ("debian-binary", b"2.0\n"),
                ("control.tar.xz", control),
                ("data.tar.xz", tar_bytes(files, kind=".xz")),
            ]
        )

    @property
    def pool_path(self) -> str:
        version = self.version.partition(":")[2] or self.version
        return f"pool/main/{self.name[0]}/{self.name}/{self.name}_{version}_{self.architecture}.deb"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A throw-away key: ``keyring`` is the public one, as apt wants it."""

    home: str
    keyring: str

    def sign(self, release: str, target: str) -> None:
        argv = ["gpg", "--homedir", self.home, "--batch", "--yes", "--clearsign", "-o", target]
        subprocess.run([*argv, release], check=True, capture_output=True)


def make_signer(folder: str) -> Signer:
    # gpg's agent wants a short socket path
    home = tempfile.mkdtemp(prefix="g")
    os.chmod(home, 0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--passphrase", ""]
    make = [*gpg, "--quick-gen-key", "Test <test@example.org>", "ed25519", "sign", "never"]
    subprocess.run(make, check=True, capture_output=True)
    keyring = os.path.join(folder, "keyring.gpg")
    subprocess.run([*gpg, "--export", "-o", keyring], check=True, capture_output=True)
    return Signer(home=home, keyring=keyring)


def end_signer(signer: Signer) -> None:
    import shutil

    argv = ["gpgconf", "--homedir", signer.home, "--kill", "all"]
    subprocess.run(argv, check=False, capture_output=True)
    shutil.rmtree(signer.home, ignore_errors=True)


def write_archive(
    folder: str,
    debs: Sequence[Deb],
    *,
    signer: Signer | None = None,
    suite: str = "bookworm",
    architecture: str = "amd64",
) -> None:
    """Writes pool/ and dists/ with a signed InRelease, as a mirror has them."""
    stanzas = []
    for deb in debs:
        path = os.path.join(folder, deb.pool_path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = deb.data
        with open(path, "wb") as file:
            file.write(data)
        sha = hashlib.sha256(data).hexdigest()
        more = f"Filename: {deb.pool_path}\nSize: {len(data)}\nSHA256: {sha}\n"
        stanzas.append(deb.control + more)
    index = "\n".join(stanzas).encode()
    place = f"main/binary-{architecture}"
    base = os.path.join(folder, "dists", suite)
    os.makedirs(os.path.join(base, place), exist_ok=True)
    lines = ""
    for name, data in (("Packages", index), ("Packages.gz", gzip.compress(index, mtime=0))):
        with open(os.path.join(base, place, name), "wb") as file:
            file.write(data)
        lines += f" {hashlib.sha256(data).hexdigest()} {len(data)} {place}/{name}\n"
    release = (
        f"Origin: Test\nSuite: {suite}\nCodename: {suite}\nArchitectures: {architecture}\n"
        f"Components: main\nDate: Sat, 14 Mar 2020 15:09:26 UTC\nSHA256:\n{lines}"
    )
    with open(os.path.join(base, "Release"), "w", encoding="utf-8") as file:
        file.write(release)
    if signer is not None:
        signer.sign(os.path.join(base, "Release"), os.path.join(base, "InRelease"))


def write_sources(
    folder: str,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    signer: Signer,
    suite: str = "bookworm",
) -> None:
    """Writes one source package: pool/, its Sources index and a signed InRelease."""
    directory = f"pool/main/{name[0]}/{name}"
    os.makedirs(os.path.join(folder, directory), exist_ok=True)
    lines = ""
    for file_name, data in files.items():
        with open(os.path.join(folder, directory, file_name), "wb") as file:
            file.write(data)
        lines += f" {hashlib.sha256(data).hexdigest()} {len(data)} {file_name}\n"
    index = (
        f"Package: {name}\nBinary: {name}\nVersion: {version}\nArchitecture: any\n"
        f"Format: 3.0 (quilt)\nDirectory: {directory}\nChecksums-Sha256:\n{lines}"
    ).encode()
    base = os.path.join(folder, "dists", suite)
    os.makedirs(os.path.join(base, "main/source"), exist_ok=True)
    with open(os.path.join(base, "main/source/Sources"), "wb") as file:
        file.write(index)
    release = (
        f"Origin: Test\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\n"
        "Components: main\nDate: Sat, 14 Mar 2020 15:09:26 UTC\nSHA256:\n"
        f" {hashlib.sha256(index).hexdigest()} {len(index)} main/source/Sources\n"
    )
    with open(os.path.join(base, "Release"), "w", encoding="utf-8") as file:
        file.write(release)
    signer.sign(os.path.join(base, "Release"), os.path.join(base, "InRelease"))


def wheel_bytes(name: str, version: str, requires: Sequence[str] = ()) -> bytes:
    """Returns a real wheel with one module."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {text}\n" for text in requires)
    buffer = io.BytesIO()
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return buffer.getvalue()


def write_index(folder: str, files: Mapping[str, Mapping[str, bytes]]) -> None:
    """Writes a simple index (PEP 503): project → file name → bytes."""
    for project, contents in files.items():
        place = os.path.join(folder, project)
        os.makedirs(place, exist_ok=True)
        links = ""
        for name, data in contents.items():
            with open(os.path.join(place, name), "wb") as file:
                file.write(data)
            sha = hashlib.sha256(data).hexdigest()
            links += f'<a href="{name}#sha256={sha}">{name}</a><br>\n'
        page = f"<!DOCTYPE html><html><body>\n{links}</body></html>\n"
        with open(os.path.join(place, "index.html"), "w", encoding="utf-8") as file:
            file.write(page)
