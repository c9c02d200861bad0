"""Runs a command and says what it used: CPU time (user and system), peak memory, seconds."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run used.

    Attributes:
        cpu_s: user and system time of the child and of its own children.
        peak_mib: the most memory that it held; 9 MiB or less cannot be told apart.
    """

    cpu_s: float
    peak_mib: float
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to do the same thing.

    Attributes:
        name: as the table shows it.
        command: absolute program first.
        shown: the command for people; it names no place of this machine.
        folder: where it runs.
        expected: a text that its output must hold, so that the right thing is measured.
        before: called before each run, outside of the measured time.
    """

    name: str
    command: Sequence[str]
    shown: str
    folder: Path
    expected: str = ""
    before: Callable[[], None] = lambda: None


class WrongOutput(Exception):
    """A command did not do what was to be measured."""


def run(way: Way, scratch: Path) -> tuple[Sample, str]:
    """Runs a way once; returns what it used and what it printed.

    Raises:
        WrongOutput: it failed, or its output says that something else was done.
    """
    out = scratch / "output.txt"
    environment = {
        **os.environ,
        "SSDS_USER_SETTINGS": os.devnull,
        "GIT_CEILING_DIRECTORIES": str(way.folder.parent),  # a made catalog is in no checkout
    }
    launcher = [sys.executable, "-I", "-S", str(HERE / "spawn.py"), str(out), str(way.folder)]
    way.before()
    done = subprocess.run(
        [*launcher, *way.command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cpu, peak_kib, wall, code = done.stdout.split()
    text = out.read_text(errors="replace")
    if code != "0" or way.expected not in text:
        raise WrongOutput(f"`{way.shown}` ended with {code} and said:\n{text[-2000:]}")
    sample = Sample(cpu_s=float(cpu), peak_mib=int(peak_kib) / 1024, wall_s=float(wall))
    return sample, text


def summary(samples: Sequence[Sample]) -> Mapping[str, float | int]:
    """Returns medians, and the range of the CPU time, as JSON holds them."""
    cpu = [sample.cpu_s for sample in samples]
    return {
        "runs": len(samples),
        "cpu_s": round(statistics.median(cpu), 4),
        "cpu_min_s": round(min(cpu), 4),
        "cpu_max_s": round(max(cpu), 4),
        "wall_s": round(statistics.median(sample.wall_s for sample in samples), 4),
        "peak_mib": round(max(sample.peak_mib for sample in samples), 1),
    }
