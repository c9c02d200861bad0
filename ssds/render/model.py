"""What is rendered: the base, the steps as a builder gets them, and what the image says. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.records import dataclass, field

CONTEXT = "steps"
"""The folder of the steps' inputs, below the file that is written."""
BASE = "base.tar"
"""The base's layer beside it."""
EMPTY = ("/run", "/tmp", "/var/tmp")  # noqa: S108 - places of the image
"""What is empty in a step and leaves nothing in the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that a builder runs.

    Attributes:
        title: what people read of it (``build[0] apt``).
        script: for ``/bin/sh -eu``.
        environment: all that it sees; binds: place in the image → folder below CONTEXT.
        user: a name or ``uid[:gid]`` of the image; empty means root.
        network: it reaches out: the result is not fixed.
        plain: the script is for ``/bin/sh`` without ``-eu``.
        note: what this form cannot do of it.
    """

    title: str
    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_folder: str = "/"
    network: bool = False
    plain: bool = False
    note: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the shell."""
        return () if self.plain else ("-eu",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A release on a platform, ready to be written.

    Attributes:
        base: a reference to build on; empty means the layer BASE.
        base_name: the base as the catalog names it.
        environment, user, working_folder, entrypoint, command, labels: of the finished image.
        user_below, folder_below: of the image that it is built on.
    """

    release: str
    platform: str
    base_name: str
    acts: tuple[Act, ...]
    base: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_folder: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user_below: str = ""
    folder_below: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
