"""The text of a Dockerfile as instructions, and its words with their variables.

Source: Dockerfile reference (format, parser directives, escaping, environment replacement,
here-documents).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.core.records import dataclass
from ssds.importers.model import Refusals

_HEREDOC = pattern(r"<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_.]*)\2(?=\s|$|[;&|)>])")
_FLAG = pattern(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)")
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """A here-document: its text, and whether variables in it are replaced (by the builder)."""

    text: str
    expand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction.

    Attributes:
        name: in capitals.
        flags: ``--name=value``; an empty value for those without.
        rest: what follows, lines that go on joined.
        line: where it begins.
        heredocs: in their order.
    """

    name: str
    flags: Mapping[str, str]
    rest: str
    line: int
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def listed(self) -> list[str] | None:
        """The words of the exec form, or None."""
        if not self.rest.startswith("["):
            return None
        try:
            words: Any = json.loads(self.rest)
        except (ValueError, RecursionError):
            return None
        return words if all(isinstance(word, str) for word in words) else None


def instructions(text: str, refuse: Refusals) -> list[Instruction]:
    """Returns the instructions; what cannot be read goes to ``refuse``."""
    lines = text.replace("\r\n", "\n").split("\n")
    found: list[Instruction] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        directive = re.fullmatch(r"#\s*escape\s*=\s*(\S+)\s*", line, re.IGNORECASE)
        if directive and directive[1] != "\\" and not found:
            refuse(at + 1, line, "Only \\ is known as the sign that a line goes on.")
        if not line.strip() or line.lstrip().startswith("#"):
            at += 1
            continue
        begin, whole = at, ""
        while True:
            part = lines[at]
            at += 1
            goes_on = re.search(r"\\[ \t]*$", part)
            whole += part[: goes_on.start()] if goes_on else part
            while goes_on and at < len(lines) and re.match(r"\s*(?:#|$)", lines[at]):
                at += 1  # comments and empty lines inside are left out
            if not goes_on or at >= len(lines):
                break
        at, documents, closed = _heredocs(lines, at, whole)
        if not closed:
            refuse(begin + 1, whole, "The here-document has no end.")
        if instruction := _instruction(whole, begin + 1, documents):
            found.append(instruction)
        else:
            refuse(begin + 1, whole, "That is no instruction.")
    return found


def _heredocs(lines: list[str], at: int, whole: str) -> tuple[int, tuple[Heredoc, ...], bool]:
    documents: list[Heredoc] = []
    if re.match(r"\s*(?:RUN|COPY|ADD)\b", whole, re.IGNORECASE):
        for match in _HEREDOC.finditer(whole):
            body = []
            while at < len(lines):
                line = lines[at].lstrip("\t") if match[1] else lines[at]
                at += 1
                if line == match[3]:
                    break
                body.append(line)
            else:
                return at, tuple(documents), False
            text = "".join(f"{line}\n" for line in body)
            documents.append(Heredoc(text=text, expand=not match[2]))
    return at, tuple(documents), True


def again(one: Instruction) -> list[str]:
    """Returns the here-documents of a command as the shell reads them."""
    names = re.findall(r"<<-?['\"]?([\w.]+)['\"]?", one.rest)
    texts: list[str] = []
    for name, document in zip(names, one.heredocs, strict=False):
        texts.append(f"{document.text}{name}")
    return texts


def _instruction(whole: str, line: int, documents: tuple[Heredoc, ...]) -> Instruction | None:
    match = re.fullmatch(r"\s*([A-Za-z]+)(?:\s+(.*))?", whole, re.DOTALL)
    if match is None:
        return None
    rest, flags = (match[2] or "").strip(), {}
    while flag := _FLAG.match(rest):
        flags[flag[1]] = flag[2] or ""
        rest = rest[flag.end() :]
    return Instruction(
        name=match[1].upper(), flags=flags, rest=rest.strip(), line=line, heredocs=documents
    )


_STRANGE = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*(?::[-+][^{}$]*)?\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word: pieces of plain text and of text in which variables are replaced."""

    pieces: tuple[tuple[str, bool], ...]

    @property
    def plain(self) -> str | None:
        """The text, where no variable stands in it."""
        if any(live and re.search(r"\$[{A-Za-z_]", text) for text, live in self.pieces):
            return None
        return "".join(text for text, _ in self.pieces)

    @property
    def strange(self) -> bool:
        """Whether a variable stands in it in a form that an ``env`` step does not know."""
        if any(live and _STRANGE.search(text) for text, live in self.pieces):
            return True
        return any(
            not quiet and live and before.endswith("\\") and text.startswith("$")
            for (before, quiet), (text, live) in zip(self.pieces, self.pieces[1:], strict=False)
        )

    @property
    def expanding(self) -> str:
        """The text for an ``env`` step with ``expand``."""
        return "".join(text if live else text.replace("$", "\\$") for text, live in self.pieces)

    def filled(self, known: Mapping[str, str]) -> Word:
        """Returns the word with the variables that are known replaced."""

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if name not in known:
                return match[0]
            sign, other = match[3] or "", match[4] or ""
            told = known[name]
            if sign == ":-":
                return told or other
            return (other if told else "") if sign == ":+" else told

        form = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})(?:(:[-+])([^{{}}$]*))?\}})")
        pieces = []
        for text, live in self.pieces:
            position = 0
            for match in form.finditer(text) if live else ():
                new = value(match)
                pieces.append((text[position : match.start()], True))
                pieces.append((new, new == match[0]))
                position = match.end()
            pieces.append((text[position:], live))
        return Word(pieces=tuple(pieces))


def words(text: str, *, at: str = "", whole: bool = False) -> list[Word] | None:
    """Returns the words of a text, quotes taken off; None where a quote has no end.

    Args:
        text: a shell-like list of words.
        at: a sign at which the first word ends too (``=`` of ENV).
        whole: all of it is one word; space between its parts stays.
    """
    found: list[Word] = []
    pieces: list[tuple[str, bool]] = []
    begun, position, sign = False, 0, ""
    while position < len(text):
        char = text[position]
        position += 1
        if sign:
            if char == sign:
                sign = ""
            elif sign == '"' and char == "\\" and text[position : position + 1] in ('"', "\\", "$"):
                pieces.append((text[position], False))
                position += 1
            else:
                pieces.append((char, sign == '"'))
        elif char in "'\"":
            sign, begun = char, True
        elif char == "\\" and position < len(text):
            pieces.append((text[position], False))
            begun, position = True, position + 1
        elif whole and char.isspace():
            pieces.append((char, False))
        elif char.isspace() or (at and char == at and not found):
            if begun or pieces:
                found.append(_joined(pieces))
            pieces, begun = [], False
            if char == at:
                at = ""
        else:
            pieces.append((char, True))
    if sign:
        return None
    if begun or pieces:
        found.append(_joined(pieces))
    return found


def _joined(pieces: list[tuple[str, bool]]) -> Word:
    """Joins neighbours of one sort, so that ``$NAME`` is seen whole."""
    joined: list[tuple[str, bool]] = []
    for text, live in pieces:
        if joined and joined[-1][1] == live:
            joined[-1] = (joined[-1][0] + text, live)
        else:
            joined.append((text, live))
    return Word(pieces=tuple(joined))


def pairs(text: str) -> list[tuple[str, Word]] | None:
    """Returns NAME → word of ENV and LABEL, in both of their forms; None where it is neither."""
    old = re.fullmatch(r"([^\s=\"']+)\s+(.*)", text, re.DOTALL)
    if old is not None:
        value = words(old[2], whole=True)
        return None if value is None else [(old[1], value[0])]
    found: list[tuple[str, Word]] = []
    rest = text
    while rest:
        match = re.match(r"\s*(\"[^\"]+\"|[^\s=\"']+)=", rest)
        if match is None:
            return None if rest.strip() else found
        rest = rest[match.end() :]
        end = _end_of_word(rest)
        own = words(rest[:end])
        if own is None or len(own) > 1:
            return None
        found.append((match[1].strip('"'), own[0] if own else Word(pieces=())))
        rest = rest[end:]
    return found


def unquoted(text: str) -> Iterator[int]:
    """Gives the places of a shell-like text that no quote and no backslash covers."""
    sign, position = "", 0
    while position < len(text):
        char = text[position]
        if char == "\\" and sign != "'":
            position += 1
        elif sign:
            sign = "" if char == sign else sign
        elif char in "'\"":
            sign = char
        else:
            yield position
        position += 1


def _end_of_word(text: str) -> int:
    return next((at for at in unquoted(text) if text[at].isspace()), len(text))
