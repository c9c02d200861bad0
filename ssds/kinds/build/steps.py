"""Performs one step: what it changes stays in the upper folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ssds.builders.plug import Builder, Layer, Work
from ssds.core.errors import IntegrityError, StepFailed
from ssds.core.pins import PinnedPackage
from ssds.core.platform import Platform
from ssds.host import local
from ssds.host.sandbox import Bind, Job
from ssds.kinds.api import Bench, bind_sources, check_end, check_limits, limits
from ssds.kinds.build.given import bind_files, stage_file
from ssds.kinds.build.network import write_aids
from ssds.kinds.build.state import ConfigState, step_environment, working_folder
from ssds.oci.flatten import flatten
from ssds.oci.types import parse_config
from ssds.oci.unpack import write_paths
from ssds.packages import apt_install, conda_install, pip_install
from ssds.packages.wire import package_from_json
from ssds.store.fetch import fetch_files

PACKAGES = "/run/ssds/packages"
STAGED = "/run/ssds/copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBench:
    """The bench of one step.

    Attributes:
        layers: base first; temporary tools last.
        lowers: the same layers, unpacked.
        upper: the empty folder that receives the changes.
    """

    bench: Bench
    builder: Builder
    platform: Platform
    number: int
    layers: tuple[Layer, ...]
    lowers: tuple[str, ...]
    upper: str
    state: ConfigState
    epoch: int
    time_limit_s: int

    @property
    def name(self) -> str:
        """What people call the step: its address in the recipe (``build[2]``)."""
        known = self.bench.action.node.origin.get(f"slice.steps[{self.number}]", "")
        return known or f"step {self.number + 1}"

    def folder(self, name: str) -> str:
        """Makes and returns a folder of this step below the bench's folder."""
        path = os.path.join(self.bench.folder, f"{self.number}-{name}")
        local.make_folder(path)
        return path


def perform(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    """Performs the step's slice; raises StepFailed when it ends badly."""
    match step["type"]:
        case "run":
            _run(step_bench, step)
        case "apt":
            _apt(step_bench, step)
        case "pip":
            _pip(step_bench, step)
        case "conda":
            _conda(step_bench, step)
        case "workdir":
            path = working_folder(step, step_bench.state)
            _shell(step_bench, f"mkdir -p -- {shlex.quote(path)}", [])
        case "file":
            _file(step_bench, step)
        case "copy":
            _copy(step_bench, step)
        case other:
            raise AssertionError(f"no such step: {other}")


def _shell(
    step_bench: StepBench,
    script: str,
    binds: Sequence[Bind],
    *,
    as_image: bool = False,
    network: bool = False,
    plain: bool = False,
) -> None:
    """Runs a script as root, or as the image's own user in its own environment.

    ``plain`` is without ``-eu``.
    """
    state = step_bench.state if as_image else ConfigState()
    more: dict[str, str] = {}
    if network:
        bench = step_bench.bench
        aids, more = write_aids(step_bench.folder("network"), bench.action.node, bench.mirrors)
        binds = [*binds, *aids]
    job = Job(
        lowers=step_bench.lowers,
        argv=("/bin/sh", *(() if plain else ("-eu",)), "-c", script),
        environment={**more, **step_environment(state, step_bench.epoch)},
        working_folder=state.working_folder or "/",
        user=state.user,
        network=network,
        ca_bundle=step_bench.bench.mirrors.ca_bundle if network else "",
        binds=tuple(binds),
        time_limit_s=step_bench.time_limit_s,
        upper=step_bench.upper,
        log=step_bench.bench.log,
        stop=step_bench.bench.stopping,
        **limits(step_bench.bench),
    )
    work = Work(
        job=job,
        layers=step_bench.layers,
        platform=step_bench.platform,
        folder=step_bench.folder("builder"),
    )
    result = step_bench.builder.run(work)
    check_limits(step_bench.bench, result, step_bench.name)
    if result.exit_code != 0 and local.disk_is_full(step_bench.upper):
        raise StepFailed(
            f"{step_bench.name} ended with exit code {result.exit_code}: the disk is full",
            hint="Free some space (`ssds gc` helps) or set store.path in ssds.yaml.",
            code="E074",
        )
    check_end(result, step_bench.name, step_bench.time_limit_s)


def _run(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    binds = bind_sources(step_bench.bench, step.get("sources", {}), step_bench.folder("sources"))
    if step.get("files"):
        binds.append(
            bind_files(
                step_bench.bench, step_bench.number, step["files"], step_bench.folder("files")
            )
        )
    _shell(
        step_bench,
        step["script"],
        binds,
        as_image=True,
        network=bool(step.get("network")),
        plain=bool(step.get("plain")),
    )


def packages_of(
    bench: Bench, entries: Sequence[Mapping[str, str]]
) -> list[tuple[PinnedPackage, str]]:
    """Fetches the files of a package set; returns each package with its path in the store."""
    hints = cast(Mapping[str, Any], bench.action.node.hints["packages"])
    packages = [package_from_json(hints[entry["sha256"]]) for entry in entries]
    paths = fetch_files(
        bench.store,
        [p.file for p in packages],
        bench.mirrors,
        bench.say,
        stopping=bench.stopping,
    )
    return [(p, paths[p.file.digest]) for p in packages]


def _apt(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    packages = packages_of(step_bench.bench, step["packages"])
    folder = step_bench.folder("apt")
    apt_install.write_flat_repository(folder, packages)
    script = apt_install.install_script([p for p, _ in packages])
    _shell(step_bench, script, [Bind(source=folder, target=PACKAGES)])


def _pip(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    packages = packages_of(step_bench.bench, step["packages"])
    folder = step_bench.folder("pip")
    pip_install.write_wheel_folder(folder, packages)
    script = pip_install.install_script([p for p, _ in packages])
    _shell(step_bench, script, [Bind(source=folder, target=PACKAGES)])


def _place(entry: Mapping[str, str], pin: PinnedPackage) -> str:
    return f"{entry['channel']}/{pin.architecture}/{pin.file.name}"


def _conda(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    bench, prefix = step_bench.bench, step["prefix"]
    packages = [  # the channel is a part of the key, where the file was found is not
        (replace(pin, file=replace(pin.file, path=_place(entry, pin))), path)
        for entry, (pin, path) in zip(
            step["packages"], packages_of(bench, step["packages"]), strict=True
        )
    ]
    folder, scratch = step_bench.folder("conda"), step_bench.folder("unpacked")
    try:
        staged = conda_install.write_environment(folder, scratch, packages, prefix)
    finally:
        local.remove_folder(scratch)
    for note in staged.notes:
        bench.log(f"{note}\n".encode())
    script = conda_install.install_script(staged, prefix)
    _shell(step_bench, script, [Bind(source=folder, target=PACKAGES)])


def _file(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    folder = step_bench.folder("file")
    mode = 0o755 if step.get("executable") else 0o644
    local.write(os.path.join(folder, "content"), step["content"].encode(), mode=mode)
    target = shlex.quote(step["path"])
    script = f'mkdir -p -- "$(dirname -- {target})"; cp --preserve=mode {STAGED}/content {target}'
    _shell(step_bench, script, [Bind(source=folder, target=STAGED)])


def _copy(step_bench: StepBench, step: Mapping[str, Any]) -> None:
    folder = step_bench.folder("copy")
    if "local" in step:
        single = _stage_local(step_bench, step, folder)
    elif "sources" in step:
        single = _stage_source(step_bench, step, folder)
    elif "file" in step:
        single = True
        for name, file in step["file"].items():
            stage_file(step_bench.bench, step_bench.number, name, file, folder)
    else:
        single = _stage_recipe(step_bench, step, folder)
    to = step["to"]
    target = shlex.quote(to)
    names = os.listdir(folder) if single else []
    one = shlex.quote(f"{STAGED}/{names[0]}") if len(names) == 1 else f"{STAGED}/*"
    copy = "cp -RP --preserve=mode,links"
    if to.endswith("/") or not single:  # a folder that is there keeps its own mode
        each = f"find {STAGED} -mindepth 1 -maxdepth 1"
        script = f"mkdir -p -- {target}; {each} -exec {copy} -t {target} -- {{}} +"
    else:
        script = f'mkdir -p -- "$(dirname -- {target})"; {copy} -T {one} {target}'
        if step.get("merge"):
            script = f"if [ -d {target} ]; then {copy} -t {target} -- {one}; else {script}; fi"
    _shell(step_bench, script, [Bind(source=folder, target=STAGED)])


def _stage_local(step_bench: StepBench, step: Mapping[str, Any], folder: str) -> bool:
    """Copies the local files, checking that they are still what the key says."""
    bench = step_bench.bench
    paths = cast(Mapping[str, str], bench.action.node.hints["local"])
    root = os.path.join(bench.workspace, paths[str(step_bench.number)])
    entries = step["local"]
    single = len(entries) == 1 and entries[0]["path"] == step["local_name"]
    for entry in entries:
        source = root if single else os.path.join(root, entry["path"])
        target = os.path.join(folder, entry["path"])
        if "link" in entry:
            local.symlink(entry["link"], target)
            continue
        if "sha256" not in entry:
            local.make_folder(target)
            continue
        executable = entry.get("executable") or step.get("executable")
        mode = 0o755 if executable else 0o644
        found = local.copy_hashed(source, target, mode=mode)
        if found != entry["sha256"]:
            raise IntegrityError(
                f"{paths[str(step_bench.number)]} changed while the plan was being applied",
                hint="Run `ssds apply` again.",
            )
    return single


def _stage_source(step_bench: StepBench, step: Mapping[str, Any], folder: str) -> bool:
    bind = bind_sources(step_bench.bench, step["sources"], step_bench.folder("sources"))[0]
    names = sorted(os.listdir(bind.source))
    for name in names:
        os.rename(os.path.join(bind.source, name), os.path.join(folder, name))
        if step.get("executable"):
            local.make_executable(os.path.join(folder, name))
    return True not in step["sources"].values()


def _stage_recipe(step_bench: StepBench, step: Mapping[str, Any], folder: str) -> bool:
    """Takes paths out of another recipe's image."""
    bench = step_bench.bench
    config = parse_config(
        bench.store.blobs.read(bench.action.inputs[f"recipe/{step_bench.number}"])
    )
    tree = flatten([bench.store.blobs.path(d) for d in config.diff_ids])
    write_paths(tree, folder, step["paths"])
    return len(step["paths"]) == 1
