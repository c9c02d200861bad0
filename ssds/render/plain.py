"""Writes a Dockerfile of a recipe that is made of a Dockerfile's own instructions. Pure.

Such a recipe (NeuroDesk's) gives one instruction for each step, as its authors know them; nothing
has to be locked for that. Inputs stand where ``record`` lays them out.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator

from ssds.core.patterns import pattern
from ssds.core.text import shown
from ssds.kinds.build.given import FILES
from ssds.kinds.build.state import VARIABLE
from ssds.recipe.model import Target
from ssds.recipe.steps import (
    CopyStep,
    EntrypointStep,
    EnvStep,
    RunStep,
    Step,
    UserStep,
    WorkdirStep,
)
from ssds.render.dockerfile import quoted
from ssds.render.model import CONTEXT

_JOINT = pattern(r" ( *)&& ")
"""Where a long line is broken: a reader of Dockerfiles joins it again to the same text."""
_CONTINUED = pattern(r"(?:^|[^\\])\\$")
_ODD = pattern(r"[\\\"'$]")
"""Signs that a reader of Dockerfiles does not take as they stand."""
_ACTS = (RunStep, CopyStep, WorkdirStep)
"""Steps that a builder runs; the inputs of the n-th lie in the n-th folder."""


def is_plain(target: Target) -> bool:
    """Whether every step of a target is one instruction of a Dockerfile."""
    known = (RunStep, CopyStep, EnvStep, WorkdirStep, UserStep, EntrypointStep)
    runs = [step for step in target.steps if isinstance(step, RunStep)]
    return (
        bool(runs)
        and all(step.plain and not step.tools and not step.sources for step in runs)
        and all(isinstance(step, known) for step in target.steps)
    )


def plain_dockerfile(target: Target, base: str) -> str:
    """Returns the text; ``base`` is the reference of the image below."""
    lines = [
        f"# {shown(str(target.release))} for {target.platform}, written by `ssds render`.",
        f"FROM {base}",
    ]
    act = 0
    for step in target.steps:
        lines += _instruction(step, f"{CONTEXT}/{act}")
        act += isinstance(step, _ACTS)
    return "\n".join(lines) + "\n"


def _instruction(step: Step, inputs: str) -> Iterator[str]:
    match step:
        case RunStep():
            files = f"--mount=type=bind,source={inputs}/files,target={FILES},readonly "
            yield f"RUN {files if step.files else ''}{_command(step.script)}"
        case EnvStep():
            how = _expanding if step.expand else quoted
            yield "ENV " + " ".join(f"{name}={how(value)}" for name, value in step.values.items())
        case WorkdirStep():
            odd = not step.expand and _ODD.search(step.path)
            yield f"WORKDIR {quoted(step.path) if odd else step.path}"
        case UserStep():
            yield f"USER {step.name}"
        case EntrypointStep():
            yield f"ENTRYPOINT {_json(step.arguments)}"
        case CopyStep():
            yield f"COPY {_json(map(_escaped, (f'{inputs}/copy/{_copied(step)}', step.to)))}"


def _command(script: str) -> str:
    """Returns a script as RUN has it: as it stands, or as words of a list.

    A list where its reader would not make one line of it that the shell reads as it reads these.
    """
    lines = script.rstrip("\n").split("\n")
    ends = any(not _CONTINUED.search(line) for line in lines[:-1])
    if ends or any(not line.strip() or line.lstrip().startswith("#") for line in lines[1:]):
        return _json(("/bin/sh", "-c", script))
    return _JOINT.sub(r" \\\n\1&& ", script.rstrip("\n"))


def _expanding(value: str) -> str:
    """Returns a word in which variables stay and all else is text, as ``expanded`` reads it."""
    pieces, at = [], 0
    for match in VARIABLE.finditer(value):
        pieces += [_inside(value[at : match.start()]), match[0].replace('"', '\\"')]
        at = match.end()
    return '"' + "".join(pieces) + _inside(value[at:]) + '"'


def _inside(text: str) -> str:
    return quoted(text)[1:-1]


def _escaped(word: str) -> str:
    """Returns a word of a list in which variables would be replaced and quotes taken away."""
    return _ODD.sub(r"\\\g<0>", word)


def _json(words: Iterable[str]) -> str:
    return json.dumps(list(words), ensure_ascii=False)


def _copied(step: CopyStep) -> str:
    """Returns what is copied, below the folder of the step's input."""
    if step.file is not None:
        return step.file.name
    assert step.local is not None
    return posixpath.basename(step.local.path)


def copied_folders(target: Target) -> Iterator[tuple[str, str]]:
    """Gives, of each folder that is copied, where its content is laid out, and its name.

    ``record`` lays the content itself out; here it stands in a folder of its name.
    """
    acts = (step for step in target.steps if isinstance(step, _ACTS))
    for act, step in enumerate(acts):
        if isinstance(step, CopyStep) and step.local is not None:
            name, entries = _copied(step), step.local.entries
            if not (len(entries) == 1 and entries[0].path == name):
                yield f"{CONTEXT}/{act}/copy", name
