"""Writes an Apptainer definition file. Pure.

The steps' inputs are copied into the image and removed again: %post has no binds of its own.
Source: the Apptainer user guide, definition files.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ssds.core.text import shown
from ssds.render.model import BASE, CONTEXT, EMPTY, Act, Rendered

_HELD = "/.ssds-context"


def apptainer(rendered: Rendered) -> str:
    """Returns the text."""
    return "\n".join(_lines(rendered)) + "\n"


def _lines(rendered: Rendered) -> Iterator[str]:
    if rendered.base:
        yield from ("Bootstrap: docker", f"From: {rendered.base}")
    else:
        yield "Bootstrap: scratch"
    yield ""
    yield f"# {shown(rendered.release)} for {rendered.platform}, written by `ssds render`."
    yield from ("", "%setup")
    if not rendered.base:
        yield f"    # {BASE} is the layer of {shown(rendered.base_name)}."
        yield f'    tar -C "$APPTAINER_ROOTFS" --numeric-owner --xattrs -xpf {BASE}'
    if any(act.binds for act in rendered.acts):
        yield f'    cp -a {CONTEXT} "$APPTAINER_ROOTFS{_HELD}"'
    yield from ("", "%post -c /bin/sh")
    yield "set -eu"
    for act in rendered.acts:
        yield from _act(act)
    yield f"rm -rf {_HELD}"
    yield from _image(rendered)


def _act(act: Act) -> Iterator[str]:
    yield ""
    for text in (act.title, act.note, "" if act.network else "ssds runs this without network."):
        if text:
            yield f"# {shown(text)}"
    for target, source in sorted(act.binds.items()):
        yield f"mkdir -p -- {shlex.quote(target)}"
        yield f"cp -a {_HELD}/{shlex.quote(source)}/. {shlex.quote(target)}/"
    values = [f"{name}={value}" for name, value in sorted(act.environment.items())]
    argv = [*_as_user(act.user), "env", "-i", "-C", act.working_folder, *values]
    argv += ["/bin/sh", "-eu", "-c", act.script]
    yield " ".join(map(shlex.quote, argv)).replace("\n%", "\n'\"%\"'")  # no new section
    yield "rm -rf " + " ".join(f"{place}/ssds" for place in EMPTY)


def _as_user(user: str) -> list[str]:
    if not user:
        return []
    name, _, group = user.partition(":")
    if group:
        return ["setpriv", f"--reuid={name}", f"--regid={group}", "--clear-groups"]
    return ["runuser", "-u", name, "--"]


def _image(rendered: Rendered) -> Iterator[str]:
    if rendered.environment:
        yield from ("", "%environment")
        for name, value in rendered.environment.items():
            yield f"export {name}={shlex.quote(value)}"
    if rendered.labels:
        yield from ("", "%labels")
        for name, value in sorted(rendered.labels.items()):
            yield f"    {name} {shown(value)}"
    if rendered.entrypoint:
        yield from ("", "%runscript")
        yield f'exec {" ".join(map(shlex.quote, rendered.entrypoint))} "$@"'
