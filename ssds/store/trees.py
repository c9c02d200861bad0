"""Unpacked layers: each layer once per sandbox mode, made under a lock, whole or not there.

``<folder>/<mode>/<hex>`` is the layer in overlay form; ``<hex>.complete`` says that it is whole and
in which boot it was written. In mode ``subuid`` the folder is ``subuid-<uid>``: its files belong to
that user's subordinate ids. Nobody else may enter. Trees are a cache: files in them are not synced
one by one, so after a restart of the machine, when a power loss could have torn them, they are
unpacked again.

Layers are always the *exported* ones: a step sees the same files, whether the steps before it ran
just now or came from the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem
from ssds.host.files import atomic_write, explained, locked, sweep, write_point
from ssds.host.sandbox import Sandbox
from ssds.oci.layers import ExportedLayer

_UPPER = "upper-"
_KEPT = "kept-"
_BOOT = "/proc/sys/kernel/random/boot_id"


class Trees:
    """The unpacked layers of one sandbox mode, and the folders that steps change.

    It may be used from several threads and processes at once; ``forget`` needs the store alone.
    """

    def __init__(self, folder: str, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        name = f"subuid-{os.getuid()}" if sandbox.mode == "subuid" else sandbox.mode
        self.folder = os.path.join(os.path.abspath(folder), name)
        self._uppers = os.path.join(self.folder, "changes")
        with explained(self.folder):
            os.makedirs(self._uppers, exist_ok=True)
            os.chmod(self.folder, 0o700)  # set-uid programs of an image are not for the host

    def layer(self, diff_id: Digest, tar_path: str) -> str:
        """Returns the folder of a layer; unpacks the uncompressed tar when it is not there yet.

        Raises:
            IntegrityError: the tar is damaged or has another digest.
            EnvironmentProblem: the disk is full.
        """
        place = os.path.join(self.folder, diff_id.hex)
        if self._whole(place):
            return place
        with locked(f"{place}.lock"):
            if self._whole(place):
                return place
            new = f"{place}.new"
            for leftover in (place, new, f"{new}.order"):
                if os.path.lexists(leftover):
                    self.sandbox.remove(leftover)
            try:
                self.sandbox.call(
                    "ssds.oci.layers:unpack_layer",
                    tar=os.path.abspath(tar_path),
                    folder=new,
                    diff_id=str(diff_id),
                )
                if self.sandbox.reverses:
                    self.sandbox.call("ssds.host.listing:reverse_listing", folder=new)
            except BaseException:
                with contextlib.suppress(EnvironmentProblem):
                    self.sandbox.remove(new)
                raise
            with explained(place):
                os.rename(new, place)
            write_point("trees.renamed")
            marker = json.dumps({"boot": _boot()}).encode()
            atomic_write(f"{place}.complete", marker, point="trees.complete")
        return place

    def new_upper(self) -> str:
        """Returns a new empty folder for a step's changes; ``discard`` or ``sweep`` removes it."""
        with explained(self._uppers):
            folder = os.path.join(self._uppers, f"{_UPPER}{os.getpid()}-{secrets.token_hex(6)}")
            os.mkdir(folder)
            os.chmod(folder, 0o755)
        return folder

    def keep(self, upper: str) -> str:
        """Moves a folder of changes to where no sweep removes it; returns the new path."""
        path = os.path.join(self._uppers, f"{_KEPT}{secrets.token_hex(6)}")
        with explained(path):
            os.rename(upper, path)
        write_point("trees.kept")
        return path

    def kept(self) -> list[str]:
        """Returns the paths of all kept folders, of whatever workspace."""
        names = sorted(n for n in os.listdir(self._uppers) if n.startswith(_KEPT))
        return [os.path.join(self._uppers, name) for name in names]

    def discard(self, folder: str) -> None:
        """Removes a folder of changes, also when it holds files of subordinate ids."""
        self.sandbox.remove(folder)

    def export(self, upper: str, lowers: Sequence[str], epoch: int, out: str) -> ExportedLayer:
        """Writes the changes in ``upper`` as a reproducible layer (``oci.layers.export_layer``)."""
        result = self.sandbox.call(
            "ssds.oci.layers:export_layer",
            upper=os.path.abspath(upper),
            lowers=[os.path.abspath(folder) for folder in lowers],
            epoch=epoch,
            out=os.path.abspath(out),
        )
        return _exported(result)

    def export_tree(self, root: str, epoch: int, out: str) -> ExportedLayer:
        """Writes a whole root file system as a layer (``oci.layers.export_tree``)."""
        result = self.sandbox.call(
            "ssds.oci.layers:export_tree",
            root=os.path.abspath(root),
            epoch=epoch,
            out=os.path.abspath(out),
        )
        return _exported(result)

    def sweep(self) -> int:
        """Removes what killed processes left: changes, scratch, half-unpacked layers."""
        count = self.sandbox.sweep(self._uppers, _UPPER) + self.sandbox.sweep(self._uppers)
        count += sweep(self.folder)
        for entry in list(os.scandir(self.folder)):
            if not entry.name.endswith(".new"):
                continue
            with locked(f"{entry.path.removesuffix('.new')}.lock", wait=False) as mine:
                if mine and os.path.lexists(entry.path):
                    self.sandbox.remove(entry.path)
                    count += 1
        return count

    def forget(self, keep: Collection[Digest]) -> int:
        """Removes the unpacked layers that are not in ``keep``; returns how many."""
        kept = {digest.hex for digest in keep}
        count = 0
        for entry in list(os.scandir(self.folder)):
            if entry.name in kept or entry.name == "changes" or "." in entry.name:
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{entry.path}.complete")
            self.sandbox.remove(entry.path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{entry.path}.lock")
            count += 1
        return count

    def _whole(self, place: str) -> bool:
        try:
            with open(f"{place}.complete", "rb") as file:
                marker = json.loads(file.read(1000))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(marker, dict) and marker.get("boot") == _boot() and os.path.isdir(place)


def _boot() -> str:
    with open(_BOOT, encoding="ascii") as file:
        return file.read().strip()


def _exported(result: object) -> ExportedLayer:
    values = cast(Mapping[str, object], result)
    return ExportedLayer(
        diff_id=Digest(str(values["diff_id"])),
        size_bytes=cast(int, values["size_bytes"]),
        entries=cast(int, values["entries"]),
        skipped=tuple(cast(Sequence[str], values["skipped"])),
    )
