"""One recipe → its releases: versions and variants, each with a target for every platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ssds.core.errors import InvalidValue
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, replace
from ssds.oci.image_name import parse_image_name
from ssds.recipe.formats.neurocontainers import describe, frame
from ssds.recipe.formats.neurocontainers.checkout import Checkout
from ssds.recipe.formats.neurocontainers.context import Context, Failed
from ssds.recipe.formats.neurocontainers.directives import Reader
from ssds.recipe.formats.neurocontainers.files import Files
from ssds.recipe.formats.neurocontainers.parts import Place
from ssds.recipe.formats.scope import COMMAND, Report, Trees
from ssds.recipe.model import Deploy, Release, Target
from ssds.recipe.rules import RESERVED_TAG
from ssds.recipe.steps import EntrypointStep, EnvStep
from ssds.recipe.uses import sources_of
from ssds.recipe.work import Work

ARCHITECTURES = {
    "x86_64": "linux/amd64", "amd64": "linux/amd64", "AMD64": "linux/amd64",
    "aarch64": "linux/arm64", "arm64": "linux/arm64", "ARM64": "linux/arm64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One version in one variant: what differs between the releases of a recipe.

    Attributes:
        version: with the suffixes of its options.
        variant: theirs, as the recipe names it, or the empty text.
        options: all of them.
        platforms: in the recipe's order, the first one required.
    """

    version: str
    variant: str
    options: Mapping[str, bool]
    platforms: tuple[Platform, ...]


def selector_of(variant: str, platform: Platform) -> str:
    """Returns how their builder names a variant on an architecture (``gpu_arm64``)."""
    arm = platform.architecture == "arm64"
    return "_".join(part for part in (variant, "arm64" if arm else "") if part)


def choices(data: Mapping[str, Any]) -> Iterator[Chosen]:
    """Gives a recipe's own release, one for each option that marks the version, its variants."""
    options: dict[str, Any] = data.get("options") or {}
    usual = {name: bool((item or {}).get("default", False)) for name, item in options.items()}
    names = [ARCHITECTURES[a] for a in data["architectures"] if a in ARCHITECTURES]
    first = "linux/amd64" if "linux/amd64" in names else names[0]
    platforms = tuple(Platform(p) for p in dict.fromkeys((first, *names)))

    def version(chosen: Mapping[str, bool]) -> str:
        marks = [str((options[n] or {}).get("version_suffix") or "") for n in chosen if chosen[n]]
        return str(data["version"]) + "".join(marks)

    yield Chosen(version=version(usual), variant="", options=usual, platforms=platforms)
    for name, item in options.items():
        if (item or {}).get("version_suffix") and not usual[name]:
            chosen = {**usual, name: True}
            yield Chosen(version=version(chosen), variant="", options=chosen, platforms=platforms)
    for name, item in (data.get("variants") or {}).items():
        own = item.get("architectures") or [item.get("architecture") or ""]
        on = tuple(Platform(ARCHITECTURES[a]) for a in own if a) or platforms[:1]
        chosen = {**usual, **(item.get("options") or {})}
        yield Chosen(version=version(chosen), variant=name, options=chosen, platforms=on)


class TargetReader:
    """Reads the targets of one recipe."""

    def __init__(
        self,
        data: Mapping[str, Any],
        report: Report,
        *,
        folder: str,
        checkout: Checkout,
        trees: Trees,
        beside: describe.Beside,
    ) -> None:
        self.data = data
        self.report = report
        self.folder = folder
        self.checkout = checkout
        self.trees = trees
        self.beside = beside
        self.build: Mapping[str, Any] = data["build"]
        self.work = Work()

    def release(self, chosen: Chosen) -> Release | None:
        """Returns one release; None after a problem that leaves nothing to read."""
        version = (
            f"{chosen.version}.0" if RESERVED_TAG.fullmatch(chosen.version) else chosen.version
        )
        identity = ReleaseName(
            str(self.data["name"]), version, describe.variant_name(chosen.variant)
        )
        targets: dict[Platform, Target] = {}
        first: Context | None = None
        for platform in chosen.platforms:
            self.report.whole = True
            try:
                context, target = self.target(identity, chosen, platform)
            except Failed:
                continue
            first = first or context
            targets[platform] = replace(target, required=platform == chosen.platforms[0])
        if first is None:
            return None
        files = describe.files(self.data, self.folder, self.trees)
        return Release(
            id=identity,
            recipe_path=self.report.document.path,
            targets=targets,
            metadata=describe.metadata(self.data, chosen, first, self.report, self.beside, files),
            metadata_files=files,
            software=describe.software(self.data, identity),
        )

    def target(
        self, identity: ReleaseName, chosen: Chosen, platform: Platform
    ) -> tuple[Context, Target]:
        """Returns one release on one platform.

        Raises:
            Failed: there is nothing to read on.
        """
        selector = selector_of(chosen.variant, platform)
        context = Context(
            name="_".join(part for part in (identity.name, selector) if part),
            version=chosen.version,
            original_version=str(self.data["version"]),
            platform=platform,
            selector=selector,
            options=chosen.options,
            files=Files(),
            work=self.work,
        )
        for name, value in (self.data.get("variables") or {}).items():
            try:
                context.values[name] = context.value(value, self.report, ("variables", name))
            except Failed:
                self.report.whole = False
        build = Place(report=self.report, path=("build",))
        reader = self.reader(context)
        for index, item in enumerate(self.data.get("files") or ()):
            try:
                reader.declare(item, Place(report=self.report, path=("files", index)))
            except Failed:
                self.report.whole = False
        base = self.base(context)
        self.before(reader, build)
        for index, item in enumerate(self.build.get("directives") or ()):
            reader.apply(item, build.below("directives", index))
        deploy = self.after(reader, build)
        used = {name for step in reader.steps for name in sources_of(step)}
        target = Target(
            release=identity,
            platform=platform,
            required=True,
            base=base,
            sources={n: s for n, s in context.files.sources.items() if n in used},
            steps=tuple(reader.steps),
            tests=(),  # fulltest.yaml: a reader of its own
            deploy=deploy,
        )
        return context, target

    def reader(self, context: Context) -> Reader:
        """Returns the reader of the directives."""
        path = ("build", "pkg-manager")
        try:
            manager = context.text(str(self.build["pkg-manager"]), self.report, path)
        except Failed:
            manager = "apt"
        if manager not in ("apt", "yum", "rpm"):
            self.report("N012", path, ("found", manager))
            raise Failed
        return Reader(
            context,
            manager=manager,
            checkout=self.checkout,
            folder=self.folder,
            trees=self.trees,
            drop_localedef=bool(self.build.get("fix-locale-def", False)),
        )

    def base(self, context: Context) -> str:
        """Returns the reference of the base image in its full form."""
        path = ("build", "base-image")
        text = context.text(str(self.build["base-image"]), self.report, path)
        try:
            image = parse_image_name(text)
            if not image.digest and image.tag in ("", "latest"):
                self.report("N050", path, ("found", text))
            return str(image)
        except InvalidValue as error:
            self.report("N013", path, ("found", text), ("reason", error.message))
            raise Failed from error

    def before(self, reader: Reader, build: Place) -> None:
        """Adds what every image gets before the recipe's own steps."""
        usual = bool(self.build.get("add-default-template", True))
        reader.user("root", build)
        if usual:
            reader.env(frame.LOCALE, build)
            reader.run(frame.locale_command(reader.manager), build.address)
        for command in frame.helper_commands():
            reader.run(command, build.address, network=False)
        if reader.manager == "apt" and bool(self.build.get("add-tzdata", usual)):
            reader.env({"DEBIAN_FRONTEND": "noninteractive"}, build)
            reader.env({"TZ": "UTC"}, build)
            packages, link = frame.time_zone_commands()
            reader.run(packages, build.address)
            reader.run(link, build.address, network=False)

    def after(self, reader: Reader, build: Place) -> Deploy:
        """Adds what every image gets at the end, and returns what is offered."""
        place = Place(report=self.report, path=("deploy",))
        top: Mapping[str, Any] = {}
        try:
            offered = {k: v for k, v in (self.data.get("deploy") or {}).items() if k != "webapp"}
            top = reader.rendered(offered, place)
        except Failed:
            self.report.whole = False
        paths = [str(p) for p in reader.paths or top.get("path") or ()]
        commands = [str(c) for c in reader.commands or top.get("bins") or ()]
        address = "deploy" if self.data.get("deploy") else "build"
        for name, values in (("DEPLOY_PATH", paths), ("DEPLOY_BINS", commands)):
            reader.env({name: ":".join(values)}, Place(report=self.report, path=(address,)))
        has_entry = any(isinstance(step, EntrypointStep) for step in reader.steps)
        if bool(self.build.get("add-default-template", True)) and not has_entry:
            reader.steps.append(EntrypointStep(address=build.address, arguments=(frame.START,)))
        return self.deploy(reader, commands, paths)

    def deploy(self, reader: Reader, commands: list[str], paths: list[str]) -> Deploy:
        """Returns what can get a wrapper; the rest is named in a warning."""
        path = ("deploy",) if self.data.get("deploy") else ("build",)
        for name in commands:
            if not COMMAND.fullmatch(name):
                self.report("N041", path, ("command", name))
        good = [name for name in dict.fromkeys(commands) if COMMAND.fullmatch(name)]
        folders = [p for p in dict.fromkeys(paths) if p.startswith("/")]
        environment = {
            name.removeprefix("DEPLOY_ENV_"): value.replace("BASEPATH", "{{ root }}")
            for step in reader.steps
            if isinstance(step, EnvStep)
            for name, value in step.values.items()
            if name.startswith("DEPLOY_ENV_")
        }
        return Deploy(commands=tuple(good), paths=tuple(folders), environment=environment)
