"""A real Slurm on this machine: one controller, one node, its own munge; all in one folder."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

READY_S = 20.0


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_:
        found = [open_.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def _configuration(folder: Path) -> str:
    host, (controller, node) = socket.gethostname().split(".")[0], _ports(2)
    return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=5 State=UP OverSubscribe=YES
"""


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Gives the environment in which ``srun`` reaches the cluster."""
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    (folder / "slurm.conf").write_text(_configuration(folder))
    environment = {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"}
    places = ("socket", "key-file=munge.key", "pid-file", "log-file", "seed-file")
    options = [
        f"--{name.partition('=')[0]}={folder}/{name.partition('=')[2] or f'munge.{name}'}"
        for name in places
    ]
    daemons = (["munged", "-F", "--force", *options], ["slurmctld", "-D"], ["slurmd", "-D"])
    with contextlib.ExitStack() as ends:
        for argv in daemons:
            log = ends.enter_context(open(folder / f"{argv[0]}.log", "wb"))
            daemon = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
            ends.callback(daemon.wait)
            ends.callback(daemon.terminate)
            if argv[0] == "munged":
                _await(lambda: (folder / "munge.socket").exists(), folder)
        _await(lambda: b"idle" in _nodes(environment), folder)
        yield environment


def _nodes(environment: dict[str, str]) -> bytes:
    argv = ["sinfo", "--noheader", "--format=%t"]
    return subprocess.run(argv, env=environment, capture_output=True, check=False).stdout


def _await(ready: object, folder: Path) -> None:
    end = time.monotonic() + READY_S
    while not ready():  # type: ignore[operator]
        if time.monotonic() > end:
            logs = "\n".join(p.read_text()[-1500:] for p in folder.glob("*.log"))
            raise RuntimeError(f"Slurm did not start: {logs}")
        time.sleep(0.05)
