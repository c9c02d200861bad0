"""Built images that a person steps into: which one, are its bytes here, and what it gets to see."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from ssds.cli.output import say
from ssds.cli.releases import select
from ssds.cli.wishes import parse_date
from ssds.core.digest import Digest
from ssds.core.errors import Refused, UnavailableError, UsageError
from ssds.core.model import NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.graph.plan import Wishes, make_plan
from ssds.host.machine import best_platform, can_run, native_platform
from ssds.host.sandbox import Bind, Sandbox, Stdio
from ssds.lock.model import PlatformLock
from ssds.oci.types import Config, parse_config
from ssds.workspace import Workspace

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OPEN_PLACES = ("/root", "/home", "/tmp", "/var/tmp", "/mnt", "/media", "/srv")  # noqa: S108
_HOST_PLACES = ("/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image whose layers are unpacked and ready.

    Attributes:
        lowers: unpacked layer folders, base first.
        config: what the image says of itself.
    """

    lowers: tuple[str, ...]
    config: Config


def one_release(workspace: Workspace, text: str) -> ReleaseName:
    """Returns the one release that ``text`` names.

    Raises:
        UsageError: none, or several versions of it.
    """
    found = sorted(select(workspace.catalog.releases, (text,)))
    if len(found) > 1:
        raise UsageError(
            f'"{text}" names {len(found)} releases: {", ".join(map(str, found))}',
            hint="Name one of them.",
            code="E037",
        )
    return found[0]


def choose_platform(workspace: Workspace, release: ReleaseName, text: str) -> Platform:
    """Returns the platform to run on: the named one, else this machine's.

    Raises:
        UsageError: the release is not for it.
        UnavailableError: this machine cannot run it.
    """
    offered = workspace.catalog.releases[release].targets
    platform = Platform(text) if text else best_platform(offered) or native_platform()
    if platform not in offered:
        raise UsageError(
            f"{release} is not for {platform}",
            hint=f"It is for {', '.join(sorted(offered))}: name one with --platform.",
            code="E038",
        )
    emulation = can_run(platform)
    if not emulation.available:
        raise UnavailableError(
            f"{platform} cannot be run here: {emulation.reason}", hint=emulation.hint, code="E055"
        )
    return platform


def require_sandbox(workspace: Workspace) -> Sandbox:
    """Returns the sandbox; raises UnavailableError where there is none."""
    sandbox = workspace.sandbox
    if sandbox is None:
        raise UnavailableError(
            f"programs cannot be run in images here: {workspace.probe.reason}",
            hint=workspace.probe.hint or "`ssds doctor` says what is missing.",
            code="E054",
        )
    return sandbox


def open_image(
    workspace: Workspace, sandbox: Sandbox, release: ReleaseName, platform: Platform
) -> Image:
    """Returns the image of the newest build of a release, else of the released one.

    Raises:
        UnavailableError: it was never built, or its bytes are not here.
    """
    digest = _newest_config(workspace, release, platform)
    half = _section(workspace, release, platform).release
    if digest is None and half is not None:
        digest = half.config.digest
        say(f"note: the recipe has changed since; this is {release} as released")
    if digest is None:
        raise UnavailableError(
            f"{release} [{platform}] has not been built",
            hint=f"`ssds apply {release}` builds it.",
            code="E056",
        )
    data = workspace.read_blob(digest)
    if data is None:
        raise _not_here(release, platform)
    config = parse_config(data)
    return Image(lowers=layer_folders(workspace, sandbox, config, release, platform), config=config)


def layer_folders(
    workspace: Workspace,
    sandbox: Sandbox,
    config: Config,
    release: ReleaseName,
    platform: Platform,
) -> tuple[str, ...]:
    """Returns the unpacked layers of a config, from plain or compressed blobs."""
    from ssds.oci.compress import decompress_stream
    from ssds.oci.types import LAYER_GZIP
    from ssds.store.trees import Trees

    store = workspace.store
    trees = Trees(store.trees_folder, sandbox)
    half = _section(workspace, release, platform).release
    compressed = {layer.diff_id: layer.digest for layer in half.layers} if half else {}
    folders = []
    for number, diff_id in enumerate(config.diff_ids):
        if not store.blobs.has(diff_id):
            packed = compressed.get(diff_id)
            if packed is None or not store.blobs.has(packed):
                raise _not_here(release, platform)
            say(f"unpacking layer {number + 1} of {len(config.diff_ids)}")
            with store.blobs.open(packed) as file, store.blobs.writer(expected=diff_id) as sink:
                for piece in decompress_stream(file, LAYER_GZIP):
                    sink.write(piece)
        folders.append(trees.layer(diff_id, store.blobs.path(diff_id)))
    return tuple(folders)


def _not_here(release: ReleaseName, platform: Platform) -> UnavailableError:
    return UnavailableError(
        f"the image of {release} [{platform}] is not here: only its lock is",
        hint=f"`ssds apply --fetch --platform {platform} {release}` brings it.",
        code="E057",
    )


def _newest_config(workspace: Workspace, release: ReleaseName, platform: Platform) -> Digest | None:
    graph = workspace.graph(parse_date(""))
    node = NodeId(str(release), "build", str(platform))
    if node not in graph.nodes:
        return None
    plan = make_plan(graph, workspace.facts(), Wishes(nodes=frozenset({node})))
    claim = plan.steps[node].claim
    return claim.outputs.get("config") if claim else None


def _section(workspace: Workspace, release: ReleaseName, platform: Platform) -> PlatformLock:
    return workspace.locks.get(release).platform(release, platform)


def environment(config: Config, *, epoch: int = 0) -> dict[str, str]:
    """Returns what a person's program sees: the image's environment and the caller's terminal."""
    values = {"PATH": DEFAULT_PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}
    for name in ("TERM", "COLORTERM", "TZ"):
        if os.environ.get(name):
            values[name] = os.environ[name]
    if epoch:
        values["SOURCE_DATE_EPOCH"] = str(epoch)
    return {**values, **dict(config.environment)}


def stdio() -> Stdio:
    """Returns the caller's descriptors, joined to a terminal where both ends are one."""
    return Stdio(terminal=sys.stdin.isatty() and sys.stdout.isatty())


def folder_bind(lowers: Iterable[str]) -> Bind:
    """Returns the bind of the current folder at its own path.

    Raises:
        Refused: it would hide files of the image.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise Refused(
            "the current folder does not exist any more", hint="Go to another one.", code="E086"
        ) from None
    inside = here.startswith(tuple(f"{place}/" for place in _HOST_PLACES)) or here in _HOST_PLACES
    if here == "/" or inside or (here not in _OPEN_PLACES and _has_files(lowers, here)):
        raise Refused(
            f"the current folder {here} would hide the image's own",
            hint="Go to a folder with your data: programs see it under the same path.",
            code="E086",
        )
    return Bind(source=here, target=here, read_only=False)


def _has_files(lowers: Iterable[str], path: str) -> bool:
    """Whether an image has anything in the folder ``path``; links in the image are not followed."""
    for lower in lowers:
        folder = lower
        for part in path.strip("/").split("/"):
            folder = os.path.join(folder, part)
            if os.path.islink(folder):
                return True
        try:
            if os.path.isdir(folder) and os.listdir(folder):
                return True
        except PermissionError:
            return True
    return False


def parse_bind(text: str) -> Bind:
    """Returns the bind that ``HOST[:INSIDE][:ro]`` says.

    Raises:
        UsageError: the text or the path is not usable.
    """
    parts = text.split(":")
    read_only = len(parts) > 1 and parts[-1] == "ro"
    parts = parts[:-1] if read_only else parts
    source = os.path.abspath(parts[0])
    target = parts[1] if len(parts) > 1 else source
    if len(parts) > 2 or not parts[0] or not target.startswith("/"):
        raise UsageError(
            f'"{text}" is no bind', hint="Write HOST[:INSIDE][:ro] with an absolute INSIDE."
        )
    if not os.path.exists(source):
        raise UsageError(f"{source} does not exist", hint="Check --bind.")
    return Bind(source=source, target=os.path.normpath(target), read_only=read_only)
