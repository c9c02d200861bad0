"""Small images as real layer tars in a real store, and benches to run kinds on them."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from dataclasses import dataclass, field

from ssds.core.digest import sha256_of
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.kinds.api import Bench
from ssds.oci.types import config_bytes
from ssds.recipe.model import Deploy, Target
from ssds.store.store import Store

EPOCH = 1_767_225_600
AMD64 = Platform("linux/amd64")


def layer(files, *, links=None, executable=()):
    """Returns the bytes of a layer tar; values are text or bytes, ``executable`` are paths."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(data)
            info.mode = 0o755 if path in executable else 0o644
            archive.addfile(info, io.BytesIO(data))
        for path, target in sorted((links or {}).items()):
            info = tarfile.TarInfo(path)
            info.type = tarfile.SYMTYPE
            info.linkname = target
            archive.addfile(info)
    return buffer.getvalue()


def elf(machine=62, loader=""):
    """Returns a minimal 64-bit little-endian ELF file, with a PT_INTERP when ``loader`` is set."""
    text = loader.encode() + b"\0" if loader else b""
    count = 1 if loader else 0
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0, 64 if loader else 0, 0, 0, 64, 56, count, 0, 0, 0
    )
    if loader:
        header += struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(text), len(text), 1)
    return header + text


OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
STATUS = """Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.15-1~deb12u1
Description: Secure Sockets Layer toolkit
 with a long
 description

Package: postgresql
Status: install ok installed
Architecture: all
Source: postgresql-common (248)
Version: 15+248

Package: python3-urllib3
Status: install ok installed
Architecture: all
Source: python-urllib3
Version: 1.26.12-1+deb12u1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""


def debian_files():
    """Returns the files of a tiny Debian 12 root with three packages and some language packages."""
    dist = "usr/lib/python3/dist-packages"
    site = "usr/local/lib/python3.11/site-packages"
    return {
        "usr/lib/os-release": OS_RELEASE,
        "var/lib/dpkg/status": STATUS,
        "var/lib/dpkg/info/libssl3:amd64.list": "/.\n/lib\n/lib/x86_64-linux-gnu/libssl.so.3\n",
        "var/lib/dpkg/info/python3-urllib3.list": (
            f"/.\n/{dist}/urllib3/__init__.py\n/{dist}/urllib3-1.26.12.dist-info/METADATA\n"
        ),
        "usr/lib/x86_64-linux-gnu/libssl.so.3": "x",
        f"{dist}/urllib3/__init__.py": "",
        f"{dist}/urllib3/__pycache__/__init__.cpython-311.pyc": "x",
        f"{dist}/urllib3-1.26.12.dist-info/METADATA": "Name: urllib3\nVersion: 1.26.12\n\nText\n",
        f"{site}/joblib/__init__.py": "",
        f"{site}/joblib-1.1.0.dist-info/METADATA": (
            "Metadata-Version: 2.4\nName: joblib\nVersion: 1.1.0\n"
            "License-Expression: BSD-3-Clause\n\nName: not a header\n"
        ),
        f"{site}/joblib-1.1.0.dist-info/RECORD": (
            "joblib/__init__.py,sha256=x,0\njoblib-1.1.0.dist-info/METADATA,,\n"
            "joblib-1.1.0.dist-info/RECORD,,\n../../../bin/joblib-tool,,\n"
        ),
        "usr/local/bin/joblib-tool": "#!/usr/bin/env python3\n",
        "usr/bin/env": elf(),
        "usr/bin/python3.11": elf(loader="/lib64/ld-linux-x86-64.so.2"),
        "usr/lib64/ld-linux-x86-64.so.2": elf(),
        "opt/conda/conda-meta/zlib-1.2.13-h_0.json": json.dumps(
            {
                "name": "zlib",
                "version": "1.2.13",
                "build": "h_0",
                "channel": "https://conda.example.org/conda-forge/linux-64",
                "subdir": "linux-64",
                "license": "Zlib",
                "files": ["lib/libz.so"],
                "size": 1.5,
                "track_features": None,
            }
        ),
        "opt/conda/lib/libz.so": "x",
        "opt/tool/bin/tool": elf(),
    }


LINKS = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "etc/os-release": "../usr/lib/os-release",
    "usr/bin/python3": "python3.11",
}
EXECUTABLE = (
    "usr/local/bin/joblib-tool",
    "usr/bin/env",
    "usr/bin/python3.11",
    "opt/tool/bin/tool",
)


def debian_layer():
    """Returns the layer of ``debian_files``."""
    return layer(debian_files(), links=LINKS, executable=EXECUTABLE)


@dataclass
class Workshop:
    """A real store in a folder, and what the benches said."""

    folder: str
    said: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.store = Store.open(f"{self.folder}/store")

    def image(self, *layers, platform=AMD64, path=""):
        """Puts an image into the store and returns its config's digest."""
        for data in layers:
            self.store.blobs.put(data)
        return self.store.blobs.put(
            config_bytes(
                platform=platform,
                diff_ids=[sha256_of(data) for data in layers],
                created=EPOCH,
                environment={"PATH": path} if path else None,
            )
        )

    def bench(self, node, inputs):
        """Returns a bench for a node with its inputs resolved."""
        return Bench(
            action=node.resolve(inputs),
            store=self.store,
            sandbox=None,
            mirrors=None,
            folder=self.folder,
            workspace=self.folder,
            say=self.said.append,
            log=lambda data: None,
        )

    def json(self, digest):
        """Returns a blob as JSON."""
        return json.loads(self.store.blobs.read(digest))


def target(*, commands=(), paths=(), platform=AMD64, waivers=(), **more):
    """Returns a target of tool@1.0."""
    return Target(
        release=ReleaseName("tool", "1.0"),
        platform=platform,
        required=True,
        deploy=Deploy(commands=tuple(commands), paths=tuple(paths)),
        waivers=tuple(waivers),
        **more,
    )
