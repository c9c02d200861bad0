"""Writes a Dockerfile for BuildKit and buildah. Pure.

Source: the Dockerfile reference: exec form of RUN, RUN --mount, ENV. --network of RUN is not known
to every buildah.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ssds.core.text import shown
from ssds.render.model import BASE, CONTEXT, EMPTY, Act, Rendered

_AROUND = f'"$@" || exit; find {" ".join(EMPTY)} -xdev -mindepth 1 -delete 2>/dev/null || :'
"""Runs the step and empties what ssds keeps empty: tmpfs mounts of RUN break old buildahs."""


def dockerfile(rendered: Rendered) -> str:
    """Returns the text."""
    return "\n".join(_lines(rendered)) + "\n"


def _lines(rendered: Rendered) -> Iterator[str]:
    yield _comment(f"{rendered.release} for {rendered.platform}, written by `ssds render`.")
    if not any(act.network for act in rendered.acts):
        yield _comment("No step needs a network: build it with `--network none`.")
    yield from _base(rendered)
    user, folder = rendered.user_below, rendered.folder_below or "/"
    for act in rendered.acts:
        yield ""
        yield _comment(act.title)
        if act.note:
            yield _comment(act.note)
        if act.user != user:
            yield f"USER {act.user or 'root'}"
            user = act.user
        if act.working_folder != folder:
            yield f"WORKDIR {quoted(act.working_folder)}"
            folder = act.working_folder
        yield _run(act)
    yield ""
    yield from (f"ENV {_pair(name, value)}" for name, value in rendered.environment.items())
    yield from (f"LABEL {_pair(name, value)}" for name, value in sorted(rendered.labels.items()))
    if rendered.user != user:
        yield f"USER {rendered.user or 'root'}"
    if (rendered.working_folder or "/") != folder:
        yield f"WORKDIR {quoted(rendered.working_folder or '/')}"
    if rendered.entrypoint:
        yield f"ENTRYPOINT {_json(list(rendered.entrypoint))}"
    if rendered.command:
        yield f"CMD {_json(list(rendered.command))}"


def _base(rendered: Rendered) -> Iterator[str]:
    if rendered.base:
        yield f"FROM {rendered.base}"
        return
    yield _comment(f"{BASE} is the layer of {rendered.base_name}.")
    yield "FROM scratch"
    yield f"ADD {BASE} /"


def _run(act: Act) -> str:
    mounts = [
        f"--mount=type=bind,source={CONTEXT}/{source},target={target}"
        for target, source in sorted(act.binds.items())
    ]
    values = [f"{name}={value}" for name, value in sorted(act.environment.items())]
    step = ["/usr/bin/env", "-i", *values, "/bin/sh", *act.options, "-c", act.script]
    return " \\\n    ".join(["RUN", *mounts, _json(["/bin/sh", "-c", _AROUND, "sh", *step])])


def _pair(name: str, value: str) -> str:
    return f"{name}={quoted(value)}"


def quoted(value: str) -> str:
    """Returns a word that no variable and no escape changes."""
    for sign in ("\\", '"', "$"):
        value = value.replace(sign, f"\\{sign}")
    return f'"{value}"'


def _json(words: list[str]) -> str:
    return json.dumps(words, ensure_ascii=False)


def _comment(text: str) -> str:
    return f"# {shown(text)}"
