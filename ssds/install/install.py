"""Installs and uninstalls: a record, then the tree of all records, switched at once.

A folder of tools is a deployed tree with one site. The record comes first: whoever was killed after
it left an image that is not there whole, which the next run brings or leaves out, and says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, Refused, UsageError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.host.folders import scratch_folder, sweep_folders
from ssds.install.records import (
    FOLDER,
    SITE,
    Installed,
    read_installed,
    read_installed_sets,
    remove_installed,
    remove_installed_set,
    small_blobs,
    write_installed,
)
from ssds.install.source import Found, Source
from ssds.lock.model import Released, ReleaseHalf
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Site
from ssds.ship.deploy import deploy_selection
from ssds.ship.images import BlobSource, has_image
from ssds.ship.prune import prune
from ssds.ship.record import is_command
from ssds.ship.refdata.artefact import PREFIX
from ssds.ship.refdata.content import has_set, needed_bytes
from ssds.ship.sites import Pick, Selection
from ssds.ship.targets.plain import PlainTree
from ssds.ship.tree import check_owner, read_deployed, sites_in

Say = Callable[[str], None]
ANY = 1_000_000
"""A person removes as many of their own tools as they like."""
RUNTIMES = ("apptainer", "singularity", "plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an installation did.

    Attributes:
        fetched_bytes: what came over the network or was copied.
        written: False where it was installed already.
    """

    entry: Installed
    commands: tuple[str, ...]
    fetched_bytes: int
    written: bool


def install(
    folder: str,
    name: str,
    version: str,
    platform: Platform,
    source: Source,
    *,
    commands: Sequence[str] = (),
    say: Say = lambda _: None,
) -> Done:
    """Makes a release of ``source`` usable below ``folder``; running it again changes nothing.

    Args:
        commands: names, or paths in the image, that get a wrapper in place of what its place says
            or what is found in it.

    Raises:
        UsageError, UnavailableError, IntegrityError: it cannot be had, or is not what it should be.
        Refused: the folder is not ours.
    """
    for text in commands:
        if not is_command(text):
            raise UsageError(
                f"{text[:80]!r} cannot be a command",
                hint="Write its name, or its absolute path in the image.",
                code="I007",
            )
    folder = os.path.abspath(folder)
    check_folder(folder)
    released, place = source.released(name, version, platform)
    half = released.platforms[platform]
    with ours(folder):
        known = {entry.file: entry for entry in read_installed(folder)}
        small = small_blobs(folder)
        with scratch_folder(os.path.join(folder, FOLDER)) as scratch:
            layers = Blobs(os.path.join(scratch, "blobs"), name="the download")
            _keep_small(small, place)
            fetched = 0
            half = _with_known_commands(half, commands, known)
            if not half.offered or not has_image(folder, half.config.digest):
                fetched = _bring(layers, half, place, say)
            if not half.offered:
                half = replace(half, found=found_commands(layers, half, place))
            if not half.offered:
                raise _nothing_found(released)
            about = _keep_metadata(small, released, place)
            released = replace(released, platforms={platform: half}, metadata=about)
            entry = Installed(released=released, platform=platform, source=source.text)
            before = known.get(entry.file)
            known[entry.file] = entry
            write_installed(folder, entry)
            try:
                written = place_all(folder, list(known.values()), both(small, layers), say)
            except Exception:
                _undo(folder, entry, before)
                raise
    return Done(entry=entry, commands=half.offered, fetched_bytes=fetched, written=written)


def uninstall(folder: str, name: str, version: str, say: Say = lambda _: None) -> list[str]:
    """Takes a release, or all versions of a name, away; returns ``name/version`` of what is gone.

    What a killed call has begun is completed.

    Raises:
        UsageError: I020, it is not installed here.
        Refused: the folder is not one of installed tools.
    """
    folder = os.path.abspath(folder)
    check_folder(folder)
    found = read_installed(folder)
    gone = [e for e in found if _is(e.released.id, e.released.tag, name, version)]
    sets = read_installed_sets(folder)
    gone_sets = [
        s for s in sets if PREFIX + s.lock.id.name == name and version in ("", s.lock.id.version)
    ]
    labels = {f"{e.released.id.name}/{e.released.tag}" for e in found} | {s.label for s in sets}
    deployed = read_deployed(folder, SITE)
    halfway = [
        f"{e.name}/{e.module}"
        for e in deployed.entries
        if e.name == name and version in ("", e.version, e.module)
    ]
    halfway += [
        f"{PREFIX}{e.name}/{e.version}"
        for e in deployed.data
        if e.current and PREFIX + e.name == name and version in ("", e.version)
    ]
    removed = sorted(
        {f"{e.released.id.name}/{e.released.tag}" for e in gone}
        | {s.label for s in gone_sets}
        | set(halfway) - labels
    )
    if not removed:
        raise UsageError(
            f"{name}{'@' + version if version else ''} is not installed in {folder}",
            hint=f"Installed: {', '.join(sorted(labels)) or 'nothing'}.",
            code="I020",
        )
    with ours(folder):
        for entry in gone:
            remove_installed(folder, entry)
        for one in gone_sets:
            remove_installed_set(folder, one)
        rest = read_installed(folder)
        place_all(folder, rest, small_blobs(folder), say)
        prune(folder, keep=1, grace_s=0, now_s=time.time(), only=SITE)
        small = small_blobs(folder)
        needed = {digest for entry in rest for digest in _small(entry.released)}
        for digest in list(small.all()):
            if digest not in needed:
                small.remove(digest)
    return removed


def _is(release: ReleaseName, tag: str, name: str, version: str) -> bool:
    return release.name == name and version in ("", release.version, tag)


def check_folder(folder: str) -> None:
    """Refuses what is neither new nor a folder of installed tools.

    Raises:
        Refused: I021, a tree of sites; D010, D017, what ssds did not write.
    """
    if check_owner(folder) and not os.path.isdir(os.path.join(folder, FOLDER)):
        if not sites_in(folder):
            return  # a first installation was killed
        raise Refused(
            f"{folder} is a deployed tree of the sites {', '.join(sites_in(folder))[:200]}",
            hint="Choose a folder of your own: --to DIR.",
            code="I021",
        )


@contextlib.contextmanager
def ours(folder: str) -> Iterator[None]:
    """Makes the folder a tree of ours, and holds its installations against others."""
    from ssds.host.files import locked

    tree = PlainTree(folder)
    with tree.locked(), tree.change("install") as draft:
        draft.claim()
    with locked(os.path.join(folder, ".ssds", "install.lock")):
        sweep_folders(os.path.join(folder, FOLDER))
        yield


def place_all(folder: str, entries: Sequence[Installed], blobs: BlobSource, say: Say) -> bool:
    """Writes the tree of all whole entries; returns whether anything changed."""
    picks: list[Pick] = []
    for entry in entries:
        pick = entry.pick
        if has_image(folder, pick.halves[0].config.digest) or all(
            blobs.has(layer.diff_id) for layer in pick.halves[0].layers
        ):
            picks.append(pick)
        else:
            say(f"left out {entry.released.id}: it was not installed whole; install it again")
    sets = []
    for one in read_installed_sets(folder):
        if has_set(folder, needed_bytes(one.lock)[0]) or all(
            map(blobs.has, needed_bytes(one.lock))
        ):
            sets.append(one.lock)
        else:
            say(f"left out {one.label}: it was not installed whole; install it again")
    platforms = tuple(dict.fromkeys(entry.platform for entry in entries))
    site = Site(name=SITE, title="Tools of one person", platforms=platforms, runtimes=RUNTIMES)
    picks.sort(key=lambda pick: (pick.name, pick.module))
    selection = Selection(picks=tuple(picks), left_out=(), data=tuple(sets))
    report = deploy_selection(site, selection, blobs, PlainTree(folder), allow_remove=ANY)
    return report.written


def _undo(folder: str, entry: Installed, before: Installed | None) -> None:
    if before is None:
        remove_installed(folder, entry)
    else:
        write_installed(folder, before)


def _small(released: Released) -> list[Digest]:
    found = [digest for digest in (released.metadata,) if digest]
    for half in released.platforms.values():
        found += [half.config.digest, half.manifest.digest]
    return found


def _keep_small(small: Blobs, place: Found) -> None:
    image = place.image
    for digest in (image.manifest, image.config.digest):
        if not small.has(digest):
            small.put(image.documents[digest], digest)


def _keep_metadata(small: Blobs, released: Released, place: Found) -> Digest | None:
    """Keeps what describes the release: what its record names, else what is attached."""
    data = place.metadata()
    if data is None or released.metadata not in (None, sha256_of(data)):
        return None
    return small.put(data)


def _bring(layers: Blobs, half: ReleaseHalf, place: Found, say: Say) -> int:
    """Brings every layer, unpacked as it comes; both of its digests are checked."""
    fetched = 0
    pairs = list(zip(place.image.layers, half.layers, strict=True))
    for number, (descriptor, layer) in enumerate(pairs, start=1):
        if layers.has(layer.diff_id):
            continue
        say(f"fetching layer {number} of {len(pairs)}, {layer.size_bytes / 2**20:.1f} MiB")
        with layers.writer(expected=layer.digest, size_bytes=layer.size_bytes) as sink:
            place.fetch(layer.digest, layer.size_bytes, sink)
        fetched += layer.size_bytes
        _unpack(layers, layer.digest, layer.diff_id, descriptor.media_type)
    return fetched


def _unpack(layers: Blobs, digest: Digest, diff_id: Digest, media_type: str) -> None:
    from ssds.oci.compress import decompress_stream

    with layers.open(digest) as file, layers.writer(expected=diff_id) as blob:
        for piece in decompress_stream(file, media_type):
            blob.write(piece)
    if digest != diff_id:
        layers.remove(digest)


def _with_known_commands(
    half: ReleaseHalf, wanted: Sequence[str], known: Mapping[str, Installed]
) -> ReleaseHalf:
    """Returns the half with what gets a wrapper: what is asked for, else what is known of it."""
    if wanted:
        return replace(half, commands=tuple(sorted(set(wanted))), found=())
    if half.offered:
        return half
    for entry in known.values():
        for other in entry.released.platforms.values():
            if other.config.digest == half.config.digest:
                return replace(half, commands=other.commands, found=other.found)
    return half


def _nothing_found(released: Released) -> IntegrityError:
    return IntegrityError(
        f"{released.id} has no program of its own on its PATH",
        hint="Name what you want: --command NAME, or --command /path/in/the/image.",
        code="I005",
    )


def found_commands(layers: Blobs, half: ReleaseHalf, place: Found) -> tuple[str, ...]:
    """Returns the programs on an image's PATH that its first layer and other systems have not."""
    from ssds.kinds.sbom.commands import Wanted, list_commands
    from ssds.oci.flatten import flatten
    from ssds.oci.programs import DEFAULT_PATH

    paths = [layers.path(layer.diff_id) for layer in half.layers]
    settings = place.image.settings
    assert settings.platform is not None
    listed = list_commands(
        flatten(paths),
        Wanted(
            platform=settings.platform,
            search=settings.environment.get("PATH", "") or DEFAULT_PATH,
            base=flatten(paths[:1] if len(paths) > 1 else []),
        ),
    )
    found = listed.get("found", [])
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


def both(first: Blobs, second: Blobs) -> BlobSource:
    """Returns two sets of blobs as one."""
    return _Both(first, second)


class _Both:
    """Two sets of blobs as one."""

    def __init__(self, first: Blobs, second: Blobs) -> None:
        self._first, self._second = first, second

    def _of(self, digest: Digest) -> Blobs:
        return self._first if self._first.has(digest) else self._second

    def has(self, digest: Digest) -> bool:
        return self._of(digest).has(digest)

    def path(self, digest: Digest) -> str:
        return self._of(digest).path(digest)

    def open(self, digest: Digest) -> IO[bytes]:
        return self._of(digest).open(digest)

    def read(self, digest: Digest, limit_bytes: int = 64 << 20) -> bytes:
        return self._of(digest).read(digest, limit_bytes)

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        return self._of(digest).chunks(digest)
