"""Starts a real Docker Engine for tests, without network of its own, and stops it by its pid."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path


@functools.cache
def docker_host() -> str:
    """The address of an engine of this test process; started once, ended with the process."""
    folder = Path(tempfile.mkdtemp(prefix="ssds-docker-", dir=os.environ.get("SSDS_TEST_FOLDER")))
    settings = {
        "data-root": f"{folder}/data",
        "exec-root": f"{folder}/exec",
        "pidfile": f"{folder}/pid",
        "hosts": [f"unix://{folder}/docker.sock"],
        "iptables": False,
        "ip6tables": False,
        "bridge": "none",
    }
    (folder / "daemon.json").write_text(json.dumps(settings))
    log = folder / "log"
    with log.open("wb") as output:
        engine = subprocess.Popen(
            ["dockerd", "--config-file", f"{folder}/daemon.json"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() != owner:
            return
        engine.terminate()
        try:
            engine.wait(30)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    for _ in range(300):
        if "API listen on" in log.read_text(errors="replace"):
            return f"unix://{folder}/docker.sock"
        assert engine.poll() is None, log.read_text(errors="replace")[-3000:]
        time.sleep(0.1)
    raise AssertionError(f"dockerd did not start: {log.read_text(errors='replace')[-3000:]}")
