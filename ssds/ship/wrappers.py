"""Wrappers: one multi-call script, a link per command, and a small file of facts per release.

The scripts are POSIX sh, need neither Python nor ssds, and find the tree from their own place, so
that the tree may be mounted anywhere. Everything here is a pure function of its arguments.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from ssds.core.errors import UnavailableError
from ssds.core.platform import Platform
from ssds.oci.programs import DEFAULT_PATH
from ssds.recipe.model import Site
from ssds.ship.selector import short
from ssds.ship.sites import binds_of

SUPPORT = ".ssds"
FACTS = ".ssds-release"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"PWD", "OLDPWD", "HOME", "IFS", "PS4", "PPID", "SHELLOPTS", "BASHOPTS"})

_HOST = re.compile(
    r"(?:LD|DYLD|PYTHON|PERL|RUBY|R|JULIA|LUA|LMOD|MODULE|MODULES|SSDS|GIT|SSH|BASH|SUDO|APPTAINER"
    r"|APPTAINERENV|SINGULARITY|SINGULARITYENV|SLURM)_.*"
    r"|(?:PYTHON|PERL5|RUBY|MODULE|BASH)[A-Z0-9]*|PERLLIB|PS[0-9]|ENV|PROMPT_COMMAND|PATH|SHELL|USER"
    r"|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|NODE_OPTIONS|GCONV_PATH|LOCPATH|TMPDIR"
    r"|DISPLAY|XAUTHORITY|XDG_.*|https?_proxy|HTTPS?_PROXY|LOGNAME|TERM|EDITOR|VISUAL|PAGER|LESSOPEN|LESSCLOSE|CDPATH|MAIL|MANPATH|ZDOTDIR|FPATH"
)
"""What a login shell and the host's own programs listen to."""


@cache
def script(name: str) -> bytes:
    """Returns one of the shipped scripts, ``wrapper`` or ``plain``."""
    try:
        return importlib.resources.files("ssds.ship").joinpath(f"{name}.sh").read_bytes()
    except FileNotFoundError as error:
        raise UnavailableError(
            f"the script {name}.sh is not installed", hint="Install ssds again."
        ) from error


def quoted(text: str) -> str:
    """Returns ``text`` as one word of POSIX sh; NUL bytes cannot be in it."""
    return "'" + text.replace("\0", "").replace("'", "'\\''") + "'"


def good_variable(name: str) -> bool:
    """Whether ``name`` may be set for a program: well-formed, and none that shells own."""
    return bool(_VARIABLE.fullmatch(name)) and name not in _RESERVED and name[:5] != "ssds_"


def fit_for_host(name: str) -> bool:
    """Whether a module may set ``name`` in the user's own shell.

    What describes a release may come from a registry: it must not reach the host's programs.
    """
    return good_variable(name) and _HOST.fullmatch(name) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What wrappers know of one image.

    Attributes:
        folder: the image's, relative to the tree.
        programs: command → absolute path in the image.
        environment: the image's own variables; they win over the caller's.
        setpriv: absolute path of that program in the image, or the empty string.
    """

    folder: str
    programs: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    setpriv: str = ""


def release_facts(
    *, release: str, images: Mapping[Platform, ImageFacts], defaults: Mapping[str, str]
) -> bytes:
    """Returns the facts file of one release, read by the scripts with ``.``.

    Args:
        release: for messages.
        images: the site's first choice first; the machine takes the first that it can run.
        defaults: variables of the recipe's ``deploy``; the caller's win.
    """
    lines = [
        f"ssds_release={quoted(release)}",
        f"ssds_platforms={quoted(' '.join(short(platform) for platform in images))}",
        "ssds_facts() {",
        "case $ssds_platform in",
    ]
    for platform, image in images.items():
        lines += [f"{short(platform)})", *_image_lines(image, defaults), ";;"]
    lines += ["esac", "}"]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _image_lines(image: ImageFacts, defaults: Mapping[str, str]) -> list[str]:
    programs, environment = image.programs, image.environment
    return [
        f"ssds_image={quoted(image.folder)}",
        f"ssds_setpriv={quoted(image.setpriv)}",
        "case $ssds_command in",
        *(f"{quoted(c)}) ssds_program={quoted(p)} ;;" for c, p in sorted(programs.items())),
        "*) ssds_program='' ;;",
        "esac",
        "ssds_environment() {",
        *(
            f"    ssds_default {name} {quoted(value)}"
            for name, value in sorted(defaults.items())
            if good_variable(name) and name not in environment
        ),
        *(
            f"    ssds_set {name} {quoted(value)}"
            for name, value in sorted({"PATH": DEFAULT_PATH, **environment}.items())
            if good_variable(name)
        ),
        "}",
    ]


def site_facts(site: Site) -> bytes:
    """Returns the site's facts file: runtimes in order, GPU, hook, and binds, one per line."""
    binds = "".join(f"{source}\t{target}\t{mode}\n" for source, target, mode in binds_of(site))
    rows = {
        "ssds_runtimes": " ".join(site.runtimes),
        "ssds_site_gpu": "" if site.gpu == "auto" else site.gpu,
        "ssds_hook": site.hook,
        "ssds_binds": binds,
    }
    return "".join(f"{name}={quoted(value)}\n" for name, value in rows.items()).encode()
