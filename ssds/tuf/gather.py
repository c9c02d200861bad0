"""What a workspace publishes: the names and bytes of its regular files, and of nothing else.

A link could lead to a key or a password of the machine that publishes, and a merged recipe may
bring one: none is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from ssds.core.errors import EnvironmentProblem, IntegrityError, InvalidValue
from ssds.host.local import read_below
from ssds.tuf.paths import check_path

FILE_LIMIT_BYTES = 256 << 20
_TOLD = 20


def files_below(root: str, names: Sequence[str]) -> dict[str, bytes]:
    """Returns relative path → bytes of files and of all files in folders; hidden ones stay out.

    Args:
        names: paths below the root; what is not there is left out.

    Raises:
        EnvironmentProblem: X078, with all that are links, no regular files, outside of the root,
            too large or not to be read.
        IntegrityError: X060, with all names that are no target paths.
    """
    found: dict[str, bytes] = {}
    wrong: list[str] = []
    unnamed: list[str] = []
    for name in names:
        for path in _regular(root, name, wrong):
            try:
                data = read_below(root, check_path(path), FILE_LIMIT_BYTES)
            except InvalidValue:
                wrong.append(f"{path}: it is larger than {FILE_LIMIT_BYTES} bytes")
            except IntegrityError:
                unnamed.append(repr(path[:200]))
            else:
                if data is None:
                    wrong.append(f"{path}: it cannot be read, or changes just now")
                else:
                    found[path] = data
    if wrong:
        raise EnvironmentProblem(
            f"{len(wrong)} files cannot be published:{_listed(wrong)}",
            hint="Only regular files of the workspace are: put the file itself in a link's place, "
            "or take it out of the catalog.",
            code="X078",
        )
    if unnamed:
        raise IntegrityError(
            f"{len(unnamed)} names cannot be published:{_listed(unnamed)}",
            hint="Rename them, or take them out of the catalog. Parts of a name have letters, "
            "digits and @ + ~ . _ - : , = and at most 180 of them.",
            code="X060",
        )
    return found


def programs(root: str, paths: Iterable[str]) -> frozenset[str]:
    """Returns those of the files that are executable: keys hash that bit."""
    return frozenset(p for p in paths if os.lstat(os.path.join(root, p)).st_mode & 0o100)


def _regular(root: str, name: str, wrong: list[str]) -> Iterator[str]:
    """Yields the regular files at or below a path, sorted; what is no file or folder is told."""
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.startswith(".."):
        wrong.append(f"{path}: it is outside of the workspace")
        return
    parts = path.split("/")
    for above in ("/".join(parts[:count]) for count in range(1, len(parts))):
        if os.path.islink(os.path.join(root, above)):
            wrong.append(f"{above}: it is a link")
            return
    yield from _below(root, path, wrong)


def _below(root: str, path: str, wrong: list[str]) -> Iterator[str]:
    place = os.path.join(root, path)
    try:
        mode = os.lstat(place).st_mode
        inside = sorted(os.listdir(place)) if stat.S_ISDIR(mode) else []
    except FileNotFoundError:
        return
    except OSError as error:
        wrong.append(f"{path}: {error.strerror}")
        return
    if stat.S_ISREG(mode):
        yield path
    elif not stat.S_ISDIR(mode):
        wrong.append(f"{path}: it is {'a link' if stat.S_ISLNK(mode) else 'no regular file'}")
    for one in inside:
        if not one.startswith("."):
            yield from _below(root, one if path == "." else f"{path}/{one}", wrong)


def _listed(lines: Sequence[str]) -> str:
    shown = "".join(f"\n    {line}" for line in lines[:_TOLD])
    return shown + (f"\n    … and {len(lines) - _TOLD} more" if len(lines) > _TOLD else "")
