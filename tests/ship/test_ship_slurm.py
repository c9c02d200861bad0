"""Wrappers under a real Slurm's ``srun``: tasks find one another, and nothing of theirs is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rootfs import tiny_rootfs
from ship_makers import image, release, site, small_tar, tar_of
from slurm_cluster import running_slurm

from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy

pytestmark = [pytest.mark.component("slurm"), pytest.mark.component("sandbox")]

WIRED = r"""#!/bin/bash
# What an MPI library does at its start, in its own words: PMI 1, over the socket from srun.
ask() { printf '%s\n' "$1" >&"$PMI_FD"; IFS= read -r answer <&"$PMI_FD"; }
ask 'cmd=init pmi_version=1 pmi_subversion=1'
ask 'cmd=get_my_kvsname'
space=${answer##*kvsname=}
ask "cmd=put kvsname=$space key=card-$PMI_RANK value=address-of-$PMI_RANK"
ask 'cmd=barrier_in'
other=$(( (PMI_RANK + 1) % PMI_SIZE ))
ask "cmd=get kvsname=$space key=card-$other"
printf '%s of %s sees %s; %s; %s\n' "$PMI_RANK" "$PMI_SIZE" "${answer##*value=}" \
    "$SLURM_PROCID" "$*"
ask 'cmd=finalize'
"""
TRAP = r"""#!/bin/bash
trap 'echo "got the signal"; exit 7' USR1
echo ready
for _ in $(seq 200); do sleep .05; done
"""


@pytest.fixture(scope="module")
def srun() -> Iterator[tuple[str, dict[str, str]]]:
    """The folder of the wrappers, and the environment of the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="ssds-slurm-", dir="/var/tmp"))
    folder.chmod(0o755)
    tiny_rootfs(f"{folder}/root", ("bash", "cat", "sleep", "seq", "setpriv", "sh"))
    tools = small_tar({"usr/bin/wired": WIRED.encode(), "usr/bin/trap": TRAP.encode()})
    blobs = Blobs(f"{folder}/blobs")
    half = image(blobs, [tar_of(f"{folder}/root"), tools], ["wired", "trap", "cat"], {})
    deploy(site(runtimes=("plain",)), [release(blobs, half)], blobs, f"{folder}/tree")
    (folder / "slurm").mkdir()
    with running_slurm(folder / "slurm") as environment:
        yield f"{folder}/tree/sites/example/bin", environment
    shutil.rmtree(folder, ignore_errors=True)


def test_tasks_of_one_step_exchange_addresses_over_the_sockets_from_srun(
    srun: tuple[str, dict[str, str]],
) -> None:
    programs, environment = srun
    argv = ["srun", "-n2", "--mpi=pmi2", f"{programs}/wired", "an argument", "*"]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=60, check=False)
    assert sorted(done.stdout.decode().splitlines()) == [
        "0 of 2 sees address-of-1; 0; an argument *",
        "1 of 2 sees address-of-0; 1; an argument *",
    ], done.stderr


def test_standard_input_goes_to_every_task(srun: tuple[str, dict[str, str]]) -> None:
    programs, environment = srun
    argv = ["srun", "-n2", "--label", f"{programs}/cat"]
    text = b"one\ntwo\n"
    done = subprocess.run(
        argv, env=environment, input=text, capture_output=True, timeout=60, check=False
    )
    assert sorted(done.stdout.splitlines()) == [b"0: one", b"0: two", b"1: one", b"1: two"]


def test_a_signal_reaches_the_program_and_its_exit_code_comes_back(
    srun: tuple[str, dict[str, str]],
) -> None:
    programs, environment = srun
    step = subprocess.Popen(
        ["srun", "-n1", "--unbuffered", f"{programs}/trap"], env=environment, stdout=subprocess.PIPE
    )
    assert step.stdout is not None
    assert step.stdout.readline() == b"ready\n"
    time.sleep(0.1)
    os.kill(step.pid, signal.SIGUSR1)
    assert step.stdout.read() == b"got the signal\n"
    assert step.wait(timeout=60) == 7
