"""An Apptainer definition as a recipe: a faithful subset; all else is refused at its line.

Source: Apptainer user guide, definition files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ssds.core.diagnostics import Collector
from ssds.importers.dockerfile import Context
from ssds.importers.dockerwords import unquoted, words
from ssds.importers.model import Imported, Refusals
from ssds.recipe.formats.scope import COMMAND, ENVIRONMENT_NAME

_SECTIONS = ("post", "environment", "files", "labels", "runscript", "test", "help")
_LEFT_OUT = {"arguments": "", "startscript": "ssds starts no services"}
_ARGUMENT = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,400}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_FOLDERS = frozenset(
    ("/bin", "/etc", "/home", "/lib", "/mnt", "/opt", "/root", "/sbin", "/srv", "/usr",
     "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/local/share",
     "/usr/share", "/var", "/var/lib")
)  # fmt: skip
"""Folders that every image has (FHS): cp puts things into them."""
RUNSCRIPT = "/usr/local/lib/runscript"
Lines = list[tuple[int, str]]


def read_definition(
    text: str,
    path: str,
    *,
    context: Context,
    collector: Collector,
    arguments: Mapping[str, str] | None = None,
) -> Imported:
    """Returns what a definition says; what cannot be said in a recipe goes to ``collector``.

    Args:
        path: its name in messages.
        arguments: values of its ``{{ NAME }}``; those of ``%arguments`` stand for the others.
        context: finds the files that it copies; a folder's path has a ``/`` at its end. None
            is what lies outside, or holds links, which Apptainer would follow.
    """
    refuse = Refusals(path, collector)
    plain, notes = _filled(text.replace("\r\n", "\n"), arguments or {}, refuse)
    reader = _Reader(refuse, context)
    reader.notes += notes
    return reader.read(plain)


def _filled(text: str, given: Mapping[str, str], refuse: Refusals) -> tuple[str, list[str]]:
    """Returns the text with the values of its ``{{ NAME }}``, and what a reader should know."""
    values: dict[str, str] = {}
    inside = False
    for line in text.split("\n"):
        if line.startswith("%"):
            inside = re.match(r"%arguments\s*$", line, re.IGNORECASE) is not None
        elif inside and (match := re.fullmatch(r"([A-Za-z_]\w*)\s*=\s*(.*)", line.strip())):
            values[match[1]] = match[2].strip("\"'")
    values |= given
    used: set[str] = set()
    filled = []
    for number, line in enumerate(text.split("\n"), 1):

        def value(match: re.Match[str], number: int = number) -> str:
            used.add(match[1])
            if match[1] not in values:
                refuse(number, match[0], f"Give it: --build-arg {match[1]}=VALUE.")
            return values.get(match[1], "")

        filled.append(_ARGUMENT.sub(value, line))
    unused = sorted(given.keys() - used)
    return "\n".join(filled), [f"no {{{{ NAME }}}} is {', '.join(unused)}"] if unused else []


class _Reader:
    """One definition while it is read."""

    def __init__(self, refuse: Refusals, context: Context) -> None:
        self.refuse = refuse
        self.context = context
        self.files: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}
        self.notes: list[str] = []

    def read(self, text: str) -> Imported:
        """Returns all of it: files first, then %post, as Apptainer does; variables come last."""
        header, sections = self._sections(text)
        base = self._base(header)
        build: list[dict[str, Any]] = []
        for lines in sections.get("files", []):
            build += self._files(lines)
        for lines in sections.get("post", []):
            if script := _script(lines):
                build.append(
                    {"run": {"script": f"set -e\ncd /\n{script}", "plain": True, "network": True}}
                )
                self.notes.append("%post has the network: its result is impure")
        for lines in sections.get("environment", []):
            build += self._environment(lines)
        for lines in sections.get("labels", []):
            build += self._labels(lines)
        program = ""
        for lines in sections.get("runscript", []):
            script = _script(lines)
            program = _program(script)
            build += [
                {
                    "file": {
                        "path": RUNSCRIPT,
                        "content": script if script[:2] == "#!" else f"#!/bin/sh\n{script}",
                        "executable": True,
                    }
                },
                {"entrypoint": [RUNSCRIPT]},
            ]
        for lines in sections.get("help", []):
            self.metadata["help"] = {"description": _script(lines)}
        tests = [
            {"name": f"of the definition ({number})", "run": f"set +eu\n{_script(lines)}",
             "exit_code": 0}
            for number, lines in enumerate(sections.get("test", []), 1)
        ]  # fmt: skip
        started = {"name": "a shell starts", "run": "echo started", "stdout": ["started"]}
        return Imported(
            base=base,
            build=tuple(build),
            tests=tuple(tests) or (started,),
            files=self.files,
            metadata=self.metadata,
            commands=(program,) if COMMAND.fullmatch(program) else (),
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _sections(self, text: str) -> tuple[Lines, dict[str, list[Lines]]]:
        header: Lines = []
        found: dict[str, list[Lines]] = {}
        current = header
        for number, line in enumerate(text.split("\n"), 1):
            match = re.match(r"%([A-Za-z]+)(.*)$", line)
            if match is None:
                if current is header and re.match(r"\s*(?:#|$)", line):
                    continue
                current.append((number, line))
                continue
            name, rest = match[1].lower(), match[2].strip()
            current = []
            if name in _LEFT_OUT:
                if reason := _LEFT_OUT[name]:
                    self.notes.append(f"line {number}, %{name} is left out: {reason}")
            elif name not in _SECTIONS:
                self.refuse(number, line, "That section is not known.")
            elif rest:
                self.refuse(number, line, "One stage, and /bin/sh, without options.")
            else:
                found.setdefault(name, []).append(current)
        return header, found

    def _base(self, header: Lines) -> str:
        told: dict[str, str] = {}
        for number, line in header:
            key, colon, value = line.partition(":")
            name = key.strip().lower()
            if not colon or name not in ("bootstrap", "from") or name in told:
                self.refuse(number, line, "Bootstrap: docker and From: IMAGE, once each.")
                continue
            told[name] = value.strip()
            if name == "bootstrap" and told[name] != "docker":
                self.refuse(number, line, "Only Bootstrap: docker is known.")
            if name == "from" and not _IMAGE.fullmatch(told[name]):
                self.refuse(number, line, "Name an image of a registry.")
        for name in {"bootstrap", "from"} - set(told):
            self.refuse(1, f"no {name.capitalize()}:", "It must say what it builds on.")
        return told.get("from", "")

    def _files(self, lines: Lines) -> list[dict[str, Any]]:
        steps = []
        for number, line in lines:
            if re.match(r"\s*(?:#|$)", line):
                continue
            found = [word.plain or "" for word in words(line) or []]
            if not 1 <= len(found) <= 2 or not all(found):
                self.refuse(number, line, "Write SOURCE DESTINATION.")
                continue
            to = found[1] if len(found) == 2 else f"/{found[0].removeprefix('./').lstrip('/')}"
            paths = self.context(found[0])
            if paths is None or "./" in paths:
                self.refuse(number, line, "Only what is below the definition's folder, no links.")
            elif not paths or (len(paths) > 1 and not to.endswith("/")) or to[:1] != "/":
                self.refuse(number, line, "Existing files, to an absolute place.")
            else:
                steps += [self._copied(path, to, told=len(found) == 2) for path in paths]
        return steps

    def _copied(self, path: str, to: str, *, told: bool) -> dict[str, Any]:
        """Returns the step that copies a file, or a folder (with ``/`` at its end), as cp does."""
        plain = path.rstrip("/")
        self.files[f"files/{plain}"] = plain
        copy: dict[str, Any] = {"local": f"files/{plain}", "to": to}
        into = to.endswith("/") or to in _FOLDERS
        if path != plain:
            name = plain.rpartition("/")[2]
            copy["to"] = f"{to.rstrip('/')}/{name}" if into and told else to.rstrip("/")
            if not into:
                self.notes.append(
                    f"%files: {to} becomes a copy of {plain}; where the image below has {to}, "
                    f"Apptainer makes {to}/{name}"
                )
        elif not into:
            copy["merge"] = True  # into a folder that is there, as cp
        elif not to.endswith("/"):
            copy["to"] = f"{to}/"
        return {"copy": copy}

    def _environment(self, lines: Lines) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = []
        for number, line in lines:
            if re.match(r"\s*(?:#|$)", line):
                continue
            text = _bare(line).strip().removesuffix(";").rstrip()
            if not text:
                continue
            verb, *names = text.split()
            if verb == "unset" and names and all(map(ENVIRONMENT_NAME.fullmatch, names)):
                if any(name in step["env"] for step in steps for name in names):
                    self.refuse(number, line, "It is set above: leave that out.")
                self.notes.append(
                    f"line {number}: {', '.join(names)} stays as the base and the caller set it"
                )
                continue
            match = re.fullmatch(r"(?:export\s++)?([^\s=]+)=(.*)", text)
            own = words(match[2]) if match else None
            plain = match is not None and ENVIRONMENT_NAME.fullmatch(match[1])
            if (
                match is None
                or not plain
                or own is None
                or len(own) > 1
                or any(word.strange for word in own)
                or "`" in line
                or "$(" in line
            ):
                self.refuse(number, line, "Only export NAME=VALUE; others belong into a wrapper.")
                continue
            word = own[0] if own else None
            value = word.plain if word else ""
            if value is not None:
                steps.append({"env": {match[1]: value}})
            elif word is not None:
                steps.append({"env": {match[1]: word.expanding}, "expand": True})
        return steps

    def _labels(self, lines: Lines) -> list[dict[str, Any]]:
        kept = {}
        for number, line in lines:
            if re.match(r"\s*(?:#|$)", line):
                continue
            match = re.fullmatch(r"([^\s=]+)(?:\s*+=\s*|\s+)(.*)", line.strip())
            name, value = (match[1], match[2].strip('"')) if match else (line.strip(), "")
            if name.lower() == "version" and value:
                self.metadata.setdefault("version", value)
            elif not _LABEL.fullmatch(name) or not value:
                self.refuse(number, line, "Write NAME VALUE.")
            else:
                kept[name] = value
        return [{"labels": kept}] if kept else []


def _bare(line: str) -> str:
    """Returns the line without the comment at its end."""
    signs = (at for at in unquoted(line) if line[at] == "#" and line[at - 1 : at].isspace())
    return line[: next(signs, len(line))]


def _script(lines: Lines) -> str:
    """Returns a section's text, as far as all its lines are indented taken off."""
    import textwrap

    text = textwrap.dedent("\n".join(line for _, line in lines)).strip("\n")
    return f"{text}\n" if text.strip() else ""


def _program(script: str) -> str:
    """Returns the program that a runscript ends in, by its name."""
    last = ([line for line in script.split("\n") if line.strip()] or [""])[-1]
    try:
        found = [word for word in shlex.split(last, comments=True) if word != "exec"]
    except ValueError:
        return ""
    return found[0].rpartition("/")[2] if found else ""
