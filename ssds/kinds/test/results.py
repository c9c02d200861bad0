"""Results of tests, as reports have them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

from ssds.core.canonical import Json
from ssds.core.errors import StepFailed
from ssds.core.text import shown
from ssds.host.sandbox import JobResult
from ssds.kinds.api import Bench, check_limits

_OUTPUT_LIMIT = 16 << 20
_SHOWN_CHARS = 65_536
MENDED = "a known failure that passes: remove it from catalog/debts.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one test ended: ``pass``, ``fail``, ``known`` or ``skip``; ``late``: at its time limit.

    ``known``: it failed, as somebody said it would until a day.
    """

    name: str
    result: str
    problems: tuple[str, ...] = ()
    duration_ms: int = 0
    output: bytes = b""
    late: bool = False


def as_known(result: Result, known: Collection[str]) -> Result:
    """Returns the result of a test with regard to those that are known to fail.

    One that passes all the same says so: its entry can go.
    """
    if result.name in known and result.result == "fail":
        return replace(result, result="known", late=False)
    if result.name in known and result.result == "pass":
        return replace(result, problems=(*result.problems, MENDED))
    return result


def tell_known(bench: Bench, results: Sequence[Result]) -> None:
    """Says how many known failures there are, and which of them pass."""
    failing = sum(r.result == "known" for r in results)
    if failing:
        bench.say(f"{failing} known to fail, and {'does' if failing == 1 else 'do'}")
    for mended in (r for r in results if MENDED in r.problems):
        bench.log(f"{shown(mended.name)}: {MENDED}\n".encode())
        bench.say(f"{shown(mended.name)}: {MENDED}")


class Captured:
    """One output stream of a test: passed on to the log, its start kept for the judgement."""

    def __init__(self, log: Callable[[bytes], None]) -> None:
        self._log = log
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """Takes what came."""
        self._log(data)
        self.data += data[: max(0, _OUTPUT_LIMIT - len(self.data))]


def too_late(bench: Bench, result: JobResult, test: str, time_limit_s: int) -> tuple[str, ...]:
    """Returns what is said of a test that reached its time limit; nothing where it ended by itself.

    Raises:
        StepFailed: it reached another limit, or the user stopped it: that is no result.
    """
    check_limits(bench, result, f"test {test!r}")
    if result.stopped:
        raise StepFailed("stopped by the user")
    return (f"stopped after its time limit of {time_limit_s} s",) if result.timed_out else ()


def check_times(results: Sequence[Result], field: str) -> None:
    """Raises StepFailed where tests reached their time limits: that is no result (E073).

    Args:
        field: what of the recipe states a time limit.
    """
    late = [shown(r.name) for r in results if r.late]
    if late:
        others = f" and {len(late) - 3} more" if len(late) > 3 else ""
        names = f"{', '.join(map(repr, late[:3]))}{others}"
        raise StepFailed(
            f"test {names} reached the time limit; the log has the results of those that ran",
            hint=f"Raise {field} of the test; a time-out is never remembered as a result.",
            code="E073",
        )


def report_of(results: Sequence[Result], suite: str = "") -> dict[str, Json]:
    """Returns the report: no times, so that the same image gives the same bytes."""
    tests: list[Json] = [
        {"name": r.name, "result": r.result, "problems": list(r.problems)} for r in results
    ]
    return {"tests": tests, **({"suite": suite} if suite else {})}


def junit(name: str, results: Sequence[Result], *, whole: bool = True) -> bytes:
    """Returns JUnit XML, the form that CI systems read.

    Args:
        whole: with times and output, which differ from run to run.
    """
    failed = sum(r.result == "fail" for r in results)
    skipped = sum(r.result in ("skip", "known") for r in results)
    suite = ET.Element("testsuite", name=name, tests=str(len(results)), failures=str(failed))
    if skipped:
        suite.set("skipped", str(skipped))
    for result in results:
        case = ET.SubElement(suite, "testcase", name=result.name)
        if whole:
            case.set("time", f"{result.duration_ms / 1000:.3f}")
        if result.result != "pass":
            word = "failure" if result.result == "fail" else "skipped"
            first = ("known failure",) if result.result == "known" else ()
            ET.SubElement(case, word, message=_plain("; ".join((*first, *result.problems))))
        if whole and result.result != "skip":
            text = _plain(result.output.decode("utf-8", "replace")[-_SHOWN_CHARS:])
            ET.SubElement(case, "system-out").text = text
    data: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return data


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
