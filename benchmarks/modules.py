"""How many releases a second get their modules and wrappers: ssds beside shpc, in one process each.

``python benchmarks/modules.py`` makes the same entries for both: 299 releases with the same names,
versions, texts and commands (3,486, as in the registry of 299 entries that SHPC has). Both write
one Lmod module and a wrapper for each command to a new folder; shpc installs a file that is there
(``--keep-path``), so that neither fetches an image. CPU time is counted. shpc imports
and reads its registry before the clock starts, and of its results the median of single installs is
told too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ENTRIES = 299
COMMANDS = 3486
ROUNDS = 3
WORDS = "Reads, sorts, filters and converts alignments of short and long sequences"


def entries() -> list[tuple[str, str, list[str]]]:
    """Returns name, version and commands of each release."""
    share, more = divmod(COMMANDS, ENTRIES)
    found = []
    for number in range(ENTRIES):
        name = f"tool{number:03}"
        count = share + (number < more)
        commands = [name, *(f"{name}-step{index}" for index in range(1, count))]
        found.append((name, f"1.{number % 20}.{number % 7}", commands))
    return found


def ours(folder: str) -> tuple[float, float]:
    """Writes them with ssds; returns seconds of CPU time, and how many before writing."""
    from ssds.core.digest import sha256_of
    from ssds.core.platform import Platform
    from ssds.recipe.model import Site
    from ssds.ship.composing import Current, compose
    from ssds.ship.generation import Entry
    from ssds.ship.modules import ModuleFacts
    from ssds.ship.wrappers import ImageFacts, release_facts

    platform = Platform("linux/amd64")
    site = Site(name="bench", platforms=(platform,))
    start = time.process_time()
    releases = []
    for name, version, commands in entries():
        image = sha256_of(name.encode())
        programs = {command: f"/usr/bin/{command}" for command in commands}
        facts = ModuleFacts(
            name=name,
            version=version,
            revision=1,
            image=str(image),
            commands=commands,
            description={"summary": WORDS, "homepage": f"https://example.org/{name}"},
        )
        entry = Entry(
            name=name,
            version=version,
            variant="",
            revision=1,
            module=version,
            images={str(platform): image},
            commands=tuple(commands),
        )
        place = ImageFacts(folder=f".flat/{image.hex[:2]}/{image.hex}", programs=programs)
        wrapper = release_facts(
            release=f"{name}@{version}-r1", images={platform: place}, defaults={}
        )
        releases.append(Current(entry=entry, facts=facts, wrapper=wrapper))
    made = compose(site, releases)
    composed = time.process_time() - start
    os.makedirs(f"{folder}/1")
    made.write(f"{folder}/1")
    for part, content in made.parts.items():
        os.makedirs(f"{folder}/parts/{part}")
        content.write(f"{folder}/parts/{part}")
    spent = time.process_time() - start
    modules = [f for _, _, files in os.walk(f"{folder}/1/modules", followlinks=True) for f in files]
    wrappers = [f for _, _, files in os.walk(f"{folder}/1/bin") for f in files]
    assert len([m for m in modules if not m.startswith(".") and "-r" not in m]) == ENTRIES
    assert len(wrappers) == COMMANDS
    return spent, composed


def theirs(folder: str, count: int) -> list[float]:
    """Writes the first ``count`` of them with shpc; returns seconds of CPU time of each."""
    import yaml
    from shpc.main import get_client  # type: ignore[import-not-found]

    registry, sif = Path(folder, "registry"), Path(folder, "image.sif")
    sif.write_bytes(b"SIF")
    for name, version, commands in entries():
        place = registry / "quay.io/bench" / name
        place.mkdir(parents=True)
        digest = "sha256:" + "0" * 64
        recipe = {
            "docker": f"quay.io/bench/{name}",
            "url": f"https://example.org/{name}",
            "maintainer": "@bench",
            "description": WORDS,
            "latest": {version: digest},
            "tags": {version: digest},
            "aliases": {command: f"/usr/bin/{command}" for command in commands},
        }
        (place / "container.yaml").write_text(yaml.safe_dump(recipe))
    settings = Path(folder, "settings.yml")
    client = get_client(quiet=True)
    shutil.copy(client.settings.settings_file, settings)
    client = get_client(quiet=True, settings_file=str(settings))
    for key, value in (
        ("registry", [str(registry)]),
        ("module_base", f"{folder}/modules"),
        ("wrapper_base", f"{folder}/wrappers"),
        ("container_base", f"{folder}/containers"),
    ):
        client.settings._settings[key] = value  # noqa: SLF001 - as `shpc config set` does
    client.settings.save()
    client = get_client(quiet=True, settings_file=str(settings), module_sys="lmod")
    times = []
    for name, version, _ in entries()[:count]:
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            client.install(
                f"quay.io/bench/{name}:{version}", container_image=str(sif), keep_path=True
            )
        times.append(time.process_time() - start)
    made = [
        f
        for base in (f"{folder}/modules", f"{folder}/wrappers")
        for where, _, files in os.walk(base)
        if where.endswith("/bin")
        for f in files
    ]
    wanted = sum(len(commands) for _, _, commands in entries()[:count])
    assert len(made) >= wanted, f"shpc wrote {len(made)} wrappers, not {wanted}"
    return times


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shpc", type=int, default=ENTRIES, help="how many of them shpc makes")
    count = parser.parse_args().shpc
    rates = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            rates.append(tuple(ENTRIES / seconds for seconds in ours(f"{folder}/ours")))
    rate, composing = sorted(rates)[ROUNDS // 2]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        times = theirs(folder, count)
    peer = count / sum(times)
    result = {
        "entries": ENTRIES,
        "commands": COMMANDS,
        "shpc_entries": count,
        "ssds_releases_per_second": round(rate, 1),
        "ssds_composed_per_second": round(composing, 1),
        "shpc_releases_per_second": round(peer, 1),
        "shpc_median_install_ms": round(sorted(times)[len(times) // 2] * 1000, 1),
        "ratio": round(rate / peer, 1),
    }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
