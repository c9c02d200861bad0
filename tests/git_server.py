"""Real repositories, and a real git server (``git http-backend``) on loopback."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WHO = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")


def git(folder: Path, *words: str, date: str = "2024-05-06T07:08:09Z", stdin: bytes = b"") -> str:
    env = {**os.environ, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    argv = ["git", *WHO, "-C", str(folder), *words]
    done = subprocess.run(argv, env=env, check=True, capture_output=True, input=stdin)
    return done.stdout.decode().strip()


def make_repository(folder: Path) -> Path:
    """A repository with a program, a link, a folder, an annotated tag ``v1`` and two branches."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "README").write_text("read me\n")
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "run.sh").write_text("#!/bin/sh\necho run\n")
    (folder / "src" / "run.sh").chmod(0o755)
    (folder / "src" / "deep" / "é.txt").write_text("text\n")
    (folder / "src" / "link").symlink_to("deep/é.txt")
    (folder / ".gitattributes").write_text("README export-ignore\n*.txt export-subst eol=crlf\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "tag", "-a", "-m", "one", "v1")
    git(folder, "branch", "side/way")
    return folder


def commit(folder: Path, name: str = "new", text: str = "new\n") -> str:
    (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "HEAD")


def commit_tree(folder: Path, listing: str) -> str:
    """A commit of a tree as it is written, which no checkout would make."""
    tree = git(folder, "mktree", "--missing", stdin=listing.encode())
    made = git(folder, "commit-tree", "-m", "odd", tree)
    git(folder, "update-ref", "refs/heads/odd", made)
    return made


@contextmanager
def git_server(root: Path) -> Iterator[str]:
    """Serves the repositories below ``root`` by git's own smart protocol; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            }
            done = subprocess.run(
                ["git", "-c", "safe.directory=*", "http-backend"],
                env=env,
                input=body,
                capture_output=True,
                check=False,
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the base class calls it so

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
