"""A made-up tree as NeuroDesk's scripts leave it, with the lists that belong to it.

It is written from the facts about their layout, by none of the code under test: containers with an
unpacked folder or a SIF file, ``commands.txt``, wrappers, modules by name and by category,
``log.txt``, ``apps.json``, ``applist.json`` and ``releases/*.json``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

CATEGORIES = (
    "functional imaging",
    "structural imaging",
    "diffusion imaging",
    "workflows",
    "image segmentation",
)
NAMES = (
    "afni", "ants", "bart", "blender", "cat12", "civet", "clinica", "code", "convert3d",
    "dcm2niix", "dsistudio", "eeglab", "elastix", "fastsurfer", "fsl", "freesurfer", "gimp",
    "globus", "itksnap", "julia", "laynii", "mne", "mricrogl", "mrtrix3", "niimath",
)  # fmt: skip
_MACHINES = {"amd64": 62, "arm64": 183}


@dataclass(frozen=True, kw_only=True)
class Old:
    """One release as the old scripts made it."""

    name: str
    version: str
    built: str
    categories: tuple[str, ...]
    commands: tuple[str, ...]
    windows: tuple[tuple[str, str], ...] = ()
    sif: bool = False
    machine: str = "amd64"
    arguments: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        return f"{self.name}_{self.version}_{self.built}"


def old_releases(count: int = 60) -> list[Old]:
    """Returns ``count`` releases: several versions of a name, windows, SIF files, one for arm64."""
    found = []
    for number in range(count):
        name = NAMES[number % len(NAMES)]
        version = f"{1 + number // len(NAMES)}.{number % 7}.{number % 3}"
        if number == count - 1:
            name += "_arm64"
        base = name.removesuffix("_arm64")
        found.append(
            Old(
                name=name,
                version=version,
                built=f"20{20 + number % 6}{1 + number % 12:02}{1 + number % 28:02}",
                categories=tuple(CATEGORIES[(number + k) % 5] for k in range(1 + number % 2)),
                commands=(base, f"{base}-convert"),
                windows=((f"{base}GUI", f"{base} --gui"),) if number % 4 == 0 else (),
                sif=number % 10 == 3,
                machine="arm64" if number == count - 1 else "amd64",
                arguments=("--nv",) if number % 11 == 5 else (),
            )
        )
    return found


def make_tree(top: Path, releases: Iterable[Old], *, seen_as: str = "") -> Path:
    """Writes the tree; ``seen_as`` is where its users mount it. Returns ``top``."""
    root = seen_as or str(top)
    containers = top / "containers"
    for one in releases:
        folder = containers / one.id
        folder.mkdir(parents=True)
        image = folder / f"{one.id}.simg"
        if one.sif:
            image.write_bytes(sif_bytes(one))
        else:
            _unpacked(image, one)
        (folder / "commands.txt").write_text("".join(f"{c}\n" for c in one.commands))
        (folder / "README.md").write_text(f"# {one.name} {one.version}\n")
        (folder / "env.txt").write_text("")
        (folder / ".cvmfscatalog").write_text("")
        for command in one.commands:
            wrapper = folder / command
            wrapper.write_text(
                "#!/usr/bin/env bash\nexport PWD=`pwd -P`\n"
                "singularity --silent exec --cleanenv --env DISPLAY=$DISPLAY "
                f'$neurodesk_singularity_opts --pwd "$PWD" {root}/containers/{one.id}/{one.id}.simg'
                f' {command} "$@"\n'
            )
            wrapper.chmod(0o755)
        text = (
            f"-- -*- lua -*-\nhelp([===[\n{one.name}\n]===])\n"
            f'whatis("{one.id}.simg")\nprepend_path("PATH", "{root}/containers/{one.id}")\n'
        )
        places = [containers / "modules"]
        places += [top / "neurodesk-modules" / c.replace(" ", "_") for c in one.categories]
        for place in places:
            module = place / one.name / f"{one.version}.lua"
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text(text)
    return top


def make_lists(checkout: Path, releases: Iterable[Old]) -> Path:
    """Writes the lists as in a checkout of neurocommand, with ``releases/`` beside them."""
    apps: dict[str, dict[str, object]] = {}
    lines, listed = [], []
    (checkout / "cvmfs").mkdir(parents=True)
    (checkout / "neurodesk").mkdir()
    several = sorted(releases, key=lambda o: (o.name, o.version))
    for one in several:
        words = sorted({c for o in several if o.name == one.name for c in o.categories})
        entry = apps.setdefault(one.name, {"apps": {}, "categories": words})
        more = {"apptainer_args": list(one.arguments)} if one.arguments else {}
        own: dict[str, object] = {
            f"{one.name} {one.version}": {"version": one.built, "exec": "", **more}
        }
        for shown, command in one.windows:
            label = f"{shown}-{one.name} {one.version}"
            own[label] = {"version": one.built, "exec": command}
        entry["apps"].update(own)  # type: ignore[attr-defined]
        release = checkout / "releases" / one.name / f"{one.version}.json"
        release.parent.mkdir(parents=True, exist_ok=True)
        release.write_text(json.dumps({"apps": own, "categories": list(one.categories)}, indent=2))
        lines.append(f"{one.id} categories:{''.join(f'{c},' for c in words)}\n")
        listed.append({"application": one.id, "categories": entry["categories"]})
    (checkout / "cvmfs" / "log.txt").write_text("".join(lines))
    (checkout / "cvmfs" / "applist.json").write_text(json.dumps({"list": listed}, indent=4))
    (checkout / "neurodesk" / "apps.json").write_text(json.dumps(apps, indent=4))
    return checkout


def state_of(top: Path) -> dict[str, tuple[int, int, int, int]]:
    """Returns path → inode, mode, size and time of everything below a folder."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        row = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
        found[str(path.relative_to(top))] = row
    return found


def elf_head(machine: str) -> bytes:
    """Returns the first 64 bytes of a program for a machine (System V gABI, chapter 4)."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHI", 2, _MACHINES[machine], 1) + bytes(40)


def sif_bytes(one: Old) -> bytes:
    """Returns a small SIF: its head, one descriptor, and some bytes (the SIF specification 1.0)."""
    launch = b"#!/usr/bin/env run-singularity\n"
    code = {"amd64": b"02\0", "arm64": b"04\0"}[one.machine]
    content = one.id.encode()
    head = struct.pack(
        "<32s10s3s3s16s8q",
        launch, b"SIF_MAGIC\0", b"01\0", code, bytes(16),
        0, 0, 0, 1, 4096, 585, 8192, len(content),
    )  # fmt: skip
    row = struct.pack(
        "<i?3I7q128s384s",
        0x4004, True, 1, 0, 0, 8192, len(content), len(content), 0, 0, 0, 0, b"image", b"",
    )  # fmt: skip
    return (head.ljust(4096, b"\0") + row).ljust(8192, b"\0") + content


def _unpacked(image: Path, one: Old) -> None:
    programs = image / "opt" / f"{one.name}-{one.version}" / "bin"
    programs.mkdir(parents=True)
    for command in one.commands:
        (programs / command).write_text(f"#!/bin/sh\necho {command} of {one.id}\n")
        (programs / command).chmod(0o755)
    (image / "bin").mkdir()
    (image / "bin" / "dash").write_bytes(elf_head(one.machine))
    (image / "bin" / "dash").chmod(0o755)
    (image / "bin" / "sh").symlink_to("/bin/dash")
    (image / ".singularity.d" / "env").mkdir(parents=True)
    (image / "README.md").write_text(f"# {one.name}\n")
