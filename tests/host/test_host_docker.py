"""Whether a Docker Engine answers here."""

from __future__ import annotations

import http.server
import threading

import pytest

from ssds.host import machine


def test_without_a_docker_engine_there_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert machine.docker_engine() == ""


def test_a_docker_engine_is_asked_through_its_own_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Engine(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"Version": "28.0.1", "ApiVersion": "1.48"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        assert machine.docker_engine() == "28.0.1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
