"""Reads build steps, sources and tests of the ssds format for one target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.versions import is_version, parse_range
from ssds.recipe.address import Path
from ssds.recipe.codes import near
from ssds.recipe.formats.scope import COMMAND, USER_NAME, Scope
from ssds.recipe.generators.model import GENERATORS, is_ref
from ssds.recipe.model import Deploy, ExpectedFile, Test
from ssds.recipe.shared import plain_relative
from ssds.recipe.steps import (
    AptStep,
    CopyStep,
    EntrypointStep,
    EnvStep,
    FileStep,
    GivenFile,
    LabelsStep,
    PipStep,
    RecipeRef,
    RunStep,
    SourceRequest,
    Step,
    UserStep,
    WorkdirStep,
)
from ssds.recipe.uses import sources_of

_WEB = pattern(r"https?://[A-Za-z0-9.\[\]:@_%-]+(?:/[^\s]*)?")
_DEB_SRC = pattern(r"[a-z0-9][a-z0-9+.-]+/[0-9][A-Za-z0-9.+~:-]*")
_PYPI = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*/[0-9][A-Za-z0-9.!+_-]*")
_COMMIT = pattern(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CHECKS = pattern(r"\b(?:test|grep|cmp|diff|assert|case|exit|sha256sum|md5sum)\b|\[ |==")
_READ_USER = pattern(r"[A-Za-z0-9_.:${}-]{1,64}")
_EXPANDED = frozenset(("env", "workdir", "user"))
_USUAL_REQUIREMENT = pattern(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?==[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc|\.post|\.dev)[0-9]+)?"
)


class TargetReader:
    """Reads what depends on the platform; ``used``, ``lost`` and ``edges`` grow while it reads."""

    def __init__(self, scope: Scope, declared: Mapping[str, tuple[Any, Path]]) -> None:
        self.scope = scope
        self.declared = declared
        self.sources: dict[str, SourceRequest] = {}
        self.used: set[str] = set()
        self.lost = False
        self.edges: list[tuple[RecipeRef, Path]] = []
        self.prefixes: set[str] = set()

    # -- sources -------------------------------------------------------------------------------

    def read_sources(self) -> dict[str, SourceRequest]:
        """Returns the sources whose conditions hold."""
        for name, (item, path) in self.declared.items():
            if self.scope.holds(item):
                self.sources[name] = self._source(name, item, path)
        return self.sources

    def _source(self, name: str, item: Mapping[str, Any], path: Path) -> SourceRequest:
        scope = self.scope
        url = scope.filled(item["url"], (*path, "url")) if "url" in item else ""
        mirrors = scope.texts(item.get("mirrors", ()), (*path, "mirrors"))
        for place, address in [
            ((*path, "url"), url),
            *(((*path, "mirrors", i), m) for i, m in enumerate(mirrors)),
        ]:
            if address:
                self._check_web(address, place, "sha256" in item, item.get("insecure", False))
        packaged = {}
        for key, form in (("deb-src", _DEB_SRC), ("pypi", _PYPI)):
            text = scope.filled(item[key], (*path, key)) if key in item else ""
            if text and not form.fullmatch(text):
                scope.report("R019", (*path, key), ("found", text))
            packaged[key] = text
        file = scope.text(item["file"], (*path, "file")) if "file" in item else ""
        if "/" in file or file in (".", ".."):
            scope.report("R070", (*path, "file"), ("found", file))
        return SourceRequest(
            name=name,
            url=url,
            mirrors=mirrors,
            sha256=scope.sha256(item.get("sha256")),
            deb_src=packaged["deb-src"],
            pypi=packaged["pypi"],
            file=file,
            **self._git(item, path),
        )

    def _git(self, item: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Returns what a source says of a repository; its archive is always bound unpacked."""
        scope = self.scope
        if "git" not in item:
            return {"unpack": item.get("unpack", False)}
        address, ref = (
            scope.filled(item[key], (*path, key)) if key in item else "" for key in ("git", "ref")
        )
        if address:
            pinned = bool(_COMMIT.fullmatch(ref)) or address.startswith("https:")
            self._check_web(address, (*path, "git"), pinned)
        if ref and not is_ref(ref):
            scope.report("R080", (*path, "ref"), ("found", ref))
        folder = scope.text(item["folder"], (*path, "folder")) if "folder" in item else ""
        if folder and not plain_relative(folder):
            scope.report("R081", (*path, "folder"), ("found", folder))
        for key in ("sha256", "unpack", "file"):
            if key in item:
                scope.report("R082", (*path, key), ("field", key))
        return {
            "git": address,
            "ref": ref,
            "folder": folder,
            "empty_submodules": item.get("submodules") == "empty",
            "unpack": True,
        }

    def _check_web(self, address: str, path: Path, summed: bool, meant: bool = False) -> None:
        report = self.scope.report
        if not _WEB.fullmatch(address):
            report("R017", path, ("found", address))
        elif "@" in address.split("/")[2]:
            report("R074", path)
        elif not summed:
            bare = address.startswith("http:") and not meant
            report("R015" if bare else "R016", path, ("found", address))

    def use(self, names: tuple[str, ...], path: Path) -> tuple[str, ...]:
        """Notes the named sources as used; reports unknown ones."""
        for index, name in enumerate(names):
            if name in self.sources:
                self.used.add(name)
                continue
            if not self.scope.report.whole:
                continue
            known = ", ".join(self.sources) or "none"
            facts = [("source", name), ("known", known)]
            if name in self.declared:
                facts.append(("platform", f"not declared for {self.scope.platform}"))
                self.used.add(name)
            self.lost = True
            place = (*path, index) if path[-1] == "sources" else path
            self.scope.report("R020", place, *facts, first=near(name, list(self.sources)))
        return names

    # -- steps ---------------------------------------------------------------------------------

    def steps(self, items: list[dict[str, Any]], addresses: list[str]) -> tuple[Step, ...]:
        """Returns the build steps whose conditions hold."""
        steps: list[Step] = []
        for index, item in enumerate(items):
            if ("platforms" in item or "when" in item) and not self.scope.holds(item):
                continue
            for key in item:
                if key in _STEPS:
                    common: dict[str, Any] = {"address": addresses[index]}
                    if "time_limit_s" in item:
                        common["time_limit_s"] = item["time_limit_s"]
                    path: Path = ("build", index, key)
                    if "expand" in item:
                        common["expand"] = item["expand"]
                        if key not in _EXPANDED:
                            place = ("build", index, "expand")
                            self.scope.report("R007", place, ("keys", f"expand, {key}"), key=True)
                            del common["expand"]
                    if key in GENERATORS:
                        steps += self._written_out(key, item[key], path, common)
                        break
                    step: Step | None = getattr(self, f"_{key}")(item[key], path, common)
                    if step is not None:
                        steps.append(step)
                    break
        return tuple(steps)

    def _written_out(
        self, kind: str, value: Any, path: Path, common: dict[str, Any]
    ) -> tuple[Step, ...]:
        from ssds.recipe.formats.ssds_generators import written_out

        self.scope.spend(_GENERATOR, path)
        found = written_out(kind, value, path, self.scope, self.sources, common)
        if found is None:
            self.lost = True
            return ()
        self.used.update(name for step in found.steps for name in sources_of(step))
        for name, source in found.sources.items():
            if self.sources.setdefault(name, source) != source or name in self.declared:
                self.scope.report("R119", path, ("source", name), key=True)
        return found.steps

    def _run(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        scope = self.scope
        if isinstance(value, str):
            return RunStep(script=scope.filled(value, path), **common)
        sources = scope.texts(value.get("sources", ()), (*path, "sources"))
        return RunStep(
            script=scope.filled(value["script"], (*path, "script")),
            tools=scope.packages(value.get("tools", ()), (*path, "tools")),
            sources=self.use(sources, (*path, "sources")),
            network=value.get("network", False),
            plain=value.get("plain", False),
            files=self._files(value["files"], (*path, "files")) if "files" in value else (),
            **common,
        )

    def _files(self, values: Any, path: Path) -> tuple[GivenFile, ...]:
        from ssds.recipe.formats.ssds_files import given_files

        return given_files(values, path, self)

    def _apt(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        return AptStep(packages=self.scope.packages(value, path), **common)

    def _pip(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        requirements = self.scope.texts(value, path)
        for index, text in enumerate(requirements):
            if not _USUAL_REQUIREMENT.fullmatch(text):
                self._requirement(text, (*path, index))
        return PipStep(requirements=requirements, **common)

    def _requirement(self, text: str, path: Path) -> None:
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            self.scope.report("R031", path, ("found", text), ("reason", reason))
            return
        if requirement.url:
            self.scope.report("R032", path, ("found", text))

    def _conda(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        from ssds.recipe.formats.ssds_conda import conda_step

        return conda_step(value, path, self.scope, self.prefixes, common)

    def _copy(self, value: Any, path: Path, common: dict[str, Any]) -> Step | None:
        scope = self.scope
        common["executable"] = value.get("executable", False)
        common["to"] = scope.absolute(value["to"], (*path, "to"))
        common["merge"] = value.get("merge", False)
        if "file" in value:
            from ssds.recipe.formats.ssds_files import GIVEN, given_file

            executable = common.pop("executable")
            given = {**{k: value[k] for k in GIVEN if k in value}, "executable": executable}
            file = given_file(value["file"], given, path, self, name_at="file")
            return None if file is None else CopyStep(file=file, **common)
        if "local" in value:
            return CopyStep(local=scope.tree(value["local"], (*path, "local")), **common)
        if "source" in value:
            source = scope.text(value["source"], (*path, "source"))
            return CopyStep(source=self.use((source,), (*path, "source"))[0], **common)
        paths = tuple(
            scope.absolute(item, (*path, "paths", i)) for i, item in enumerate(value["paths"])
        )
        return CopyStep(recipe=self.reference(value, path), paths=paths, **common)

    def reference(self, value: Mapping[str, Any], path: Path) -> RecipeRef:
        """Returns another recipe that is named, and notes the edge (C16)."""
        scope = self.scope
        variant = scope.text(value.get("variant", ""), (*path, "variant"))
        reference = RecipeRef(
            name=scope.filled(value["recipe"], (*path, "recipe")),
            version=self._version(value["version"], (*path, "version")),
            variant="" if variant == "default" else variant,
        )
        if reference.name and reference.version:
            self.edges.append((reference, path))
        return reference

    def _version(self, value: Any, path: Path) -> str:
        """Returns one exact version, or the one text of a range; the empty text after a problem."""
        text = self.scope.filled(value, path)
        if not text or is_version(text):
            return text
        try:
            return str(parse_range(text))
        except InvalidValue as error:
            self.scope.report("R077", path, ("found", text[:80]), ("reason", error.message))
            return ""

    def _file(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        return FileStep(
            path=self.scope.absolute(value["path"], (*path, "path")),
            content=self.scope.text(value["content"], (*path, "content")),
            executable=value.get("executable", False),
            **common,
        )

    def _env(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        return EnvStep(values=self.scope.environment(value, path), **common)

    def _workdir(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        read = self.scope.filled if common.get("expand") else self.scope.absolute
        return WorkdirStep(path=read(value, path), **common)

    def _user(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        name = self.scope.text(value, path)
        if not (_READ_USER if common.get("expand") else USER_NAME).fullmatch(name):
            self.scope.report("R071", path, ("found", name))
        return UserStep(name=name, **common)

    def _labels(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        values = {key: self.scope.text(item, (*path, key)) for key, item in value.items()}
        return LabelsStep(values=values, **common)

    def _entrypoint(self, value: Any, path: Path, common: dict[str, Any]) -> Step:
        return EntrypointStep(arguments=self.scope.texts(value, path), **common)

    # -- tests and deployment ------------------------------------------------------------------

    def tests(self, items: list[dict[str, Any]]) -> tuple[Test, ...]:
        """Returns the tests whose conditions hold."""
        return tuple(
            [self._test(t, ("tests", i)) for i, t in enumerate(items) if self.scope.holds(t)]
        )

    def _test(self, item: Mapping[str, Any], path: Path) -> Test:
        scope = self.scope
        exact = item.get("stdout_equals")
        if not any(k in item for k in _ASSERTIONS) and not _CHECKS.search(item["run"]):
            scope.report("R043", path)
        optional = {"time_limit_s": item["time_limit_s"]} if "time_limit_s" in item else {}
        sources = scope.texts(item.get("sources", ()), (*path, "sources"))
        return Test(
            name=scope.filled(item["name"], (*path, "name")),
            script=scope.filled(item["run"], (*path, "run")),
            exit_code=item.get("exit_code", 0),
            stdout=scope.texts(item.get("stdout", ()), (*path, "stdout")),
            stderr=scope.texts(item.get("stderr", ()), (*path, "stderr")),
            stdout_equals=None if exact is None else scope.text(exact, (*path, "stdout_equals")),
            files=tuple(
                [
                    self._expected(f, (*path, "files", i))
                    for i, f in enumerate(item.get("files", ()))
                ]
            ),
            sources=self.use(sources, (*path, "sources")),
            environment=scope.environment(item.get("environment", {}), (*path, "environment")),
            **optional,
        )

    def _expected(self, item: Mapping[str, Any], path: Path) -> ExpectedFile:
        return ExpectedFile(
            path=self.scope.relative(item["path"], (*path, "path")),
            sha256=self.scope.sha256(item.get("sha256")),
            contains=self.scope.texts(item.get("contains", ()), (*path, "contains")),
            min_size_bytes=item.get("min_size_bytes", 0),
        )

    def deploy(self, item: Mapping[str, Any], path: Path) -> Deploy:
        """Returns what a deployment offers."""
        scope = self.scope
        commands = scope.texts(item.get("commands", ()), (*path, "commands"))
        seen: set[str] = set()
        for index, command in enumerate(commands):
            if not COMMAND.fullmatch(command):
                scope.report("R059", (*path, "commands", index), ("found", command))
            elif command in seen:
                scope.report("R042", (*path, "commands", index), ("command", command))
            seen.add(command)
        return Deploy(
            commands=commands,
            paths=tuple(
                [
                    scope.absolute(p, (*path, "paths", i))
                    for i, p in enumerate(item.get("paths", ()))
                ]
            ),
            environment=scope.environment(item.get("environment", {}), (*path, "environment")),
        )


_GENERATOR = 20_000
"""Units of work for a step that others' generators write out."""
_ASSERTIONS = ("stdout", "stderr", "stdout_equals", "files", "exit_code")
_STEPS = frozenset(
    ("run", "apt", "pip", "conda", "copy", "file", "env", "workdir", "user", "labels", "entrypoint")
) | frozenset(GENERATORS)
