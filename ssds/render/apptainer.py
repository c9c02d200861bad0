"""Writes an Apptainer definition file. Pure.

The steps' inputs are copied into the image and removed again: %post has no binds of its own.
Apptainer looks for sections by the first word of each line, for stages by ``bootstrap:`` at its
start, and for build arguments by ``{{``, inside of quotes too; and it reads a line or section of
64 KiB at most. Source: the Apptainer user guide, definition files, templates; its own parser.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from ssds.core.errors import InvalidValue
from ssds.core.text import shown
from ssds.render.model import BASE, CONTEXT, EMPTY, Act, Rendered

_HELD = "/.ssds-context"
_SECTION_BYTES = 64 * 1024
_MEANS_MORE = re.compile(r"(?i)(?<=\n)(\s*)(?=%)|(?<=\nb)(?=ootstrap:)|(?<=\{)(?=\{)")


def apptainer(rendered: Rendered) -> str:
    """Returns the text.

    Raises:
        InvalidValue: E177, scripts that are too long; E178, a label that no definition can hold.
    """
    text = "\n".join(_lines(rendered)) + "\n"
    if max(len(part.encode()) for part in re.split(r"\n(?=%)", text)) >= _SECTION_BYTES:
        raise InvalidValue(
            "the scripts together are longer than the 64 KiB that Apptainer reads",
            hint="Put a long script into a local file of the recipe, copy it in and run it.",
            code="E177",
        )
    return text


def _word(text: str) -> str:
    """Returns ``text`` as one word of the shell, in which Apptainer finds nothing of its own."""
    return _MEANS_MORE.sub(lambda match: f"{match[1] or ''}''", shlex.quote(text))


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
        yield f"mkdir -p -- {_word(target)}"
        yield f"cp -a {_HELD}/{_word(source)}/. {_word(target)}/"
    values = [f"{name}={value}" for name, value in sorted(act.environment.items())]
    argv = [
        "env",
        "-i",
        "-C",
        act.working_folder,
        *values,
        "/bin/sh",
        *act.options,
        "-c",
        act.script,
    ]
    yield _as_user(act.user) + " ".join(map(_word, argv))
    yield "rm -rf " + " ".join(f"{place}/ssds" for place in EMPTY)


def _as_user(user: str) -> str:
    """Returns what stands before a command; a number without group has its entry's, or 0."""
    if not user:
        return ""
    name, _, group = user.partition(":")
    if not name.isdecimal():
        return f"runuser -u {_word(name)} -- "
    own = _word(group) if group else f'"$(id -g {name} 2>/dev/null || echo 0)"'
    return f"setpriv --reuid={name} --regid={own} --clear-groups "


def _image(rendered: Rendered) -> Iterator[str]:
    if rendered.environment:
        yield from ("", "%environment")
        for name, value in rendered.environment.items():
            yield f"export {name}={_word(value)}"
    if rendered.labels:
        yield from ("", "%labels")
        for name, value in sorted(rendered.labels.items()):
            if "{{" in value:
                raise InvalidValue(
                    f"the label {name} has {{{{, where Apptainer looks for a build argument",
                    hint="Write the label without it, or render a Dockerfile.",
                    code="E178",
                )
            yield f"    {name} {shown(value)}"
    if rendered.entrypoint:
        yield from ("", "%runscript")
        yield f'exec {" ".join(map(_word, rendered.entrypoint))} "$@"'
