"""Steps with the network, and what could stand in their place: advice, not a rule."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ssds.core.diagnostics import Diagnostic
from ssds.core.patterns import pattern
from ssds.recipe.catalog import CatalogReading
from ssds.recipe.codes import diagnostic
from ssds.recipe.steps import RunStep

_COMMAND = pattern(
    r"\b(?:(?P<apt>(?:apt-get|apt|aptitude)\b[^\n;&|]{0,200}?\binstall)"
    r"|(?P<pip>(?:pip[0-9.]*|python[0-9.]*\s+-m\s+pip)\s+install)"
    r"|(?P<conda>(?:conda|mamba|micromamba)\s+(?:install|create))"
    r"|(?P<git>git\s+clone)"
    r"|(?P<download>curl|wget))(?![-\w])(?P<rest>(?:'[^'\n]*'|\"[^\"\n]*\"|[^\n;&|'\"])*)"
)
_CONTINUED = pattern(r"\\\n\s*")
_ADDRESS = pattern(r"(?:https?|ftp)://[^\s'\"]+")
_PACKAGE = pattern(r"[a-z0-9][a-z0-9+.-]+(?:=[^\s]+)?")
_CONDA = pattern(r"[a-z0-9_][a-z0-9_.-]*(?:[=<>!~].*)?")
_CHANNELS = pattern(r"(?:-c|--channel)[ =]+([A-Za-z0-9][A-Za-z0-9_./-]*)")
_REQUIREMENT = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?(?:[<>=!~].*)?")
_VALUED = frozenset({"-t", "-o", "-c", "-i", "-r", "-f", "-n", "-p"})
_VALUED |= {"--target", "--index-url", "--name", "--prefix"}
_MOST = 6


def impure_steps(reading: CatalogReading) -> list[Diagnostic]:
    """Returns a note (R084) for each step with ``network: true``, with what could replace it.

    Commands of a Dockerfile (``plain``) all have it; nothing is said of them.
    """
    found: dict[tuple[str, str], RunStep] = {}
    for release in reading.catalog.releases.values():
        for target in release.targets.values():
            for step in target.steps:
                if isinstance(step, RunStep) and step.network and not step.plain:
                    found.setdefault((release.recipe_path, step.address), step)
    notes = []
    for (path, at), step in found.items():
        kind = at.partition(".")[2]  # the step was written out from one of another type
        address = at if kind else f"{at}.run.network"
        facts: tuple[tuple[str, str], ...] = (("from", f"a step of type {kind}"),)
        if not kind:
            facts = tuple(_advice(reading, path, f"{at}.run.script", step.script))[:_MOST]
        span = reading.spans(path, address, key=True)
        notes.append(diagnostic("R084", span, address, facts))
    return notes


def _advice(
    reading: CatalogReading, path: str, address: str, script: str
) -> Iterator[tuple[str, str]]:
    """Gives the line of each command that fetches, and what to write instead."""
    joined = _CONTINUED.sub(lambda match: " " * len(match[0]), script)  # offsets stay
    for match in _COMMAND.finditer(joined):
        if (
            joined[joined.rfind("\n", 0, match.start()) + 1 : match.start()]
            .lstrip()
            .startswith("#")
        ):
            continue
        line = reading.spans.inside(path, address, script, match.start()).line
        sort = next(name for name, text in match.groupdict().items() if text and name != "rest")
        yield f"line {line}", _instead(sort, match["rest"])


def _instead(sort: str, rest: str) -> str:
    words = _words(rest)
    if sort == "apt":
        named = [w for w in words if _PACKAGE.fullmatch(w)]
        return f"a step of its own: apt: [{_listed(named)}]"
    if sort == "pip":
        named = [w for w in words if _REQUIREMENT.fullmatch(w) and "/" not in w]
        return f"a step of its own: pip: [{_listed(named)}]"
    if sort == "conda":
        channels = ", ".join(_CHANNELS.findall(rest)) or "its channels"
        named = [w for w in words if _CONDA.fullmatch(w)]
        text = f"channels: [{channels}], packages: [{_listed(named)}]"
        return f"a step of its own: conda: {{{text}}}"
    address = _ADDRESS.search(rest)
    shown = address[0] if address else "its address"
    if sort == "git":
        return f"a source: {{git: {shown}, ref: a tag or a commit}}"
    return f"a source: {{url: {shown}, sha256: its checksum}}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "its packages by name"


def _words(rest: str) -> list[str]:
    """Returns the arguments that are no options, nor values of those that take one."""
    try:
        words = shlex.split(rest, comments=True)
    except ValueError:
        words = rest.split()
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in _VALUED
    ]
