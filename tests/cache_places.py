"""Caches for tests: stores with real claims, the three kinds of places, a server that can fail."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ssds.cache.cache import Cache
from ssds.cache.place import Place, open_place
from ssds.core.canonical import action_key, canonical_bytes
from ssds.core.digest import ActionKey, Digest
from ssds.core.model import OUTPUTS, Claim
from ssds.store.store import Store

ROOT = Path(__file__).resolve().parent.parent


def preimage_of(text: str, kind: str = "metadata") -> dict:
    return {"kind": kind, "kind_version": 1, "platform": "any", "slice": {"text": text}}


def key_of(text: str, kind: str = "metadata") -> ActionKey:
    return action_key(preimage_of(text, kind))


def add_claim(store: Store, text: str, kind: str = "metadata", **more: object) -> Claim:
    """Puts a claim with one blob into a store."""
    blob = store.blobs.put(f"the output of {text}\n".encode() * 100)
    (output, *_) = OUTPUTS[kind]
    claim = Claim(key=key_of(text, kind), kind=kind, outputs={output: blob}, **more)
    store.claims.add(claim, canonical_bytes(preimage_of(text, kind)), f"{text}@1.0:{kind}")
    return claim


def pairs(*claims: Claim) -> list[tuple[Claim, str]]:
    return [(claim, f"node of {claim.key.short}") for claim in claims]


def cache_at(location: str, folder: Path, **more: object) -> Cache:
    """Returns a reader that has seen nothing so far."""
    limit_s = more.pop("limit_s", 20.0)
    place = open_place(location, insecure=True, limit_s=limit_s)
    return Cache("ci", place, str(folder), limit_s=limit_s, **more)


@dataclass
class Where:
    """One place, as those who write and those who read name it."""

    writing: str
    reading: str
    folder: Path | None = None
    asked: list[str] = field(default_factory=list)

    def writer(self, folder: Path) -> Cache:
        return cache_at(self.writing, folder)

    def reader(self, folder: Path, **more: object) -> Cache:
        return cache_at(self.reading, folder, **more)


@contextlib.contextmanager
def web_server(folder: Path, *, delay_s: float = 0.0) -> Iterator[Where]:
    """Serves a folder and keeps what was asked."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            time.sleep(delay_s)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                super().do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    server.daemon_threads = True
    server.block_on_close = False
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        yield Where(writing=str(folder), reading=address, folder=folder, asked=asked)
    finally:
        server.shutdown()
        server.server_close()


def blob_file(where: Where, digest: Digest) -> Path:
    assert where.folder is not None
    return where.folder / "blobs/sha256" / digest.hex


def place_of(where: Where) -> Place:
    return open_place(where.writing, insecure=True, limit_s=20)
