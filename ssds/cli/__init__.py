"""The command line: one file per verb; the only room that prints, reads argv and exits."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs ``ssds`` with these arguments and returns its exit code.

    As a program (without ``arguments``) a plan ends the process itself: taking a large catalog's
    values apart, one by one, would cost as much as a part of the plan.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given in (["--version"], ["-V"]):
        from ssds.version import VERSION

        print(f"ssds {VERSION}")
        return 0
    if "plan" in given[:3]:
        from ssds.cli.fast import answer

        code = answer(given, last=arguments is None)
        if code is not None:
            return code
    from ssds.cli.app import run

    return run(given)
