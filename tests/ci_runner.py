"""Runs the steps of CI files as they stand, each job in a clone of its own with an empty store.

Actions and services of a forge are replaced by what they do for these steps: a clone, a copy of a
folder, a recorded comment. An expression that is not known here fails the test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e_workspace import ROOT

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_RECORDER = '#!/bin/sh\nprintf "%s\\n" "$*" >> "$RECORDED"\ncat plan.md >> "$RECORDED"\n'
NOT_HERE = ("Install",)
"""Steps that prepare a runner: a test's machine has what they install."""


@dataclass
class Forge:
    """An origin, what jobs hand on, and what was told to the forge."""

    origin: Path
    folder: Path
    artefacts: Path = field(init=False)
    recorded: Path = field(init=False)

    def __post_init__(self) -> None:
        self.artefacts = self.folder / "artefacts"
        self.recorded = self.folder / "recorded.txt"
        tools = self.folder / "bin"
        tools.mkdir(parents=True)
        for name in ("gh", "curl"):
            (tools / name).write_text(_RECORDER)
            (tools / name).chmod(0o755)

    def environment(self, job: str, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SSDS_", "GIT_"))}
        path = f"{self.folder}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        return {
            **kept,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "SSDS_STORE": str(self.folder / job / "store"),
            "SSDS_USER_SETTINGS": os.devnull,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "RECORDED": str(self.recorded),
            **more,
        }

    def clone(self, job: str) -> Path:
        place = self.folder / job / "checkout"
        place.parent.mkdir(parents=True)
        subprocess.run(["git", "clone", "-q", self.origin, place], check=True)
        return place

    def sh(self, script: str, folder: Path, environment: dict[str, str]) -> str:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout


@dataclass
class GitHub:
    """Runs jobs of a workflow file."""

    forge: Forge
    workflow: dict[str, Any]
    event: str
    outputs: dict[str, str] = field(default_factory=dict)

    def job(self, name: str, place: str, **known: str) -> str:
        """Runs a job's steps; returns what they printed."""
        told = ""
        folder = self.forge.folder / place / "checkout"
        output = self.forge.folder / f"{place}-output"
        for step in self.workflow["jobs"][name]["steps"]:
            if "uses" in step:
                self._action(step, place, known)
            elif step["name"] not in NOT_HERE and self._wanted(step.get("if", "")):
                own = {k: self._value(v, known) for k, v in step.get("env", {}).items()}
                environment = self.forge.environment(
                    place, GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=f"{output}.md", **own
                )
                assert "${{" not in step["run"], "expressions in scripts are injections"
                told += self.forge.sh(step["run"], folder, environment)
        if output.exists():
            self.outputs.update(
                line.partition("=")[::2] for line in output.read_text().splitlines()
            )
        return told

    def _wanted(self, condition: str) -> bool:
        if not condition:
            return True
        match = re.fullmatch(r"github\.event_name == '(\w+)'", condition)
        assert match, condition
        return match[1] == self.event

    def _value(self, text: str, known: dict[str, str]) -> str:
        return _EXPRESSION.sub(lambda match: known[match[1]], text)

    def _action(self, step: dict[str, Any], place: str, known: dict[str, str]) -> None:
        name = step["uses"].partition("@")[0]
        given = {k: self._value(v, known) for k, v in step.get("with", {}).items()}
        checkout = self.forge.folder / place / "checkout"
        if name == "actions/checkout":
            self.forge.clone(place)
        elif name == "actions/upload-artifact":
            shutil.copytree(checkout / given["path"], self.forge.artefacts / given["name"])
        elif name == "actions/download-artifact":
            for found in sorted(self.forge.artefacts.glob(given["pattern"])):
                shutil.copytree(found, checkout / given["path"] / found.name)
        else:
            raise AssertionError(f"an action that is not known here: {name}")


@dataclass
class GitLab:
    """Runs jobs of a pipeline file."""

    forge: Forge
    pipeline: dict[str, Any]

    def job(self, name: str, place: str, **variables: str) -> None:
        job = self.pipeline[name]
        folder = self.forge.clone(place)
        for earlier in sorted(self.forge.artefacts.glob("*")):
            shutil.copytree(earlier, folder, dirs_exist_ok=True)
        environment = self.forge.environment(place, **variables)
        for line in job["script"]:
            self.forge.sh(line, folder, environment)
        for path in job.get("artifacts", {}).get("paths", []):
            target = self.forge.artefacts / place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (folder / path).is_dir() else shutil.copy
            copy(folder / path, target)
