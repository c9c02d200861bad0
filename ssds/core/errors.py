"""The one family of errors. Only these leave a room; the command line turns them into words.

Every error says what is wrong and, in ``hint``, what to do. The class says who must act.
"""

from __future__ import annotations

from collections.abc import Sequence


class SsdsError(Exception):
    """Base of all errors that ssds raises on purpose.

    Attributes:
        code: a stable code such as ``E101``; one cause with its own remedy.
        hint: what to do next, a full sentence; may be empty.
        where: the file and the address in it that asked for what went wrong, where one did.
    """

    code = "E000"
    where: tuple[str, str] = ("", "")

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if code:
            self.code = code

    @property
    def message(self) -> str:
        """What is wrong, without the hint."""
        return str(self.args[0]) if self.args else ""


class InvalidValue(SsdsError, ValueError):
    """A value from outside is not what its type demands."""

    code = "E010"


class InputError(SsdsError):
    """The user's files are wrong; carries every diagnostic that was found."""

    code = "E020"

    def __init__(self, diagnostics: Sequence[object], message: str = "") -> None:
        self.diagnostics = tuple(diagnostics)
        count = len(self.diagnostics)
        super().__init__(message or f"{count} problem{'s' if count != 1 else ''} found")


class UsageError(SsdsError):
    """The command line asks for something that does not exist or make sense."""

    code = "E030"


class IntegrityError(SsdsError):
    """Bytes do not have the digest, the size or the form that was promised."""

    code = "E040"


class UnavailableError(SsdsError):
    """Something outside is missing: a mirror, a registry, a tool, a kernel feature."""

    code = "E050"


class EnvironmentProblem(SsdsError):
    """The machine refuses: disk full, permission denied, a file system without locks."""

    code = "E060"


class StepFailed(SsdsError):
    """A build step, a test or a tool ended badly; ``log`` is the digest of its log, if kept."""

    code = "E070"

    def __init__(self, message: str, *, hint: str = "", log: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.log = log


class Refused(SsdsError):
    """A rule of ssds forbids it: a limit on removals, a digest that differs from the lock."""

    code = "E080"
