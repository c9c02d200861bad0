"""Starts a real docker-registry on loopback for a test, and stops it by its process id."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> tuple[str, str]:
    """Makes a self-signed certificate for 127.0.0.1; returns (certificate, key)."""
    certificate, key = str(folder / "ca.crt"), str(folder / "ca.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", certificate, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@contextlib.contextmanager
def running_registry(
    folder: Path, *, users: dict[str, str] | None = None, tls: bool = False
) -> Iterator[str]:
    """Gives ``127.0.0.1:port`` of a registry with its data in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}",
        "http:",
        f"  addr: 127.0.0.1:{port}",
        "  secret: only-for-this-test",
    ]
    if tls:
        certificate, key = make_certificate(folder)
        lines.append(f"  tls: {{certificate: {certificate}, key: {key}}}")
    if users:
        with (folder / "htpasswd").open("w") as file:
            for user, password in users.items():
                subprocess.run(["htpasswd", "-Bbn", user, password], stdout=file, check=True)
        lines.append(f"auth: {{htpasswd: {{realm: probe, path: {folder}/htpasswd}}}}")
    (folder / "config.yml").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdout=log,
            stderr=log,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        _wait(port, process, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise AssertionError(f"docker-registry ended: {log.read_text()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("docker-registry did not start")
