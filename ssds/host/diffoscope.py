"""diffoscope's view of two folders, as text and HTML, where it is installed."""

from __future__ import annotations

import os
import shutil

from ssds.core.errors import UnavailableError
from ssds.host.process import missing_program, run

_LIMIT_S = 600.0


def check_diffoscope() -> None:
    """Raises UnavailableError where diffoscope is not installed."""
    if shutil.which("diffoscope") is None:
        raise missing_program("diffoscope")


def compare_folders(before: str, after: str, target: str) -> tuple[str, ...]:
    """Writes ``TARGET.txt`` and ``TARGET.html``; returns their paths.

    Raises:
        UnavailableError: it is not installed, or did not end well (E193).
    """
    check_diffoscope()
    os.makedirs(os.path.dirname(target), exist_ok=True)
    paths = (f"{target}.txt", f"{target}.html")
    ended = run(
        [
            "diffoscope",
            "--exclude-directory-metadata=yes",
            f"--text={paths[0]}",
            f"--html={paths[1]}",
            before,
            after,
        ],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        timeout_s=_LIMIT_S,
    )
    if ended.timed_out or ended.returncode not in (0, 1):  # 1: they differ
        why = "took too long" if ended.timed_out else f"ended with {ended.returncode}"
        last = (ended.text.strip().splitlines() or ["-"])[-1][:200]
        raise UnavailableError(
            f"diffoscope {why}: {last}",
            hint="The audit itself is done; leave --html out.",
            code="E193",
        )
    return tuple(path for path in paths if os.path.exists(path))
