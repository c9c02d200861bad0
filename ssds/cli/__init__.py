"""The command line: one file per verb; the only room that prints, reads argv and exits."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs ``ssds`` with these arguments and returns its exit code.

    As a program (without ``arguments``) a plan ends the process itself: taking a large catalog's
    values apart, one by one, would cost as much as a part of the plan.
    """
    if arguments is None and sys.getfilesystemencoding() != "utf-8":
        _start_in_utf8()
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


def _start_in_utf8() -> None:
    """Starts anew with file names as UTF-8: a locale must change no name, and so no key.

    What is printed stays in the terminal's encoding.
    """
    import os

    if sys.executable and not sys.flags.utf8_mode:
        if sys.stdout is not None:
            os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:replace")
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
