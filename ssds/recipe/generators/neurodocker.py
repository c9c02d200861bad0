"""``neurodocker`` steps: a template of the package neurodocker as steps of ssds.

The templates are data of the installed package; its code is not imported (it asks a server for
news, and sees the machine that it runs on). Dependencies become a locked ``apt`` step, variables
an ``env`` step, the instructions a ``run`` step, which reads a declared source in place of the
template's address, or uses the network. Source: neurodocker's schema of templates (reproenv).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.recipe.formats.scope import ENVIRONMENT_NAME, PACKAGE
from ssds.recipe.generators.model import (
    Expansion,
    ExpansionProblem,
    Request,
    bound_file,
    is_plain,
    unknown,
)
from ssds.recipe.steps import AptStep, EnvStep, RunStep, Step

METHODS = ("binaries", "source")
_MOST_TURNS = 20
_MOST_TEXT = 200_000
_PACKAGES = pattern(r"[A-Za-z0-9_./:@%+=,~<>!*\[\]-]*(?: [A-Za-z0-9_./:@%+=,~<>!*\[\]-]+)*")


def template_folder() -> str:
    """Returns the folder of the templates.

    Raises:
        ExpansionProblem: R110 where the package is not installed.
    """
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("neurodocker")
    places = list(spec.submodule_search_locations or ()) if spec else []
    folder = os.path.join(places[0], "templates") if places else ""
    if not os.path.isdir(folder):
        raise ExpansionProblem("R110", (), ("package", "neurodocker"))
    return folder


def templates() -> list[str]:
    """Returns the names of the templates."""
    names = (n.removesuffix(".yaml") for n in os.listdir(template_folder()) if n.endswith(".yaml"))
    return sorted(name for name in names if not name.startswith(("_", ".")))


@functools.lru_cache(maxsize=64)
def _read(path: str, _changed_ns: int) -> Mapping[str, Any]:
    import yaml

    with open(path, "rb") as file:
        found = yaml.safe_load(file)
    return found if isinstance(found, dict) else {}


def template(name: str) -> Mapping[str, Any]:
    """Returns one template.

    Raises:
        ExpansionProblem: R110 without the package, R111 for an unknown name.
    """
    known = templates()
    if name not in known:
        raise unknown("R111", ("template",), "template", name, known)
    path = os.path.join(template_folder(), f"{name}.yaml")
    return _read(path, os.stat(path).st_mtime_ns)


def versions(name: str, method: str) -> list[str]:
    """Returns the versions that a method names; an empty list where it takes any."""
    if method == "source":
        return []
    found = [str(version) for version in template(name).get(method, {}).get("urls", {})]
    return [] if "*" in found else found


def expand(request: Request) -> Expansion:
    """Returns the steps of a template.

    Raises:
        ExpansionProblem: what is wrong with the step, the first of it.
    """
    value = request.value
    name = value["template"]
    described = template(name)
    method = value.get("method") or ("binaries" if "binaries" in described else "source")
    if method not in described:
        raise unknown("R112", ("method",), "method", method, set(METHODS) & set(described))
    part = described[method]
    arguments, problems = _arguments(name, part, method, request)
    source = value.get("source", "")
    if problems:
        return Expansion(steps=(), problems=tuple(problems))
    address = _address(source, request) if source else ""
    try:
        return _expansion(part, arguments, address, source, request)
    except ExpansionProblem:
        raise
    except Exception as error:  # a template is a program of others
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ExpansionProblem("R117", (), ("template", name), ("reason", reason)) from error


def _address(source: str, request: Request) -> str:
    if source not in request.sources:
        raise unknown("R020", ("source",), "source", source, request.sources)
    return "file://" + bound_file(source, request.sources[source], ("source",))


def _arguments(
    name: str, part: Mapping[str, Any], method: str, request: Request
) -> tuple[dict[str, str], list[ExpansionProblem]]:
    """Returns the template's arguments with their values, and what is wrong with them."""
    described = part.get("arguments") or {}
    required = [str(word) for word in described.get("required") or ()]
    optional = {str(k): str(v) for k, v in (described.get("optional") or {}).items()}
    given = {k: _as_text(v) for k, v in request.value.get("args", {}).items()}
    places: dict[str, tuple[str | int, ...]] = {k: ("args", k) for k in given}
    problems = []
    if "version" in request.value:
        given["version"] = request.value["version"]
        places["version"] = ("version",)
    for word, text in given.items():
        if word not in required and word not in optional:
            known = {*required, *optional}
            problems.append(unknown("R114", places[word], "argument", word, known, key=True))
        elif not _is_safe(word, text):
            problems.append(ExpansionProblem("R116", places[word], ("found", text[:200])))
    missing = [word for word in required if word not in given]
    if missing:
        facts = (("template", name), ("missing", ", ".join(missing)))
        problems.append(ExpansionProblem("R115", ("template",), *facts))
    known_versions, version = versions(name, method), given.get("version", "")
    if "version" in required and version and known_versions and version not in known_versions:
        problems.append(unknown("R113", places["version"], "version", version, known_versions))
    if "arch" in optional and "arch" not in given:
        given["arch"] = Platform(request.platform).machine
    return {**optional, **given}, problems


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_safe(word: str, text: str) -> bool:
    """Whether a value is words for a shell and no template; lists of packages may have ``>=``."""
    if word.endswith("_install"):
        return _PACKAGES.fullmatch(text) is not None
    return is_plain(text)


class _Urls(dict[str, str]):
    """Addresses by version; each is the declared source where there is one."""

    def __init__(self, urls: Mapping[Any, Any], address: str) -> None:
        super().__init__({str(k): address or str(v) for k, v in urls.items()})


class _View:
    """What a template sees as ``self``."""

    pkg_manager = "apt"

    def __init__(self, part: Mapping[str, Any], arguments: Mapping[str, str], address: str) -> None:
        dependencies = part.get("dependencies") or {}
        self.packages = sorted({str(name) for name in dependencies.get("apt") or ()})
        self.debs = sorted(str(url) for url in dependencies.get("debs") or ())
        self.wanted = False
        self.urls = _Urls(part.get("urls") or {}, address)
        self.env = {str(k): str(v) for k, v in (part.get("env") or {}).items()}
        self.__dict__.update(arguments)

    def install_dependencies(self, opts: str = "") -> str:
        """Notes that the packages are wanted; they are a step of their own."""
        del opts
        self.wanted = True
        lines = []
        for url in self.debs:
            lines += [
                f"curl -fsSL --retry 5 -o /tmp/package.deb {url}",
                "apt-get install -y -q --no-install-recommends /tmp/package.deb",
                "rm /tmp/package.deb",
            ]
        return "\n".join(lines) or ":"

    def install(self, packages: list[str], opts: str = "") -> str:
        """Returns how packages are installed in the middle of the instructions."""
        del opts
        words = " ".join(sorted(packages))
        return f"apt-get update -qq\napt-get install -y -q --no-install-recommends {words}"


def _expansion(
    part: Mapping[str, Any],
    arguments: Mapping[str, str],
    address: str,
    source: str,
    request: Request,
) -> Expansion:
    view = _View(part, arguments, address)
    common = request.common
    steps: list[Step] = []
    values = {_filled(k, view): _filled(v, view) for k, v in view.env.items()}
    if bad := [name for name in values if not ENVIRONMENT_NAME.fullmatch(name)]:
        raise ExpansionProblem("R117", (), ("reason", f"not a variable: {bad[0][:80]!r}"))
    script = _filled(str(part.get("instructions") or ""), view).strip()
    if values:
        steps.append(EnvStep(values=values, expand=True, **common))
    if view.wanted and view.packages:
        if bad := [name for name in view.packages if not PACKAGE.fullmatch(name)]:
            raise ExpansionProblem("R117", (), ("reason", f"not a package: {bad[0][:80]!r}"))
        steps.append(AptStep(packages=tuple(view.packages), **common))
    if script:
        network = request.value.get("network", not source)
        sources = (source,) if source else ()
        steps.append(RunStep(script=f"{script}\n", sources=sources, network=network, **common))
    return Expansion(steps=tuple(steps))


@functools.cache
def _environment() -> Any:
    """Returns jinja2's sandbox, strict about names."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.globals = {"raise": _refuse}
    return environment


@functools.lru_cache(maxsize=64)
def _compiled(text: str) -> Any:
    """Returns one text as a program; every target of a recipe fills in the same ones."""
    return _environment().from_string(text)


def _refuse(message: str) -> str:
    raise ExpansionProblem("R117", (), ("reason", message[:200]))


def _filled(text: str, view: _View) -> str:
    """Returns a template's text filled in; what comes out may hold expressions again."""
    for _ in range(_MOST_TURNS):
        if "{{" not in text and "{%" not in text:
            return text
        text = _compiled(text.replace("self.", "template.")).render(template=view)
        if len(text) > _MOST_TEXT:
            break
    raise ExpansionProblem("R117", (), ("reason", "the template gives too much text"))
