"""``hpccm`` steps: building blocks of HPC Container Maker as steps of ssds.

hpccm's blocks are objects that hold primitives (packages, shell commands, variables, labels,
copies); each becomes the step that means the same. hpccm keeps distribution and processor in module
variables, which are set here for the target, under a lock, and looks at the machine nowhere else.
Source: hpccm's API reference.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ssds.core.platform import Platform
from ssds.recipe.address import Path
from ssds.recipe.formats.scope import ENVIRONMENT_NAME, PACKAGE
from ssds.recipe.generators.model import (
    Expansion,
    ExpansionProblem,
    Request,
    bound_file,
    is_plain,
    unknown,
)
from ssds.recipe.steps import AptStep, EnvStep, LabelsStep, RunStep, Step

DEFAULT_DISTRO = "ubuntu22"
_LEFT_OUT = frozenset({"base", "scif", "yum", "multi_ofed", "apt_get"})
"""Blocks that write files where they run, or are for other package managers."""
_ARGUMENT = re.compile(r"""kwargs\.(?:get|pop)\(\s*['"]([A-Za-z0-9]\w*)['"]""")
_GENERIC = ("generic_autotools", "generic_cmake", "generic_build")
_FORBIDDEN = frozenset({"verify"})
"""Arguments with which hpccm would ask a server while it writes."""
_REACHES_OUT = re.compile(
    r"https?://|ftp://|git clone|apt-get |\bpip\d? install|conda (?:install|create)"
)
_FETCH = re.compile(r"wget [^&|;\n]*-P (\S+) (https?://\S+)")
"""How hpccm fetches one file into a folder (hpccm.templates.wget)."""
_VERSION = re.compile(r"""kwargs\.(?:get|pop)\(['"]version['"], ['"]([A-Za-z0-9._-]+)['"]""")
_LOCK = threading.Lock()


def _package() -> Any:
    try:
        import hpccm
        import hpccm.building_blocks
        import hpccm.config
    except ImportError as error:
        raise ExpansionProblem("R110", (), ("package", "hpccm")) from error
    return hpccm


@functools.cache
def blocks() -> Mapping[str, Any]:
    """Returns name → class of the building blocks.

    Raises:
        ExpansionProblem: R110 where hpccm is not installed.
    """
    hpccm = _package()
    return {
        name: found
        for name in dir(hpccm.building_blocks)
        if not name.startswith("_") and name not in _LEFT_OUT
        for found in [getattr(hpccm.building_blocks, name)]
        if isinstance(found, type)
    }


@functools.cache
def arguments(name: str) -> frozenset[str]:
    """Returns the arguments of a block; hpccm itself passes over those that it does not know."""
    import inspect

    def told(of: type) -> str:
        own = [c for c in of.__mro__ if c.__module__.startswith("hpccm.")]
        return "".join(inspect.getsource(c) for c in own)

    text = told(blocks()[name])
    text += "".join(told(blocks()[g]) for g in _GENERIC if f"{g}(" in text and g != name)
    return frozenset(_ARGUMENT.findall(text)) - _FORBIDDEN


def default_version(name: str) -> str:
    """Returns the version that a block takes when nobody says one, or the empty string."""
    import inspect

    found = _VERSION.search(inspect.getsource(blocks()[name]))
    return found[1] if found else ""


@contextmanager
def _settled(platform: Platform, distro: str) -> Iterator[None]:
    """Sets hpccm's module variables for a target; puts them back."""
    config = _package().config
    kept = {name: value for name, value in vars(config).items() if name.startswith("g_")}
    quiet = logging.root.manager.disable
    with _LOCK:
        try:
            logging.disable(logging.CRITICAL)
            config.set_container_format("docker")
            config.set_linux_distro(distro)
            config.set_cpu_architecture(platform.machine)
            level = platform.variant
            config.set_cpu_target(f"x86_64_{level}" if re.fullmatch("v[234]", level) else level)
            config.g_wd = "/var/tmp"  # noqa: S108 - a place of the image
            yield
        finally:
            logging.disable(quiet)
            vars(config).update(kept)


def expand(request: Request) -> Expansion:
    """Returns the steps of a list of building blocks.

    Raises:
        ExpansionProblem: R110 where hpccm is not installed.
    """
    wanted = request.value["blocks"]
    problems = [p for number, item in enumerate(wanted) for p in _problems(number, item, request)]
    if problems:
        return Expansion(steps=(), problems=tuple(problems))
    platform = Platform(request.platform)
    with _settled(platform, request.value.get("distro", DEFAULT_DISTRO)):
        writer = _Writer(request)
        made: dict[str, Any] = {}
        for number, item in enumerate(wanted):
            name, given = _only(item)
            try:
                made[name] = writer.block(name, given, made, ("blocks", number, name))
            except ExpansionProblem:
                raise
            except Exception as error:  # a block is a program of others
                reason = f"{type(error).__name__}: {error}"[:200]
                facts = (("block", name), ("reason", reason))
                raise ExpansionProblem("R117", ("blocks", number, name), *facts) from error
    return Expansion(steps=tuple(writer.steps))


def _only(item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name, given = next(iter(item.items()))
    return name, given


def _problems(number: int, item: Mapping[str, Any], request: Request) -> Iterator[ExpansionProblem]:
    """Gives what is wrong with one block."""
    name, given = _only(item)
    path: Path = ("blocks", number, name)
    if name not in blocks():
        yield unknown("R111", path, "block", name, blocks(), key=True)
        return
    known = arguments(name)
    for word, value in given.items():
        if word == "source":
            if value not in request.sources:
                yield unknown("R020", (*path, word), "source", str(value), request.sources)
            elif "url" not in known:
                yield unknown("R114", (*path, word), "argument", word, known, key=True)
        elif word not in known:
            yield unknown("R114", (*path, word), "argument", word, {*known, "source"}, key=True)
        else:
            for place, text in _texts(value, (*path, word)):
                if not is_plain(text):
                    yield ExpansionProblem("R116", place, ("found", text[:200]))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Gives every text of an argument with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, key), key
            yield from _texts(item, (*path, key))
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


class _Writer:
    """The steps so far."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.steps: list[Step] = []
        self.source = ""
        self.place = ""
        self.fetches = 0

    def block(
        self, name: str, given: Mapping[str, Any], made: Mapping[str, Any], path: Path
    ) -> Any:
        """Makes one block and writes its steps; returns hpccm's object."""
        words = {word: value for word, value in given.items() if word != "source"}
        chain = words.get("toolchain")
        if isinstance(chain, str):
            if chain not in made or not hasattr(made[chain], "toolchain"):
                place = (*path, "toolchain")
                raise unknown("R111", place, "toolchain of", chain, made)
            words["toolchain"] = made[chain].toolchain
        elif isinstance(chain, Mapping):
            words["toolchain"] = _package().toolchain(**chain)
        self.source = given.get("source", "")
        if self.source:
            source = self.request.sources[self.source]
            self.place = bound_file(self.source, source, (*path, "source"))
            words["url"] = source.url
            self.fetches = 0
        found = blocks()[name](**words)
        self._instructions(found, path)
        if self.source and self.fetches != 1:
            reason = f"it fetches {self.fetches} files, where a source stands for one"
            raise ExpansionProblem("R117", (*path, "source"), ("reason", reason))
        return found

    def _instructions(self, block: Any, path: Path) -> None:
        common = self.request.common
        for index in range(len(block)):
            item = block[index]
            kind = type(item).__name__
            match kind:
                case "comment":
                    continue
                case "apt_get" if _only_installs(item):
                    self._packages(item.ospackages, path)
                case "shell":
                    self._run(item.commands)
                case "environment":
                    values = {str(k): str(v) for k, v in _private(item, "variables").items()}
                    if bad := [n for n in values if not ENVIRONMENT_NAME.fullmatch(n)]:
                        facts = ("reason", f"not a variable: {bad[0][:80]!r}")
                        raise ExpansionProblem("R117", path, facts)
                    if values:
                        self.steps.append(EnvStep(values=values, expand=True, **common))
                case "label":
                    values = {str(k): str(v) for k, v in _private(item, "metadata").items()}
                    if values:
                        self.steps.append(LabelsStep(values=values, **common))
                case _ if hasattr(item, "__len__"):
                    self._instructions(item, path)
                case _:
                    raise ExpansionProblem("R117", path, ("reason", f"it has a {kind}"))

    def _packages(self, names: Sequence[str], path: Path) -> None:
        if bad := [name for name in names if not PACKAGE.fullmatch(name)]:
            raise ExpansionProblem("R117", path, ("reason", f"not a package: {bad[0][:80]!r}"))
        if names:
            packages = tuple(sorted(set(names)))
            self.steps.append(AptStep(packages=packages, **self.request.common))

    def _run(self, commands: Sequence[str]) -> None:
        own = [command for command in commands if command]
        if not own:
            return
        script = "\n".join(["cd /", *own]) + "\n"
        sources: tuple[str, ...] = ()
        if self.source:
            script, count = _FETCH.subn(lambda m: f"cp {self.place} {m[1]}/{_base(m[2])}", script)
            self.fetches += count
            sources = (self.source,) if count else ()
        network = _REACHES_OUT.search(script) is not None
        common = self.request.common
        self.steps.append(RunStep(script=script, sources=sources, network=network, **common))


def _base(url: str) -> str:
    return url.rpartition("/")[2]


def _private(item: Any, name: str) -> Any:
    """Returns what a primitive was made with; hpccm has no public way to it."""
    return getattr(item, f"_{type(item).__name__}__{name}")


def _only_installs(item: Any) -> bool:
    """Whether packages are all that an ``apt_get`` does, so that a locked step can stand for it."""
    more = ("keys", "ppas", "repositories", "download", "extra_opts", "aptitude", "extract")
    return not any(_private(item, word) for word in more)
