"""A stand-in of a CVMFS publisher with one repository, for tests of deploy targets."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cvmfs_standin

from ssds.ship.targets.cvmfs import CvmfsRepository
from ssds.ship.targets.cvmfs_settings import CvmfsSettings

NAME = "software.example.org"


@dataclass
class Server:
    """A stand-in with one repository, and a driver for it."""

    home: str
    kind: type[CvmfsRepository] = CvmfsRepository
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        cvmfs_standin.make(self.home, NAME)
        command = f"{self.home}/cvmfs_server"
        script = Path(cvmfs_standin.__file__ or "")
        Path(command).write_text(
            f"#!/bin/sh\nSSDS_STANDIN='{self.home}' exec '{sys.executable}' -S '{script}' \"$@\"\n"
        )
        os.chmod(command, 0o755)

    def target(self, inner: str = "", **more: float) -> CvmfsRepository:
        settings = CvmfsSettings(
            state=f"{self.home}/state",
            command=f"{self.home}/cvmfs_server",
            mount=f"{self.home}/cvmfs",
            storage=f"{self.home}/srv",
            spool=f"{self.home}/spool",
            **{"wait_s": 0.0, "publish_s": 20.0, "step_s": 20.0, **more},
        )
        return self.kind(NAME + inner, settings, self.said.append)

    def fault(self, *words: str) -> None:
        Path(f"{self.home}/spool/{NAME}/faults").write_text("\n".join(words))

    @property
    def in_transaction(self) -> bool:
        return os.path.exists(f"{self.home}/spool/{NAME}/in_transaction.lock")

    def public(self, path: str) -> bool:
        """Whether readers see a path, in the last revision that was signed."""
        number = self.target().revision()
        return os.path.lexists(f"{self.home}/spool/{NAME}/revisions/{number}/{path}")

    @property
    def log(self) -> list[str]:
        return Path(f"{self.home}/log").read_text().splitlines()
