"""One recipe → its releases: versions and variants, each with a target for every platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.errors import InvalidValue
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.oci.image_name import parse_image_name
from ssds.recipe.formats.neurocontainers import describe, frame
from ssds.recipe.formats.neurocontainers.checkout import Checkout
from ssds.recipe.formats.neurocontainers.choices import Chosen, release_name, selector_of
from ssds.recipe.formats.neurocontainers.context import Context, Failed
from ssds.recipe.formats.neurocontainers.directives import Reader
from ssds.recipe.formats.neurocontainers.files import Files
from ssds.recipe.formats.neurocontainers.parts import Place
from ssds.recipe.formats.neurocontainers.published import held, recipe_of
from ssds.recipe.formats.scope import COMMAND, Report, Trees
from ssds.recipe.formats.ssds import Edge
from ssds.recipe.model import Deploy, Release, Target
from ssds.recipe.steps import EntrypointStep, EnvStep, RecipeRef
from ssds.recipe.uses import sources_of
from ssds.recipe.work import Work


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
        self.edges: list[Edge] = []
        self.looked: set[str] = set()

    def release(self, chosen: Chosen) -> Release | None:
        """Returns one release; None after a problem that leaves nothing to read."""
        identity = release_name(self.data, chosen)
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
        base, base_recipe = self.base(context, identity, platform)
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
            base_recipe=base_recipe,
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

    def base(
        self, context: Context, identity: ReleaseName, platform: Platform
    ) -> tuple[str, RecipeRef | None]:
        """Returns the base image's full reference, or the recipe that makes it (C16)."""
        path = ("build", "base-image")
        text = context.text(str(self.build["base-image"]), self.report, path)
        try:
            image = parse_image_name(text)
        except InvalidValue as error:
            self.report("N013", path, ("found", text), ("reason", error.message))
            raise Failed from error
        below = recipe_of(image)
        if below is not None and below.name != identity.name:
            self.looked.add(below.name)
            data = self.checkout.recipe(below.name)
            reference = held(data, below, platform)
            if reference is not None:
                address = ".".join(path)
                self.edges.append(
                    Edge(
                        release=identity,
                        platform=platform,
                        to=reference,
                        path=self.report.document.path,
                        address=address,
                    )
                )
                return "", reference
            if data is not None:
                self.report(
                    "N055", path, ("image", text), ("here", f"{below.name} {data['version']}")
                )
        if not image.digest and image.tag in ("", "latest"):
            self.report("N050", path, ("found", text))
        return str(image), None

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
