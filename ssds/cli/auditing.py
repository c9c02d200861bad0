"""One audit: lay out a fresh store, rebuild in other surroundings, compare, keep in the ledger."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ssds.audit import rebuild, released
from ssds.audit.compare import compare
from ssds.audit.model import DIFFERS, FILE_LIMIT, IDENTICAL, UNBUILT, Comparison, Image
from ssds.audit.report import View
from ssds.cli import channels
from ssds.cli.audit_choices import Chosen
from ssds.cli.output import counted, report_error, say
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import Refused, SsdsError, UnavailableError, UsageError
from ssds.core.model import NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.engine.supply import bring_all
from ssds.graph.compile import Graph
from ssds.graph.plan import Verb, Wishes, make_plan
from ssds.host import local, surroundings
from ssds.host.files import explained
from ssds.host.machine import machine_name, user_name
from ssds.host.scratch import copy_workspace
from ssds.lock.model import ReleaseHalf
from ssds.recipe.settings import SETTINGS_FILE
from ssds.store.ledger import Audit
from ssds.store.store import Store
from ssds.workspace import LOCK_FOLDER, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base that was bootstrapped again: the layer that its pin names, and the one that came."""

    name: str
    platform: str
    pinned: str
    found: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {
            "base": self.name,
            "platform": self.platform,
            "pinned": self.pinned,
            "found": self.found,
            "class": self.result,
        }

    @property
    def result(self) -> str:
        """The class of this base."""
        if not self.found:
            return UNBUILT
        return IDENTICAL if self.found == self.pinned or not self.pinned else DIFFERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What one rebuild showed."""

    audits: tuple[Audit, ...]
    comparisons: tuple[Comparison, ...]
    bases: tuple[Base, ...] = field(default_factory=tuple)
    views: Mapping[tuple[str, str], View] = field(default_factory=dict)


def halves(
    workspace: Workspace, graph: Graph, names: Iterable[ReleaseName], platform: Platform
) -> dict[ReleaseName, ReleaseHalf]:
    """Returns what the locks say of these releases on a platform; those without are told.

    Raises:
        Refused: E194, the catalog is ahead of a lock: a rebuild of it would say nothing.
    """
    found: dict[ReleaseName, ReleaseHalf] = {}
    behind = []
    wanted = [n for n in names if NodeId(str(n), "publish", str(platform)) in graph.nodes]
    nodes = frozenset(NodeId(str(n), "publish", str(platform)) for n in wanted)
    plan = make_plan(graph, workspace.facts(), Wishes(nodes=nodes))
    for name in sorted(wanted):
        half = workspace.locks.get(name).platform(name, platform).release
        step = plan.steps[NodeId(str(name), "publish", str(platform))]
        if half is None:
            say(f"  · {name} has no release on {platform}: nothing to audit")
        elif step.verb is not Verb.REUSE or step.outputs.get("manifest") != half.manifest.digest:
            behind.append(str(name))
        else:
            found[name] = half
    if behind:
        raise Refused(
            f"the lock of {', '.join(behind[:5])} is behind the catalog on {platform}",
            hint="An audit compares with what the lock released: `ssds apply` first, or go back "
            "to the commit of the lock.",
            code="E194",
        )
    return found


def run(
    workspace: Workspace,
    graph: Graph,
    found: Mapping[ReleaseName, ReleaseHalf],
    platform: Platform,
    chosen: Chosen,
    *,
    as_of: str,
    jobs: int,
    viewed: bool,
) -> Audited:
    """Rebuilds these releases and compares them with their locks."""
    part = rebuild.part_to_rebuild(graph, found, platform)
    folder = os.path.join(chosen.scratch, f"ssds-audit-{secrets.token_hex(4)}")
    sandbox = workspace.sandbox
    if sandbox is None:
        raise UnavailableError(
            f"steps cannot be run on this machine: {workspace.probe.reason}",
            hint="`ssds doctor` says what is missing.",
        )
    local.make_folder(folder)
    began = time.monotonic()
    try:
        with workspace.store.shared():
            results = _rebuild(workspace, part, found, platform, chosen, folder, as_of, jobs)
            duration_ms = int((time.monotonic() - began) * 1000)
            run_ = _Run(
                workspace=workspace,
                part=part,
                platform=platform,
                chosen=chosen,
                folder=folder,
                results=results,
                duration_ms=duration_ms,
                viewed=viewed,
            )
            return run_.compare(found)
    finally:
        sandbox.remove(folder)


def _rebuild(
    workspace: Workspace,
    part: Graph,
    found: Mapping[ReleaseName, ReleaseHalf],
    platform: Platform,
    chosen: Chosen,
    folder: str,
    as_of: str,
    jobs: int,
) -> dict[str, rebuild.Rebuilt]:
    copy = os.path.join(folder, "workspace")
    names = (SETTINGS_FILE, workspace.settings.catalog, LOCK_FOLDER)
    extra = [path for path in workspace.catalog.advisories.values() if path]
    copy_workspace(workspace.root, copy, (*names, *extra))
    say(f"Rebuilds {counted(len(found), 'image')} of {platform} in an empty store …")
    fresh = Store.open(os.path.join(folder, "store"))
    try:
        nodes = [n for n in part.nodes.values() if chosen.bases or n.kind != "base"]
        bring_all(nodes, workspace.store, workspace.mirrors, lambda t: say(f"  · {t}"))
        rebuild.supply(workspace.store, fresh, rebuild.pinned_files(part, bases=chosen.bases))
        missing = () if chosen.bases else rebuild.supply_bases(part, workspace.store, fresh)
        if missing:
            raise UsageError(
                f"the bytes of {missing[0]} are not in the store",
                hint=f"Leave `--keep base` out, or `ssds apply --rerun {min(found)}:build "
                f"{min(found)}` brings them.",
                code="E197",
            )
    finally:
        fresh.close()
    request = os.path.join(folder, "request.json")
    answer = os.path.join(folder, "results.json")
    value = {
        "surroundings": chosen.surroundings.to_dict(),
        "releases": [str(name) for name in found],
        "platform": str(platform),
        "as_of": as_of,
        "answer": answer,
        "jobs": jobs,
        "bases": chosen.bases,
    }
    local.write(request, canonical_bytes(value))
    surroundings.give_to(chosen.surroundings.user, folder)
    environment = {
        "SSDS_STORE": os.path.join(folder, "store"),
        "SSDS_BUILDER": workspace.settings.builder,
    }
    if chosen.surroundings.user:
        environment |= {"SSDS_SANDBOX": "auto", "SSDS_USER_SETTINGS": os.devnull}
    surroundings.rebuild_in(
        chosen.surroundings,
        ["-C", copy, "audit", "--rebuild", request],
        environment=environment,
        folder=folder,
        log=_pass_on,
    )
    with explained(answer), open(answer, "rb") as file:
        return rebuild.read_bytes(file.read())


def _pass_on(data: bytes) -> None:
    sys.stderr.write(data.decode("utf-8", "replace"))
    sys.stderr.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A finished rebuild, while it is compared."""

    workspace: Workspace
    part: Graph
    platform: Platform
    chosen: Chosen
    folder: str
    results: Mapping[str, rebuild.Rebuilt]
    duration_ms: int
    viewed: bool

    def compare(self, found: Mapping[ReleaseName, ReleaseHalf]) -> Audited:
        fresh = Store.open(os.path.join(self.folder, "store"))
        try:
            steps = rebuild.step_names(self.part, fresh)
            audits, comparisons, views = [], [], dict[tuple[str, str], View]()
            for name, half in found.items():
                comparison, image = self._compare(fresh, name, half, steps)
                audits.append(self._audit(name, half, comparison, image))
                comparisons.append(comparison)
                if self.viewed and image is not None and comparison.files:
                    view = self._view(name, half, comparison, image)
                    if view is not None:
                        views[str(name), str(self.platform)] = view
        finally:
            fresh.close()
        self.workspace.store.claims.add_audits(audits)
        return Audited(
            audits=tuple(audits),
            comparisons=tuple(comparisons),
            bases=self._bases(),
            views=views,
        )

    def _compare(
        self,
        fresh: Store,
        name: ReleaseName,
        half: ReleaseHalf,
        steps: Mapping[tuple[Digest, ...], str],
    ) -> tuple[Comparison, Image | None]:
        ended = self._node(name, "publish")
        if "manifest" not in ended.outputs:
            why = ended.why or self._node(name, "build").why or "it was not built"
            return Comparison(result=UNBUILT, note=why), None
        image = released.rebuilt(fresh, ended.outputs["manifest"])
        before = released.digests(half)
        if before.manifest != image.manifest:
            before = self._bytes(name, half)

        def layer_name(number: int) -> str:
            return steps.get(image.diff_ids[: number + 1], "" if number else "the base")

        epoch = self.part.nodes[NodeId(str(name), "build", str(self.platform))].epoch or 0
        names = (
            self.folder,
            self.workspace.store_path,
            machine_name(),
            user_name(),
            self.chosen.surroundings.host_name,
            self.chosen.surroundings.user,
        )
        comparison = compare(before, image, epoch=epoch, names=names, layer_name=layer_name)
        return comparison, image

    def _bytes(self, name: ReleaseName, half: ReleaseHalf) -> Image:
        """Returns the released image; its bytes come from the store, or from a channel into it."""
        store = self.workspace.store
        wanted = released.missing(store, half)
        if wanted:
            channels.bring_release(self.workspace, name, wanted)
        unpacked = os.path.join(self.folder, "released")
        local.make_folder(unpacked)
        return released.with_bytes(store, half, unpacked)

    def _node(self, name: ReleaseName, kind: str) -> rebuild.Rebuilt:
        label = NodeId(str(name), kind, str(self.platform)).label
        return self.results.get(label) or rebuild.Rebuilt(node=label, kind=kind, state="skipped")

    def _audit(
        self, name: ReleaseName, half: ReleaseHalf, comparison: Comparison, image: Image | None
    ) -> Audit:
        built = self._node(name, "build")
        tools: dict[str, str] = {}
        for entry in self.results.values():
            tools |= entry.tools
        return Audit(
            at=int(time.time()),
            release=str(name),
            platform=str(self.platform),
            manifest=half.manifest.digest,
            found=image.manifest if image else half.manifest.digest,
            result=comparison.result,
            level=comparison.level,
            builder=self.workspace.settings.builder,
            mode=built.mode,
            emulated=built.emulated,
            machine=machine_name(),
            user=self.chosen.surroundings.user or user_name(),
            varied=dict(self.chosen.varied),
            kept=dict(self.chosen.kept),
            tools=tools,
            duration_ms=self.duration_ms,
            bytes_compared=comparison.bytes_compared,
            causes=comparison.causes,
            explained=comparison.explained(self.workspace.settings.builder),
            files=comparison.files[:FILE_LIMIT],
            count=len(comparison.files),
        )

    def _bases(self) -> tuple[Base, ...]:
        found = []
        for node in self.part.nodes.values() if self.chosen.bases else ():
            if node.kind == "base":
                ended = self.results.get(node.id.label)
                output = "config" if "config" in node.fixed else "layer"
                made = ended.outputs.get(output) if ended else None
                found.append(
                    Base(
                        name=f"{node.id.owner}@{node.id.part}",
                        platform=node.id.platform,
                        pinned=str(node.fixed.get(output, "")),
                        found=str(made or ""),
                    )
                )
        return tuple(found)

    def _view(
        self, name: ReleaseName, half: ReleaseHalf, comparison: Comparison, image: Image
    ) -> View | None:
        """Returns diffoscope's view; a failure of it is told and fails nothing."""
        from ssds.host.diffoscope import compare_folders

        before = self._bytes(name, half)
        sides = [
            os.path.join(self.folder, f"view-{name}", side) for side in ("released", "rebuilt")
        ]
        for side, shown in zip(sides, (before, image), strict=True):
            released.lay_out(shown, comparison.files, side)
        try:
            found = compare_folders(sides[0], sides[1], os.path.dirname(sides[0]))
        except SsdsError as error:
            report_error(error)
            return None
        return View(page=found[0], text=found[1]) if found else None
