"""The command line: one file per verb; the only room that prints, reads argv and exits."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs ``ssds`` with these arguments and returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["--version"], ["-V"]):
        from ssds.version import VERSION

        print(f"ssds {VERSION}")
        return 0
    if "plan" in arguments[:3]:
        from ssds.cli.fast import answer

        code = answer(arguments)
        if code is not None:
            return code
    from ssds.cli.app import run

    return run(arguments)
