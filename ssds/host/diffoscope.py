"""diffoscope's view of two folders, as HTML and text, where it is installed."""

from __future__ import annotations

import os
import shutil

from ssds.core.errors import UnavailableError
from ssds.host.process import run

_LIMIT_S = 600.0


def has_diffoscope() -> bool:
    """Whether diffoscope is installed."""
    return shutil.which("diffoscope") is not None


def compare_folders(before: str, after: str, folder: str) -> tuple[str, str] | None:
    """Returns an HTML page and the text that say how two folders differ; None for no difference.

    Args:
        folder: where it works.

    Raises:
        UnavailableError: it did not end well (E193).
    """
    paths = (os.path.join(folder, "view.html"), os.path.join(folder, "view.txt"))
    ended = run(
        [
            "diffoscope",
            "--exclude-directory-metadata=yes",
            f"--html={paths[0]}",
            f"--text={paths[1]}",
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
            hint="The audit itself is done; the report has everything but this view.",
            code="E193",
        )
    if not all(os.path.exists(path) for path in paths):
        return None
    return _read(paths[0]), _read(paths[1])


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
