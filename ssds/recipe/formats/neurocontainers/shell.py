"""How texts of a recipe become what a Dockerfile's RUN gives the shell.

Their builder writes a command over several lines, joins lines with ``&&``, and a Dockerfile's
reader folds them to one: both happen here at once, to the letter, odd cases too.

Source: Dockerfile reference, "Escape" and "Comments" (continuation lines, comments in them).
"""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.patterns import pattern

_JOINED = ("&&", "&", "||", "|", "fi")
"""A line that begins so goes on with the one before; ``fi`` takes ``find`` and ``file`` too."""
_CONTINUED = pattern(r"(?:^|[^\\])\\[ \t]*$")

HERE = pattern(r"<<-?\s*[\"']?[A-Za-z_]")
"""The beginning of a here-document."""


def run_lines(command: str) -> list[str]:
    """Returns the lines of the RUN instruction, each as the Dockerfile has it."""
    lines = f"RUN {command}".splitlines()
    written = []
    for number, raw in enumerate(lines):
        line = raw.rstrip()
        if not line:
            continue
        comment = line.startswith("#")
        if number and not comment and not line.startswith(_JOINED):
            above = lines[number - 1]
            if not above.endswith("\\") and not above.startswith("if"):
                line = f"&& {line}"
            else:
                line = f"   {line}"
        if number:
            line = f"    {line}"
        if number < len(lines) - 1 and not comment and not line.endswith("\\"):
            line += " \\"
        written.append(line)
    return written


def folded(lines: Sequence[str]) -> str:
    """Returns the one text that the shell gets of the lines of an instruction."""
    pieces = []
    for number, line in enumerate(lines):
        if number and (not line.strip() or line.lstrip().startswith("#")):
            continue
        ends = _CONTINUED.search(line)
        pieces.append(line[: line.rindex("\\")] if ends else line)
        if not ends:
            break
    return "".join(pieces).removeprefix("RUN").strip()


def goes_on(command: str) -> bool:
    """Whether the last line ends as if another one followed: in a Dockerfile the next one does."""
    lines = run_lines(command)
    return bool(_CONTINUED.search(lines[-1]))


def dequoted(text: str, quotes: str = '"') -> str:
    """Returns ``text`` without the quotes that a Dockerfile's reader takes away in a word."""
    found, escaped = [], False
    for sign in text:
        if sign in quotes and not escaped:
            continue
        escaped = sign == "\\" and not escaped
        found.append(sign)
    return "".join(found).replace('\\"', '"')


def script(command: str) -> str:
    """Returns the text that the shell gets of a command."""
    return folded(run_lines(command))


def joined(commands: Sequence[str]) -> str:
    """Returns the items of one ``run`` as one command."""
    return " " + " \\\n && ".join(commands)


def install(manager: str, packages: Sequence[str], options: str | None = None) -> str:
    """Returns the command that installs packages, in the order of their names.

    Raises:
        ValueError: the package manager is not known.
    """
    names = " \\\n    ".join(sorted(packages))
    if manager == "apt":
        options = "-q --no-install-recommends" if options is None else options
        return (
            f"apt-get update -qq\napt-get install -y {options} \\\n    {names}\n"
            "rm -rf /var/lib/apt/lists/*"
        )
    if manager in ("yum", "rpm"):
        options = "-q" if options is None else options
        return f"yum install -y {options} \\\n    {names}\nyum clean all\nrm -rf /var/cache/yum/*"
    raise ValueError(f"unknown package manager {manager!r}")
