"""Their templates (``builder/templates/*.yaml`` of the checkout), read as data.

A template gives environment, packages and commands by ``self.<argument>``; what comes out may hold
more of that, so it is rendered again until nothing is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.records import dataclass
from ssds.recipe.formats.neurocontainers import jinja, shell
from ssds.recipe.formats.neurocontainers.work import Function, Namespace
from ssds.recipe.templates import TemplateProblem
from ssds.recipe.work import Work

FOLDER = "builder/templates"
_MOST_PASSES = 20


class BadPreset(Exception):
    """A template cannot be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One instruction of a template: ``kind`` is env, install or run."""

    kind: str
    values: Any


class Preset:
    """One method of a template with its arguments.

    Args:
        name: the template's name.
        data: the template's file.
        arguments: as the recipe gives them, rendered; ``method`` chooses among the methods.
        manager: apt or yum.
        work: pays for what it renders.

    Raises:
        BadPreset: there is no such method, or an argument is missing.
    """

    def __init__(
        self,
        name: str,
        data: Mapping[str, Any],
        arguments: Mapping[str, Any],
        manager: str,
        work: Work,
    ) -> None:
        method = str(arguments.get("method") or ("binaries" if "binaries" in data else "source"))
        chosen = data.get(method)
        if not isinstance(chosen, dict) or ("builder" not in chosen and "arguments" not in chosen):
            known = [key for key, item in data.items() if isinstance(item, dict)]
            raise BadPreset(f"the template {name} has no method {method}; known: {known}")
        self.data: dict[str, Any] = chosen
        self.manager = manager
        self.work = work
        self._environment = _environment(chosen)
        declared = _map(chosen.get("arguments"))
        required = declared.get("required")
        lacking = [
            a for a in (required if isinstance(required, list) else ()) if a not in arguments
        ]
        if lacking:
            raise BadPreset(f"the template {name} needs {', '.join(map(str, lacking))}")
        values = {**_map(declared.get("optional")), **arguments}
        self.values = {key: str(value) for key, value in values.items() if key != "method"}
        self._names = {"template": Namespace(self._find), "raise": Function(_raise)}

    def _find(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if name == "urls":
            return _map(self.data.get("urls"))
        if name == "env":
            return self._environment
        if name == "pkg_manager":
            return self.manager
        if name == "install":
            return Function(self._install)
        if name == "install_dependencies":
            return Function(self._dependencies)
        raise KeyError(name)

    def _install(self, packages: list[str], opts: str | None = None) -> str:
        return shell.install(self.manager, tuple(map(str, packages)), opts)

    def _dependencies(self, opts: str | None = None) -> str:
        command = ""
        packages = self._needed(self.manager)
        if packages:
            command = shell.install(self.manager, packages, opts)
        if self.manager == "apt" and (archives := self._needed("debs")):
            command += "\n" + _install_archives(archives)
        return command

    def _needed(self, manager: str) -> list[str]:
        found = _map(self.data.get("dependencies")).get(manager)
        return [self.render(str(item)) for item in found] if isinstance(found, list) else []

    def render(self, text: str) -> str:
        """Returns ``text`` rendered until no expression is left in it."""
        for _ in range(_MOST_PASSES):
            if "{{" not in text or "}}" not in text:
                return text
            text = text.replace("self.", "template.")
            text = jinja.render(text, self._names, strict=False, work=self.work)
        raise TemplateProblem("R038", "limit", f"{_MOST_PASSES} passes")

    def parts(self) -> list[Part]:
        """Returns the instructions, rendered.

        Raises:
            BadPreset: the template has something else.
            TemplateProblem: an expression fails.
            TooMuch: the recipe's budget is spent.
        """
        found = self.data.get("directives")
        if found is None:
            found = [
                {key: self.data[old]}
                for key, old in (("environment", "env"), ("run", "instructions"))
                if self.data.get(old)
            ]
        parts = []
        for item in found if isinstance(found, list) else [found]:
            part = self._part(item) if isinstance(item, dict) else None
            if part is None:
                raise BadPreset(f"an instruction that is none of environment, install, run: {item}")
            if part.values:
                parts.append(part)
        return parts

    def _part(self, item: Mapping[str, Any]) -> Part | None:
        if isinstance(item.get("environment"), dict):
            values = item["environment"].items()
            rendered = {self.render(str(k)): self.render(str(v)) for k, v in values}
            return Part(kind="env", values=rendered)
        if isinstance(item.get("install"), list):
            return Part(kind="install", values=[self.render(str(p)) for p in item["install"]])
        if "run" in item:
            run = item["run"]
            lines = [str(r) for r in run if r is not None] if isinstance(run, list) else [str(run)]
            command = " \\\n && ".join(map(self.render, lines))
            return Part(kind="run", values=command if command.strip() else "")
        return None


def _raise(message: object) -> str:
    raise TemplateProblem("R039", "reason", str(message)[:200])


def _environment(method: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in method.get("directives") or ():
        found.update(_map(_map(item).get("environment")))
    return found


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _install_archives(addresses: list[str]) -> str:
    """Returns the command that fetches and installs Debian packages by address."""
    file = '"${_reproenv_tmppath}"'
    lines = []
    for address in sorted(addresses):
        lines += [
            '_reproenv_tmppath="$(mktemp -t tmp.XXXXXXXXXX.deb)"',
            f"curl -fsSL --retry 5 -o {file} {address}",
            f"apt-get install --yes -q {file}",
            f"rm {file}",
        ]
    lines += [
        "apt-get update -qq",
        "apt-get install --yes --quiet --fix-missing",
        "rm -rf /var/lib/apt/lists/*",
    ]
    return "\n".join(lines)
