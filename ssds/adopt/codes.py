"""What may be wrong in what others deployed: one cause, one code, one remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssds.core.diagnostics import Diagnostic, Severity, Span

CODES = {
    "A001": ("a list cannot be read", "Correct the file, or leave it out."),
    "A002": (
        "an entry of a list is not understood",
        "A line is NAME_VERSION_YYYYMMDD categories:A,B, and a release its JSON form.",
    ),
    "A003": (
        "an image has a name that no lock can hold",
        "Names have lower-case letters, digits, '.', '_', '-'; paths are printable. Rename it.",
    ),
    "A004": (
        "a link leads out of the tree, or to a folder around it",
        "Put what it leads to in its place; until then it stays unmanaged.",
    ),
    "A005": (
        "what should be an image is none, or cannot be read",
        "Look at its bytes, its owner and its mode; it stays unmanaged.",
    ),
    "A006": (
        "a list of commands has an entry that is no command",
        "That command is not in the lock; its wrapper stays as it is.",
    ),
    "A007": (
        "a module does not say where its image is",
        "Only module files that SHPC wrote are read. It stays unmanaged.",
    ),
    "A008": ("a tag of a registry cannot be taken", "It stays unmanaged."),
    "A009": ("a file has more findings", "Mend those above, and run it again."),
}
"""Code → summary, hint."""

SHOWN_OF_A_FILE = 100
_WARNINGS = frozenset({"A006"})


def capped(problems: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Gives the first hundred findings of each file, then how many more it has (A009)."""
    counts: dict[str, int] = {}
    for problem in problems:
        path = problem.span.path
        counts[path] = counts.get(path, 0) + 1
        if counts[path] <= SHOWN_OF_A_FILE:
            yield problem
    for path, count in counts.items():
        if count > SHOWN_OF_A_FILE:
            more = str(count - SHOWN_OF_A_FILE)
            yield diagnostic("A009", Span(path=path), more=more)


def diagnostic(code: str, span: Span, **facts: str) -> Diagnostic:
    """Returns one finding about what others deployed."""
    summary, hint = CODES[code]
    return Diagnostic(
        code=code,
        summary=summary,
        span=span,
        facts=tuple(facts.items()),
        hint=hint,
        severity=Severity.WARNING if code in _WARNINGS else Severity.ERROR,
    )
