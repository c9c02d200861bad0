"""How CVMFS repositories are reached: the program, its folders, and how long to wait."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ssds.core.errors import UsageError
from ssds.core.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CvmfsSettings:
    """How a repository is reached.

    Attributes:
        command: the program, ``cvmfs_server``.
        mount: the folder of all repositories.
        storage: the folder of the repositories' storage, where ``.cvmfspublished`` is.
        spool: the folder of the repositories' scratch areas.
        state: a folder for the journal, the lock and scratch files, outside of the repository.
        wait_s: how long to wait for others' transactions.
        publish_s, step_s: time limits of publish, and of every other command.
    """

    state: str
    command: str = "cvmfs_server"
    mount: str = "/cvmfs"
    storage: str = "/srv/cvmfs"
    spool: str = "/var/spool/cvmfs"
    wait_s: float = 600.0
    publish_s: float = 4 * 3600.0
    step_s: float = 600.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> CvmfsSettings:
        """Returns the settings that the environment's ``SSDS_CVMFS_…`` variables make."""
        home = environment.get("XDG_STATE_HOME") or os.path.join(
            environment.get("HOME", "/var/lib"), ".local/state"
        )
        texts = {
            name: environment[f"SSDS_CVMFS_{name.upper()}"]
            for name in ("state", "command", "mount", "storage", "spool")
            if environment.get(f"SSDS_CVMFS_{name.upper()}")
        }
        times = {
            name: _seconds(f"SSDS_CVMFS_{name.upper()}", environment)
            for name in ("wait_s", "publish_s", "step_s")
            if environment.get(f"SSDS_CVMFS_{name.upper()}")
        }
        return cls(**{"state": os.path.join(home, "ssds/cvmfs"), **texts, **times})  # type: ignore[arg-type]


def _seconds(name: str, environment: Mapping[str, str]) -> float:
    try:
        found = float(environment[name])
        if 0 <= found < 1e9:
            return found
    except ValueError:
        pass
    raise UsageError(
        f"{name}={environment[name][:40]!r} is no number of seconds",
        hint=f"Write it like {name}=600.",
        code="D043",
    )
