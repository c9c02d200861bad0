"""A Dockerfile as a recipe: a faithful subset; everything else is refused at its line.

Faithful means that the same instructions come out again: ``RUN`` keeps its shell without options
(``plain``), a build argument is seen by those scripts that name it and stays out of the image, and
the network that every ``RUN`` has is said. Source: Dockerfile
reference.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ssds.core.diagnostics import Collector
from ssds.core.patterns import pattern
from ssds.importers.dockerstages import chosen
from ssds.importers.dockerwords import Instruction, Word, again, instructions, pairs, words
from ssds.importers.labels import OCI, into_field
from ssds.importers.model import MARK, Imported, Refusals, starting_test
from ssds.recipe.formats.scope import COMMAND, ENVIRONMENT_NAME, USER_NAME

Context = Callable[[str], list[str] | None]
"""A path or glob in the build's folder → the files and folders that it means; None for outside."""

_OWN_ARGS = {
    "TARGETARCH": f"{MARK}arch{MARK}",
    "TARGETPLATFORM": f"{MARK}platform{MARK}",
    "TARGETOS": "linux",
}
_ARCHIVE = pattern(r".*\.(?:tar|tar\.\w+|tgz|tbz2?|txz|zst)")
_IMAGE = pattern(r"[a-z0-9][A-Za-z0-9._/:@-]{0,400}")
_LABEL = pattern(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_EXECUTABLE = ("755", "0755", "a+x", "+x", "555", "0555")
_LEFT_OUT = {
    "EXPOSE": "images of ssds offer no ports; a recipe's webapp has one",
    "VOLUME": "what is bound is the site's choice; see hints.binds",
    "HEALTHCHECK": "ssds starts no services; write a test",
    "STOPSIGNAL": "ssds starts no services",
}
"""What changes no file of the image and has no place in a recipe, and why."""
_INSTEAD = {"ONBUILD": "Write the steps into the recipe that builds on this one."}
_KNOWN = {"FROM", "ARG", "ENV", "RUN", "COPY", "ADD", "WORKDIR", "USER", "LABEL", "ENTRYPOINT",
          "CMD", "SHELL", "MAINTAINER"}  # fmt: skip
_AMD64 = ("linux/amd64", "linux/x86_64", "linux/x86-64")


def read_dockerfile(
    text: str,
    path: str,
    *,
    context: Context,
    arguments: Mapping[str, str],
    collector: Collector,
    stage: str = "",
) -> Imported:
    """Returns what a Dockerfile says; what cannot be said in a recipe goes to ``collector``.

    Args:
        path: its name in messages.
        context: finds the files that it copies.
        arguments: values of its ARGs.
        stage: the name or number of the stage that is wanted; the last one where it is empty.
    """
    reader = _Reader(Refusals(path, collector), context, arguments)
    found, notes = chosen(instructions(text, reader.refuse), stage, reader.refuse)
    reader.notes += notes
    for instruction in found:
        reader.take(instruction)
    return reader.done()


class _Reader:
    """One Dockerfile while it is read."""

    def __init__(self, refuse: Refusals, context: Context, arguments: Mapping[str, str]) -> None:
        self.refuse = refuse
        self.context = context
        self.given = dict(arguments)
        self.base = ""
        self.known: dict[str, str] = {}
        self.args: dict[str, str] = {}
        self.globals: dict[str, str] = {}
        self.used: set[str] = set()
        self.shell: list[str] = []
        self.folder = "/"
        self.build: list[dict[str, Any]] = []
        self.sources: dict[str, dict[str, str]] = {}
        self.files: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}
        self.entrypoint: list[str] = []
        self.program: list[str] = []
        self.notes: list[str] = []

    def take(self, one: Instruction) -> None:
        """Reads one instruction."""
        if not self.base and one.name not in ("FROM", "ARG"):
            self.refuse(one.line, one.rest, "FROM comes first.")
            self.base = "none"
        own = getattr(self, f"_{one.name.lower()}") if one.name in _KNOWN else None
        if one.name in _LEFT_OUT:
            self.notes.append(f"line {one.line}, {one.name} is left out: {_LEFT_OUT[one.name]}")
            return
        if own is None:
            self.refuse(one.line, f"{one.name} {one.rest}", _INSTEAD.get(one.name, ""))
            return
        allowed = {
            "COPY": {"chmod", "link"},
            "ADD": {"chmod", "link", "checksum"},
            "FROM": {"platform"},
        }
        wrong = one.flags.keys() - allowed.get(one.name, set())
        for flag in sorted(wrong):
            told = f"--{flag}={one.flags[flag]}"
            instead = (
                "Import that stage as a recipe of its own (--stage), then add "
                "copy: {recipe: …, version: …, paths: […], to: …}."
                if flag == "from"
                else "Only a plain form is known."
            )
            self.refuse(one.line, f"{one.name} {told}", instead)
        if not wrong:
            own(one)

    def done(self) -> Imported:
        """Returns all of it."""
        if not self.base:
            self.refuse(1, "no FROM", "It must say what it builds on.")
        unused = sorted(self.given.keys() - self.used)
        if unused:
            self.notes.append(f"no ARG is called {', '.join(unused)}")
        program = (self.entrypoint or self.program or [""])[0]
        name = posixpath.basename(program)
        commands = (name,) if COMMAND.fullmatch(name) else ()
        if self.program and not self.entrypoint:
            self.notes.append(
                f"CMD {shlex.join(self.program)} became the command {name!r} that is offered; "
                "images of ssds have no default command"
            )
        if any(isinstance(s.get("run"), dict) and s["run"].get("network") for s in self.build):
            self.notes.append("each RUN has the network, as in a Dockerfile: its result is impure")
        return Imported(
            base=self.base,
            build=tuple(self.build),
            tests=(starting_test(program, name),),
            sources=self.sources,
            files=self.files,
            metadata=self.metadata,
            commands=commands,
            notes=tuple(self.notes),
        )

    # -- words -----------------------------------------------------------------------------------

    def _text(self, word: Word, line: int) -> str:
        """Returns a word whose variables must all be known."""
        text = word.filled({**self.args, **self.known}).plain
        if text is None:
            self.refuse(line, word.expanding, "The value of that variable is not known here.")
            return ""
        return text

    def _words(self, one: Instruction) -> list[str]:
        listed = one.listed
        if listed is not None:
            return listed
        found = words(one.rest)
        if found is None:
            self.refuse(one.line, one.rest, "A quote has no end.")
            return []
        return [self._text(word, one.line) for word in found]

    def _absolute(self, path: str) -> str:
        joined = posixpath.join(self.folder, path)
        plain = posixpath.normpath(joined)
        return f"{plain}/" if joined.endswith(("/", "/.")) and plain != "/" else plain

    # -- instructions ------------------------------------------------------------------------------

    def _from(self, one: Instruction) -> None:
        if self.base:  # the next stage, built on this one
            self.args = {}
            return
        platform = one.flags.get("platform", _AMD64[0])
        if platform not in _AMD64:
            self.refuse(one.line, f"FROM --platform={platform}", "State it in platforms.")
        self.globals = self.args
        found = words(one.rest) or []
        text = self._text(found[0], one.line) if found else ""
        alone = len(found) == 1 or (len(found) == 3 and (found[1].plain or "").upper() == "AS")
        self.base = text or "none"
        self.args = {}  # those before FROM are known to FROM only
        if text == "scratch" or not alone or not _IMAGE.fullmatch(text):
            self.refuse(one.line, f"FROM {one.rest}", "Name an image of a registry.")

    def _arg(self, one: Instruction) -> None:
        for word in words(one.rest) or []:
            text = self._text(word, one.line)
            name, sign, value = text.partition("=")
            if not ENVIRONMENT_NAME.fullmatch(name):
                self.refuse(one.line, one.rest, "")
            elif name in self.given:
                self.args[name] = self.given[name]
                self.used.add(name)
            elif sign:
                self.args[name] = value
            elif name in self.globals:
                self.args[name] = self.globals[name]
            elif name in _OWN_ARGS:
                self.args[name] = _OWN_ARGS[name]
            else:
                self.refuse(one.line, f"ARG {name}", f"Give it: --build-arg {name}=VALUE.")

    def _env(self, one: Instruction) -> None:
        found = pairs(one.rest)
        if found is None:
            self.refuse(one.line, f"ENV {one.rest}", "Write NAME=VALUE.")
            return
        values, expand = {}, False
        before = dict(self.known)
        for name, word in found:
            if not ENVIRONMENT_NAME.fullmatch(name):
                self.refuse(one.line, name, "")
                continue
            filled = word.filled({**self.args, **before})
            text = filled.plain
            if text is None and filled.strange:
                self.refuse(one.line, name, "Only $NAME, ${NAME}, ${NAME:-else}, ${NAME:+then}.")
                continue
            if text is None:
                expand = True
                self.known.pop(name, None)
                values[name] = filled.expanding
            else:
                self.known[name] = values[name] = text
        for name in values:  # from here on ENV hides an ARG of that name
            self.args.pop(name, None)
        if expand:
            values = {
                name: self.known[name].replace("$", "\\$") if name in self.known else text
                for name, text in values.items()
            }
        step: dict[str, Any] = {"env": values}
        self.build.append({**step, "expand": True} if expand else step)

    def _run(self, one: Instruction) -> None:
        listed = one.listed
        if listed is not None:
            script = shlex.join(listed)
        elif one.heredocs and re.fullmatch(r"<<-?(['\"]?)[\w.]+\1", one.rest):
            script = one.heredocs[0].text
            if script.startswith("#!"):
                self.refuse(one.line, script.partition("\n")[0], "Call that program in RUN.")
        else:
            script = one.rest + "".join(f"\n{text}" for text in again(one))
        seen = {**self.args, **dict.fromkeys(self.known)}
        exports = [
            f"export {name}={_quoted(value)}"
            for name, value in seen.items()
            if value is not None and re.search(rf"\$\{{?{name}\b", script)
        ]
        if self.shell and listed is None and script.strip():
            script = shlex.join([*self.shell, script])
        script = "\n".join([*exports, script])
        if not script.strip():
            self.refuse(one.line, "RUN", "There is nothing to run.")
            return
        own = {"script": f"{script.rstrip()}\n", "plain": True, "network": True}
        self.build.append({"run": own})

    def _copy(self, one: Instruction) -> None:
        if one.heredocs:
            self._file(one)
            return
        found = self._words(one)
        if len(found) < 2:
            self.refuse(one.line, f"{one.name} {one.rest}", "Name what is copied, and where to.")
            return
        to = self._absolute(found[-1])
        for origin in found[:-1]:
            self._local(one, origin, to, several=len(found) > 2)

    def _local(self, one: Instruction, origin: str, to: str, *, several: bool) -> None:
        paths = self.context(origin)
        if not paths:
            reason = "It leads out of the folder." if paths is None else "There is no such file."
            self.refuse(one.line, f"{one.name} {origin}", reason)
            return
        if (several or len(paths) > 1) and not to.endswith("/"):
            self.refuse(
                one.line, f"{one.name} {one.rest}", "Several files need a folder: end it with /."
            )
            return
        for path in paths:
            if one.name == "ADD" and _ARCHIVE.fullmatch(path):
                self.refuse(one.line, f"ADD {path}", "It unpacks archives: COPY it, and RUN tar.")
                return
            name = f"files/{path}" if path != "." else "files"
            self.files[name] = path
            self.build.append({"copy": {"local": name, "to": to, **self._mode(one)}})

    def _mode(self, one: Instruction) -> dict[str, bool]:
        mode = one.flags.get("chmod", "")
        if mode and mode not in _EXECUTABLE:
            self.refuse(one.line, f"--chmod={mode}", f"Only {', '.join(_EXECUTABLE)} are known.")
        return {"executable": True} if mode else {}

    def _file(self, one: Instruction) -> None:
        rest = re.sub(r"<<-?(['\"]?)[\w.]+\1", "", one.rest).split()
        if len(one.heredocs) != 1 or len(rest) != 1 or rest[0].endswith("/"):
            self.refuse(one.line, f"{one.name} {one.rest}", "One text into one file.")
            return
        text: str | None = one.heredocs[0].text
        if one.heredocs[0].expand and text is not None:
            text = Word(pieces=((text, True),)).filled({**self.args, **self.known}).plain
        if text is None:
            self.refuse(one.line, one.rest, "A variable in the text is not known here.")
            return
        own = {"path": self._absolute(rest[0]), "content": text, **self._mode(one)}
        self.build.append({"file": own})

    def _add(self, one: Instruction) -> None:
        found = self._words(one)
        if len(found) != 2 or not re.match(r"https?://|git@|[a-z]+://", found[0]):
            self._copy(one)
            return
        digest = re.fullmatch(r"sha256:([0-9a-f]{64})", one.flags.get("checksum", ""))
        url = found[0]
        name = re.sub(r"[^a-z0-9_.-]+", "-", posixpath.basename(url).lower()).strip("-._")[:50]
        if digest is None or not re.match(r"https?://", url) or not name:
            self.refuse(one.line, f"ADD {url}", "Give --checksum=sha256:….")
            return
        while name in self.sources and self.sources[name]["url"] != url:
            name += "x"
        self.sources[name] = {"url": url, "sha256": digest[1]}
        self.build.append(
            {"copy": {"source": name, "to": self._absolute(found[1]), **self._mode(one)}}
        )

    def _shell(self, one: Instruction) -> None:
        if not one.listed:
            self.refuse(one.line, f"SHELL {one.rest}", 'Write a list: ["/bin/bash", "-c"].')
        plain = one.listed in (["/bin/sh", "-c"], ["sh", "-c"])
        self.shell = [] if plain else one.listed or []

    def _starter(self) -> list[str]:
        return self.shell or ["/bin/sh", "-c"]

    def _maintainer(self, one: Instruction) -> None:
        name, value = f"{OCI}authors", one.rest.strip("\"' ")
        if not into_field(name, value, self.metadata):
            self.build.append({"labels": {name: value}})

    def _workdir(self, one: Instruction) -> None:
        path = " ".join(self._words(one))
        if path:
            self.folder = posixpath.normpath(posixpath.join(self.folder, path))
            self.build.append({"workdir": self.folder})

    def _user(self, one: Instruction) -> None:
        name = " ".join(self._words(one))
        if not USER_NAME.fullmatch(name):
            self.refuse(one.line, f"USER {one.rest}", "A user's name, or numbers.")
        self.build.append({"user": name})

    def _label(self, one: Instruction) -> None:
        found = pairs(one.rest)
        if found is None:
            self.refuse(one.line, f"LABEL {one.rest}", "Write NAME=VALUE.")
            return
        kept = {}
        for name, word in found:
            value = self._text(word, one.line)
            if not _LABEL.fullmatch(name):
                self.refuse(one.line, f"LABEL {name}", "Letters, digits and . _ / - only.")
            elif not into_field(name, value, self.metadata):
                kept[name] = value
        if kept:
            self.build.append({"labels": kept})

    def _entrypoint(self, one: Instruction) -> None:
        self.entrypoint = one.listed or [*self._starter(), one.rest]
        if self.program:
            self.refuse(
                one.line, f"ENTRYPOINT {one.rest}", "CMD beside it has no place in a recipe."
            )
        self.build.append({"entrypoint": list(self.entrypoint)})

    def _cmd(self, one: Instruction) -> None:
        program = one.listed if one.listed is not None else [*self._starter(), one.rest]
        if self.entrypoint and program:
            self.refuse(one.line, f"CMD {one.rest}", "Put the arguments into ENTRYPOINT.")
        self.program = program


def _quoted(value: str) -> str:
    return value if value.startswith(MARK) else shlex.quote(value)
