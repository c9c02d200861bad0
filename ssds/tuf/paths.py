"""Target paths: names below one folder, and nothing else, whoever signed them."""

from __future__ import annotations

from collections.abc import Collection

from ssds.core.errors import IntegrityError

LIMIT_CHARACTERS = 1000
PART_LIMIT_CHARACTERS = 180
"""A file system has 255 bytes for a name, and the sha256 stands before it in a repository."""


def check_path(path: str) -> str:
    """Returns the path of a target.

    Raises:
        IntegrityError: X060, it could lead elsewhere, or a web server would read it otherwise.
    """
    parts = path.split("/")
    bad = any(
        part.startswith(".") or not part or len(part) > PART_LIMIT_CHARACTERS for part in parts
    )  # "..", hidden, empty
    if bad or len(path) > LIMIT_CHARACTERS or any(not _plain(letter) for letter in path):
        raise IntegrityError(
            f"{path[:80]!r} is no path of a published file",
            hint="It is relative; its parts have letters, digits and @ + ~ . _ - : , = and no dot "
            f"at the beginning, and at most {PART_LIMIT_CHARACTERS} of them.",
            code="X060",
        )
    return path


def _plain(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter in "@+~._-:,=/")


def check_together(paths: Collection[str]) -> None:
    """Refuses paths that are no target paths, or of which one is a file and another's folder.

    Raises:
        IntegrityError: X060, X069.
    """
    for path in paths:
        parts = check_path(path).split("/")
        for count in range(1, len(parts)):
            if "/".join(parts[:count]) in paths:
                raise IntegrityError(
                    f"{'/'.join(parts[:count])} is said to be a file, and the folder of {path}",
                    hint="Nothing was taken. Ask who published it.",
                    code="X069",
                )
