"""Bootstraps a base from its pinned packages, offline, and exports it as one layer."""

from __future__ import annotations

import email.utils
import hashlib
import os
from collections.abc import Mapping, Sequence

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.errors import StepFailed, UnavailableError
from ssds.core.pins import PinnedPackage
from ssds.core.platform import Platform
from ssds.host import local
from ssds.host.machine import can_run, tool_version
from ssds.host.sandbox import Sandbox
from ssds.kinds.api import Bench, Outcome, require_sandbox
from ssds.packages.apt_install import file_name, stanza
from ssds.packages.wire import packages_from_json
from ssds.store.fetch import fetch_files

TIME_LIMIT_S = 3600
_COMPONENT = "main"
_LOG_LIMIT = 16 * 1024 * 1024
_TOOLS = ("mmdebstrap", "apt-get", "dpkg")


def run(bench: Bench) -> Outcome:
    """Gives the output ``layer``: the uncompressed, normalised tar of the whole system.

    An image of a registry gives ``config`` and ``layer/N``.

    Raises:
        UnavailableError: no sandbox, no mmdebstrap, no way to run the platform's programs, or
            packages that cannot be had.
        StepFailed: the bootstrap ended badly or did not install exactly the pinned packages.
    """
    node = bench.action.node
    if "config" in node.slice:
        from ssds.kinds.base.image import run_image

        return run_image(bench)
    sandbox = require_sandbox(bench)
    platform = Platform(node.id.platform)
    emulation = can_run(platform)
    if not emulation.available:
        raise UnavailableError(
            f"{platform} cannot be bootstrapped here: {emulation.reason}", hint=emulation.hint
        )
    packages = packages_from_json(node.hints.get("packages", ()))
    paths = fetch_files(
        bench.store,
        [p.file for p in packages],
        bench.mirrors,
        bench.say,
        stopping=bench.stopping,
    )
    suite = str(node.slice["suite"])
    repository = os.path.join(bench.folder, "repository")
    write_repository(
        repository,
        suite,
        platform.debian,
        [(p, paths[p.file.digest]) for p in packages],
        node.epoch or 0,
    )
    out = os.path.join(bench.folder, "layer.tar")
    exported = _bootstrap(bench, sandbox, repository, packages, out)
    assert isinstance(exported, Mapping)
    digest = Digest(str(exported["diff_id"]))
    bench.store.blobs.adopt(out, digest)
    return Outcome(
        outputs={"layer": digest},
        mode=sandbox.mode,
        emulated=emulation.kind == "emulated",
        tools={name: tool_version(name) for name in _TOOLS},
    )


def _bootstrap(
    bench: Bench,
    sandbox: Sandbox,
    repository: str,
    packages: Sequence[PinnedPackage],
    out: str,
) -> Json:
    """Makes the system in a folder and writes its layer to ``out``; leaves no folder behind."""
    node = bench.action.node
    root, log = os.path.join(bench.folder, "root"), os.path.join(bench.folder, "mmdebstrap.log")
    bench.say(f"bootstrapping {node.id.owner} from {len(packages)} packages")
    try:
        ended = sandbox.call(
            "ssds.kinds.base.inside:bootstrap",
            repository=repository,
            root=root,
            scratch=bench.folder,
            log=log,
            suite=str(node.slice["suite"]),
            architecture=Platform(node.id.platform).debian,
            packages=[p.name for p in packages],
            dpkg=node.slice["dpkg"],
            epoch=node.epoch or 0,
            time_limit_s=TIME_LIMIT_S,
        )
        bench.log(_read(log))
        _check(ended, packages)
        bench.say("exporting the layer")
        return sandbox.call(
            "ssds.oci.layers:export_tree", root=root, epoch=node.epoch or 0, out=out
        )
    finally:
        sandbox.remove(root)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LOG_LIMIT)
    except FileNotFoundError:
        return b""


def _check(ended: Json, packages: Sequence[PinnedPackage]) -> None:
    """Raises StepFailed unless exactly the pinned packages are installed.

    mmdebstrap ends well with a nearly empty system when it does not find the essential packages,
    so its exit code alone says nothing.
    """
    assert isinstance(ended, Mapping)
    if ended["timed_out"] or ended["exit_code"] != 0:
        why = "took too long" if ended["timed_out"] else f"ended with {ended['exit_code']}"
        raise StepFailed(
            f"the bootstrap {why}: {ended['last']}", code="F073", hint="`ssds log NODE` shows it."
        )
    installed = ended["installed"]
    assert isinstance(installed, list)
    wanted = {f"{p.name} {p.version} {p.architecture}" for p in packages}
    differing = sorted(wanted.symmetric_difference(str(entry) for entry in installed))
    if differing:
        raise StepFailed(
            f"the bootstrap installed {len(installed)} packages where {len(wanted)} are pinned; "
            f"the difference: {'; '.join(differing[:5])}",
            code="F074",
            hint="`ssds log NODE` shows what happened; renew the pin with `ssds lock`.",
        )


def write_repository(
    folder: str,
    suite: str,
    architecture: str,
    packages: Sequence[tuple[PinnedPackage, str]],
    epoch: int = 0,
) -> None:
    """Writes an archive with one suite that holds exactly these packages.

    A flat repository will not do: the essential packages are looked for by suite.

    Args:
        folder: is made.
        suite, architecture: of the only index.
        packages: each with the path of its .deb.
        epoch: the date that its Release file states, in seconds.
    """
    pool = os.path.join(folder, "pool")
    place = f"{_COMPONENT}/binary-{architecture}"
    index = os.path.join(folder, "dists", suite, place)
    os.makedirs(pool, exist_ok=True)
    os.makedirs(index, exist_ok=True)
    stanzas = []
    for package, path in packages:
        name = file_name(package)
        local.link_or_copy(path, os.path.join(pool, name))
        stanzas.append(stanza(package, path, f"pool/{name}"))
    data = "\n".join(sorted(stanzas)).encode()
    local.write(os.path.join(index, "Packages"), data)
    release = (
        f"Suite: {suite}\nCodename: {suite}\nArchitectures: {architecture}\n"
        f"Components: {_COMPONENT}\nDate: {email.utils.formatdate(epoch, usegmt=True)}\n"
        f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} {place}/Packages\n"
    )
    local.write(os.path.join(folder, "dists", suite, "Release"), release.encode())
