"""One directive of a recipe → build steps, or a change of what later ones see."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ssds.core.patterns import pattern
from ssds.recipe.formats.neurocontainers import frame, shell
from ssds.recipe.formats.neurocontainers.checkout import Checkout
from ssds.recipe.formats.neurocontainers.context import Context, Failed
from ssds.recipe.formats.neurocontainers.files import Declared, seen_name, source_name
from ssds.recipe.formats.neurocontainers.parts import KINDS, Place
from ssds.recipe.formats.neurocontainers.presets import BadPreset, Preset
from ssds.recipe.formats.neurocontainers.work import DIRECTIVE
from ssds.recipe.formats.scope import ENVIRONMENT_NAME
from ssds.recipe.local import LocalProblem
from ssds.recipe.shared import plain_relative
from ssds.recipe.steps import (
    CopyStep,
    EntrypointStep,
    EnvStep,
    GivenFile,
    LocalTree,
    RunStep,
    SourceRequest,
    Step,
    UserStep,
    WorkdirStep,
)
from ssds.recipe.templates import TemplateProblem
from ssds.recipe.work import TooMuch

_WEB = pattern(r"https?://[^\s/@]+(?:/\S*)?")
_PLAIN_PATH = pattern(r"/[^\s\"'$\\]*")
_FILE_NAME = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}")
_PLAIN_USER = pattern(r"[a-z_][a-z0-9_-]{0,31}|[0-9]{1,5}(?::[0-9]{1,5})?")
_USER = pattern(r"[A-Za-z0-9_.:${}-]{1,64}")
_READ = pattern(r"[$\\]")
"""What makes a Dockerfile read a word in double quotes otherwise than as it stands."""
_DEPTH = 8


class Reader:
    """Reads the directives of one target in order.

    Attributes:
        steps: what they became so far.
        commands, paths: what ``deploy`` directives offer.
        missing: the local file that was asked for last is not there.
    """

    def __init__(
        self,
        context: Context,
        *,
        manager: str,
        checkout: Checkout,
        folder: str,
        trees: Callable[[str, str], LocalTree],
        drop_localedef: bool = False,
    ) -> None:
        self.context = context
        self.manager = manager
        self.checkout = checkout
        self.folder = folder
        self.trees = trees
        self.steps: list[Step] = []
        self.commands: list[Any] = []
        self.paths: list[Any] = []
        self._users = {"root"}
        self._folder = ""
        self._drop = "localedef" if drop_localedef else ""
        self._depth = 0
        self.missing = False

    # -- steps ---------------------------------------------------------------------------------

    def run(self, command: str, address: str, *, network: bool = True) -> None:
        """Adds a command, with the files that it asked for."""
        lines = shell.run_lines(command)
        for number, line in enumerate(lines):
            if self._drop and number and self._drop in line:
                lines[number], self._drop = "", ""
                break
        mounted = self.context.files.mounted or {}
        self.steps.append(
            RunStep(
                address=address,
                script=shell.folded(lines),
                network=network,
                plain=True,
                files=tuple(mounted.values()),
            )
        )

    def env(self, values: Mapping[str, str], place: Place) -> None:
        """Adds one instruction of environment variables."""
        for name, value in values.items():
            if not ENVIRONMENT_NAME.fullmatch(name):
                place.report("R033", (*place.path, name), ("name", name), key=True)
                raise Failed
            if "\n" in value:
                place.report("N021", (*place.path, name), ("name", name))
                raise Failed
        expand = any(_READ.search(value) for value in values.values())
        read = {name: shell.dequoted(value) for name, value in values.items()}
        self.steps.append(EnvStep(address=place.address, values=read, expand=expand))

    def user(self, name: str, place: Place) -> None:
        """Adds a change of the user; who is not there is made first."""
        if not _USER.fullmatch(name):
            place.report("R071", place.path, ("found", name))
            raise Failed
        if name not in self._users:
            self._users.add(name)
            self.run(frame.user_command(name), place.address, network=False)
        expand = not _PLAIN_USER.fullmatch(name)
        self.steps.append(UserStep(address=place.address, name=name, expand=expand))

    def install(self, packages: Sequence[str], address: str) -> None:
        """Adds packages of the distribution."""
        self.run(shell.install(self.manager, packages), address)

    # -- directives ----------------------------------------------------------------------------

    def apply(self, directive: Any, place: Place, values: Mapping[str, Any] | None = None) -> None:
        """Applies one directive; its problems are reported, and the next one can be read."""
        context = self.context
        context.spend(DIRECTIVE + len(context.values) * bool(values), place.report, place.path)
        try:
            if not context.holds(directive, place.report, place.path):
                return
            kind = next((k for k in KINDS if k in directive), "")
            if not kind:
                return  # the grammar has said so
            before = dict(context.values) if values else None
            context.values.update(values or {})
            try:
                getattr(self, f"_{kind}")(directive[kind], place.below(kind), directive)
                self._check_strays(place.below(kind))
            finally:
                if before is not None:
                    context.values = before
        except Failed:
            place.report.whole = False

    def _check_strays(self, place: Place) -> None:
        strays = self.context.files.strays
        for name in strays:
            place.report("N045", place.path, ("file", name))
        strays.clear()

    def rendered(self, value: Any, place: Place) -> Any:
        """Returns the value rendered."""
        return self.context.value(value, place.report, place.path)

    def _install(self, value: Any, place: Place, _: Any) -> None:
        found = self.rendered(value, place)
        self.install(self._words(found, place), place.address)

    def _words(self, value: Any, place: Place) -> list[str]:
        """Returns the words of a text, or the items of a list."""
        if not isinstance(value, str):
            return [str(item) for item in value if str(item)]
        try:
            return shlex.split(value)
        except ValueError as error:
            place.report("N022", place.path, ("reason", str(error)))
            raise Failed from error

    def _run(self, value: Any, place: Place, _: Any) -> None:
        files = self.context.files
        files.mounted = {}
        try:
            found = self.rendered(value, place)
            items = [found] if isinstance(found, str) else found
            commands = [str(item) for item in items if item is not None and str(item) != ""]
            command = shell.joined(commands)
            if not command.strip():
                place.report("N044", place.path)
                raise Failed
            if shell.HERE.search(command):
                place.report("N047", place.path)
            if shell.goes_on(command):
                place.report("N048", place.path)
            self.run(command, place.address)
        finally:
            files.mounted = None

    def _workdir(self, value: Any, place: Place, _: Any) -> None:
        text = shell.dequoted(str(self.rendered(value, place)), "\"'")
        if "\n" in text or not text.strip():
            place.report("R024", place.path, ("path", text))
            raise Failed
        expand = not _PLAIN_PATH.fullmatch(text)
        self._folder = "" if expand else text
        self.steps.append(WorkdirStep(address=place.address, path=text, expand=expand))

    def _entrypoint(self, value: Any, place: Place, _: Any) -> None:
        text = str(self.rendered(value, place))
        if '"' in text or "\\" in text or "\n" in text:
            place.report("N023", place.path, ("found", text))
            raise Failed
        self.steps.append(EntrypointStep(address=place.address, arguments=(text,)))

    def _user(self, value: Any, place: Place, _: Any) -> None:
        self.user(str(self.rendered(value, place)), place)

    def _environment(self, value: Any, place: Place, _: Any) -> None:
        for name, text in self.rendered(value, place).items():
            self.env({name: str(text)}, place)

    def _variables(self, value: Any, place: Place, _: Any) -> None:
        for name, item in value.items():
            found = self.context.value(item, place.report, (*place.path, name))
            self.context.values[name] = found

    def _group(self, value: Any, place: Place, directive: Mapping[str, Any]) -> None:
        given = directive.get("with") or {}
        above = place.path[:-1]
        values = {
            name: self.context.value(item, place.report, (*above, "with", name))
            for name, item in given.items()
        }
        self._nested(value, place, values)

    def _nested(self, items: Any, place: Place, values: Mapping[str, Any] | None = None) -> None:
        if self._depth >= _DEPTH:
            place.report("N024", place.path, ("limit", f"{_DEPTH} levels"))
            raise Failed
        self._depth += 1
        try:
            for index, item in enumerate(items):
                self.apply(item, place.below(index), values)
        finally:
            self._depth -= 1

    def _include(self, value: Any, place: Place, _: Any) -> None:
        name = str(self.rendered(value, place))
        macro = self.checkout.macro(name)
        if macro.problem:
            place.report("N025", place.path, ("found", name), ("reason", macro.problem))
            raise Failed
        inside = Place(report=macro.report, path=("directives",), include=place.address)
        self._nested(macro.data.get("directives") or (), inside)

    def _file(self, value: Any, place: Place, _: Any) -> None:
        self.declare(value, place)

    def _deploy(self, value: Any, place: Place, _: Any) -> None:
        found = self.rendered(value, place)
        self.commands += found.get("bins") or ()
        self.paths += found.get("path") or ()

    def _template(self, value: Any, place: Place, _: Any) -> None:
        name = str(self.rendered(value.get("name", ""), place.below("name")))
        arguments = {
            key: self.rendered(item, place.below(key))
            for key, item in value.items()
            if key != "name"
        }
        if str(arguments.get("version", "")) == "latest":
            place.report("N051", (*place.path, "version"), ("template", name))
        arguments.setdefault("arch", self.context.arch)
        data = self.checkout.preset(name)
        try:
            if data is None:
                raise BadPreset(f"there is no template {name!r}; {self.checkout.known_presets()}")
            parts = Preset(name, data, arguments, self.manager, self.context.work).parts()
        except TooMuch as problem:
            raise self.context.told(problem, place.report, place.path) from None
        except (BadPreset, TemplateProblem, ValueError) as error:
            reason = error.facts[0][1] if isinstance(error, TemplateProblem) else str(error)
            place.report("N026", place.path, ("template", name), ("reason", reason[:300]))
            raise Failed from error
        for part in parts:
            if part.kind == "env":
                self.env(part.values, place)
            elif part.kind == "install":
                self.install(part.values, place.address)
            else:
                self.run(part.values, place.address)

    def _boutique(self, value: Any, place: Place, _: Any) -> None:
        name = f"{value.get('name', 'tool')}.json"
        if not _FILE_NAME.fullmatch(name):
            place.report("R025", place.path, ("path", name))
            raise Failed
        self.run("mkdir -p /boutique", place.address, network=False)
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
        self._copied(GivenFile(name=name, content=text), f"/boutique/{name}", place.address)

    def _test(self, value: Any, place: Place, directive: Any) -> None:
        """Nothing: tests stand in ``fulltest.yaml``; their builder does not read these either."""

    # -- files ---------------------------------------------------------------------------------

    def declare(self, item: Mapping[str, Any], place: Place) -> None:
        """Declares a file where its condition holds."""
        context, report, path = self.context, place.report, place.path
        if not context.holds(item, report, path):
            return
        name = str(self.rendered(str(item["name"]), place.below("name")))
        given = {
            key: str(self.rendered(item[key], place.below(key)))
            for key in ("contents", "filename", "url")
            if item.get(key) is not None
        }
        if name in context.files.declared:
            report("N027", (*path, "name"), ("file", name))
            raise Failed
        seen = seen_name(name, given.get("url", ""))
        if not plain_relative(seen):
            report("R025", (*path, "name"), ("path", seen))
            raise Failed
        common: dict[str, Any] = {"name": seen, "executable": bool(item.get("executable", False))}
        request = None
        if "contents" in given:
            file = GivenFile(content=given["contents"], **common)
        elif "filename" in given:
            tree = self.tree(given["filename"], place.below("filename"))
            if len(tree.entries) > 1 or any(entry.digest is None for entry in tree.entries):
                reason = f"{given['filename']} is not one file"
                report("R028", (*path, "filename"), ("reason", reason))
                raise Failed
            file = GivenFile(local=tree, **common)
        elif "url" in given:
            request = self._source(name, given["url"], place.below("url"))
            file = GivenFile(source=request.name, **common)
        else:
            report("N028", path, ("file", name))
            raise Failed
        context.files.add(name, Declared(file=file, request=request))

    def _source(self, name: str, url: str, place: Place) -> SourceRequest:
        url = url.strip()
        if not _WEB.fullmatch(url):
            place.report("R017", place.path, ("found", url))
            raise Failed
        if url.startswith("http:"):
            place.report("N049", place.path, ("found", url))
        own = source_name(name, self.context.files.sources)
        named = seen_name("", url)
        return SourceRequest(name=own, url=url, file="" if named else own)

    def tree(self, name: str, place: Place) -> LocalTree:
        """Returns a file or folder beside the recipe; one that is not there has no entries."""
        self.missing = False
        try:
            return self.trees(self.folder, name)
        except LocalProblem as problem:
            missing = problem.code == "R026"
            code = "N040" if missing else problem.code
            place.report(code, place.path, ("reason", problem.reason))
            if not missing:
                raise Failed from problem
            self.missing = True
            return LocalTree(path=f"{self.folder}/{name}", entries=())

    def _copy(self, value: Any, place: Place, _: Any) -> None:
        *sources, to = self._words(self.rendered(value, place), place) or [""]
        if not sources:
            place.report("N029", place.path, ("found", str(value)[:80]))
            raise Failed
        if not to.startswith("/") and self._folder and "$" not in to:
            to = f"{self._folder.rstrip('/')}/{to}"
        if not _PLAIN_PATH.fullmatch(to) or (len(sources) > 1 and not to.endswith("/")):
            place.report("N030", place.path, ("found", to))
            raise Failed
        for source in sources:
            declared = self.context.files.declared.get(source)
            if declared is not None:
                self._copied(declared.file, to, place.address)
                continue
            tree = self.tree(source, place)
            if self.missing:
                file = GivenFile(name=source.rpartition("/")[2], local=tree)
                self._copied(file, to, place.address)
                continue
            step = CopyStep(address=place.address, local=tree, to=to, merge=True)
            self.steps.append(step)

    def _copied(self, file: GivenFile, to: str, address: str) -> None:
        self.steps.append(CopyStep(address=address, file=file, to=to, merge=True))
