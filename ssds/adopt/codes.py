"""What may be wrong in what others deployed: one cause, one code, one remedy."""

from __future__ import annotations

from ssds.core.diagnostics import Diagnostic, Severity, Span

CODES = {
    "A001": ("a list cannot be read", "Correct the file, or leave it out."),
    "A002": (
        "an entry of a list is not understood",
        "A line is NAME_VERSION_YYYYMMDD categories:A,B, and a release its JSON form.",
    ),
    "A003": (
        "an image has a name that no lock can hold",
        "Names have lower-case letters, digits, '.', '_' and '-'. It stays unmanaged.",
    ),
    "A004": (
        "a link leads out of the tree",
        "Put what it leads to in its place; until then it stays unmanaged.",
    ),
    "A005": ("an image cannot be read", "Look at its owner and mode; it stays unmanaged."),
    "A006": (
        "a list of commands has an entry that is no command",
        "That command is not in the lock; its wrapper stays as it is.",
    ),
    "A007": (
        "a module does not say where its image is",
        "Only module files that SHPC wrote are read. It stays unmanaged.",
    ),
    "A008": ("a tag of a registry cannot be taken", "It stays unmanaged."),
}
"""Code → summary, hint."""

_WARNINGS = frozenset({"A006"})


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
