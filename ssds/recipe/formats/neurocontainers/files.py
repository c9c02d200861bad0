"""Files that a recipe declares: by address, beside the recipe, or written out in it."""

from __future__ import annotations

import hashlib
import posixpath
import re
import urllib.parse
from collections.abc import Mapping

from ssds.core.records import dataclass, replace
from ssds.recipe.steps import GivenFile, SourceRequest
from ssds.recipe.templates import TemplateProblem

MOUNT = "/run/ssds/files"
"""Where a ``run`` sees the files that it asks for."""
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A declared file; ``file.name`` is how it is seen, ``request`` its source if it has one."""

    file: GivenFile
    request: SourceRequest | None = None


class Files:
    """What was declared so far in one target, and what its present ``run`` asked for.

    Attributes:
        declared: by name.
        sources: the sources among them, by name.
        mounted: what the present ``run`` asked for, by the name under which it is seen; None
            outside of a ``run``.
        strays: names that were asked for outside of a ``run``, where nothing is mounted.
    """

    def __init__(self) -> None:
        self.declared: dict[str, Declared] = {}
        self.sources: dict[str, SourceRequest] = {}
        self.mounted: dict[str, GivenFile] | None = None
        self.strays: list[str] = []

    def add(self, name: str, declared: Declared) -> None:
        """Adds a file."""
        self.declared[name] = declared
        if declared.request is not None:
            self.sources[declared.request.name] = declared.request

    def asked(self, name: object) -> str:
        """Returns the path of a declared file, and notes that it is wanted.

        Raises:
            TemplateProblem: R039, it is not declared.
        """
        declared = self.declared.get(str(name))
        if declared is None:
            known = ", ".join(list(self.declared)[:_SHOWN]) or "none"
            raise TemplateProblem(
                "R039", "reason", f"no file {str(name)[:60]!r} is declared before; known: {known}"
            )
        file = declared.file
        if self.mounted is None:
            self.strays.append(str(name))
            return f"{MOUNT}/{file.name}"
        seen = file.name
        if self.mounted.get(seen, file) != file:
            stem, dot, end = seen.rpartition(".")
            mark = hashlib.sha256(str(name).encode()).hexdigest()[:12]
            seen = f"{stem}_{mark}.{end}" if dot else f"{seen}_{mark}"
        self.mounted[seen] = replace(file, name=seen)
        return f"{MOUNT}/{seen}"


def seen_name(name: str, url: str) -> str:
    """Returns the name under which a file is seen: that of its address, where it has one."""
    last = posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(url).path)) if url else ""
    return name if last in ("", ".", "..") else last


def source_name(name: str, taken: Mapping[str, object]) -> str:
    """Returns a name for a source: the declared one, in the letters that recipes of ours allow."""
    plain = re.sub(r"[^a-z0-9_.-]", "_", name.lower())[:48].lstrip("_.-") or "file"
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}" if plain in taken else plain
