"""Writes a Dockerfile of a recipe that is made of a Dockerfile's own instructions. Pure.

Such a recipe (NeuroDesk's) gives one instruction for each step, as its authors know them; nothing
has to be locked for that. Inputs stand where ``record`` lays them out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from ssds.core.patterns import pattern
from ssds.core.text import shown
from ssds.kinds.build.given import FILES
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
from ssds.render.model import CONTEXT

_JOINT = pattern(r" ( *)&& ")
"""Where a long line is broken: a reader of Dockerfiles joins it again to the same text."""
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
            script = _JOINT.sub(r" \\\n\1&& ", step.script)
            yield f"RUN {files if step.files else ''}{script}"
        case EnvStep():
            yield "ENV " + " ".join(f'{name}="{value}"' for name, value in step.values.items())
        case WorkdirStep():
            yield f"WORKDIR {step.path}"
        case UserStep():
            yield f"USER {step.name}"
        case EntrypointStep():
            yield 'ENTRYPOINT ["' + '", "'.join(step.arguments) + '"]'
        case CopyStep():
            yield f'COPY ["{inputs}/copy/{_copied(step)}", "{step.to}"]'


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
