"""Compiles the catalog and the locks' pins to the graph. Pure.

Source, base and metadata nodes are compiled once, not once per release and platform where they
are the same (C7).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ssds.core.canonical import Json
from ssds.core.errors import UsageError
from ssds.core.model import VERDICT_KINDS, Input, Node, NodeId, ReleaseName
from ssds.core.pins import AdvisoryPin, PackageSet, PlatformPins, SharedPins, SourcePin
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field, replace
from ssds.kinds.base import spec as base_spec
from ssds.kinds.build import spec as build_spec
from ssds.kinds.build.contained import PinMap, release_of, target_of
from ssds.kinds.build.requests import Asking, Requests
from ssds.kinds.deploytest import spec as deploytest_spec
from ssds.kinds.gate import spec as gate_spec
from ssds.kinds.index import spec as index_spec
from ssds.kinds.metadata import spec as metadata_spec
from ssds.kinds.publish import spec as publish_spec
from ssds.kinds.sbom import spec as sbom_spec
from ssds.kinds.scan import spec as scan_spec
from ssds.kinds.source import spec as source_spec
from ssds.kinds.test import spec as test_spec
from ssds.packages.wire import identities
from ssds.recipe.model import Catalog, Release, Target, Test
from ssds.recipe.ranges import joined, references
from ssds.recipe.steps import RecipeRef
from ssds.recipe.uses import build_sources, tested_sources

if TYPE_CHECKING:
    from ssds.recipe.data_model import DataSet
    from ssds.recipe.debts import Debt
    from ssds.recipe.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All nodes, each after its inputs.

    Attributes:
        nodes: by id, in topological order.
        releases: release → ids of its own nodes.
        requests: (release, platform) → what it asks of the resolver.
        data: reference data set → ids of its own nodes, that of the whole set last.
        salt: disowns poisoned results, catalog-wide.
    """

    nodes: Mapping[NodeId, Node]
    releases: Mapping[ReleaseName, tuple[NodeId, ...]]
    requests: Mapping[tuple[ReleaseName, Platform], Requests] = field(default_factory=dict)
    data: Mapping[ReleaseName, tuple[NodeId, ...]] = field(default_factory=dict)
    salt: str = ""

    def consumers(self) -> dict[NodeId, list[NodeId]]:
        """Returns the reverse edges."""
        reverse: dict[NodeId, list[NodeId]] = {}
        for node in self.nodes.values():
            for item in node.inputs:
                if item.node is not None:
                    reverse.setdefault(item.node, []).append(node.id)
        return reverse

    def closure(self, wanted: set[NodeId]) -> set[NodeId]:
        """Returns ``wanted`` and everything that they depend on."""
        found: set[NodeId] = set()
        stack = list(wanted)
        while stack:
            name = stack.pop()
            if name in found:
                continue
            found.add(name)
            stack += [i.node for i in self.nodes[name].inputs if i.node is not None]
        return found


class _Compiler:
    def __init__(self, catalog: Catalog, shared: SharedPins, pins: PinMap, as_of: dt.date) -> None:
        self.catalog = catalog
        self.shared = shared
        self.pins = pins
        self.as_of = as_of
        self.nodes: dict[NodeId, Node] = {}
        self.releases: dict[ReleaseName, tuple[NodeId, ...]] = {}
        self.requests: dict[tuple[ReleaseName, Platform], Requests] = {}
        self.asking = Asking(catalog, shared, pins)
        self.bases: dict[tuple[str, Platform, str], NodeId] = {}
        self.sets: dict[int, tuple[PackageSet, Json]] = {}
        self.tested: tuple[tuple[Test, ...], Suite | None, Mapping[str, Json]] | None = None

    def add(self, node: Node) -> NodeId:
        known = self.nodes.get(node.id)
        if known is None:
            self.nodes[node.id] = node
        elif known.slice != node.slice or known.inputs != node.inputs:
            raise UsageError(
                f"two different nodes are called {node.id.label}",
                hint="Rename one of the two; node names are unique over the catalog.",
            )
        return node.id

    def release(self, release: Release) -> None:
        if release.id in self.releases:
            return
        self.releases[release.id] = ()
        own = [self.add(metadata_spec.node(release))]
        as_file = self.catalog.wants_sif(release)
        manifests: list[Input] = []
        for target in release.targets.values():
            ids, publish = self.target(release, target)
            own += ids
            manifests.append(
                Input(
                    role=f"manifest/{target.platform}",
                    node=publish,
                    output="manifest",
                    optional=not target.required,
                )
            )
            if as_file:
                from ssds.kinds.sif import spec as sif_spec  # few catalogs ask for it

                image = Input(role="manifest", node=publish, output="manifest")
                file = sif_spec.node(target, manifest=image, recipe_path=release.recipe_path)
                own.append(self.add(file))
        own.append(self.add(index_spec.node(release, manifests=tuple(manifests))))
        self.releases[release.id] = tuple(own)

    def target(self, release: Release, target: Target) -> tuple[list[NodeId], NodeId]:
        """Compiles one platform; returns its nodes and the publish node."""
        asked = self.asking.requests(target)
        self.requests[release.id, target.platform] = asked
        pins = self.pins.get((release.id, target.platform), PlatformPins())
        sources = self.sources(target, pins)
        path = release.recipe_path
        base = self.base(target, asked)
        build = build_spec.node(
            target,
            pins,
            base=base,
            sources=sources,
            recipe=lambda ref, role: self.recipe(ref, target, role),
            unpinned=_lacking(asked, target, build_sources),
            recipe_path=path,
            resources=release.resources,
            below=self.catalog.bases.get(asked.base.name) if asked.base else None,
            listed=self.listed,
        )
        policy = self.catalog.policies[target.policy]
        owed, failing = self.debts(target)
        if not policy.allow_emulated:
            build = replace(build, native=True)
        ids = [self.add(build)]
        config = Input(role="config", node=build.id, output="config")
        verdicts: list[Input] = []
        if target.is_tested:
            lacking = _lacking(asked, target, tested_sources)
            lacking = tuple(text for text in lacking if text.startswith("source "))
            test = test_spec.node(
                target,
                config=config,
                sources=sources,
                unpinned=lacking,
                recipe_path=path,
                resources=release.resources,
                tests=self.tests(target, sources),
                failing=failing,
            )
            ids.append(self.add(replace(test, native=True) if build.native else test))
            verdicts.append(Input(role="test", node=test.id, output="verdict", gate=True))
        offered = deploytest_spec.node(target, config, recipe_path=path)
        ids.append(self.add(offered))
        verdicts.append(Input(role="deploytest", node=offered.id, output="verdict", gate=True))
        sbom = sbom_spec.node(
            target, release.software, config, base=base, pins=pins, recipe_path=path
        )
        ids.append(self.add(sbom))
        advisories = self.advisories(asked)
        scan = scan_spec.node(
            target,
            Input(role="sbom", node=sbom.id, output="sbom"),
            Input(role="advisories", digest=advisories.digest) if advisories else None,
            recipe_path=path,
            advisories_path=advisories.path if advisories else "",
        )
        ids.append(self.add(scan))
        inspection = None
        if policy.lint:
            from ssds.kinds.inspect import spec as inspect_spec  # few policies ask for it

            ids.append(self.add(inspect_spec.node(target, config, recipe_path=path)))
            inspection = Input(role="inspection", node=ids[-1], output="inspection")
        gate = gate_spec.node(
            target,
            Input(role="findings", node=scan.id, output="findings"),
            policy,
            self.as_of,
            inspection=inspection,
            advisories_date=advisories.date if advisories else None,
            recipe_path=path,
            owed=owed,
        )
        ids.append(self.add(gate))
        verdicts.append(Input(role="gate", node=gate.id, output="verdict", gate=True))
        verdicts += self.contained_verdicts(target)
        publish = publish_spec.node(
            target, config=config, verdicts=tuple(verdicts), recipe_path=path
        )
        ids.append(self.add(publish))
        return ids, publish.id

    def listed(self, packages: PackageSet) -> Json:
        """Returns what slices hold of a package set; locks that were read together share sets."""
        known = self.sets.get(id(packages))
        if known is None:
            known = self.sets[id(packages)] = (packages, identities(packages.packages))
        return known[1]

    def tests(self, target: Target, sources: Mapping[str, Input]) -> Mapping[str, Json]:
        """Returns the slice of a target's tests; platforms share it where nothing can differ."""
        known = self.tested
        if known is not None and known[0] is target.tests and known[1] is target.suite:
            return known[2]
        made = test_spec.slice_of(target, sources)
        if not tested_sources(target):  # what a source is seen as depends on its node
            self.tested = (target.tests, target.suite, made)
        return made

    def debts(self, target: Target) -> tuple[Sequence[Debt], Sequence[str]]:
        """Returns what is owed on the as-of date: findings, and names of tests that may fail."""
        if target.release.name not in self.catalog.debts:
            return (), ()
        from ssds.recipe.debts import owed, tests_of  # few catalogs owe anything

        found = owed(self.catalog.debts[target.release.name], self.as_of)
        own = tests_of(target)
        return found.findings, sorted(one.test for one in found.tests if one.test in own)

    def contained_verdicts(self, target: Target) -> list[Input]:
        """Returns the verdicts of the recipes that this one contains: they hold it too (C16).

        Those that they contain themselves are among them. What is not locked yet has none; neither
        is the build then.
        """
        nodes = (
            NodeId(str(name), kind, str(platform))
            for name, platform in self.contained(target, {}).items()
            for kind in VERDICT_KINDS
            if kind != "test" or self.catalog.releases[name].targets[platform].is_tested
        )
        return [
            Input(role=f"{node.kind}/{node.owner}", node=node, output="verdict", gate=True)
            for node in nodes
        ]

    def contained(
        self, target: Target, names: dict[ReleaseName, Platform]
    ) -> dict[ReleaseName, Platform]:
        """Adds the releases that a target contains, each before what it contains itself, once.

        The value is the platform that it is taken of: a level may take a lower one.
        """
        for ref in references(target):
            below = target_of(ref, target, self.catalog, self.pins)
            if below is not None and below.release not in names:
                names[below.release] = below.platform
                self.contained(below, names)
        return names

    def base(self, target: Target, asked: Requests) -> Input:
        if target.base_recipe is not None:
            return self.recipe(target.base_recipe, target, "base")
        platform = target.platform.baseline
        key = (target.base, platform, asked.base.identity if asked.base else "")
        node = self.bases.get(key)
        if node is None:  # hundreds of packages: once for all that stand on them
            base = self.catalog.bases[target.base]
            node = self.add(base_spec.node(base, platform, asked.base))
            self.bases[key] = node
        output = "config" if self.catalog.bases[target.base].image else "layer"
        return Input(role="base", node=node, output=output)

    def recipe(self, ref: RecipeRef, target: Target, role: str) -> Input:
        """Returns the input for another recipe's image on this platform (C16).

        A range without a pin gives its request instead: the build is then not locked (C10).
        """
        name = release_of(ref, target, self.catalog, self.pins)
        if name is None:
            return Input(role=role, digest=joined((ref,))[0].request)
        self.release(self.catalog.releases[name])
        platform = target.platform.best_of(self.catalog.releases[name].targets) or target.platform
        node = NodeId(str(name), "build", str(platform))
        return Input(role=role, node=node, output="config")

    def sources(self, target: Target, pins: PlatformPins) -> dict[str, Input]:
        """Returns the inputs of the sources that steps or tests use; the others are no node."""
        inputs: dict[str, Input] = {}
        used = build_sources(target) | tested_sources(target)
        for name, request in target.sources.items():
            if name not in used:
                continue
            pin = pins.sources.get(name)
            node = source_spec.node(request, pin)
            inputs[name] = Input(role=f"source/{name}", node=self.add(node), output="file")
        return inputs

    def data(self, found: DataSet, pins: DataPins) -> tuple[NodeId, ...]:
        """Compiles a reference data set; its index steps run on their recipe's first platform."""
        from ssds.graph.compile_data import compile_data  # few catalogs have one
        from ssds.kinds.build.requests import source_request

        releases = {str(name): release for name, release in self.catalog.releases.items()}
        return compile_data(
            found,
            pins.get(found.id, {}),
            target_of=lambda text: next(iter(releases[text].targets.values())),
            asked=lambda name: str(source_request(found.sources[name])),
            add=self.add,
        )

    def advisories(self, asked: Requests) -> AdvisoryPin | None:
        """Returns the current advisory set of the base below, where it has one (C8)."""
        base = self.catalog.bases.get(asked.base.name) if asked.base else None
        if base is None or not base.advisories:
            return None
        identity = self.shared.current.get(f"advisories/{base.advisories}", "")
        return self.shared.advisories.get(identity)


def _lacking(
    asked: Requests, target: Target, used: Callable[[Target], Container[str]]
) -> tuple[str, ...]:
    """Returns what is not locked, without the sources that others use: test data builds nothing."""
    if not asked.missing:
        return ()
    sources = used(target)
    return tuple(str(m) for m in asked.missing if m.kind != "source" or m.name in sources)


DataPins = Mapping[ReleaseName, Mapping[str, SourcePin]]
"""Reference data set → source name → pin."""


def compile_graph(
    catalog: Catalog,
    shared: SharedPins,
    pins: PinMap,
    as_of: dt.date,
    data_pins: DataPins = MappingProxyType({}),
) -> Graph:
    """Returns the graph of the whole catalog.

    Args:
        catalog: a checked catalog: names resolve and recipe edges have no cycle.
        shared: the catalog-wide pins.
        pins: each release's own pins by (release, platform); may be incomplete.
        as_of: the date that decides which waivers are in force (C15).
        data_pins: pins of the sources of reference data sets.
    """
    compiler = _Compiler(catalog, shared, pins, as_of)
    for release in sorted(catalog.releases.values(), key=lambda r: r.id):
        compiler.release(release)
    data = {name: compiler.data(found, data_pins) for name, found in catalog.data.items()}
    return Graph(
        nodes=compiler.nodes,
        releases=compiler.releases,
        requests=compiler.requests,
        data=data,
        salt=catalog.salt,
    )
