"""What an expansion is given, what it gives, and how it says no. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.core.records import dataclass, field
from ssds.recipe.address import Path
from ssds.recipe.codes import near
from ssds.recipe.steps import LocalTree, SourceRequest, Step

GENERATORS = ("neurodocker", "hpccm", "spack", "easybuild")
"""The step types that are written out while a recipe is read."""

PACKAGES = ("neurodocker", "hpccm")
"""Packages of others that it is done with; another version of them may give other steps."""

_REF = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+@/-]*")
_FOLDER = pattern(r"(?!/(?:dev|proc|run|sys|tmp|var/tmp)(?:/|$))(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+")
_SAFE = pattern(r"[A-Za-z0-9_./:@%+=,~-]*(?: [A-Za-z0-9_./:@%+=,~-]+)*")


class ExpansionProblem(Exception):
    """A step cannot be written out; the reader turns it into a diagnostic.

    Attributes:
        code: of the table in codes.py.
        path: below the step's own key.
        facts: (label, text).
        first: "did you mean".
        key: whether the key itself is wrong.
    """

    def __init__(
        self,
        code: str,
        path: Path,
        *facts: tuple[str, str],
        first: str = "",
        key: bool = False,
    ) -> None:
        super().__init__(f"{code} {path} {facts}")
        self.code = code
        self.path = path
        self.facts = facts
        self.first = first
        self.key = key


def unknown(
    code: str, path: Path, label: str, word: str, known: Iterable[str], *, key: bool = False
) -> ExpansionProblem:
    """Returns the problem of a word that is not among ``known``, with the nearest one."""
    words = sorted(known)
    shown = ", ".join(words[:40]) + (", …" if len(words) > 40 else "")
    facts = ((label, word), ("known", shown or "none"))
    return ExpansionProblem(code, path, *facts, first=near(word, words), key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One step as the recipe has it, its texts filled in.

    Attributes:
        value: what the schema accepts, rendered.
        platform: ``linux/amd64``; nothing of the machine that reads is known.
        sources: what the recipe declares and holds here.
        common: address and time limit, for each step that comes of it.
        trees: what ``file`` names beside the recipe, where there is such a key.
    """

    value: Mapping[str, Any]
    platform: str
    sources: Mapping[str, SourceRequest]
    common: Mapping[str, Any]
    trees: Mapping[str, LocalTree | None] = field(default_factory=dict)

    def folder(self, key: str, otherwise: str) -> str:
        """Returns the folder that a key names, or ``otherwise``.

        Raises:
            ExpansionProblem: R116 for what is no plain absolute path below the root.
        """
        path: str = self.value.get(key, otherwise)
        if not _FOLDER.fullmatch(path):
            raise ExpansionProblem("R116", (key,), ("found", path[:200]))
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The steps that stand for one, and the sources that they need beside the recipe's own."""

    steps: tuple[Step, ...]
    sources: Mapping[str, SourceRequest] = field(default_factory=dict)
    problems: tuple[ExpansionProblem, ...] = ()


def is_plain(text: str) -> bool:
    """Whether a shell reads ``text`` as plain words."""
    return _SAFE.fullmatch(text) is not None


def is_ref(text: str) -> bool:
    """Whether ``text`` is a tag, branch or commit id in plain form (git-check-ref-format(1))."""
    if not _REF.fullmatch(text) or ".." in text or "@{" in text:
        return False
    parts = text.split("/")
    return not any(p[:1] in ("", ".") or p.endswith((".", ".lock")) for p in parts)


def bound_file(name: str, source: SourceRequest, path: Path) -> str:
    """Returns where a step sees the one file of a source.

    Raises:
        ExpansionProblem: R118 for what is no single file with a known name.
    """
    file = source.file or source.url.partition("?")[0].rpartition("/")[2]
    if source.unpack or not file or not is_plain(file) or " " in file:
        raise ExpansionProblem("R118", path, ("source", name))
    return f"/run/ssds/sources/{name}/{file}"
