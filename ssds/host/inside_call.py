"""Runs one function of ssds in the sandbox's user namespace and answers with its result."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import sys

from ssds.core.errors import SsdsError
from ssds.host.files import explained


def main(status: int) -> None:
    """Reads ``{function, arguments}`` from standard input; answers on descriptor ``status``.

    SIGTERM ends the function as an exception does, so that it ends what it has started.
    """
    signal.signal(signal.SIGTERM, _leave)
    request = json.load(sys.stdin)
    try:
        with explained("the files of the sandbox"):
            result = _call(request["function"], request["arguments"])
        reply = {"result": result}
    except SsdsError as error:
        reply = {
            "error": error.message,
            "hint": error.hint,
            "code": error.code,
            "kind": type(error).__name__,
        }
    except OSError as error:
        reply = {"error": str(error), "hint": "", "kind": "EnvironmentProblem"}
    except Exception as error:
        name = type(error).__name__
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f" ({where.tb_frame.f_code.co_name}, line {where.tb_lineno})" if where else ""
        reply = {
            "error": f"{request['function']} failed: {name}: {error}{place}",
            "hint": "This is a fault of ssds; please report it.",
            "kind": "SsdsError",
        }
    with os.fdopen(status, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(reply) + "\n")


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _call(function: str, arguments: dict[str, object]) -> object:
    module, _, name = function.partition(":")
    if not module.startswith("ssds."):
        raise SsdsError(f"{function} is no function of ssds")
    result = getattr(importlib.import_module(module), name)(**arguments)
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return dataclasses.asdict(result)
    return result
