"""Reads ssds's own recipe format: one ``recipe.yaml`` → its releases, targets and edges.

The data has passed ``schemas/recipe.schema.json``. What differs is taken from the recipe, then
from its version, then from its variant; the later one wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.errors import InvalidValue
from ssds.core.levels import known, similar
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, replace
from ssds.oci.image_name import parse_image_name
from ssds.recipe.address import Path, format_address
from ssds.recipe.codes import near
from ssds.recipe.formats.scope import Report, Scope, Trees, check_conditions, day, names_of
from ssds.recipe.formats.ssds_metadata import check_metadata, read_metadata, read_software
from ssds.recipe.formats.ssds_steps import TargetReader
from ssds.recipe.formats.ssds_suite import Texts, read_suite
from ssds.recipe.model import Base, Release, Target, Waiver
from ssds.recipe.shared import Shared
from ssds.recipe.steps import RecipeRef
from ssds.recipe.work import TooMuch

if TYPE_CHECKING:
    from ssds.recipe.formats.neurocontainers.fulltest import FullTest

MAX_TARGETS = 1_000
_BYTE = 2
"""Units of work for a byte of the file, for each target that is read."""
_NOTHING: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One recipe's image as an input of another's (C16), with its place."""

    release: ReleaseName
    platform: Platform
    to: RecipeRef
    path: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one recipe file gives.

    Attributes:
        bases: images of registries that it names itself, each called by its whole reference.
        looked: recipes whose versions it asked for; what it gives may change with them.
    """

    releases: tuple[Release, ...] = ()
    edges: tuple[Edge, ...] = ()
    bases: tuple[Base, ...] = ()
    looked: frozenset[str] = frozenset()


def read_recipe(
    data: Mapping[str, Any],
    report: Report,
    *,
    folder: str,
    shared: Shared,
    trees: Trees,
    texts: Texts,
) -> Reading:
    """Returns the releases of one recipe.

    Args:
        data: what the schema accepts.
        report: takes every problem.
        folder: the recipe's folder, relative to the workspace.
        shared: bases, policies and channels that it may name.
        trees: reads local files.
        texts: gives the bytes of one of them.
    """
    reader = _RecipeReader(data, report, folder, shared, trees)
    if "suite" in data:
        reader.suite = read_suite(data, report, folder, trees, texts)
    reader.check_whole()
    count = len(reader.versions) * len(reader.variants) * len(reader.all_platforms())
    if count > MAX_TARGETS:
        report("R076", ("name",), ("found", str(count)))
        return Reading()
    try:
        releases = [
            reader.release(version, variant)
            for version in reader.versions
            for variant in reader.variants
        ]
    except TooMuch:
        return Reading()
    if report.whole and not reader.lost:
        for name, path in reader.declared.items():
            if name not in reader.used:
                report("R021", path, ("source", name), key=True)
    bases = tuple(reader.images.values())
    return Reading(releases=tuple(releases), edges=tuple(reader.edges), bases=bases)


class _RecipeReader:
    """One recipe while it is read."""

    def __init__(
        self,
        data: Mapping[str, Any],
        report: Report,
        folder: str,
        shared: Shared,
        trees: Trees,
    ) -> None:
        self.data = data
        self.report = report
        self.folder = folder
        self.shared = shared
        self.trees = trees
        self.path = report.document.path
        self.name: str = data["name"]
        single = str(data.get("version", ""))
        self.versions: dict[str, Any] = data.get("versions") or {single: _NOTHING}
        self.variants: dict[str, Any] = data.get("variants") or {"default": _NOTHING}
        self.steps = data.get("build", [])
        self.addresses = [f"build[{i}]" for i in range(len(self.steps))]
        self.used: set[str] = set()
        self.lost = False
        self.declared: dict[str, Path] = {}
        self.edges: list[Edge] = []
        self.images: dict[str, Base] = {}
        self.suite: FullTest | None = None

    # -- what is the same for all releases -----------------------------------------------------

    def check_whole(self) -> None:
        """Checks what does not depend on version, variant or platform."""
        data, report = self.data, self.report
        check_metadata(data, report)
        known = {
            "platform": self.all_platforms(),
            "version": list(self.versions),
            "variant": list(self.variants),
        }
        conditional: list[tuple[Any, Path]] = [
            *((item, ("build", i)) for i, item in enumerate(self.steps)),
            *((item, ("tests", i)) for i, item in enumerate(data.get("tests", ()))),
        ]
        for body, path in self.bodies():
            sources = body.get("sources", _NOTHING)
            conditional += [(s, (*path, "sources", n)) for n, s in sources.items()]
        self.conditional = False
        for item, path in conditional:
            if "platforms" in item or "when" in item:
                self.conditional = True
                check_conditions(report, item, path, known)
        names: set[str] = set()
        for index, test in enumerate(data.get("tests", ())):
            if test["name"] in names:
                report("R041", ("tests", index, "name"), ("test", test["name"]))
            names.add(test["name"])
        if report.whole and not names and "suite" not in data:
            report("R064", ("name",), key=True)
        for index, channel in enumerate(data.get("publish", ())):
            self.known("R047", channel, ("publish", index), self.shared.channels)
        self.policy = data.get("scan", _NOTHING).get("policy", "default")
        if self.policy != "default" or "default" in (self.shared.policies or ()):
            self.known("R046", self.policy, ("scan", "policy"), self.shared.policies)
        self.waivers = self.read_waivers(data.get("scan", _NOTHING).get("waivers", ()))

    def bodies(self) -> list[tuple[Mapping[str, Any], Path]]:
        """Returns the recipe and every version's and variant's part of it, with their paths."""
        return [
            (self.data, ()),
            *((body, ("versions", v)) for v, body in self.data.get("versions", {}).items()),
            *((body, ("variants", v)) for v, body in self.data.get("variants", {}).items()),
        ]

    def all_platforms(self) -> list[str]:
        """Returns every platform that any part of the recipe names."""
        names: dict[str, None] = {}
        for body, _ in self.bodies():
            names.update(dict.fromkeys(body.get("platforms", ())))
        return list(names) or ["linux/amd64"]

    def known(self, code: str, name: str, path: Path, names: Mapping[str, Any] | None) -> None:
        """Reports ``name`` when it is not among ``names``; None means that nobody can tell."""
        if names is not None and name not in names:
            facts = (("found", name), ("known", ", ".join(sorted(names)) or "none"))
            self.report(code, path, *facts, first=near(name, list(names)))

    def read_waivers(self, items: list[dict[str, str]]) -> tuple[Waiver, ...]:
        """Returns the waivers, their dates checked."""
        waivers: dict[tuple[str, str], Waiver] = {}
        for index, item in enumerate(items):
            path = ("scan", "waivers", index)
            try:
                day(item["until"])
            except ValueError as error:
                facts = (("found", item["until"]), ("reason", str(error)))
                self.report("R044", (*path, "until"), *facts)
            if (item["id"], item["package"]) in waivers:
                self.report("R045", path, ("id", item["id"]), ("package", item["package"]))
            waivers[item["id"], item["package"]] = Waiver(**item)
        return tuple(waivers.values())

    # -- one release ---------------------------------------------------------------------------

    def release(self, version: str, variant: str) -> Release:
        """Returns one version in one variant, with a target for each platform."""
        label = "" if variant == "default" else variant
        identity = ReleaseName(self.name, version, label)
        bodies: list[tuple[Mapping[str, Any], Path]] = [
            (self.data, ()),
            (self.versions[version], ("versions", version)),
            (self.variants[variant], ("variants", variant)),
        ]
        chosen = _Chosen(bodies)
        self.declared.update({name: path for name, (_, path) in chosen.sources.items()})
        platforms, path = chosen.last("platforms", {"linux/amd64": "required"})
        if "required" not in platforms.values():
            self.report("R055", path, key=True)
        targets: dict[Platform, Target] = {}
        first: _First | None = None
        for text, word in platforms.items():
            platform, required = Platform(text), word == "required"
            if platform.variant and not known(platform.architecture, platform.variant):
                meant = near(platform.variant, list(similar(platform.architecture)))
                self.report(
                    "R083", (*path, text), ("level", platform.variant), first=meant, key=True
                )
                continue
            if first is None or first.dependent:
                first = self.target(identity, variant, platform, required, chosen)
                targets[platform] = first.target
            else:
                targets[platform] = self.again(first, platform, required, chosen)
        scope = self.scope(identity, variant, None)
        scope.variables(chosen.variables)
        deploy = chosen.last("deploy", _NOTHING)
        metadata, files = read_metadata(self.data, self.variants[variant], deploy, scope)
        return Release(
            id=identity,
            recipe_path=self.path,
            targets=targets,
            metadata=metadata,
            metadata_files=files,
            software=read_software(self.data, self.name, version),
            channels=tuple(self.data.get("publish", ())),
            resources=self.data.get("resources", {}),
        )

    def scope(self, identity: ReleaseName, variant: str, platform: Platform | None) -> Scope:
        """Returns the scope of one target, or of the release itself."""
        return Scope(
            self.report,
            names_of(self.name, identity.version, identity.variant, platform),
            platform=str(platform or ""),
            variant=variant,
            version=identity.version,
            trees=self.trees,
            folder=self.folder,
        )

    def target(
        self,
        identity: ReleaseName,
        variant: str,
        platform: Platform,
        required: bool,
        chosen: _Chosen,
    ) -> _First:
        """Returns one release on one platform."""
        scope = self.scope(identity, variant, platform)
        scope.spend(_BYTE * self.report.document.size_bytes, ("name",))
        scope.variables(chosen.variables)
        reader = TargetReader(scope, chosen.sources)
        base, base_recipe = self.base(chosen, reader)
        self.check_base_platform(base, str(platform), chosen)
        sources = reader.read_sources()
        deploy, deploy_path = chosen.last("deploy", _NOTHING)
        target = Target(
            release=identity,
            platform=platform,
            required=required,
            base=base,
            base_recipe=base_recipe,
            sources=sources,
            steps=reader.steps(self.steps, self.addresses),
            tests=reader.tests(self.data.get("tests", [])),
            deploy=reader.deploy(deploy, deploy_path),
            policy=self.policy,
            waivers=self.waivers,
        )
        if self.suite is not None:
            target = self.suite.given_to(target)
        self.used |= reader.used
        self.lost |= reader.lost
        references = [(reference, format_address(path)) for reference, path in reader.edges]
        self.note_edges(identity, platform, references)
        dependent = scope.dependent or self.conditional
        return _First(target=target, references=references, dependent=dependent)

    def again(self, first: _First, platform: Platform, required: bool, chosen: _Chosen) -> Target:
        """Returns the first target for another platform where nothing else can differ."""
        self.check_base_platform(first.target.base, str(platform), chosen)
        self.note_edges(first.target.release, platform, first.references)
        return replace(first.target, platform=platform, required=required)

    def note_edges(
        self, release: ReleaseName, platform: Platform, references: list[tuple[RecipeRef, str]]
    ) -> None:
        """Keeps the edges of one target."""
        self.edges += [
            Edge(release=release, platform=platform, to=to, path=self.path, address=address)
            for to, address in references
        ]

    def base(self, chosen: _Chosen, reader: TargetReader) -> tuple[str, RecipeRef | None]:
        """Returns the base's name, or the recipe whose image is the base."""
        value, path = chosen.last("base", "")
        if isinstance(value, dict):
            if ("image" in value) == ("recipe" in value):
                self.report("R096", path, ("found", " and ".join(value) or "neither"))
                return "", None
            if "image" in value:
                return self.image(reader.scope.filled(value["image"], (*path, "image")), path), None
            return "", reader.reference(value, path)
        name = reader.scope.text(value, path)
        if not name:
            return "", None
        self.known("R012", name, path, self.shared.bases)
        return name, None

    def image(self, text: str, path: Path) -> str:
        """Returns the full name of an image of a registry, and keeps it as a base."""
        if not text:
            return ""
        try:
            name = str(parse_image_name(text))
        except InvalidValue as error:
            self.report("R095", (*path, "image"), ("found", text), ("reason", error.message))
            return ""
        self.images.setdefault(name, Base(name=name, image=name))
        return name

    def check_base_platform(self, name: str, platform: str, chosen: _Chosen) -> None:
        """Reports a base that is not made for ``platform``."""
        bases = self.shared.bases
        if not name or bases is None or name not in bases:
            return
        platforms = bases[name].platforms
        if platforms and not any(platform == p or platform.startswith(f"{p}/") for p in platforms):
            facts = (("base", name), ("platform", platform), ("known", ", ".join(platforms)))
            self.report("R051", chosen.last("base", "")[1], *facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _First:
    """A target, the recipes that it names, and whether other platforms may differ from it."""

    target: Target
    references: list[tuple[RecipeRef, str]]
    dependent: bool


class _Chosen:
    """The recipe's, the version's and the variant's parts as one: the later one wins."""

    def __init__(self, bodies: list[tuple[Mapping[str, Any], Path]]) -> None:
        self.bodies = bodies
        self.sources: dict[str, tuple[Any, Path]] = self.merged("sources")
        self.variables: dict[str, tuple[Any, Path]] = self.merged("variables")

    def merged(self, key: str) -> dict[str, tuple[Any, Path]]:
        """Returns name → (value, path) in the order of first appearance."""
        return {
            name: (value, (*path, key, name))
            for body, path in self.bodies
            if key in body
            for name, value in body[key].items()
        }

    def last(self, key: str, otherwise: Any) -> tuple[Any, Path]:
        """Returns the last part's value and its path."""
        for body, path in reversed(self.bodies):
            if key in body:
                return body[key], (*path, key)
        return otherwise, (key,)
