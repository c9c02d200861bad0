"""What their templates know while one target is read, and values rendered with places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.platform import Platform
from ssds.recipe.address import Path
from ssds.recipe.formats.neurocontainers.files import Files
from ssds.recipe.formats.neurocontainers.jinja import render
from ssds.recipe.formats.neurocontainers.work import Function, Namespace
from ssds.recipe.formats.scope import Report
from ssds.recipe.templates import TemplateProblem
from ssds.recipe.work import MOST_WORK, TooMuch, Work

_VALUE = 20
_NAME = 300
"""Units for a value, and for a name that an unknown one is compared with."""
PARALLEL_JOBS = 4
"""``parallel_jobs``: the same on every machine, whatever its processors; a number, as theirs."""


class Failed(Exception):
    """A part cannot be read; its diagnostic was given."""


class Context:
    """One target while it is read.

    Attributes:
        values: the variables, by name.
        work: what reading the recipe may still cost.
        files: what was declared, and what the present ``run`` asked for.
    """

    def __init__(
        self,
        *,
        name: str,
        version: str,
        original_version: str,
        platform: Platform,
        selector: str,
        options: Mapping[str, bool],
        files: Files,
        work: Work,
    ) -> None:
        self.values: dict[str, Any] = {}
        self.work = work
        self.files = files
        self.arch = platform.machine
        calls = {
            "get_file": Function(files.asked),
            "has_local": Function(lambda _: False),
            "get_local": Function(_no_local),
        }
        self._own: dict[str, Any] = {
            "name": name,
            "version": version,
            "original_version": original_version,
            "arch": self.arch,
            "variant": selector,
            "parallel_jobs": PARALLEL_JOBS,
            "options": Namespace(dict(options).__getitem__),
            **calls,
        }
        whole = Namespace(self._find)
        self._names: dict[str, Any] = {
            "context": whole,
            "local": whole,
            "arch": self.arch,
            "parallel_jobs": PARALLEL_JOBS,
            **calls,
        }

    def _find(self, name: str) -> Any:
        return self._own[name] if name in self._own else self.values[name]

    def text(self, text: str, report: Report, path: Path) -> str:
        """Returns ``text`` rendered.

        Raises:
            Failed: it has a problem, which was reported.
            TooMuch: the recipe's budget is spent, which was reported.
        """
        names = self._names
        if "{" in text:
            self.spend(len(self.values), report, path)
            names = {**self._names, **self.values}
        try:
            return render(text, names, work=self.work)
        except TemplateProblem as problem:
            if problem.code == "R036":
                self.spend(_NAME * len(names), report, path)
            report.template(problem, path, text, names)
            raise Failed from problem
        except TooMuch as problem:
            raise self.told(problem, report, path) from None

    def spend(self, units: int, report: Report, path: Path) -> None:
        """Pays for what reading a part costs.

        Raises:
            TooMuch: the recipe's budget is spent, which was reported.
        """
        try:
            self.work.spend(units)
        except TooMuch as problem:
            raise self.told(problem, report, path) from None

    def told(self, problem: TooMuch, report: Report, path: Path) -> TooMuch:
        """Returns the problem, reported where it arose."""
        if not problem.told:
            report("N053", path, ("limit", f"{MOST_WORK} units for one recipe"))
            problem.told = True
        return problem

    def value(self, value: Any, report: Report, path: Path) -> Any:
        """Returns a value with every text in it rendered, keys too; ``try`` is decided."""
        self.spend(_VALUE, report, path)
        if isinstance(value, str):
            return self.text(value, report, path)
        if isinstance(value, list):
            return [self.value(item, report, (*path, i)) for i, item in enumerate(value)]
        if isinstance(value, dict):
            if isinstance(value.get("try"), list):
                return self._tried(value["try"], report, (*path, "try"))
            return {
                self.text(key, report, (*path, key)): self.value(item, report, (*path, key))
                for key, item in value.items()
            }
        return value

    def _tried(self, choices: list[Any], report: Report, path: Path) -> Any:
        for index, choice in enumerate(choices):
            if not isinstance(choice, dict) or not isinstance(choice.get("condition"), str):
                continue
            if self.holds(choice, report, (*path, index)):
                return self.value(choice.get("value"), report, (*path, index, "value"))
        report("N020", path, ("architecture", self.arch))
        raise Failed

    def holds(self, item: Mapping[str, Any], report: Report, path: Path) -> bool:
        """Whether the item's condition, if it has one, renders to the word ``True``."""
        if "condition" not in item:
            return True
        text = "{{ " + str(item["condition"]) + " }}"
        return self.text(text, report, (*path, "condition")).strip() == "True"


def _no_local(key: object) -> str:
    raise TemplateProblem("R039", "reason", f"there is no local folder {key!r}")
