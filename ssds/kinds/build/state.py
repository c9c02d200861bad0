"""What an image's config says while steps are applied to it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ssds.core.patterns import pattern
from ssds.host.sandbox import fixed_environment
from ssds.oci.types import Config

VARIABLE = pattern(
    r"\\(?P<escaped>\$)|\$(?:(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<sign>[-+])(?P<word>[^{}]*))?\})"
)
TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
"""Labels that name the image itself; they are not inherited from the image below."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigState:
    """Environment, working folder, user, labels, entry point and its command."""

    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    working_folder: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @classmethod
    def below(cls, config: Config) -> ConfigState:
        """Returns what is built on an image inherits: all but what names the image itself."""
        state = cls.of(config)
        labels = {k: v for k, v in state.labels.items() if k not in (TITLE, VERSION)}
        return replace(state, labels=labels)

    @classmethod
    def of(cls, config: Config) -> ConfigState:
        """Returns the state that an image config describes."""
        return cls(
            environment={"PATH": DEFAULT_PATH, **dict(config.environment)},
            working_folder=config.working_folder,
            user=config.user,
            labels=dict(config.labels),
            entrypoint=tuple(config.entrypoint),
            command=tuple(config.command),
        )

    def after(self, step: Mapping[str, Any]) -> ConfigState:
        """Returns the state after a step's slice; steps that change only files change nothing.

        A conda environment is found first, as when it was activated.
        """
        match step["type"]:
            case "conda":
                path = f"{step['prefix']}/bin:{self.environment.get('PATH', DEFAULT_PATH)}"
                found = {"PATH": path, "CONDA_PREFIX": step["prefix"]}
                return replace(self, environment={**self.environment, **found})
            case "env":
                values = step["values"]
                if step.get("expand"):
                    values = {k: expanded(v, self.environment) for k, v in values.items()}
                return replace(self, environment={**self.environment, **values})
            case "workdir":
                return replace(self, working_folder=working_folder(step, self))
            case "user":
                name = step["name"]
                named = expanded(name, self.environment) if step.get("expand") else name
                return replace(self, user=named)
            case "labels":
                return replace(self, labels={**self.labels, **step["values"]})
            case "entrypoint":
                return replace(self, entrypoint=tuple(step["arguments"]), command=())
        return self


def expanded(text: str, environment: Mapping[str, str]) -> str:
    r"""Returns ``text`` with its variables replaced, as ENV of a Dockerfile does it.

    ``$NAME``, ``${NAME}``, ``${NAME:-else}``, ``${NAME:+then}``; ``\$`` is a dollar sign; an
    unknown name is the empty text. Source: Dockerfile reference, environment replacement.
    """

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        known = environment.get(match["plain"] or match["name"], "")
        if match["sign"] == "-":
            return known or match["word"]
        return match["word"] if match["sign"] == "+" and known else known

    return VARIABLE.sub(value, text)


def working_folder(step: Mapping[str, Any], state: ConfigState) -> str:
    """Returns the folder that a step names; a relative one is below the last one."""
    path = str(step["path"])
    if not step.get("expand"):
        return path
    return posixpath.normpath(
        posixpath.join(state.working_folder or "/", expanded(path, state.environment))
    )


def step_environment(state: ConfigState, epoch: int) -> dict[str, str]:
    """Returns the fixed environment of a step, with the image's own on top."""
    return {**fixed_environment(epoch), **state.environment}
