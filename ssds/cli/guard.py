"""Every way out of the command line: errors become words and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from ssds.cli.output import prepare_streams, report_error
from ssds.core.errors import SsdsError

EXIT_ERROR = 1
EXIT_STOPPED = 130
EXIT_PIPE = 141


def guarded(work: Callable[[], int]) -> int:
    """Returns the exit code of ``work``; an error is printed, and has a code of its own.

    SIGTERM and SIGHUP (a batch system's end, a closed terminal) are what Ctrl-C is: what runs is
    ended, what is finished is kept.
    """
    prepare_streams()
    stopping = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in stopping:
        signal.signal(number, _interrupt)
    try:
        return _explained(work)
    finally:
        for number in stopping:
            signal.signal(number, signal.SIG_DFL)


def _explained(work: Callable[[], int]) -> int:
    try:
        return work()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_STOPPED
    except SystemExit as leave:  # click's own ways out: completion is done, or a reader left
        completing = "_SSDS_COMPLETE" in os.environ
        return EXIT_PIPE if leave.code == 1 and not completing else int(leave.code or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except SsdsError as error:
        report_error(error)
        return EXIT_ERROR
    except OSError as error:
        report_error(
            SsdsError(
                f"{error.strerror or error}: {error.filename or 'no file named'}",
                hint="Check the file's owner, permissions and disk.",
                code="E062",
            )
        )
        return EXIT_ERROR
    except Exception as error:
        if os.environ.get("SSDS_TRACEBACK"):
            raise
        report_error(
            SsdsError(
                f"ssds failed: {type(error).__name__}: {str(error)[:300]}",
                hint="This is a fault of ssds. Please report it, with what SSDS_TRACEBACK=1 shows.",
                code="E001",
            )
        )
        return EXIT_ERROR


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
