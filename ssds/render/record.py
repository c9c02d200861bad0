"""Takes down what a build asks of its builder, step by step, and runs nothing.

The steps are performed as in a build, so that scripts, environments and inputs are the builder's
own; a builder that only writes them down stands in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ssds.builders.plug import Work
from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.core.text import shown
from ssds.host import local
from ssds.host.mirrors import Mirrors
from ssds.host.sandbox import JobResult
from ssds.kinds.api import Bench
from ssds.kinds.build.run import FILE_STEPS
from ssds.kinds.build.state import TITLE, VERSION, ConfigState
from ssds.kinds.build.steps import StepBench, perform
from ssds.recipe.formats.scope import ENVIRONMENT_NAME, USER_NAME
from ssds.render.model import CONTEXT, Act, Rendered

_TOOLS = "A layer of ssds has no trace of these tools; here they stay in the image."
_LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


class _Recorder:
    """A builder that keeps each job and a copy of what it binds."""

    name = mode = "render"

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.title = self.note = ""
        self.acts: list[Act] = []

    def run(self, work: Work) -> JobResult:
        """Writes the job down."""
        job, number = work.job, len(self.acts)
        binds = {}
        for bind in job.binds:
            name = f"{number}/{os.path.basename(bind.target)}"
            local.copy_tree(bind.source, os.path.join(self.folder, CONTEXT, name))
            binds[bind.target] = name
        self.acts.append(
            Act(
                title=self.title,
                script=job.argv[-1],
                environment=dict(job.environment),
                binds=binds,
                user=job.user,
                working_folder=job.working_folder,
                network=job.network,
                plain="-eu" not in job.argv,
                note=self.note,
            )
        )
        return JobResult(exit_code=0)

    def sweep(self) -> int:
        """Does nothing."""
        return 0

    def close(self) -> None:
        """Does nothing."""

    def forget(self) -> int:
        """Does nothing."""
        return 0


def record(bench: Bench, start: ConfigState, folder: str, base: str, base_name: str) -> Rendered:
    """Returns the release of the bench's build node; the steps' inputs lie below ``folder``.

    Args:
        start: what the image below says.
        base: a reference to build on, or the empty string.
        base_name: the base as the catalog names it.
    """
    node = bench.action.node
    check_state(start, start.labels)
    recorder = _Recorder(folder)
    state = start
    for number, step in enumerate(cast(list[dict[str, Any]], node.slice["steps"])):
        if step["type"] in FILE_STEPS:
            _record_step(bench, recorder, number, step, state)
        state = state.after(step)
    labels = {TITLE: str(node.slice["name"]), VERSION: str(node.slice["version"]), **state.labels}
    check_state(state, labels)
    return Rendered(
        release=node.id.owner,
        platform=node.id.platform,
        base_name=base_name,
        base=base,
        acts=tuple(recorder.acts),
        environment=state.environment,
        user=state.user,
        working_folder=state.working_folder,
        entrypoint=state.entrypoint,
        command=state.command,
        labels=labels,
        user_below=start.user,
        folder_below=start.working_folder,
    )


def _record_step(
    bench: Bench, recorder: _Recorder, number: int, step: Mapping[str, Any], state: ConfigState
) -> None:
    node = bench.action.node
    address = node.origin.get(f"slice.steps[{number}]", f"step {number + 1}")
    if step.get("network"):  # this machine's mirrors are nobody else's business
        bench = replace(bench, mirrors=Mirrors())
    upper = os.path.join(bench.folder, "upper")
    local.make_folder(upper)

    def one(title: str, note: str, slice_: Mapping[str, Any], role: str) -> None:
        recorder.title, recorder.note = title, note
        place = os.path.join(bench.folder, role)
        local.make_folder(place)
        perform(
            StepBench(
                bench=replace(bench, folder=place),
                builder=recorder,
                platform=Platform(node.id.platform),
                number=number,
                layers=(),
                lowers=(),
                upper=upper,
                state=state,
                epoch=node.epoch or 0,
                time_limit_s=0,
            ),
            slice_,
        )

    if step.get("tools"):
        tools = {"type": "apt", "packages": step["tools"]}
        one(f"{address} tools", _TOOLS, tools, f"{number}-tools")
    one(f"{address} {step['type']}", "", step, f"{number}-step")


def check_state(state: ConfigState, labels: Mapping[str, str]) -> None:
    """Refuses what neither form can hold; an image below may say anything.

    Raises:
        InvalidValue: E172 a name, E181 a value of several lines.
    """
    wrong = [f"the variable {n!r}" for n in state.environment if not ENVIRONMENT_NAME.fullmatch(n)]
    wrong += [f"the label {name!r}" for name in labels if not _LABEL_NAME.fullmatch(name)]
    if state.user and not USER_NAME.fullmatch(state.user):
        wrong.append(f"the user {state.user!r}")
    if shown(state.working_folder) != state.working_folder:
        wrong.append(f"the folder {state.working_folder!r}")
    if wrong:
        raise InvalidValue(
            f"{wrong[0]} is none that a Dockerfile or definition can name",
            hint="Set another one in a step of the recipe.",
            code="E172",
        )
    values = {**labels, **state.environment}
    several = sorted(name for name, value in values.items() if "\n" in value)
    if several:
        raise InvalidValue(
            f"the value of {several[0]} has several lines, which neither form can hold",
            hint="Write it into a file in a step, or make it one line.",
            code="E181",
        )
